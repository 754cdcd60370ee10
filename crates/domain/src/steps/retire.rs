//! The former containers go, their volumes and images stay. A stopped container with Compose's labels would
//! be taken by the next `up` for the replica itself.

use super::{Ctx, Next, plural, remove, stage};
use crate::{plan::Plan, time::Millis};

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
    format!(
        "Remove {} that served before{also}; volumes and images stay, what was written elsewhere in them goes. Then watch the probes for {} s.",
        plural(plan.swaps.len(), "container"),
        plan.application.watch_window_s,
    )
}

pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    let surplus = |swap| ctx.outgoing_of(swap).chain(ctx.strays_of(swap)).next();
    if let Some((swap, container)) = ctx
        .plan
        .swaps
        .iter()
        .find_map(|swap| Some((swap, surplus(swap)?)))
    {
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
    super::lock::give_back(ctx)
}
