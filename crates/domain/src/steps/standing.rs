//! Where production stands, component by component, as far as the engine shows it.

use super::Ctx;
use crate::{
    engine_look::{Container, ContainerState},
    name::{ComponentName, ImageId},
    plan::Swap,
};

/// One clause for each component of the plan.
pub(crate) fn standing(ctx: &Ctx<'_>) -> Vec<String> {
    let mut components: Vec<&ComponentName> = Vec::new();
    let swapped = ctx.plan.swaps.iter().map(|swap| &swap.component);
    let settled = ctx.plan.settled.iter().map(|settled| &settled.component);
    for component in swapped.chain(settled) {
        if !components.contains(&component) {
            components.push(component);
        }
    }
    components
        .into_iter()
        .map(|component| of_component(ctx, component))
        .collect()
}

fn of_component(ctx: &Ctx<'_>, component: &ComponentName) -> String {
    let mut parts: Vec<String> = ctx
        .plan
        .swaps_of(component)
        .map(|swap| of_swap(ctx, swap))
        .collect();
    let settled = ctx
        .plan
        .settled
        .iter()
        .filter(|settled| settled.component == *component);
    for settled in settled {
        let runs = ctx
            .container(&settled.container)
            .is_some_and(Container::runs);
        parts.push(match runs {
            true => format!("{} runs, untouched", version_of(ctx, &settled.image)),
            false => format!("container {} does not run", settled.container.short()),
        });
    }
    parts.dedup();
    format!("{component}: {}", parts.join(", "))
}

fn of_swap(ctx: &Ctx<'_>, swap: &Swap) -> String {
    let (former, next) = (ctx.former_of(swap), ctx.next_of(swap));
    let up: Vec<String> = [former, next]
        .into_iter()
        .flatten()
        .filter(|container| container.is_up())
        .map(|container| {
            let named = if container.name == swap.name {
                String::new()
            } else {
                format!(" under the name {}", container.name)
            };
            let well = match container.state {
                ContainerState::Running => "runs",
                ContainerState::Restarting => "is restarting",
                ContainerState::Paused => "is paused",
                ContainerState::Created
                | ContainerState::Exited
                | ContainerState::Removing
                | ContainerState::Dead => "is down",
            };
            format!(
                "{} {well} as {}{named}",
                version_of(ctx, &container.image),
                swap.name
            )
        })
        .collect();
    match up.as_slice() {
        [] => format!("nothing runs as {}", swap.name),
        some => some.join(" and "),
    }
}

/// The version that an image stands for in this plan.
fn version_of(ctx: &Ctx<'_>, image: &ImageId) -> String {
    let plan = ctx.plan;
    let target = plan.swaps.iter().any(|swap| swap.image == *image)
        || plan.settled.iter().any(|settled| settled.image == *image);
    match (&plan.from, target) {
        (_, true) => plan.to.to_string(),
        (Some(from), false) => from.to_string(),
        (None, false) => format!("image {}", image.short()),
    }
}
