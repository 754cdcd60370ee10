//! A request for a rollback, and what is wrong with one before anything is looked at.

use domain::{
    checklist::CheckCode,
    name::PlanDigest,
    plan::Plan,
    reason::Reason,
    time::{Millis, Moment},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::PrincipalKind,
    problem::{FieldError, Problem},
};

/// Longest note: what a person types in an incident.
const NOTE_CHARS_MAX: usize = 1000;
/// Shortest and longest reason to do without approval.
const GLASS_CHARS_MIN: usize = 10;
const GLASS_CHARS_MAX: usize = 500;

/// A request for a rollback.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"plan_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "reason": "critical_bug", "note": "checkout answers 500 since 1.5.0"}))]
pub struct RollbackRequest {
    /// The plan to follow.
    pub plan_digest: PlanDigest,
    /// Why, as the runbook names it.
    pub reason: Reason,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
    /// What of the runbook's checklist you did, where no facts show it: `cause_confirmed`, `stakeholders_notified`. Only
    /// persons may say so; it is kept with your name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 4)]
    pub ticked: Vec<CheckCode>,
    /// Start at once although the definition asks for approval, and why: for persons when nobody else can be reached. It
    /// is the first line of the rollback's log, an entry of the audit log and a counter to raise an alarm on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 10, max_length = 500)]
    pub break_glass: Option<String>,
}

/// How a request came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From somebody who proved who they are.
    Proved,
    /// Over a chat that signs nothing: whoever read one message of it can make others, in anybody's name.
    Unsigned,
}

impl RollbackRequest {
    /// Until when it waits for another person's yes; none when it starts at once. What is not signed only proposes, as an
    /// alert that is not signed does.
    pub(super) fn waits_until(&self, plan: &Plan, way: Way, at: Moment) -> Option<Moment> {
        let application = &plan.application;
        let asked_for = application.approval && self.break_glass.is_none();
        let waits = match way {
            Way::Proved => asked_for,
            Way::Unsigned => true,
        };
        waits.then(|| at.after(Millis::from_secs(application.timeouts.approval_s)))
    }

    /// What of it can be refused whatever is known.
    pub(super) fn check(&self, by: PrincipalKind) -> Result<(), Problem> {
        let long = |note: &String| note.chars().count() > NOTE_CHARS_MAX;
        if self.note.as_ref().is_some_and(long) {
            let what = format!("use at most {NOTE_CHARS_MAX} characters");
            return Err(wrong("note", what));
        }
        self.check_ticks(by)?;
        self.check_glass(by)
    }

    /// A person's word: a fact needs none, and a service can not give it.
    fn check_ticks(&self, by: PrincipalKind) -> Result<(), Problem> {
        let fact = |code: &&CheckCode| !CheckCode::OF_PERSONS.contains(code);
        if let Some(fact) = self.ticked.iter().find(fact) {
            let what = format!("`{fact}` is shown by facts: leave it out");
            return Err(wrong("ticked", what));
        }
        let once: std::collections::BTreeSet<_> = self.ticked.iter().collect();
        if once.len() < self.ticked.len() {
            return Err(wrong("ticked", "name each once".to_owned()));
        }
        if !self.ticked.is_empty() && by == PrincipalKind::Service {
            let what = "only a person can say so; this token belongs to a service: leave it out";
            return Err(wrong("ticked", what.to_owned()));
        }
        Ok(())
    }

    /// Somebody has to be asked about it the next day, and to know what to answer.
    fn check_glass(&self, by: PrincipalKind) -> Result<(), Problem> {
        let Some(why) = &self.break_glass else {
            return Ok(());
        };
        if !(GLASS_CHARS_MIN..=GLASS_CHARS_MAX).contains(&why.trim().chars().count()) {
            let what = format!(
                "say why nobody else can approve it, in {GLASS_CHARS_MIN} to {GLASS_CHARS_MAX} characters"
            );
            return Err(wrong("break_glass", what));
        }
        if by == PrincipalKind::Service {
            let what = "only a person can break the glass; this token belongs to a service";
            return Err(wrong("break_glass", what.to_owned()));
        }
        Ok(())
    }
}

pub(super) fn wrong(field: &str, what: String) -> Problem {
    Problem::fields([FieldError {
        field: field.to_owned(),
        what,
    }])
}
