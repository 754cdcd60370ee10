//! One turn of a rollback: given its log so far and what is seen, which events happen, and what then.

mod failing;
mod waiting;

use crate::{
    effect::{Effect, Failure},
    engine_look::EngineLook,
    lifecycle::{Event, Phase, Run},
    name::{Actor, Fence, ImageId, RollbackId},
    plan::Plan,
    probe::Tally,
    steps::{self, Act, Ctx, Next, Scope, Side, Step, World},
    time::{Millis, Moment},
    verdict::{Cause, CauseCode, Verdict},
};
use failing::{came_back, engine_lost, failed, needs_human, out_of_reach, too_late, turn_back};

/// A step that crashed this many workers is not tried again.
pub const CRASHES_MAX: i16 = 3;
/// How often one step may be refused by the engine: a refusal can be a race with the engine's own restart.
const REFUSALS_MAX: u8 = 3;
/// Acts that one step may take per container that gives way before it is given up: the longest honest path has six.
const ACTS_PER_CONTAINER: u16 = 8;
/// How long to wait after a refusal or a lost engine before looking again.
const TRY_AGAIN: Millis = Millis(250);

/// What people asked of a running rollback, in order. Each is given to one turn, which answers it or has no use
/// for it; it is given again when that turn's events were not committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Call it off at the next safe point.
    Cancel {
        /// Who.
        by: Actor,
    },
    /// Yes to the plan.
    Approve {
        /// Who.
        by: Actor,
        /// When it was said: it counts from then, however late it is read.
        at: Moment,
    },
    /// No to the plan.
    Reject {
        /// Who.
        by: Actor,
    },
    /// A newer rollback of the application was requested while this one watched.
    Supersede {
        /// The newer one.
        by: RollbackId,
    },
}

impl Order {
    /// Whose no it is to a rollback that is under way, and how that is said. One that was accepted while a yes was on its
    /// way to the log is read when it has begun, and counts like a cancel.
    #[must_use]
    pub fn stops(&self) -> Option<(&Actor, &'static str)> {
        match self {
            Self::Cancel { by } => Some((by, "cancelled it")),
            Self::Reject { by } => Some((by, "rejected the plan while others approved it")),
            Self::Approve { .. } | Self::Supersede { .. } => None,
        }
    }
}

/// What a turn decided: first these events, in order, then that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Events to evolve by; they are durable before anything is performed.
    pub events: Vec<Event>,
    /// What then.
    pub then: Then,
}

/// What follows a turn's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Take another turn with a fresh look.
    Look,
    /// Commit, then perform this. Its intent is the last event.
    Perform(Effect),
    /// Look again after this.
    Pause(Millis),
    /// Nothing to do until then: give the lease back.
    Rest(Moment),
    /// It ended.
    Ended,
    /// Somebody with a higher fence acts on this application: write nothing, do nothing.
    Fenced,
}

/// What this turn has to look at. Nothing once the step is given up: the look itself may be what crashed.
#[must_use]
pub fn scope(plan: &Plan, run: &Run, claim: Claim) -> Scope {
    if poisoned(run, claim) {
        return Scope::default();
    }
    match &run.phase {
        Phase::AwaitingApproval { .. } | Phase::Ended { .. } => Scope::default(),
        Phase::Backward { at: 0, .. } => Scope::default(),
        Phase::Watching { .. } => Scope {
            engine: true,
            deployments: true,
            fronts: true,
            probes: Some(Side::Target),
            ..Scope::default()
        },
        Phase::Forward { .. } => run
            .step(plan)
            .map_or_else(Scope::default, |step| step.scope(false)),
        Phase::Backward { .. } => run
            .step(plan)
            .map_or_else(Scope::default, |step| step.scope(true)),
    }
}

/// Who takes a turn, and under which claim.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The rollback.
    pub rollback: RollbackId,
    /// The fence of the claim.
    pub fence: Fence,
    /// Workers that died in the present step.
    pub crashes: i16,
}

/// One turn. Pure: the same arguments give the same turn.
#[must_use]
pub fn turn(
    plan: &Plan,
    run: &Run,
    claim: Claim,
    orders: &[Order],
    world: &World,
    now: Moment,
) -> Turn {
    let plan = &*plan.as_built(&run.built);
    if poisoned(run, claim) {
        let cause = Cause::new(CauseCode::StepCrashes, poison(plan, run, claim));
        let refused = refuse_cancels(orders, "it can not go on by itself in any direction");
        return after(refused, end(needs_human(plan, run, cause)));
    }
    match &run.phase {
        Phase::Ended { .. } => Turn {
            events: Vec::new(),
            then: Then::Ended,
        },
        Phase::AwaitingApproval { until } => waiting::for_approval(plan, run, *until, orders, now),
        Phase::Watching { until } => {
            waiting::for_watch(plan, run, claim, *until, orders, world, now)
        }
        Phase::Forward { .. } => acting(plan, run, claim, orders, world, now),
        Phase::Backward { .. } => acting(plan, run, claim, orders, world, now),
    }
}

/// Why a cancel of this run can not be obeyed any more; none while it can.
#[must_use]
pub fn too_late_to_cancel(run: &Run) -> Option<&'static str> {
    match run.phase {
        Phase::AwaitingApproval { .. } | Phase::Watching { .. } => None,
        Phase::Forward { .. } if run.proved_at.is_none() => None,
        Phase::Forward { .. } => Some(
            "the target is proved to be serving; ask for a rollback to another version instead",
        ),
        Phase::Backward { .. } => Some("it is already going back to what served before"),
        Phase::Ended { .. } => Some("it has ended"),
    }
}

/// Until when this run could be approved, if a yes that is said at that moment comes too late for it.
#[must_use]
pub fn too_late_to_approve(run: &Run, at: Moment) -> Option<Moment> {
    match run.phase {
        Phase::AwaitingApproval { until } => (at >= until).then_some(until),
        Phase::Forward { .. }
        | Phase::Backward { .. }
        | Phase::Watching { .. }
        | Phase::Ended { .. } => None,
    }
}

/// The cause that a refusal of the engine stands for.
#[must_use]
pub fn cause_of(failure: Failure, said: &str) -> Cause {
    let code = match failure {
        Failure::Missing => CauseCode::Drifted,
        Failure::NameTaken => CauseCode::NameTaken,
        Failure::DiskFull => CauseCode::DiskFull,
        Failure::Unreadable => CauseCode::SpecificationMissing,
        Failure::NotSupplied => CauseCode::ImageMissing,
        Failure::Fenced => CauseCode::LockedElsewhere,
        Failure::SourceUnreachable => CauseCode::SourceUnreachable,
        Failure::SourceUnfit => CauseCode::SourceUnfit,
        Failure::BuildFailed => CauseCode::BuildFailed,
        Failure::FrontRefused => CauseCode::BalancerUnfit,
        Failure::Refused => CauseCode::EngineRefused,
    };
    Cause::new(code, said)
}

/// Whether what the run is at has cost too many workers. Waiting for an approval does nothing that could.
fn poisoned(run: &Run, claim: Claim) -> bool {
    let works = match run.phase {
        Phase::Forward { .. } | Phase::Backward { .. } | Phase::Watching { .. } => true,
        Phase::AwaitingApproval { .. } | Phase::Ended { .. } => false,
    };
    works && claim.crashes >= CRASHES_MAX
}

fn poison(plan: &Plan, run: &Run, claim: Claim) -> String {
    let step = run
        .step(plan)
        .map_or_else(|| "watch".to_owned(), Step::title);
    format!(
        "the step `{step}` ended {} workers; it is not tried again",
        claim.crashes
    )
}

fn acting(
    plan: &Plan,
    run: &Run,
    claim: Claim,
    orders: &[Order],
    world: &World,
    now: Moment,
) -> Turn {
    if let Some(turn) = cancelled(run, orders) {
        return turn;
    }
    let Some(step) = run.step(plan) else {
        return out_of_reach(
            plan,
            run,
            Cause::new(CauseCode::Drifted, "the plan has no such step"),
        );
    };
    let forward = matches!(run.phase, Phase::Forward { .. });
    if let Phase::Backward { at: 0, cause } = &run.phase {
        return end(came_back(run, cause));
    }
    if forward && *step == Step::Record {
        return record(plan, run, world, now);
    }
    let look = match &world.engine {
        Ok(look) => look,
        Err(said) => return engine_lost(plan, run, said, now),
    };
    if run.lost_since.is_some() {
        return go(vec![Event::EngineBack]);
    }
    if overtaken(claim, look) {
        return Turn {
            events: Vec::new(),
            then: Then::Fenced,
        };
    }
    let ctx = Ctx {
        plan,
        run,
        rollback: claim.rollback,
        fence: claim.fence,
        look,
        world,
        now,
    };
    let next = if forward {
        step.forward(&ctx)
    } else {
        step.backward(&ctx)
    };
    let next = match next {
        Next::Do(effect) if steps::asks_for_lock(&ctx, &effect) => {
            steps::lock_held(&ctx).unwrap_or(Next::Do(effect))
        }
        next @ (Next::Do(_) | Next::Done(_) | Next::Wait(_) | Next::Fail(_)) => next,
    };
    let found = Found {
        checks: probed(&ctx, step, forward),
        built: built(&ctx, step, forward),
    };
    weigh(&ctx, step, forward, next, found)
}

/// Whether this rollback has a living owner under a higher fence, and we are the past. What other rollbacks once
/// left on containers that serve means nothing: fences of a database that was restored are lower than the marks
/// that it made before. A rollback of another control plane holds the lock; the step `lock` sees that.
fn overtaken(claim: Claim, look: &EngineLook) -> bool {
    let marks = look
        .containers
        .iter()
        .filter_map(|container| container.mark.as_ref())
        .map(|mark| (mark.rollback, mark.fence));
    let lock = look.lock.iter();
    lock.filter_map(|lock| Some((lock.rollback, lock.fence?)))
        .chain(marks)
        .any(|(rollback, fence)| rollback == claim.rollback && fence > claim.fence)
}

/// The ledger is our own store, the engine plays no part. There is no time limit, since a store that is away
/// takes no event either: the worker waits for it. An entry that the store refuses is for a person.
fn record(plan: &Plan, run: &Run, world: &World, now: Moment) -> Turn {
    match steps::recorded(world) {
        Next::Done(note) => go(vec![Event::StepDone {
            note,
            checks: None,
            built: None,
        }]),
        Next::Wait(pause) => pause_for(pause),
        Next::Fail(cause) => end(needs_human(plan, run, cause)),
        Next::Do(effect) => match exhausted(plan, run, &Step::Record) {
            Some(cause) => end(needs_human(plan, run, cause)),
            None => calm(run, now).unwrap_or_else(|| intend(effect)),
        },
    }
}

fn probed(ctx: &Ctx<'_>, step: &Step, forward: bool) -> Option<Tally> {
    let side = [(Step::Check, Side::Former), (Step::Prove, Side::Target)]
        .into_iter()
        .find_map(|(one, side)| (one == *step).then_some(side));
    side.filter(|_| forward).map(|side| steps::tally(ctx, side))
}

fn built(ctx: &Ctx<'_>, step: &Step, forward: bool) -> Option<ImageId> {
    let Step::Build { component } = step else {
        return None;
    };
    forward.then(|| steps::built(ctx, component)).flatten()
}

/// What a step that is done leaves in the log beside its sentence.
struct Found {
    checks: Option<Tally>,
    built: Option<ImageId>,
}

/// A step's wish against the limits that every step has.
fn weigh(ctx: &Ctx<'_>, step: &Step, forward: bool, next: Next, found: Found) -> Turn {
    let waits_for_quiet = !forward || *step == Step::Retire;
    let began = if waits_for_quiet {
        ctx.run.since.max(ctx.settled_at())
    } else {
        ctx.run.since
    };
    let late = ctx.now.since(began) >= step.time_limit(ctx.plan, forward);
    match next {
        Next::Done(note) => go(vec![Event::StepDone {
            note,
            checks: found.checks,
            built: found.built,
        }]),
        Next::Fail(cause) => failed(ctx, step, forward, cause),
        Next::Wait(_) | Next::Do(_) if late && !only_the_start_is_left(step, forward, &next) => {
            failed(ctx, step, forward, too_late(ctx, step, forward))
        }
        Next::Wait(pause) => pause_for(pause),
        Next::Do(effect) => match exhausted(ctx.plan, ctx.run, step) {
            Some(cause) => failed(ctx, step, forward, cause),
            None => calm(ctx.run, ctx.now).unwrap_or_else(|| intend(effect)),
        },
    }
}

/// What was stopped late is better followed by the start of the target than by a way back that starts as much: how
/// often it is tried is limited all the same.
fn only_the_start_is_left(step: &Step, forward: bool, next: &Next) -> bool {
    let Next::Do(effect) = next else {
        return false;
    };
    let mut acts = effect.parts().iter();
    let starts = acts.all(|act| matches!(act, Effect::StartContainer { .. }));
    let switches = matches!(
        step,
        Step::Switch { .. }
            | Step::Wave {
                act: Act::Switch,
                ..
            }
    );
    forward && starts && switches
}

/// Why a step may not act once more.
fn exhausted(plan: &Plan, run: &Run, step: &Step) -> Option<Cause> {
    let leftovers: usize = plan.swaps.iter().map(|swap| swap.leftovers.len()).sum();
    let containers = u16::try_from(plan.swaps.len() + leftovers).unwrap_or(u16::MAX);
    let acts_max = ACTS_PER_CONTAINER.saturating_mul(containers.saturating_add(1));
    // What one container is refused is no reason to leave the others: that step counts for each.
    let refused = run.refusals >= REFUSALS_MAX && *step != Step::Retire;
    if !refused && run.acts < acts_max {
        return None;
    }
    Some(run.refused.clone().unwrap_or_else(|| {
        let sentence = format!(
            "the step `{}` acted {} times and is not where it should be",
            step.title(),
            run.acts
        );
        Cause::new(CauseCode::EngineRefused, sentence)
    }))
}

/// A refusal is not answered with the same call at once: what refused it needs a moment to pass.
fn calm(run: &Run, now: Moment) -> Option<Turn> {
    let until = run.refused_at?.after(TRY_AGAIN);
    (now < until).then(|| pause_for(until.since(now)))
}

/// A cancel that still can be obeyed turns the run; each that comes too late is answered.
fn cancelled(run: &Run, orders: &[Order]) -> Option<Turn> {
    let (by, what) = orders.iter().find_map(Order::stops)?;
    Some(match too_late_to_cancel(run) {
        Some(why) => go(refuse_cancels(orders, why)),
        None => turn_back(
            run,
            Cause::new(CauseCode::Cancelled, format!("{by} {what}")),
        ),
    })
}

fn refuse_cancels(orders: &[Order], why: &str) -> Vec<Event> {
    let refuse = |(by, _): (&Actor, &str)| Event::CancelRefused {
        by: by.clone(),
        why: why.to_owned(),
    };
    orders.iter().filter_map(Order::stops).map(refuse).collect()
}

/// The turn with these events before its own.
fn after(mut events: Vec<Event>, turn: Turn) -> Turn {
    events.extend(turn.events);
    Turn { events, ..turn }
}

fn pause_for(pause: Millis) -> Turn {
    Turn {
        events: Vec::new(),
        then: Then::Pause(pause),
    }
}

fn rest(until: Moment) -> Turn {
    Turn {
        events: Vec::new(),
        then: Then::Rest(until),
    }
}

fn go(events: Vec<Event>) -> Turn {
    Turn {
        events,
        then: Then::Look,
    }
}

fn intend(effect: Effect) -> Turn {
    Turn {
        events: vec![Event::Intended {
            effect: effect.clone(),
        }],
        then: Then::Perform(effect),
    }
}

fn end(verdict: Verdict) -> Turn {
    Turn {
        events: vec![Event::Ended { verdict }],
        then: Then::Ended,
    }
}
