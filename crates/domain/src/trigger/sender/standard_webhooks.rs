//! Standard Webhooks 1.0: id, time and body are signed together, so that none of them can be changed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::own;
use crate::{
    time::Moment,
    trigger::{
        Headers,
        alert::Notice,
        field::{moment, text},
        message::{Unreadable, needed},
        verify::{Refusal, any_signs, fresh, mac},
    },
};

pub(crate) const ID: &str = "webhook-id";
pub(crate) const TIME: &str = "webhook-timestamp";
pub(crate) const SIGNATURE: &str = "webhook-signature";
/// Most signatures of one message: it signs with each secret while one is changed.
const SIGNATURES_MAX: usize = 16;
/// What a secret begins with; the rest is the key in base64.
const SECRET_PREFIX: &str = "whsec_";

pub(crate) fn verify(
    secrets: &[&str],
    headers: &Headers,
    body: &[u8],
    now: Moment,
) -> Result<Moment, Refusal> {
    let given = headers.one(SIGNATURE)?.ok_or(Refusal::Missing)?;
    let id = headers.one(ID)?.ok_or(Refusal::Missing)?;
    let time = headers.one(TIME)?.ok_or(Refusal::TimeMissing)?;
    // A point in either could move bytes between the fields.
    if id.is_empty() || id.contains('.') {
        return Err(Refusal::Malformed);
    }
    let signatures: Vec<Vec<u8>> = given
        .split(' ')
        .take(SIGNATURES_MAX)
        .filter_map(|entry| STANDARD.decode(entry.strip_prefix("v1,")?).ok())
        .collect();
    if signatures.is_empty() {
        return Err(Refusal::Malformed);
    }
    let macs: Vec<[u8; 32]> = secrets
        .iter()
        .filter_map(|secret| key(secret))
        .map(|key| mac(&key, &[id.as_bytes(), b".", time.as_bytes(), b".", body]))
        .collect();
    let signed_at = fresh(Some(time), now)?;
    any_signs(&signatures, &macs)?;
    Ok(signed_at)
}

/// The key in a secret, when it is written as one.
pub(crate) fn key(secret: &str) -> Option<Vec<u8>> {
    let text = secret.strip_prefix(SECRET_PREFIX)?;
    STANDARD.decode(text).ok().filter(|key| !key.is_empty())
}

pub(crate) fn event_id(headers: &Headers) -> Option<String> {
    headers.text(ID).map(ToOwned::to_owned)
}

pub(crate) fn read(headers: &Headers, body: &Value) -> Result<Notice, Unreadable> {
    let kind = needed(text(body, "/type"), "type")?;
    let key = headers.text(ID).unwrap_or_default();
    let data = body.pointer("/data").unwrap_or(&Value::Null);
    own::read(&kind, data, key, moment(body, "/timestamp"))
}
