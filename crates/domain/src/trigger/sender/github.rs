//! GitHub webhooks: deployment statuses and releases, for the ledger. They raise no alert.

use serde_json::Value;

use crate::{
    name::Version,
    trigger::{
        Headers, Settings,
        alert::{Deployed, DeployedState, Notice},
        field::{moment, text},
        message::{Unreadable, needed},
        verify::{Refusal, any_signs, mac, unhex},
    },
};

pub(crate) const SIGNATURE: &str = "x-hub-signature-256";

pub(crate) fn verify(secrets: &[&str], headers: &Headers, body: &[u8]) -> Result<(), Refusal> {
    let given = headers.one(SIGNATURE)?.ok_or(Refusal::Missing)?;
    let signature = given.strip_prefix("sha256=").and_then(unhex);
    let macs: Vec<_> = secrets
        .iter()
        .map(|secret| mac(secret.as_bytes(), &[body]))
        .collect();
    any_signs(&[signature.ok_or(Refusal::Malformed)?], &macs)
}

/// From the signed body; the delivery's own id in a header is not signed.
pub(crate) fn event_id(body: &Value) -> Option<String> {
    let repository = text(body, "/repository/full_name")?;
    if let (Some(deployment), Some(status)) = (
        text(body, "/deployment/id"),
        text(body, "/deployment_status/id"),
    ) {
        return Some(format!(
            "deployment_status/{repository}/{deployment}/{status}"
        ));
    }
    let (release, action) = (text(body, "/release/id")?, text(body, "/action")?);
    Some(format!("release/{repository}/{release}/{action}"))
}

pub(crate) fn read(
    settings: &Settings,
    headers: &Headers,
    body: &Value,
) -> Result<Notice, Unreadable> {
    match headers.text("x-github-event") {
        Some("ping") => Ok(Notice::Ping),
        Some("deployment_status") => deployment(body),
        Some("release") => release(settings, body),
        Some(other) => Ok(Notice::Other {
            kind: other.chars().take(64).collect(),
        }),
        None => Err(Unreadable("it has no `x-github-event`".to_owned())),
    }
}

fn deployment(body: &Value) -> Result<Notice, Unreadable> {
    let said = needed(
        text(body, "/deployment_status/state"),
        "deployment_status.state",
    )?;
    let state = match said.as_str() {
        "pending" | "queued" | "waiting" | "in_progress" => DeployedState::Started,
        "success" => DeployedState::Succeeded,
        "failure" | "error" => DeployedState::Failed,
        other => {
            let kind = format!("deployment_status {other}");
            return Ok(Notice::Other { kind });
        }
    };
    let repository = needed(text(body, "/repository/full_name"), "repository.full_name")?;
    let id = needed(text(body, "/deployment/id"), "deployment.id")?;
    let at = moment(body, "/deployment_status/created_at")
        .or_else(|| moment(body, "/deployment/created_at"))
        .ok_or_else(|| Unreadable("it has no `deployment_status.created_at`".to_owned()))?;
    let payload = payload(body);
    let version = text(&payload, "/version").or_else(|| version_deployed(body));
    Ok(Notice::Deployed(Box::new(Deployed {
        key: format!("deployment/{repository}/{id}"),
        state,
        service: repository,
        // A status may change what the deployment said.
        environment: text(body, "/deployment_status/environment")
            .or_else(|| text(body, "/deployment/environment")),
        version,
        commit: text(body, "/deployment/sha"),
        image: text(&payload, "/image"),
        images: crate::trigger::field::labels(payload.pointer("/images")),
        actor: text(body, "/deployment/creator/login"),
        url: text(body, "/deployment_status/target_url").or_else(|| text(body, "/deployment/url")),
        at,
    })))
}

/// What whoever asked for the deployment gave along: an object, or one as a text.
fn payload(body: &Value) -> Value {
    match body.pointer("/deployment/payload") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(other) => other.clone(),
        None => Value::Null,
    }
}

/// The version that a tag names, or the commit. A branch names none: it is another one tomorrow. What is deployed may be
/// either, so a name is taken for a tag only where it says so or looks like a version.
fn version_deployed(body: &Value) -> Option<String> {
    let name = text(body, "/deployment/ref")?;
    let branch = name.starts_with("refs/heads/")
        || text(body, "/repository/default_branch").is_some_and(|branch| branch == name);
    let tag = name.starts_with("refs/tags/") || is_commit(&name) || looks_like_a_version(&name);
    (tag && !branch).then(|| version_of(&name))
}

/// `1.5.0`, `v2`, `2026-03-01`.
fn looks_like_a_version(name: &str) -> bool {
    let number = name.strip_prefix('v').unwrap_or(name);
    number.starts_with(|letter: char| letter.is_ascii_digit())
}

fn release(settings: &Settings, body: &Value) -> Result<Notice, Unreadable> {
    let action = needed(text(body, "/action"), "action")?;
    if !matches!(action.as_str(), "published" | "released") {
        let kind = format!("release {action}");
        return Ok(Notice::Other { kind });
    }
    let repository = needed(text(body, "/repository/full_name"), "repository.full_name")?;
    let id = needed(text(body, "/release/id"), "release.id")?;
    let tag = needed(text(body, "/release/tag_name"), "release.tag_name")?;
    let at = moment(body, "/release/published_at")
        .or_else(|| moment(body, "/release/created_at"))
        .ok_or_else(|| Unreadable("it has no `release.published_at`".to_owned()))?;
    // Published alone it puts nothing in service. One that is published to be tried is told of again when it is released.
    let tried = body.pointer("/release/prerelease") == Some(&Value::Bool(true));
    let state = if settings.release_is_deployment && !tried {
        DeployedState::Succeeded
    } else {
        DeployedState::Announced
    };
    Ok(Notice::Deployed(Box::new(Deployed {
        key: format!("release/{repository}/{id}"),
        state,
        service: repository,
        environment: None,
        version: Some(version_of(&tag)),
        // What a release names is a branch, or a commit.
        commit: text(body, "/release/target_commitish").filter(|name| is_commit(name)),
        image: None,
        images: std::collections::BTreeMap::new(),
        actor: text(body, "/release/author/login"),
        url: text(body, "/release/html_url"),
        at,
    })))
}

/// A tag's version: without `refs/tags/`, and without the `v` that stands before a number.
fn version_of(name: &str) -> String {
    let name = name.strip_prefix("refs/tags/").unwrap_or(name);
    let number = name
        .strip_prefix('v')
        .filter(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
        .filter(|rest| rest.parse::<Version>().is_ok());
    number.unwrap_or(name).to_owned()
}

fn is_commit(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit())
}
