//! What every request passes, outermost first: id, span, time limit, panic guard, canonical path, known query.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use tracing::Instrument as _;
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn},
};
use uuid::Uuid;

use crate::{metric, problem::Problem};

/// How long a request may take. Streams and long polls bound themselves.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest request id that is taken from a client.
const REQUEST_ID_CHARS_MAX: usize = 64;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The same where the site's own Compose is asked, which takes seconds on a busy machine.
const ADOPTION_TIMEOUT: Duration = Duration::from_secs(50);

/// How long a request may take. Long polls and streams have limits of their own.
fn limit(request: &Request) -> Option<Duration> {
    let path = request.uri().path();
    if path.ends_with("/adoptions") {
        return Some(ADOPTION_TIMEOUT);
    }
    let waits = request
        .uri()
        .query()
        .is_some_and(|query| query.split('&').any(|part| part.starts_with("wait=")));
    (!waits && !path.ends_with("/events")).then_some(REQUEST_TIMEOUT)
}

/// Id, span, metrics, time limit and panic guard of one request; renders problems with the id.
pub(crate) async fn each(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none".to_owned(), |path| path.as_str().to_owned());
    let method = known_method(request.method());
    let span = tracing::info_span!(
        "request",
        request.id = %id,
        method,
        route,
        actor = tracing::field::Empty,
        status = tracing::field::Empty
    );
    let began = Instant::now();
    let mut response = limited(request, next).instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let headers = std::mem::take(response.headers_mut());
        response = problem.answer(&id);
        for (name, value) in &headers {
            response
                .headers_mut()
                .entry(name)
                .or_insert_with(|| value.clone());
        }
    }
    finish(&mut response, &id);
    let status = response.status().as_u16();
    span.record("status", status);
    metric::request(method, &route, status, began.elapsed());
    span.in_scope(|| {
        tracing::info!(
            status,
            duration_ms = began.elapsed().as_millis(),
            "answered"
        )
    });
    response
}

async fn limited(request: Request, next: Next) -> Response {
    let limit = limit(&request);
    let guarded = std::panic::AssertUnwindSafe(next.run(request)).catch_unwind();
    let caught = match limit {
        None => guarded.await,
        Some(limit) => match tokio::time::timeout(limit, guarded).await {
            Ok(caught) => caught,
            Err(_) => return Problem::timed_out(limit.as_secs()).into_response(),
        },
    };
    caught.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        Problem::internal().into_response()
    })
}

fn finish(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// The client's id when it is plain; a new one otherwise.
fn request_id(request: &Request) -> String {
    let given = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    given
        .filter(plain)
        .map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned)
}

/// Methods are a closed set in metrics: a client may invent any.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Refuses a path that could be read in more than one way.
pub(crate) async fn canonical(request: Request, next: Next) -> Response {
    if is_canonical(request.uri().path()) {
        next.run(request).await
    } else {
        Problem::path_not_canonical().into_response()
    }
}

fn is_canonical(path: &str) -> bool {
    let plain = path == "/"
        || path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/')
                .all(|segment| !matches!(segment, "" | "." | ".."))
        });
    plain && !path.contains([';', '\\']) && escapes_are_needed(path)
}

/// An escape of a byte that needs none, or of one that would change the path's shape, has no honest use.
fn escapes_are_needed(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let byte = rest
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.is_some_and(|byte| {
            let unreserved =
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            let shape = matches!(byte, b'/' | b'\\' | b';' | b'%') || byte.is_ascii_control();
            !unreserved && !shape
        })
    })
}

/// The query parameters that each route knows, from its own description.
#[derive(Clone, Debug)]
pub(crate) struct KnownQueries(Arc<BTreeMap<(String, &'static str), BTreeSet<String>>>);

impl KnownQueries {
    pub(crate) fn of(document: &OpenApi) -> Self {
        let mut known = BTreeMap::new();
        for (path, item) in &document.paths.paths {
            let operations = [
                ("GET", &item.get),
                ("PUT", &item.put),
                ("POST", &item.post),
                ("DELETE", &item.delete),
            ];
            for (method, operation) in operations {
                let Some(operation) = operation else { continue };
                known.insert((path.clone(), method), query_names(operation));
            }
        }
        Self(Arc::new(known))
    }
}

fn query_names(operation: &Operation) -> BTreeSet<String> {
    let described = operation
        .parameters
        .iter()
        .flatten()
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
                Some(parameter.name.clone())
            }
            RefOr::T(_) | RefOr::Ref(_) => None,
        });
    described.collect()
}

/// Refuses a query parameter that the route does not know: a typing error must not pass for "no filter".
pub(crate) async fn known_query(
    State(known): State<KnownQueries>,
    request: Request,
    next: Next,
) -> Response {
    let Some(query) = request.uri().query() else {
        return next.run(request).await;
    };
    let method = if request.method() == Method::HEAD {
        "GET"
    } else {
        known_method(request.method())
    };
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or(String::new(), |path| path.as_str().to_owned());
    if let Some(names) = known.0.get(&(route, method)) {
        let unknown = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split('=').next().unwrap_or(part))
            .find(|name| !names.contains(*name));
        if let Some(name) = unknown {
            return Problem::parameter(name, said(names)).into_response();
        }
    }
    next.run(request).await
}

fn said(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "is not known: this route takes no query parameters".to_owned();
    }
    let list = names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("`, `");
    format!("is not known: this route knows `{list}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_reading_or_is_refused() {
        for path in [
            "/",
            "/api/v1/me",
            "/api/v1/applications/shop/releases/1.4.2%2B7",
            "/x/%C3%A4",
        ] {
            assert!(is_canonical(path), "{path} was refused");
        }
        for path in [
            "//",
            "/a//b",
            "/a/",
            "/a/../b",
            "/a/./b",
            "/a;b",
            "/%2e%2e/b",
            "/a%2fb",
            "/%61",
            "/a%",
            "/a%2",
            "/a%00",
            "/a%252f",
            "a",
        ] {
            assert!(!is_canonical(path), "{path} was let in");
        }
    }
}
