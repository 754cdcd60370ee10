//! The former containers go, their volumes and images stay. A stopped container with Compose's labels would
//! be taken by the next `up` for the replica itself.

use super::{Ctx, Next, plural, point::point, remove};
use crate::{
    effect::Effect,
    plan::{Plan, Swap},
    time::Millis,
};

const LOOK_AGAIN: Millis = Millis(250);

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

pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    if let Some(next) = ctx.plan.swaps.iter().find_map(|swap| drained(ctx, swap)) {
        return next;
    }
    let surplus = |swap| ctx.outgoing_of(swap).chain(ctx.strays_of(swap)).next();
    if let Some((swap, container)) = ctx
        .plan
        .swaps
        .iter()
        .find_map(|swap| Some((swap, surplus(swap)?)))
    {
        return remove(container, swap.stop_grace_s);
    }
    let surplus = ctx
        .look
        .kept
        .iter()
        .find(|(image, _)| !ctx.plan.keep.contains(image));
    if let Some((_, keeper)) = surplus {
        return Next::Do(Effect::RemoveContainer {
            container: keeper.clone(),
        });
    }
    // A request that lands late must find nobody else at work, and what it leaves must still be removed.
    if ctx.now < ctx.settled_at() {
        return Next::Wait(LOOK_AGAIN);
    }
    super::lock::give_back(ctx)
}

/// Behind a front the former container serves until nothing is under way there any more, or the time for it is
/// up. None when it may go. While it is not known where clients are sent, it stays.
fn drained(ctx: &Ctx<'_>, swap: &Swap) -> Option<Next> {
    let (front, _) = ctx.plan.front_of(swap)?;
    let former = ctx.former_of(swap).filter(|former| former.is_up())?;
    let to = ctx.next_of(swap).and_then(|next| ctx.behind(swap, next));
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
