//! What a rollback captured of the containers that it took out of service.

use axum::{
    Json,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use domain::{
    name::{ComponentName, ContainerId, RollbackId},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use store::{Artifact, ArtifactKind};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::rollbacks::{RollbackPath, find};
use crate::{
    auth::{Operate, Permit, Read},
    input::At,
    problem::{Code, Problem},
};

/// Names one artifact.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ArtifactPath {
    /// The artifact.
    pub id: Uuid,
}

/// What there is of a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactsAnswer {
    /// The artifacts.
    pub items: Vec<ArtifactAnswer>,
}

/// One artifact; its content is at `artifacts/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactAnswer {
    /// Its identity.
    pub id: Uuid,
    /// The rollback.
    pub rollback_id: RollbackId,
    /// The component.
    pub component: ComponentName,
    /// The container.
    pub container: ContainerId,
    /// What it is.
    pub kind: ArtifactWord,
    /// How long it is.
    pub bytes: u32,
    /// When it was stored.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Moment,
}

/// What an artifact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactWord {
    /// The last lines of the container's log.
    Logs,
    /// What the engine said of the container, environment values hidden.
    Inspect,
}

/// What a rollback captured.
#[utoipa::path(get, path = "/api/v1/rollbacks/{id}/artifacts", operation_id = "list_artifacts", tag = "rollbacks",
    params(RollbackPath), responses((status = 200, description = "The artifacts", body = ArtifactsAnswer)))]
pub(crate) async fn list(
    permit: Permit<Read>,
    At(path): At<RollbackPath>,
) -> Result<Json<ArtifactsAnswer>, Problem> {
    find(&permit, path.id).await?;
    let artifacts = permit.store().artifacts_list(path.id).await?;
    Ok(Json(ArtifactsAnswer {
        items: artifacts.into_iter().map(Into::into).collect(),
    }))
}

/// The content of one artifact. Logs may hold secrets, so looking is not enough: it needs who may operate.
#[utoipa::path(get, path = "/api/v1/artifacts/{id}", operation_id = "get_artifact", tag = "rollbacks",
    params(ArtifactPath), responses(
        (status = 200, description = "The content, as it was captured", body = String, content_type = "text/plain"),
        (status = 409, description = "It is sealed with a key that is not here", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn get(
    permit: Permit<Operate>,
    At(path): At<ArtifactPath>,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("artifact", &path.id.to_string());
    let (artifact, content) = match permit.store().artifact_get(path.id).await {
        Ok(found) => found,
        Err(store::Error::NotFound(_)) => return Err(missing()),
        Err(error) => return Err(error.into()),
    };
    let seen = find(&permit, artifact.rollback).await;
    seen.map_err(|problem| {
        if problem.is(Code::NotFound) {
            missing()
        } else {
            problem
        }
    })?;
    let mut response = content.into_response();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Ok(response)
}

impl From<Artifact> for ArtifactAnswer {
    fn from(artifact: Artifact) -> Self {
        Self {
            id: artifact.id,
            rollback_id: artifact.rollback,
            component: artifact.component,
            container: artifact.container,
            kind: match artifact.kind {
                ArtifactKind::Logs => ArtifactWord::Logs,
                ArtifactKind::Inspect => ArtifactWord::Inspect,
            },
            bytes: artifact.bytes,
            created_at: artifact.created_at,
        }
    }
}
