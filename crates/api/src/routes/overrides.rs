//! Overrides: a person lets alerts about an application past one guard for a while, by name and with a reason.

use axum::{Json, http::StatusCode};
use domain::{
    guard::{Guard, Override},
    name::{Actor, ApplicationName},
    time::{Millis, Moment},
};
use serde::{Deserialize, Serialize};
use store::{OVERRIDES_MAX, StoredOverride};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    applications::{ApplicationPath, find},
    page::Listing,
};
use crate::{
    auth::{Operate, Permit, Read},
    clock::now,
    input::{At, Input},
    problem::{FieldError, Problem},
};

/// Longest override, in seconds: an exception that lasts is a setting.
const FOR_S_MAX: u32 = 4 * 3600;
const FOR_S_MIN: u32 = 60;
/// How long one counts when nothing is said.
const FOR_S: u32 = 1800;
/// Longest reason.
const REASON_CHARS_MAX: usize = 500;

/// What is let past.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"guard": "freeze_window", "reason": "the release of today may go back by itself", "for_s": 3600}))]
pub struct OverrideRequest {
    /// Which guard. Some can not be overridden; the answer says why.
    pub guard: Guard,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    pub reason: String,
    /// For how long, in seconds; half an hour without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 60, maximum = 14400)]
    pub for_s: Option<u32>,
}

/// An override that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OverrideAnswer {
    /// Its identity.
    pub id: Uuid,
    /// For which application.
    pub application: ApplicationName,
    /// Which guard.
    pub guard: Guard,
    /// Who lets alerts past it.
    pub person: Actor,
    /// Why.
    pub reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Moment,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub until: Moment,
}

/// Names one override.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OverridePath {
    /// Name of the application.
    #[param(inline)]
    pub name: ApplicationName,
    /// The override's identity.
    pub id: Uuid,
}

/// The overrides that count now.
#[utoipa::path(get, path = "/api/v1/applications/{name}/overrides", operation_id = "list_overrides", tag = "guards",
    params(ApplicationPath), responses((status = 200, description = "All of them; there are at most 20", body = Listing<OverrideAnswer>)))]
pub(crate) async fn list(
    permit: Permit<Read>,
    At(path): At<ApplicationPath>,
) -> Result<Json<Listing<OverrideAnswer>>, Problem> {
    find(&permit, &path.name).await?;
    let stored = permit.store().overrides(&path.name).await?;
    Ok(Json(Listing {
        items: stored.into_iter().map(answer).collect(),
        next: None,
    }))
}

/// Lets alerts about an application past a guard that asks for a person. What a guard refuses, it refuses all the same.
#[utoipa::path(post, path = "/api/v1/applications/{name}/overrides", operation_id = "add_override", tag = "guards",
    params(ApplicationPath), request_body = OverrideRequest,
    responses((status = 201, description = "It counts from now on", body = OverrideAnswer),
        (status = 403, description = "A service overrides nothing", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn add(
    permit: Permit<Operate>,
    At(path): At<ApplicationPath>,
    Input(ask): Input<OverrideRequest>,
) -> Result<(StatusCode, Json<OverrideAnswer>), Problem> {
    permit.must_be_person("override a guard")?;
    find(&permit, &path.name).await?;
    let for_s = ask.for_s.unwrap_or(FOR_S);
    check(&ask, for_s).map_err(Problem::fields)?;
    let at = now();
    let new = StoredOverride {
        id: Uuid::now_v7(),
        application: path.name,
        given: Override {
            guard: ask.guard,
            person: permit.actor().clone(),
            reason: ask.reason,
            at,
        },
        until: at.after(Millis::from_secs(for_s)),
    };
    if !permit.store().override_add(&new).await? {
        let what = format!("there are {OVERRIDES_MAX} already: end one first");
        return Err(Problem::fields([field("guard", what)]));
    }
    Ok((StatusCode::CREATED, Json(answer(new))))
}

/// Ends an override now.
#[utoipa::path(delete, path = "/api/v1/applications/{name}/overrides/{id}", operation_id = "end_override", tag = "guards",
    params(OverridePath), responses((status = 204, description = "It counts no more")))]
pub(crate) async fn end(
    permit: Permit<Operate>,
    At(path): At<OverridePath>,
) -> Result<StatusCode, Problem> {
    find(&permit, &path.name).await?;
    let (store, by) = (permit.store(), permit.actor());
    match store.override_end(&path.name, path.id, by).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("override", &path.id.to_string())),
    }
}

fn check(ask: &OverrideRequest, for_s: u32) -> Result<(), Vec<FieldError>> {
    let mut bad = Vec::new();
    if let Some(why) = ask.guard.fixed() {
        let what = format!("`{}` can not be overridden: {why}", ask.guard.word());
        bad.push(field("guard", what));
    }
    if ask.reason.trim().is_empty() || ask.reason.chars().count() > REASON_CHARS_MAX {
        let what = format!("say why in 1 to {REASON_CHARS_MAX} characters");
        bad.push(field("reason", what));
    }
    if !(FOR_S_MIN..=FOR_S_MAX).contains(&for_s) {
        let what = format!("use {FOR_S_MIN} to {FOR_S_MAX} seconds");
        bad.push(field("for_s", what));
    }
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

fn field(name: &str, what: String) -> FieldError {
    FieldError {
        field: name.to_owned(),
        what,
    }
}

fn answer(stored: StoredOverride) -> OverrideAnswer {
    OverrideAnswer {
        id: stored.id,
        application: stored.application,
        guard: stored.given.guard,
        person: stored.given.person,
        reason: stored.given.reason,
        made_at: stored.given.at,
        until: stored.until,
    }
}
