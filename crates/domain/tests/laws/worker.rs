//! A worker as the real one drives a claim: look, decide, commit, perform. One move at a time, so that it can be
//! killed or frozen between any two.

use domain::{
    effect::Effect,
    lease::{self, Held},
    lifecycle::{Event, Phase, Run},
    next::{self, Claim, Order, Then},
    steps::{Act, Step},
    time::{Millis, Moment},
    verdict::Verdict,
};

use crate::{
    engine::By,
    store::{LEASE, Meta, Took},
    world::{Fate, World},
};

/// The next move.
#[derive(Clone, Debug)]
pub(crate) enum Todo {
    Look,
    Commit(After),
    Perform(Effect),
    Pause(Millis),
}

/// What a commit is made for.
#[derive(Clone, Debug)]
pub(crate) enum After {
    Perform(Effect),
    Pause(Millis),
    Rest(Moment),
    End,
}

/// What came of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    On,
    Rested(Moment),
    Ended,
    Fenced,
}

#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) held: Held,
    pub(crate) todo: Todo,
    run: Run,
    crashes: i16,
    orders: Vec<(i64, Order)>,
    orders_seen: i64,
    pending: Vec<(Moment, Event)>,
    step_changed: bool,
    /// Where an end that could not be written is taken back to.
    before: (Run, usize, i64),
    deadline: Moment,
}

fn deadline(now: Moment) -> Moment {
    let at = lease::deadline(Millis(now.unix_ms().cast_unsigned()), LEASE);
    Moment::from_unix_ms(at.0.cast_signed())
}

impl Worker {
    /// A claim of another process than the one before.
    pub(crate) fn claim(world: &mut World) -> Self {
        Self::claimed(world, false)
    }

    /// A claim of the process that had the run before and lost it, by sleeping for too long.
    pub(crate) fn claim_again(world: &mut World) -> Self {
        Self::claimed(world, true)
    }

    fn claimed(world: &mut World, same_worker: bool) -> Self {
        let taken_from_somebody = world.store.held;
        let held = world.store.claim(world.now, same_worker);
        let mut worker = Self {
            held,
            todo: Todo::Look,
            run: world.store.run.clone(),
            crashes: world.store.crashes,
            orders: world.store.orders_after(world.store.orders_seen),
            orders_seen: world.store.orders_seen,
            pending: Vec::new(),
            step_changed: false,
            before: (world.store.run.clone(), 0, world.store.orders_seen),
            deadline: deadline(world.now),
        };
        if lease::unfinished(worker.crashes, taken_from_somebody) {
            worker.evolve(
                world,
                Event::TakenOver {
                    crashes: worker.crashes,
                },
            );
        }
        worker
    }

    /// Where the run is, and what comes next.
    pub(crate) fn moment(&self) -> (u8, u16, u16, usize, u8) {
        let (direction, at) = match self.run.phase {
            Phase::AwaitingApproval { .. } => (0, 0),
            Phase::Forward { at } => (1, at),
            Phase::Backward { at, .. } => (2, at),
            Phase::Watching { .. } => (3, 0),
            Phase::Ended { .. } => (4, 0),
        };
        let todo = match self.todo {
            Todo::Look => 0,
            Todo::Commit(_) => 1,
            Todo::Perform(_) => 2,
            Todo::Pause(_) => 3,
        };
        (direction, at, self.run.acts, self.pending.len(), todo)
    }

    pub(crate) fn by(&self, world: &World) -> By {
        By {
            rollback: world.rollback,
            fence: self.held.fence,
        }
    }

    /// What the renewing task beside the drive does, as long as the process runs.
    pub(crate) fn renew(&mut self, world: &mut World) {
        if world.now < self.deadline && world.now.after(Millis(LEASE.0 / 2)) >= self.deadline {
            world.store.renew(&self.held, world.now);
            self.deadline = deadline(world.now);
        }
    }

    pub(crate) fn step(
        &mut self,
        world: &mut World,
        fate: &mut dyn FnMut(&Effect) -> Fate,
    ) -> Moved {
        let may_act = lease::may_start_effect(ms(world.now), ms(self.deadline));
        match std::mem::replace(&mut self.todo, Todo::Look) {
            _ if !may_act => Moved::Fenced,
            Todo::Look => self.decide(world),
            Todo::Commit(after) => self.commit(world, after),
            Todo::Perform(effect) => {
                let outcome = world.perform_all(&effect, self.by(world), fate);
                self.evolve(world, Event::Performed { outcome });
                Moved::On
            }
            Todo::Pause(pause) => {
                world.pass(pause);
                self.orders = world.store.orders_after(self.orders_seen);
                Moved::On
            }
        }
    }

    fn decide(&mut self, world: &mut World) -> Moved {
        let claim = Claim {
            rollback: world.rollback,
            fence: self.held.fence,
            crashes: self.crashes,
        };
        let seen = world.look(next::scope(&world.plan, &self.run, claim));
        if let Some(sample) = &mut world.sample {
            sample.push((self.run.clone(), seen.clone()));
        }
        let orders: Vec<Order> = self.orders.iter().map(|(_, order)| order.clone()).collect();
        let turn = next::turn(&world.plan, &self.run, claim, &orders, &seen, world.now);
        self.before = (self.run.clone(), self.pending.len(), self.orders_seen);
        if let Some((last, _)) = self.orders.last() {
            self.orders_seen = self.orders_seen.max(*last);
        }
        self.orders.clear();
        for event in turn.events {
            self.evolve(world, event);
        }
        self.todo = match turn.then {
            Then::Look => Todo::Look,
            Then::Perform(effect) => Todo::Commit(After::Perform(effect)),
            Then::Pause(pause) if self.pending.is_empty() => Todo::Pause(pause),
            Then::Pause(pause) => Todo::Commit(After::Pause(pause)),
            Then::Rest(until) => Todo::Commit(After::Rest(until)),
            Then::Ended => Todo::Commit(After::End),
            Then::Fenced => return Moved::Fenced,
        };
        Moved::On
    }

    fn commit(&mut self, world: &mut World, after: After) -> Moved {
        world.pass(Millis(1));
        let release = matches!(after, After::Rest(_) | After::End);
        let meta = Meta {
            release,
            orders_seen: self.orders_seen,
            step_changed: self.step_changed,
        };
        let took = world
            .store
            .append(&mut self.held, &self.pending, &self.run, meta, world.now);
        match took {
            Took::All => {}
            Took::Fenced => return Moved::Fenced,
            Took::OrdersPending => {
                self.take_back();
                self.orders = world.store.orders_after(self.orders_seen);
                return Moved::On;
            }
        }
        self.pending.clear();
        self.deadline = deadline(world.now);
        if std::mem::take(&mut self.step_changed) {
            self.crashes = 0;
        }
        if !release {
            self.orders = world.store.orders_after(self.orders_seen);
        }
        match after {
            After::Perform(effect) => self.todo = Todo::Perform(effect),
            After::Pause(pause) => self.todo = Todo::Pause(pause),
            After::Rest(until) => return Moved::Rested(until),
            After::End => return Moved::Ended,
        }
        Moved::On
    }

    /// The end could not be written: somebody was told that an order of theirs is accepted.
    fn take_back(&mut self) {
        let (run, pending, orders_seen) = self.before.clone();
        self.run = run;
        self.pending.truncate(pending);
        self.orders_seen = orders_seen;
    }

    fn evolve(&mut self, world: &mut World, event: Event) {
        let (phase, step) = (
            self.run.phase.word(),
            self.run.step(&world.plan).map_or("-", step_word),
        );
        world.covered.insert((phase, step, event_word(&event)));
        self.says_only_what_is_true(world, &event);
        let before = self.run.phase.clone();
        let run = self.run.clone().evolve(&world.plan, &event, world.now);
        self.run = run.unwrap_or_else(|error| panic!("{}: {error}", world.label));
        self.step_changed |= self.run.phase != before;
        self.pending.push((world.now, event));
    }

    /// Nothing is said to be done that is not so at that moment.
    fn says_only_what_is_true(&self, world: &World, event: &Event) {
        let proving = matches!(self.run.step(&world.plan), Some(Step::Prove))
            && self.run.phase.word() == "forward";
        let good = matches!(
            event,
            Event::Ended {
                verdict: Verdict::RolledBack { good: true, .. }
            }
        );
        if good || (proving && matches!(event, Event::StepDone { .. })) {
            assert!(
                world.target_serves(),
                "{}: {event:?} is not so: {}",
                world.label,
                world.gist()
            );
        }
        let back = matches!(self.run.step(&world.plan), Some(Step::Lock))
            && self.run.phase.word() == "backward";
        if back && matches!(event, Event::StepDone { .. }) && self.run.touched_at.is_some() {
            assert!(
                world.former_runs(),
                "{}: {event:?} is not so: {}",
                world.label,
                world.gist()
            );
        }
    }
}

fn ms(at: Moment) -> Millis {
    Millis(at.unix_ms().cast_unsigned())
}

pub(crate) fn step_word(step: &Step) -> &'static str {
    match step {
        Step::Check => "check",
        Step::Build { .. } => "build",
        Step::Lock => "lock",
        Step::Supply => "supply",
        Step::Keep => "keep",
        Step::Capture => "capture",
        Step::Create { .. } => "create",
        Step::Stage { .. } => "stage",
        Step::Handover { .. } => "handover",
        Step::Raise { .. } => "raise",
        Step::Switch { .. } => "switch",
        Step::Point { .. } => "point",
        Step::Wave { act, .. } => match act {
            Act::Create => "create",
            Act::Stage => "stage",
            Act::Raise => "raise",
            Act::Switch => "switch",
        },
        Step::Prove => "prove",
        Step::Record => "record",
        Step::Pin => "pin",
        Step::Retire => "retire",
    }
}

fn event_word(event: &Event) -> &'static str {
    match event {
        Event::Requested { .. } => "requested",
        Event::Approved { .. } => "approved",
        Event::TakenOver { .. } => "taken_over",
        Event::Intended { .. } => "intended",
        Event::Performed { .. } => "performed",
        Event::EngineLost { .. } => "engine_lost",
        Event::EngineBack => "engine_back",
        Event::StepDone { .. } => "step_done",
        Event::StepSkipped { .. } => "step_skipped",
        Event::TurnedBack { .. } => "turned_back",
        Event::CancelRefused { .. } => "cancel_refused",
        Event::WatchRed { .. } => "watch_red",
        Event::WatchGreen { .. } => "watch_green",
        Event::Ended { .. } => "ended",
    }
}
