//! Does the way back exist? Everything that can be known before anything is touched is asked here.

use super::{Ctx, Next, plural, prove};
use crate::{
    engine_look::holdings::Lacking,
    name::{ComponentName, ContainerId},
    plan::{Plan, Swap},
    planner::{lacking, paths_missing, ports_taken},
    seen::Seen,
    time::Millis,
    verdict::{Cause, CauseCode},
};

const LOOK_AGAIN: Millis = Millis(100);

pub(super) fn explain(plan: &Plan) -> String {
    format!(
        "Check that the engine answers, that {} and {} of {} are there by digest, and that the disk has room; \
         nothing is touched.",
        plural(target_images(plan), "image"),
        plural(plan.swaps.len(), "container specification"),
        plan.to,
    )
}

fn target_images(plan: &Plan) -> usize {
    plan.swaps
        .iter()
        .map(|swap| &swap.image)
        .collect::<std::collections::BTreeSet<_>>()
        .len()
}

pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    let obstacle = images(ctx)
        .or_else(|| specifications(ctx))
        .or_else(|| disk(ctx))
        .or_else(|| drift(ctx))
        .or_else(|| names(ctx))
        .or_else(|| ports(ctx))
        .or_else(|| needs(ctx))
        .or_else(|| paths(ctx))
        .or_else(|| fronts(ctx));
    match obstacle {
        Some(cause) => Next::Fail(cause),
        None if prove::just_started(ctx) => Next::Wait(LOOK_AGAIN),
        None => Next::Done(format!("the way back to {} exists", ctx.plan.to)),
    }
}

fn images(ctx: &Ctx<'_>) -> Option<Cause> {
    ctx.plan
        .swaps
        .iter()
        .filter(|swap| !ctx.plan.supplies(&swap.image))
        .filter(|swap| !is_to_be_built(ctx, &swap.component))
        .find_map(|swap| match ctx.look.images.get(&swap.image) {
            Some(Seen::Known(_)) => None,
            Some(Seen::Absent) | None => Some(Cause::new(
                CauseCode::ImageMissing,
                format!(
                    "image {} of {} {} is not on the engine",
                    swap.image.short(),
                    swap.component,
                    ctx.plan.to
                ),
            )),
            Some(Seen::Unknown(why)) => Some(Cause::new(
                CauseCode::EngineRefused,
                format!(
                    "image {} of {} could not be looked at: {why}",
                    swap.image.short(),
                    swap.component
                ),
            )),
        })
}

/// Before its build there is nothing to look for; the check after the builds looks for what they gave.
fn is_to_be_built(ctx: &Ctx<'_>, component: &ComponentName) -> bool {
    ctx.plan.builds(component) && !ctx.run.built.contains_key(component)
}

fn specifications(ctx: &Ctx<'_>) -> Option<Cause> {
    let unreadable =
        |swap: &&Swap| ctx.world.specifications.get(&swap.specification).copied() != Some(true);
    let swap = ctx.plan.swaps.iter().find(unreadable)?;
    let sentence = format!(
        "the specification of {} can not be read: its key or its record is gone",
        swap.component
    );
    Some(Cause::new(CauseCode::SpecificationMissing, sentence))
}

fn disk(ctx: &Ctx<'_>) -> Option<Cause> {
    let free = *ctx.look.engine.disk_free.known()?;
    (free < ctx.plan.disk_free_min).then(|| {
        let (free, need) = (free >> 20, ctx.plan.disk_free_min >> 20);
        let sentence = format!(
            "the engine has {free} MiB of disk left and needs {need} MiB; free some, then ask again"
        );
        Cause::new(CauseCode::DiskFull, sentence)
    })
}

/// What runs must still be what the plan was made for.
fn drift(ctx: &Ctx<'_>) -> Option<Cause> {
    let drifted = |what: String| {
        Some(Cause::new(
            CauseCode::Drifted,
            format!("{what}; ask for a new plan"),
        ))
    };
    for swap in &ctx.plan.swaps {
        if ctx
            .former_of(swap)
            .is_none_or(|container| container.image != swap.former_image)
        {
            let (name, former) = (&swap.name, swap.former.short());
            return drifted(format!(
                "container {name} ({former}) is not what the plan was made for"
            ));
        }
    }
    for settled in &ctx.plan.settled {
        if !ctx
            .container(&settled.container)
            .is_some_and(|container| container.runs())
        {
            let (component, container) = (&settled.component, settled.container.short());
            return drifted(format!(
                "container {container} of {component} ran when the plan was made, now it does not"
            ));
        }
    }
    let strange = prove::strangers(ctx.plan, ctx.rollback, ctx.look).find(|container| {
        !ctx.plan
            .swaps
            .iter()
            .any(|swap| swap.former == container.id || swap.leftovers.contains(&container.id))
    })?;
    drifted(format!(
        "container {} ({}) runs and is not in the plan",
        strange.name,
        strange.id.short()
    ))
}

/// A name that is taken must be known before anything is stopped.
fn names(ctx: &Ctx<'_>) -> Option<Cause> {
    ctx.plan.swaps.iter().find_map(|swap| {
        [
            swap.name.clone(),
            swap.name_before(ctx.rollback),
            swap.name_after(ctx.rollback),
        ]
        .iter()
        .find_map(|name| ctx.name_taken(swap, name))
    })
}

/// A port that is held is else found when the target starts, with what served stopped already.
fn ports(ctx: &Ctx<'_>) -> Option<Cause> {
    let gives_way = |id: &ContainerId| {
        let swaps = &ctx.plan.swaps;
        swaps
            .iter()
            .any(|swap| swap.former == *id || swap.leftovers.contains(id))
    };
    ctx.plan.swaps.iter().find_map(|swap| {
        let (port, holder) = ports_taken(ctx.look, swap, gives_way).into_iter().next()?;
        let sentence = format!(
            "{} publishes {port}, and container {holder} holds that port of the host; stop {holder} or give it another \
             port, then ask again",
            swap.component
        );
        Some(Cause::new(CauseCode::PortTaken, sentence))
    })
}

/// A network or a volume that is gone.
fn needs(ctx: &Ctx<'_>) -> Option<Cause> {
    ctx.plan.swaps.iter().find_map(|swap| {
        let lacking = lacking(ctx.look, swap).next()?;
        let code = match lacking {
            Lacking::Network(_) => CauseCode::NetworkMissing,
            Lacking::Volume(_) => CauseCode::VolumeMissing,
        };
        let sentence = format!(
            "{}; {}",
            lacking.said(&swap.component),
            lacking.next_action()
        );
        Some(Cause::new(code, sentence))
    })
}

/// The engine would make an empty folder of it, or refuse to start.
fn paths(ctx: &Ctx<'_>) -> Option<Cause> {
    ctx.plan.swaps.iter().find_map(|swap| {
        let path = paths_missing(ctx.look, swap).next()?;
        let sentence = format!(
            "{} mounts {path}, which is not there on the engine's host; put it back as it was, or choose another version",
            swap.component
        );
        Some(Cause::new(CauseCode::BindSourceMissing, sentence))
    })
}

/// A balancer that does not answer, or that sends clients elsewhere than the plan believes, must be known before
/// anything is touched.
fn fronts(ctx: &Ctx<'_>) -> Option<Cause> {
    let fronted = |swap: &&Swap| ctx.plan.front_of(swap).is_some();
    ctx.plan.swaps.iter().filter(fronted).find_map(|swap| {
        let server = match ctx.front_server(swap) {
            Ok(server) => server,
            Err(cause) => return Some(cause),
        };
        let unfit = |why: String| Some(Cause::new(CauseCode::BalancerUnfit, why));
        if let Some(why) = server.unfit() {
            return unfit(why.to_owned());
        }
        let former = ctx.former_of(swap)?;
        let address = ctx.behind(swap, former)?;
        if server.address == Some(address) {
            return None;
        }
        unfit(format!(
            "the front of {} does not send clients to {} at {address}; ask for a new plan",
            swap.component, former.name
        ))
    })
}
