//! What the guards go by, as far as it is in the ledger and the logs. It looks at no engine, and it decides nothing.

use domain::{
    application::Application,
    guard::{Asker, Facts, NewestDeployment, Recent, Subject, TriggerFacts, underway},
    hold::Marks,
    name::{Actor, ApplicationName, RollbackId, TriggerName, Version},
    seen::Seen,
    time::Moment,
    trigger::{Trigger, alert::Alert},
};
use sqlx::{PgConnection, PgTransaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    automatic,
    connect::{Store, timed},
    decisions::{DecisionOutcome, Led, NewDecision},
    error::{Error, Result, corrupt},
    ledger::kind,
    overrides, releases,
    requests::{NewRollback, Requested},
    said::{deployment_words, episode},
    windows,
};

/// Held by whoever lets a rollback through by itself, from its last look at what was rolled back to its request: caps over
/// all applications need one lock for all.
const DECIDE_LOCK: i64 = i64::from_be_bytes(*b"SternDec");
/// Most rollbacks of a day that are looked at.
const RECENT_MAX: i64 = 500;

/// What an alert is about, for the facts.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The trigger that told it.
    pub trigger: &'a Trigger,
    /// The event that it came with.
    pub event_id: &'a str,
    /// What it says.
    pub alert: &'a Alert,
    /// When it came.
    pub received_at: Moment,
    /// The application that it is about.
    pub application: &'a Application,
}

/// The right to let a rollback through by itself: nobody else has it until this ends, and nobody switches automatic
/// rollbacks off meanwhile. Dropped, it is given back.
pub struct Deciding {
    store: Store,
    trigger: TriggerName,
    tx: PgTransaction<'static>,
}

impl std::fmt::Debug for Deciding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Deciding").finish_non_exhaustive()
    }
}

impl Deciding {
    /// The facts as they stay until this ends, messages that wait included.
    ///
    /// # Errors
    /// As every store function.
    pub async fn facts(&mut self, told: &Told<'_>) -> Result<Facts> {
        timed(async {
            let name = &told.application.name;
            automatic::until_commit(&mut self.tx, name).await?;
            let mut facts = of_ledger(&mut self.tx, told).await?;
            facts.episode = Seen::Known(episode(&mut self.tx, told, true).await?);
            Ok(facts)
        })
        .await
    }

    /// Why a release is held, and why it is insecure, at this moment.
    ///
    /// # Errors
    /// As every store function.
    pub async fn marks(
        &mut self,
        application: &ApplicationName,
        version: &Version,
    ) -> Result<Marks> {
        timed(releases::marks(&mut self.tx, application, version)).await
    }

    /// Asks for the rollback, writes the decision that led to it, and gives the right back, in one commit.
    ///
    /// # Errors
    /// As [`Store::rollback_request`]; [`Error::NotFound`] with `message` when that is decided already;
    /// [`Error::Unavailable`] when it should be decided again.
    pub async fn request(
        self,
        ask: &NewRollback<'_>,
        event_id: &str,
        part: i32,
        decision: &NewDecision,
    ) -> Result<Requested> {
        let led = Led {
            trigger: &self.trigger,
            event_id,
            part,
            decision,
        };
        let (store, mut tx) = (self.store, self.tx);
        let requested = timed(async {
            // Whoever took so long that another one decided the message has no word any more.
            let open: Option<i32> = sqlx::query_scalar(
                "select 1 from inbox_due where trigger_name = $1 and event_id = $2 for share",
            )
            .bind(led.trigger.as_str())
            .bind(event_id)
            .fetch_optional(&mut *tx)
            .await?;
            open.ok_or(Error::NotFound("message"))?;
            store.request_in(tx, ask, Some(&led)).await
        });
        let requested = requested.await?;
        let vanished = "the rollback in the way ends at this moment";
        requested
            .map(|requested| store.accepted(requested))
            .ok_or_else(|| Error::Unavailable(vanished.into()))
    }
}

impl Store {
    /// Waits for the right to let a rollback through by itself.
    ///
    /// # Errors
    /// [`Error::Busy`] after two seconds, or as every store function.
    pub async fn deciding(&self, trigger: &TriggerName) -> Result<Deciding> {
        timed(async {
            let mut tx = self.intake.begin().await?;
            // In a statement of its own: what is read next sees what was committed while it waited.
            sqlx::query("select pg_advisory_xact_lock($1)")
                .bind(DECIDE_LOCK)
                .execute(&mut *tx)
                .await?;
            Ok(Deciding {
                store: self.clone(),
                trigger: trigger.clone(),
                tx,
            })
        })
        .await
    }

    /// What the guards go by and nobody has to look at an engine for, without messages that wait: enough to say no to most
    /// of a storm.
    ///
    /// # Errors
    /// As every store function.
    pub async fn facts(&self, told: &Told<'_>) -> Result<Facts> {
        timed(async {
            let mut session = self.intake.take().await?;
            let facts = of_ledger(&mut session, told).await?;
            self.intake.keep(session);
            Ok(facts)
        })
        .await
    }
}

async fn of_ledger(session: &mut PgConnection, told: &Told<'_>) -> Result<Facts> {
    let not_looked = || "it was not looked at".to_owned();
    let name = &told.application.name;
    let newest = deployment_newest(session, name).await?;
    let since = newest.as_ref().map(|newest| newest.at);
    let stored = windows::of(session, Some(name)).await?;
    let overrides = overrides::of(session, name).await?;
    Ok(Facts {
        trigger: TriggerFacts {
            name: told.trigger.name.to_string(),
            trust: told.trigger.trusted(),
            doubt: told.trigger.doubt(),
            mode: told.trigger.mode,
            severities: told.trigger.severities.clone(),
        },
        alert: told.alert.clone(),
        received_at: told.received_at,
        application: Seen::Known(Subject {
            name: name.clone(),
            approval: told.application.approval,
        }),
        switches: Seen::Known(automatic::read(session, name).await?),
        episode: Seen::Known(episode(session, told, false).await?),
        opinion: Seen::Unknown(not_looked()),
        underway: underway(
            &deployment_words(session, told.application).await?,
            newest.as_ref(),
        ),
        deployment: newest.map_or(Seen::Absent, Seen::Known),
        target: Seen::Unknown(not_looked()),
        rollbacks: Seen::Known(rollbacks_recent(session, name, since).await?),
        windows: Seen::Known(stored.into_iter().map(|stored| stored.window).collect()),
        overrides: overrides.into_iter().map(|stored| stored.given).collect(),
    })
}

/// The newest entry of the ledger that counts. What was detected before it was told of was there then.
async fn deployment_newest(
    session: &mut PgConnection,
    name: &ApplicationName,
) -> Result<Option<NewestDeployment>> {
    let row: Option<(Uuid, String, String, OffsetDateTime, String, bool)> = sqlx::query_as(
        "select d.id, d.version, d.kind,
                least(d.deployed_at, (
                    select min(m.deployed_at) from deployment m join deployment_fact mf on mf.deployment_id = m.id
                    where mf.merged_into = d.id
                )), f.state, f.seen_at is not null
         from deployment d join deployment_fact f on f.deployment_id = d.id
         where d.application = $1 and f.state <> 'refused' and f.merged_into is null
         order by d.deployed_at desc, d.id desc limit 1",
    )
    .bind(name.as_str())
    .fetch_optional(session)
    .await?;
    let Some((id, version, word, at, state, seen)) = row else {
        return Ok(None);
    };
    let version = version.parse();
    Ok(Some(NewestDeployment {
        id,
        version: version.map_err(|error| corrupt("deployment", error))?,
        kind: kind(&word)?,
        at: at.into(),
        finished: state != "resolving",
        seen,
    }))
}

/// Rollbacks that act or were asked for within a day, and those of this application since then; without those that ended
/// before they did anything, such as a proposal that nobody accepted. What an alert started counts even so: in a storm the
/// next alert would start the next one.
async fn rollbacks_recent(
    session: &mut PgConnection,
    name: &ApplicationName,
    since: Option<Moment>,
) -> Result<Vec<Recent>> {
    let rows: Vec<RecentRow> = sqlx::query_as(
        "select b.id, b.application, b.plan_digest, b.requested_by, b.requested_at, r.acts, r.phase,
                coalesce(r.proved_at, r.ended_at) as rested_at,
                r.acts or r.state->>'touched_at' is not null as touched, asked.episode,
                asked.outcome as asked, undone.id as undid, undone.version as left_version
         from rollback b join rollback_run r on r.rollback_id = b.id
         left join lateral (
             select d.episode, d.outcome from decision d where d.rollback_id = b.id order by d.id limit 1
         ) asked on true
         left join lateral (
             select coalesce(f.merged_into, d.id) as id, d.version
             from deployment d join deployment_fact f on f.deployment_id = d.id
             where d.application = b.application and d.deployed_at <= b.requested_at and f.state <> 'refused'
               and (r.acts or r.state->>'touched_at' is not null)
             order by d.deployed_at desc, d.id desc limit 1
         ) undone on true
         where r.acts or ((r.state->>'acted_at' is not null or asked.outcome = 'acted')
                          and (b.requested_at > now() - interval '24 hours'
                               or (b.application = $1 and b.requested_at >= $2)))
         order by b.id desc limit $3",
    )
    .bind(name.as_str())
    .bind(since.map(OffsetDateTime::from))
    .bind(RECENT_MAX)
    .fetch_all(session)
    .await?;
    rows.into_iter().map(recent).collect()
}

#[derive(sqlx::FromRow)]
struct RecentRow {
    id: Uuid,
    application: String,
    plan_digest: String,
    requested_by: String,
    requested_at: OffsetDateTime,
    acts: bool,
    phase: String,
    rested_at: Option<OffsetDateTime>,
    episode: Option<String>,
    asked: Option<String>,
    touched: bool,
    undid: Option<Uuid>,
    left_version: Option<String>,
}

fn recent(row: RecentRow) -> Result<Recent> {
    let bad = |error| corrupt("rollback", error);
    let requested_by: Actor = row.requested_by.parse().map_err(bad)?;
    let by = match (requested_by.is_trigger(), requested_by.is_automatic()) {
        (true, _) => Asker::Trigger,
        (false, true) => Asker::Watcher,
        (false, false) => Asker::Person,
    };
    let rested_at = row.rested_at.filter(|_| !row.acts).map(Moment::from);
    if !row.acts && rested_at.is_none() {
        return Err(corrupt("rollback", "it rests since nobody knows when"));
    }
    let awaits = row.acts && row.phase == "awaiting_approval";
    let was_proposed = row.asked.as_deref() == Some(DecisionOutcome::Proposed.word());
    Ok(Recent {
        rollback: RollbackId(row.id),
        application: row.application.parse().map_err(bad)?,
        plan: Some(row.plan_digest.parse().map_err(bad)?),
        awaits,
        accepted: by == Asker::Trigger && was_proposed && !awaits,
        by,
        asked_at: row.requested_at.into(),
        rested_at,
        episode: row.episode,
        undid: row.undid,
        touched: row.touched,
        left: row
            .left_version
            .map(|version| version.parse())
            .transpose()
            .map_err(|error| corrupt("deployment", error))?,
        trigger: requested_by.trigger().map(ToOwned::to_owned),
    })
}
