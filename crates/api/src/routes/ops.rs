//! What operators of this server ask: open to everybody, and without any fact of an application.

use std::sync::LazyLock;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{App, NotReady};

/// Whether the process lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveAnswer {
    /// `live`.
    #[schema(example = "live")]
    pub status: String,
}

/// Whether the process can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyAnswer {
    /// Whether it can.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<NotReady>,
}

/// What this server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionAnswer {
    /// `sternway`.
    #[schema(example = "sternway")]
    pub name: String,
    /// Version of the binary.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// Newest plan format that it knows.
    pub plan_format: i16,
}

/// Whether the process lives: restart it when this does not answer.
#[utoipa::path(get, path = "/health/live", operation_id = "get_live", tag = "operations", security(()),
    responses((status = 200, description = "It lives", body = LiveAnswer)))]
pub(crate) async fn live() -> Json<LiveAnswer> {
    Json(LiveAnswer {
        status: "live".to_owned(),
    })
}

/// Whether the process can do its work: send no traffic when not.
#[utoipa::path(get, path = "/health/ready", operation_id = "get_ready", tag = "operations", security(()),
    responses((status = 200, description = "It can", body = ReadyAnswer), (status = 503, description = "It can not: see `reasons`", body = ReadyAnswer)))]
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<ReadyAnswer>) {
    let reasons = app.not_ready().await;
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(ReadyAnswer {
            ready: reasons.is_empty(),
            reasons,
        }),
    )
}

/// What this server is.
#[utoipa::path(get, path = "/version", operation_id = "get_version", tag = "operations", security(()),
    responses((status = 200, description = "The version", body = VersionAnswer)))]
pub(crate) async fn version(State(app): State<App>) -> Json<VersionAnswer> {
    let version = app.version().to_owned();
    Json(VersionAnswer {
        name: "sternway".to_owned(),
        version,
        plan_format: domain::plan::PLAN_FORMAT,
    })
}

/// Metrics in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "operations", security(()),
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(app): State<App>) -> ([(HeaderName, &'static str); 1], String) {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        app.metrics(),
    )
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", operation_id = "get_openapi", tag = "operations", security(()),
    responses((status = 200, description = "The description, OpenAPI 3.1", body = Object)))]
pub(crate) async fn document() -> ([(HeaderName, &'static str); 1], Bytes) {
    /// Made once: it is long, and anybody may ask for it as often as they like.
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        let text = serde_json::to_vec(&crate::routes::document());
        Bytes::from(text.expect("a description has only string keys"))
    });
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone())
}
