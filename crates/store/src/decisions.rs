//! What came of each thing that a trigger told us. One decision each, for ever: it is never changed.

use std::collections::BTreeSet;

use domain::{
    chain::sha256_hex,
    chat::notice::Notice,
    guard::{self, Guard, GuardAnswer},
    name::{ApplicationName, PlanDigest, RollbackId, TriggerName},
    time::Moment,
};
use serde::Deserialize;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    connect::{Store, timed},
    error::{Result, corrupt},
    notices::{self, Occurrence},
    page::{Listed, Page},
    sessions::Sessions,
    together::all_or_each,
    wake::Topic,
};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionOutcome {
    /// It is recorded, and nothing was done.
    Recorded,
    /// A deployment was written into the ledger.
    Deployed,
    /// It says nothing that anything is done with.
    Noted,
    /// A rollback was started.
    Acted,
    /// A rollback is proposed to people.
    Proposed,
    /// Nothing was done; its trigger is tried out.
    Shadowed,
}

impl DecisionOutcome {
    const ALL: [Self; 6] = [
        Self::Recorded,
        Self::Deployed,
        Self::Noted,
        Self::Acted,
        Self::Proposed,
        Self::Shadowed,
    ];

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Deployed => "deployed",
            Self::Noted => "noted",
            Self::Acted => "acted",
            Self::Proposed => "proposed",
            Self::Shadowed => "shadowed",
        }
    }
}

/// A decision to be written. Serialized it has the names of its columns.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
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
    #[serde(rename = "deployment_id")]
    pub deployment: Option<Uuid>,
    /// The trouble that it is about, of an alert.
    pub episode: Option<String>,
    /// What would have come of it in the mode `auto`.
    pub would_be: Option<String>,
    /// What each guard said.
    pub guards: Option<Value>,
    /// What a person may do next.
    pub next_action: Option<String>,
    /// The plan that is proposed.
    #[serde(rename = "plan_digest")]
    pub plan: Option<PlanDigest>,
    /// The rollback that it started.
    #[serde(rename = "rollback_id")]
    pub rollback: Option<RollbackId>,
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
    /// What was decided.
    pub made: NewDecision,
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
    /// With this outcome only.
    pub outcome: Option<DecisionOutcome>,
}

/// A decision with the place of what it is about.
pub(crate) struct Led<'a> {
    pub(crate) trigger: &'a TriggerName,
    pub(crate) event_id: &'a str,
    pub(crate) part: i32,
    pub(crate) decision: &'a NewDecision,
}

impl Led<'_> {
    /// Writes it. The first decision stays, and the message stays to be decided as a whole.
    pub(crate) async fn write(&self, session: &mut PgConnection) -> Result<()> {
        let new = Numbered {
            id: Uuid::now_v7(),
            trigger_name: self.trigger,
            event_id: self.event_id,
            part: self.part,
            decision: self.decision,
        };
        write(session, &[], &[new]).await?;
        Ok(())
    }
}

/// All that came of one message.
#[derive(Clone, Debug)]
pub struct Message {
    /// From which trigger it was.
    pub trigger: TriggerName,
    /// Which event it told of.
    pub event_id: String,
    /// What came of each thing that it said.
    pub decisions: Vec<NewDecision>,
}

impl Message {
    /// Whether chats are told of it.
    fn is_told(&self) -> bool {
        self.numbered().any(|one| left_to_a_person(&one).is_some())
    }

    fn numbered(&self) -> impl Iterator<Item = Numbered<'_>> {
        let parts = (0_i32..).zip(&self.decisions);
        parts.map(|(part, decision)| Numbered {
            id: Uuid::now_v7(),
            trigger_name: &self.trigger,
            event_id: &self.event_id,
            part,
            decision,
        })
    }
}

#[derive(serde::Serialize)]
pub(crate) struct Numbered<'a> {
    pub(crate) id: Uuid,
    pub(crate) trigger_name: &'a TriggerName,
    pub(crate) event_id: &'a str,
    pub(crate) part: i32,
    #[serde(flatten)]
    pub(crate) decision: &'a NewDecision,
}

/// Writes decisions. Those of whole messages are written if the message waits to be decided, which it does no more then;
/// says which of these did. Without whole messages every decision is written.
pub(crate) async fn write(
    session: &mut PgConnection,
    whole: &[Message],
    decisions: &[Numbered<'_>],
) -> Result<BTreeSet<(String, String)>> {
    let triggers: Vec<&str> = whole.iter().map(|one| one.trigger.as_str()).collect();
    let events: Vec<&str> = whole.iter().map(|one| one.event_id.as_str()).collect();
    let ours: Vec<(String, String)> = sqlx::query_as(
        "with ours as (
             -- By its key: one that is claimed anew meanwhile is waited for and found.
             delete from inbox_due d using unnest($1::text[], $2::text[]) as mine (trigger_name, event_id)
             where d.trigger_name = mine.trigger_name and d.event_id = mine.event_id
             returning d.trigger_name, d.event_id
         ), written as (
             insert into decision (id, trigger_name, event_id, part, application, outcome, code, said, notice,
                                   deployment_id, episode, would_be, guards, next_action, plan_digest, rollback_id)
             select id, trigger_name, event_id, part, application, outcome, code, said, coalesce(notice, 'null'),
                    deployment_id, episode, would_be, guards, next_action, plan_digest, rollback_id
             from jsonb_to_recordset($3) as new (
                 id uuid, trigger_name text, event_id text, part int, application text, outcome text, code text,
                 said text, notice jsonb, deployment_id uuid, episode text, would_be text, guards jsonb,
                 next_action text, plan_digest text, rollback_id uuid)
             where cardinality($1) = 0 or (trigger_name, event_id) in (select trigger_name, event_id from ours)
             on conflict on constraint decision_once do nothing
         )
         select trigger_name, event_id from ours",
    )
    .bind(triggers)
    .bind(events)
    .bind(Json(decisions))
    .fetch_all(session)
    .await?;
    Ok(ours.into_iter().collect())
}

/// Writes what came of messages; whether each was not decided before.
async fn write_some(sessions: &Sessions, messages: &[Message]) -> Result<Vec<bool>> {
    let decisions: Vec<_> = messages.iter().flat_map(Message::numbered).collect();
    let key = |one: &Message| (one.trigger.to_string(), one.event_id.clone());
    let any = decisions.iter().any(|one| left_to_a_person(one).is_some());
    let mut session = sessions.take().await?;
    let ours = match any {
        false => write(&mut session, messages, &decisions).await?,
        true => {
            let mut tx = session.begin().await?;
            let ours = write(&mut tx, messages, &decisions).await?;
            let mine = messages.iter().filter(|one| ours.contains(&key(one)));
            let mine = mine.flat_map(Message::numbered);
            let told = mine.filter_map(|one| left_to_a_person(&one)).collect();
            notices::tell(&mut tx, told).await?;
            tx.commit().await?;
            ours
        }
    };
    sessions.keep(session);
    Ok(messages
        .iter()
        .map(|one| ours.contains(&key(one)))
        .collect())
}

/// What is told of a proposal without a request. One with a request has a card, which came with it.
pub(crate) fn left_to_a_person(one: &Numbered<'_>) -> Option<Occurrence> {
    let made = one.decision;
    match made.outcome {
        DecisionOutcome::Proposed if made.rollback.is_none() => {}
        DecisionOutcome::Proposed
        | DecisionOutcome::Acted
        | DecisionOutcome::Recorded
        | DecisionOutcome::Deployed
        | DecisionOutcome::Noted
        | DecisionOutcome::Shadowed => return None,
    }
    let title = made.notice.get("title").and_then(Value::as_str);
    let notice = Notice::Proposal {
        application: made.application.clone()?,
        trigger: one.trigger_name.clone(),
        title: title.map(ToOwned::to_owned),
        code: made.code.clone(),
        said: made.said.clone(),
        next: made.next_action.clone(),
        calls: calls(made),
    };
    let trigger = one.trigger_name.as_str().as_bytes();
    let event = one.event_id.as_bytes();
    // A sender's key may be long.
    let which = sha256_hex(&[trigger, event, &one.part.to_be_bytes()]);
    Some((format!("proposal/{which}"), notice))
}

/// Whether everybody is called for it. What no guard stood in the way of could not be asked for, and is there all the same.
fn calls(made: &NewDecision) -> bool {
    let answers: Option<Vec<GuardAnswer>> = made
        .guards
        .as_ref()
        .and_then(|guards| Vec::deserialize(guards).ok());
    match made.code.parse::<Guard>() {
        Ok(main) => guard::calls(main, &answers.unwrap_or_default()),
        Err(_) => true,
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    id: Uuid,
    trigger_name: String,
    event_id: String,
    pub(crate) part: i32,
    application: Option<String>,
    outcome: String,
    code: String,
    said: String,
    notice: Value,
    deployment_id: Option<Uuid>,
    episode: Option<String>,
    would_be: Option<String>,
    guards: Option<Value>,
    next_action: Option<String>,
    plan_digest: Option<String>,
    rollback_id: Option<Uuid>,
    decided_at: OffsetDateTime,
}

impl Store {
    /// Writes what came of a message, one decision for each thing that it said; whether it was not decided before. What
    /// comes at once is written in one commit.
    ///
    /// # Errors
    /// As every store function.
    pub async fn decisions_put(
        &self,
        trigger: &TriggerName,
        event_id: &str,
        decisions: Vec<NewDecision>,
    ) -> Result<bool> {
        let message = Message {
            trigger: trigger.clone(),
            event_id: event_id.to_owned(),
            decisions,
        };
        let tells = message.is_told();
        let sessions = self.intake.clone();
        let write = |messages| {
            all_or_each(messages, async move |messages: &[Message]| {
                write_some(&sessions, messages).await
            })
        };
        let new = self.decided.ask(message, 0, write).await?;
        if new && tells {
            self.wake.notify(Topic::Work);
        }
        Ok(new)
    }

    /// The same of messages that were decided at once, in one commit; of each whether it was not decided before.
    pub async fn decisions_put_all(&self, messages: Vec<Message>) -> Vec<Result<bool>> {
        let tells = messages.iter().any(Message::is_told);
        let sessions = self.intake.clone();
        let written = all_or_each(messages, async move |messages: &[Message]| {
            write_some(&sessions, messages).await
        });
        let written = written.await;
        if tells {
            self.wake.notify(Topic::Work);
        }
        written
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
                        episode, would_be, guards, next_action, plan_digest, rollback_id, decided_at
                 from decision
                 where ($1::uuid is null or id < $1) and ($2::text is null or trigger_name = $2)
                   and ($3::text[] is null or application = any($3))
                   and ($5::text is null or outcome = $5)
                 order by id desc limit $4",
            )
            .bind(page.after)
            .bind(filter.trigger.as_ref().map(TriggerName::as_str))
            .bind(within)
            .bind(page.fetch())
            .bind(filter.outcome.map(DecisionOutcome::word))
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let items: Result<Vec<Decision>> = rows.into_iter().map(decision).collect();
        Ok(page.listed(items?, |decision| decision.id))
    }
}

pub(crate) fn decision(row: Row) -> Result<Decision> {
    let bad = |error| corrupt("decision", error);
    let outcome = DecisionOutcome::ALL
        .into_iter()
        .find(|outcome| outcome.word() == row.outcome);
    let application = row.application.map(|name| name.parse()).transpose();
    let plan = row.plan_digest.map(|digest| digest.parse()).transpose();
    Ok(Decision {
        id: row.id,
        trigger: row.trigger_name.parse().map_err(bad)?,
        event_id: row.event_id,
        part: row.part,
        made: NewDecision {
            application: application.map_err(bad)?,
            outcome: outcome.ok_or_else(|| corrupt("decision", "its outcome is not known"))?,
            code: row.code,
            said: row.said,
            notice: row.notice,
            deployment: row.deployment_id,
            episode: row.episode,
            would_be: row.would_be,
            guards: row.guards,
            next_action: row.next_action,
            plan: plan.map_err(bad)?,
            rollback: row.rollback_id.map(RollbackId),
        },
        decided_at: row.decided_at.into(),
    })
}
