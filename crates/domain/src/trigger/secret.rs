//! Secrets of triggers: what one has to be, and one made of random bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Kind, sender::standard_webhooks};
use crate::chain::hex;

/// Shortest secret: below that it could be guessed without asking us.
pub const SECRET_CHARS_MIN: usize = 16;
/// Longest secret.
pub const SECRET_CHARS_MAX: usize = 256;
/// What a key of Standard Webhooks has at least and at most.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Whether the sender makes its own secrets, so that one of ours would fit nothing.
#[must_use]
pub fn is_the_senders(kind: Kind) -> bool {
    match kind {
        Kind::Pagerduty | Kind::Sentry | Kind::Slack | Kind::Mattermost => true,
        Kind::Alertmanager
        | Kind::Grafana
        | Kind::Github
        | Kind::StandardWebhooks
        | Kind::Cloudevents
        | Kind::Generic => false,
    }
}

/// What is wrong with a secret.
///
/// # Errors
/// What to write instead.
pub fn check(kind: Kind, text: &str) -> Result<(), String> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic());
    if !plain || !(SECRET_CHARS_MIN..=SECRET_CHARS_MAX).contains(&text.len()) {
        return Err(format!(
            "use {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} printable characters without spaces"
        ));
    }
    let key = standard_webhooks::key(text).map_or(0, |key| key.len());
    if kind == Kind::StandardWebhooks && !KEY_BYTES.contains(&key) {
        return Err("use `whsec_` and 24 to 64 bytes in base64".to_owned());
    }
    Ok(())
}

/// A secret of these random bytes, as the sender wants it written.
#[must_use]
pub fn made(kind: Kind, bytes: &[u8; 32]) -> String {
    match kind {
        Kind::StandardWebhooks => format!("whsec_{}", STANDARD.encode(bytes)),
        Kind::Pagerduty
        | Kind::Sentry
        | Kind::Alertmanager
        | Kind::Grafana
        | Kind::Github
        | Kind::Cloudevents
        | Kind::Generic
        | Kind::Slack
        | Kind::Mattermost => hex(bytes),
    }
}
