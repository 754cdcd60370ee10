//! Somebody removes the target's containers after it was proved, as a `docker-compose up -d` of the former version does:
//! what served before may be what serves now.

use std::collections::BTreeSet;

use domain::{
    effect::Effect,
    engine_look::ContainerState,
    lifecycle::Phase,
    next::{self, Claim, Then},
    steps::Step,
    verdict::{Cause, CauseCode},
};

use crate::{
    day::{Blow, Calm, Director, live},
    engine::Mood,
    front::Behind,
    fronted::morning,
    recipes::side_cars,
    shop::{Morning, Part, Pin, Recipe},
    worker::Worker,
    world::{Fate, World},
};

/// Takes the target's containers away once it is proved; what is asked of the engine after that is asked with open eyes.
#[derive(Default)]
struct Meddler {
    was_here: bool,
}

impl Director for Meddler {
    fn at_move(&mut self, _move: usize, world: &mut World) -> Blow {
        let Phase::Forward { at } = world.store.run.phase else {
            return Blow::None;
        };
        if self.was_here || world.plan.steps[usize::from(at)] != Step::Record {
            return Blow::None;
        }
        self.was_here = true;
        for swap in world.plan.swaps.clone() {
            let next = world.next_of(&swap).map(|next| next.id.clone());
            world.engine.boxes.remove(&next.unwrap());
        }
        Blow::None
    }
}

fn stays(morning: &Morning) {
    let mut meddler = Meddler::default();
    let evening = live(morning, "somebody removed the target's", &mut meddler);
    assert!(meddler.was_here);
    assert_eq!(evening.said(), "needs_human WatchFailed");
    let world = &evening.world;
    for swap in &world.plan.swaps {
        assert!(
            world.engine.boxes.contains_key(&swap.former),
            "{} was removed as well",
            swap.name
        );
    }
    assert!(world.engine.lock.is_none(), "the lock is given back");
    let notes = world.store.run.notes.join("; ");
    assert!(notes.contains("somebody removed"), "{notes}");
}

#[test]
fn what_served_before_stays_when_somebody_removed_the_target() {
    stays(&Recipe::usual().morning());
}

#[test]
fn behind_a_balancer_nothing_is_waited_for_that_somebody_removed() {
    stays(&morning(Behind::Beside, Mood::Healthy));
}

/// Removes the target's containers, once, at that move: those that never started, as a clean-up of stopped containers
/// does, or all of them, as an `up` that takes them for replicas too many.
struct Broom {
    from: usize,
    all: bool,
    swept: bool,
}

impl Director for Broom {
    fn at_move(&mut self, moves: usize, world: &mut World) -> Blow {
        let Phase::Forward { at } = world.store.run.phase else {
            return Blow::None;
        };
        let over = matches!(
            world.plan.steps[usize::from(at)],
            Step::Record | Step::Retire
        );
        if self.swept || moves != self.from || over {
            return Blow::None;
        }
        let swaps = world.plan.swaps.iter();
        let targets: BTreeSet<_> = swaps
            .filter_map(|swap| world.next_of(swap))
            .filter(|next| self.all || next.state == ContainerState::Created)
            .map(|next| next.id.clone())
            .collect();
        self.swept = !targets.is_empty();
        if self.swept {
            world.label += &format!(" in {:?}", world.plan.steps[usize::from(at)]);
        }
        world.engine.boxes.retain(|id, _| !targets.contains(id));
        Blow::None
    }
}

/// How the days end on which they are removed, one for each look: what is removed between a look and its act was there for
/// whoever looked, and no rule can change that. Without those on which it was proved before: there a person is told.
fn swept(recipe: &Recipe, all: bool) -> Vec<String> {
    let morning = recipe.morning();
    let calm = live(&morning, "calm", &mut Calm);
    let mut said = Vec::new();
    for from in calm.looks {
        let mut broom = Broom {
            from,
            all,
            swept: false,
        };
        let evening = live(&morning, format!("swept at move {from}"), &mut broom);
        if broom.swept {
            said.push(evening.said());
        }
    }
    let before = said.len();
    said.retain(|said| said != "needs_human WatchFailed");
    // What was decided is written down later, so the last look of the proof may be the next step's first.
    assert!(before - said.len() < 2, "{before} days, {said:?}");
    assert!(said.len() > 2, "it was hardly ever swept: {said:?}");
    said
}

fn is_made_once_more(recipe: &Recipe, all: bool) {
    let said = swept(recipe, all);
    let there = said.iter().all(|said| said == "rolled_back good=true");
    assert!(there, "all: {all}: {said:?}");
}

#[test]
fn a_target_that_is_removed_before_it_serves_is_made_once_more() {
    let usual = Part::usual();
    let alone = Part {
        replicas: 2,
        alone: true,
        ..usual
    };
    for all in [false, true] {
        is_made_once_more(&Recipe::usual(), all);
        is_made_once_more(&Recipe::of(vec![alone]), all);
    }
    is_made_once_more(&Recipe::of(vec![Part::networked(), usual]), false);
    is_made_once_more(&Recipe::behind(Behind::Beside, Mood::Healthy), false);
}

/// Set aside by a handover, or sharing with what gives way, what served before is the nearer way.
#[test]
fn what_served_before_is_not_given_up_for_a_target_that_is_removed() {
    let handed_over = swept(&Recipe::of(vec![Part::networked()]), true);
    let sharing = [false, true].map(|all| swept(&Recipe::of(side_cars(Mood::Healthy)), all));
    for said in handed_over.iter().chain(sharing.iter().flatten()) {
        let serves = ["rolled_back", "restored", "refused"];
        assert!(serves.iter().any(|word| said.starts_with(word)), "{said}");
    }
    let went_back = handed_over
        .iter()
        .filter(|said| said.starts_with("restored"));
    assert!(went_back.count() > 0, "{handed_over:?}");
}

/// What a rollback that turns does next about the file that it pinned the version in, after Compose made containers of these
/// images by it, in the place of those that were to be replaced.
fn after_an_up(targets: bool) -> next::Turn {
    let recipe = Recipe {
        pin: Pin::File,
        ..Recipe::usual()
    };
    let mut world = World::new(&recipe.morning(), "an `up` while it creates");
    let mut worker = Worker::claim(&mut world);
    let pin = world.plan.steps.iter().position(|step| *step == Step::Pin);
    let pin = u16::try_from(pin.unwrap()).unwrap();
    while !matches!(world.store.run.phase, Phase::Forward { at } if at > pin) {
        worker.step(&mut world, &mut |_| Fate::Done);
    }
    for (number, swap) in (0xf0_u8..).zip(world.plan.swaps.clone()) {
        let mut made = world.engine.boxes.remove(&swap.former).unwrap();
        made.seen.id = format!("{number:064x}").parse().unwrap();
        if targets {
            made.seen.image = swap.image;
        }
        world.engine.boxes.insert(made.seen.id.clone(), made);
    }
    let mut run = world.store.run.clone();
    run.phase = Phase::Backward {
        at: pin,
        cause: Cause::new(CauseCode::Drifted, "what it replaces is gone"),
    };
    let claim = Claim {
        rollback: world.rollback,
        fence: worker.held.fence,
        crashes: 0,
    };
    let seen = world.look(next::scope(&world.plan, &run, claim));
    next::turn(&world.plan, &run, claim, &[], &seen, world.now)
}

#[test]
fn a_file_that_compose_deployed_the_target_by_is_not_turned_back_to_the_version_that_is_left() {
    let turn = after_an_up(true);
    let put_back =
        |turn: &next::Turn| matches!(&turn.then, Then::Perform(Effect::PutBackPin { .. }));
    assert!(!put_back(&turn), "{turn:?}");
    let said = format!("{:?}", turn.events);
    assert!(
        said.contains("put 1.4.2 in service by it meanwhile"),
        "{said}"
    );
    // Containers of what was there before are no reason to leave it.
    assert!(put_back(&after_an_up(false)));
}
