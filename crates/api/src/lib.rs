#![doc = include_str!("../README.md")]
#![expect(
    clippy::result_large_err,
    reason = "a refusal is made once per request; boxing it would only move it"
)]

mod auth;
mod chat;
mod clock;
pub mod edge;
mod input;
mod layers;
mod look;
mod metric;
mod openapi;
mod problem;
mod projection;
pub mod routes;
mod sentences;
mod serve;

pub use auth::{
    Act, NotReady, PrincipalKind, ReadinessCheck, Role, SETUP_TOKEN_MINUTES, Token, TokenType,
    setup_token,
};
pub use edge::BindError;
pub use input::{BODY_BYTES_MAX, BODY_TIMEOUT};
pub use layers::REQUEST_TIMEOUT;
pub use look::LOOK_TIMEOUT;
pub use metric::{REQUEST_BUCKETS, REQUESTS};
pub use problem::{Code, FieldError, Problem};
pub use serve::{ApiSettings, Server, Surroundings, serve};

/// The description of the API, OpenAPI 3.1.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes::document()
}
