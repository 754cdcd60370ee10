//! No dead ends: from every state that was ever reached, in every world that was ever seen, even one that never
//! changes again whatever is done, the run comes to an end.

use std::collections::{BTreeMap, VecDeque};

use domain::{
    effect::Outcome,
    lifecycle::{Event, Phase, Run},
    name::Fence,
    next::{self, Claim, Then},
    plan::Plan,
    steps::World as Seen,
    time::{Millis, Moment},
};

use crate::{
    day::{Blow, Director, live},
    recipes::recipes,
    shop::Recipe,
    world::World,
};

/// Collects what each turn decided on, on a day that is called off at one move.
struct Collect {
    cancel_at: usize,
}

impl Director for Collect {
    fn at_move(&mut self, move_: usize, world: &mut World) -> Blow {
        world.sample.get_or_insert_with(Vec::new);
        if move_ == self.cancel_at {
            let by = "ana".parse().unwrap();
            world.store.order(next::Order::Cancel { by });
        }
        Blow::None
    }
}

/// States that differ in what decisions look at, without times.
fn key(run: &Run) -> String {
    let place = match &run.phase {
        Phase::Forward { at } | Phase::Backward { at, .. } => *at,
        Phase::AwaitingApproval { .. } | Phase::Watching { .. } | Phase::Ended { .. } => 0,
    };
    format!(
        "{} {place} acted {} touched {} proved {} lost {} red {}",
        run.phase.word(),
        run.acted_at.is_some(),
        run.touched_at.is_some(),
        run.proved_at.is_some(),
        run.lost_since.is_some(),
        run.red_since.is_some(),
    )
}

/// Every state that can be reached from `first` by turns in any of the worlds, each with how it looks.
fn reachable(plan: &Plan, first: Vec<Run>, worlds: &[Seen], claim: Claim) -> BTreeMap<String, Run> {
    let mut found = BTreeMap::new();
    let mut queue: VecDeque<Run> = first.into();
    while let Some(run) = queue.pop_front() {
        if found.contains_key(&key(&run)) {
            continue;
        }
        for world in worlds {
            for later in [0, 3000, 60_000_000] {
                let now = run.since.after(Millis(later));
                let (next, _) = turned(plan, run.clone(), world, claim, now);
                queue.push_back(next);
            }
        }
        found.insert(key(&run), run);
    }
    found
}

/// One turn, its effect performed without effect.
fn turned(plan: &Plan, mut run: Run, world: &Seen, claim: Claim, now: Moment) -> (Run, Moment) {
    let turn = next::turn(plan, &run, claim, &[], world, now);
    for event in &turn.events {
        run = run
            .evolve(plan, event, now)
            .unwrap_or_else(|error| panic!("{error} of {:?}", turn.events));
    }
    let now = match turn.then {
        Then::Look | Then::Ended | Then::Fenced => now.after(Millis(1)),
        Then::Perform(_) => {
            run = run
                .evolve(
                    plan,
                    &Event::Performed {
                        outcome: Outcome::Done,
                    },
                    now,
                )
                .unwrap();
            now.after(Millis(5))
        }
        // Nothing changes meanwhile, so that waiting ten times as long is the same wait.
        Then::Pause(pause) => now.after(Millis(pause.0 * 10)),
        Then::Rest(until) => until.max(now.after(Millis(1))),
    };
    (run, now)
}

const TURNS_MAX: usize = 2000;

fn ends(plan: &Plan, run: &Run, world: &Seen, claim: Claim) {
    let (mut at, mut now) = (run.clone(), run.since);
    for _ in 0..TURNS_MAX {
        if matches!(at.phase, Phase::Ended { .. }) {
            return;
        }
        (at, now) = turned(plan, at, world, claim, now);
    }
    panic!("{} never ends; it came to {}", key(run), key(&at));
}

fn every_state_ends(recipe: &Recipe) -> usize {
    let recipe = &recipe.morning();
    let calm = live(
        recipe,
        "collecting",
        &mut Collect {
            cancel_at: usize::MAX,
        },
    );
    let mut sample = calm.world.sample.clone().unwrap();
    for at in calm.moments.iter().step_by(4) {
        let cancelled = live(recipe, "collecting", &mut Collect { cancel_at: *at });
        sample.extend(cancelled.world.sample.unwrap());
    }
    let mut worlds: BTreeMap<String, Seen> = BTreeMap::new();
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    for (run, seen) in sample {
        worlds.entry(key(&run)).or_insert(seen);
        runs.entry(key(&run)).or_insert(run);
    }
    let mut worlds: Vec<Seen> = worlds.into_values().collect();
    let gone = Seen {
        engine: Err("it does not answer".to_owned()),
        ..worlds[0].clone()
    };
    worlds.push(gone);
    let plan = &calm.world.plan;
    let claim = Claim {
        rollback: calm.world.rollback,
        fence: Fence(i64::MAX),
        crashes: 0,
    };
    let states = reachable(plan, runs.into_values().collect(), &worlds, claim);
    for run in states.values() {
        for world in &worlds {
            ends(plan, run, world, claim);
        }
    }
    states.len()
}

#[test]
fn every_reachable_state_reaches_an_end_in_every_world() {
    let recipes = recipes();
    let with_approval = Recipe {
        approval: true,
        ..recipes[0].clone()
    };
    let states: usize = recipes
        .iter()
        .skip(1)
        .step_by(2)
        .chain([&with_approval])
        .map(every_state_ends)
        .sum();
    eprintln!("{states} reachable states, none of them a dead end");
    assert!(states > 60, "{states}");
}
