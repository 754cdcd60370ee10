//! What came of each thing that a trigger told us. One decision each, for ever: it is never changed.

use domain::{
    name::{ApplicationName, TriggerName},
    time::Moment,
};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    connect::{Store, timed},
    error::{Result, corrupt},
    page::{Listed, Page},
};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionOutcome {
    /// It is recorded, and nothing was done.
    Recorded,
    /// A deployment was written into the ledger.
    Deployed,
    /// It says nothing that anything is done with.
    Noted,
}

impl DecisionOutcome {
    const ALL: [Self; 3] = [Self::Recorded, Self::Deployed, Self::Noted];

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Deployed => "deployed",
            Self::Noted => "noted",
        }
    }
}

/// A decision to be written.
#[derive(Clone, Debug)]
pub struct NewDecision {
    /// The application that it is about.
    pub application: Option<ApplicationName>,
    /// What came of it.
    pub outcome: DecisionOutcome,
    /// Why, as a stable code.
    pub code: String,
    /// Why, as a sentence.
    pub said: String,
    /// What the message said.
    pub notice: Value,
    /// The entry of the ledger.
    pub deployment: Option<Uuid>,
}

/// A decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Its identity.
    pub id: Uuid,
    /// From which trigger the message was.
    pub trigger: TriggerName,
    /// Which event it told of.
    pub event_id: String,
    /// Which of the things that the message said, from 0.
    pub part: i32,
    /// The application that it is about.
    pub application: Option<ApplicationName>,
    /// What came of it.
    pub outcome: DecisionOutcome,
    /// Why, as a stable code.
    pub code: String,
    /// Why, as a sentence.
    pub said: String,
    /// What the message said.
    pub notice: Value,
    /// The entry of the ledger.
    pub deployment: Option<Uuid>,
    /// When.
    pub decided_at: Moment,
}

/// Which decisions to list.
#[derive(Clone, Debug, Default)]
pub struct DecisionFilter {
    /// Of this trigger only.
    pub trigger: Option<TriggerName>,
    /// About these applications only; about all, and about none that we know, without.
    pub applications: Option<Vec<ApplicationName>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    trigger_name: String,
    event_id: String,
    part: i32,
    application: Option<String>,
    outcome: String,
    code: String,
    said: String,
    notice: Value,
    deployment_id: Option<Uuid>,
    decided_at: OffsetDateTime,
}

impl Store {
    /// Writes what came of a message, one decision for each thing that it said; whether it was not decided before.
    ///
    /// # Errors
    /// As every store function.
    pub async fn decisions_put(
        &self,
        trigger: &TriggerName,
        event_id: &str,
        decisions: &[NewDecision],
    ) -> Result<bool> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let ours = sqlx::query("delete from inbox_due where trigger_name = $1 and event_id = $2")
                .bind(trigger.as_str())
                .bind(event_id)
                .execute(&mut *tx)
                .await?
                .rows_affected();
            if ours == 0 {
                return Ok(false);
            }
            for (part, new) in (0_i32..).zip(decisions) {
                sqlx::query(
                    "insert into decision (id, trigger_name, event_id, part, application, outcome, code, said, notice,
                                           deployment_id)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                     on conflict on constraint decision_once do nothing",
                )
                .bind(Uuid::now_v7())
                .bind(trigger.as_str())
                .bind(event_id)
                .bind(part)
                .bind(new.application.as_ref().map(ApplicationName::as_str))
                .bind(new.outcome.word())
                .bind(&new.code)
                .bind(&new.said)
                .bind(&new.notice)
                .bind(new.deployment)
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// When its sender says that a deployment was made; none for one that no message told of.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployment_told_at(
        &self,
        application: &ApplicationName,
        deployment: Uuid,
    ) -> Result<Option<Moment>> {
        timed(async {
            let told: Option<OffsetDateTime> = sqlx::query_scalar(
                "select max((notice #>> '{deployed,at}')::timestamptz) from decision
                 where application = $1 and deployment_id = $2",
            )
            .bind(application.as_str())
            .bind(deployment)
            .fetch_one(&self.pool)
            .await?;
            Ok(told.map(Moment::from))
        })
        .await
    }

    /// Decisions, newest first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn decision_list(
        &self,
        filter: &DecisionFilter,
        page: &Page<Uuid>,
    ) -> Result<Listed<Decision, Uuid>> {
        let within: Option<Vec<&str>> = filter
            .applications
            .as_ref()
            .map(|names| names.iter().map(ApplicationName::as_str).collect());
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select id, trigger_name, event_id, part, application, outcome, code, said, notice, deployment_id,
                        decided_at
                 from decision
                 where ($1::uuid is null or id < $1) and ($2::text is null or trigger_name = $2)
                   and ($3::text[] is null or application = any($3))
                 order by id desc limit $4",
            )
            .bind(page.after)
            .bind(filter.trigger.as_ref().map(TriggerName::as_str))
            .bind(within)
            .bind(page.fetch())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let items: Result<Vec<Decision>> = rows.into_iter().map(decision).collect();
        Ok(page.listed(items?, |decision| decision.id))
    }
}

fn decision(row: Row) -> Result<Decision> {
    let bad = |error| corrupt("decision", error);
    let outcome = DecisionOutcome::ALL
        .into_iter()
        .find(|outcome| outcome.word() == row.outcome);
    let application = row.application.map(|name| name.parse()).transpose();
    Ok(Decision {
        id: row.id,
        trigger: row.trigger_name.parse().map_err(bad)?,
        event_id: row.event_id,
        part: row.part,
        application: application.map_err(bad)?,
        outcome: outcome.ok_or_else(|| corrupt("decision", "its outcome is not known"))?,
        code: row.code,
        said: row.said,
        notice: row.notice,
        deployment: row.deployment_id,
        decided_at: row.decided_at.into(),
    })
}
