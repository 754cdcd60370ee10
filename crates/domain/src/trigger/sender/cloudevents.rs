//! CloudEvents 1.0 over HTTP, in both its forms: a whole envelope in the body, or its fields in `ce-` headers. It is not
//! signed: a bearer token is all that its own rules for webhooks know.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::own;
use crate::{
    chain,
    trigger::{
        Headers,
        alert::Notice,
        field::{moment, parsed, text},
        message::{Unreadable, needed},
        verify::{Refusal, bearer},
    },
};

pub(crate) fn verify(secrets: &[&str], headers: &Headers) -> Result<(), Refusal> {
    bearer(secrets, headers)
}

/// Whether the body is the whole envelope.
fn structured(headers: &Headers) -> bool {
    let kind = headers.text("content-type").unwrap_or_default();
    kind.to_ascii_lowercase()
        .starts_with("application/cloudevents")
}

fn attribute(headers: &Headers, body: &Value, name: &str) -> Option<String> {
    if structured(headers) {
        return text(body, &format!("/{name}"));
    }
    headers
        .text(&format!("ce-{name}"))
        .map(crate::trigger::field::cut)
}

/// Source and id together are what makes an event itself.
pub(crate) fn event_id(headers: &Headers, body: &Value) -> Option<String> {
    let source = attribute(headers, body, "source")?;
    let id = attribute(headers, body, "id")?;
    Some(format!(
        "event:{}",
        chain::sha256_hex(&[source.as_bytes(), id.as_bytes()])
    ))
}

pub(crate) fn read(headers: &Headers, body: &Value) -> Result<Notice, Unreadable> {
    if body.is_array() {
        let what = "it is a batch: have each event sent as a message of its own";
        return Err(Unreadable(what.to_owned()));
    }
    if attribute(headers, body, "specversion").as_deref() != Some("1.0") {
        return Err(Unreadable("it is not CloudEvents 1.0".to_owned()));
    }
    let kind = needed(attribute(headers, body, "type"), "type")?;
    let id = event_id(headers, body).ok_or_else(|| Unreadable("it has no `id`".to_owned()))?;
    // Names of kinds begin with somebody's domain: `com.example.deploy.succeeded`.
    let words: Vec<&str> = kind.rsplitn(3, '.').collect();
    let ours = match words.as_slice() {
        [last, family @ ("deploy" | "alert"), ..] => format!("{family}.{last}"),
        _ => kind.clone(),
    };
    let unwrapped;
    let (data, at) = if structured(headers) {
        unwrapped = unwrapped_data(body);
        (&unwrapped, moment(body, "/time"))
    } else {
        (body, headers.text("ce-time").and_then(parsed))
    };
    own::read(&ours, data, &id, at)
}

/// The data of an envelope: as it is, or, where its sender took it for mere bytes, in base64.
fn unwrapped_data(body: &Value) -> Value {
    if let Some(data) = body.get("data") {
        return data.clone();
    }
    let sealed = body.get("data_base64").and_then(Value::as_str);
    let bytes = sealed.and_then(|text| STANDARD.decode(text).ok());
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}
