//! What came of each thing that other systems told us.

use axum::http::Uri;
use domain::{
    name::{ApplicationName, PlanDigest, RollbackId, TriggerName},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Decision, DecisionFilter, DecisionOutcome, Page};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::page::{Listing, Paged, limit};
use crate::{
    auth::{Permit, Read},
    input::Params,
    problem::Problem,
};

/// Which decisions.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MessageParams {
    /// Only about this application.
    #[param(inline)]
    pub application: Option<ApplicationName>,
    /// Only of this trigger.
    #[param(inline)]
    pub trigger: Option<TriggerName>,
    /// Only with this outcome: `proposed` lists what waits for somebody to take it up, or did.
    #[param(inline)]
    pub outcome: Option<MessageOutcome>,
    /// The `next` of the page before.
    pub after: Option<Uuid>,
    /// Most rows.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessageDecision {
    /// Its identity.
    pub id: Uuid,
    /// Which trigger told it.
    pub trigger: TriggerName,
    /// Which event the message told of.
    pub event_id: String,
    /// Which of the things that the message said, from 0.
    pub part: i32,
    /// The application that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationName>,
    /// What came of it.
    pub outcome: MessageOutcome,
    /// Why, as a stable code.
    pub code: String,
    /// Why, as a sentence.
    pub said: String,
    /// What the message said, in our words.
    #[schema(value_type = Object)]
    pub notice: Value,
    /// The entry of the ledger that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<Uuid>,
    /// What would have come of it in the mode `auto`, of an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_be: Option<String>,
    /// What each guard said, those that pass included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<domain::guard::GuardAnswer>>)]
    pub guards: Option<Value>,
    /// The one thing to do next, as a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_action: Option<String>,
    /// The plan that is proposed, when no rollback waits for a yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<PlanDigest>,
    /// The rollback that it started, or that waits for a person's yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    pub rollback_id: Option<RollbackId>,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub decided_at: Moment,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageOutcome {
    /// It is recorded, and nothing was done.
    Recorded,
    /// A deployment was written into the ledger.
    Deployed,
    /// It says nothing that anything is done with.
    Noted,
    /// A rollback was started.
    Acted,
    /// A rollback is proposed: a person may take it up.
    Proposed,
    /// Nothing was done: the trigger is tried out.
    Shadowed,
}

impl From<DecisionOutcome> for MessageOutcome {
    fn from(outcome: DecisionOutcome) -> Self {
        match outcome {
            DecisionOutcome::Recorded => Self::Recorded,
            DecisionOutcome::Deployed => Self::Deployed,
            DecisionOutcome::Noted => Self::Noted,
            DecisionOutcome::Acted => Self::Acted,
            DecisionOutcome::Proposed => Self::Proposed,
            DecisionOutcome::Shadowed => Self::Shadowed,
        }
    }
}

impl From<MessageOutcome> for DecisionOutcome {
    fn from(outcome: MessageOutcome) -> Self {
        match outcome {
            MessageOutcome::Recorded => Self::Recorded,
            MessageOutcome::Deployed => Self::Deployed,
            MessageOutcome::Noted => Self::Noted,
            MessageOutcome::Acted => Self::Acted,
            MessageOutcome::Proposed => Self::Proposed,
            MessageOutcome::Shadowed => Self::Shadowed,
        }
    }
}

/// What came of what other systems told, newest first. With a token for some applications: of what is about them.
#[utoipa::path(get, path = "/api/v1/messages", operation_id = "list_messages", tag = "triggers", params(MessageParams),
    responses((status = 200, description = "A page of decisions", body = Listing<MessageDecision>,
        headers(("link" = String, description = "The next page, RFC 8288")))))]
pub(crate) async fn list(
    permit: Permit<Read>,
    Params(ask): Params<MessageParams>,
    uri: Uri,
) -> Result<Paged<MessageDecision>, Problem> {
    let seen = permit.principal().applications.as_ref();
    let applications = match ask.application {
        Some(name) if permit.sees(&name) => Some(vec![name]),
        Some(_) => Some(Vec::new()),
        None => seen.map(|names| names.iter().cloned().collect()),
    };
    let filter = DecisionFilter {
        trigger: ask.trigger,
        applications,
        outcome: ask.outcome.map(Into::into),
    };
    let page = Page {
        after: ask.after,
        limit: limit(ask.limit)?,
    };
    let listed = permit.store().decision_list(&filter, &page).await?;
    let listing = Listing {
        items: listed.items.into_iter().map(Into::into).collect(),
        next: listed.next.map(|id| id.to_string()),
    };
    Ok(Paged { listing, uri })
}

impl From<Decision> for MessageDecision {
    fn from(decision: Decision) -> Self {
        let made = decision.made;
        Self {
            id: decision.id,
            trigger: decision.trigger,
            event_id: decision.event_id,
            part: decision.part,
            application: made.application,
            outcome: made.outcome.into(),
            code: made.code,
            said: made.said,
            notice: made.notice,
            deployment_id: made.deployment,
            would_be: made.would_be,
            guards: made.guards,
            next_action: made.next_action,
            plan_digest: made.plan,
            rollback_id: made.rollback,
            decided_at: decision.decided_at,
        }
    }
}
