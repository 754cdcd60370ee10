//! Any JSON that is signed with HMAC-SHA-256: a person says where its fields are.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    chain,
    time::Moment,
    trigger::{
        Headers, Settings,
        alert::{Alert, AlertState, Deployed, DeployedState, Notice},
        field::{cut, labels, moment, text},
        message::{Unreadable, needed},
        settings::{Encoding, Says},
        verify::{Refusal, any_signs, fresh, mac, unhex},
    },
};

/// How much is shown of what is no time.
const SHOWN_CHARS: usize = 40;
/// Where the signature is when nothing else is said.
const SIGNATURE: &str = "x-sternway-signature";

pub(crate) fn signature_header(settings: &Settings) -> &str {
    settings.signature_header.as_deref().unwrap_or(SIGNATURE)
}

/// When it was signed, where the settings say that a time is signed.
pub(crate) fn verify(
    settings: &Settings,
    secrets: &[&str],
    headers: &Headers,
    body: &[u8],
    now: Moment,
) -> Result<Option<Moment>, Refusal> {
    let given = headers
        .one(signature_header(settings))?
        .ok_or(Refusal::Missing)?;
    let prefix = settings.signature_prefix.as_deref().unwrap_or_default();
    let written = given.strip_prefix(prefix).ok_or(Refusal::Malformed)?;
    let signature = match settings.encoding {
        Encoding::Hex => unhex(written),
        Encoding::Base64 => STANDARD.decode(written).ok(),
    };
    let signature = signature.ok_or(Refusal::Malformed)?;
    let (time, signed_at) = match &settings.timestamp_header {
        None => (None, None),
        Some(name) => {
            let time = headers.one(name)?.ok_or(Refusal::TimeMissing)?;
            (Some(time), Some(fresh(Some(time), now)?))
        }
    };
    let macs: Vec<[u8; 32]> = secrets
        .iter()
        .map(|secret| match time {
            Some(time) => mac(secret.as_bytes(), &[time.as_bytes(), b".", body]),
            None => mac(secret.as_bytes(), &[body]),
        })
        .collect();
    any_signs(&[signature], &macs)?;
    Ok(signed_at)
}

fn at<'a>(settings: &'a Settings, field: &str) -> Option<&'a str> {
    settings.fields.get(field).map(String::as_str)
}

pub(crate) fn event_id(settings: &Settings, body: &Value) -> Option<String> {
    let id = text(body, at(settings, "id")?)?;
    Some(format!("id:{}", chain::sha256_hex(&[id.as_bytes()])))
}

pub(crate) fn read(settings: &Settings, body: &Value) -> Result<Notice, Unreadable> {
    let said = at(settings, "state").and_then(|pointer| text(body, pointer));
    let said = needed(said, "state")?;
    let word = settings.state_of(&said).to_ascii_lowercase();
    let other = Notice::Other { kind: said.clone() };
    match settings.says {
        Says::Alert => match word.as_str() {
            "firing" => alert(settings, body, AlertState::Firing),
            "acknowledged" => alert(settings, body, AlertState::Acknowledged),
            "resolved" => alert(settings, body, AlertState::Resolved),
            _ => Ok(other),
        },
        Says::Deployment => match word.as_str() {
            "started" => deployed(settings, body, DeployedState::Started),
            "succeeded" => deployed(settings, body, DeployedState::Succeeded),
            "failed" => deployed(settings, body, DeployedState::Failed),
            _ => Ok(other),
        },
    }
}

fn alert(settings: &Settings, body: &Value, state: AlertState) -> Result<Notice, Unreadable> {
    let field = |name: &str| at(settings, name).and_then(|pointer| text(body, pointer));
    let when = |name: &str| at(settings, name).and_then(|pointer| moment(body, pointer));
    let started_at = when("started_at").or_else(|| when("occurred_at"));
    let started_at = started_at.ok_or_else(|| {
        let named = ["started_at", "occurred_at"];
        no_time(settings, body, &named, "it does not say when it began")
    })?;
    let episode = needed(field("key"), "key")?;
    Ok(Notice::Alerts(vec![Alert {
        ours: episode.starts_with("rbk:"),
        state,
        title: field("title").unwrap_or_else(|| episode.clone()),
        episode,
        recurs: None,
        url: field("url"),
        severity: field("severity"),
        service: field("service"),
        labels: labels(at(settings, "labels").and_then(|pointer| body.pointer(pointer))),
        version: field("version"),
        started_at,
        occurred_at: when("occurred_at").unwrap_or(started_at).max(started_at),
        repeated: false,
    }]))
}

/// Why there is no time: the first of these fields that is named, and what is there.
fn no_time(settings: &Settings, body: &Value, fields: &[&str], what: &str) -> Unreadable {
    let mut named = fields.iter().filter_map(|field| at(settings, field));
    let Some(pointer) = named.next() else {
        let field = fields.first().unwrap_or(&"at");
        return Unreadable(format!("{what}; name `fields.{field}`"));
    };
    let found = body.pointer(pointer).filter(|found| !found.is_null());
    Unreadable(match found {
        None => format!("{what}: there is nothing at `{pointer}`"),
        Some(found) => {
            let shown: String = cut(&found.to_string()).chars().take(SHOWN_CHARS).collect();
            format!(
                "`{pointer}` holds {shown}, which is no time: RFC 3339, or Unix seconds or milliseconds"
            )
        }
    })
}

fn deployed(settings: &Settings, body: &Value, state: DeployedState) -> Result<Notice, Unreadable> {
    let field = |name: &str| at(settings, name).and_then(|pointer| text(body, pointer));
    let when = at(settings, "at").and_then(|pointer| moment(body, pointer));
    let when = when.ok_or_else(|| no_time(settings, body, &["at"], "it does not say when"))?;
    let service = needed(field("service"), "service")?;
    let version = needed(field("version"), "version")?;
    Ok(Notice::Deployed(Box::new(Deployed {
        key: field("id").unwrap_or_else(|| format!("{service}/{version}/{when}")),
        state,
        service,
        environment: field("environment"),
        version: Some(version),
        commit: field("commit"),
        image: field("image"),
        images: std::collections::BTreeMap::new(),
        actor: field("actor"),
        url: field("url"),
        at: when,
    })))
}
