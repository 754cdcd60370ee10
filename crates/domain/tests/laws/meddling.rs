//! Somebody removes the target's containers after it was proved, as a `docker-compose up -d` of the former version does:
//! what served before may be what serves now.

use domain::{lifecycle::Phase, steps::Step};

use crate::{
    day::{Blow, Director, live},
    engine::Mood,
    front::Behind,
    fronted::morning,
    shop::{Morning, Recipe},
    world::World,
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
