//! Requests for rollbacks and what people ordered since. Intent only: it never advances a run.

use domain::{
    chain::{self, Entry, Link, hex},
    lifecycle::{Event, Phase, Run},
    name::{Actor, ApplicationName, Fence, PlanDigest, RollbackId, Version},
    next::Order,
    plan::Plan,
    reason::Reason,
    time::{Millis, Moment},
    verdict::Verdict,
};
use serde_json::json;
use sqlx::{PgConnection, PgTransaction, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    applications::acting,
    audit,
    connect::{Store, timed},
    error::{Constraint, Error, Result, corrupt},
    page::{Listed, Page},
    plans,
    wake::Topic,
};

/// How often a request is tried when the rollback in its way ends at that very moment.
const REQUEST_TRIES_MAX: u8 = 3;

/// The key under which a client may repeat a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Whose key it is: the token.
    pub principal: String,
    /// The key.
    pub key: String,
    /// Hash of the request's body.
    pub body_hash: Vec<u8>,
}

/// A request for a rollback.
#[derive(Clone, Debug)]
pub struct NewRollback<'a> {
    /// Its identity, UUIDv7.
    pub id: RollbackId,
    /// The stored plan.
    pub plan: &'a Plan,
    /// Who asks.
    pub requested_by: Actor,
    /// Why.
    pub reason: Reason,
    /// Why, in words.
    pub note: Option<String>,
    /// The client's key.
    pub idempotency: Idempotency,
    /// Until when approval is waited for; none needed without.
    pub approval_until: Option<Moment>,
    /// When.
    pub at: Moment,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// It was accepted.
    New,
    /// The same request was accepted before, as this rollback.
    Replayed(RollbackId),
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderPut {
    /// The worker will see it.
    Accepted,
    /// The rollback ended; nobody looks at orders any more.
    Ended,
}

/// A rollback and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackView {
    /// Its identity.
    pub id: RollbackId,
    /// Its application.
    pub application: ApplicationName,
    /// What is approved.
    pub plan_digest: PlanDigest,
    /// The plan.
    pub plan: Plan,
    /// Who asked.
    pub requested_by: Actor,
    /// Why.
    pub reason: Reason,
    /// Why, in words.
    pub note: Option<String>,
    /// When.
    pub requested_at: Moment,
    /// Where it is.
    pub run: Run,
    /// The phase's word.
    pub phase: String,
    /// Position of the last event.
    pub seq: i32,
    /// The last event's link, hex: with `seq` it tells a client whether anything it saw was lost.
    pub head: String,
    /// When the target was proved.
    pub proved_at: Option<Moment>,
    /// How long clients may have gone without an answer.
    pub outage: Option<Millis>,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// Whether the target passed its watch window; unknown before the end.
    pub good: Option<bool>,
    /// When it ended.
    pub ended_at: Option<Moment>,
}

/// A rollback in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackSummary {
    /// Its identity.
    pub id: RollbackId,
    /// Its application.
    pub application: ApplicationName,
    /// What is approved.
    pub plan_digest: PlanDigest,
    /// The version that ran.
    pub from: Option<Version>,
    /// The version to go back to.
    pub to: Version,
    /// Who asked.
    pub requested_by: Actor,
    /// Why.
    pub reason: Reason,
    /// Why, in words.
    pub note: Option<String>,
    /// When.
    pub requested_at: Moment,
    /// Where it is.
    pub run: Run,
    /// The phase's word.
    pub phase: String,
    /// When the target was proved.
    pub proved_at: Option<Moment>,
    /// How long clients may have gone without an answer.
    pub outage: Option<Millis>,
    /// How it ended.
    pub verdict: Option<Verdict>,
    /// When it ended.
    pub ended_at: Option<Moment>,
}

/// Which rollbacks to list.
#[derive(Clone, Debug, Default)]
pub struct RollbackFilter {
    /// Of this application only.
    pub application: Option<ApplicationName>,
    /// Of these applications only, such as those that a token may see; none: all.
    pub within: Option<Vec<ApplicationName>>,
    /// In this phase only, by its word.
    pub phase: Option<String>,
    /// Only those that have not ended, or only those that have.
    pub active: Option<bool>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    application: String,
    plan_digest: String,
    plan: String,
    requested_by: String,
    reason: String,
    note: Option<String>,
    requested_at: OffsetDateTime,
    state: Json<Run>,
    phase: String,
    seq: i32,
    head: Vec<u8>,
    proved_at: Option<OffsetDateTime>,
    outage_ms: Option<i64>,
    ended_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct ListRow {
    id: Uuid,
    application: String,
    plan_digest: String,
    version_from: Option<String>,
    version_to: String,
    requested_by: String,
    reason: String,
    note: Option<String>,
    requested_at: OffsetDateTime,
    state: Json<Run>,
    phase: String,
    proved_at: Option<OffsetDateTime>,
    outage_ms: Option<i64>,
    ended_at: Option<OffsetDateTime>,
}

impl Store {
    /// Accepts a request: the rollback, its run, its first event, the client's key and the audit entry are one
    /// transaction, and a run that still watches the application is told that it is superseded.
    ///
    /// # Errors
    /// [`Error::Conflict`] with [`Constraint::OneActing`] naming the active rollback, or when the plan is not
    /// stored; [`Error::IdempotencyMismatch`]; [`Error::NotFound`] when the application is not there;
    /// or as every store function.
    pub async fn rollback_request(&self, ask: &NewRollback<'_>) -> Result<Requested> {
        for _ in 1..REQUEST_TRIES_MAX {
            match timed(self.request_once(ask)).await {
                Err(Error::Busy(error)) => tracing::debug!(%error, "a request is tried again"),
                Ok(None) => {}
                Ok(Some(requested)) => return Ok(self.accepted(requested)),
                Err(error) => return Err(error),
            }
        }
        let requested = timed(self.request_once(ask)).await?;
        let vanished = "the rollback in the way ends at this moment; ask again";
        requested.map(|requested| self.accepted(requested)).ok_or_else(|| Error::Unavailable(vanished.into()))
    }

    fn accepted(&self, requested: Requested) -> Requested {
        if requested == Requested::New {
            self.announce(Topic::Work);
            self.wake.notify(Topic::Events);
        }
        requested
    }

    /// None when the rollback in the way ended between our insert and our look for its name.
    async fn request_once(&self, ask: &NewRollback<'_>) -> Result<Option<Requested>> {
        let mut tx = self.pool.begin().await?;
        if let Some(earlier) = replayed(&mut tx, ask).await? {
            return Ok(Some(Requested::Replayed(earlier)));
        }
        let name = &ask.plan.application.name;
        lock_application(&mut tx, name).await?;
        insert_rollback(&mut tx, ask).await?;
        match insert_run(&mut tx, ask).await {
            Ok(()) => {}
            Err(Error::Conflict(Constraint::Rule(rule))) if rule == "rollback_one_acting" => {
                tx.rollback().await?;
                let active = acting(&mut *self.pool.acquire().await?, name).await?;
                return match active {
                    Some(active) => Err(Error::Conflict(Constraint::OneActing { active })),
                    None => Ok(None),
                };
            }
            Err(error) => return Err(error),
        }
        // After the insert: whoever acted until then is watching now, and visible.
        supersede(&mut tx, ask).await?;
        let detail = json!({"plan": ask.plan.digest(), "reason": ask.reason, "note": ask.note, "application": name});
        let object = format!("rollback/{}", ask.id);
        audit::enter(&mut tx, &ask.requested_by, "rollback.request", &object, detail).await?;
        tx.commit().await?;
        Ok(Some(Requested::New))
    }

    /// A rollback and where it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn rollback_get(&self, id: RollbackId) -> Result<RollbackView> {
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "select q.id, q.application, q.plan_digest, p.body as plan, q.requested_by, q.reason, q.note,
                        q.requested_at, r.state, r.phase, r.seq, r.head, r.proved_at, r.outage_ms, r.ended_at
                 from rollback q
                 join rollback_run r on r.rollback_id = q.id
                 join plan p on p.digest = q.plan_digest
                 where q.id = $1",
            )
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        view(row.ok_or(Error::NotFound("rollback"))?)
    }

    /// Rollbacks, newest first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn rollback_list(
        &self,
        filter: &RollbackFilter,
        page: &Page<RollbackId>,
    ) -> Result<Listed<RollbackSummary, RollbackId>> {
        let within = filter.within.as_ref().map(|names| names.iter().map(|n| n.as_str().to_owned()).collect::<Vec<_>>());
        let rows: Vec<ListRow> = timed(async {
            Ok(sqlx::query_as(
                "select q.id, q.application, q.plan_digest,
                        p.body::jsonb ->> 'from' as version_from, p.body::jsonb ->> 'to' as version_to,
                        q.requested_by, q.reason, q.note, q.requested_at,
                        r.state, r.phase, r.proved_at, r.outage_ms, r.ended_at
                 from rollback q
                 join rollback_run r on r.rollback_id = q.id
                 join plan p on p.digest = q.plan_digest
                 where ($1::uuid is null or q.id < $1)
                   and ($2::text is null or q.application = $2)
                   and ($3::text[] is null or q.application = any($3))
                   and ($4::text is null or r.phase = $4)
                   and ($5::boolean is null or (r.ended_at is null) = $5)
                 order by q.id desc limit $6",
            )
            .bind(page.after.map(|after| after.0))
            .bind(filter.application.as_ref().map(ApplicationName::as_str))
            .bind(within)
            .bind(&filter.phase)
            .bind(filter.active)
            .bind(page.fetch())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let items: Result<Vec<RollbackSummary>> = rows.into_iter().map(summary).collect();
        Ok(page.listed(items?, |row| row.id))
    }

    /// Tells a rollback's worker what somebody wants. Asking again before it was seen is asking once.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn order_put(&self, rollback: RollbackId, order: &Order, actor: &Actor) -> Result<OrderPut> {
        let (kind, superseding) = words(order);
        let put = timed(async {
            let mut tx = self.pool.begin().await?;
            let ended: Option<bool> =
                sqlx::query_scalar("select ended_at is not null from rollback_run where rollback_id = $1")
                    .bind(rollback.0)
                    .fetch_optional(&mut *tx)
                    .await?;
            if ended.ok_or(Error::NotFound("rollback"))? {
                return Ok(OrderPut::Ended);
            }
            sqlx::query(
                "insert into rollback_order (rollback_id, kind, actor, superseding) values ($1, $2, $3, $4)
                 on conflict (rollback_id, kind, actor) where seen_at is null do nothing",
            )
            .bind(rollback.0)
            .bind(kind)
            .bind(actor.as_str())
            .bind(superseding)
            .execute(&mut *tx)
            .await?;
            let object = format!("rollback/{rollback}");
            audit::enter(&mut tx, actor, &format!("rollback.{kind}"), &object, json!({})).await?;
            tx.commit().await?;
            Ok(OrderPut::Accepted)
        })
        .await?;
        if put == OrderPut::Accepted {
            self.announce(Topic::Work);
        }
        Ok(put)
    }

    /// How long clients went without an answer in the application's last rollbacks, newest first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn outages(&self, application: &ApplicationName) -> Result<Vec<Millis>> {
        // The last twenty tell what to expect now; older ones tell of another machine.
        let rows: Vec<i64> = timed(async {
            Ok(sqlx::query_scalar(
                "select outage_ms from rollback_run where application = $1 and outage_ms is not null
                 order by rollback_id desc limit 20",
            )
            .bind(application.as_str())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        Ok(rows.into_iter().map(|ms| Millis(ms.max(0).cast_unsigned())).collect())
    }
}

/// The rollback of an earlier request with the same key; waits for one that is being accepted right now.
async fn replayed(tx: &mut PgTransaction<'_>, ask: &NewRollback<'_>) -> Result<Option<RollbackId>> {
    let key = &ask.idempotency;
    let first = sqlx::query(
        "insert into idempotency (principal, key, body_hash, rollback_id) values ($1, $2, $3, $4)
         on conflict on constraint idempotency_key do nothing",
    )
    .bind(&key.principal)
    .bind(&key.key)
    .bind(&key.body_hash)
    .bind(ask.id.0)
    .execute(&mut **tx)
    .await?;
    if first.rows_affected() == 1 {
        return Ok(None);
    }
    let (hash, rollback): (Vec<u8>, Uuid) =
        sqlx::query_as("select body_hash, rollback_id from idempotency where principal = $1 and key = $2")
            .bind(&key.principal)
            .bind(&key.key)
            .fetch_one(&mut **tx)
            .await?;
    if hash == key.body_hash { Ok(Some(RollbackId(rollback))) } else { Err(Error::IdempotencyMismatch) }
}

/// A share lock: requests do not wait for each other, a removal does.
async fn lock_application(tx: &mut PgTransaction<'_>, name: &ApplicationName) -> Result<()> {
    let there: Option<i32> =
        sqlx::query_scalar("select 1 from application where name = $1 and removed_at is null for share")
            .bind(name.as_str())
            .fetch_optional(&mut **tx)
            .await?;
    there.map(|_| ()).ok_or(Error::NotFound("application"))
}

async fn insert_rollback(tx: &mut PgConnection, ask: &NewRollback<'_>) -> Result<()> {
    sqlx::query(
        "insert into rollback (id, application, plan_digest, requested_by, reason, note, requested_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(ask.id.0)
    .bind(ask.plan.application.name.as_str())
    .bind(ask.plan.digest().as_str())
    .bind(ask.requested_by.as_str())
    .bind(ask.reason.word())
    .bind(&ask.note)
    .bind(OffsetDateTime::from(ask.at))
    .execute(tx)
    .await?;
    Ok(())
}

/// The run and its first event in one statement.
async fn insert_run(tx: &mut PgConnection, ask: &NewRollback<'_>) -> Result<()> {
    let event = Event::Requested { approval_until: ask.approval_until };
    let run = Run::requested(&event, ask.at).map_err(|error| corrupt("first event", error))?;
    let body = serde_json::to_string(&event).map_err(|error| corrupt("first event", error))?;
    let actor = ask.requested_by.as_str();
    let entry = Entry { seq: 1, fence: Fence(0), at: ask.at, actor, body: &body };
    let head: Link = chain::link(&chain::root(ask.id), &entry);
    sqlx::query(
        "with run as (
             insert into rollback_run (rollback_id, application, phase, acts, state, seq, head, wake_at, plan_format)
             values ($1, $2, $3, $4, $5, 1, $6, coalesce($7, now()), $8)
             returning rollback_id, seq, fence, head
         )
         insert into rollback_event (rollback_id, seq, fence, at, actor, body, hash)
         select rollback_id, seq, fence, $9, $10, $11, head from run",
    )
    .bind(ask.id.0)
    .bind(ask.plan.application.name.as_str())
    .bind(run.phase.word())
    .bind(run.phase.acts())
    .bind(Json(&run))
    .bind(head.as_slice())
    .bind(ask.approval_until.map(OffsetDateTime::from))
    .bind(ask.plan.format)
    .bind(OffsetDateTime::from(ask.at))
    .bind(actor)
    .bind(&body)
    .execute(tx)
    .await?;
    Ok(())
}

async fn supersede(tx: &mut PgConnection, ask: &NewRollback<'_>) -> Result<()> {
    sqlx::query(
        "insert into rollback_order (rollback_id, kind, actor, superseding)
         select rollback_id, 'supersede', $3, $1 from rollback_run
         where application = $2 and phase = 'watching' and rollback_id <> $1
         on conflict (rollback_id, kind, actor) where seen_at is null do nothing",
    )
    .bind(ask.id.0)
    .bind(ask.plan.application.name.as_str())
    .bind(ask.requested_by.as_str())
    .execute(tx)
    .await?;
    Ok(())
}

fn words(order: &Order) -> (&'static str, Option<Uuid>) {
    match order {
        Order::Cancel { .. } => ("cancel", None),
        Order::Approve { .. } => ("approve", None),
        Order::Reject { .. } => ("reject", None),
        Order::Supersede { by } => ("supersede", Some(by.0)),
    }
}

fn verdict(run: &Run) -> (Option<Verdict>, Option<bool>) {
    let verdict = match &run.phase {
        Phase::Ended { verdict } => verdict,
        Phase::AwaitingApproval { .. } | Phase::Forward { .. } | Phase::Backward { .. } | Phase::Watching { .. } => {
            return (None, None);
        }
    };
    let good = match verdict {
        Verdict::RolledBack { good, .. } => Some(*good),
        Verdict::Restored { .. } | Verdict::Refused { .. } | Verdict::Cancelled { .. } | Verdict::NeedsHuman { .. } => None,
    };
    (Some(verdict.clone()), good)
}

fn outage(ms: Option<i64>) -> Option<Millis> {
    ms.map(|ms| Millis(ms.max(0).cast_unsigned()))
}

fn view(row: Row) -> Result<RollbackView> {
    let bad = |error| corrupt("rollback", error);
    let (verdict, good) = verdict(&row.state.0);
    Ok(RollbackView {
        id: RollbackId(row.id),
        application: row.application.parse().map_err(bad)?,
        plan: plans::parse(&row.plan_digest, &row.plan)?,
        plan_digest: row.plan_digest.parse().map_err(bad)?,
        requested_by: row.requested_by.parse().map_err(bad)?,
        reason: row.reason.parse().map_err(|error: String| corrupt("rollback", error))?,
        note: row.note,
        requested_at: row.requested_at.into(),
        run: row.state.0,
        phase: row.phase,
        seq: row.seq,
        head: hex(&row.head),
        proved_at: row.proved_at.map(Moment::from),
        outage: outage(row.outage_ms),
        verdict,
        good,
        ended_at: row.ended_at.map(Moment::from),
    })
}

fn summary(row: ListRow) -> Result<RollbackSummary> {
    let bad = |error| corrupt("rollback", error);
    let (verdict, _) = verdict(&row.state.0);
    Ok(RollbackSummary {
        id: RollbackId(row.id),
        application: row.application.parse().map_err(bad)?,
        plan_digest: row.plan_digest.parse().map_err(bad)?,
        from: row.version_from.map(|version| version.parse()).transpose().map_err(bad)?,
        to: row.version_to.parse().map_err(bad)?,
        requested_by: row.requested_by.parse().map_err(bad)?,
        reason: row.reason.parse().map_err(|error: String| corrupt("rollback", error))?,
        note: row.note,
        requested_at: row.requested_at.into(),
        run: row.state.0,
        phase: row.phase,
        proved_at: row.proved_at.map(Moment::from),
        outage: outage(row.outage_ms),
        verdict,
        ended_at: row.ended_at.map(Moment::from),
    })
}
