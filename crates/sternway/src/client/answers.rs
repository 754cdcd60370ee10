//! The shapes of the API, which this client shares with the server. Members that are unknown here are
//! passed over, so a newer server may say more.

pub use api::{
    Role,
    routes::{
        adoptions::{AdoptionAnswer, AdoptionRequest},
        applications::ApplicationItem,
        approvals::{ApprovalRequest, Decision},
        automatic::{AutomaticAnswer, AutomaticRequest, AutomaticState, SwitchedOffAnswer},
        chats::{BotRequest, ChatPersonAnswer, ChatPersonRequest},
        checks::{DeploymentCheck, DeploymentCheckAnswer},
        decisions::{DecisionAnswer, DecisionRequest, NextQuestion, SaidAnswer},
        deployments::{DeploymentAnswer, DeploymentRequest, StateWord},
        events::EventAnswer,
        holds::{HoldAnswer, HoldReleasedAnswer, HoldRequest},
        hooks::{ExplainAnswer, ExplainRequest, ExplainedPart, MessageAnswer},
        messages::{MessageDecision, MessageOutcome},
        overrides::{OverrideAnswer, OverrideRequest},
        page::Listing,
        plans::{PlanAnswer, PlanRequest, PlannedStep},
        releases::{ReleaseAnswer, ReleasesAnswer},
        returns::{OutcomeWord, ReturnAnswer},
        rollbacks::{
            LogHead, NextAction, PhaseWord, PinAnswer, PresentStep, RollbackAnswer, RollbackItem,
            RollbackRequest, VerdictWord,
        },
        steps::{StepProgress, StepState, StepsAnswer},
        tags::{TagAnswer, TagsAnswer},
        tokens::{NewTokenAnswer, TokenAnswer, TokenKindWord, TokenRequest},
        triggers::{SecretAnswer, SecretRequest, SecretSetAnswer, TriggerAnswer},
        windows::{WindowAnswer, WindowRequest},
    },
};
use domain::verdict::{Cause, CauseCode, Verdict};

/// The verdict with what the answer says beside it; none while it runs.
#[must_use]
pub fn whole_verdict(rollback: &RollbackAnswer) -> Option<Verdict> {
    let cause = || {
        rollback
            .cause
            .clone()
            .unwrap_or_else(|| Cause::new(CauseCode::DeadlinePassed, "no cause was given"))
    };
    Some(match rollback.verdict? {
        VerdictWord::RolledBack => Verdict::RolledBack {
            good: rollback.good.unwrap_or(false),
            notes: rollback.notes.clone(),
        },
        VerdictWord::Restored => Verdict::Restored { cause: cause() },
        VerdictWord::Refused => Verdict::Refused { cause: cause() },
        VerdictWord::Cancelled => Verdict::Cancelled { cause: cause() },
        VerdictWord::NeedsHuman => Verdict::NeedsHuman {
            cause: cause(),
            production: rollback.production.clone().unwrap_or_default(),
        },
    })
}
