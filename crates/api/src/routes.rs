//! Every route, in one list, each with its description. A route that is not here does not exist.

#![allow(
    unused_qualifications,
    reason = "written by utoipa's macro from each `params(...)`"
)]

use axum::{Router, middleware};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{auth::App, layers, problem::Problem};

pub mod adoptions;
pub mod applications;
pub mod approvals;
pub mod artifacts;
pub mod automatic;
pub mod builds;
pub mod chats;
pub mod checks;
pub mod decisions;
pub mod deployments;
pub mod events;
pub mod handshakes;
pub mod holds;
pub mod hooks;
pub mod me;
pub mod messages;
pub mod ops;
pub mod overrides;
pub mod page;
pub mod plans;
pub mod releases;
pub mod returns;
pub mod rollbacks;
pub mod steps;
pub mod tags;
pub mod tokens;
pub mod triggers;
pub mod windows;

fn list() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(crate::openapi::base())
        .routes(routes!(applications::list))
        .routes(routes!(
            applications::get,
            applications::put,
            applications::remove
        ))
        .routes(routes!(adoptions::look))
        .routes(routes!(deployments::list, deployments::record))
        .routes(routes!(deployments::get))
        .routes(routes!(checks::check))
        .routes(routes!(returns::list))
        .routes(routes!(releases::list))
        .routes(routes!(releases::get))
        .routes(routes!(tags::list))
        .routes(routes!(holds::put, holds::release))
        .routes(routes!(automatic::get, automatic::put))
        .routes(routes!(automatic::put_one))
        .routes(routes!(windows::list, windows::add))
        .routes(routes!(windows::remove))
        .routes(routes!(overrides::list, overrides::add))
        .routes(routes!(overrides::end))
        .routes(routes!(decisions::list, decisions::decide))
        .routes(routes!(plans::make))
        .routes(routes!(plans::get))
        .routes(routes!(rollbacks::list, rollbacks::request))
        .routes(routes!(rollbacks::get))
        .routes(routes!(rollbacks::cancel))
        .routes(routes!(builds::list))
        .routes(routes!(steps::list))
        .routes(routes!(events::stream))
        .routes(routes!(approvals::decide))
        .routes(routes!(artifacts::list))
        .routes(routes!(artifacts::get))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(triggers::list))
        .routes(routes!(triggers::get, triggers::put, triggers::remove))
        .routes(routes!(triggers::rotate))
        .routes(routes!(chats::list))
        .routes(routes!(chats::map, chats::unmap))
        .routes(routes!(chats::set_bot))
        .routes(routes!(hooks::receive, handshakes::agree))
        .routes(routes!(hooks::explain))
        .routes(routes!(messages::list))
        .routes(routes!(me::get))
        .routes(routes!(ops::live))
        .routes(routes!(ops::ready))
        .routes(routes!(ops::version))
        .routes(routes!(ops::metrics))
        .routes(routes!(ops::document))
}

/// The description of every route.
pub(crate) fn document() -> OpenApi {
    crate::openapi::finish(list().into_openapi())
}

/// The router with every layer.
pub(crate) fn router(app: App) -> Router {
    let (router, _) = list().split_for_parts();
    let known = layers::KnownQueries::of(&document());
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(axum::extract::DefaultBodyLimit::max(
            crate::input::BODY_BYTES_MAX,
        ))
        .layer(middleware::from_fn_with_state(known, layers::known_query))
        .layer(middleware::from_fn(layers::canonical))
        .layer(middleware::from_fn(layers::each))
        .with_state(app)
}

async fn no_route(uri: axum::http::Uri) -> Problem {
    Problem::no_route(uri.path())
}

async fn no_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    Problem::method(method.as_str(), uri.path())
}
