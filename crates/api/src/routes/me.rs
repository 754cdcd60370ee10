//! Who the bearer is.

use axum::Json;
use domain::{
    name::{Actor, ApplicationName},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::{Permit, PrincipalKind, Read, Role},
    problem::Problem,
};

/// Who asks, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeAnswer {
    /// The name that logs and audit entries carry.
    #[schema(example = "ana")]
    pub actor: Actor,
    /// How they are known.
    pub kind: PrincipalKind,
    /// What they may do.
    pub role: Role,
    /// The applications that they may see; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Vec<ApplicationName>>,
    /// The token used; absent on the local socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<Uuid>,
    /// When the token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Moment>,
}

/// Who you are to this server.
#[utoipa::path(get, path = "/api/v1/me", operation_id = "get_me", tag = "tokens",
    responses((status = 200, description = "Who you are", body = MeAnswer)))]
pub(crate) async fn get(permit: Permit<Read>) -> Result<Json<MeAnswer>, Problem> {
    let who = permit.principal();
    Ok(Json(MeAnswer {
        actor: who.actor.clone(),
        kind: who.kind,
        role: who.role,
        applications: who
            .applications
            .as_ref()
            .map(|names| names.iter().cloned().collect()),
        token_id: who.token.as_ref().map(|token| token.id),
        expires_at: who.token.as_ref().map(|token| token.expires_at),
    }))
}
