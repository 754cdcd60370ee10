//! Behind a front: the target starts beside what serves and is proved at its own address, while clients are still
//! sent to the former container. Where two versions may not run at once, the former one stops first.

use super::{Ctx, Next, plural, prove, remake, switch, wave};
use crate::{
    effect::Effect,
    engine_look::{Container, ContainerState},
    name::ComponentName,
    plan::{Plan, Swap},
    time::Millis,
    verdict::{Cause, CauseCode},
};

/// An application serves its first answer about a millisecond after its start; a look costs two.
const LOOK_AGAIN: Millis = Millis(10);
/// Starts of a target that ended by itself, beyond the first.
const STARTS_SPARE: usize = 2;

pub(super) fn explain(plan: &Plan, component: &ComponentName) -> String {
    let count = plural(plan.swaps_of(component).count(), "container");
    let beside = plan.swaps_of(component).all(|swap| plan.side_by_side(swap));
    let how = if beside {
        "beside the present ones, which go on serving"
    } else {
        "after the present ones are stopped, since two versions may not run at once"
    };
    format!(
        "Start {count} of {component} {} {how}; prove each at its own address within {}.",
        plan.to,
        plan.application.timeouts.proof(),
    )
}

pub(super) fn forward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    let mut all_green = true;
    for swap in ctx.plan.swaps_of(component) {
        let Some(next) = ctx.next_of(swap) else {
            return remake::again(ctx, swap);
        };
        if let Some(wish) = start(ctx, swap, next, component) {
            return wish;
        }
        all_green &= prove::red_beside(ctx, swap, next).is_none();
    }
    if all_green {
        Next::Done(format!(
            "{component} {} is proved at its own address",
            ctx.plan.to
        ))
    } else {
        Next::Wait(LOOK_AGAIN)
    }
}

/// None when there is nothing more to do than to wait for its answers.
fn start(ctx: &Ctx<'_>, swap: &Swap, next: &Container, component: &ComponentName) -> Option<Next> {
    if !ctx.plan.side_by_side(swap)
        && let Some(next) = switch::side_cars_rest(ctx, swap)
    {
        return Some(next);
    }
    // Leftovers of an earlier rollback serve nobody.
    let stops = |id| id != &swap.former || !ctx.plan.side_by_side(swap);
    let outgoing = ctx
        .outgoing_of(swap)
        .find(|container| container.is_up() && stops(&container.id));
    if let Some(outgoing) = outgoing {
        return Some(Next::Do(Effect::StopContainer {
            container: outgoing.id.clone(),
            grace_s: swap.stop_grace_s,
        }));
    }
    let spent = usize::from(ctx.run.acts) > 2 * wave::replicas(ctx, component) + STARTS_SPARE;
    let start = || {
        Next::Do(Effect::StartContainer {
            container: next.id.clone(),
            restart: None,
        })
    };
    match next.state {
        ContainerState::Created => Some(start()),
        ContainerState::Exited if !spent => Some(start()),
        ContainerState::Exited | ContainerState::Dead | ContainerState::Removing => {
            Some(Next::Fail(failure(ctx, component)))
        }
        ContainerState::Restarting | ContainerState::Running
            if next.restarts >= prove::RESTARTS_MAX =>
        {
            Some(Next::Fail(failure(ctx, component)))
        }
        ContainerState::Running | ContainerState::Restarting | ContainerState::Paused => None,
    }
}

/// What a target says that could not be proved beside the present one.
pub(crate) fn failure(ctx: &Ctx<'_>, component: &ComponentName) -> Cause {
    let red = ctx
        .plan
        .swaps_of(component)
        .find_map(|swap| prove::red_beside(ctx, swap, ctx.next_of(swap)?))
        .unwrap_or_else(|| "not every check was answered".to_owned());
    let sentence = format!(
        "{component} {} could not be proved at its own address within {}; {red}",
        ctx.plan.to,
        ctx.plan.application.timeouts.proof()
    );
    Cause::new(CauseCode::ProofFailed, sentence)
}

/// What was started beside goes before what it stands beside needs to be proved; its removal follows.
pub(super) fn backward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    let up = ctx.plan.swaps_of(component).find_map(|swap| {
        let next = ctx.next_of(swap).filter(|next| next.is_up())?;
        Some((swap, next))
    });
    match up {
        Some((swap, next)) => Next::Do(Effect::StopContainer {
            container: next.id.clone(),
            grace_s: swap.stop_grace_s,
        }),
        None => Next::Done(format!(
            "nothing of {component} runs beside what served before"
        )),
    }
}
