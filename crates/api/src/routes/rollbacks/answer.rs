//! What a rollback looks like to a client: the run's state in words, with what to do next.

mod next;

use domain::{
    checklist::CheckCode,
    lifecycle::{Phase, Run},
    name::{Actor, ApplicationName, PlanDigest, RollbackId, Version},
    plan::Plan,
    reason::Reason,
    steps::pinned,
    time::Moment,
    verdict::{Cause, Verdict},
};
use serde::{Deserialize, Serialize};
use store::{HeldPin, RollbackSummary, RollbackView};
use utoipa::ToSchema;

use super::pins::PinAnswer;

/// One rollback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RollbackAnswer {
    /// Its identity.
    pub id: RollbackId,
    /// Its application.
    pub application: ApplicationName,
    /// The version that ran, when the ledger knew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The version to go back to.
    pub to: Version,
    /// Where it is.
    pub phase: PhaseWord,
    /// The step that it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<PresentStep>,
    /// Until when the present phase lasts at most: an approval or a watch window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Moment>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictWord>,
    /// What turned or stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The state of production, where it is not what the verdict says by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production: Option<String>,
    /// What a person should still know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The files that it wrote the version into, which go back when the hold that it made is released; only where one
    /// rollback is read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<PinAnswer>,
    /// When the target was proved on every replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proved_at: Option<Moment>,
    /// Whether the target passed its watch window; known at the end of a `rolled_back` one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<bool>,
    /// How long clients may have gone without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_ms: Option<u64>,
    /// Who asked.
    pub requested_by: Actor,
    /// Why.
    pub reason: Reason,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What of the runbook's checklist the requester said to have done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ticked: Vec<CheckCode>,
    /// Who approved its plan so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<Actor>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Moment,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Moment>,
    /// What is approved.
    pub plan_digest: PlanDigest,
    /// The log's last entry.
    pub log: LogHead,
    /// What to do next, most useful first.
    #[serde(default)]
    pub next_actions: Vec<NextAction>,
}

/// One rollback in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RollbackItem {
    /// Its identity.
    pub id: RollbackId,
    /// Its application.
    pub application: ApplicationName,
    /// The version that ran, when the ledger knew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The version to go back to.
    pub to: Version,
    /// Where it is.
    pub phase: PhaseWord,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictWord>,
    /// What turned or stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Whether the target passed its watch window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<bool>,
    /// When the target was proved on every replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub proved_at: Option<Moment>,
    /// How long clients may have gone without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_ms: Option<u64>,
    /// Who asked.
    pub requested_by: Actor,
    /// Why.
    pub reason: Reason,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Moment,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Moment>,
    /// What is approved.
    pub plan_digest: PlanDigest,
}

/// Where a rollback is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseWord {
    /// It waits for another person's yes.
    AwaitingApproval,
    /// It goes to the target.
    Forward,
    /// It goes back to what served before.
    Backward,
    /// The target is proved; its probes must stay green.
    Watching,
    /// It ended.
    Ended,
}

/// How a rollback ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictWord {
    /// The target serves, proved on every replica.
    RolledBack,
    /// What served before is serving again.
    Restored,
    /// Nothing was changed.
    Refused,
    /// Called off; what served before is serving.
    Cancelled,
    /// A person has to look.
    NeedsHuman,
}

/// The step that a rollback is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresentStep {
    /// Its number, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// It in one or two words.
    pub title: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Moment,
}

/// The end of a rollback's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogHead {
    /// Position of the last event.
    pub seq: i32,
    /// Its link in the hash chain; written down elsewhere it proves the log later.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub head: String,
    /// Whether the chain was checked and holds; only with `verify=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intact: Option<bool>,
}

/// Something that can be done next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextAction {
    /// What it is, as a sentence.
    pub sentence: String,
    /// The method of the request that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path of the request that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The command that does it in a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl RollbackAnswer {
    pub(crate) fn of(view: &RollbackView) -> Self {
        Self {
            id: view.id,
            application: view.application.clone(),
            from: view.plan.from.clone(),
            to: view.plan.to.clone(),
            phase: PhaseWord::of(&view.run.phase),
            step: present_step(&view.run, &view.plan),
            until: until(&view.run.phase),
            verdict: view.verdict.as_ref().map(VerdictWord::of),
            cause: cause(&view.run.phase),
            production: production(view.verdict.as_ref()),
            notes: notes(&view.run, view.verdict.as_ref()),
            pins: Vec::new(),
            proved_at: view.proved_at,
            good: view.good,
            downtime_ms: view.outage.map(|outage| outage.0),
            requested_by: view.requested_by.clone(),
            reason: view.reason,
            note: view.note.clone(),
            ticked: view.ticked.clone(),
            approved_by: view.run.approved_by.clone(),
            requested_at: view.requested_at,
            ended_at: view.ended_at,
            plan_digest: view.plan_digest.clone(),
            log: LogHead {
                seq: view.seq,
                head: view.head.clone(),
                intact: None,
            },
            next_actions: next::actions(view, &[]),
        }
    }

    /// The same with what became of the files that it pinned.
    pub(crate) fn with_pins(self, view: &RollbackView, held: Vec<HeldPin>) -> Self {
        let stands = pinned(&view.plan, &self.notes).is_some();
        let pins: Vec<PinAnswer> = held
            .into_iter()
            .filter(|pin| stands || pin.settled_at.is_some())
            .map(PinAnswer::from)
            .collect();
        let next_actions = next::actions(view, &pins);
        Self {
            pins,
            next_actions,
            ..self
        }
    }
}

impl From<RollbackSummary> for RollbackItem {
    fn from(row: RollbackSummary) -> Self {
        Self {
            phase: PhaseWord::of(&row.run.phase),
            verdict: row.verdict.as_ref().map(VerdictWord::of),
            cause: cause(&row.run.phase),
            good: row.verdict.as_ref().and_then(good),
            downtime_ms: row.outage.map(|outage| outage.0),
            id: row.id,
            application: row.application,
            from: row.from,
            to: row.to,
            proved_at: row.proved_at,
            requested_by: row.requested_by,
            reason: row.reason,
            note: row.note,
            requested_at: row.requested_at,
            ended_at: row.ended_at,
            plan_digest: row.plan_digest,
        }
    }
}

impl PhaseWord {
    pub(crate) fn of(phase: &Phase) -> Self {
        match phase {
            Phase::AwaitingApproval { .. } => Self::AwaitingApproval,
            Phase::Forward { .. } => Self::Forward,
            Phase::Backward { .. } => Self::Backward,
            Phase::Watching { .. } => Self::Watching,
            Phase::Ended { .. } => Self::Ended,
        }
    }

    /// The phase as text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Watching => "watching",
            Self::Ended => "ended",
        }
    }
}

impl VerdictWord {
    pub(crate) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::RolledBack { .. } => Self::RolledBack,
            Verdict::Restored { .. } => Self::Restored,
            Verdict::Refused { .. } => Self::Refused,
            Verdict::Cancelled { .. } => Self::Cancelled,
            Verdict::NeedsHuman { .. } => Self::NeedsHuman,
        }
    }
}

fn present_step(run: &Run, plan: &Plan) -> Option<PresentStep> {
    let step = run.step(plan)?;
    let index = match &run.phase {
        Phase::Forward { at } | Phase::Backward { at, .. } => u32::from(*at),
        Phase::AwaitingApproval { .. } | Phase::Watching { .. } | Phase::Ended { .. } => {
            return None;
        }
    };
    let of = u32::try_from(plan.steps.len()).unwrap_or(u32::MAX);
    Some(PresentStep {
        number: index + 1,
        of,
        title: step.title(),
        since: run.since,
    })
}

fn until(phase: &Phase) -> Option<Moment> {
    match phase {
        Phase::AwaitingApproval { until } | Phase::Watching { until } => Some(*until),
        Phase::Forward { .. } | Phase::Backward { .. } | Phase::Ended { .. } => None,
    }
}

fn cause(phase: &Phase) -> Option<Cause> {
    match phase {
        Phase::Backward { cause, .. } => Some(cause.clone()),
        Phase::Ended { verdict } => match verdict {
            Verdict::RolledBack { .. } => None,
            Verdict::Restored { cause }
            | Verdict::Refused { cause }
            | Verdict::Cancelled { cause }
            | Verdict::NeedsHuman { cause, .. } => Some(cause.clone()),
        },
        Phase::AwaitingApproval { .. } | Phase::Forward { .. } | Phase::Watching { .. } => None,
    }
}

fn good(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::RolledBack { good, .. } => Some(*good),
        Verdict::Restored { .. }
        | Verdict::Refused { .. }
        | Verdict::Cancelled { .. }
        | Verdict::NeedsHuman { .. } => None,
    }
}

fn production(verdict: Option<&Verdict>) -> Option<String> {
    match verdict? {
        Verdict::NeedsHuman { production, .. } => Some(production.clone()),
        Verdict::RolledBack { .. }
        | Verdict::Restored { .. }
        | Verdict::Refused { .. }
        | Verdict::Cancelled { .. } => None,
    }
}

fn notes(run: &Run, verdict: Option<&Verdict>) -> Vec<String> {
    let at_the_end = match verdict {
        Some(Verdict::RolledBack { notes, .. }) => notes.as_slice(),
        Some(
            Verdict::Restored { .. }
            | Verdict::Refused { .. }
            | Verdict::Cancelled { .. }
            | Verdict::NeedsHuman { .. },
        )
        | None => &[],
    };
    let mut notes = run.notes.clone();
    notes.extend(
        at_the_end
            .iter()
            .filter(|note| !run.notes.contains(note))
            .cloned(),
    );
    notes
}
