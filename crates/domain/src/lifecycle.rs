//! Where a rollback is, and how each recorded event moves it. One total function serves live and in replay.

use serde::{Deserialize, Serialize};

use crate::{
    effect::{Effect, Outcome},
    lease,
    name::Actor,
    plan::Plan,
    probe::Tally,
    steps::Step,
    time::{Millis, Moment},
    verdict::{Cause, Verdict},
};

/// How often an engine that was away makes a step begin again. Its supervisor gives up sooner.
const LOSSES_MAX: u8 = 10;

/// What a rollback's log says so far. It is a cache: folding the log from [`Run::requested`] gives it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Where it is.
    pub phase: Phase,
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
    /// Since when a probe is red in the watch window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red_since: Option<Moment>,
    /// What a person should still know at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
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
    },
    /// A person said yes to the plan.
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
    },
    /// The present step was given up; it is one that may be.
    StepSkipped {
        /// Why.
        note: String,
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
    /// All probes are green again.
    WatchGreen,
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
        let Event::Requested { approval_until } = event else {
            return Err(IllegalEvent { event: event_word(event), phase: "nothing" });
        };
        let phase = match approval_until {
            Some(until) => Phase::AwaitingApproval { until: *until },
            None => Phase::Forward { at: 0 },
        };
        Ok(Self {
            phase,
            since: at,
            acts: 0,
            refusals: 0,
            refused: None,
            refused_at: None,
            lost_since: None,
            losses: 0,
            outstanding: None,
            unsettled_until: None,
            acted_at: None,
            touched_at: None,
            proved_at: None,
            before: None,
            red_since: None,
            notes: Vec::new(),
        })
    }

    /// The state after one more event.
    ///
    /// # Errors
    /// When the event can not follow here.
    pub fn evolve(mut self, plan: &Plan, event: &Event, at: Moment) -> Result<Self, IllegalEvent> {
        let phase = self.phase.word();
        let moved = match event {
            Event::Requested { .. } => None,
            Event::Approved { .. } => self.approved(at),
            Event::TakenOver { .. } => self.taken_over(at),
            Event::CancelRefused { .. } => self.is_open(),
            Event::Intended { effect } => self.intended(plan, effect, at),
            Event::Performed { outcome } => self.performed(outcome, at),
            Event::EngineLost { .. } => self.engine_lost(at),
            Event::EngineBack => self.engine_back(at),
            Event::StepDone { checks, .. } => self.step_done(plan, *checks, at),
            Event::StepSkipped { note } => self.step_skipped(plan, note, at),
            Event::TurnedBack { cause } => self.turn_back(cause, at),
            Event::WatchRed { .. } => self.watched(Some(at)),
            Event::WatchGreen => self.watched(None),
            Event::Ended { verdict } => self.end(verdict, at),
        };
        match moved {
            Some(()) => Ok(self),
            None => Err(IllegalEvent { event: event_word(event), phase }),
        }
    }

    /// The step that the run is at, in either direction.
    #[must_use]
    pub fn step<'a>(&self, plan: &'a Plan) -> Option<&'a Step> {
        match &self.phase {
            Phase::Forward { at } | Phase::Backward { at, .. } => plan.steps.get(usize::from(*at)),
            Phase::AwaitingApproval { .. } | Phase::Watching { .. } | Phase::Ended { .. } => None,
        }
    }

    // The arms of `evolve`. None means that the event can not follow here.

    fn enter(&mut self, phase: Phase, at: Moment) {
        self.phase = phase;
        self.since = at;
        self.acts = 0;
        self.refusals = 0;
        self.refused = None;
        self.refused_at = None;
        self.lost_since = None;
        self.losses = 0;
    }

    fn is_open(&self) -> Option<()> {
        match self.phase {
            Phase::AwaitingApproval { .. } | Phase::Forward { .. } | Phase::Backward { .. } | Phase::Watching { .. } => {
                Some(())
            }
            Phase::Ended { .. } => None,
        }
    }

    /// A step does not pay for the time in which nobody drove it; how often is bounded by the crashes it may cost.
    fn taken_over(&mut self, at: Moment) -> Option<()> {
        self.is_open()?;
        self.since = at;
        self.lost_sight(at);
        Some(())
    }

    /// Nobody will say what came of the outstanding effect; it may still be inside the engine.
    fn lost_sight(&mut self, at: Moment) {
        let Some(lands_within) = self.outstanding.take() else { return };
        if matches!(self.phase, Phase::Forward { .. }) {
            let lands = at.after(lands_within);
            self.unsettled_until = self.unsettled_until.max(Some(lands));
        }
    }

    fn approved(&mut self, at: Moment) -> Option<()> {
        match self.phase {
            Phase::AwaitingApproval { .. } => {
                self.enter(Phase::Forward { at: 0 }, at);
                Some(())
            }
            Phase::Forward { .. } | Phase::Backward { .. } | Phase::Watching { .. } | Phase::Ended { .. } => None,
        }
    }

    fn intended(&mut self, plan: &Plan, effect: &Effect, at: Moment) -> Option<()> {
        self.step(plan)?;
        self.acts = self.acts.saturating_add(1);
        self.acted_at.get_or_insert(at);
        self.outstanding = Some(lease::lands_within(effect));
        if effect.touches() {
            self.touched_at.get_or_insert(at);
        }
        Some(())
    }

    fn performed(&mut self, outcome: &Outcome, at: Moment) -> Option<()> {
        if self.acts == 0 {
            return None;
        }
        match outcome {
            Outcome::Done => self.outstanding = None,
            Outcome::Unknown { .. } => self.lost_sight(at),
            Outcome::Failed { failure, said } => {
                self.outstanding = None;
                self.refusals = self.refusals.saturating_add(1);
                self.refused = Some(crate::next::cause_of(*failure, said));
                self.refused_at = Some(at);
            }
        }
        Some(())
    }

    fn engine_lost(&mut self, at: Moment) -> Option<()> {
        match self.phase {
            Phase::Forward { .. } | Phase::Backward { .. } | Phase::Watching { .. } => {}
            Phase::AwaitingApproval { .. } | Phase::Ended { .. } => return None,
        }
        self.lost_since.is_none().then(|| self.lost_since = Some(at))
    }

    /// A step begins again when the engine is back, since containers boot again with it; an engine that comes
    /// and goes for ever is given that only so often, so that every step ends.
    fn engine_back(&mut self, at: Moment) -> Option<()> {
        self.lost_since.take()?;
        if self.losses < LOSSES_MAX {
            self.losses += 1;
            self.since = at;
        }
        self.red_since = None;
        Some(())
    }

    fn step_done(&mut self, plan: &Plan, checks: Option<Tally>, at: Moment) -> Option<()> {
        let step = self.step(plan)?;
        match &self.phase {
            Phase::Forward { at: index } => {
                match step {
                    Step::Check => self.before = checks,
                    Step::Prove => self.proved_at = Some(at),
                    Step::Lock
                    | Step::Keep
                    | Step::Capture
                    | Step::Create { .. }
                    | Step::Switch { .. }
                    | Step::Record
                    | Step::Retire => {}
                }
                let next = index + 1;
                if usize::from(next) < plan.steps.len() {
                    self.enter(Phase::Forward { at: next }, at);
                } else {
                    let until = at.after(Millis::from_secs(plan.application.watch_window_s));
                    self.enter(Phase::Watching { until }, at);
                }
            }
            Phase::Backward { at: index, cause } => {
                let (index, cause) = (*index, cause.clone());
                self.enter(Phase::Backward { at: index.checked_sub(1)?, cause }, at);
            }
            Phase::AwaitingApproval { .. } | Phase::Watching { .. } | Phase::Ended { .. } => return None,
        }
        Some(())
    }

    fn step_skipped(&mut self, plan: &Plan, note: &str, at: Moment) -> Option<()> {
        self.step(plan).filter(|step| step.may_be_skipped())?;
        self.notes.push(note.to_owned());
        self.step_done(plan, None, at)
    }

    /// A run whose target is proved does not turn any more.
    fn turn_back(&mut self, cause: &Cause, at: Moment) -> Option<()> {
        match &self.phase {
            Phase::Forward { at: index } if self.proved_at.is_none() => {
                let phase = Phase::Backward { at: *index, cause: cause.clone() };
                self.enter(phase, at);
                Some(())
            }
            Phase::AwaitingApproval { .. }
            | Phase::Forward { .. }
            | Phase::Backward { .. }
            | Phase::Watching { .. }
            | Phase::Ended { .. } => None,
        }
    }

    fn watched(&mut self, red_since: Option<Moment>) -> Option<()> {
        let turned = self.red_since.is_some() != red_since.is_some();
        match self.phase {
            Phase::Watching { .. } if turned => {
                self.red_since = red_since;
                Some(())
            }
            Phase::AwaitingApproval { .. }
            | Phase::Forward { .. }
            | Phase::Backward { .. }
            | Phase::Watching { .. }
            | Phase::Ended { .. } => None,
        }
    }

    /// What each verdict claims must be what the log says: nothing is called rolled back that was not proved.
    fn end(&mut self, verdict: &Verdict, at: Moment) -> Option<()> {
        let (forward, backward, watching) = match self.phase {
            Phase::AwaitingApproval { .. } => (false, false, false),
            Phase::Forward { .. } => (true, false, false),
            Phase::Backward { .. } => (false, true, false),
            Phase::Watching { .. } => (false, false, true),
            Phase::Ended { .. } => return None,
        };
        let true_to_the_log = match verdict {
            Verdict::RolledBack { .. } => watching && self.proved_at.is_some(),
            Verdict::Restored { .. } => backward && self.touched_at.is_some(),
            Verdict::Refused { .. } => self.touched_at.is_none() && (backward || (forward && self.acted_at.is_none())),
            Verdict::Cancelled { .. } => !watching && (backward || self.acted_at.is_none()),
            Verdict::NeedsHuman { .. } => forward || backward || watching,
        };
        true_to_the_log.then(|| self.enter(Phase::Ended { verdict: verdict.clone() }, at))
    }
}

fn is_zero<N: Copy + PartialEq + Default>(number: &N) -> bool {
    *number == N::default()
}

fn event_word(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    value["event"].as_str().unwrap_or("?").to_owned()
}
