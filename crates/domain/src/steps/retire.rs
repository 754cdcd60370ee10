//! The former containers go, their volumes and images stay. A stopped container with Compose's labels would
//! be taken by the next `up` for the replica itself.

use super::{Ctx, Next, plural, point::point, remove, stage};
use crate::{
    engine_look::Container,
    name::ContainerId,
    plan::{Plan, Swap},
    time::Millis,
    verdict::{Cause, CauseCode},
};

const LOOK_AGAIN: Millis = Millis(250);
/// How often the removal of one container is tried: a refusal can be a race with the engine's own work.
const TRIES_MAX: u8 = 3;

pub(super) fn explain(plan: &Plan) -> String {
    let leftovers: usize = plan.swaps.iter().map(|swap| swap.leftovers.len()).sum();
    let also = match leftovers {
        0 => String::new(),
        count => format!(
            " and {} that an earlier rollback left",
            plural(count, "container")
        ),
    };
    let drain = plan
        .swaps
        .iter()
        .filter_map(|swap| plan.front_of(swap))
        .map(|(front, _)| front.drain_s)
        .max();
    let drain = drain.map_or_else(String::new, |longest| {
        format!("Wait up to {longest} s for what is under way where clients were sent before. ")
    });
    format!(
        "{drain}Remove {} that served before{also}; volumes and images stay, what was written elsewhere in them goes. Then watch the probes for {} s.",
        plural(plan.swaps.len(), "container"),
        plan.application.watch_window_s,
    )
}

/// What can not be removed is left for a person, and keeps nothing else from going.
pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    if let Some(next) = ctx.plan.swaps.iter().find_map(|swap| drained(ctx, swap)) {
        return next;
    }
    let tries = |id: &ContainerId| ctx.run.stuck(id).map_or(0, |stuck| stuck.tries);
    let next = surplus(ctx)
        .filter(|(_, container)| tries(&container.id) < TRIES_MAX)
        .min_by_key(|(_, container)| tries(&container.id));
    if let Some((swap, container)) = next {
        return remove(container, swap.stop_grace_s);
    }
    // Of earlier rollbacks too: the lock is ours, so nobody uses them.
    if let Some(stage) = ctx.look.stages.first() {
        return stage::clear(stage);
    }
    // A request that lands late must find nobody else at work, and what it leaves must still be removed.
    if ctx.now < ctx.settled_at() {
        return Next::Wait(LOOK_AGAIN);
    }
    match super::lock::give_back(ctx) {
        Next::Do(effect) if effect.removes().is_none_or(|lock| tries(lock) < TRIES_MAX) => {
            Next::Do(effect)
        }
        Next::Done(note) => left(ctx).map_or(Next::Done(note), Next::Fail),
        Next::Do(_) | Next::Wait(_) | Next::Fail(_) => {
            left(ctx).map_or_else(|| Next::Wait(LOOK_AGAIN), Next::Fail)
        }
    }
}

/// Every container that nobody needs any more, with the swap that it was a part of. Where somebody took the target's
/// away, whatever else there is may be what serves now: it stays.
fn surplus<'a>(ctx: &'a Ctx<'a>) -> impl Iterator<Item = (&'a Swap, &'a Container)> {
    let replaced = |swap: &&Swap| ctx.next_of(swap).is_some();
    ctx.plan
        .swaps
        .iter()
        .filter(replaced)
        .flat_map(move |swap| {
            let containers = ctx.outgoing_of(swap).chain(ctx.strays_of(swap));
            containers.map(move |container| (swap, container))
        })
}

/// Containers that stay because the target's own is gone.
fn spared<'a>(ctx: &'a Ctx<'a>) -> impl Iterator<Item = (&'a Swap, &'a Container)> {
    let gone = |swap: &&Swap| ctx.next_of(swap).is_none();
    ctx.plan.swaps.iter().filter(gone).flat_map(move |swap| {
        let containers = ctx.outgoing_of(swap);
        containers.map(move |container| (swap, container))
    })
}

fn left(ctx: &Ctx<'_>) -> Option<Cause> {
    let lock = ctx
        .look
        .lock
        .iter()
        .map(|lock| (&lock.container, "the lock"));
    let left: Vec<String> = surplus(ctx)
        .map(|(_, container)| (&container.id, container.name.as_str()))
        .chain(lock)
        .filter_map(|(id, name)| Some((id, name, ctx.run.stuck(id)?)))
        .map(|(id, name, stuck)| {
            format!("{name} ({}) can not be removed: {}", id.short(), stuck.said)
        })
        .collect();
    let by_hand = format!("{}; `docker rm` it by hand", left.join("; "));
    let mut said: Vec<String> = spared(ctx)
        .map(|(swap, container)| {
            format!(
                "somebody removed {} of {}; {} ({}) stays",
                swap.name,
                ctx.plan.to,
                container.name,
                container.id.short()
            )
        })
        .collect();
    let code = if said.is_empty() {
        CauseCode::EngineRefused
    } else {
        CauseCode::Drifted
    };
    said.extend((!left.is_empty()).then_some(by_hand));
    (!said.is_empty()).then(|| Cause::new(code, said.join("; ")))
}

/// Behind a front the former container serves until nothing is under way there any more, or the time for it is
/// up. None when it may go. While it is not known where clients are sent, it stays.
fn drained(ctx: &Ctx<'_>, swap: &Swap) -> Option<Next> {
    let (front, _) = ctx.plan.front_of(swap)?;
    let former = ctx.former_of(swap).filter(|former| former.is_up())?;
    // Without a target's container it stays in any case: there is nothing to wait for.
    let to = ctx.behind(swap, ctx.next_of(swap)?);
    let (Some(to), Ok(server)) = (to, ctx.front_server(swap)) else {
        return Some(Next::Wait(LOOK_AGAIN));
    };
    if !server.aims_at(to) {
        return Some(point(swap, to));
    }
    let late = ctx.now.since(ctx.run.since) >= Millis::from_secs(front.drain_s);
    let under_way = ctx
        .behind(swap, former)
        .map_or(Some(0), |address| server.sessions_at(address));
    (!late && under_way != Some(0)).then_some(Next::Wait(LOOK_AGAIN))
}
