//! The stage: an internal network on which the target boots and is proved while what serves is not touched.
//! An internal network never makes an engine publish a port, so both containers may have the same one.

use std::collections::BTreeSet;

use super::{Act, Ctx, Next, Step, plural, prove, questions, remake};
use crate::{
    effect::Effect,
    engine_look::{Container, ContainerState, StageSeen},
    name::{ComponentName, ContainerId, RollbackId},
    plan::{Companion, Manner, Plan, Swap},
    time::Millis,
    verdict::{Cause, CauseCode},
};

/// A first answer comes about a millisecond after a start; a look and the questions cost about ten.
const LOOK_AGAIN: Millis = Millis(5);
/// A target that the engine had to start again this often does not come up by waiting.
const RESTARTS_MAX: u32 = 3;

pub(super) fn explain(plan: &Plan, component: &ComponentName) -> String {
    let company: Vec<&str> = company_of(plan, component)
        .iter()
        .map(|companion| companion.name.as_str())
        .collect();
    let with = match company.len() {
        0 => String::new(),
        1..=3 => format!(" together with {}", company.join(", ")),
        count => format!(" together with {}", plural(count, "other container")),
    };
    format!(
        "Start {component} {} on an internal network{with} and prove it there, within {}, before anything that serves \
         is touched. An internal network has no way out: if {component} can not come up there, it is stopped and \
         started instead.",
        plan.to,
        plan.application.timeouts.proof(),
    )
}

/// The name of a rollback's stage.
#[must_use]
pub fn stage_name(plan: &Plan, rollback: RollbackId) -> String {
    format!(
        "sternway-stage-{}-{}",
        plan.application.name,
        rollback.short()
    )
}

fn company_of<'a>(plan: &'a Plan, component: &ComponentName) -> &'a [Companion] {
    match plan.manner_of(component) {
        Some(Manner::Handover { company }) => company,
        Some(Manner::StopStart { .. } | Manner::Front { .. }) | None => &[],
    }
}

/// Everybody on the stage but the targets: whoever is handed over is there with its target.
fn company(plan: &Plan) -> Vec<Companion> {
    let handed_over: BTreeSet<&ContainerId> = plan
        .swaps
        .iter()
        .filter(|swap| swap.ends.is_some())
        .map(|swap| &swap.former)
        .collect();
    let mut company: Vec<Companion> = Vec::new();
    for chosen in &plan.manners {
        for companion in company_of(plan, &chosen.component) {
            if handed_over.contains(&companion.container) {
                continue;
            }
            match company
                .iter_mut()
                .find(|known| known.container == companion.container)
            {
                Some(known) => {
                    known.aliases.extend(companion.aliases.iter().cloned());
                    known.aliases.sort();
                    known.aliases.dedup();
                }
                None => company.push(companion.clone()),
            }
        }
    }
    company
}

/// The stage of this rollback as it is seen.
pub(super) fn ours<'a>(ctx: &Ctx<'a>) -> Option<&'a StageSeen> {
    ctx.look
        .stages
        .iter()
        .find(|stage| stage.rollback == Some(ctx.rollback))
}

/// Whether a container is connected to any stage.
pub(super) fn is_on(container: &Container) -> bool {
    container.live.networks.iter().any(|on| on.is_stage())
}

pub(super) fn forward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    let company = company(ctx.plan);
    let there: BTreeSet<&ContainerId> = ctx.look.names.values().collect();
    let is_set = ours(ctx).is_some_and(|stage| {
        company
            .iter()
            .filter(|companion| there.contains(&companion.container))
            .all(|companion| stage.members.contains(&companion.container))
    });
    if !is_set {
        return Next::Do(Effect::SetStage {
            name: stage_name(ctx.plan, ctx.rollback),
            company,
        });
    }
    let mut all_proved = true;
    for swap in ctx.plan.swaps_of(component) {
        let Some(next) = ctx.next_of(swap) else {
            return remake::again(ctx, swap);
        };
        if next.state == ContainerState::Created {
            return Next::Do(enter(ctx, swap, next));
        }
        if let Some(cause) = hopeless(ctx, next) {
            return Next::Fail(cause);
        }
        all_proved &= is_proved(ctx, next);
    }
    if all_proved {
        Next::Done(format!(
            "{component} {} is proved on the stage; nothing that serves was touched",
            ctx.plan.to
        ))
    } else {
        Next::Wait(LOOK_AGAIN)
    }
}

fn enter(ctx: &Ctx<'_>, swap: &Swap, next: &Container) -> Effect {
    let aliases = swap.ends.as_ref().map(|ends| ends.target.aliases());
    Effect::EnterStage {
        container: next.id.clone(),
        stage: stage_name(ctx.plan, ctx.rollback),
        aliases: aliases.unwrap_or_default(),
    }
}

fn is_proved(ctx: &Ctx<'_>, next: &Container) -> bool {
    let asked = questions::questions_of(ctx.plan, next).len();
    let green = ctx
        .world
        .answers
        .iter()
        .filter(|answer| answer.is_about(&next.id) && answer.green)
        .count();
    green == asked && prove::unwell(ctx.plan, &next.component, next, ctx.now).is_none()
}

/// Why waiting is of no use.
fn hopeless(ctx: &Ctx<'_>, next: &Container) -> Option<Cause> {
    let how = if next.restarts >= RESTARTS_MAX {
        format!("the engine restarted it {} times", next.restarts)
    } else {
        match next.state {
            ContainerState::Exited | ContainerState::Dead | ContainerState::Removing => {
                format!("it ended there with exit code {}", next.exit_code)
            }
            ContainerState::Created
            | ContainerState::Running
            | ContainerState::Paused
            | ContainerState::Restarting => return None,
        }
    };
    let sentence = format!(
        "{} {} does not come up on the stage: {how}",
        next.component, ctx.plan.to
    );
    Some(Cause::new(CauseCode::ProofFailed, sentence))
}

/// What a stage that ran out of time says.
pub(crate) fn failure(ctx: &Ctx<'_>, component: &ComponentName) -> Cause {
    let containers: Vec<&Container> = ctx
        .plan
        .swaps_of(component)
        .filter_map(|swap| ctx.next_of(swap))
        .collect();
    let red = containers.iter().find_map(|next| {
        let answers = &ctx.world.answers;
        let red = answers
            .iter()
            .find(|answer| answer.is_about(&next.id) && !answer.green);
        red.map(|red| format!("{}: {}", red.asked, red.said))
            .or_else(|| prove::unwell(ctx.plan, component, next, ctx.now))
    });
    let red = red.unwrap_or_else(|| "not every check was answered".to_owned());
    let limit = ctx.plan.application.timeouts.proof();
    Cause::new(
        CauseCode::ProofFailed,
        format!(
            "{component} {} was not proved on the stage within {limit}; {red}",
            ctx.plan.to
        ),
    )
}

/// What becomes of a rollback whose stage did not work. A target that spoke and said no is bad wherever it runs,
/// and so is one that the engine can not start: nothing was touched, so nothing is. Silence is what an application
/// without a way out looks like: that one gets its chance in its true place.
pub(crate) fn is_the_targets_own_fault(ctx: &Ctx<'_>, component: &ComponentName) -> bool {
    ctx.plan.swaps_of(component).any(|swap| {
        let Some(next) = ctx.next_of(swap) else {
            return false;
        };
        let said_no = ctx
            .world
            .answers
            .iter()
            .any(|answer| answer.is_about(&next.id) && !answer.green && answer.spoke);
        let no_start = next.state == ContainerState::Created && is_on(next);
        (said_no && next.runs()) || no_start
    })
}

pub(super) fn backward(ctx: &Ctx<'_>, component: &ComponentName) -> Next {
    for swap in ctx.plan.swaps_of(component) {
        let up = ctx
            .next_of(swap)
            .filter(|next| next.is_up() && is_only_on_stage(next));
        if let Some(next) = up {
            return Next::Do(leave(swap, next));
        }
    }
    let mut staged = ctx.plan.steps.iter().filter_map(Step::act);
    let first = staged
        .find(|(act, _)| *act == Act::Stage)
        .and_then(|(_, components)| components.first());
    // One that landed late, when its own step was undone already, leaves before the stage is taken from under it.
    let somebody = ctx
        .plan
        .swaps
        .iter()
        .filter_map(|swap| Some((swap, ctx.next_of(swap)?)))
        .find(|(_, next)| next.is_up() && is_only_on_stage(next));
    match (ours(ctx), somebody) {
        (Some(_), Some((swap, next))) if first == Some(component) => Next::Do(leave(swap, next)),
        (Some(stage), _) if first == Some(component) => clear(stage),
        (Some(_) | None, _) => Next::Done(format!("{component} has left the stage")),
    }
}

/// Clients reach nothing of it: stopping it touches nobody.
pub(super) fn is_only_on_stage(next: &Container) -> bool {
    is_on(next) && next.live.networks.len() == 1
}

pub(super) fn leave(swap: &Swap, next: &Container) -> Effect {
    Effect::LeaveStage {
        container: next.id.clone(),
        grace_s: swap.stop_grace_s,
    }
}

pub(super) fn clear(stage: &StageSeen) -> Next {
    Next::Do(Effect::ClearStage {
        network: stage.id.clone(),
    })
}
