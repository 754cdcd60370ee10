//! Definitions of applications, each change against the revision that was read.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use domain::{
    application::Application,
    name::{ApplicationName, Version},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use store::{Constraint, Listed, Page};
use utoipa::{IntoParams, ToSchema};

use super::{
    page::{Listing, Paged, limit},
    returns::ReturnAnswer,
};
use crate::{
    auth::{Administer, Permit, Read},
    input::{At, Input, Params, header_text},
    problem::Problem,
};

/// Names one application.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ApplicationPath {
    /// Name of the application.
    #[param(inline, example = "shop")]
    pub name: ApplicationName,
}

/// Which applications.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ApplicationParams {
    /// The `next` of the page before.
    #[param(inline)]
    pub after: Option<ApplicationName>,
    /// Most rows.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
}

/// One application in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApplicationItem {
    /// The definition.
    pub application: Application,
    /// Its revision, to be sent as `if-match` in quotes.
    pub revision: i32,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Moment,
    /// The held release that is back, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<ReturnAnswer>,
}

/// A definition with its revision as `etag`.
pub(crate) struct Revised {
    application: Application,
    revision: i32,
    status: StatusCode,
    /// The held release that is back.
    returned: Option<Version>,
}

impl IntoResponse for Revised {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.application)).into_response();
        if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", self.revision)) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        // Not in the body: that is the definition, and `PUT` takes it back as it is.
        if let Some(Ok(version)) = self
            .returned
            .map(|version| HeaderValue::from_str(version.as_str()))
        {
            response.headers_mut().insert("sternway-returned", version);
        }
        response
    }
}

/// The applications that you may see, by name.
#[utoipa::path(get, path = "/api/v1/applications", operation_id = "list_applications", tag = "applications",
    params(ApplicationParams), responses((status = 200, description = "A page of applications", body = Listing<ApplicationItem>,
        headers(("link" = String, description = "The next page, RFC 8288")))))]
pub(crate) async fn list(
    permit: Permit<Read>,
    Params(page): Params<ApplicationParams>,
    uri: Uri,
) -> Result<Paged<ApplicationItem>, Problem> {
    let asked = Page {
        after: page.after,
        limit: limit(page.limit)?,
    };
    let listed = self::page(&permit, &asked).await?;
    let listing = Listing {
        items: listed.items,
        next: listed.next.map(|name| name.to_string()),
    };
    Ok(Paged { listing, uri })
}

/// The applications that a permit may see.
pub(crate) async fn page(
    permit: &Permit<Read>,
    asked: &Page<ApplicationName>,
) -> Result<Listed<ApplicationItem, ApplicationName>, Problem> {
    // Not filtered afterwards: the page's end would name what may not be seen.
    let within = permit.principal().applications.as_ref();
    let within: Option<Vec<_>> = within.map(|names| names.iter().cloned().collect());
    let listed = permit
        .store()
        .application_list(within.as_deref(), asked)
        .await?;
    let mut items = Vec::new();
    for stored in listed.items {
        let returned = permit.store().return_open(&stored.application.name).await?;
        items.push(ApplicationItem {
            application: stored.application,
            revision: stored.revision,
            updated_at: stored.updated_at,
            returned: returned.map(Into::into),
        });
    }
    Ok(Listed {
        items,
        next: listed.next,
    })
}

/// One application's definition. `PUT` takes it back as it is.
#[utoipa::path(get, path = "/api/v1/applications/{name}", operation_id = "get_application", tag = "applications",
    params(ApplicationPath), responses((status = 200, description = "The definition", body = Application,
        headers(("etag" = String, description = "Its revision, for `if-match`"),
            ("sternway-returned" = String, description = "The held version that runs again, when one does; `/returns` says more")))))]
pub(crate) async fn get(
    permit: Permit<Read>,
    At(path): At<ApplicationPath>,
) -> Result<Revised, Problem> {
    let (application, revision) = find(&permit, &path.name).await?;
    let returned = permit.store().return_open(&path.name).await?;
    Ok(Revised {
        application,
        revision,
        status: StatusCode::OK,
        returned: returned.map(|found| found.version),
    })
}

/// Creates an application, or changes the revision named in `if-match`.
#[utoipa::path(put, path = "/api/v1/applications/{name}", operation_id = "put_application", tag = "applications",
    params(ApplicationPath, ("if-match" = Option<String>, Header,
        description = "The `etag` of the revision that you change; needed when the application exists",
        pattern = "^(\\*|[0-9]{1,9}|\"[0-9]{1,9}\")$", example = "\"1\"")),
    request_body = Application,
    responses(
        (status = 201, description = "It was created", body = Application, headers(("etag" = String, description = "Its revision"))),
        (status = 200, description = "It was changed, or was the same", body = Application, headers(("etag" = String, description = "Its revision"))),
        (status = 412, description = "Changed since you read it", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "`if-match` is missing", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn put(
    permit: Permit<Administer>,
    At(path): At<ApplicationPath>,
    headers: HeaderMap,
    Input(application): Input<Application>,
) -> Result<Revised, Problem> {
    permit.must_see(&path.name)?;
    if application.name != path.name {
        let what = format!("is not the name in the path; write `{}`", path.name);
        return Err(Problem::fields([crate::problem::FieldError {
            field: "name".to_owned(),
            what,
        }]));
    }
    application.check().map_err(Problem::fields)?;
    let present = present(&permit, &path.name).await?;
    let if_match = match (revision(&headers)?, present) {
        (IfMatch::Revision(revision), _) => Some(revision),
        (IfMatch::Any, Some(revision)) => Some(revision),
        (IfMatch::Any, None) => return Err(Problem::revision_stale()),
        (IfMatch::None, Some(revision)) => return Err(Problem::revision_required(revision)),
        (IfMatch::None, None) => None,
    };
    let put = permit
        .store()
        .application_put(&application, permit.actor(), if_match)
        .await
        .map_err(|error| claimed(&permit, error))?;
    let status = if put.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(Revised {
        application,
        revision: put.revision,
        status,
        returned: None,
    })
}

/// Says which component another application has; of an application that may not be seen, not its name.
fn claimed(permit: &Permit<Administer>, error: store::Error) -> Problem {
    let store::Error::Conflict(Constraint::Claimed { component, by }) = error else {
        return error.into();
    };
    let other = permit.sees(&by).then_some(&by);
    Problem::component_claimed(&component, other)
}

/// Takes an application out. Its ledger and its rollbacks stay.
#[utoipa::path(delete, path = "/api/v1/applications/{name}", operation_id = "remove_application", tag = "applications",
    params(ApplicationPath, ("if-match" = Option<String>, Header,
        description = "The `etag` of the revision that you remove", pattern = "^(\\*|[0-9]{1,9}|\"[0-9]{1,9}\")$", example = "\"1\"")),
    responses(
        (status = 204, description = "It was taken out"),
        (status = 409, description = "A rollback acts on it", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Changed since you read it", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "`if-match` is missing", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn remove(
    permit: Permit<Administer>,
    At(path): At<ApplicationPath>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (_, present) = find(&permit, &path.name).await?;
    let if_match = match revision(&headers)? {
        IfMatch::Revision(revision) => revision,
        IfMatch::Any => present,
        IfMatch::None => return Err(Problem::revision_required(present)),
    };
    permit
        .store()
        .application_remove(&path.name, permit.actor(), Some(if_match))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The definition, when it exists and may be seen.
pub(crate) async fn find<A: crate::auth::Action>(
    permit: &Permit<A>,
    name: &ApplicationName,
) -> Result<(Application, i32), Problem> {
    permit.must_see(name)?;
    match permit.store().application_get(name).await {
        Err(store::Error::NotFound(_)) => Err(Problem::not_found("application", name.as_str())),
        found => Ok(found?),
    }
}

async fn present(
    permit: &Permit<Administer>,
    name: &ApplicationName,
) -> Result<Option<i32>, Problem> {
    match permit.store().application_get(name).await {
        Ok((_, revision)) => Ok(Some(revision)),
        Err(store::Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(crate) enum IfMatch {
    None,
    Any,
    Revision(i32),
}

/// What `if-match` names.
pub(crate) fn revision(headers: &HeaderMap) -> Result<IfMatch, Problem> {
    match header_text(headers, "if-match")? {
        None => Ok(IfMatch::None),
        Some("*") => Ok(IfMatch::Any),
        // Quotes are easily lost on the way through a shell; without them it says the same.
        Some(etag) => etag
            .strip_prefix('"')
            .map_or(Some(etag), |etag| etag.strip_suffix('"'))
            .filter(|number| number.len() <= 9 && number.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|number| number.parse().ok())
            .map(IfMatch::Revision)
            .ok_or_else(|| {
                Problem::parameter(
                    "if-match",
                    "is not an `etag` of this server, such as `\"3\"`",
                )
            }),
    }
}
