//! Problem details (RFC 9457): the only place that makes an answer that is not a success.

use axum::{
    Json,
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    application::BadField,
    name::{ApplicationName, ComponentName, PlanDigest, RollbackId},
    planner::Blocker,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod approval;
mod code;
mod from;
mod message;
mod source;

pub use code::Code;

/// Seconds after which a client may try again when something that we need is away.
const RETRY_AFTER_S: u32 = 2;

/// Why a request was not done, and what to do about it (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable identity of the kind of problem: `/problems/` and the code.
    #[serde(rename = "type")]
    #[schema(example = "/problems/plan_stale", pattern = "^/problems/[a-z_]+$")]
    pub kind: String,
    /// The kind of problem in a few words.
    #[schema(example = "The plan is no longer true")]
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 412)]
    pub status: u16,
    /// What is the matter with this request, in a sentence.
    pub detail: String,
    /// This occurrence: `/requests/` and the `x-request-id` that logs and traces carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/requests/0199c0de-7a11-7000-8000-000000000001")]
    pub instance: Option<String>,
    /// Stable code, for programs.
    pub code: Code,
    /// The fields that are wrong, each with what to write instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What to do next, most useful first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_actions: Vec<String>,
    /// What this problem means for production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production_state: Option<String>,
    /// The rollback that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_id: Option<RollbackId>,
    /// What stands in the way of a plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
    /// How the plan that would be made now differs from the one that was named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub difference: Vec<String>,
    /// The digest of the plan that would be made now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<PlanDigest>,
    /// Headers that belong to the answer.
    #[serde(skip)]
    headers: Vec<(HeaderNameText, String)>,
}

type HeaderNameText = &'static str;

/// One wrong field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Path of the field, such as `components[1].probes[0].path`; a header or parameter by its name.
    #[schema(example = "target.version")]
    pub field: String,
    /// What is wrong and what to write instead.
    pub what: String,
}

impl From<BadField> for FieldError {
    fn from(bad: BadField) -> Self {
        Self {
            field: bad.field,
            what: bad.what,
        }
    }
}

impl Problem {
    /// A problem of this kind, as this sentence.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{}", code.word()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.into(),
            instance: None,
            code,
            errors: Vec::new(),
            next_actions: Vec::new(),
            production_state: None,
            rollback_id: None,
            blockers: Vec::new(),
            difference: Vec::new(),
            plan_digest: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn next(mut self, action: impl Into<String>) -> Self {
        self.next_actions.push(action.into());
        self
    }

    pub(crate) fn field(mut self, field: impl Into<String>, what: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            field: field.into(),
            what: what.into(),
        });
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn production(mut self, state: impl Into<String>) -> Self {
        self.production_state = Some(state.into());
        self
    }

    fn try_again(self) -> Self {
        self.header("retry-after", RETRY_AFTER_S.to_string())
    }

    /// The answer, naming the request that it belongs to.
    pub(crate) fn answer(mut self, request_id: &str) -> Response {
        self.instance = Some(format!("/requests/{request_id}"));
        self.render()
    }

    fn render(mut self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = std::mem::take(&mut self.headers);
        let mut response = (status, Json(&self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

impl IntoResponse for Problem {
    /// The problem travels as an extension: the outermost layer knows the request's id and renders it.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// Problems with one way to say them.
impl Problem {
    pub(crate) fn no_route(path: &str) -> Self {
        Self::new(Code::NotFound, format!("there is nothing at `{path}`"))
            .next("see /openapi.json for every route")
    }

    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        Self::new(
            Code::NotFound,
            format!("there is no {what} `{name}` that you may see"),
        )
    }

    pub(crate) fn method(method: &str, path: &str) -> Self {
        Self::new(
            Code::MethodNotAllowed,
            format!("`{path}` knows no {method}"),
        )
        .next("use one of the methods in the `allow` header")
    }

    pub(crate) fn path_not_canonical() -> Self {
        Self::new(
            Code::PathNotCanonical,
            "the path has more than one way to be read",
        )
        .next("send it without `//`, `.` or `..` segments, `;`, a last `/`, or needless %-escapes")
    }

    pub(crate) fn parameter(name: &str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::new(Code::BadParameter, format!("`{name}`: {what}")).field(name, what)
    }

    pub(crate) fn malformed_json(said: &str) -> Self {
        Self::new(Code::MalformedJson, format!("the body is not JSON: {said}"))
            .next("send one JSON object, UTF-8")
    }

    pub(crate) fn media_type(given: Option<&str>) -> Self {
        let given = given.map_or("no content-type".to_owned(), |given| format!("`{given}`"));
        Self::new(
            Code::MediaType,
            format!("the request has {given}; this route reads JSON"),
        )
        .next("send `content-type: application/json`")
    }

    pub(crate) fn body_too_large(bytes_max: usize) -> Self {
        Self::new(
            Code::BodyTooLarge,
            format!("the body is longer than {bytes_max} bytes"),
        )
        .header("connection", "close")
    }

    pub(crate) fn body_too_slow(seconds: u64) -> Self {
        Self::new(
            Code::BodyTooSlow,
            format!("the body did not arrive within {seconds} s"),
        )
        .header("connection", "close")
    }

    pub(crate) fn fields(bad: impl IntoIterator<Item = impl Into<FieldError>>) -> Self {
        let errors: Vec<FieldError> = bad.into_iter().map(Into::into).collect();
        let said = errors
            .iter()
            .map(|bad| format!("`{}`: {}", bad.field, bad.what));
        let detail = said.collect::<Vec<_>>().join("; ");
        Self {
            errors,
            ..Self::new(Code::InvalidFields, detail)
        }
    }

    /// `other` is named only to who may see it.
    pub(crate) fn component_claimed(
        component: &ComponentName,
        other: Option<&ApplicationName>,
    ) -> Self {
        let other = other.map_or("another application", ApplicationName::as_str);
        let what = format!(
            "{component} is a component of {other} already; a container belongs to one application: take it out of one \
             of them"
        );
        let field = "components".to_owned();
        Self::fields([FieldError { field, what }])
    }

    pub(crate) fn unauthenticated(why: &str) -> Self {
        Self::new(Code::Unauthenticated, why)
            .next("send `authorization: Bearer rb_...`; `sternway token create` makes a token")
            .header("www-authenticate", "Bearer realm=\"sternway\"")
    }

    pub(crate) fn forbidden(role: &str, act: &str) -> Self {
        Self::new(Code::Forbidden, format!("the role {role} may not {act}")).next(format!(
            "ask somebody who may {act}, or for a token that may"
        ))
    }

    pub(crate) fn self_approval(person: &str) -> Self {
        Self::new(
            Code::SelfApproval,
            format!("{person} asked for this rollback, so somebody else has to approve it"),
        )
        .next("ask another approver")
    }

    pub(crate) fn too_many_failures(seconds: u64) -> Self {
        Self::new(
            Code::TooManyFailures,
            "too many refused tokens came from this address",
        )
        .next(format!("wait {seconds} s, then send a token that is valid"))
        .header("retry-after", seconds.to_string())
    }

    pub(crate) fn revision_required(revision: i32) -> Self {
        Self::new(
            Code::RevisionRequired,
            format!("the application exists at revision {revision}; say which one you change"),
        )
        .next("GET it, then send its `etag` as `if-match`")
    }

    pub(crate) fn revision_stale() -> Self {
        Self::new(
            Code::RevisionStale,
            "the application was changed since you read it",
        )
        .next("GET it again, make your change on that, and send its new `etag`")
    }

    pub(crate) fn rollback_active(active: RollbackId, application: &str) -> Self {
        let detail = format!("rollback {active} of {application} is active; one at a time may act");
        Self {
            rollback_id: Some(active),
            ..Self::new(Code::RollbackActive, detail)
        }
        .next(format!("watch it: `sternway watch {active}`"))
        .next(format!("or call it off: `sternway cancel {active}`"))
        .production("This request changed nothing; the active rollback goes on.")
    }

    pub(crate) fn plan_unknown(digest: &PlanDigest) -> Self {
        Self::new(
            Code::PlanUnknown,
            format!("there is no plan {digest} that you may see"),
        )
        .next("make one: POST /api/v1/applications/{name}/plans")
        .production("Nothing was changed: what runs goes on serving.")
    }

    pub(crate) fn plan_stale(digest: PlanDigest, difference: Vec<String>) -> Self {
        let detail = format!(
            "reality has moved since the plan was made: {}",
            difference.join("; ")
        );
        Self {
            difference,
            plan_digest: Some(digest),
            ..Self::new(Code::PlanStale, detail)
        }
        .next("read the new plan: GET /api/v1/plans/{plan_digest}, then request that one")
        .production("Nothing was changed: what runs goes on serving.")
    }

    pub(crate) fn plan_blocked(blockers: Vec<Blocker>) -> Self {
        let said = blockers
            .iter()
            .map(|blocker| blocker.sentence.as_str())
            .collect::<Vec<_>>();
        let next_actions = blockers
            .iter()
            .map(|blocker| blocker.next_action.clone())
            .collect();
        let detail = said.join("; ");
        Self {
            next_actions,
            blockers,
            ..Self::new(Code::PlanBlocked, detail)
        }
        .production("Nothing was changed: what runs goes on serving.")
    }

    pub(crate) fn nothing_to_do(version: &str) -> Self {
        Self::new(
            Code::NothingToDo,
            format!("{version} is what runs: there is nothing to roll back"),
        )
        .next("name another version, or see `sternway status`")
        .production("Nothing was changed or restarted.")
    }

    pub(crate) fn rollback_ended(rollback: RollbackId, verdict: &str) -> Self {
        let detail = format!("rollback {rollback} has ended: {verdict}");
        Self {
            rollback_id: Some(rollback),
            ..Self::new(Code::RollbackEnded, detail)
        }
        .next("to go elsewhere from here, make a new plan")
    }

    pub(crate) fn cancel_too_late(rollback: RollbackId, why: &str) -> Self {
        let detail = format!("rollback {rollback} can not be called off any more: {why}");
        Self {
            rollback_id: Some(rollback),
            ..Self::new(Code::CancelTooLate, detail)
        }
        .next("wait for its end, and make a new plan from there")
    }

    pub(crate) fn digest_differs(digest: &PlanDigest) -> Self {
        Self::new(
            Code::PlanStale,
            format!("the rollback's plan is {digest}, not the one you name"),
        )
        .next("read that plan, and approve it by its digest")
        .with_digest(digest)
    }

    fn with_digest(mut self, digest: &PlanDigest) -> Self {
        self.plan_digest = Some(digest.clone());
        self
    }

    pub(crate) fn image_unknown(errors: Vec<FieldError>) -> Self {
        let said = errors
            .iter()
            .map(|error| error.what.as_str())
            .collect::<Vec<_>>()
            .join("; ");
        Self {
            errors,
            ..Self::new(Code::ImageUnknown, said)
        }
        .next(
            "load or pull the image on the application's engine, then record the deployment again",
        )
    }

    pub(crate) fn key_reused() -> Self {
        Self::new(
            Code::IdempotencyKeyReused,
            "this `idempotency-key` was used with another request body",
        )
        .field(
            "idempotency-key",
            "use a new key for a new request, or repeat the former body",
        )
        .production("This request changed nothing.")
    }

    pub(crate) fn key_bad(what: &str) -> Self {
        Self::new(Code::IdempotencyKey, format!("`idempotency-key` {what}"))
            .field("idempotency-key", what)
            .next(
                "send a random key per intent, such as a UUID, and the same one when you repeat it",
            )
    }

    pub(crate) fn engine_unreachable(why: &str) -> Self {
        Self::new(
            Code::EngineUnreachable,
            format!("the engine could not be looked at: {why}"),
        )
        .next("see that the Docker engine answers and that a worker runs: `sternway doctor`")
        .production("Nothing was changed; what the engine runs is not known at this moment.")
        .try_again()
    }

    pub(crate) fn not_adoptable(said: &str) -> Self {
        Self::new(
            Code::NotAdoptable,
            format!("the project could not be understood: {said}"),
        )
        .next("see that the engine answers and that the project's containers run, then ask again")
    }

    pub(crate) fn timed_out(seconds: u64) -> Self {
        Self::new(
            Code::TimedOut,
            format!("no answer could be had within {seconds} s"),
        )
        .next("look whether it was done before you repeat it; with the same key it is done once")
        .try_again()
    }

    pub(crate) fn too_many_streams() -> Self {
        Self::new(
            Code::TooManyStreams,
            "too many clients wait or stream already",
        )
        .next("ask without `wait`, or close a stream")
        .try_again()
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            Code::Internal,
            "something failed that should not; the log of this request says what",
        )
        .next("look for `instance` in the server's log")
    }
}

#[cfg(test)]
mod tests;
