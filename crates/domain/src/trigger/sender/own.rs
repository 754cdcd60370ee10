//! Our own kinds of messages, in whatever envelope: `deploy.started|succeeded|failed` and `alert.firing|acknowledged|resolved`.

use serde_json::Value;

use crate::{
    time::Moment,
    trigger::{
        alert::{Alert, AlertState, Deployed, DeployedState, Notice},
        field::{labels, moment, text},
        message::{Unreadable, needed},
    },
};

/// What the data of a message of this kind says. `key` is the event's own identity, `sent_at` when it was sent.
pub(crate) fn read(
    kind: &str,
    data: &Value,
    key: &str,
    sent_at: Option<Moment>,
) -> Result<Notice, Unreadable> {
    match kind {
        "deploy.started" => deployed(DeployedState::Started, data, key, sent_at),
        "deploy.succeeded" => deployed(DeployedState::Succeeded, data, key, sent_at),
        "deploy.failed" => deployed(DeployedState::Failed, data, key, sent_at),
        "alert.firing" => alert(AlertState::Firing, data, sent_at),
        "alert.acknowledged" => alert(AlertState::Acknowledged, data, sent_at),
        "alert.resolved" => alert(AlertState::Resolved, data, sent_at),
        "ping" => Ok(Notice::Ping),
        other => Ok(Notice::Other {
            kind: other.chars().take(128).collect(),
        }),
    }
}

fn deployed(
    state: DeployedState,
    data: &Value,
    key: &str,
    sent_at: Option<Moment>,
) -> Result<Notice, Unreadable> {
    let at = moment(data, "/at").or(sent_at).ok_or_else(no_time)?;
    Ok(Notice::Deployed(Box::new(Deployed {
        key: text(data, "/id").unwrap_or_else(|| key.to_owned()),
        state,
        service: needed(text(data, "/service"), "data.service")?,
        environment: text(data, "/environment"),
        version: text(data, "/version"),
        commit: text(data, "/commit"),
        image: text(data, "/image").or_else(|| text(data, "/image_digest")),
        images: labels(data.pointer("/images")),
        actor: text(data, "/actor"),
        url: text(data, "/url"),
        at,
    })))
}

fn alert(state: AlertState, data: &Value, sent_at: Option<Moment>) -> Result<Notice, Unreadable> {
    let started_at = moment(data, "/started_at")
        .or(sent_at)
        .ok_or_else(no_time)?;
    let occurred_at = moment(data, "/occurred_at")
        .or(sent_at)
        .unwrap_or(started_at);
    let episode = needed(text(data, "/key"), "data.key")?;
    Ok(Notice::Alerts(vec![Alert {
        ours: episode.starts_with("rbk:"),
        state,
        title: text(data, "/title").unwrap_or_else(|| episode.clone()),
        episode,
        recurs: None,
        url: text(data, "/url"),
        severity: text(data, "/severity"),
        service: text(data, "/service"),
        labels: labels(data.pointer("/labels")),
        version: text(data, "/version"),
        started_at,
        occurred_at: occurred_at.max(started_at),
        repeated: false,
    }]))
}

fn no_time() -> Unreadable {
    Unreadable("it does not say when".to_owned())
}
