//! One rollback from its request to its end, with whatever a director does to it on the way.

use std::collections::BTreeMap;

use domain::{
    effect::Effect,
    lease,
    lifecycle::Phase,
    next::{self, Claim, Then},
    time::{Millis, Moment},
    verdict::Verdict,
};

use crate::{
    shop::{Morning, PATIENCE, start},
    worker::{Moved, Todo, Worker},
    world::{Fate, World},
};

/// What happens to the worker before its next move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    None,
    /// `kill -9`; another process of the same host takes over at once.
    Kill,
    /// Its host dies; another one takes over when the lease ends.
    KillHost,
    /// Its host dies inside an engine call, which lands that much later.
    KillInCall(u64),
    /// It is stopped for longer than its lease, then goes on after that many moves of its successor.
    Freeze(usize),
}

/// Who decides what goes wrong.
pub(crate) trait Director {
    /// Before a move of the living worker.
    fn at_move(&mut self, _move_: usize, _world: &mut World) -> Blow {
        Blow::None
    }

    /// Before an effect.
    fn at_effect(&mut self, _effect: &Effect, _nth: usize) -> Fate {
        Fate::Done
    }
}

/// Nothing goes wrong.
pub(crate) struct Calm;
impl Director for Calm {}

/// How a day ended.
pub(crate) struct Evening {
    pub(crate) world: World,
    /// The moves that differ in where the run was and what the worker was about to do: of a long wait, two.
    pub(crate) moments: Vec<usize>,
    /// Those of them at which an engine call began.
    pub(crate) calls: Vec<usize>,
    /// Those of them at which the worker looked: what is changed before one is seen.
    pub(crate) looks: Vec<usize>,
}

impl Evening {
    pub(crate) fn verdict(&self) -> &Verdict {
        match &self.world.store.run.phase {
            Phase::Ended { verdict } => verdict,
            phase => panic!("{}: it is still {}", self.world.label, phase.word()),
        }
    }

    /// The verdict with its cause, without sentences that name containers.
    pub(crate) fn said(&self) -> String {
        let cause = match self.verdict() {
            Verdict::RolledBack { good, .. } => return format!("rolled_back good={good}"),
            Verdict::Restored { cause }
            | Verdict::Refused { cause }
            | Verdict::Cancelled { cause }
            | Verdict::NeedsHuman { cause, .. } => cause,
        };
        format!("{} {:?}", self.verdict().word(), cause.code)
    }

    /// What must be the same however the way there was.
    pub(crate) fn result(&self) -> String {
        format!("{}\n{}", self.said(), self.world.gist())
    }
}

/// No run needs more; one that does goes round in circles.
const MOVES_MAX: usize = 20_000;

pub(crate) fn live(
    morning: &Morning,
    label: impl Into<String>,
    director: &mut dyn Director,
) -> Evening {
    let mut world = World::new(morning, label);
    let mut worker = Worker::claim(&mut world);
    let mut frozen: Vec<(usize, Worker)> = Vec::new();
    let (mut moves, mut met) = (0, BTreeMap::new());
    let (mut moments, mut calls, mut looks) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        moves += 1;
        assert!(
            moves < MOVES_MAX && world.now.since(start()) < PATIENCE,
            "{}: it does not end",
            world.label
        );
        thaw(&mut frozen, moves, &mut world);
        worker.renew(&mut world);
        let times: &mut u8 = met.entry(worker.moment()).or_default();
        *times = times.saturating_add(1);
        if *times <= 2 {
            moments.push(moves);
            match worker.todo {
                Todo::Perform(_) => calls.push(moves),
                Todo::Look => looks.push(moves),
                Todo::Commit(_) | Todo::Pause(_) => {}
            }
        }
        let blow = director.at_move(moves, &mut world);
        if strike(blow, &worker, &mut world) {
            if let Blow::Freeze(for_moves) = blow {
                frozen.push((moves + for_moves, worker));
            }
            worker = Worker::claim(&mut world);
            continue;
        }
        let nth = world.effects;
        match worker.step(&mut world, &mut |effect| director.at_effect(effect, nth)) {
            Moved::On => {}
            Moved::Ended => break,
            Moved::Rested(until) => {
                sleep(&mut world, until);
                worker = Worker::claim(&mut world);
            }
            Moved::Fenced => {
                take_over_at_lease_end(&mut world);
                worker = Worker::claim_again(&mut world);
            }
        }
    }
    thaw(&mut frozen, usize::MAX, &mut world);
    world.ended_well();
    nothing_lands_late(&mut world);
    Evening {
        world,
        moments,
        calls,
        looks,
    }
}

/// An end is an end: no request of this rollback changes anything after it, unless a person was called.
fn nothing_lands_late(world: &mut World) {
    let by_itself = world
        .engine
        .moods
        .values()
        .any(|mood| matches!(mood, crate::engine::Mood::Crashes(_)));
    let needs_human = matches!(
        &world.store.run.phase,
        Phase::Ended {
            verdict: Verdict::NeedsHuman { .. }
        }
    );
    if by_itself || needs_human || world.in_flight.is_empty() {
        return;
    }
    let before = world.gist();
    world.pass(Millis(120_000));
    assert_eq!(
        world.gist(),
        before,
        "{}: something landed after the end",
        world.label
    );
}

/// Whether the worker is gone.
fn strike(blow: Blow, worker: &Worker, world: &mut World) -> bool {
    match blow {
        Blow::None => return false,
        Blow::Kill => world.store.row.lease_until = Millis(0),
        Blow::KillHost | Blow::Freeze(_) => take_over_at_lease_end(world),
        Blow::KillInCall(ms) => {
            let Todo::Perform(effect) = &worker.todo else {
                return false;
            };
            let lands_in = Millis(ms.min(lease::lands_within(effect).0));
            take_over_at_lease_end(world);
            let by = worker.by(world);
            world.fly(effect, by, lands_in);
        }
    }
    true
}

fn take_over_at_lease_end(world: &mut World) {
    let left = world.store.lease_end().since(world.now);
    world.pass(left);
}

/// A worker that was stopped for longer than its lease goes on: it must change nothing.
fn thaw(frozen: &mut Vec<(usize, Worker)>, moves: usize, world: &mut World) {
    if frozen.is_empty() {
        return;
    }
    let (awake, asleep) = std::mem::take(frozen)
        .into_iter()
        .partition(|(at, _)| *at <= moves);
    *frozen = asleep;
    let awake: Vec<(usize, Worker)> = awake;
    for (_, mut zombie) in awake {
        let (log, effects) = (world.store.log.len(), world.effects);
        while zombie.step(world, &mut |_| Fate::Done) != Moved::Fenced {}
        assert_eq!(
            (log, effects),
            (world.store.log.len(), world.effects),
            "{}: a zombie acted",
            world.label
        );
    }
}

/// Nobody holds the run: orders wake it, the watcher does when something would follow, and time does.
fn sleep(world: &mut World, until: Moment) {
    while world.now < until && world.store.orders_after(world.store.orders_seen).is_empty() {
        let tick = until.since(world.now).0.min(5000);
        world.pass(Millis(tick));
        let run = world.store.run.clone();
        if !matches!(run.phase, Phase::Watching { .. }) {
            continue;
        }
        let claim = Claim {
            rollback: world.rollback,
            fence: world.store.row.fence,
            crashes: 0,
        };
        let seen = world.look(next::scope(&world.plan, &run, claim));
        let turn = next::turn(&world.plan, &run, claim, &[], &seen, world.now);
        if !(turn.events.is_empty() && matches!(turn.then, Then::Rest(_))) {
            return;
        }
    }
}
