//! The application's lock on its engine: a container name, the only compare-and-set that an engine has.
//! It keeps a control plane with another database from acting on the same application.

use super::{
    Act, Ctx, Next, Side, Step, create, handover, pin, point, prove, raise, stage, switch, wave,
};
use crate::{
    effect::Effect,
    engine_look::Container,
    plan::{Plan, Swap},
    time::Millis,
    verdict::{Cause, CauseCode},
};

const LOOK_AGAIN: Millis = Millis(50);

pub(super) fn explain(plan: &Plan) -> String {
    format!(
        "Take the lock of {} on its engine, so that no other control plane acts on it.",
        plan.application.name
    )
}

pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    held(ctx).unwrap_or_else(|| Next::Done("the lock is ours".to_owned()))
}

/// What comes before anything is changed: the lock is ours, and the newest fence that stands on the engine is this
/// claim's. None when it is so. Not only the step `lock` asks: a claim may begin anywhere, and a clean-up of stopped
/// containers takes a lock away.
pub(crate) fn held(ctx: &Ctx<'_>) -> Option<Next> {
    // The target's image may not be there yet; the one that serves is, and is kept.
    let take = || {
        let image = ctx.plan.swaps.first()?.former_image.clone();
        Some(Next::Do(Effect::TakeLock { image }))
    };
    match &ctx.look.lock {
        None => take(),
        Some(lock) if lock.rollback == ctx.rollback => {
            let written = lock.fence.is_some_and(|fence| fence >= ctx.fence);
            if written { None } else { take() }
        }
        Some(lock) if lock.stale => Some(Next::Do(Effect::RemoveContainer {
            container: lock.container.clone(),
        })),
        Some(lock) => {
            let sentence = format!(
                "{} holds {} on this engine with rollback {} (container {}); if it is gone for good, remove that container",
                lock.owner,
                ctx.plan.application.name,
                lock.rollback,
                lock.container.short(),
            );
            let cause = Cause::new(CauseCode::LockedElsewhere, sentence);
            Some(Next::Fail(cause))
        }
    }
}

/// Whether an act is only for who has the lock. Giving back the lock, or what an earlier rollback left of one, is
/// not: the engine sees to it that a container is removed once.
pub(crate) fn asks_for_it(ctx: &Ctx<'_>, effect: &Effect) -> bool {
    match effect {
        // Nothing that serves is touched by a build.
        Effect::TakeLock { .. }
        | Effect::Build { .. }
        | Effect::DropBuild { .. }
        | Effect::Record => false,
        Effect::Together { effects } => effects.iter().any(|effect| asks_for_it(ctx, effect)),
        Effect::RemoveContainer { container } => !ctx
            .look
            .lock
            .iter()
            .any(|lock| lock.container == *container || lock.marks.contains(container)),
        Effect::KeepImage { .. }
        | Effect::PullImage { .. }
        | Effect::LoadImage { .. }
        | Effect::Capture { .. }
        | Effect::CreateContainer { .. }
        | Effect::StopContainer { .. }
        | Effect::StartContainer { .. }
        | Effect::RenameContainer { .. }
        | Effect::WritePin { .. }
        | Effect::PutBackPin { .. }
        | Effect::SetStage { .. }
        | Effect::EnterStage { .. }
        | Effect::LeaveStage { .. }
        | Effect::ClearStage { .. }
        | Effect::HandOver { .. }
        | Effect::PointFront { .. } => true,
    }
}

/// What served before must serve again, and answer at least as well as it did at the start, before anybody else
/// may act on it.
pub(super) fn backward(ctx: &Ctx<'_>) -> Next {
    undone(ctx)
        .or_else(|| unproved(ctx))
        .unwrap_or_else(|| match give_back(ctx) {
            Next::Done(note) => Next::Done(with_what_stays(ctx, note)),
            next @ (Next::Do(_) | Next::Wait(_) | Next::Fail(_)) => next,
        })
}

/// A pin that landed late and was edited before it could be put back again stays: nobody else tells of it.
fn with_what_stays(ctx: &Ctx<'_>, note: String) -> String {
    match pin::backward(ctx) {
        Next::Fail(cause) => format!("{note}; {}", cause.sentence),
        Next::Do(_) | Next::Done(_) | Next::Wait(_) => note,
    }
}

/// The lock first: without it no act of this rollback is let through any more, whatever its fence. What is left of
/// its marks then stands for it, and goes one by one.
pub(super) fn give_back(ctx: &Ctx<'_>) -> Next {
    match ctx
        .look
        .lock
        .as_ref()
        .filter(|lock| lock.rollback == ctx.rollback)
    {
        Some(lock) => Next::Do(Effect::RemoveContainer {
            container: lock.container.clone(),
        }),
        None => Next::Done("the lock is given back".to_owned()),
    }
}

/// An effect of the way forward that lands late can undo the undoing: until none can, it is done again.
fn undone(ctx: &Ctx<'_>) -> Option<Next> {
    let again = ctx.plan.steps.iter().rev().filter_map(|step| match step {
        Step::Switch { component } if ctx.run.touched_at.is_some() => {
            Some(switch::backward(ctx, component))
        }
        Step::Handover { component } if ctx.run.touched_at.is_some() => {
            Some(handover::backward(ctx, component))
        }
        Step::Stage { component } => Some(stage::backward(ctx, component)),
        Step::Point { component } if ctx.run.touched_at.is_some() => {
            Some(point::backward(ctx, component))
        }
        Step::Raise { component } => Some(raise::backward(ctx, component)),
        Step::Wave {
            act: Act::Switch, ..
        } if ctx.run.touched_at.is_none() => None,
        Step::Wave { act, components } => Some(wave::backward(ctx, *act, components)),
        Step::Create { component } => Some(create::backward(ctx, component)),
        // What can not be put back was noted on the way here, and is for a person.
        Step::Pin => Some(pin::backward(ctx)).filter(|next| matches!(next, Next::Do(_))),
        Step::Check
        | Step::Build { .. }
        | Step::Lock
        | Step::Supply
        | Step::Keep
        | Step::Capture
        | Step::Switch { .. }
        | Step::Handover { .. }
        | Step::Point { .. }
        | Step::Prove
        | Step::Record
        | Step::Retire => None,
    });
    let undo = again
        .into_iter()
        .find(|next| !matches!(next, Next::Done(_)));
    undo.or_else(|| (ctx.now < ctx.settled_at()).then_some(Next::Wait(LOOK_AGAIN)))
}

/// What was never touched owes no proof: whatever it does is not our doing.
fn unproved(ctx: &Ctx<'_>) -> Option<Next> {
    ctx.run.touched_at?;
    let is_home = |swap: &Swap, former: &Container| {
        swap.ends
            .as_ref()
            .is_none_or(|ends| handover::is_home(former, &ends.former))
    };
    let runs = |swap: &Swap| {
        ctx.former_of(swap)
            .is_some_and(|former| former.runs() && is_home(swap, former))
    };
    let all_run = ctx
        .plan
        .swaps
        .iter()
        .all(|swap| !swap.former_runs || runs(swap));
    let worse = ctx
        .run
        .before
        .is_some_and(|before| before.better_than(prove::tally(ctx, Side::Former)));
    (!all_run || worse).then_some(Next::Wait(LOOK_AGAIN))
}
