//! The one durable write of a step: what came of the last act and the intent of the next, in one statement.

use std::time::Duration;

use domain::{
    chain::{self, Entry, Link},
    lifecycle::{Event, Phase, Run},
    name::Actor,
    time::Moment,
    verdict::{CauseCode, Verdict},
};
use time::OffsetDateTime;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    occasions,
    runs::Held,
    wake::Topic,
};

/// How often a write is tried again when its acknowledgement is lost. Each try is conditional on the last event, so
/// that it is written once.
const TRIES_MAX: u8 = 3;
/// The pause between two tries: Postgres needs about 0.2 s to start again.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// What goes with the events of a step.
#[derive(Clone, Debug, Default)]
pub struct AppendMeta {
    /// When to look at the run again; as before when none.
    pub wake_at: Option<Moment>,
    /// Whether to give the claim back.
    pub release: bool,
    /// The orders that the events answer.
    pub orders_seen: Vec<i64>,
    /// Whether the run is at another step now: crashes are counted anew.
    pub step_changed: bool,
    /// How long the lease is from now.
    pub lease: Duration,
}

/// What came of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of the last event.
    pub seq: i32,
    /// The last event's link.
    pub head: Link,
    /// Whether there are orders that no turn has seen.
    pub orders_pending: bool,
}

/// Everything that is written.
struct Write {
    state: String,
    seq: i32,
    head: Link,
    seqs: Vec<i32>,
    ats: Vec<OffsetDateTime>,
    actors: Vec<String>,
    bodies: Vec<String>,
    hashes: Vec<Vec<u8>>,
    ended: bool,
    /// What the end says of the rollback's own ledger entry.
    judged: Option<&'static str>,
    outage_ms: Option<i64>,
}

impl Store {
    /// Writes events and the state that they lead to, if the claim is still ours: same fence, same last event, lease
    /// not over. One statement, one commit. No events: only the wake-up or the release is written.
    ///
    /// When the acknowledgement is lost it looks whether it was written; it may be called again with the same
    /// arguments after [`Error::Unavailable`].
    ///
    /// # Errors
    /// [`Error::Fenced`]: drop everything. [`Error::OrdersPending`]: the events end the run and somebody was told that
    /// an order of theirs is accepted which they do not answer. Else as every store function.
    pub async fn append(
        &self,
        held: &Held,
        events: &[(Moment, Actor, Event)],
        run: &Run,
        meta: &AppendMeta,
    ) -> Result<Appended> {
        let write = write(held, events, run)?;
        let mut tries = 0;
        let appended = loop {
            tries += 1;
            match timed(self.append_once(held, run, meta, &write)).await {
                Ok(Some(orders_pending)) => {
                    break Appended {
                        seq: write.seq,
                        head: write.head,
                        orders_pending,
                    };
                }
                Ok(None) => break self.written(held, meta, &write).await?,
                Err(Error::Unavailable(_) | Error::Busy(_)) if tries < TRIES_MAX => {
                    tokio::time::sleep(TRY_AGAIN).await
                }
                Err(error) => return Err(error),
            }
        };
        self.wake.notify(Topic::Events);
        Ok(appended)
    }

    async fn append_once(
        &self,
        held: &Held,
        run: &Run,
        meta: &AppendMeta,
        write: &Write,
    ) -> Result<Option<bool>> {
        let statement = if write.ended { END } else { APPEND };
        let query = sqlx::query_scalar(statement)
            .bind(held.rollback.0)
            .bind(held.fence.0)
            .bind(held.seq)
            .bind(&write.state)
            .bind(write.seq)
            .bind(write.head.as_slice())
            .bind(run.phase.word())
            .bind(run.phase.acts())
            .bind(meta.wake_at.map(OffsetDateTime::from))
            .bind(meta.release || write.ended)
            .bind(meta.lease.as_secs_f64())
            .bind(meta.step_changed)
            .bind(&meta.orders_seen)
            .bind(run.proved_at.map(OffsetDateTime::from))
            .bind(write.outage_ms)
            .bind(&write.seqs)
            .bind(&write.ats)
            .bind(&write.actors)
            .bind(&write.bodies)
            .bind(&write.hashes);
        if !write.ended {
            return Ok(query.fetch_optional(&self.pool).await?);
        }
        let mut tx = self.pool.begin().await?;
        // An order is put under a share lock of this row. Whoever puts one now is waited for, and is visible to the
        // next statement; whoever comes later sees the end.
        sqlx::query("select from rollback_run where rollback_id = $1 for no key update")
            .bind(held.rollback.0)
            .execute(&mut *tx)
            .await?;
        let ended = query.bind(write.judged).fetch_optional(&mut *tx).await?;
        if let (Some(_), Phase::Ended { verdict }) = (ended, &run.phase)
            && matches!(verdict, Verdict::NeedsHuman { .. })
        {
            occasions::call(&mut tx, held.rollback).await?;
        }
        tx.commit().await?;
        Ok(ended)
    }

    /// Whether an earlier try of the same write was committed after all.
    async fn written(&self, held: &Held, meta: &AppendMeta, write: &Write) -> Result<Appended> {
        let found: Option<(i64, i32, Vec<u8>, bool, bool)> = timed(async {
            Ok(sqlx::query_as(
                "select fence, seq, head, worker is null, exists (
                     select from rollback_order o
                     where o.rollback_id = r.rollback_id and o.seen_at is null and o.id <> all($2))
                 from rollback_run r where rollback_id = $1",
            )
            .bind(held.rollback.0)
            .bind(&meta.orders_seen)
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        let Some((fence, seq, head, released, orders_pending)) = found else {
            return Err(Error::NotFound("rollback"));
        };
        let ours = fence == held.fence.0 && seq == write.seq && head == write.head;
        let told = !write.seqs.is_empty() || (meta.release && released);
        if ours && told {
            return Ok(Appended {
                seq,
                head: write.head,
                orders_pending,
            });
        }
        let not_written = fence == held.fence.0 && seq == held.seq;
        if write.ended && not_written && orders_pending {
            Err(Error::OrdersPending)
        } else {
            Err(Error::Fenced)
        }
    }
}

/// The events chained to what is held.
fn write(held: &Held, events: &[(Moment, Actor, Event)], run: &Run) -> Result<Write> {
    let mut write = Write {
        state: serde_json::to_string(run).map_err(|error| corrupt("run", error))?,
        seq: held.seq,
        head: held.head,
        seqs: Vec::with_capacity(events.len()),
        ats: Vec::with_capacity(events.len()),
        actors: Vec::with_capacity(events.len()),
        bodies: Vec::with_capacity(events.len()),
        hashes: Vec::with_capacity(events.len()),
        ended: false,
        judged: None,
        outage_ms: outage(run),
    };
    for (at, actor, event) in events {
        let body = serde_json::to_string(event).map_err(|error| corrupt("event", error))?;
        write.seq += 1;
        let entry = Entry {
            seq: write.seq,
            fence: held.fence,
            at: *at,
            actor: actor.as_str(),
            body: &body,
        };
        write.head = chain::link(&write.head, &entry);
        write.seqs.push(write.seq);
        write.ats.push((*at).into());
        write.actors.push(actor.as_str().to_owned());
        write.bodies.push(body);
        write.hashes.push(write.head.to_vec());
    }
    if let Phase::Ended { verdict } = &run.phase {
        write.ended = true;
        write.judged = Some(judged(verdict));
    }
    Ok(write)
}

/// From the first stop of something that serves to the proof of the target.
fn outage(run: &Run) -> Option<i64> {
    let ms = run.proved_at?.since(run.touched_at?).0;
    i64::try_from(ms).ok()
}

/// What the end of a rollback says of the release that it put in service.
fn judged(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::RolledBack { good: true, .. } => "good",
        Verdict::NeedsHuman { cause, .. } if cause.code == CauseCode::WatchFailed => "bad",
        Verdict::RolledBack { good: false, .. }
        | Verdict::NeedsHuman { .. }
        | Verdict::Restored { .. }
        | Verdict::Refused { .. }
        | Verdict::Cancelled { .. } => "unproved",
    }
}

/// Nothing here may write more rows than the run, its events, and the orders that they answer.
const APPEND: &str = "
    with held as (
        update rollback_run
        set state = $4::json, seq = $5, head = $6, phase = $7, acts = $8, wake_at = coalesce($9, wake_at),
            worker = case when $10 then null else worker end, host = case when $10 then null else host end,
            lease_until = case when $10 then null else now() + make_interval(secs => $11) end,
            crashes = case when $12 then 0 else crashes end, proved_at = $14, outage_ms = $15
        where rollback_id = $1 and fence = $2 and seq = $3 and lease_until > now()
        returning rollback_id, fence
    ), logged as (
        insert into rollback_event (rollback_id, seq, fence, at, actor, body, hash)
        select h.rollback_id, e.seq, h.fence, e.at, e.actor, e.body, e.hash
        from held h, unnest($16::int[], $17::timestamptz[], $18::text[], $19::text[], $20::bytea[])
             as e(seq, at, actor, body, hash)
    ), seen as (
        update rollback_order o set seen_at = now() from held h
        where o.rollback_id = h.rollback_id and o.seen_at is null and o.id = any($13)
    )
    select exists (
        select from rollback_order o
        where o.rollback_id = h.rollback_id and o.seen_at is null and o.id <> all($13)) from held h";

/// The same for the last event, which also judges the rollback's own ledger entry. It waits for an answer to every
/// order that was accepted.
const END: &str = "
    with held as (
        update rollback_run
        set state = $4::json, seq = $5, head = $6, phase = $7, acts = $8, wake_at = coalesce($9, wake_at),
            worker = case when $10 then null else worker end, host = case when $10 then null else host end,
            lease_until = case when $10 then null else now() + make_interval(secs => $11) end,
            crashes = case when $12 then 0 else crashes end, proved_at = $14, outage_ms = $15, ended_at = now()
        where rollback_id = $1 and fence = $2 and seq = $3 and lease_until > now() and ended_at is null
          and not exists (select from rollback_order o
                          where o.rollback_id = $1 and o.seen_at is null and o.id <> all($13))
        returning rollback_id, fence
    ), logged as (
        insert into rollback_event (rollback_id, seq, fence, at, actor, body, hash)
        select h.rollback_id, e.seq, h.fence, e.at, e.actor, e.body, e.hash
        from held h, unnest($16::int[], $17::timestamptz[], $18::text[], $19::text[], $20::bytea[])
             as e(seq, at, actor, body, hash)
    ), seen as (
        update rollback_order o set seen_at = now() from held h
        where o.rollback_id = h.rollback_id and o.seen_at is null and o.id = any($13)
    ), judged as (
        update deployment_fact f set state = $21, judged_at = now(), wake_at = null
        from held h join deployment d on d.rollback_id = h.rollback_id
        where f.deployment_id = d.id and f.state = 'watching'
    )
    select false from held h";
