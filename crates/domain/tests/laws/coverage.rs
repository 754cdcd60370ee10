//! Which pairs of place and event the laws have walked through. Printed, and held to: every step in both
//! directions.

use std::collections::BTreeSet;

use domain::{name::Actor, next::Order};

use crate::{
    day::{Blow, Calm, Director, live},
    recipes::recipes,
    world::World,
};

/// Calls the rollback off at one move.
struct Cancel(usize);

impl Director for Cancel {
    fn at_move(&mut self, move_: usize, world: &mut World) -> Blow {
        if move_ == self.0 {
            let by: Actor = "ana".parse().unwrap();
            world.store.order(Order::Cancel { by });
        }
        Blow::None
    }
}

#[test]
fn every_step_is_walked_in_both_directions() {
    let mut covered = BTreeSet::new();
    for recipe in recipes() {
        let recipe = recipe.morning();
        let calm = live(&recipe, "a calm day", &mut Calm);
        covered.extend(calm.world.covered);
        for at in calm.moments {
            covered.extend(
                live(&recipe, "a cancelled day", &mut Cancel(at))
                    .world
                    .covered,
            );
        }
    }
    let steps = [
        "check", "build", "lock", "supply", "keep", "capture", "pin", "create", "stage", "raise",
        "switch", "handover", "point", "prove", "record", "retire",
    ];
    for step in steps {
        assert!(
            covered.contains(&("forward", step, "step_done")),
            "nobody walked {step} forward"
        );
        let back = ["step_done", "ended"]
            .iter()
            .any(|event| covered.contains(&("backward", step, event)));
        // What is proved does not turn: the steps after the proof have no way back.
        let one_way = matches!(step, "record" | "retire");
        assert_eq!(back, !one_way, "{step} backward");
    }
    for step in [
        "build", "lock", "supply", "keep", "capture", "pin", "create", "stage", "raise", "switch",
        "handover", "point", "record", "retire",
    ] {
        assert!(
            covered.contains(&("forward", step, "intended")),
            "{step} never acted forward"
        );
    }
    for step in [
        "build", "lock", "pin", "create", "stage", "raise", "switch", "handover", "point",
    ] {
        assert!(
            covered.contains(&("backward", step, "intended")),
            "{step} never acted backward"
        );
    }
    let words: Vec<String> = covered
        .iter()
        .map(|(phase, step, event)| format!("{phase}/{step}/{event}"))
        .collect();
    eprintln!(
        "covered {} of (phase/step/event): {}",
        words.len(),
        words.join(" ")
    );
}
