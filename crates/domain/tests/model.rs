//! Two workers, one store, one engine, and every order in which things can happen to them: pauses anywhere, leases
//! that end at any time, requests that land in the engine long after their caller lost its claim.
//!
//! The rules themselves are `domain::lease`'s; the model only says when they are asked. Each rule is then taken
//! away, and the checker must find the accident that it prevents: a model that never fails proves nothing.

use domain::{
    lease::{self, Held, Row},
    name::Fence,
    time::Millis,
};
use stateright::{Checker, Model, Property};

/// Ticks of the store's clock that a claim holds.
const LEASE: u8 = 2;
/// Ticks that an effect can stay inside the engine: the longest that margin and grace cover (`lease::grace`, which
/// also says why those that are longer do no harm).
const CALL: u8 = 1;
/// The model's clock ends here; with it the lease ends twice and every late request has landed.
const HORIZON: u8 = 7;
/// Effects that the run consists of.
const STEPS: u8 = 2;
const WORKERS: usize = 2;

/// Which rules are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    /// The store takes no event under an old fence.
    fence: bool,
    /// No effect without its committed intent.
    intent_first: bool,
    /// Whoever takes over waits until a request of its predecessor can not land any more.
    grace: bool,
    /// A worker looks at its own clock before each effect.
    deadline: bool,
    /// Nothing comes between that look and the call. On a real machine something can, for an instant: this is
    /// the window that plain Docker leaves open.
    look_and_call_at_once: bool,
}

const ALL: Rules = Rules {
    fence: true,
    intent_first: true,
    grace: true,
    deadline: true,
    look_and_call_at_once: true,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// It has no claim.
    Idle,
    /// It waits for its predecessor's requests to land, until then.
    Grace(u8),
    /// It has read the log and is about to commit an intent.
    Decided,
    /// The intent is committed.
    Intended,
    /// It has looked at its clock and is about to call.
    Looked,
    /// Its call is in the engine.
    Called,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Worker {
    at: At,
    fence: u8,
    seq: u8,
    step: u8,
    deadline: u8,
}

/// A request inside the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Request {
    fence: u8,
    step: u8,
    /// It has landed by then.
    until: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: u8,
    fence: u8,
    seq: u8,
    lease_until: u8,
    /// Intents in the log: fence and step.
    intents: Vec<(u8, u8)>,
    /// How many steps the log says are done.
    done: u8,
    /// How many effects have landed, by step.
    landed: u8,
    workers: [Worker; WORKERS],
    engine: Vec<Request>,
    /// An event was taken under a fence that was not the newest.
    stale_append: bool,
    /// A request entered the engine without a committed intent of its fence.
    unintended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Tick,
    Claim(usize),
    /// The grace is over.
    Begin(usize),
    Commit(usize),
    Look(usize),
    Call(usize),
    /// The engine finishes the request.
    Land(usize),
    /// The worker hears of it and commits the outcome.
    Finish(usize),
    /// The process dies and starts again without memory.
    Crash(usize),
}

fn millis(ticks: u8) -> Millis {
    Millis(u64::from(ticks))
}

impl State {
    fn row(&self) -> Row {
        let (fence, seq) = (Fence(i64::from(self.fence)), i32::from(self.seq));
        Row {
            fence,
            seq,
            lease_until: millis(self.lease_until),
        }
    }

    fn append_allowed(&self, worker: &Worker, rules: Rules) -> bool {
        let held = Held {
            fence: Fence(i64::from(worker.fence)),
            seq: i32::from(worker.seq),
        };
        // Without the fence only the lease is left, which a worker that overslept does not know to have ended:
        // the store sees somebody's living lease.
        let row = self.row();
        if rules.fence {
            lease::append_allowed(&row, &held, millis(self.now))
        } else {
            row.seq == held.seq
        }
    }

    fn over(&self) -> bool {
        self.done == STEPS
    }
}

impl Model for Rules {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let idle = Worker {
            at: At::Idle,
            fence: 0,
            seq: 0,
            step: 0,
            deadline: 0,
        };
        vec![State {
            now: 0,
            fence: 0,
            seq: 0,
            lease_until: 0,
            intents: Vec::new(),
            done: 0,
            landed: 0,
            workers: [idle; WORKERS],
            engine: Vec::new(),
            stale_append: false,
            unintended: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // Time waits for nobody, except that the engine finishes what it has begun in its time.
        if state.now < HORIZON && state.engine.iter().all(|request| request.until > state.now) {
            actions.push(Action::Tick);
        }
        actions.extend((0..state.engine.len()).map(Action::Land));
        for (number, worker) in state.workers.iter().enumerate() {
            match worker.at {
                At::Idle
                    if !state.over() && lease::claim_allowed(&state.row(), millis(state.now)) =>
                {
                    actions.push(Action::Claim(number));
                }
                At::Idle => {}
                At::Grace(until) if state.now >= until => actions.push(Action::Begin(number)),
                At::Grace(_) => {}
                At::Decided => actions.push(Action::Commit(number)),
                At::Intended => actions.push(Action::Look(number)),
                At::Looked => actions.push(Action::Call(number)),
                At::Called => actions.push(Action::Finish(number)),
            }
            if worker.at != At::Idle {
                actions.push(Action::Crash(number));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::Claim(number) => claim(&mut state, number, *self),
            Action::Begin(number) => begin(&mut state, number),
            Action::Commit(number) => commit(&mut state, number, *self),
            Action::Look(number) => look(&mut state, number, *self),
            Action::Call(number) => call(&mut state, number),
            Action::Land(at) => {
                let request = state.engine.remove(at);
                state.landed = state.landed.max(request.step + 1);
            }
            Action::Finish(number) => finish(&mut state, number, *self),
            Action::Crash(number) => state.workers[number].at = At::Idle,
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "no event is taken under an old fence",
                |_, state: &State| !state.stale_append,
            ),
            Property::always(
                "no effect starts without a committed intent of its fence",
                |_, state: &State| !state.unintended,
            ),
            Property::always(
                "effects of two fences are never in the engine together",
                |_, state: &State| {
                    state
                        .engine
                        .windows(2)
                        .all(|pair| pair[0].fence == pair[1].fence)
                },
            ),
            Property::sometimes("a run can finish", |_, state: &State| state.over()),
            Property::sometimes("a run can finish after a take-over", |_, state: &State| {
                state.over() && state.fence > 1
            }),
        ]
    }
}

fn claim(state: &mut State, number: usize, rules: Rules) {
    let taken_over = state.fence > 0;
    state.fence += 1;
    let deadline = lease::deadline(millis(state.now), millis(LEASE));
    state.lease_until = state.now + LEASE;
    let grace = if taken_over && rules.grace { CALL } else { 0 };
    state.workers[number] = Worker {
        at: At::Grace(state.now + grace),
        fence: state.fence,
        seq: state.seq,
        step: state.done,
        deadline: u8::try_from(deadline.0).expect("the model counts to a few dozen"),
    };
}

/// The grace is over: it renews the lease if it still may, looks at the engine, and skips what has landed.
fn begin(state: &mut State, number: usize) {
    let worker = &mut state.workers[number];
    if worker.fence == state.fence {
        state.lease_until = state.now + LEASE;
        worker.deadline = state.now + LEASE;
    }
    worker.at = At::Decided;
}

fn commit(state: &mut State, number: usize, rules: Rules) {
    if !rules.intent_first {
        state.workers[number].at = At::Intended;
        return;
    }
    let worker = state.workers[number];
    let allowed = state.append_allowed(&worker, rules);
    if allowed {
        state.stale_append |= worker.fence != state.fence;
        state.intents.push((worker.fence, worker.step));
        state.seq += 1;
        state.lease_until = state.now + LEASE;
    }
    let worker = &mut state.workers[number];
    if allowed {
        worker.seq += 1;
        worker.deadline = state.now + LEASE;
    }
    worker.at = if allowed { At::Intended } else { At::Idle };
}

fn look(state: &mut State, number: usize, rules: Rules) {
    let worker = &mut state.workers[number];
    let may = lease::may_start_effect(millis(state.now), millis(worker.deadline));
    worker.at = if may || !rules.deadline {
        At::Looked
    } else {
        At::Idle
    };
    if worker.at == At::Looked && rules.look_and_call_at_once {
        call(state, number);
    }
}

fn call(state: &mut State, number: usize) {
    let worker = state.workers[number];
    state.unintended |= !state.intents.contains(&(worker.fence, worker.step));
    state.engine.push(Request {
        fence: worker.fence,
        step: worker.step,
        until: state.now + CALL,
    });
    state.engine.sort_unstable();
    state.workers[number].at = At::Called;
}

/// An answer comes only once the request has landed; the outcome and the next intent are separate here.
fn finish(state: &mut State, number: usize, rules: Rules) {
    let worker = state.workers[number];
    if state
        .engine
        .iter()
        .any(|request| request.fence == worker.fence)
    {
        return;
    }
    if !state.append_allowed(&worker, rules) {
        state.workers[number].at = At::Idle;
        return;
    }
    state.stale_append |= worker.fence != state.fence;
    state.seq += 1;
    state.done = state.done.max(worker.step + 1);
    state.lease_until = state.now + LEASE;
    let next = if state.over() { At::Idle } else { At::Decided };
    state.workers[number] = Worker {
        at: next,
        seq: state.seq,
        step: state.done,
        deadline: state.now + LEASE,
        ..worker
    };
}

/// The names of the properties that fail under these rules.
fn accidents(rules: Rules) -> Vec<&'static str> {
    let checker = rules.checker().spawn_bfs().join();
    eprintln!("{rules:?}: {} states", checker.unique_state_count());
    let always = |name: &&'static str| !name.starts_with("a run can");
    let mut found: Vec<&'static str> = checker.discoveries().into_keys().filter(always).collect();
    found.sort_unstable();
    found
}

const TWO_FENCES: &str = "effects of two fences are never in the engine together";
const UNINTENDED: &str = "no effect starts without a committed intent of its fence";
const STALE: &str = "no event is taken under an old fence";

#[test]
fn the_rules_hold_whatever_happens_when() {
    ALL.checker().spawn_bfs().join().assert_properties();
}

#[test]
fn without_the_grace_two_fences_act_at_once() {
    assert_eq!(
        accidents(Rules {
            grace: false,
            ..ALL
        }),
        [TWO_FENCES]
    );
}

#[test]
fn without_the_deadline_two_fences_act_at_once() {
    assert_eq!(
        accidents(Rules {
            deadline: false,
            ..ALL
        }),
        [TWO_FENCES]
    );
}

#[test]
fn without_the_intent_first_effects_have_none() {
    assert_eq!(
        accidents(Rules {
            intent_first: false,
            ..ALL
        }),
        [UNINTENDED]
    );
}

#[test]
fn without_the_fence_an_old_worker_writes() {
    assert!(
        accidents(Rules {
            fence: false,
            ..ALL
        })
        .contains(&STALE)
    );
}

/// The honest one: a process that is stopped between its look at the clock and its call calls late. Nothing on
/// plain Docker can refuse that; the window is as long as those two instructions are apart.
#[test]
fn a_pause_between_look_and_call_is_the_window_that_is_left() {
    assert_eq!(
        accidents(Rules {
            look_and_call_at_once: false,
            ..ALL
        }),
        [TWO_FENCES]
    );
}
