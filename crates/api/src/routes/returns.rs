//! Held releases that came back: what was found, and what is done about it.

use axum::http::Uri;
use domain::{
    name::{ApplicationName, RollbackId, Version},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use store::{HeldReturn, Page, ReturnOutcome};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    applications::{ApplicationPath, find},
    page::{Listing, Paged, limit},
};
use crate::{
    auth::{Permit, Read},
    input::{At, Params},
    problem::Problem,
};

/// A held release that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReturnAnswer {
    /// The application.
    pub application: ApplicationName,
    /// The version that is held.
    pub version: Version,
    /// Why it is held.
    pub reason: String,
    /// The deployment that brought it.
    pub deployment: Uuid,
    /// When it was seen.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Moment,
    /// What is done about it.
    pub outcome: OutcomeWord,
    /// That, as a sentence.
    pub said: String,
    /// The rollback that puts it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_id: Option<RollbackId>,
    /// Whether it still runs and is still held.
    pub open: bool,
}

/// What is done about a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeWord {
    /// It is announced and left running.
    Reported,
    /// A rollback is about to be requested.
    PuttingBack,
    /// A rollback was requested.
    PutBack,
    /// A person has to look at it.
    NeedsPerson,
    /// It went away before anything was done.
    Over,
}

/// Which returns.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReturnParams {
    /// The `next` of the page before.
    pub after: Option<Uuid>,
    /// Most rows.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
}

/// Held releases of an application that were found running again, newest first.
#[utoipa::path(get, path = "/api/v1/applications/{name}/returns", operation_id = "list_returns", tag = "ledger",
    params(ApplicationPath, ReturnParams), responses((status = 200, description = "A page of returns",
        body = Listing<ReturnAnswer>, headers(("link" = String, description = "The next page, RFC 8288")))))]
pub(crate) async fn list(
    permit: Permit<Read>,
    At(path): At<ApplicationPath>,
    Params(ask): Params<ReturnParams>,
    uri: Uri,
) -> Result<Paged<ReturnAnswer>, Problem> {
    find(&permit, &path.name).await?;
    let page = Page {
        after: ask.after,
        limit: limit(ask.limit)?,
    };
    let listed = permit.store().returns_list(&path.name, &page).await?;
    let listing = Listing {
        items: listed.items.into_iter().map(Into::into).collect(),
        next: listed.next.map(|position: Uuid| position.to_string()),
    };
    Ok(Paged { listing, uri })
}

impl From<HeldReturn> for ReturnAnswer {
    fn from(found: HeldReturn) -> Self {
        Self {
            application: found.application,
            version: found.version,
            reason: found.reason,
            deployment: found.deployment,
            seen_at: found.seen_at,
            outcome: found.outcome.into(),
            said: found.said,
            rollback_id: found.rollback,
            open: found.open,
        }
    }
}

impl From<ReturnOutcome> for OutcomeWord {
    fn from(outcome: ReturnOutcome) -> Self {
        match outcome {
            ReturnOutcome::Reported => Self::Reported,
            ReturnOutcome::PuttingBack => Self::PuttingBack,
            ReturnOutcome::PutBack => Self::PutBack,
            ReturnOutcome::NeedsPerson => Self::NeedsPerson,
            ReturnOutcome::Over => Self::Over,
        }
    }
}
