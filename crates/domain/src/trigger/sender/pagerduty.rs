//! PagerDuty webhooks, version 3. There is no time in the signature, so nothing here says that a message is too old.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    time::Moment,
    trigger::{
        Headers,
        alert::{Alert, AlertState, Notice},
        field::{moment, text},
        message::{Unreadable, needed},
        verify::{Refusal, any_signs, mac, unhex},
    },
};

pub(crate) const SIGNATURE: &str = "x-pagerduty-signature";
/// Most signatures of one message: it signs with each secret while one is changed.
const SIGNATURES_MAX: usize = 16;
/// What the keys of alerts that we raise ourselves begin with.
const OUR_KEYS: &str = "rbk:";

pub(crate) fn verify(secrets: &[&str], headers: &Headers, body: &[u8]) -> Result<(), Refusal> {
    let given = headers.one(SIGNATURE)?.ok_or(Refusal::Missing)?;
    let signatures: Vec<Vec<u8>> = given
        .split(',')
        .take(SIGNATURES_MAX)
        .filter_map(|entry| unhex(entry.trim().strip_prefix("v1=")?))
        .collect();
    if signatures.is_empty() {
        return Err(Refusal::Malformed);
    }
    let macs: Vec<[u8; 32]> = secrets
        .iter()
        .map(|secret| mac(secret.as_bytes(), &[body]))
        .collect();
    any_signs(&signatures, &macs)
}

/// The one that is signed; the `x-webhook-id` beside it is not.
pub(crate) fn event_id(body: &Value) -> Option<String> {
    text(body, "/event/id")
}

pub(crate) fn read(body: &Value) -> Result<Notice, Unreadable> {
    let kind = needed(text(body, "/event/event_type"), "event.event_type")?;
    if kind == "pagey.ping" {
        return Ok(Notice::Ping);
    }
    let of_incident = kind.starts_with("incident.")
        && text(body, "/event/data/type").as_deref() == Some("incident");
    if !of_incident {
        return Ok(Notice::Other { kind });
    }
    let state = match text(body, "/event/data/status").as_deref() {
        Some("triggered") if handed(&kind) => AlertState::Acknowledged,
        Some("triggered") => AlertState::Firing,
        Some("acknowledged") => AlertState::Acknowledged,
        Some("resolved") if merged(body) => AlertState::Merged,
        Some("resolved") => AlertState::Resolved,
        Some(_) | None => return Ok(Notice::Other { kind }),
    };
    // Only these two say that something became wrong; the rest is about who looks after it.
    let news = matches!(kind.as_str(), "incident.triggered" | "incident.reopened");
    let began = match kind.as_str() {
        "incident.reopened" => moment(body, "/event/data/reopened_at"),
        _ => moment(body, "/event/data/created_at"),
    };
    // An end that can not be read would be worse than a beginning that is told a little late.
    let began = began.or_else(|| moment(body, "/event/occurred_at"));
    let began = began.ok_or_else(|| Unreadable("it has no `event.data.created_at`".to_owned()))?;
    let occurred = moment(body, "/event/occurred_at").map_or(began, |at: Moment| at.max(began));
    let key = text(body, "/event/data/incident_key");
    let service = text(body, "/event/data/service/id");
    // An alert that comes again with the same key is another incident once the last one is resolved.
    let recurs = key.as_ref().zip(service.as_ref());
    Ok(Notice::Alerts(vec![Alert {
        episode: needed(text(body, "/event/data/id"), "event.data.id")?,
        recurs: recurs.map(|(key, service)| format!("{service}|{key}")),
        state,
        title: text(body, "/event/data/title").unwrap_or_else(|| kind.clone()),
        url: text(body, "/event/data/html_url"),
        severity: text(body, "/event/data/priority/summary")
            .or_else(|| text(body, "/event/data/urgency")),
        service,
        labels: named(body),
        version: None,
        started_at: began,
        occurred_at: occurred,
        repeated: state == AlertState::Firing && !news,
        ours: key.is_some_and(|key| key.starts_with(OUR_KEYS)),
    }]))
}

/// Whether a person gave it to another one, or to a team: somebody sees to it that it is looked after.
fn handed(kind: &str) -> bool {
    matches!(kind, "incident.reassigned" | "incident.delegated")
}

fn merged(body: &Value) -> bool {
    let reason = text(body, "/event/data/resolve_reason/type");
    reason.as_deref() == Some("merge_resolve_reason")
}

fn named(body: &Value) -> BTreeMap<String, String> {
    let fields = [
        ("event_type", "/event/event_type"),
        ("incident_key", "/event/data/incident_key"),
        ("incident_type", "/event/data/incident_type/name"),
        ("number", "/event/data/number"),
        ("priority", "/event/data/priority/summary"),
        ("service_name", "/event/data/service/summary"),
        ("urgency", "/event/data/urgency"),
    ];
    let given = fields.into_iter();
    given
        .filter_map(|(name, pointer)| Some((name.to_owned(), text(body, pointer)?)))
        .collect()
}
