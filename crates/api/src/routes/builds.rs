//! The builds of a rollback: how far each is, and the last lines of its log.

use axum::Json;
use domain::{
    name::{ComponentName, ImageId},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use store::{BuildState, BuildView};
use utoipa::ToSchema;

use super::rollbacks::{RollbackPath, find};
use crate::{
    auth::{Operate, Permit},
    input::At,
    problem::Problem,
};

/// The builds of a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildsAnswer {
    /// In the order in which they began.
    pub items: Vec<BuildAnswer>,
}

/// One build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildAnswer {
    /// The component.
    pub component: ComponentName,
    /// How far it is.
    pub state: BuildStateWord,
    /// The image that it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// Whether that is the image that the ledger had; a build is seldom the same to the byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as_ledger: Option<bool>,
    /// How many lines its log has so far.
    pub lines: u32,
    /// The last of them, at most 16 KiB.
    pub tail: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub begun_at: Moment,
    /// When it was last heard of.
    #[schema(value_type = String, format = DateTime)]
    pub told_at: Moment,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildStateWord {
    /// It goes on.
    Building,
    /// Its image is there.
    Built,
    /// It failed.
    Failed,
    /// What it left was removed.
    Dropped,
}

/// The builds of a rollback. A log may hold what a Dockerfile prints, so only who may operate reads it.
#[utoipa::path(get, path = "/api/v1/rollbacks/{id}/builds", operation_id = "list_builds", tag = "rollbacks",
    params(RollbackPath), responses((status = 200, description = "The builds", body = BuildsAnswer)))]
pub(crate) async fn list(
    permit: Permit<Operate>,
    At(path): At<RollbackPath>,
) -> Result<Json<BuildsAnswer>, Problem> {
    let view = find(&permit, path.id).await?;
    let builds = permit.store().builds(path.id).await?;
    let ledger = |component: &ComponentName| {
        view.plan
            .swaps_of(component)
            .map(|swap| swap.image.clone())
            .next()
    };
    let items = builds
        .into_iter()
        .map(|build| answer(ledger(&build.component), build))
        .collect();
    Ok(Json(BuildsAnswer { items }))
}

fn answer(ledger: Option<ImageId>, build: BuildView) -> BuildAnswer {
    let facts = build.facts;
    BuildAnswer {
        component: build.component,
        state: match facts.state {
            BuildState::Building => BuildStateWord::Building,
            BuildState::Built => BuildStateWord::Built,
            BuildState::Failed => BuildStateWord::Failed,
            BuildState::Dropped => BuildStateWord::Dropped,
        },
        same_as_ledger: facts
            .image
            .as_ref()
            .zip(ledger)
            .map(|(image, ledger)| *image == ledger),
        image: facts.image,
        lines: facts.lines,
        tail: facts.tail,
        begun_at: build.begun_at,
        told_at: build.told_at,
    }
}
