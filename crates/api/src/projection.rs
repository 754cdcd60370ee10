//! What the log says of each step: a pure fold over plan and events, for people and progress lines.

use domain::{
    lifecycle::{Event, Phase, Run},
    plan::Plan,
    time::{Millis, Moment},
    verdict::Verdict,
};

use crate::routes::steps::{StepProgress, StepState};

/// One event of a log with its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged<'a> {
    pub(crate) at: Moment,
    pub(crate) event: &'a Event,
}

/// Stored events as the fold takes them.
pub(crate) fn logged(events: &[store::StoredEvent]) -> Vec<Logged<'_>> {
    events
        .iter()
        .map(|stored| Logged {
            at: stored.at,
            event: &stored.event,
        })
        .collect()
}

/// The state of every step of the plan after these events.
pub(crate) fn steps(plan: &Plan, events: &[Logged<'_>]) -> Vec<StepProgress> {
    let mut steps: Vec<StepProgress> = (1..)
        .zip(&plan.steps)
        .map(|(number, step)| StepProgress {
            number,
            title: step.title(),
            sentence: step.explain(plan),
            state: StepState::Pending,
            started_at: None,
            duration_ms: None,
            note: None,
        })
        .collect();
    let mut fold = Fold::new();
    for logged in events {
        let before = fold.step();
        fold.push(plan, *logged);
        if let Some(step) = before.and_then(|index| steps.get_mut(index)) {
            leave(step, *logged, fold.run.as_ref());
        }
        if let Some(step) = fold
            .step()
            .filter(|after| Some(*after) != before)
            .and_then(|at| steps.get_mut(at))
        {
            enter(step, logged.at);
        }
    }
    steps
}

/// The run as far as the events can be followed; a log that can not be followed keeps its last state.
pub(crate) struct Fold {
    pub(crate) run: Option<Run>,
}

impl Fold {
    pub(crate) fn new() -> Self {
        Self { run: None }
    }

    pub(crate) fn push(&mut self, plan: &Plan, logged: Logged<'_>) {
        self.run = match self.run.take() {
            None => Run::requested(logged.event, logged.at).ok(),
            Some(run) => Some(
                run.clone()
                    .evolve(plan, logged.event, logged.at)
                    .unwrap_or(run),
            ),
        };
    }

    /// Index of the step that the run is at.
    pub(crate) fn step(&self) -> Option<usize> {
        match &self.run.as_ref()?.phase {
            Phase::Forward { at } | Phase::Backward { at, .. } => Some(usize::from(*at)),
            Phase::AwaitingApproval { .. } | Phase::Watching { .. } | Phase::Ended { .. } => None,
        }
    }
}

fn enter(step: &mut StepProgress, at: Moment) {
    match step.state {
        StepState::Pending => {
            step.state = StepState::Running;
            step.started_at = Some(at);
        }
        StepState::Done | StepState::Skipped => {
            step.state = StepState::Undoing;
            step.started_at = Some(at);
            step.duration_ms = None;
        }
        StepState::Running | StepState::Undoing | StepState::Undone | StepState::Failed => {}
    }
}

/// What an event says of the step that the run was at.
fn leave(step: &mut StepProgress, logged: Logged<'_>, run: Option<&Run>) {
    let took = |step: &StepProgress| step.started_at.map(|start| millis(logged.at.since(start)));
    match logged.event {
        Event::StepDone { note, checks, .. } => {
            step.state = if step.state == StepState::Undoing {
                StepState::Undone
            } else {
                StepState::Done
            };
            step.duration_ms = took(step);
            step.note = Some(match checks {
                Some(tally) => format!("{note} ({tally})"),
                None => note.clone(),
            });
        }
        Event::StepSkipped { note, .. } => {
            step.state = StepState::Skipped;
            step.duration_ms = took(step);
            step.note = Some(note.clone());
        }
        Event::TurnedBack { cause } => {
            step.state = StepState::Undoing;
            step.note = Some(cause.sentence.clone());
        }
        Event::EngineLost { said } => {
            step.note = Some(format!("the engine does not answer: {said}"))
        }
        Event::EngineBack => step.note = None,
        Event::Ended { verdict } => {
            step.duration_ms = took(step);
            end(step, verdict);
        }
        Event::Requested { .. }
        | Event::Approved { .. }
        | Event::TakenOver { .. }
        | Event::Intended { .. }
        | Event::Performed { .. }
        | Event::CancelRefused { .. }
        | Event::WatchRed { .. }
        | Event::WatchGreen { .. } => {
            debug_assert!(run.is_some(), "a step was left, so the run exists")
        }
    }
}

/// The step at which a run ended: undone when the way back ended there, else it is what failed.
fn end(step: &mut StepProgress, verdict: &Verdict) {
    match verdict {
        Verdict::Restored { cause } | Verdict::Cancelled { cause } => {
            step.state = StepState::Undone;
            step.note.get_or_insert_with(|| cause.sentence.clone());
        }
        Verdict::Refused { cause } | Verdict::NeedsHuman { cause, .. } => {
            step.state = StepState::Failed;
            step.note = Some(cause.sentence.clone());
        }
        Verdict::RolledBack { .. } => step.state = StepState::Done,
    }
}

fn millis(length: Millis) -> u64 {
    length.0
}

#[cfg(test)]
mod tests;
