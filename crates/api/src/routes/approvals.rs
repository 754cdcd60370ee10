//! A second person's yes or no to one plan.

use domain::{lifecycle::Phase, name::PlanDigest, next::Order};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rollbacks::{Accepted, RollbackAnswer, RollbackPath, find, order};
use crate::{
    auth::{Approve, Permit},
    clock::now,
    input::{At, Input},
    problem::Problem,
};

/// A decision.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Yes or no.
    pub decision: Decision,
    /// The plan that was read; it has to be the rollback's own.
    pub plan_digest: PlanDigest,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

/// Approves or rejects a rollback that waits for it. Whoever asked for it may not. Where two persons have to approve, each
/// counts once; a second click of the same person changes nothing and is answered like the first. Nobody approves when its
/// time is over, nor the way to a release that is held or marked insecure by now.
#[utoipa::path(post, path = "/api/v1/rollbacks/{id}/approval", operation_id = "decide_rollback", tag = "rollbacks",
    params(RollbackPath), request_body = ApprovalRequest, responses(
        (status = 202, description = "It is written down; the log says what came of it", body = RollbackAnswer, headers(("location" = String, description = "The rollback"))),
        (status = 409, description = "It waits for no approval, its time is over, or its target is held or marked insecure by now", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "Its plan is another", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn decide(
    permit: Permit<Approve>,
    At(path): At<RollbackPath>,
    Input(ask): Input<ApprovalRequest>,
) -> Result<Accepted, Problem> {
    let view = find(&permit, path.id).await?;
    if view.requested_by == *permit.actor() {
        return Err(Problem::self_approval(permit.actor().as_str()));
    }
    if view.plan_digest != ask.plan_digest {
        return Err(Problem::digest_differs(&view.plan_digest));
    }
    if !matches!(view.run.phase, Phase::AwaitingApproval { .. }) {
        return Err(Problem::approval_not_awaited(view.id, &view.phase));
    }
    let by = permit.actor().clone();
    if ask.decision == Decision::Approve && view.run.approved_by.contains(&by) {
        return Ok(Accepted::of(&view));
    }
    let decided = match ask.decision {
        Decision::Approve => Order::Approve { by, at: now() },
        Decision::Reject => Order::Reject { by },
    };
    order(&permit, &view, decided).await
}
