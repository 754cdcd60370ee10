//! Rollbacks as people read them: the request, the plan and where the run is. Read only.

use domain::{
    chain::hex,
    checklist::CheckCode,
    ledger::LastRollback,
    lifecycle::{Phase, Run},
    name::{Actor, ApplicationName, PlanDigest, RollbackId, Version},
    plan::Plan,
    reason::Reason,
    time::{Millis, Moment},
    verdict::Verdict,
};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    page::{Listed, Page},
    plans,
};

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
    /// What of the checklist the requester says to have done.
    pub ticked: Vec<CheckCode>,
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
    ticked: Vec<String>,
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
    /// A rollback and where it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn rollback_get(&self, id: RollbackId) -> Result<RollbackView> {
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "select q.id, q.application, q.plan_digest, p.body as plan, q.requested_by, q.reason, q.note,
                        q.ticked, q.requested_at, r.state, r.phase, r.seq, r.head, r.proved_at, r.outage_ms, r.ended_at
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
        let within = filter.within.as_ref().map(|names| {
            names
                .iter()
                .map(|n| n.as_str().to_owned())
                .collect::<Vec<_>>()
        });
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

    /// The application's newest rollback that put its target in service, and who else holds what served before.
    ///
    /// # Errors
    /// As every store function.
    pub async fn last_rollback(&self, name: &ApplicationName) -> Result<Option<LastRollback>> {
        type Row = (Uuid, Option<String>, String, Option<String>);
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "with last as (
                     select d.rollback_id, p.body::jsonb ->> 'from' as former, p.body::jsonb ->> 'to' as target
                     from deployment d
                     join rollback q on q.id = d.rollback_id
                     join plan p on p.digest = q.plan_digest
                     where d.application = $1
                     order by d.deployed_at desc, d.id desc limit 1
                 )
                 select rollback_id, former, target,
                     (select h.reason from hold h
                      where h.application = $1 and h.version = former and h.rollback_id is distinct from l.rollback_id
                        and not exists (select from hold_release r where r.hold_id = h.id)
                      order by h.held_at desc limit 1)
                 from last l",
            )
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        let last = |(id, from, to, hold_of_others): Row| {
            let version = |text: String| text.parse().map_err(|error| corrupt("plan", error));
            Ok(LastRollback {
                id: RollbackId(id),
                from: from.map(version).transpose()?,
                to: version(to)?,
                hold_of_others,
            })
        };
        row.map(last).transpose()
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
        Ok(rows
            .into_iter()
            .map(|ms| Millis(ms.max(0).cast_unsigned()))
            .collect())
    }
}

fn verdict(run: &Run) -> (Option<Verdict>, Option<bool>) {
    let verdict = match &run.phase {
        Phase::Ended { verdict } => verdict,
        Phase::AwaitingApproval { .. }
        | Phase::Forward { .. }
        | Phase::Backward { .. }
        | Phase::Watching { .. } => {
            return (None, None);
        }
    };
    let good = match verdict {
        Verdict::RolledBack { good, .. } => Some(*good),
        Verdict::Restored { .. }
        | Verdict::Refused { .. }
        | Verdict::Cancelled { .. }
        | Verdict::NeedsHuman { .. } => None,
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
        reason: row
            .reason
            .parse()
            .map_err(|error: String| corrupt("rollback", error))?,
        note: row.note,
        ticked: row
            .ticked
            .iter()
            .map(|code| code.parse())
            .collect::<std::result::Result<_, String>>()
            .map_err(|error| corrupt("rollback", error))?,
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
        from: row
            .version_from
            .map(|version| version.parse())
            .transpose()
            .map_err(bad)?,
        to: row.version_to.parse().map_err(bad)?,
        requested_by: row.requested_by.parse().map_err(bad)?,
        reason: row
            .reason
            .parse()
            .map_err(|error: String| corrupt("rollback", error))?,
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
