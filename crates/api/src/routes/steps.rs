//! The steps of a rollback, each with its state.

use axum::Json;
use domain::time::Moment;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rollbacks::{RollbackPath, find};
use crate::{
    auth::{Permit, Read},
    input::At,
    problem::Problem,
    projection,
};

/// One step of a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepProgress {
    /// Its number, from 1.
    pub number: u32,
    /// It in one or two words.
    #[schema(example = "switch api")]
    pub title: String,
    /// It as a plain sentence.
    pub sentence: String,
    /// Where it is.
    pub state: StepState,
    /// When it was begun; on the way back, when its undoing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Moment>,
    /// How long it, or its undoing, took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What was found, or what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Under way.
    Running,
    /// What it wants is what is.
    Done,
    /// Given up; the rollback goes on without it.
    Skipped,
    /// Under way back.
    Undoing,
    /// Taken back.
    Undone,
    /// The run ended at it.
    Failed,
}

/// Every step of a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepsAnswer {
    /// The steps, in order.
    pub items: Vec<StepProgress>,
}

/// The steps of a rollback, each with its state, times and note.
#[utoipa::path(get, path = "/api/v1/rollbacks/{id}/steps", operation_id = "list_steps", tag = "rollbacks",
    params(RollbackPath), responses((status = 200, description = "The steps", body = StepsAnswer)))]
pub(crate) async fn list(
    permit: Permit<Read>,
    At(path): At<RollbackPath>,
) -> Result<Json<StepsAnswer>, Problem> {
    let view = find(&permit, path.id).await?;
    let events = super::events::whole_log(permit.store(), path.id).await?;
    Ok(Json(StepsAnswer {
        items: projection::steps(&view.plan, &projection::logged(&events)),
    }))
}
