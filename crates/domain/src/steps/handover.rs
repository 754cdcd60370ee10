//! The moment in which the published port moves from the container that serves to the one that is proved: the
//! engine publishes a container's ports when it joins the network that gives it its gateway. The former one goes on
//! running without a network until the target is proved in its place, so that the way back is the same move.

use super::{Ctx, Next, plural, remake, stage, switch};
use crate::{
    effect::Effect,
    engine_look::{Container, Live},
    name::ComponentName,
    plan::{End, Ends, Plan, Swap},
    verdict::{Cause, CauseCode},
};

pub(super) fn explain(plan: &Plan, component: &ComponentName) -> String {
    let swaps: Vec<&Swap> = plan.swaps_of(component).collect();
    let names: Vec<&str> = swaps.iter().map(|swap| swap.name.as_str()).collect();
    let ports: Vec<String> = swaps
        .iter()
        .filter_map(|swap| swap.ends.as_ref())
        .flat_map(|ends| &ends.target.ports)
        .filter_map(|port| port.host_port)
        .map(|port| port.to_string())
        .collect();
    let what = if ports.is_empty() {
        "the networks".to_owned()
    } else {
        format!("port {}", ports.join(", "))
    };
    format!(
        "Hand over {component}: move {what} from {} to {} of {}; what served goes on running without a network until \
         the proof. Requests under way at that moment are cut, and two versions run at once.",
        names.join(", "),
        plural(names.len(), "container"),
        plan.to,
    )
}

pub(super) fn forward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    for swap in ctx.plan.swaps_of(component) {
        let next = match &swap.ends {
            Some(ends) => forward_one(ctx, swap, ends),
            None => switch::forward_one(ctx, swap),
        };
        if let Some(next) = next {
            return next;
        }
    }
    let how = if ctx.run.unstaged.contains(component) {
        "was started in its place"
    } else {
        "has the port"
    };
    Next::Done(format!("{component} {} {how}", ctx.plan.to))
}

fn forward_one(ctx: &Ctx<'_>, swap: &Swap, ends: &Ends) -> Option<Next> {
    let (former, next) = (ctx.former_of(swap), ctx.next_of(swap));
    if former.is_none_or(|former| former.live.networks.is_empty()) {
        return moved(ctx, swap, ends, next);
    }
    let staged = !ctx.run.unstaged.contains(&swap.component);
    let proved = next.filter(|next| staged && next.runs() && stage::is_on(next));
    if let Some(next) = proved {
        return Some(hand_over(next, former, ends));
    }
    in_its_true_place(ctx, swap, next)
}

/// Between the two calls, or after them.
fn moved(ctx: &Ctx<'_>, swap: &Swap, ends: &Ends, next: Option<&Container>) -> Option<Next> {
    let Some(next) = next else {
        // What served runs on without a network: the way back is one move.
        return Some(Next::Fail(remake::gone(swap)));
    };
    if !is_home(next, &ends.target) {
        // It was refused, and nothing serves: the way back is one move, and surer than another try.
        return Some(match &ctx.run.refused {
            Some(cause) => Next::Fail(cause.clone()),
            None => hand_over(next, ctx.former_of(swap), ends),
        });
    }
    if next.runs() && !holds(&next.live, &ends.target) {
        // This engine did not publish at the move; it does at a start, which the proof asks for.
        return Some(switch::stop(next, swap));
    }
    switch::names(ctx, swap, next)
}

fn hand_over(next: &Container, former: Option<&Container>, ends: &Ends) -> Next {
    Next::Do(Effect::HandOver {
        from: former.map(|former| former.id.clone()),
        to: next.id.clone(),
        joints: ends.target.joints.clone(),
        restart: None,
    })
}

/// The stage did not work, or what was proved there ended since: the target is made anew in its true place, and
/// the ordinary switch follows.
fn in_its_true_place(ctx: &Ctx<'_>, swap: &Swap, next: Option<&Container>) -> Option<Next> {
    match next {
        Some(next) if stage::is_on(next) && next.is_up() => {
            Some(Next::Do(stage::leave(swap, next)))
        }
        Some(next) if stage::is_on(next) => Some(Next::Do(Effect::RemoveContainer {
            container: next.id.clone(),
        })),
        Some(_) => switch::forward_one(ctx, swap),
        None => Some(remake::again(ctx, swap)),
    }
}

/// Whether a container is where it belongs and nowhere on a stage.
pub(super) fn is_home(container: &Container, end: &End) -> bool {
    let joined = |joint: &crate::plan::Joint| container.live.on(&joint.network).is_some();
    end.joints.iter().all(joined) && !stage::is_on(container)
}

/// Whether it has every port that it should. The engine may have been told "every address" in several ways.
pub(super) fn holds(live: &Live, end: &End) -> bool {
    end.ports.iter().all(|port| live.holds(port))
}

pub(super) fn backward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    for swap in ctx.plan.swaps_of(component).rev() {
        let next = match &swap.ends {
            Some(ends) => backward_one(ctx, swap, ends),
            None => switch::backward_one(ctx, swap),
        };
        if let Some(next) = next {
            return next;
        }
    }
    Next::Done(format!("{component} is what it was before"))
}

fn backward_one(ctx: &Ctx<'_>, swap: &Swap, ends: &Ends) -> Option<Next> {
    let Some(former) = ctx.former_of(swap) else {
        let sentence = format!(
            "container {} ({}) is gone from the engine",
            swap.name,
            swap.former.short()
        );
        return Some(Next::Fail(Cause::new(CauseCode::Drifted, sentence)));
    };
    let next = ctx.next_of(swap);
    if former.live.ghosts.is_empty() && !is_home(former, &ends.former) {
        return Some(Next::Do(Effect::HandOver {
            from: next.map(|next| next.id.clone()),
            to: former.id.clone(),
            joints: ends.former.joints.clone(),
            restart: Some(swap.former_restart.clone()),
        }));
    }
    let in_the_way = next.filter(|next| {
        next.is_up() && !next.live.networks.is_empty() && !stage::is_only_on_stage(next)
    });
    if let Some(next) = in_the_way {
        return Some(switch::stop(next, swap));
    }
    // Between its two ends a connection can fail and leave an endpoint that only a restart makes whole.
    if former.runs() && !(former.live.ghosts.is_empty() && holds(&former.live, &ends.former)) {
        return Some(switch::stop(former, swap));
    }
    switch::serves_again(ctx, swap, former).or_else(|| switch::names_back(ctx, swap))
}
