//! The kill switch: whether anything may be rolled back without a person who asked for it.

use axum::Json;
use domain::{
    name::{Actor, ApplicationName, RollbackId},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use store::SwitchedOff;
use utoipa::ToSchema;

use super::applications::{ApplicationPath, find};
use crate::{
    auth::{Operate, Permit, Read},
    input::{At, Input},
    problem::{FieldError, Problem},
};

/// Longest reason.
const REASON_CHARS_MAX: usize = 500;

/// What to switch, and why.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"automatic": false, "reason": "the database is being moved"}))]
pub struct AutomaticRequest {
    /// Whether rollbacks may start by themselves.
    pub automatic: bool,
    /// Why, for whoever wonders later.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    pub reason: String,
}

/// What was switched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutomaticAnswer {
    /// For which application; absent for every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationName>,
    /// Whether rollbacks may start by themselves, as far as this switch goes.
    pub automatic: bool,
    /// Rollbacks that nobody asked for and that are called off at their next safe point.
    pub stopping: Vec<RollbackId>,
}

/// A switch that is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchedOffAnswer {
    /// For which application; absent for every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationName>,
    /// Who switched it off.
    pub by: Actor,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
    /// Why.
    pub reason: String,
}

/// Which switches are off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutomaticState {
    /// Whether rollbacks of applications that are not named in `off` may start by themselves.
    pub automatic: bool,
    /// What is off; everything else is on.
    pub off: Vec<SwitchedOffAnswer>,
}

/// Where rollbacks may not start by themselves, by whom, since when and why.
#[utoipa::path(get, path = "/api/v1/automatic", operation_id = "get_automatic", tag = "guards",
    responses((status = 200, description = "The switches that are off", body = AutomaticState)))]
pub(crate) async fn get(permit: Permit<Read>) -> Result<Json<AutomaticState>, Problem> {
    let off = permit.store().automatic_off().await?;
    let automatic = off.iter().all(|switch| switch.application.is_some());
    let visible = |switch: &SwitchedOff| {
        switch
            .application
            .as_ref()
            .is_none_or(|name| permit.sees(name))
    };
    let off = off.into_iter().filter(visible).map(Into::into).collect();
    Ok(Json(AutomaticState { automatic, off }))
}

/// Switches automatic rollbacks of every application off or on. Off also calls off those that run.
#[utoipa::path(put, path = "/api/v1/automatic", operation_id = "set_automatic", tag = "guards",
    request_body = AutomaticRequest, responses((status = 200, description = "It is switched", body = AutomaticAnswer)))]
pub(crate) async fn put(
    permit: Permit<Operate>,
    Input(ask): Input<AutomaticRequest>,
) -> Result<Json<AutomaticAnswer>, Problem> {
    permit.must_see_all()?;
    switch(&permit, None, &ask).await
}

/// Switches automatic rollbacks of one application off or on. Off also calls off one that runs.
#[utoipa::path(put, path = "/api/v1/applications/{name}/automatic", operation_id = "set_application_automatic", tag = "guards",
    params(ApplicationPath), request_body = AutomaticRequest,
    responses((status = 200, description = "It is switched", body = AutomaticAnswer)))]
pub(crate) async fn put_one(
    permit: Permit<Operate>,
    At(path): At<ApplicationPath>,
    Input(ask): Input<AutomaticRequest>,
) -> Result<Json<AutomaticAnswer>, Problem> {
    find(&permit, &path.name).await?;
    switch(&permit, Some(path.name), &ask).await
}

async fn switch(
    permit: &Permit<Operate>,
    application: Option<ApplicationName>,
    ask: &AutomaticRequest,
) -> Result<Json<AutomaticAnswer>, Problem> {
    if ask.reason.trim().is_empty() || ask.reason.chars().count() > REASON_CHARS_MAX {
        let what = format!("say why in 1 to {REASON_CHARS_MAX} characters");
        return Err(Problem::fields([FieldError {
            field: "reason".to_owned(),
            what,
        }]));
    }
    let stopping = permit
        .store()
        .automatic_set(
            application.as_ref(),
            ask.automatic,
            &ask.reason,
            permit.actor(),
        )
        .await?;
    Ok(Json(AutomaticAnswer {
        application,
        automatic: ask.automatic,
        stopping,
    }))
}

impl From<SwitchedOff> for SwitchedOffAnswer {
    fn from(off: SwitchedOff) -> Self {
        Self {
            application: off.application,
            by: off.switch.by,
            at: off.switch.at,
            reason: off.switch.reason,
        }
    }
}
