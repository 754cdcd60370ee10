//! The application's lock on its engine: a container name, the only compare-and-set that an engine has.
//! It keeps a control plane with another database from acting on the same application.

use super::{Ctx, Next, Side, Step, create, point, prove, raise, switch};
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
    match &ctx.look.lock {
        Some(lock) if lock.rollback == ctx.rollback => Next::Done("the lock is ours".to_owned()),
        Some(lock) if lock.stale => Next::Do(Effect::RemoveContainer {
            container: lock.container.clone(),
        }),
        Some(lock) => {
            let sentence = format!(
                "{} holds {} on this engine with rollback {} (container {}); if it is gone for good, remove that container",
                lock.owner,
                ctx.plan.application.name,
                lock.rollback,
                lock.container.short(),
            );
            Next::Fail(Cause::new(CauseCode::LockedElsewhere, sentence))
        }
        // The target's image may not be there yet; the one that serves is.
        None => match ctx.plan.swaps.first() {
            Some(swap) => Next::Do(Effect::TakeLock {
                image: swap.former_image.clone(),
            }),
            None => Next::Done("nothing to lock".to_owned()),
        },
    }
}

/// What served before must serve again, and answer at least as well as it did at the start, before anybody else
/// may act on it.
pub(super) fn backward(ctx: &Ctx<'_>) -> Next {
    undone(ctx)
        .or_else(|| unproved(ctx))
        .unwrap_or_else(|| give_back(ctx))
}

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
        Step::Point { component } if ctx.run.touched_at.is_some() => {
            Some(point::backward(ctx, component))
        }
        Step::Raise { component } => Some(raise::backward(ctx, component)),
        Step::Create { component } => Some(create::backward(ctx, component)),
        Step::Check
        | Step::Lock
        | Step::Supply
        | Step::Keep
        | Step::Capture
        | Step::Switch { .. }
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
    let runs = |swap: &Swap| ctx.former_of(swap).is_some_and(Container::runs);
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
