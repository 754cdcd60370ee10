//! Claims on runs: who advances which rollback, for how long, under which fence. Steps are in `steps.rs`.

use std::time::Duration;

use domain::{
    chain::Link,
    lifecycle::Run,
    name::{Actor, Fence, RollbackId},
    next::Order,
    plan::{PLAN_FORMAT, Plan},
    time::Moment,
};
use serde::Deserialize;
use sqlx::{Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use crate::{
    connect::{Store, readable, timed},
    error::{Error, Result, corrupt},
    plans,
};

/// Most runs that one claim takes, so that one process does not lease what another could advance now.
const CLAIM_MAX: u32 = 64;
/// Most runs that are read at once for the shared probes of watch windows.
const WATCHING_MAX: u32 = 1000;

/// A worker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// New at each start of the process.
    pub id: Uuid,
    /// The host's, kept in a file that the living process has locked.
    pub host: Uuid,
    /// The binary's version.
    pub version: String,
    /// The newest plan format that it executes.
    pub plan_format_max: i16,
}

/// A claim, and how far the log was when its holder last looked. Every advancing write is conditional on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The rollback.
    pub rollback: RollbackId,
    /// The fence of the claim.
    pub fence: Fence,
    /// Position of the last event.
    pub seq: i32,
    /// The last event's link.
    pub head: Link,
}

/// A run that was claimed.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The rollback.
    pub rollback: RollbackId,
    /// The fence of the claim.
    pub fence: Fence,
    /// Workers that died in the present step.
    pub crashes: i16,
    /// The host of the worker that did not give it back, when there is one.
    pub former_host: Option<Uuid>,
    /// The plan.
    pub plan: Plan,
    /// Where it is.
    pub run: Run,
    /// Position of the last event.
    pub seq: i32,
    /// The last event's link.
    pub head: Link,
    /// What people want and no turn has seen.
    pub orders: Vec<(i64, Order)>,
}

impl Claimed {
    /// The claim alone.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            rollback: self.rollback,
            fence: self.fence,
            seq: self.seq,
            head: self.head,
        }
    }
}

/// A lease that was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The rollback.
    pub rollback: RollbackId,
    /// Whether there are orders that no turn has seen.
    pub orders_pending: bool,
}

/// A run in its watch window.
#[derive(Clone, Debug)]
pub struct WatchingRun {
    /// The rollback.
    pub rollback: RollbackId,
    /// The plan.
    pub plan: Plan,
    /// Where it is.
    pub run: Run,
}

#[derive(sqlx::FromRow)]
struct ClaimRow {
    rollback_id: Uuid,
    fence: i64,
    crashes: i16,
    plan_digest: String,
    plan: String,
    state: Json<serde_json::Value>,
    seq: i32,
    head: Vec<u8>,
    former_host: Option<Uuid>,
    orders: Json<Vec<OrderRow>>,
}

#[derive(Deserialize, sqlx::FromRow)]
struct OrderRow {
    id: i64,
    kind: String,
    actor: String,
    superseding: Option<Uuid>,
    /// When it was said: a number is the same in a row and in JSON.
    at_ms: i64,
}

#[derive(sqlx::FromRow)]
struct WatchingRow {
    rollback_id: Uuid,
    plan_digest: String,
    plan: String,
    state: Json<Run>,
}

impl Store {
    /// Says that this worker lives.
    ///
    /// # Errors
    /// As every store function.
    pub async fn worker_beat(&self, worker: &Worker) -> Result<()> {
        timed(async {
            sqlx::query(
                "insert into worker (id, host, version, plan_format_max) values ($1, $2, $3, $4)
                 on conflict on constraint worker_key do update set beat_at = now()",
            )
            .bind(worker.id)
            .bind(worker.host)
            .bind(&worker.version)
            .bind(worker.plan_format_max)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Ends the leases of this host's former workers at once. Only for a process that holds the host's file lock,
    /// which proves that they are dead.
    ///
    /// # Errors
    /// As every store function.
    pub async fn reclaim_host(&self, worker: &Worker) -> Result<u64> {
        timed(async {
            let ended = sqlx::query(
                "update rollback_run set lease_until = now()
                 where host = $1 and worker <> $2 and ended_at is null and lease_until > now()",
            )
            .bind(worker.host)
            .bind(worker.id)
            .execute(&self.pool)
            .await?;
            Ok(ended.rows_affected())
        })
        .await
    }

    /// Claims runs that are due, each under a new fence. A run whose former worker did not give it back has cost
    /// that worker; a worker that claims its own run again has not died.
    ///
    /// # Errors
    /// As every store function. When the answer is lost, what was claimed is due again after `lease`.
    pub async fn claim(
        &self,
        worker: &Worker,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Claimed>> {
        let limit = i64::from(limit.min(CLAIM_MAX));
        let rows: Vec<ClaimRow> = timed(async {
            Ok(sqlx::query_as(CLAIM)
                .bind(worker.id)
                .bind(worker.host)
                .bind(worker.plan_format_max)
                .bind(limit * 4)
                .bind(limit)
                .bind(lease.as_secs_f64())
                .fetch_all(&self.pool)
                .await?)
        })
        .await?;
        let readable = rows.into_iter().filter_map(|row| {
            let rollback = RollbackId(row.rollback_id);
            claimed(row)
                .inspect_err(|error| tracing::error!(%rollback, %error, "a run can not be read and is left alone"))
                .ok()
        });
        Ok(readable.collect())
    }

    /// Keeps leases. A claim that is missing from the answer is lost.
    ///
    /// # Errors
    /// As every store function.
    pub async fn renew(
        &self,
        claims: &[(RollbackId, Fence)],
        lease: Duration,
    ) -> Result<Vec<Renewed>> {
        let (rollbacks, fences): (Vec<Uuid>, Vec<i64>) = claims
            .iter()
            .map(|(rollback, fence)| (rollback.0, fence.0))
            .unzip();
        let rows: Vec<(Uuid, bool)> = timed(async {
            Ok(sqlx::query_as(
                "update rollback_run r set lease_until = now() + make_interval(secs => $3)
                 from unnest($1::uuid[], $2::bigint[]) as c(rollback_id, fence)
                 where r.rollback_id = c.rollback_id and r.fence = c.fence and r.lease_until > now()
                 returning r.rollback_id, exists (
                     select from rollback_order o where o.rollback_id = r.rollback_id and o.seen_at is null)",
            )
            .bind(rollbacks)
            .bind(fences)
            .bind(lease.as_secs_f64())
            .fetch_all(&self.leases)
            .await?)
        })
        .await?;
        let renewed = |(rollback, orders_pending)| Renewed {
            rollback: RollbackId(rollback),
            orders_pending,
        };
        Ok(rows.into_iter().map(renewed).collect())
    }

    /// Counts a turn that panicked as a crash of its step, and gives the claim back.
    ///
    /// # Errors
    /// [`Error::Fenced`], or as every store function.
    pub async fn crashed(&self, held: &Held) -> Result<()> {
        timed(async {
            let counted = sqlx::query(
                "update rollback_run set crashes = least(crashes + 1, 1000), worker = null, host = null, lease_until = null
                 where rollback_id = $1 and fence = $2 and lease_until > now()",
            )
            .bind(held.rollback.0)
            .bind(held.fence.0)
            .execute(&self.pool)
            .await?;
            if counted.rows_affected() == 0 { Err(Error::Fenced) } else { Ok(()) }
        })
        .await
    }

    /// What people want of a rollback and no turn has seen.
    ///
    /// # Errors
    /// As every store function.
    pub async fn orders_unseen(&self, rollback: RollbackId) -> Result<Vec<(i64, Order)>> {
        let rows: Vec<OrderRow> = timed(async {
            Ok(sqlx::query_as(
                "select o.id, o.kind, o.actor, o.superseding, (extract(epoch from o.at) * 1000)::bigint as at_ms
                 from rollback_order o where o.rollback_id = $1 and o.seen_at is null order by o.id limit 100",
            )
            .bind(rollback.0)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        rows.into_iter().map(order).collect()
    }

    /// Runs in their watch window, for probes that are shared between them.
    ///
    /// # Errors
    /// As every store function.
    pub async fn watching_runs(
        &self,
        after: Option<RollbackId>,
        limit: u32,
    ) -> Result<Vec<WatchingRun>> {
        let mut after = after.map(|after| after.0);
        // A page of which nothing can be read is not the last one.
        loop {
            let rows: Vec<PgRow> = timed(async {
                Ok(sqlx::query(
                    "select r.rollback_id, r.rollback_id::text as row_key, q.plan_digest, p.body as plan, r.state
                     from rollback_run r join rollback q on q.id = r.rollback_id join plan p on p.digest = q.plan_digest
                     where r.phase = 'watching' and r.ended_at is null and ($1::uuid is null or r.rollback_id > $1)
                       and r.plan_format <= $3
                     order by r.rollback_id limit $2",
                )
                .bind(after)
                .bind(i64::from(limit.min(WATCHING_MAX)))
                .bind(PLAN_FORMAT)
                .fetch_all(&self.pool)
                .await?)
            })
            .await?;
            let Some(last) = rows.last() else {
                return Ok(Vec::new());
            };
            after = Some(last.try_get("rollback_id")?);
            let runs = readable("run in its watch window", rows, watching);
            if !runs.is_empty() {
                return Ok(runs);
            }
        }
    }

    /// Makes a resting run due now: something that it waits for has changed.
    ///
    /// # Errors
    /// As every store function.
    pub async fn wake_run(&self, rollback: RollbackId) -> Result<()> {
        timed(async {
            sqlx::query(
                "update rollback_run set wake_at = now()
                 where rollback_id = $1 and ended_at is null and wake_at > now()",
            )
            .bind(rollback.0)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        self.wake.notify(crate::wake::Topic::Work);
        Ok(())
    }

    /// Whether a rollback that left a lock on an engine acts no more: it ended, or only watches. None when it is not
    /// one of ours.
    ///
    /// # Errors
    /// As every store function.
    pub async fn lock_stale(&self, rollback: RollbackId) -> Result<Option<bool>> {
        timed(async {
            Ok(
                sqlx::query_scalar("select not acts from rollback_run where rollback_id = $1")
                    .bind(rollback.0)
                    .fetch_optional(&self.pool)
                    .await?,
            )
        })
        .await
    }

    /// How long until the next run is due; none when nothing waits. Due ones give zero.
    ///
    /// # Errors
    /// As every store function.
    pub async fn next_due(&self) -> Result<Option<Duration>> {
        let secs: Option<f64> = timed(async {
            Ok(sqlx::query_scalar(
                "select extract(epoch from min(wake_at) - now())::float8 from rollback_run where ended_at is null
                 and lease_until is null",
            )
            .fetch_one(&self.pool)
            .await?)
        })
        .await?;
        Ok(secs.map(|secs| Duration::from_secs_f64(secs.clamp(0.0, 86_400.0))))
    }
}

/// No fence is below the time of day: of two databases that were one, a copy and its original, each gives fences of
/// its own, so the engine tells their claims on one rollback apart.
///
/// Candidates are found without locks, locked where nobody else has, and looked at again under the lock. Fences of
/// applications are taken in the order of their names, so that two claims never wait for each other in a circle.
const CLAIM: &str = "
    with timely as (
        select rollback_id from rollback_run
        where ended_at is null and wake_at <= now() and plan_format <= $3
          and (lease_until is null or lease_until <= now())
        order by wake_at limit $4
    ), ordered as (
        select o.rollback_id from rollback_order o join rollback_run r on r.rollback_id = o.rollback_id
        where o.seen_at is null and r.ended_at is null and r.plan_format <= $3
          and (r.lease_until is null or r.lease_until <= now())
        limit $4
    ), due as (
        select r.rollback_id, r.application, r.host as former_host from rollback_run r
        where r.rollback_id in (select rollback_id from timely union select rollback_id from ordered)
          and r.ended_at is null and (r.lease_until is null or r.lease_until <= now())
        order by r.wake_at limit $5
        for update of r skip locked
    ), numbered as (
        select rollback_id, application, former_host, row_number() over (partition by application order by rollback_id) as number
        from due
    ), counted as (
        select application, count(*) as runs from due group by application
    ), locked as (
        select f.application, c.runs from application_fence f join counted c on c.application = f.application
        order by f.application for update of f
    ), fenced as (
        update application_fence f
        set fence = greatest(f.fence, (extract(epoch from clock_timestamp()) * 1000)::bigint) + l.runs
        from locked l where f.application = l.application
        returning f.application, f.fence - l.runs as before
    )
    update rollback_run r
    set fence = f.before + n.number, worker = $1, host = $2, lease_until = now() + make_interval(secs => $6),
        crashes = least(r.crashes + (r.worker is not null and r.worker <> $1)::int, 1000)
    from numbered n
    join fenced f on f.application = n.application
    join rollback q on q.id = n.rollback_id
    join plan p on p.digest = q.plan_digest
    where r.rollback_id = n.rollback_id
    returning r.rollback_id, r.fence, r.crashes, q.plan_digest, p.body as plan, r.state, r.seq, r.head, n.former_host, (
        select coalesce(jsonb_agg(jsonb_build_object(
            'id', o.id, 'kind', o.kind, 'actor', o.actor, 'superseding', o.superseding,
            'at_ms', (extract(epoch from o.at) * 1000)::bigint) order by o.id), '[]')
        from rollback_order o where o.rollback_id = r.rollback_id and o.seen_at is null) as orders";

fn watching(row: WatchingRow) -> Result<WatchingRun> {
    Ok(WatchingRun {
        rollback: RollbackId(row.rollback_id),
        plan: plans::parse(&row.plan_digest, &row.plan)?,
        run: row.state.0,
    })
}

fn claimed(row: ClaimRow) -> Result<Claimed> {
    let orders: Result<Vec<(i64, Order)>> = row.orders.0.into_iter().map(order).collect();
    Ok(Claimed {
        rollback: RollbackId(row.rollback_id),
        fence: Fence(row.fence),
        crashes: row.crashes,
        former_host: row.former_host,
        plan: plans::parse(&row.plan_digest, &row.plan)?,
        run: serde_json::from_value(row.state.0).map_err(|error| corrupt("run", error))?,
        seq: row.seq,
        head: row
            .head
            .try_into()
            .map_err(|_| corrupt("run", "its head has another length"))?,
        orders: orders?,
    })
}

fn order(row: OrderRow) -> Result<(i64, Order)> {
    let by: Actor = row.actor.parse().map_err(|error| corrupt("order", error))?;
    let at = Moment::from_unix_ms(row.at_ms);
    let order = match (row.kind.as_str(), row.superseding) {
        ("cancel", None) => Order::Cancel { by },
        ("approve", None) => Order::Approve { by, at },
        ("reject", None) => Order::Reject { by },
        ("supersede", Some(newer)) => Order::Supersede {
            by: RollbackId(newer),
        },
        (kind, _) => return Err(corrupt("order", format!("kind `{kind}` is not known"))),
    };
    Ok((row.id, order))
}
