//! Proof: every replica runs the target's digest under its own name, says the target's version, and answers
//! its probes. Nothing less is called rolled back.

use super::{
    Ctx, Next, Side,
    front::{front_answer, strayed},
    questions::replica_questions,
    remake,
};
use crate::{
    effect::Effect,
    engine_look::{Container, ContainerState, EngineLook, Health},
    name::{ComponentName, ContainerId, ImageId, RollbackId, Version},
    plan::{Plan, Swap},
    probe::{Answer, Subject, Tally},
    time::{Millis, Moment},
    verdict::{Cause, CauseCode},
};

/// An application serves its first answer about a millisecond after its start; a look costs two.
const LOOK_AGAIN: Millis = Millis(20);
/// A replica that nothing can be asked of is taken for serving once it ran this long without a restart.
const STEADY: Millis = Millis(1000);
/// Starts of targets that ended by themselves, beyond one for each: more would only make the outage longer.
const STARTS_SPARE: usize = 2;
/// A replica that the engine had to start again this often will not come up by waiting.
pub(super) const RESTARTS_MAX: u32 = 3;

pub(super) fn explain(plan: &Plan) -> String {
    format!(
        "Prove that every replica runs {} by digest, says its version and answers its probes, within {}; \
         if not, go back to what serves now, if that is better.",
        plan.to,
        plan.application.timeouts.proof(),
    )
}

pub(super) fn forward(ctx: &Ctx<'_>) -> Next {
    let tally = tally(ctx, Side::Target);
    if tally.all_green() && (ctx.run.acts == 0 || all_steady(ctx)) {
        return Next::Done(format!("{} is proved to be serving", ctx.plan.to));
    }
    if let Some(next) = remake::for_the_proof(ctx) {
        return next;
    }
    let down = ctx
        .plan
        .swaps
        .iter()
        .filter_map(|swap| ctx.next_of(swap))
        .find(|container| ended(container));
    let starts_max = ctx.plan.swaps.len() + STARTS_SPARE;
    match down {
        // It may have been a restart of the engine, which starts nothing that has no restart policy.
        // One that was made anew has not ended yet.
        Some(container)
            if container.state == ContainerState::Created
                || usize::from(ctx.run.acts) < starts_max =>
        {
            Next::Do(Effect::StartContainer {
                container: container.id.clone(),
                restart: None,
            })
        }
        Some(container) => hopeless(
            ctx,
            &format!("{} ended again after each start", container.name),
        ),
        // A balancer that was restarted may have forgotten where it was pointed.
        None if let Some(next) = strayed(ctx) => next,
        None if restarted_too_often(ctx) => hopeless(
            ctx,
            &format!("the engine restarted a replica of it {RESTARTS_MAX} times"),
        ),
        None => Next::Wait(LOOK_AGAIN),
    }
}

/// A target that had to be started once more must stay up before it is believed.
fn all_steady(ctx: &Ctx<'_>) -> bool {
    ctx.plan
        .swaps
        .iter()
        .filter_map(|swap| ctx.next_of(swap))
        .all(|container| is_steady(container, ctx.now))
}

/// Whether what serves now started a moment ago: the target is measured by what it can do, so it is given that moment,
/// once, whatever the clocks say. One that the engine restarts gets none.
pub(super) fn just_started(ctx: &Ctx<'_>) -> bool {
    let formers = ctx.plan.swaps.iter();
    let mut fresh = formers
        .filter_map(|swap| ctx.former_of(swap))
        .filter(|former| former.runs() && former.restarts == 0);
    ctx.now.since(ctx.run.since) < STEADY && fresh.any(|former| !is_steady(former, ctx.now))
}

fn ended(container: &Container) -> bool {
    match container.state {
        ContainerState::Created | ContainerState::Exited => true,
        ContainerState::Running
        | ContainerState::Paused
        | ContainerState::Restarting
        | ContainerState::Removing
        | ContainerState::Dead => false,
    }
}

fn restarted_too_often(ctx: &Ctx<'_>) -> bool {
    ctx.plan
        .swaps
        .iter()
        .filter_map(|swap| ctx.next_of(swap))
        .any(|container| container.restarts >= RESTARTS_MAX)
}

fn hopeless(ctx: &Ctx<'_>, how: &str) -> Next {
    let red = first_red(ctx).unwrap_or_default();
    Next::Fail(Cause::new(
        CauseCode::ProofFailed,
        format!("{} does not stay up, {how}; {red}", ctx.plan.to),
    ))
}

/// What a proof that ran out of time says: the first check that is still red.
pub(crate) fn failure(ctx: &Ctx<'_>) -> Cause {
    let red = first_red(ctx).unwrap_or_else(|| "not every check was answered".to_owned());
    let limit = ctx.plan.application.timeouts.proof();
    Cause::new(
        CauseCode::ProofFailed,
        format!("{} could not be proved within {limit}; {red}", ctx.plan.to),
    )
}

fn first_red(ctx: &Ctx<'_>) -> Option<String> {
    let checks = health_answers(ctx.plan, ctx.rollback, Side::Target, ctx.look, ctx.now);
    let red = checks
        .iter()
        .chain(&ctx.world.answers)
        .find(|answer| !answer.green)?;
    let of = match &red.subject {
        Subject::Replica { component, .. } => format!("{component}: "),
        Subject::Front => String::new(),
    };
    Some(format!("{of}{}: {}", red.asked, red.said))
}

/// How much of a side is green.
pub(crate) fn tally(ctx: &Ctx<'_>, side: Side) -> Tally {
    tally_of(
        ctx.plan,
        ctx.rollback,
        side,
        ctx.look,
        &ctx.world.answers,
        ctx.now,
    )
}

/// A question that could not be asked counts as asked and not green: silence proves nothing.
pub(crate) fn tally_of(
    plan: &Plan,
    rollback: RollbackId,
    side: Side,
    look: &EngineLook,
    answers: &[Answer],
    now: Moment,
) -> Tally {
    let checks = health_answers(plan, rollback, side, look, now);
    let seen = Tally::of(&checks).and(Tally::of(answers));
    let due = u32::try_from(checks.len() + questions_due(plan, rollback, side)).unwrap_or(u32::MAX);
    Tally {
        asked: seen.asked.max(due),
        ..seen
    }
}

/// How many questions a side has when all of its replicas can be asked.
fn questions_due(plan: &Plan, rollback: RollbackId, side: Side) -> usize {
    let version_known = version_of(plan, side).is_some();
    let at_replicas: usize = replicas(plan, rollback, side)
        .iter()
        .filter_map(|replica| plan.application.component(replica.component))
        .map(|component| {
            component.probes.len()
                + usize::from(version_known && component.version_endpoint.is_some())
        })
        .sum();
    match side {
        Side::Former | Side::Target => at_replicas + plan.application.probes.len(),
        Side::Stage | Side::Beside => at_replicas,
    }
}

pub(super) fn version_of(plan: &Plan, side: Side) -> Option<&Version> {
    match side {
        Side::Former => plan.from.as_ref(),
        Side::Target | Side::Stage | Side::Beside => Some(&plan.to),
    }
}

/// One replica that a side consists of.
pub(super) struct Replica<'a> {
    name: &'a str,
    component: &'a ComponentName,
    image: &'a ImageId,
    which: Which<'a>,
}

enum Which<'a> {
    Id(&'a ContainerId),
    CreatedFor(RollbackId, &'a ContainerId),
}

impl Replica<'_> {
    fn stands_for(&self, swap: &Swap) -> bool {
        match self.which {
            Which::Id(id) | Which::CreatedFor(_, id) => *id == swap.former,
        }
    }

    pub(super) fn find<'l>(&self, look: &'l EngineLook) -> Option<&'l Container> {
        look.containers.iter().find(|container| match self.which {
            Which::Id(id) => container.id == *id,
            Which::CreatedFor(rollback, former) => container
                .mark
                .as_ref()
                .is_some_and(|mark| mark.rollback == rollback && mark.replaces == *former),
        })
    }
}

pub(super) fn replicas(plan: &Plan, rollback: RollbackId, side: Side) -> Vec<Replica<'_>> {
    let swapped = plan.swaps.iter().filter(move |swap| match side {
        Side::Former => swap.former_runs,
        Side::Target | Side::Stage => true,
        Side::Beside => plan.front_of(swap).is_some(),
    });
    let swapped = swapped.map(move |swap| Replica {
        name: &swap.name,
        component: &swap.component,
        image: match side {
            Side::Former => &swap.former_image,
            Side::Target | Side::Stage | Side::Beside => &swap.image,
        },
        which: match side {
            Side::Former => Which::Id(&swap.former),
            Side::Target | Side::Stage | Side::Beside => Which::CreatedFor(rollback, &swap.former),
        },
    });
    let settled = plan.settled.iter().filter(|_| side != Side::Beside);
    let settled = settled.map(|settled| Replica {
        name: settled.component.as_str(),
        component: &settled.component,
        image: &settled.image,
        which: Which::Id(&settled.container),
    });
    swapped.chain(settled).collect()
}

/// What the engine itself says of every replica of a side: running, the right digest, the right name, not
/// unhealthy; and, of the target, that nothing else runs beside it.
#[must_use]
pub fn health_answers(
    plan: &Plan,
    rollback: RollbackId,
    side: Side,
    look: &EngineLook,
    now: Moment,
) -> Vec<Answer> {
    let replicas = replicas(plan, rollback, side);
    let mut answers: Vec<Answer> = replicas
        .iter()
        .map(|replica| health_answer(plan, replica, look, now))
        .collect();
    answers.extend(plan.swaps.iter().filter_map(|swap| {
        let replica = replicas.iter().find(|replica| replica.stands_for(swap))?;
        front_answer(plan, swap, replica.find(look), look)
    }));
    if side == Side::Target {
        answers.extend(strangers(plan, rollback, look).map(|container| Answer {
            subject: subject(container),
            asked: format!("nothing else of {} runs", container.component),
            green: false,
            spoke: false,
            said: format!(
                "container {} ({}) runs {}",
                container.name,
                container.id.short(),
                container.image.short()
            ),
        }));
    }
    answers
}

fn health_answer(plan: &Plan, replica: &Replica<'_>, look: &EngineLook, now: Moment) -> Answer {
    let container = replica.find(look);
    let red = match container {
        None => Some("there is no such container".to_owned()),
        Some(container) => {
            trouble(plan, replica, container, now).or_else(|| misnamed(replica, container))
        }
    };
    Answer {
        subject: container.map_or(Subject::Front, subject),
        asked: format!("{} runs {}", replica.name, replica.image.short()),
        green: red.is_none(),
        spoke: false,
        said: red.unwrap_or_else(|| "it does".to_owned()),
    }
}

/// What is red of a target's container that runs beside the present one; none when everything is green.
pub(super) fn red_beside(ctx: &Ctx<'_>, swap: &Swap, next: &Container) -> Option<String> {
    let replicas = replicas(ctx.plan, ctx.rollback, Side::Beside);
    let replica = replicas.iter().find(|replica| replica.stands_for(swap))?;
    if let Some(red) = trouble(ctx.plan, replica, next, ctx.now) {
        return Some(format!("{}: {red}", next.name));
    }
    let about = subject(next);
    let answers: Vec<&Answer> = ctx
        .world
        .answers
        .iter()
        .filter(|answer| answer.subject == about)
        .collect();
    if let Some(red) = answers.iter().find(|answer| !answer.green) {
        return Some(format!("{}: {}", red.asked, red.said));
    }
    let due = replica_questions(&ctx.plan.application, next, Some(&ctx.plan.to)).len();
    (answers.len() < due).then(|| format!("{} was not asked everything", next.name))
}

pub(super) fn subject(container: &Container) -> Subject {
    Subject::Replica {
        component: container.component.clone(),
        container: container.id.clone(),
    }
}

/// Containers of the application that are up and are no part of the target: clients may reach them.
pub(super) fn strangers<'a>(
    plan: &'a Plan,
    rollback: RollbackId,
    look: &'a EngineLook,
) -> impl Iterator<Item = &'a Container> {
    look.containers.iter().filter(move |container| {
        container.is_up()
            && !is_set_aside(plan, container)
            && plan.application.component(&container.component).is_some()
            && container
                .mark
                .as_ref()
                .is_none_or(|mark| mark.rollback != rollback)
            && !plan
                .settled
                .iter()
                .any(|settled| settled.container == container.id)
            // Clients reach it no more once its front is pointed elsewhere; it drains.
            && !plan
                .swaps
                .iter()
                .any(|swap| swap.former == container.id && plan.side_by_side(swap))
    })
}

/// Containers that somebody put in the place of what the rollback put in service: each is up, and a replica of its
/// component is gone or down.
pub(crate) fn intruders<'a>(
    plan: &'a Plan,
    rollback: RollbackId,
    look: &'a EngineLook,
) -> Vec<&'a Container> {
    let lost = |component: &ComponentName| {
        replicas(plan, rollback, Side::Target)
            .iter()
            .filter(|replica| replica.component == component)
            .any(|replica| !replica.find(look).is_some_and(Container::is_up))
    };
    strangers(plan, rollback, look)
        .filter(|stranger| lost(&stranger.component))
        .collect()
}

/// One that was handed over and runs on without any network is reached by nobody: it is the way back.
fn is_set_aside(plan: &Plan, container: &Container) -> bool {
    container.live.networks.is_empty()
        && plan
            .swaps
            .iter()
            .any(|swap| swap.ends.is_some() && swap.former == container.id)
}

/// What is wrong with a replica as the engine sees it.
fn trouble(
    plan: &Plan,
    replica: &Replica<'_>,
    container: &Container,
    now: Moment,
) -> Option<String> {
    if container.image != *replica.image {
        return Some(format!("it runs image {}", container.image.short()));
    }
    if container.state != ContainerState::Running {
        let state = format!("{:?}", container.state).to_lowercase();
        return Some(format!("it is {state}, exit code {}", container.exit_code));
    }
    if let Some(said) = out_of_place(plan, replica, container) {
        return Some(said);
    }
    unwell(plan, replica.component, container, now)
}

/// A replica that was handed over must be where it belongs and hold its ports, whatever it answers elsewhere.
fn out_of_place(plan: &Plan, replica: &Replica<'_>, container: &Container) -> Option<String> {
    let Which::CreatedFor(_, former) = &replica.which else {
        return None;
    };
    let swap = plan.swaps.iter().find(|swap| swap.former == **former)?;
    let end = &swap.ends.as_ref()?.target;
    if !super::handover::is_home(container, end) {
        return Some("it is not on its networks".to_owned());
    }
    let missing = end.ports.iter().find(|port| !container.live.holds(port))?;
    Some(format!(
        "it does not hold port {} of the host",
        missing.host_port.unwrap_or_default()
    ))
}

/// What is wrong with a container wherever it is.
pub(super) fn unwell(
    plan: &Plan,
    component: &ComponentName,
    container: &Container,
    now: Moment,
) -> Option<String> {
    if container.state != ContainerState::Running {
        let state = format!("{:?}", container.state).to_lowercase();
        return Some(format!("it is {state}, exit code {}", container.exit_code));
    }
    // By the engine's clock: one that restarts starts anew, so a crash loop never gets steady, however well it
    // answers between two crashes.
    let steady = is_steady(container, now);
    if container.restarts > 0 && !steady {
        return Some(format!(
            "the engine restarted it {} times, the last time just now",
            container.restarts
        ));
    }
    match container.health {
        Health::Unhealthy => Some("its health check says unhealthy".to_owned()),
        Health::Starting if !can_be_asked(plan, component) => {
            Some("its health check has no result yet".to_owned())
        }
        Health::None if !can_be_asked(plan, component) && !steady => Some(
            "nothing can be asked of it, so it must run for a second without a restart".to_owned(),
        ),
        Health::None | Health::Starting | Health::Healthy => None,
    }
}

fn misnamed(replica: &Replica<'_>, container: &Container) -> Option<String> {
    let named = matches!(replica.which, Which::Id(_)) || container.name == replica.name;
    (!named).then(|| format!("it is still named {}", container.name))
}

fn is_steady(container: &Container, now: Moment) -> bool {
    container
        .started_at
        .is_some_and(|started| now.since(started) >= STEADY)
}

fn can_be_asked(plan: &Plan, component: &ComponentName) -> bool {
    plan.application
        .component(component)
        .is_some_and(|component| {
            component.version_endpoint.is_some() || !component.probes.is_empty()
        })
}
