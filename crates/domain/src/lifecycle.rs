//! Where a rollback is, and how each recorded event moves it. One total function serves live and in replay.

mod evolve;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    effect::{Effect, Outcome},
    name::{Actor, ComponentName, ContainerId, ImageId},
    plan::Plan,
    probe::Tally,
    steps::Step,
    time::{Millis, Moment},
    verdict::{Cause, Verdict},
};

/// What a rollback's log says so far. It is a cache: folding the log from [`Run::requested`] gives it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Where it is.
    pub phase: Phase,
    /// Who said yes to the plan so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<Actor>,
    /// When the present step began, or began again after the engine was away or a worker died.
    pub since: Moment,
    /// Effects intended in the present step.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub acts: u16,
    /// Refusals by the engine in the present step.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refusals: u8,
    /// What the last refusal said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Cause>,
    /// When the last refusal was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<Moment>,
    /// Since when the engine does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_since: Option<Moment>,
    /// How often the engine came back in the present step.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses: u8,
    /// How long the intended effect of which nothing was heard yet may act once its caller is gone. The effect
    /// itself is in the log; this row is written with every step, so it holds no more than a decision needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outstanding: Option<Millis>,
    /// Whether that effect takes the lock: what was to be locked must not be found locked when all is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locking: bool,
    /// The container that this effect stops or removes, in the step that removes what is not needed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removing: Option<ContainerId>,
    /// The containers that it could not remove so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<Stuck>,
    /// Until when an effect of the way forward may still land whose end nobody saw: the way back is not over
    /// sooner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsettled_until: Option<Moment>,
    /// When it first did anything at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted_at: Option<Moment>,
    /// When a replica was first touched: stopped, started or renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touched_at: Option<Moment>,
    /// When the target was proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved_at: Option<Moment>,
    /// The checks of what served before, at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Tally>,
    /// The images that the run's builds gave.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub built: BTreeMap<ComponentName, ImageId>,
    /// Since when a probe is red in the watch window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red_since: Option<Moment>,
    /// Components whose stage did not work: they are stopped and started instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unstaged: Vec<ComponentName>,
    /// What a person should still know at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A container that could not be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// The container.
    pub container: ContainerId,
    /// How often it was tried.
    pub tries: u8,
    /// What the last try said.
    pub said: String,
}

/// Where a rollback is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It waits for a person's yes.
    AwaitingApproval {
        /// Until when.
        until: Moment,
    },
    /// It performs the plan's step `at`.
    Forward {
        /// Index of the step.
        at: u16,
    },
    /// It undoes the plan's step `at`.
    Backward {
        /// Index of the step.
        at: u16,
        /// What turned it.
        cause: Cause,
    },
    /// The target is proved and recorded; its probes must stay green.
    Watching {
        /// Until when.
        until: Moment,
    },
    /// It ended.
    Ended {
        /// How.
        #[serde(flatten)]
        verdict: Verdict,
    },
}

impl Phase {
    /// The word of the design for this phase.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::AwaitingApproval { .. } => "awaiting_approval",
            Self::Forward { .. } => "forward",
            Self::Backward { .. } => "backward",
            Self::Watching { .. } => "watching",
            Self::Ended { .. } => "ended",
        }
    }

    /// Whether a run in this phase may act on the engine, now or later: one such run per application.
    #[must_use]
    pub fn acts(&self) -> bool {
        match self {
            Self::AwaitingApproval { .. } | Self::Forward { .. } | Self::Backward { .. } => true,
            Self::Watching { .. } | Self::Ended { .. } => false,
        }
    }
}

/// One entry of a rollback's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Somebody asked for it; the first entry of every log.
    Requested {
        /// Until when approval is waited for; none needed without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval_until: Option<Moment>,
        /// Why it starts without the approval that is asked for, as whoever broke the glass said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        break_glass: Option<String>,
    },
    /// A person said yes to the plan; it starts once as many have as the definition asks for.
    Approved {
        /// Who.
        by: Actor,
    },
    /// A worker took it over from one that died or was too slow.
    TakenOver {
        /// How many workers this step has cost.
        crashes: i16,
    },
    /// An effect is about to be performed.
    Intended {
        /// The effect.
        effect: Effect,
    },
    /// What came of the last intended effect.
    Performed {
        /// What the performer could tell.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// The engine does not answer.
    EngineLost {
        /// What was said.
        said: String,
    },
    /// The engine answers again.
    EngineBack,
    /// The present step is done; the run goes on in its direction.
    StepDone {
        /// What was found, as a sentence.
        note: String,
        /// The checks made, when the step probes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checks: Option<Tally>,
        /// The image that it built, when the step builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        built: Option<ImageId>,
    },
    /// The present step was given up; it is one that may be.
    StepSkipped {
        /// Why.
        note: String,
        /// Of a wave, the components for which it was given up; the others are where they should be.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        components: Vec<ComponentName>,
    },
    /// The run turns to what served before.
    TurnedBack {
        /// Why.
        cause: Cause,
    },
    /// Somebody asked to cancel it when it was too late for that.
    CancelRefused {
        /// Who.
        by: Actor,
        /// Why it is too late, and what to do instead.
        why: String,
    },
    /// A probe turned red in the watch window.
    WatchRed {
        /// What it said.
        said: String,
    },
    /// All probes are green again: the watch window starts anew.
    WatchGreen {
        /// Its end; a log of before that rule has none, and there it went on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Moment>,
    },
    /// It ended.
    Ended {
        /// How.
        #[serde(flatten)]
        verdict: Verdict,
    },
}

/// An event that does not belong where the run is: the log is not one that this code wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event `{event}` can not follow in phase `{phase}`")]
pub struct IllegalEvent {
    event: String,
    phase: &'static str,
}

impl Run {
    /// The state after the first event of a log.
    ///
    /// # Errors
    /// When the first event is not `requested`.
    pub fn requested(event: &Event, at: Moment) -> Result<Self, IllegalEvent> {
        let Event::Requested { approval_until, .. } = event else {
            return Err(IllegalEvent {
                event: event_word(event),
                phase: "nothing",
            });
        };
        let phase = match approval_until {
            Some(until) => Phase::AwaitingApproval { until: *until },
            None => Phase::Forward { at: 0 },
        };
        Ok(Self {
            phase,
            approved_by: Vec::new(),
            since: at,
            acts: 0,
            refusals: 0,
            refused: None,
            refused_at: None,
            lost_since: None,
            losses: 0,
            outstanding: None,
            locking: false,
            removing: None,
            stuck: Vec::new(),
            unsettled_until: None,
            acted_at: None,
            touched_at: None,
            proved_at: None,
            before: None,
            built: BTreeMap::new(),
            red_since: None,
            unstaged: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// What is known of a container that could not be removed.
    #[must_use]
    pub fn stuck(&self, container: &ContainerId) -> Option<&Stuck> {
        self.stuck
            .iter()
            .find(|stuck| stuck.container == *container)
    }

    /// The step that the run is at, in either direction.
    #[must_use]
    pub fn step<'a>(&self, plan: &'a Plan) -> Option<&'a Step> {
        match &self.phase {
            Phase::Forward { at } | Phase::Backward { at, .. } => plan.steps.get(usize::from(*at)),
            Phase::AwaitingApproval { .. } | Phase::Watching { .. } | Phase::Ended { .. } => None,
        }
    }
}

fn is_zero<N: Copy + PartialEq + Default>(number: &N) -> bool {
    *number == N::default()
}

fn event_word(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    value["event"].as_str().unwrap_or("?").to_owned()
}
