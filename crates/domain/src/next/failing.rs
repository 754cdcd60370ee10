//! What becomes of a run that can not go on: back to what served before, or an end that says what is known.

use super::{TRY_AGAIN, Then, Turn, end, go, pause_for};
use crate::{
    lifecycle::{Event, Phase, Run},
    name::ComponentName,
    plan::Plan,
    steps::{self, Act, Ctx, Side, Step},
    time::{Millis, Moment},
    verdict::{Cause, CauseCode, Verdict},
};

pub(super) fn too_late(ctx: &Ctx<'_>, step: &Step, forward: bool) -> Cause {
    match (step, forward) {
        (Step::Prove, true) => steps::proof_failure(ctx),
        (Step::Stage { component }, true) => steps::stage_failure(ctx, component),
        (Step::Raise { component }, true) => steps::raise_failure(ctx, component),
        (Step::Point { component }, _) => steps::point_failure(ctx, component),
        (Step::Wave { act, components }, _) => {
            let guilty = components.iter().find(|one| {
                *act == Act::Stage && forward && steps::is_the_targets_own_fault(ctx, one)
            });
            if let Some(guilty) = guilty {
                return steps::stage_failure(ctx, guilty);
            }
            let mut behind = steps::behind(ctx, *act, components, forward).into_iter();
            match behind.next() {
                Some((_, Some(cause))) => cause,
                Some((component, None)) => too_late(ctx, &act.of(component), forward),
                None => passed(ctx, step, forward),
            }
        }
        (
            Step::Check
            | Step::Build { .. }
            | Step::Lock
            | Step::Supply
            | Step::Keep
            | Step::Capture
            | Step::Pin
            | Step::Create { .. }
            | Step::Stage { .. }
            | Step::Raise { .. }
            | Step::Switch { .. }
            | Step::Handover { .. }
            | Step::Prove
            | Step::Record
            | Step::Retire,
            _,
        ) => passed(ctx, step, forward),
    }
}

fn passed(ctx: &Ctx<'_>, step: &Step, forward: bool) -> Cause {
    let sentence = format!(
        "the step `{}` took longer than {}",
        step.title(),
        step.time_limit(ctx.plan, forward)
    );
    Cause::new(CauseCode::DeadlinePassed, sentence)
}

/// How a run that is back where it began ends.
pub(super) fn came_back(run: &Run, cause: &Cause) -> Verdict {
    let cause = cause.clone();
    match (cause.code == CauseCode::Cancelled, run.touched_at) {
        (true, _) => Verdict::Cancelled { cause },
        (false, None) => Verdict::Refused { cause },
        (false, Some(_)) => Verdict::Restored { cause },
    }
}

/// Undoes what was done; with nothing done the run is back already.
pub(super) fn turn_back(run: &Run, cause: Cause) -> Turn {
    match run.acted_at {
        Some(_) => go(vec![Event::TurnedBack { cause }]),
        None => end(came_back(run, &cause)),
    }
}

pub(super) fn failed(ctx: &Ctx<'_>, step: &Step, forward: bool, cause: Cause) -> Turn {
    if !forward && *step != Step::Pin {
        return end(with_each_component(
            ctx,
            needs_human(ctx.plan, ctx.run, cause),
        ));
    }
    match step {
        Step::Capture | Step::Pin => {
            let note = step.given_up(&cause.sentence);
            skip(note)
        }
        Step::Retire => {
            let note = format!(
                "what is not needed any more is still there in part: {}",
                cause.sentence
            );
            skip(note)
        }
        Step::Prove => after_failed_proof(ctx, cause),
        Step::Stage { component } if !steps::is_the_targets_own_fault(ctx, component) => {
            skip(format!(
                "{}; it is stopped and started in its place instead",
                cause.sentence
            ))
        }
        Step::Wave {
            act: Act::Stage,
            components,
        } => after_failed_stages(ctx, components, cause),
        Step::Check
        | Step::Build { .. }
        | Step::Lock
        | Step::Supply
        | Step::Keep
        | Step::Create { .. }
        | Step::Stage { .. }
        | Step::Raise { .. }
        | Step::Switch { .. }
        | Step::Handover { .. }
        | Step::Wave { .. }
        | Step::Point { .. } => turn_back(ctx.run, cause),
        Step::Record => end(needs_human(ctx.plan, ctx.run, cause)),
    }
}

fn skip(note: String) -> Turn {
    go(vec![Event::StepSkipped {
        note,
        components: Vec::new(),
    }])
}

/// Who was proved on the stage is handed over; the others are stopped and started in their place.
fn after_failed_stages(ctx: &Ctx<'_>, components: &[ComponentName], cause: Cause) -> Turn {
    if components
        .iter()
        .any(|component| steps::is_the_targets_own_fault(ctx, component))
    {
        return turn_back(ctx.run, cause);
    }
    let behind = steps::behind(ctx, Act::Stage, components, true);
    let why: Vec<String> = behind
        .iter()
        .map(|(component, cause)| {
            let cause = cause.clone();
            let cause = cause.unwrap_or_else(|| steps::stage_failure(ctx, component));
            cause.sentence
        })
        .collect();
    let refused = ctx.run.refused.is_some().then(|| cause.sentence.clone());
    let why: Vec<String> = refused.into_iter().chain(why).collect();
    let note = format!(
        "{}; stopped and started in their place instead: {}",
        why.join("; "),
        behind
            .iter()
            .map(|(component, _)| component.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    );
    go(vec![Event::StepSkipped {
        note,
        components: behind.into_iter().map(|(component, _)| component).collect(),
    }])
}

/// Back to what served before, if that was better than what serves now; else a person has to choose.
fn after_failed_proof(ctx: &Ctx<'_>, cause: Cause) -> Turn {
    let (before, now) = (
        ctx.run.before.unwrap_or_default(),
        steps::tally(ctx, Side::Target),
    );
    if before.better_than(now) {
        return turn_back(ctx.run, cause);
    }
    let from = ctx
        .plan
        .from
        .as_ref()
        .map_or_else(|| "what served before".to_owned(), ToString::to_string);
    let production = format!(
        "{} serves, {now}; {from} was not better, {before}, so it was not put back",
        ctx.plan.to
    );
    end(with_each_component(
        ctx,
        Verdict::NeedsHuman { cause, production },
    ))
}

/// What each component runs, said to the person who has to go on from there: an application of several may be
/// neither here nor there.
fn with_each_component(ctx: &Ctx<'_>, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::NeedsHuman { cause, production } => {
            let parts: Vec<String> = steps::standing(ctx);
            let production = format!("{production}. {}", parts.join("; "));
            Verdict::NeedsHuman { cause, production }
        }
        Verdict::RolledBack { .. }
        | Verdict::Restored { .. }
        | Verdict::Refused { .. }
        | Verdict::Cancelled { .. } => verdict,
    }
}

pub(super) fn engine_lost(plan: &Plan, run: &Run, said: &str, now: Moment) -> Turn {
    let Some(since) = run.lost_since else {
        return Turn {
            events: vec![Event::EngineLost {
                said: said.to_owned(),
            }],
            then: Then::Pause(TRY_AGAIN),
        };
    };
    let limit = Millis::from_secs(plan.application.timeouts.engine_s);
    if now.since(since) < limit {
        return pause_for(TRY_AGAIN);
    }
    out_of_reach(
        plan,
        run,
        Cause::new(
            CauseCode::EngineUnreachable,
            format!("the engine did not answer for {limit}: {said}"),
        ),
    )
}

/// The engine may not be touched any more, not even to undo.
pub(super) fn out_of_reach(plan: &Plan, run: &Run, cause: Cause) -> Turn {
    let nothing_done = matches!(run.phase, Phase::Forward { .. }) && run.acted_at.is_none();
    end(if nothing_done {
        Verdict::Refused { cause }
    } else {
        needs_human(plan, run, cause)
    })
}

pub(super) fn needs_human(plan: &Plan, run: &Run, cause: Cause) -> Verdict {
    let production = match (&run.phase, run.touched_at, run.proved_at) {
        (Phase::Watching { .. }, _, Some(at)) => {
            format!(
                "{} was proved to be serving at {at} and is in the ledger; it was not green for its watch window",
                plan.to
            )
        }
        (_, _, Some(at)) => format!("{} was proved to be serving at {at}", plan.to),
        (_, None, None) => {
            "nothing that serves was touched; containers made for the rollback may be left"
                .to_owned()
        }
        (Phase::Backward { cause, .. }, Some(_), None) => format!(
            "it was going back to what served before ({}) and could not prove that it serves; look at the engine",
            cause.sentence
        ),
        (
            Phase::AwaitingApproval { .. }
            | Phase::Forward { .. }
            | Phase::Watching { .. }
            | Phase::Ended { .. },
            Some(at),
            None,
        ) => format!(
            "replicas were changed from {at} on and {} is not proved; look at the engine",
            plan.to
        ),
    };
    Verdict::NeedsHuman { cause, production }
}
