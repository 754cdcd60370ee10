//! The log of a rollback, read: its events, and whether it still is what was written.

use domain::{
    chain::{self, Entry, Link},
    lifecycle::{Event, Run},
    name::{Actor, Fence, RollbackId},
    plan::Plan,
    time::Moment,
};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    page::PAGE_MAX,
    plans,
};

/// One event as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Position, from 1.
    pub seq: i32,
    /// The fence it was written under.
    pub fence: Fence,
    /// When.
    pub at: Moment,
    /// Who caused it.
    pub actor: Actor,
    /// What.
    pub event: Event,
    /// Its link.
    pub hash: Link,
}

/// What checking a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The chain holds, and folding the log gives the state that is kept beside it.
    Ok {
        /// How many events were checked.
        events: i32,
    },
    /// It is not what was written.
    Broken {
        /// The first event that is wrong or missing.
        seq: i32,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(sqlx::FromRow)]
struct Row {
    seq: i32,
    fence: i64,
    at: OffsetDateTime,
    actor: String,
    body: String,
    hash: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct Cached {
    seq: i32,
    head: Vec<u8>,
    state: Json<Run>,
    plan_digest: String,
    plan: String,
}

impl Store {
    /// Events after a position, oldest first; at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// As every store function.
    pub async fn events(
        &self,
        id: RollbackId,
        after_seq: i32,
        limit: u32,
    ) -> Result<Vec<StoredEvent>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select seq, fence, at, actor, body, hash from rollback_event
                 where rollback_id = $1 and seq > $2 order by seq limit $3",
            )
            .bind(id.0)
            .bind(after_seq)
            .bind(i64::from(limit.clamp(1, PAGE_MAX)))
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        rows.into_iter().map(stored).collect()
    }

    /// Folds the log from its beginning and compares the chain and the state with what is kept.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn verify(&self, id: RollbackId) -> Result<Verified> {
        // One snapshot for the run and its events: it may be written to while it is checked.
        let snapshot = "begin isolation level repeatable read read only";
        let mut tx = timed(async { Ok(self.pool.begin_with(snapshot).await?) }).await?;
        let cached = timed(cached(&mut tx, id.0)).await?;
        let mut check = Check {
            plan: plans::parse(&cached.plan_digest, &cached.plan)?,
            link: chain::root(id),
            run: None,
            seq: 0,
        };
        loop {
            let rows = timed(page(&mut tx, id.0, check.seq)).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                if let Err(why) = check.take(&row) {
                    return Ok(Verified::Broken {
                        seq: check.seq + 1,
                        why,
                    });
                }
            }
        }
        Ok(check.against(&cached))
    }
}

async fn cached(session: &mut PgConnection, id: Uuid) -> Result<Cached> {
    let row: Option<Cached> = sqlx::query_as(
        "select r.seq, r.head, r.state, q.plan_digest, p.body as plan
         from rollback_run r join rollback q on q.id = r.rollback_id join plan p on p.digest = q.plan_digest
         where r.rollback_id = $1",
    )
    .bind(id)
    .fetch_optional(session)
    .await?;
    row.ok_or(Error::NotFound("rollback"))
}

async fn page(session: &mut PgConnection, id: Uuid, after: i32) -> Result<Vec<Row>> {
    // A thousand events are less than a MiB, and a log of any length is checked in that much memory.
    Ok(sqlx::query_as(
        "select seq, fence, at, actor, body, hash from rollback_event
         where rollback_id = $1 and seq > $2 order by seq limit 1000",
    )
    .bind(id)
    .bind(after)
    .fetch_all(session)
    .await?)
}

/// A log read so far.
struct Check {
    plan: Plan,
    link: Link,
    run: Option<Run>,
    seq: i32,
}

impl Check {
    fn take(&mut self, row: &Row) -> Result<(), String> {
        if row.seq != self.seq + 1 {
            return Err(format!("it is missing; the next one is {}", row.seq));
        }
        let at = Moment::from(row.at);
        let entry = Entry {
            seq: row.seq,
            fence: Fence(row.fence),
            at,
            actor: &row.actor,
            body: &row.body,
        };
        let link = chain::link(&self.link, &entry);
        if link.as_slice() != row.hash {
            return Err("it was changed after it was written".to_owned());
        }
        let event: Event = serde_json::from_str(&row.body).map_err(|error| error.to_string())?;
        let run = match self.run.take() {
            None => Run::requested(&event, at),
            Some(run) => run.evolve(&self.plan, &event, at),
        };
        self.run = Some(run.map_err(|error| error.to_string())?);
        self.link = link;
        self.seq = row.seq;
        Ok(())
    }

    fn against(self, cached: &Cached) -> Verified {
        let broken = |seq: i32, why: &str| Verified::Broken {
            seq,
            why: why.to_owned(),
        };
        if self.seq < cached.seq {
            return broken(self.seq + 1, "it is missing, and so is everything after it");
        }
        if self.seq > cached.seq {
            return broken(cached.seq + 1, "the run does not know of it");
        }
        if self.link.as_slice() != cached.head {
            return broken(
                self.seq,
                "the run's head is another: the whole log was written anew",
            );
        }
        if self.run.as_ref() != Some(&cached.state.0) {
            return broken(self.seq, "folding the log does not give the run's state");
        }
        Verified::Ok { events: self.seq }
    }
}

fn stored(row: Row) -> Result<StoredEvent> {
    Ok(StoredEvent {
        seq: row.seq,
        fence: Fence(row.fence),
        at: Moment::from(row.at),
        actor: row.actor.parse().map_err(|error| corrupt("event", error))?,
        event: serde_json::from_str(&row.body).map_err(|error| corrupt("event", error))?,
        hash: row
            .hash
            .try_into()
            .map_err(|_| corrupt("event", "its hash has another length"))?,
    })
}
