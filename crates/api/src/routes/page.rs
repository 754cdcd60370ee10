//! Pages of lists: a cursor in the body and the same as a `Link` header (RFC 8288).

use axum::{
    Json,
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::problem::Problem;

/// Most rows of one page.
pub const LIMIT_MAX: u32 = 100;
/// Rows of one page when nothing is said: what a terminal shows.
const LIMIT_DEFAULT: u32 = 50;

/// Which part of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// The `next` of the page before.
    pub after: Option<Uuid>,
    /// Most rows.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The rows that are asked for, or what is wrong with the number.
pub(crate) fn limit(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        rows @ 1..=LIMIT_MAX => Ok(rows),
        _ => Err(Problem::parameter("limit", format!("use 1 to {LIMIT_MAX}"))),
    }
}

/// A page as an answer.
pub(crate) struct Paged<T> {
    pub(crate) listing: Listing<T>,
    pub(crate) uri: Uri,
}

impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        let link = self
            .listing
            .next
            .as_deref()
            .map(|next| link(&self.uri, next));
        let mut response = Json(self.listing).into_response();
        if let Some(value) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            response.headers_mut().insert(header::LINK, value);
        }
        response
    }
}

fn link(uri: &Uri, next: &str) -> String {
    let kept = uri.query().unwrap_or_default().split('&');
    let kept = kept.filter(|part| !part.is_empty() && !part.starts_with("after="));
    let query = kept
        .map(ToOwned::to_owned)
        .chain([format!("after={next}")])
        .collect::<Vec<_>>();
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_keeps_the_filters() {
        let uri: Uri = "/api/v1/rollbacks?application=shop&after=1&limit=2"
            .parse()
            .unwrap();
        assert_eq!(
            link(&uri, "7"),
            "</api/v1/rollbacks?application=shop&limit=2&after=7>; rel=\"next\""
        );
    }
}
