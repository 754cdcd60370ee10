//! How each event moves a run. An event that can not follow where the run is moves nothing and is refused.

use super::{Event, IllegalEvent, Phase, Run, Stuck, event_word};
use crate::{
    effect::{Effect, Outcome},
    lease,
    name::{Actor, ComponentName, ImageId},
    plan::Plan,
    probe::Tally,
    steps::Step,
    time::{Millis, Moment},
    verdict::{Cause, Verdict},
};

/// How often an engine that was away makes a step begin again. Its supervisor gives up sooner.
const LOSSES_MAX: u8 = 10;

impl Run {
    /// The state after one more event.
    ///
    /// # Errors
    /// When the event can not follow here.
    pub fn evolve(mut self, plan: &Plan, event: &Event, at: Moment) -> Result<Self, IllegalEvent> {
        let phase = self.phase.word();
        let moved = match event {
            Event::Requested { .. } => None,
            Event::Approved { by } => self.approved(plan, by, at),
            Event::TakenOver { .. } => self.taken_over(at),
            Event::CancelRefused { .. } => self.is_open(),
            Event::Intended { effect } => self.intended(plan, effect, at),
            Event::Performed { outcome } => self.performed(outcome, at),
            Event::EngineLost { .. } => self.engine_lost(at),
            Event::EngineBack => self.engine_back(at),
            Event::StepDone { checks, built, .. } => {
                self.step_done(plan, *checks, built.as_ref(), at)
            }
            Event::StepSkipped { note, components } => {
                self.step_skipped(plan, note, components, at)
            }
            Event::TurnedBack { cause } => self.turn_back(cause, at),
            Event::WatchRed { .. } => self.watched(Some(at), None),
            Event::WatchGreen { until } => self.watched(None, *until),
            Event::Ended { verdict } => self.end(verdict, at),
        };
        match moved {
            Some(()) => Ok(self),
            None => Err(IllegalEvent {
                event: event_word(event),
                phase,
            }),
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
        self.removing = None;
        self.stuck.clear();
    }

    fn is_open(&self) -> Option<()> {
        match self.phase {
            Phase::AwaitingApproval { .. }
            | Phase::Forward { .. }
            | Phase::Backward { .. }
            | Phase::Watching { .. } => Some(()),
            Phase::Ended { .. } => None,
        }
    }

    /// A step does not pay for the time in which nobody drove it; how often is bounded by the crashes it may cost.
    fn taken_over(&mut self, at: Moment) -> Option<()> {
        self.is_open()?;
        self.since = at;
        self.lost_sight(at);
        self.not_removed("whoever removed it died over it");
        Some(())
    }

    /// What could not be removed is tried after the others, and not for ever.
    fn not_removed(&mut self, said: &str) {
        let Some(container) = self.removing.take() else {
            return;
        };
        let known = self
            .stuck
            .iter()
            .position(|stuck| stuck.container == container);
        let tries = known.map_or(0, |at| self.stuck.remove(at).tries);
        self.stuck.push(Stuck {
            container,
            tries: tries.saturating_add(1),
            said: said.to_owned(),
        });
    }

    /// Nobody will say what came of the outstanding effect; it may still be inside the engine.
    fn lost_sight(&mut self, at: Moment) {
        let Some(lands_within) = self.outstanding.take() else {
            return;
        };
        if matches!(self.phase, Phase::Forward { .. }) || self.locking {
            let lands = at.after(lands_within);
            self.unsettled_until = self.unsettled_until.max(Some(lands));
        }
    }

    fn approved(&mut self, plan: &Plan, by: &Actor, at: Moment) -> Option<()> {
        match self.phase {
            Phase::AwaitingApproval { .. } if self.approved_by.contains(by) => None,
            Phase::AwaitingApproval { .. } => {
                self.approved_by.push(by.clone());
                if self.approved_by.len() >= usize::from(plan.application.approvers) {
                    self.enter(Phase::Forward { at: 0 }, at);
                }
                Some(())
            }
            Phase::Forward { .. }
            | Phase::Backward { .. }
            | Phase::Watching { .. }
            | Phase::Ended { .. } => None,
        }
    }

    fn intended(&mut self, plan: &Plan, effect: &Effect, at: Moment) -> Option<()> {
        let touches = self.step(plan)?.touches(plan, effect);
        self.acts = self.acts.saturating_add(1);
        self.acted_at.get_or_insert(at);
        self.outstanding = Some(lease::lands_within(effect));
        self.locking = matches!(effect, Effect::TakeLock { .. });
        let retiring = matches!(self.step(plan), Some(Step::Retire));
        self.removing = effect.removes().filter(|_| retiring).cloned();
        if touches {
            self.touched_at.get_or_insert(at);
        }
        Some(())
    }

    fn performed(&mut self, outcome: &Outcome, at: Moment) -> Option<()> {
        if self.acts == 0 {
            return None;
        }
        match outcome {
            Outcome::Done => {
                self.outstanding = None;
                self.removing = None;
            }
            Outcome::Unknown { said } => {
                self.lost_sight(at);
                self.not_removed(said);
            }
            Outcome::Failed { failure, said } => {
                self.not_removed(said);
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
        self.lost_since
            .is_none()
            .then(|| self.lost_since = Some(at))
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

    fn step_done(
        &mut self,
        plan: &Plan,
        checks: Option<Tally>,
        built: Option<&ImageId>,
        at: Moment,
    ) -> Option<()> {
        let step = self.step(plan)?;
        match &self.phase {
            Phase::Forward { at: index } => {
                match step {
                    Step::Check => self.before = checks,
                    Step::Prove => self.proved_at = Some(at),
                    Step::Build { component } => {
                        self.built.insert(component.clone(), built?.clone());
                    }
                    Step::Lock
                    | Step::Supply
                    | Step::Keep
                    | Step::Capture
                    | Step::Pin
                    | Step::Create { .. }
                    | Step::Stage { .. }
                    | Step::Raise { .. }
                    | Step::Switch { .. }
                    | Step::Handover { .. }
                    | Step::Wave { .. }
                    | Step::Point { .. }
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
                self.enter(
                    Phase::Backward {
                        at: index.checked_sub(1)?,
                        cause,
                    },
                    at,
                );
            }
            Phase::AwaitingApproval { .. } | Phase::Watching { .. } | Phase::Ended { .. } => {
                return None;
            }
        }
        Some(())
    }

    fn step_skipped(
        &mut self,
        plan: &Plan,
        note: &str,
        components: &[ComponentName],
        at: Moment,
    ) -> Option<()> {
        let step = self.step(plan).filter(|step| step.may_be_skipped())?;
        if let Step::Stage { component } = step {
            self.unstaged.push(component.clone());
        }
        self.unstaged.extend_from_slice(components);
        self.notes.push(note.to_owned());
        self.step_done(plan, None, None, at)
    }

    /// A run whose target is proved does not turn any more.
    fn turn_back(&mut self, cause: &Cause, at: Moment) -> Option<()> {
        match &self.phase {
            Phase::Forward { at: index } if self.proved_at.is_none() => {
                let phase = Phase::Backward {
                    at: *index,
                    cause: cause.clone(),
                };
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

    fn watched(&mut self, red_since: Option<Moment>, anew: Option<Moment>) -> Option<()> {
        let turned = self.red_since.is_some() != red_since.is_some();
        match &mut self.phase {
            Phase::Watching { until } if turned => {
                self.red_since = red_since;
                *until = anew.unwrap_or(*until);
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
            Verdict::Refused { .. } => {
                self.touched_at.is_none() && (backward || (forward && self.acted_at.is_none()))
            }
            Verdict::Cancelled { .. } => !watching && (backward || self.acted_at.is_none()),
            Verdict::NeedsHuman { .. } => forward || backward || watching,
        };
        true_to_the_log.then(|| {
            self.enter(
                Phase::Ended {
                    verdict: verdict.clone(),
                },
                at,
            )
        })
    }
}
