//! The target's containers are created while the present ones still serve: what can be done before the stop
//! is done before the stop.

use super::{Ctx, Next, pin, plural, remove};
use crate::{
    effect::Effect,
    name::ComponentName,
    plan::{Plan, Swap},
    time::Millis,
};

/// How long a name of ours may belong to a container that is only a name any more: the engine is removing it.
const VANISHES_WITHIN: Millis = Millis::from_secs(5);
/// How soon it is looked at again.
const LOOK_AGAIN: Millis = Millis(100);

pub(super) fn explain(plan: &Plan, component: &ComponentName) -> String {
    explain_all(plan, std::slice::from_ref(component))
}

pub(super) fn explain_all(plan: &Plan, components: &[ComponentName]) -> String {
    let of = |component| {
        let containers = plural(plan.swaps_of(component).count(), "container");
        format!("{containers} of {component} {}", plan.to)
    };
    let created: Vec<String> = components.iter().map(of).collect();
    format!(
        "Create {} beside the present ones, which go on serving.",
        created.join(", ")
    )
}

pub(super) fn forward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    for swap in ctx.plan.swaps_of(component) {
        if ctx.next_of(swap).is_some() {
            continue;
        }
        return create(ctx, swap);
    }
    Next::Done(format!(
        "{} of {component} created",
        plural(ctx.plan.swaps_of(component).count(), "container")
    ))
}

/// Creates the target's container of one replica.
pub(super) fn create(ctx: &Ctx<'_>, swap: &Swap) -> Next {
    let name = swap.name_before(ctx.rollback);
    if let Some(cause) = ctx.name_taken(swap, &name) {
        let young = ctx.now.since(ctx.run.since) < VANISHES_WITHIN;
        return match young && ctx.is_vanishing(&name) {
            true => Next::Wait(LOOK_AGAIN),
            false => Next::Fail(cause),
        };
    }
    Next::Do(Effect::CreateContainer {
        component: swap.component.clone(),
        name,
        image: swap.image.clone(),
        specification: swap.specification.clone(),
        replaces: swap.former.clone(),
        config_hash: pin::config_hash(ctx, swap).ok(),
    })
}

pub(super) fn backward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    match ctx
        .plan
        .swaps_of(component)
        .find_map(|swap| Some((swap, ctx.next_of(swap)?)))
    {
        Some((swap, next)) => remove(next, swap.stop_grace_s),
        None => Next::Done(format!("the containers created for {component} are gone")),
    }
}
