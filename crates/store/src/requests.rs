//! Requests for rollbacks. Intent only: it never advances a run.

use domain::{
    chain::{self, Entry, Link},
    checklist::CheckCode,
    lifecycle::{Event, Run},
    name::{Actor, ApplicationName, Fence, RollbackId},
    plan::Plan,
    reason::Reason,
    time::Moment,
};
use serde_json::json;
use sqlx::{PgConnection, PgTransaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    applications::acting,
    audit, automatic,
    connect::{Store, timed},
    decisions::Led,
    error::{Constraint, Error, Result, corrupt},
    occasions,
    rollbacks::RollbackView,
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
    /// What of the checklist the requester says to have done.
    pub ticked: Vec<CheckCode>,
    /// The client's key.
    pub idempotency: Idempotency,
    /// Until when approval is waited for; none needed without.
    pub approval_until: Option<Moment>,
    /// Why it starts without the approval that its definition asks for.
    pub break_glass: Option<String>,
    /// When.
    pub at: Moment,
}

impl NewRollback<'_> {
    /// The rollback as it is right after it was accepted.
    ///
    /// # Errors
    /// [`Error::Corrupt`], which would be a defect of ours; the request would be refused with the same.
    pub fn as_accepted(&self) -> Result<RollbackView> {
        let first = First::of(self)?;
        Ok(RollbackView {
            id: self.id,
            application: self.plan.application.name.clone(),
            plan_digest: self.plan.digest(),
            plan: self.plan.clone(),
            requested_by: self.requested_by.clone(),
            reason: self.reason,
            note: self.note.clone(),
            ticked: self.ticked.clone(),
            requested_at: self.at,
            phase: first.run.phase.word().to_owned(),
            run: first.run,
            seq: 1,
            head: chain::hex(&first.head),
            proved_at: None,
            outage: None,
            verdict: None,
            good: None,
            ended_at: None,
        })
    }
}

/// A run with nothing but its first event.
struct First {
    run: Run,
    body: String,
    head: Link,
}

impl First {
    fn of(ask: &NewRollback<'_>) -> Result<Self> {
        let event = Event::Requested {
            approval_until: ask.approval_until,
            break_glass: ask.break_glass.clone(),
        };
        let run = Run::requested(&event, ask.at).map_err(|error| corrupt("first event", error))?;
        let body = serde_json::to_string(&event).map_err(|error| corrupt("first event", error))?;
        let entry = Entry {
            seq: 1,
            fence: Fence(0),
            at: ask.at,
            actor: ask.requested_by.as_str(),
            body: &body,
        };
        let head = chain::link(&chain::root(ask.id), &entry);
        Ok(Self { run, body, head })
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// It was accepted.
    New,
    /// The same request was accepted before, as this rollback.
    Replayed(RollbackId),
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
        requested
            .map(|requested| self.accepted(requested))
            .ok_or_else(|| Error::Unavailable(vanished.into()))
    }

    pub(crate) fn accepted(&self, requested: Requested) -> Requested {
        if requested == Requested::New {
            self.announce(Topic::Work);
            self.wake.notify(Topic::Events);
        }
        requested
    }

    /// None when the rollback in the way ended between our insert and our look for its name.
    async fn request_once(&self, ask: &NewRollback<'_>) -> Result<Option<Requested>> {
        self.request_in(self.pool.begin().await?, ask, None).await
    }

    /// The request, as the end of a transaction that may have looked at things before. None when the rollback in the way
    /// ended between our insert and our look for its name.
    pub(crate) async fn request_in(
        &self,
        mut tx: PgTransaction<'_>,
        ask: &NewRollback<'_>,
        led: Option<&Led<'_>>,
    ) -> Result<Option<Requested>> {
        match write(&mut tx, ask).await {
            Ok(requested) => {
                if let (Requested::New, Some(led)) = (requested, led) {
                    led.write(&mut tx).await?;
                }
                tx.commit().await?;
                Ok(Some(requested))
            }
            Err(Error::Conflict(Constraint::Rule(rule))) if rule == "rollback_one_acting" => {
                tx.rollback().await?;
                let name = &ask.plan.application.name;
                match acting(&mut *self.pool.acquire().await?, name).await? {
                    Some(active) => Err(Error::Conflict(Constraint::OneActing { active })),
                    None => Ok(None),
                }
            }
            Err(error) => Err(error),
        }
    }
}

async fn write(tx: &mut PgTransaction<'_>, ask: &NewRollback<'_>) -> Result<Requested> {
    if let Some(earlier) = replayed(tx, ask).await? {
        return Ok(Requested::Replayed(earlier));
    }
    let name = &ask.plan.application.name;
    lock_application(tx, name).await?;
    if ask.requested_by.is_automatic() {
        must_be_on(tx, name).await?;
    }
    insert_rollback(tx, ask).await?;
    insert_run(tx, ask).await?;
    // After the insert: whoever acted until then is watching now, and visible.
    supersede(tx, ask).await?;
    let detail = json!({"plan": ask.plan.digest(), "reason": ask.reason, "note": ask.note, "ticked": ask.ticked,
        "break_glass": ask.break_glass, "application": name});
    let object = format!("rollback/{}", ask.id);
    audit::enter(tx, &ask.requested_by, "rollback.request", &object, detail).await?;
    occasions::announce(tx, ask).await?;
    Ok(Requested::New)
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
    let (hash, rollback): (Vec<u8>, Uuid) = sqlx::query_as(
        "select body_hash, rollback_id from idempotency where principal = $1 and key = $2",
    )
    .bind(&key.principal)
    .bind(&key.key)
    .fetch_one(&mut **tx)
    .await?;
    if hash == key.body_hash {
        Ok(Some(RollbackId(rollback)))
    } else {
        Err(Error::IdempotencyMismatch)
    }
}

/// A share lock: requests do not wait for each other, a removal does.
async fn lock_application(tx: &mut PgTransaction<'_>, name: &ApplicationName) -> Result<()> {
    let there: Option<i32> = sqlx::query_scalar(
        "select 1 from application where name = $1 and removed_at is null for share",
    )
    .bind(name.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    there.map(|_| ()).ok_or(Error::NotFound("application"))
}

/// What nobody asked for is not accepted while it is switched off.
async fn must_be_on(tx: &mut PgTransaction<'_>, name: &ApplicationName) -> Result<()> {
    let switches = automatic::until_commit(tx, name).await?;
    match switches.everywhere.or(switches.here) {
        None => Ok(()),
        Some(off) => Err(Error::Conflict(Constraint::AutomaticOff {
            by: off.by,
            reason: off.reason,
        })),
    }
}

async fn insert_rollback(tx: &mut PgConnection, ask: &NewRollback<'_>) -> Result<()> {
    sqlx::query(
        "insert into rollback (id, application, plan_digest, requested_by, reason, note, requested_at, ticked)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(ask.id.0)
    .bind(ask.plan.application.name.as_str())
    .bind(ask.plan.digest().as_str())
    .bind(ask.requested_by.as_str())
    .bind(ask.reason.word())
    .bind(&ask.note)
    .bind(OffsetDateTime::from(ask.at))
    .bind(ask.ticked.iter().map(|code| code.word()).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// The run and its first event in one statement.
async fn insert_run(tx: &mut PgConnection, ask: &NewRollback<'_>) -> Result<()> {
    let First { run, body, head } = First::of(ask)?;
    let state = serde_json::to_string(&run).map_err(|error| corrupt("run", error))?;
    sqlx::query(
        "with run as (
             insert into rollback_run (rollback_id, application, phase, acts, state, seq, head, wake_at, plan_format)
             values ($1, $2, $3, $4, $5::json, 1, $6, coalesce($7, now()), $8)
             returning rollback_id, seq, fence, head
         )
         insert into rollback_event (rollback_id, seq, fence, at, actor, body, hash)
         select rollback_id, seq, fence, $9, $10, $11, head from run",
    )
    .bind(ask.id.0)
    .bind(ask.plan.application.name.as_str())
    .bind(run.phase.word())
    .bind(run.phase.acts())
    .bind(state)
    .bind(head.as_slice())
    .bind(ask.approval_until.map(OffsetDateTime::from))
    .bind(ask.plan.format)
    .bind(OffsetDateTime::from(ask.at))
    .bind(ask.requested_by.as_str())
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
