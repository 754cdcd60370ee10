//! What a verified message says, whoever sent it. What can not be read is kept and told of, never answered with an
//! error: the sender can not mend it.

use serde_json::Value;

use super::{
    Headers, Kind, Settings,
    alert::Notice,
    sender::{
        alertmanager, cloudevents, generic, github, grafana, mattermost, pagerduty, sentry,
        standard_webhooks,
    },
};
use crate::chain;

/// Longest identity of an event that is taken as it is.
const EVENT_ID_CHARS_MAX: usize = 200;

/// Why a verified message could not be read, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// What tells two deliveries of one event from two events; from what is signed only, as anything else could be changed by
/// whoever repeats a message.
#[must_use]
pub fn event_id(kind: Kind, settings: &Settings, headers: &Headers, body: &[u8]) -> String {
    let said = match kind {
        Kind::StandardWebhooks => standard_webhooks::event_id(headers),
        // Each click and each command has an identity in its body: the same body is the same event, repeated.
        Kind::Slack | Kind::Mattermost => None,
        Kind::Pagerduty
        | Kind::Alertmanager
        | Kind::Grafana
        | Kind::Github
        | Kind::Sentry
        | Kind::Cloudevents
        | Kind::Generic => json(body).ok().and_then(|body| match kind {
            Kind::Pagerduty => pagerduty::event_id(&body),
            Kind::Alertmanager | Kind::Grafana => alertmanager::event_id(&body),
            Kind::Github => github::event_id(&body),
            Kind::Sentry => sentry::event_id(&body),
            Kind::Cloudevents => cloudevents::event_id(headers, &body),
            Kind::Generic => generic::event_id(settings, &body),
            Kind::StandardWebhooks | Kind::Slack | Kind::Mattermost => None,
        }),
    };
    let plain = |id: &String| {
        (1..=EVENT_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    said.filter(plain)
        .unwrap_or_else(|| format!("body:{}", chain::sha256_hex(&[body])))
}

/// A body as it is kept: without the secret that Mattermost sends along in it, which proves its sender to anybody.
#[must_use]
pub fn kept(kind: Kind, body: Vec<u8>) -> Vec<u8> {
    match kind {
        Kind::Mattermost => mattermost::kept(&body),
        Kind::Pagerduty
        | Kind::Alertmanager
        | Kind::Grafana
        | Kind::Github
        | Kind::Sentry
        | Kind::StandardWebhooks
        | Kind::Cloudevents
        | Kind::Generic
        | Kind::Slack => body,
    }
}

/// What the message says.
///
/// # Errors
/// Why it can not be read.
pub fn read(
    kind: Kind,
    settings: &Settings,
    headers: &Headers,
    body: &[u8],
) -> Result<Notice, Unreadable> {
    if kind.is_chat() {
        return Ok(Notice::Other {
            kind: "what a person asks in a chat".to_owned(),
        });
    }
    let body = json(body)?;
    match kind {
        Kind::Pagerduty => pagerduty::read(&body),
        Kind::Alertmanager => alertmanager::read(&body),
        Kind::Grafana => grafana::read(&body),
        Kind::Github => github::read(settings, headers, &body),
        Kind::Sentry => sentry::read(headers, &body),
        Kind::StandardWebhooks => standard_webhooks::read(headers, &body),
        Kind::Cloudevents => cloudevents::read(headers, &body),
        Kind::Generic => generic::read(settings, &body),
        Kind::Slack | Kind::Mattermost => Err(Unreadable("it is no JSON".to_owned())),
    }
}

/// The headers that a kind's reading looks at, and that are kept with the body.
#[must_use]
pub fn headers_read(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Github => &["x-github-event", "x-github-delivery"],
        Kind::Sentry => &["sentry-hook-resource", "request-id"],
        Kind::StandardWebhooks => &["webhook-id", "webhook-timestamp"],
        Kind::Cloudevents => &[
            "content-type",
            "ce-id",
            "ce-source",
            "ce-type",
            "ce-specversion",
            "ce-time",
        ],
        // Not signed, and so for people who look for a delivery only.
        Kind::Pagerduty => &["x-webhook-id", "x-webhook-subscription"],
        Kind::Alertmanager | Kind::Grafana | Kind::Generic | Kind::Slack | Kind::Mattermost => &[],
    }
}

/// Objects in objects are followed to a depth of 128, which is `serde_json`'s own limit.
fn json(body: &[u8]) -> Result<Value, Unreadable> {
    serde_json::from_slice(body)
        .map_err(|error| Unreadable(format!("its body is not JSON: {error}")))
}

/// A field that has to be there.
pub(crate) fn needed(value: Option<String>, what: &str) -> Result<String, Unreadable> {
    value.ok_or_else(|| Unreadable(format!("it has no `{what}`")))
}
