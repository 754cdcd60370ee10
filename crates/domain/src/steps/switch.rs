//! The moment in which a component changes over, replica by replica: stop the present container, start the
//! target's, hand over the name by which Compose knows the replica.

use super::{Ctx, Next, plural, remake, remove};
use crate::{
    effect::Effect,
    engine_look::{Container, ContainerState},
    name::{ComponentName, ContainerId},
    plan::{Plan, Swap},
    verdict::{Cause, CauseCode},
};

pub(super) fn explain(plan: &Plan, component: &ComponentName) -> String {
    let names: Vec<&str> = plan
        .swaps_of(component)
        .map(|swap| swap.name.as_str())
        .collect();
    format!(
        "Switch {component}: stop {}, start {} of {}, hand over the name{}.",
        names.join(", "),
        plural(names.len(), "container"),
        plan.to,
        if names.len() == 1 { "" } else { "s" },
    )
}

/// Whether two versions of it must never run at once, so that all of its replicas stop before the first one starts.
fn alone(ctx: &Ctx<'_>, component: &ComponentName) -> bool {
    let defined = ctx.plan.application.component(component);
    defined.is_some_and(|component| component.overlap == Some(false))
}

pub(super) fn forward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    if alone(ctx, component) {
        // None stops before a target is there for each.
        let lacks = |swap| {
            let missing = ctx.next_of(swap).is_none();
            missing.then(|| remake::again(ctx, swap))
        };
        let swaps = || ctx.plan.swaps_of(component);
        let next = swaps().find_map(lacks);
        if let Some(next) = next.or_else(|| swaps().find_map(|swap| rests(ctx, swap))) {
            return next;
        }
    }
    for swap in ctx.plan.swaps_of(component) {
        if let Some(next) = forward_one(ctx, swap) {
            return next;
        }
    }
    Next::Done(format!("{component} {} is started", ctx.plan.to))
}

/// None when this replica is switched. A target that was started and ended by itself is switched all the
/// same: whether it stays up is for the proof to say.
pub(super) fn forward_one(ctx: &Ctx<'_>, swap: &Swap) -> Option<Next> {
    let Some(next) = ctx.next_of(swap) else {
        return Some(remake::again(ctx, swap));
    };
    // After the start as well: a restart of the engine can bring one back whose policy outlived our stop.
    if let Some(next) = rests(ctx, swap) {
        let mut side_cars = ctx.plan.side_cars_of(swap).into_iter();
        let lacking = side_cars.find(|side_car| ctx.next_of(side_car).is_none());
        return Some(lacking.map_or(next, |side_car| Next::Fail(remake::gone(side_car))));
    }
    if next.state == ContainerState::Created {
        return Some(Next::Do(Effect::StartContainer {
            container: next.id.clone(),
            restart: None,
        }));
    }
    names(ctx, swap, next)
}

/// Stops what the replica is now; none when it rests.
fn rests(ctx: &Ctx<'_>, swap: &Swap) -> Option<Next> {
    side_cars_rest(ctx, swap).or_else(|| {
        let mut outgoing = ctx.outgoing_of(swap);
        let up = outgoing.find(|container| container.is_up())?;
        Some(stop(up, swap))
    })
}

/// Hands over the name by which Compose knows the replica; none when that is done.
pub(super) fn names(ctx: &Ctx<'_>, swap: &Swap, next: &Container) -> Option<Next> {
    if let Some(outgoing) = ctx
        .outgoing_of(swap)
        .find(|container| container.name == swap.name)
    {
        return Some(ctx.rename(swap, outgoing, swap.name_after(ctx.rollback)));
    }
    (next.name != swap.name).then(|| ctx.rename(swap, next, swap.name.clone()))
}

/// Whoever shares with the present container stops before it: without it they could not serve, and would not know.
pub(super) fn side_cars_rest(ctx: &Ctx<'_>, swap: &Swap) -> Option<Next> {
    ctx.plan
        .side_cars_of(swap)
        .into_iter()
        .find_map(|side_car| {
            let outgoing = ctx
                .outgoing_of(side_car)
                .find(|container| container.is_up())?;
            Some(stop(outgoing, side_car))
        })
}

pub(super) fn backward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    if alone(ctx, component) {
        let up = |swap| {
            let next = ctx.next_of(swap).filter(|next| next.is_up())?;
            Some(stop(next, swap))
        };
        if let Some(next) = ctx.plan.swaps_of(component).rev().find_map(up) {
            return next;
        }
    }
    for swap in ctx.plan.swaps_of(component).rev() {
        // Their own step came first and could not start them: what they share with was not there yet.
        let side_cars = ctx.plan.side_cars_of(swap).into_iter().rev();
        if let Some(next) = [swap]
            .into_iter()
            .chain(side_cars)
            .find_map(|swap| backward_one(ctx, swap))
        {
            return next;
        }
    }
    Next::Done(format!("{component} is what it was before"))
}

/// Serving first, names second: None when this replica is what it was before. A leftover of an earlier
/// rollback gets its name back and stays stopped: it was none of the replicas.
pub(super) fn backward_one(ctx: &Ctx<'_>, swap: &Swap) -> Option<Next> {
    let next = ctx.next_of(swap);
    if let Some(next) = next.filter(|next| next.is_up()) {
        return Some(stop(next, swap));
    }
    let Some(former) = ctx.former_of(swap) else {
        let sentence = format!(
            "container {} ({}) is gone from the engine",
            swap.name,
            swap.former.short()
        );
        return Some(Next::Fail(Cause::new(CauseCode::Drifted, sentence)));
    };
    serves_again(ctx, swap, former).or_else(|| names_back(ctx, swap))
}

/// Starts what served before, with its own restart policy, once what it shares with is up.
pub(super) fn serves_again(ctx: &Ctx<'_>, swap: &Swap, former: &Container) -> Option<Next> {
    let waits = !former.is_up() && !parents_are_up(ctx, swap);
    let as_before = former.is_up() && former.restart == swap.former_restart;
    (swap.former_runs && !waits && !as_before).then(|| {
        Next::Do(Effect::StartContainer {
            container: former.id.clone(),
            restart: Some(swap.former_restart.clone()),
        })
    })
}

/// Gives every name back to whoever had it.
pub(super) fn names_back(ctx: &Ctx<'_>, swap: &Swap) -> Option<Next> {
    let next = ctx.next_of(swap);
    if let Some(stray) = ctx.strays_of(swap).next() {
        return Some(remove(stray, swap.stop_grace_s));
    }
    if let Some(next) = next.filter(|next| next.name == swap.name) {
        return Some(ctx.rename(swap, next, swap.name_before(ctx.rollback)));
    }
    let aside = swap.name_after(ctx.rollback);
    let outgoing = ctx
        .outgoing_of(swap)
        .find(|container| container.name == aside)?;
    Some(ctx.rename(swap, outgoing, swap.name.clone()))
}

/// Whether everything that a former container shares with runs again.
fn parents_are_up(ctx: &Ctx<'_>, swap: &Swap) -> bool {
    let up = |parent| ctx.container(parent).is_some_and(Container::is_up);
    let runs_at_all = |parent: &&ContainerId| {
        let parents = ctx
            .plan
            .swaps
            .iter()
            .filter(|other| other.former == **parent);
        parents.into_iter().any(|other| other.former_runs)
    };
    swap.joins.iter().filter(runs_at_all).all(up)
}

pub(super) fn stop(container: &Container, swap: &Swap) -> Next {
    Next::Do(Effect::StopContainer {
        container: container.id.clone(),
        grace_s: swap.stop_grace_s,
    })
}
