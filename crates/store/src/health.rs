//! Whether the store can keep a promise now, how much stands in it, and clearing away what nobody needs any more.

use std::time::{Duration, Instant};

use crate::{
    connect::{Store, timed},
    error::{Error, Result},
    migrate,
};

/// Rows that one statement of a clearing deletes: it must not hold locks for long.
pub(crate) const PRUNE_MAX: i64 = 1000;

/// The store can keep a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The schema version.
    pub schema: i64,
    /// How long the check took.
    pub latency: Duration,
}

/// How much stands in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// Rollbacks that wait for approval.
    pub awaiting_approval: i64,
    /// Rollbacks that act.
    pub acting: i64,
    /// Rollbacks in their watch window.
    pub watching: i64,
    /// Runs that are due and that no worker has claimed.
    pub unclaimed: i64,
    /// Workers that gave a sign of life in the last half minute.
    pub workers: i64,
}

/// What was cleared away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Inquiries older than an hour.
    pub inquiries: u64,
    /// Idempotency keys older than seven days.
    pub keys: u64,
    /// Plans older than thirty days that no rollback refers to.
    pub plans: u64,
    /// Evidence of rollbacks that ended more than ninety days ago.
    pub artifacts: u64,
    /// Specifications that nothing refers to and that were not seen for seven days.
    pub specifications: u64,
    /// Workers that gave no sign of life for a day.
    pub workers: u64,
    /// Messages of triggers that were decided and are older than [`INBOX_DAYS`](crate::INBOX_DAYS).
    pub messages: u64,
}

impl Store {
    /// Whether a promise can be kept now: reachable, migrated, writable.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<Ready> {
        let began = Instant::now();
        let (schema, read_only) = timed(async {
            let mut session = self.pool.acquire().await?;
            let read_only: bool =
                sqlx::query_scalar("select current_setting('transaction_read_only')::boolean")
                    .fetch_one(&mut *session)
                    .await?;
            let schema = migrate::applied(&mut session).await?;
            Ok((schema.unwrap_or(0), read_only))
        })
        .await?;
        if read_only {
            return Err(Error::Unavailable("Postgres is read-only".into()));
        }
        let binary = migrate::newest();
        if schema > binary {
            return Err(Error::NewerDatabase {
                database: schema,
                binary,
            });
        }
        if schema < binary {
            return Err(Error::Unfit(format!(
                "the database is at schema {schema} and has to be brought to {binary}"
            )));
        }
        Ok(Ready {
            schema,
            latency: began.elapsed(),
        })
    }

    /// How much stands in the store, for metrics.
    ///
    /// # Errors
    /// As every store function.
    pub async fn standing(&self) -> Result<Standing> {
        timed(async {
            Ok(sqlx::query_as(
                "select count(*) filter (where phase = 'awaiting_approval') as awaiting_approval,
                        count(*) filter (where phase in ('forward', 'backward')) as acting,
                        count(*) filter (where phase = 'watching') as watching,
                        count(*) filter (where wake_at <= now() and (lease_until is null or lease_until <= now()))
                            as unclaimed,
                        (select count(*) from worker where beat_at > now() - interval '30 s') as workers
                 from rollback_run where ended_at is null",
            )
            .fetch_one(&self.pool)
            .await?)
        })
        .await
    }

    /// Clears away what nobody needs any more, batch by batch until nothing of it is left.
    ///
    /// # Errors
    /// As every store function.
    pub async fn prune(&self) -> Result<Pruned> {
        let inquiries = self.cleared(
            "delete from inquiry where id in (
                 select id from inquiry where asked_at < now() - interval '1 hour' limit $1)",
        );
        let keys = self.cleared(
            "delete from idempotency where (principal, key) in (
                 select principal, key from idempotency where created_at < now() - interval '7 days' limit $1)",
        );
        let reports = self.cleared(
            "delete from deployment_request where (principal, key) in (
                 select principal, key from deployment_request
                 where created_at < now() - interval '7 days' limit $1)",
        );
        let plans = self.cleared(
            "delete from plan where digest in (
                 select digest from plan p where made_at < now() - interval '30 days'
                 and not exists (select from rollback q where q.plan_digest = p.digest) limit $1)",
        );
        // The log of a rollback is the truth and stays; what containers said then is worth a quarter of a year.
        let artifacts = self.cleared(
            "delete from artifact where id in (
                 select a.id from artifact a join rollback_run r on r.rollback_id = a.rollback_id
                 where a.created_at < now() - interval '90 days' and r.ended_at < now() - interval '90 days'
                 limit $1)",
        );
        let specifications = self.cleared(
            "with referred as (
                 select c.value ->> 'specification' as digest
                 from deployment_fact f, jsonb_each(f.components) c
                 union
                 select s ->> 'specification' from plan p, jsonb_array_elements(p.body::jsonb -> 'swaps') s
             )
             delete from specification where digest in (
                 select s.digest from specification s
                 where s.used_at < now() - interval '7 days'
                   and not exists (select from referred r where r.digest = s.digest) limit $1)",
        );
        let workers = self.cleared(
            "delete from worker where id in (
                 select id from worker where beat_at < now() - interval '1 day' limit $1)",
        );
        let messages = self.inbox_prune();
        Ok(Pruned {
            inquiries: inquiries.await?,
            keys: keys.await? + reports.await?,
            plans: plans.await?,
            artifacts: artifacts.await?,
            specifications: specifications.await?,
            workers: workers.await?,
            messages: messages.await?
                + self.chat_prune().await?
                + self.chat_notices_prune().await?,
        })
    }

    pub(crate) async fn cleared(&self, statement: &'static str) -> Result<u64> {
        let mut cleared = 0;
        loop {
            let batch = timed(async {
                Ok(sqlx::query(statement)
                    .bind(PRUNE_MAX)
                    .execute(&self.pool)
                    .await?
                    .rows_affected())
            })
            .await?;
            cleared += batch;
            if batch < PRUNE_MAX.unsigned_abs() {
                return Ok(cleared);
            }
        }
    }
}
