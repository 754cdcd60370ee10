//! Prometheus Alertmanager webhooks, version 4. They are not signed: a bearer token is all that its settings can give.

use serde_json::Value;

use crate::{
    chain,
    trigger::{
        Headers,
        alert::{Alert, AlertState, Notice},
        field::{labels, moment, text},
        message::Unreadable,
        verify::{Refusal, bearer},
    },
};

/// Most alerts that are taken from one message; the rest is told of in the title of the last.
pub(crate) const ALERTS_MAX: usize = 256;
/// The time of what did not happen yet, in Go.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// The label under which we raise alerts about ourselves.
const OUR_LABEL: &str = "sternway_rollback";

pub(crate) fn verify(secrets: &[&str], headers: &Headers) -> Result<(), Refusal> {
    bearer(secrets, headers)
}

/// Both servers of a pair send the same after a failed try, and each sends it again after a while: what is in a message
/// is its identity.
pub(crate) fn event_id(body: &Value) -> Option<String> {
    let alerts = body.pointer("/alerts")?.as_array()?;
    let mut lines: Vec<String> = alerts
        .iter()
        .map(|alert| {
            let field = |name| text(alert, name).unwrap_or_default();
            format!(
                "{}|{}|{}",
                field("/fingerprint"),
                field("/startsAt"),
                field("/status")
            )
        })
        .collect();
    lines.sort_unstable();
    let group = text(body, "/groupKey")?;
    let status = text(body, "/status")?;
    let lines = lines.join("\n");
    let digest = chain::sha256_hex(&[group.as_bytes(), status.as_bytes(), lines.as_bytes()]);
    Some(format!("group:{digest}"))
}

pub(crate) fn read(body: &Value) -> Result<Notice, Unreadable> {
    if text(body, "/version").as_deref() != Some("4") {
        let what =
            "it is not version 4 of Alertmanager's webhook: leave `payload` out of the receiver";
        return Err(Unreadable(what.to_owned()));
    }
    alerts(body)
}

/// The alerts of a group; Grafana's are of the same shape.
pub(crate) fn alerts(body: &Value) -> Result<Notice, Unreadable> {
    let listed = body.pointer("/alerts").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| Unreadable("it has no `alerts`".to_owned()))?;
    let reason = text(body, "/notification_reason").unwrap_or_default();
    let again = reason.to_ascii_lowercase().contains("repeat interval");
    let (mut read, mut unreadable) = (Vec::new(), None);
    for alert in listed.iter().take(ALERTS_MAX) {
        match one(alert, again) {
            Ok(alert) => read.push(alert),
            Err(why) => unreadable = Some(why),
        }
    }
    // One that can not be read takes no others along, and is told of with them.
    if let (true, Some(why)) = (read.is_empty(), unreadable) {
        return Err(why);
    }
    let left_out = listed.len() - read.len();
    if let Some(last) = read.last_mut().filter(|_| left_out > 0) {
        last.title = format!("{} (and {left_out} alerts that are not read)", last.title);
    }
    Ok(Notice::Alerts(read))
}

fn one(alert: &Value, again: bool) -> Result<Alert, Unreadable> {
    let missing = |what: &str| Unreadable(format!("an alert has no `{what}`"));
    let started = text(alert, "/startsAt").ok_or_else(|| missing("startsAt"))?;
    let started_at = moment(alert, "/startsAt").ok_or_else(|| missing("startsAt"))?;
    let state = match text(alert, "/status").as_deref() {
        Some("firing") => AlertState::Firing,
        Some("resolved") => AlertState::Resolved,
        Some(_) | None => return Err(missing("status")),
    };
    let ended = text(alert, "/endsAt").filter(|text| text != NEVER);
    let ended = ended.and_then(|_| moment(alert, "/endsAt"));
    let occurred_at = match (state, ended) {
        (AlertState::Resolved, Some(ended)) => ended.max(started_at),
        _ => started_at,
    };
    let labels = labels(alert.pointer("/labels"));
    let fingerprint = text(alert, "/fingerprint").ok_or_else(|| missing("fingerprint"))?;
    // To Prometheus a label that is empty is one that is not there.
    let label = |name: &str| labels.get(name).filter(|value| !value.is_empty()).cloned();
    let title = text(alert, "/annotations/summary").or_else(|| label("alertname"));
    let url = text(alert, "/panelURL")
        .or_else(|| text(alert, "/dashboardURL"))
        .or_else(|| text(alert, "/generatorURL"));
    Ok(Alert {
        episode: format!("{fingerprint}|{started}"),
        recurs: Some(fingerprint),
        state,
        title: title.unwrap_or_else(|| "an alert without a name".to_owned()),
        url,
        severity: label("severity"),
        service: label("service").or_else(|| label("job")),
        version: label("version"),
        ours: labels.contains_key(OUR_LABEL),
        labels,
        started_at,
        occurred_at,
        repeated: again && state == AlertState::Firing,
    })
}
