//! Whether a message comes from whom it says, in constant time and before anything of it is read. It knows no body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{
    Headers, Kind, Settings,
    headers::Repeated,
    sender::{
        alertmanager, cloudevents, generic, github, grafana, mattermost, pagerduty, sentry, slack,
        standard_webhooks,
    },
};
use crate::time::Moment;

/// How far the time that a sender signs may be from ours, both ways: what the senders' own libraries use.
pub const CLOCKS_DIFFER_MAX_S: u64 = 300;

/// A secret of a trigger. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldSecret {
    /// The secret, as its sender shows it.
    pub text: String,
    /// Until when it is good; the present one has no end.
    pub until: Option<Moment>,
}

impl std::fmt::Debug for HeldSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "HeldSecret(until {:?})", self.until)
    }
}

/// Why a message is not believed. Stable codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// There is no signature.
    #[error("there is no signature")]
    Missing,
    /// A header that proves the sender came more than once, or is not what it should be.
    #[error("the signature is not written as this sender writes it")]
    Malformed,
    /// The signature is another.
    #[error("the signature is not of this body and a secret of this trigger")]
    Wrong,
    /// There is no time although the sender signs one.
    #[error("the time that this sender signs is missing or no number")]
    TimeMissing,
    /// It is too old, or of the future.
    #[error("it was signed more than 300 s ago, or in the future")]
    TimeOff,
    /// The body is empty.
    #[error("the body is empty")]
    Empty,
    /// The trigger has no secret that is still good.
    #[error("the trigger has no secret yet")]
    NoSecret,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 7] = [
        Self::Missing,
        Self::Malformed,
        Self::Wrong,
        Self::TimeMissing,
        Self::TimeOff,
        Self::Empty,
        Self::NoSecret,
    ];

    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Malformed => "signature_malformed",
            Self::Wrong => "signature_wrong",
            Self::TimeMissing => "time_missing",
            Self::TimeOff => "time_off",
            Self::Empty => "empty_body",
            Self::NoSecret => "no_secret",
        }
    }
}

impl From<Repeated> for Refusal {
    fn from(_: Repeated) -> Self {
        Self::Malformed
    }
}

/// A message that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// When it was signed, where the sender signs that.
    pub signed_at: Option<Moment>,
}

/// Whether the message comes from who holds one of the secrets.
///
/// # Errors
/// Why it is not believed.
pub fn verify(
    kind: Kind,
    settings: &Settings,
    secrets: &[HeldSecret],
    headers: &Headers,
    body: &[u8],
    now: Moment,
) -> Result<Verified, Refusal> {
    if body.is_empty() {
        return Err(Refusal::Empty);
    }
    let good: Vec<&str> = secrets
        .iter()
        .filter(|secret| secret.until.is_none_or(|until| now < until))
        .map(|secret| secret.text.as_str())
        .filter(|text| !text.is_empty())
        .collect();
    if good.is_empty() {
        return Err(Refusal::NoSecret);
    }
    let signed_at = match kind {
        Kind::Pagerduty => pagerduty::verify(&good, headers, body).map(|()| None),
        Kind::Alertmanager => alertmanager::verify(&good, headers).map(|()| None),
        Kind::Cloudevents => cloudevents::verify(&good, headers).map(|()| None),
        Kind::Github => github::verify(&good, headers, body).map(|()| None),
        Kind::Sentry => sentry::verify(&good, headers, body).map(|()| None),
        Kind::Grafana => grafana::verify(settings, &good, headers, body, now),
        Kind::StandardWebhooks => standard_webhooks::verify(&good, headers, body, now).map(Some),
        Kind::Generic => generic::verify(settings, &good, headers, body, now),
        Kind::Slack => slack::verify(&good, headers, body, now).map(Some),
        Kind::Mattermost => mattermost::verify(&good, headers).map(|()| None),
    }?;
    Ok(Verified { signed_at })
}

/// The headers that prove this sender, which are looked at and never kept.
#[must_use]
pub fn proving(kind: Kind, settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = match kind {
        Kind::Pagerduty => vec![pagerduty::SIGNATURE.to_owned()],
        Kind::Alertmanager | Kind::Cloudevents | Kind::Mattermost => vec![BEARER.to_owned()],
        Kind::Github => vec![github::SIGNATURE.to_owned()],
        Kind::Sentry => vec![sentry::SIGNATURE.to_owned()],
        Kind::Grafana => vec![grafana::SIGNATURE.to_owned()],
        Kind::StandardWebhooks => vec![
            standard_webhooks::TIME.to_owned(),
            standard_webhooks::SIGNATURE.to_owned(),
        ],
        Kind::Generic => vec![generic::signature_header(settings).to_owned()],
        Kind::Slack => vec![slack::TIME.to_owned(), slack::SIGNATURE.to_owned()],
    };
    names.extend(settings.timestamp_header.clone());
    names
}

/// Where a password is shown.
const BEARER: &str = "authorization";

/// HMAC-SHA-256 over the parts, one behind the other.
#[must_use]
pub fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether any of the signatures is one of the keys'. Each is compared whole, whatever the ones before said.
pub(crate) fn any_signs(signatures: &[Vec<u8>], macs: &[[u8; 32]]) -> Result<(), Refusal> {
    let mut found = subtle::Choice::from(0);
    for signature in signatures {
        for mac in macs {
            found |= signature.as_slice().ct_eq(mac.as_slice());
        }
    }
    if bool::from(found) {
        Ok(())
    } else {
        Err(Refusal::Wrong)
    }
}

/// Whether the bearer token is one of the secrets.
pub(crate) fn bearer(secrets: &[&str], headers: &Headers) -> Result<(), Refusal> {
    shown(secrets, headers, "bearer")
}

/// Whether the password that is shown under this word is one of the secrets.
pub(crate) fn shown(secrets: &[&str], headers: &Headers, word: &str) -> Result<(), Refusal> {
    let given = headers.one(BEARER)?.ok_or(Refusal::Missing)?;
    let (scheme, token) = given.split_once(' ').ok_or(Refusal::Malformed)?;
    if !scheme.eq_ignore_ascii_case(word) {
        return Err(Refusal::Malformed);
    }
    // Hashes have one length: how long a secret is is not told by time either.
    let hashed = |text: &str| mac(b"sternway bearer", &[text.as_bytes()]);
    let given = hashed(token.trim()).to_vec();
    let held: Vec<[u8; 32]> = secrets.iter().map(|secret| hashed(secret)).collect();
    any_signs(&[given], &held)
}

/// Bytes from hex digits of either case.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    digits
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// Unix seconds in digits, near to now.
pub(crate) fn fresh(text: Option<&str>, now: Moment) -> Result<Moment, Refusal> {
    let text = text.ok_or(Refusal::TimeMissing)?;
    let plain = (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let seconds: i64 = Some(text)
        .filter(|_| plain)
        .and_then(|text| text.parse().ok())
        .ok_or(Refusal::TimeMissing)?;
    let apart = now.unix_ms().div_euclid(1000).abs_diff(seconds);
    if apart > CLOCKS_DIFFER_MAX_S {
        return Err(Refusal::TimeOff);
    }
    Ok(Moment::from_unix_ms(seconds * 1000))
}
