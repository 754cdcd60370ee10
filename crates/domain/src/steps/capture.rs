//! Evidence for the incident report, taken while the bad version still runs.

use super::{Ctx, Next, plural};
use crate::{effect::Effect, plan::Plan};

pub(super) fn explain(plan: &Plan) -> String {
    format!(
        "Keep the last logs and the inspection of {} as artifacts.",
        plural(plan.swaps.len(), "container")
    )
}

pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    let missing = |swap: &&crate::plan::Swap| {
        !ctx.world.captured.contains(&swap.former) && ctx.former_of(swap).is_some()
    };
    match ctx.plan.swaps.iter().find(missing) {
        Some(swap) => Next::Do(Effect::Capture {
            component: swap.component.clone(),
            container: swap.former.clone(),
        }),
        None => Next::Done(format!(
            "{} captured",
            plural(ctx.world.captured.len(), "container")
        )),
    }
}
