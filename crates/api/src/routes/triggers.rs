//! Triggers, each change against the revision that was read, and their secrets. A secret that is made here is in one
//! answer and nowhere else.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use domain::{
    name::{Actor, TriggerName},
    time::{Millis, Moment},
    trigger::{Trigger, secret},
};
use serde::{Deserialize, Serialize};
use store::{Page, StoredTrigger};
use utoipa::{IntoParams, ToSchema};

use super::{
    applications::{IfMatch, revision},
    page::{Listing, Paged, limit},
};
use crate::{
    auth::{Action, Administer, Permit},
    clock::now,
    input::{At, Input, Params},
    problem::{FieldError, Problem},
};

/// Longest that a former secret stays good: a week to find every sender that has it.
const FORMER_HOURS_MAX: u32 = 168;
/// How long it stays good when nothing is said.
const FORMER_HOURS_DEFAULT: u32 = 24;

/// Names one trigger.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TriggerPath {
    /// Name of the trigger.
    #[param(inline, example = "pagerduty")]
    pub trigger: TriggerName,
}

/// Which triggers.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TriggerParams {
    /// The `next` of the page before.
    #[param(inline)]
    pub after: Option<TriggerName>,
    /// Most rows.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
}

/// A trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TriggerAnswer {
    /// The definition. `PUT` takes it back as it is.
    pub trigger: Trigger,
    /// Its revision, to be sent as `if-match` in quotes.
    pub revision: i32,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Moment,
    /// Where its sender posts to, at this server.
    #[schema(example = "/api/v1/hooks/pagerduty")]
    pub path: String,
    /// Its secrets that are good now, the present one first, without what they are. With none, every message is refused.
    pub secrets: Vec<SecretAnswer>,
    /// When its newest message came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heard_at: Option<Moment>,
}

/// What may be told of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretAnswer {
    /// When it was set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Moment,
    /// By whom.
    pub created_by: Actor,
    /// Until when it is good; the present one has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ends_at: Option<Moment>,
}

/// A new secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRequest {
    /// The secret, as its sender shows it. Left out, one is made, where the sender does not make its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 16, max_length = 256)]
    pub secret: Option<String>,
    /// How long the former one stays good, in hours; 0 ends it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 168, default = 24)]
    pub former_hours: Option<u32>,
}

/// A secret that was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretSetAnswer {
    /// The secret, when it was made here. It is shown here and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Until when the former one is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub former_until: Option<Moment>,
    /// Where the sender posts to, at this server.
    pub path: String,
}

/// A trigger with its revision as `etag`.
pub(crate) struct Revised(StatusCode, TriggerAnswer);

impl IntoResponse for Revised {
    fn into_response(self) -> Response {
        let etag = format!("\"{}\"", self.1.revision);
        let mut response = (self.0, Json(self.1)).into_response();
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

/// Triggers by name.
#[utoipa::path(get, path = "/api/v1/triggers", operation_id = "list_triggers", tag = "triggers", params(TriggerParams),
    responses((status = 200, description = "A page of triggers", body = Listing<TriggerAnswer>,
        headers(("link" = String, description = "The next page, RFC 8288")))))]
pub(crate) async fn list(
    permit: Permit<Administer>,
    Params(ask): Params<TriggerParams>,
    uri: Uri,
) -> Result<Paged<TriggerAnswer>, Problem> {
    permit.must_see_all()?;
    let page = Page {
        after: ask.after,
        limit: limit(ask.limit)?,
    };
    let listed = permit.store().trigger_list(&page).await?;
    let listing = Listing {
        items: listed.items.into_iter().map(Into::into).collect(),
        next: listed.next.map(|name| name.to_string()),
    };
    Ok(Paged { listing, uri })
}

/// One trigger.
#[utoipa::path(get, path = "/api/v1/triggers/{trigger}", operation_id = "get_trigger", tag = "triggers", params(TriggerPath),
    responses((status = 200, description = "The trigger", body = TriggerAnswer,
        headers(("etag" = String, description = "Its revision, for `if-match`")))))]
pub(crate) async fn get(
    permit: Permit<Administer>,
    At(path): At<TriggerPath>,
) -> Result<Revised, Problem> {
    permit.must_see_all()?;
    let found = find(&permit, &path.trigger).await?;
    let missing = || Problem::not_found("trigger", path.trigger.as_str());
    Ok(Revised(StatusCode::OK, found.ok_or_else(missing)?.into()))
}

/// Creates a trigger, or changes the revision named in `if-match`. A new one has no secret yet: until it has, every
/// message is refused, in a way that has its sender try again.
#[utoipa::path(put, path = "/api/v1/triggers/{trigger}", operation_id = "put_trigger", tag = "triggers",
    params(TriggerPath, ("if-match" = Option<String>, Header,
        description = "The `etag` of the revision that you change; needed when the trigger exists",
        pattern = "^(\\*|[0-9]{1,9}|\"[0-9]{1,9}\")$", example = "\"1\"")),
    request_body = Trigger,
    responses(
        (status = 201, description = "It was created", body = TriggerAnswer, headers(("etag" = String, description = "Its revision"))),
        (status = 200, description = "It was changed, or was the same", body = TriggerAnswer, headers(("etag" = String, description = "Its revision"))),
        (status = 412, description = "Changed since you read it", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "`if-match` is missing", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn put(
    permit: Permit<Administer>,
    At(path): At<TriggerPath>,
    headers: HeaderMap,
    Input(trigger): Input<Trigger>,
) -> Result<Revised, Problem> {
    permit.must_see_all()?;
    if trigger.name != path.trigger {
        let what = format!("is not the name in the path; write `{}`", path.trigger);
        return Err(Problem::fields([FieldError {
            field: "name".to_owned(),
            what,
        }]));
    }
    trigger.check().map_err(Problem::fields)?;
    let present = find(&permit, &path.trigger).await?;
    let if_match = match (revision(&headers)?, present.as_ref()) {
        (IfMatch::Revision(revision), _) => Some(revision),
        (IfMatch::Any, Some(present)) => Some(present.revision),
        (IfMatch::Any, None) => return Err(Problem::revision_stale()),
        (IfMatch::None, Some(present)) => return Err(Problem::revision_required(present.revision)),
        (IfMatch::None, None) => None,
    };
    if let Some(present) = present.filter(|present| present.trigger.kind != trigger.kind) {
        let what = format!(
            "stays `{}`: its secrets and its events are of that kind; make another trigger",
            present.trigger.kind.word()
        );
        return Err(Problem::fields([FieldError {
            field: "kind".to_owned(),
            what,
        }]));
    }
    let put = permit
        .store()
        .trigger_put(&trigger, permit.actor(), if_match)
        .await?;
    let status = if put.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let stored = permit.store().trigger_get(&path.trigger).await?;
    Ok(Revised(status, stored.into()))
}

/// Takes a trigger out, its secrets with it. What it told and what came of that stays.
#[utoipa::path(delete, path = "/api/v1/triggers/{trigger}", operation_id = "remove_trigger", tag = "triggers",
    params(TriggerPath, ("if-match" = Option<String>, Header,
        description = "The `etag` of the revision that you remove", pattern = "^(\\*|[0-9]{1,9}|\"[0-9]{1,9}\")$", example = "\"1\"")),
    responses((status = 204, description = "It was taken out"),
        (status = 412, description = "Changed since you read it", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "`if-match` is missing", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn remove(
    permit: Permit<Administer>,
    At(path): At<TriggerPath>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    permit.must_see_all()?;
    let missing = || Problem::not_found("trigger", path.trigger.as_str());
    let present = find(&permit, &path.trigger).await?.ok_or_else(missing)?;
    let if_match = match revision(&headers)? {
        IfMatch::Revision(revision) => revision,
        IfMatch::Any => present.revision,
        IfMatch::None => return Err(Problem::revision_required(present.revision)),
    };
    permit
        .store()
        .trigger_remove(&path.trigger, permit.actor(), Some(if_match))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a trigger a secret. The former one stays good for a while, so that its sender can be changed without a loss.
#[utoipa::path(post, path = "/api/v1/triggers/{trigger}/secrets", operation_id = "rotate_secret", tag = "triggers",
    params(TriggerPath), request_body = SecretRequest,
    responses((status = 201, description = "It is set", body = SecretSetAnswer)))]
pub(crate) async fn rotate(
    permit: Permit<Administer>,
    At(path): At<TriggerPath>,
    Input(ask): Input<SecretRequest>,
) -> Result<(StatusCode, Json<SecretSetAnswer>), Problem> {
    permit.must_see_all()?;
    let missing = || Problem::not_found("trigger", path.trigger.as_str());
    let found = find(&permit, &path.trigger).await?.ok_or_else(missing)?;
    let field = |field: &str, what: String| {
        Problem::fields([FieldError {
            field: field.to_owned(),
            what,
        }])
    };
    let hours = ask.former_hours.unwrap_or(FORMER_HOURS_DEFAULT);
    if hours > FORMER_HOURS_MAX {
        return Err(field(
            "former_hours",
            format!("use 0 to {FORMER_HOURS_MAX}"),
        ));
    }
    let kind = found.trigger.kind;
    let made = match &ask.secret {
        Some(text) => {
            secret::check(kind, text).map_err(|what| field("secret", what))?;
            None
        }
        None if secret::is_the_senders(kind) => {
            let what =
                "give it: this sender makes its own and shows it where the webhook is set up";
            return Err(field("secret", what.to_owned()));
        }
        None => Some(random(kind)?),
    };
    let text = made
        .as_ref()
        .or(ask.secret.as_ref())
        .ok_or_else(Problem::internal)?;
    let until = (hours > 0 && !found.secrets.is_empty())
        .then(|| now().after(Millis::from_secs(hours * 3600)));
    permit
        .store()
        .trigger_secret_put(&path.trigger, text, until, permit.actor())
        .await?;
    let answer = SecretSetAnswer {
        secret: made,
        former_until: until,
        path: hook_path(&path.trigger),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

fn random(kind: domain::trigger::Kind) -> Result<String, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no randomness");
        Problem::internal()
    })?;
    Ok(secret::made(kind, &bytes))
}

fn hook_path(name: &TriggerName) -> String {
    format!("/api/v1/hooks/{name}")
}

pub(super) async fn find<A: Action>(
    permit: &Permit<A>,
    name: &TriggerName,
) -> Result<Option<StoredTrigger>, Problem> {
    match permit.store().trigger_get(name).await {
        Ok(found) => Ok(Some(found)),
        Err(store::Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl From<StoredTrigger> for TriggerAnswer {
    fn from(stored: StoredTrigger) -> Self {
        let secret = |fact: store::SecretFact| SecretAnswer {
            created_at: fact.created_at,
            created_by: fact.created_by,
            ends_at: fact.ends_at,
        };
        Self {
            path: hook_path(&stored.trigger.name),
            trigger: stored.trigger,
            revision: stored.revision,
            updated_at: stored.updated_at,
            secrets: stored.secrets.into_iter().map(secret).collect(),
            heard_at: stored.heard_at,
        }
    }
}
