//! Sentry's integration platform. The time beside its signature is not signed, so it is not looked at.

use serde_json::Value;

use crate::{
    time::Moment,
    trigger::{
        Headers,
        alert::{Alert, AlertState, Notice},
        field::{labels, moment, text},
        message::{Unreadable, needed},
        verify::{Refusal, any_signs, mac, unhex},
    },
};

pub(crate) const SIGNATURE: &str = "sentry-hook-signature";

pub(crate) fn verify(secrets: &[&str], headers: &Headers, body: &[u8]) -> Result<(), Refusal> {
    let given = headers.one(SIGNATURE)?.ok_or(Refusal::Missing)?;
    let signature = unhex(given).ok_or(Refusal::Malformed)?;
    let macs: Vec<_> = secrets
        .iter()
        .map(|secret| mac(secret.as_bytes(), &[body]))
        .collect();
    any_signs(&[signature], &macs)
}

pub(crate) fn event_id(body: &Value) -> Option<String> {
    let action = text(body, "/action")?;
    if let Some(event) = text(body, "/data/event/event_id") {
        let rule = text(body, "/data/triggered_rule").unwrap_or_default();
        let rule = crate::chain::sha256_hex(&[rule.as_bytes()]);
        return Some(format!("event/{event}/{action}/{}", &rule[..12]));
    }
    // An alert of a metric and an issue come back to a state: then it is another event.
    None
}

pub(crate) fn read(headers: &Headers, body: &Value) -> Result<Notice, Unreadable> {
    let resource = headers.text("sentry-hook-resource");
    let action = needed(text(body, "/action"), "action")?;
    match (resource, action.as_str()) {
        (Some("event_alert"), "triggered") => event(body),
        (Some("metric_alert"), "critical" | "warning" | "resolved") => metric(body, &action),
        (Some("issue"), "created" | "unresolved" | "resolved") => issue(body, &action),
        (Some("installation"), "created") => Ok(Notice::Ping),
        (Some(other), _) => Ok(Notice::Other {
            kind: format!("{} {action}", other.chars().take(32).collect::<String>()),
        }),
        (None, _) => Err(Unreadable("it has no `sentry-hook-resource`".to_owned())),
    }
}

fn event(body: &Value) -> Result<Notice, Unreadable> {
    let event = body.pointer("/data/event").unwrap_or(&Value::Null);
    let at = moment(event, "/datetime").or_else(|| moment(event, "/timestamp"));
    let episode = text(event, "/issue_id").or_else(|| text(event, "/event_id"));
    let mut named = tags(event);
    let rule = text(body, "/data/triggered_rule");
    named.extend(rule.map(|rule| ("triggered_rule".to_owned(), rule)));
    let project = text(event, "/project");
    named.extend(project.map(|id| ("project_id".to_owned(), id)));
    let version = text(event, "/release").or_else(|| named.get("release").cloned());
    alert(Found {
        state: AlertState::Firing,
        episode: needed(episode, "data.event.issue_id")?,
        title: text(event, "/title"),
        url: text(event, "/web_url"),
        severity: text(event, "/level"),
        service: text(event, "/project_slug")
            .or_else(|| slug(event))
            .or_else(|| text(event, "/project")),
        named,
        version,
        started_at: at,
        occurred_at: at,
    })
}

/// The project's name as people write it: an event has its number only, and the name in its address,
/// `.../projects/ORGANIZATION/PROJECT/events/...`.
fn slug(event: &Value) -> Option<String> {
    let url = text(event, "/url")?;
    let (_, behind) = url.split_once("/projects/")?;
    let slug = behind.split('/').nth(1)?;
    (!slug.is_empty()).then(|| slug.to_owned())
}

fn metric(body: &Value, action: &str) -> Result<Notice, Unreadable> {
    let found = body.pointer("/data/metric_alert").unwrap_or(&Value::Null);
    let state = if action == "resolved" {
        AlertState::Resolved
    } else {
        AlertState::Firing
    };
    let started = moment(found, "/date_started").or_else(|| moment(found, "/date_detected"));
    let occurred = match state {
        AlertState::Resolved => moment(found, "/date_closed").or(started),
        AlertState::Firing | AlertState::Acknowledged | AlertState::Merged => started,
    };
    alert(Found {
        state,
        episode: needed(text(found, "/id"), "data.metric_alert.id")?,
        title: text(body, "/data/description_title").or_else(|| text(found, "/title")),
        url: text(body, "/data/web_url"),
        severity: Some(action.to_owned()).filter(|_| state == AlertState::Firing),
        service: text(found, "/projects/0"),
        named: labels(found.pointer("/alert_rule")),
        version: None,
        started_at: started,
        occurred_at: occurred,
    })
}

fn issue(body: &Value, action: &str) -> Result<Notice, Unreadable> {
    let found = body.pointer("/data/issue").unwrap_or(&Value::Null);
    let state = if action == "resolved" {
        AlertState::Resolved
    } else {
        AlertState::Firing
    };
    let (first, last) = (moment(found, "/firstSeen"), moment(found, "/lastSeen"));
    // What came back began when it came back, however old it is. One that a person took out of the archive, or that
    // grows, is told of as `unresolved` too, and never ended.
    let back = text(found, "/substatus").is_some_and(|status| status == "regressed");
    let started = match action {
        "unresolved" if back => last.or(first),
        _ => first,
    };
    alert(Found {
        state,
        episode: needed(text(found, "/id"), "data.issue.id")?,
        title: text(found, "/title"),
        url: text(found, "/web_url").or_else(|| text(found, "/permalink")),
        severity: text(found, "/level"),
        service: text(found, "/project/slug"),
        named: tags(found),
        version: None,
        started_at: started,
        occurred_at: last.or(started),
    })
}

struct Found {
    state: AlertState,
    episode: String,
    title: Option<String>,
    url: Option<String>,
    severity: Option<String>,
    service: Option<String>,
    named: std::collections::BTreeMap<String, String>,
    version: Option<String>,
    started_at: Option<Moment>,
    occurred_at: Option<Moment>,
}

fn alert(found: Found) -> Result<Notice, Unreadable> {
    let missing = || Unreadable("it does not say when it began".to_owned());
    let started_at = found.started_at.ok_or_else(missing)?;
    Ok(Notice::Alerts(vec![Alert {
        episode: found.episode,
        recurs: None,
        state: found.state,
        title: found.title.unwrap_or_else(|| "a Sentry alert".to_owned()),
        url: found.url,
        severity: found.severity,
        service: found.service,
        labels: found.named,
        // `shop@1.5.0` is the package and its version.
        version: found
            .version
            .map(|text| text.rsplit('@').next().unwrap_or_default().to_owned())
            .filter(|text| !text.is_empty()),
        started_at,
        occurred_at: found.occurred_at.unwrap_or(started_at).max(started_at),
        repeated: false,
        ours: false,
    }]))
}

/// Sentry's tags are pairs in a list.
fn tags(of: &Value) -> std::collections::BTreeMap<String, String> {
    let pairs = of.pointer("/tags").and_then(Value::as_array);
    let mut named: std::collections::BTreeMap<String, String> = pairs
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((text(pair, "/0")?, text(pair, "/1")?)))
        .take(crate::trigger::field::LABELS_MAX)
        .collect();
    let environment = text(of, "/environment");
    named.extend(environment.map(|name| ("environment".to_owned(), name)));
    named
}
