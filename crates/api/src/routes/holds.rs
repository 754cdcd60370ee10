//! Holds: releases that may not come back until a person releases them.

use axum::Json;
use domain::name::{Actor, ApplicationName, Version};
use serde::{Deserialize, Serialize};
use store::NewHold;
use utoipa::ToSchema;

use super::{applications::find, releases::ReleasePath, rollbacks::PinAnswer};
use crate::{
    auth::{Operate, Permit},
    input::{At, Input},
    problem::{FieldError, Problem},
};

/// Longest reason.
const REASON_CHARS_MAX: usize = 500;

/// Why a release is held.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "loses orders under load"}))]
pub struct HoldRequest {
    /// Why, for whoever wonders later.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    pub reason: String,
    /// Whether it is insecure: below the security floor for good.
    #[serde(default)]
    pub insecure: bool,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldAnswer {
    /// The application.
    pub application: ApplicationName,
    /// The version held.
    pub version: Version,
    /// Why.
    pub reason: String,
    /// Whether it is insecure.
    pub insecure: bool,
    /// By whom.
    pub held_by: Actor,
}

/// Holds a release: it is chosen by nobody and nothing until the hold is released.
#[utoipa::path(put, path = "/api/v1/applications/{name}/releases/{version}/hold", operation_id = "hold_release", tag = "ledger",
    params(ReleasePath), request_body = HoldRequest, responses((status = 200, description = "It is held", body = HoldAnswer)))]
pub(crate) async fn put(
    permit: Permit<Operate>,
    At(path): At<ReleasePath>,
    Input(ask): Input<HoldRequest>,
) -> Result<Json<HoldAnswer>, Problem> {
    find(&permit, &path.name).await?;
    if ask.reason.trim().is_empty() || ask.reason.chars().count() > REASON_CHARS_MAX {
        let what = format!("say why in 1 to {REASON_CHARS_MAX} characters");
        return Err(Problem::fields([FieldError {
            field: "reason".to_owned(),
            what,
        }]));
    }
    let held_by = permit.actor().clone();
    permit
        .store()
        .hold_put(&NewHold {
            application: path.name.clone(),
            version: path.version.clone(),
            reason: ask.reason.clone(),
            insecure: ask.insecure,
            by: held_by.clone(),
        })
        .await?;
    let (application, version) = (path.name, path.version);
    Ok(Json(HoldAnswer {
        application,
        version,
        reason: ask.reason,
        insecure: ask.insecure,
        held_by,
    }))
}

/// A release whose holds were released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldReleasedAnswer {
    /// The application.
    pub application: ApplicationName,
    /// The version that may come back.
    pub version: Version,
    /// Whether it is held: `false`.
    pub held: bool,
    /// The files that a rollback wrote another version into. Each says its former one again within seconds, unless it
    /// was edited since; `pins` of `GET /api/v1/rollbacks/{rollback_id}` says when, or why not.
    pub pins: Vec<PinAnswer>,
}

/// Releases every hold of a release. Files that the rollbacks which held it wrote a version into are put back soon after.
#[utoipa::path(delete, path = "/api/v1/applications/{name}/releases/{version}/hold", operation_id = "free_release", tag = "ledger",
    params(ReleasePath), responses((status = 200, description = "It may come back", body = HoldReleasedAnswer)))]
pub(crate) async fn release(
    permit: Permit<Operate>,
    At(path): At<ReleasePath>,
) -> Result<Json<HoldReleasedAnswer>, Problem> {
    find(&permit, &path.name).await?;
    let store = permit.store();
    // Before the release: the worker may be quick.
    let pins = store.pins_held(&path.name, &path.version).await?;
    let released = store.hold_release(&path.name, &path.version, permit.actor());
    match released.await? {
        0 => Err(Problem::not_found("hold of", path.version.as_str())),
        _ => Ok(Json(HoldReleasedAnswer {
            application: path.name,
            version: path.version,
            held: false,
            pins: pins.into_iter().map(Into::into).collect(),
        })),
    }
}
