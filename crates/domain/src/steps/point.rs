//! The moment in which a component behind a front changes over: one call to its balancer. New clients go to the
//! target's container from then on, those under way finish at the former one. What it remembers is nothing: it
//! looks at the balancer.

use super::{Ctx, Next, plural, remake, switch};
use crate::{
    effect::Effect,
    name::ComponentName,
    plan::{Plan, Swap},
    time::Millis,
    verdict::{Cause, CauseCode},
};

/// A balancer that does not answer is being restarted, or is gone.
const LOOK_AGAIN: Millis = Millis(100);

pub(super) fn explain(plan: &Plan, component: &ComponentName) -> String {
    let balancer = plan
        .application
        .component(component)
        .and_then(|component| component.front.as_ref())
        .map_or("the balancer", |front| front.balancer.word());
    let count = plan.swaps_of(component).count();
    format!(
        "Point {balancer} at {} of {component} {}: new clients go there, those under way finish where they are; \
         hand over the name{}.",
        plural(count, "container"),
        plan.to,
        if count == 1 { "" } else { "s" },
    )
}

pub(super) fn forward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    for swap in ctx.plan.swaps_of(component) {
        if let Some(next) = forward_one(ctx, swap) {
            return next;
        }
    }
    Next::Done(format!("clients are sent to {component} {}", ctx.plan.to))
}

/// None when clients are sent to this replica of the target, and it goes by the replica's name.
fn forward_one(ctx: &Ctx<'_>, swap: &Swap) -> Option<Next> {
    let Some(next) = ctx.next_of(swap) else {
        return Some(Next::Fail(remake::gone(swap)));
    };
    let Some(to) = ctx.behind(swap, next) else {
        let sentence = format!("{} ended before clients were sent to it", next.name);
        return Some(Next::Fail(Cause::new(CauseCode::ProofFailed, sentence)));
    };
    let server = match ctx.front_server(swap) {
        Ok(server) => server,
        Err(cause) if cause.code == CauseCode::BalancerUnreachable => {
            return Some(Next::Wait(LOOK_AGAIN));
        }
        Err(cause) => return Some(Next::Fail(cause)),
    };
    if let Some(why) = server.unfit() {
        return Some(Next::Fail(Cause::new(CauseCode::BalancerUnfit, why)));
    }
    if !server.points_at(to) {
        return Some(point(swap, to));
    }
    if let Some(outgoing) = ctx
        .outgoing_of(swap)
        .find(|container| container.name == swap.name)
    {
        return Some(ctx.rename(swap, outgoing, swap.name_after(ctx.rollback)));
    }
    (next.name != swap.name).then(|| ctx.rename(swap, next, swap.name.clone()))
}

/// Asks the balancer of a swap to send clients elsewhere.
pub(super) fn point(swap: &Swap, to: std::net::SocketAddr) -> Next {
    Next::Do(Effect::PointFront {
        component: swap.component.clone(),
        server: swap.server.clone().unwrap_or_default(),
        to,
    })
}

pub(super) fn backward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    for swap in ctx.plan.swaps_of(component).rev() {
        // Their own step came first and could not start them: what they share with was not there yet.
        let side_cars = ctx.plan.side_cars_of(swap).into_iter().rev();
        let mut side_cars = side_cars.filter_map(|side_car| switch::backward_one(ctx, side_car));
        if let Some(next) = backward_one(ctx, swap).or_else(|| side_cars.next()) {
            return next;
        }
    }
    Next::Done(format!(
        "clients are sent to what served {component} before"
    ))
}

/// Serving first, names second: the former container still runs, or is started again, and clients are sent back
/// before anything of the target stops.
fn backward_one(ctx: &Ctx<'_>, swap: &Swap) -> Option<Next> {
    let next = ctx.next_of(swap);
    if let Some(next) = next.filter(|next| next.is_up() && !ctx.plan.side_by_side(swap)) {
        return Some(Next::Do(Effect::StopContainer {
            container: next.id.clone(),
            grace_s: swap.stop_grace_s,
        }));
    }
    let Some(former) = ctx.former_of(swap) else {
        let sentence = format!(
            "container {} ({}) is gone from the engine",
            swap.name,
            swap.former.short()
        );
        return Some(Next::Fail(Cause::new(CauseCode::Drifted, sentence)));
    };
    if swap.former_runs {
        if !former.is_up() || former.restart != swap.former_restart {
            let restart = Some(swap.former_restart.clone());
            return Some(Next::Do(Effect::StartContainer {
                container: former.id.clone(),
                restart,
            }));
        }
        if let Some(next) = sent_back(ctx, swap, former) {
            return Some(next);
        }
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

/// None when the balancer sends clients to the former container. A file that somebody edited meanwhile does not
/// stand in the way back, and neither does a check of the balancer's that was red before.
fn sent_back(ctx: &Ctx<'_>, swap: &Swap, former: &crate::engine_look::Container) -> Option<Next> {
    let Some(to) = ctx.behind(swap, former) else {
        return Some(Next::Wait(LOOK_AGAIN));
    };
    match ctx.front_server(swap) {
        Ok(server) if server.aims_at(to) && server.files(to) => None,
        Ok(_) => Some(point(swap, to)),
        Err(cause) if cause.code == CauseCode::BalancerUnreachable => Some(Next::Wait(LOOK_AGAIN)),
        Err(cause) => Some(Next::Fail(cause)),
    }
}

/// What a change over that ran out of time says: usually that the balancer does not answer.
pub(crate) fn failure(ctx: &Ctx<'_>, component: &ComponentName) -> Cause {
    let away = ctx
        .plan
        .swaps_of(component)
        .find_map(|swap| ctx.front_server(swap).err());
    away.unwrap_or_else(|| {
        let sentence = format!("clients of {component} could not be sent elsewhere in time");
        Cause::new(CauseCode::DeadlinePassed, sentence)
    })
}
