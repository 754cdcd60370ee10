//! Slack's slash commands and buttons: time and body are signed together.

use crate::{
    time::Moment,
    trigger::{
        Headers,
        verify::{Refusal, any_signs, fresh, mac, unhex},
    },
};

pub(crate) const TIME: &str = "x-slack-request-timestamp";
pub(crate) const SIGNATURE: &str = "x-slack-signature";
/// The version of the signature that we know.
const VERSION: &str = "v0=";

pub(crate) fn verify(
    secrets: &[&str],
    headers: &Headers,
    body: &[u8],
    now: Moment,
) -> Result<Moment, Refusal> {
    let given = headers.one(SIGNATURE)?.ok_or(Refusal::Missing)?;
    let time = headers.one(TIME)?.ok_or(Refusal::TimeMissing)?;
    let signature = given.strip_prefix(VERSION).and_then(unhex);
    let signature = signature.ok_or(Refusal::Malformed)?;
    let macs: Vec<_> = secrets
        .iter()
        .map(|secret| mac(secret.as_bytes(), &[b"v0:", time.as_bytes(), b":", body]))
        .collect();
    let signed_at = fresh(Some(time), now)?;
    any_signs(&[signature], &macs)?;
    Ok(signed_at)
}
