//! What else was said of what an alert is about: of its trouble, and of deployments.

use std::time::Duration;

use domain::{
    application::Application,
    guard::{DeploymentWord, EpisodeFacts, EpisodeState, Policy, Word},
    name::TriggerName,
    time::Moment,
    trigger::{
        Headers, Trigger,
        alert::{Alert, Notice},
        message,
        sort::led,
    },
};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;

use crate::{error::Result, evidence::Told};

/// Most messages that wait among which the end of a trouble is looked for, the newest, and most bytes of them: in a storm
/// they are many.
const WAITING_MAX: i64 = 200;
const WAITING_BYTES_MAX: i64 = 8 << 20;
/// Most earlier words on one trouble.
const STATES_MAX: i64 = 200;
/// Most words on earlier episodes of a trouble that comes again.
const EARLIER_MAX: i64 = 50;
/// Most words on deployments of an application: the newest ones tell whether one is under way.
const DEPLOYMENT_WORDS_MAX: i64 = 50;

/// What else was said of the trouble: by messages that are decided, and by those that wait.
pub(crate) async fn episode(
    session: &mut PgConnection,
    told: &Told<'_>,
    backlog: bool,
) -> Result<EpisodeFacts> {
    let (name, key) = (&told.trigger.name, &told.alert.episode);
    let mut words = words(session, told).await?;
    let mut earlier = earlier(session, name, told.alert).await?;
    let waiting = match backlog {
        true => waiting(session, name, told.event_id).await?,
        false => Vec::new(),
    };
    for waiting in waiting {
        let before =
            (waiting.received_at, waiting.event_id.as_str()) < (told.received_at, told.event_id);
        for alert in alerts(told.trigger, &waiting) {
            if alert.episode != *key {
                let again = alert.recurs.is_some() && alert.recurs == told.alert.recurs;
                earlier.extend(again.then(|| state(&alert)));
                continue;
            }
            let (application, begins) = led(told.trigger, &alert);
            words.push(Word {
                event: waiting.event_id.clone(),
                alert,
                application,
                ours: waiting.received_at,
                leads: before && begins,
            });
        }
    }
    Ok(EpisodeFacts::of(
        told.alert,
        told.received_at,
        words,
        earlier,
    ))
}

/// What messages that are decided said of the trouble.
async fn words(session: &mut PgConnection, told: &Told<'_>) -> Result<Vec<Word>> {
    let rows: Vec<(String, String, Option<String>, Value, OffsetDateTime)> = sqlx::query_as(
        "select event_id, outcome, application, notice, decided_at from decision
         where trigger_name = $1 and episode = $2 and event_id <> $4 and decided_at > now() - interval '24 hours'
         order by id desc limit $3",
    )
    .bind(told.trigger.name.as_str())
    .bind(&told.alert.episode)
    .bind(STATES_MAX)
    .bind(told.event_id)
    .fetch_all(session)
    .await?;
    // What another program wrote in another form tells nothing.
    let word = |(event, outcome, application, notice, at): (
        String,
        String,
        Option<String>,
        Value,
        OffsetDateTime,
    )| {
        Some(Word {
            event,
            alert: serde_json::from_value(notice).ok()?,
            application: application.and_then(|name| name.parse().ok()),
            ours: at.into(),
            leads: matches!(outcome.as_str(), "acted" | "proposed"),
        })
    };
    Ok(rows.into_iter().filter_map(word).collect())
}

/// What a message that waits tells of. Routes, whose rules take a while, are only asked about those that matter.
fn alerts(trigger: &Trigger, waiting: &Waiting) -> Vec<Alert> {
    let (kind, settings) = (trigger.kind, &trigger.settings);
    match message::read(kind, settings, &waiting.headers, &waiting.body) {
        Ok(Notice::Alerts(alerts)) => alerts,
        Ok(Notice::Ping | Notice::Other { .. } | Notice::Deployed(_)) | Err(_) => Vec::new(),
    }
}

/// What was said of earlier episodes of a trouble that comes again under another key each time.
async fn earlier(
    session: &mut PgConnection,
    trigger: &TriggerName,
    alert: &Alert,
) -> Result<Vec<EpisodeState>> {
    let Some(recurs) = &alert.recurs else {
        return Ok(Vec::new());
    };
    let notices: Vec<Value> = sqlx::query_scalar(
        "select notice from decision
         where trigger_name = $1 and notice ->> 'recurs' = $2 and episode is distinct from $3
           and decided_at > now() - interval '1 hour'
         order by id desc limit $4",
    )
    .bind(trigger.as_str())
    .bind(recurs)
    .bind(&alert.episode)
    .bind(EARLIER_MAX)
    .fetch_all(session)
    .await?;
    let read = notices.into_iter().filter_map(|notice| {
        let alert: Alert = serde_json::from_value(notice).ok()?;
        Some(state(&alert))
    });
    Ok(read.collect())
}

fn state(alert: &Alert) -> EpisodeState {
    EpisodeState {
        at: alert.occurred_at,
        state: alert.state,
    }
}

async fn waiting(
    session: &mut PgConnection,
    trigger: &TriggerName,
    but: &str,
) -> Result<Vec<Waiting>> {
    let rows: Vec<WaitingRow> = sqlx::query_as(
        "select event_id, headers, body, received_at from (
             select newest.*, sum(octet_length(body)) over (order by received_at desc, event_id) as bytes from (
                 select i.event_id, i.headers, i.body, i.received_at
                 from inbox_due d join inbox i on i.trigger_name = d.trigger_name and i.event_id = d.event_id
                 where d.trigger_name = $1 and d.event_id <> $2
                 order by i.received_at desc, i.event_id limit $3
             ) newest
         ) measured where bytes <= $4",
    )
    .bind(trigger.as_str())
    .bind(but)
    .bind(WAITING_MAX)
    .bind(WAITING_BYTES_MAX)
    .fetch_all(session)
    .await?;
    let waiting = |row: WaitingRow| Waiting {
        event_id: row.event_id,
        headers: row.headers.0,
        body: row.body,
        received_at: row.received_at.into(),
    };
    Ok(rows.into_iter().map(waiting).collect())
}

/// What was told of deployments of the application, as far back as one can be the cause of anything; not those of another
/// environment that began.
pub(crate) async fn deployment_words(
    session: &mut PgConnection,
    application: &Application,
) -> Result<Vec<DeploymentWord>> {
    let cause_max = Policy::of(&application.guards).cause_max;
    let rows: Vec<(String, Value, OffsetDateTime)> = sqlx::query_as(
        "select trigger_name, notice -> 'deployed', decided_at from decision
         where application = $1 and notice ? 'deployed' and decided_at > now() - make_interval(secs => $2)
           and code <> 'other_environment'
         order by decided_at desc limit $3",
    )
    .bind(application.name.as_str())
    .bind(Duration::from_millis(cause_max.0).as_secs_f64())
    .bind(DEPLOYMENT_WORDS_MAX)
    .fetch_all(session)
    .await?;
    // What another program wrote in another form tells nothing.
    let word = |(trigger, told, at): (String, Value, OffsetDateTime)| {
        Some(DeploymentWord {
            trigger,
            told: serde_json::from_value(told).ok()?,
            told_at: at.into(),
        })
    };
    Ok(rows.into_iter().filter_map(word).collect())
}

struct Waiting {
    event_id: String,
    headers: Headers,
    body: Vec<u8>,
    received_at: Moment,
}

#[derive(sqlx::FromRow)]
struct WaitingRow {
    event_id: String,
    headers: Json<Headers>,
    body: Vec<u8>,
    received_at: OffsetDateTime,
}
