//! Components behind a balancer: when it dies before, at and after the change over, and when its file is edited.

use domain::{effect::Effect, plan::Plan, steps::Step, time::Millis, verdict::Verdict};

use crate::{
    day::{Blow, Calm, Director, Evening, live},
    engine::Mood,
    front::Behind,
    shop::{Morning, Recipe},
    world::{Fate, World},
};

pub(crate) fn morning(behind: Behind, good: Mood) -> Morning {
    Recipe::behind(behind, good).morning()
}

/// Does something to the world before the first act of one kind, or before the first move.
struct Before<K, D> {
    kind: K,
    done: bool,
    does: D,
}

impl<K: Fn(&Effect) -> bool, D: FnMut(&mut World)> Director for Before<K, D> {
    fn at_move(&mut self, _: usize, world: &mut World) -> Blow {
        let acts = |effect: &Effect| (self.kind)(effect);
        if !self.done && world.store.intent().is_some_and(acts) {
            self.done = true;
            (self.does)(world);
        }
        Blow::None
    }
}

fn before(
    morning: &Morning,
    kind: impl Fn(&Effect) -> bool,
    does: impl FnMut(&mut World),
) -> Evening {
    let mut director = Before {
        kind,
        done: false,
        does,
    };
    let evening = live(morning, "a balancer's bad day", &mut director);
    assert!(director.done, "it never came to that");
    evening
}

fn points(effect: &Effect) -> bool {
    matches!(effect, Effect::PointFront { .. })
}

fn position(plan: &Plan, is: impl Fn(&Step) -> bool) -> usize {
    plan.steps.iter().position(is).unwrap()
}

#[test]
fn what_runs_beside_is_proved_before_anything_that_serves_is_touched() {
    let plan = morning(Behind::Beside, Mood::Healthy).plan;
    let raise = position(&plan, |step| matches!(step, Step::Raise { .. }));
    let switch = position(&plan, |step| matches!(step, Step::Switch { .. }));
    let point = position(&plan, |step| matches!(step, Step::Point { .. }));
    assert!(raise < switch && raise < point);
    let one = morning(Behind::OneAtATime, Mood::Healthy).plan;
    let raise = position(&one, |step| matches!(step, Step::Raise { .. }));
    let point = position(&one, |step| matches!(step, Step::Point { .. }));
    assert_eq!(raise + 1, point);
}

#[test]
fn a_target_that_is_not_proved_beside_changes_nothing() {
    for mood in [Mood::Sick, Mood::Liar, Mood::Crashes(30), Mood::Unstartable] {
        let evening = live(&morning(Behind::Beside, mood), "a bad target", &mut Calm);
        assert!(
            matches!(evening.verdict(), Verdict::Refused { .. }),
            "{mood:?}: {:?}",
            evening.verdict()
        );
    }
}

#[test]
fn a_balancer_that_dies_before_the_change_over_leaves_everything_as_it_was() {
    for (away, said) in [
        (Millis(3000), "rolled_back good=true"),
        (Millis(100_000_000), "needs_human BalancerUnreachable"),
    ] {
        let evening = before(&morning(Behind::Beside, Mood::Healthy), points, |world| {
            world.engine.fronts.restart(away, false, world.now);
        });
        assert_eq!(evening.said(), said);
        assert!(away.0 < 10_000 || evening.world.former_runs() || said.starts_with("needs"));
    }
    let mut first = true;
    let evening = before(
        &morning(Behind::Beside, Mood::Healthy),
        |effect| matches!(effect, Effect::TakeLock { .. }),
        |world| {
            assert!(std::mem::take(&mut first));
            world.engine.fronts.edited = true;
        },
    );
    assert_eq!(evening.said(), "refused BalancerUnfit");
}

#[test]
fn a_balancer_that_dies_after_the_change_over_is_waited_for_and_pointed_again() {
    let renames = |effect: &Effect| matches!(effect, Effect::RenameContainer { .. });
    for forgets in [false, true] {
        let evening = before(&morning(Behind::Beside, Mood::Healthy), renames, |world| {
            world.engine.fronts.restart(Millis(500), forgets, world.now);
        });
        assert_eq!(
            evening.said(),
            "rolled_back good=true",
            "forgets: {forgets}"
        );
    }
    let evening = before(&morning(Behind::Beside, Mood::Healthy), renames, |world| {
        world
            .engine
            .fronts
            .restart(Millis(100_000_000), false, world.now);
    });
    assert!(
        matches!(evening.verdict(), Verdict::NeedsHuman { .. }),
        "{:?}",
        evening.verdict()
    );
}

#[test]
fn the_former_container_stays_while_it_is_not_known_where_clients_go() {
    let records = |effect: &Effect| matches!(effect, Effect::Record);
    let evening = before(&morning(Behind::Beside, Mood::Healthy), records, |world| {
        world
            .engine
            .fronts
            .restart(Millis(100_000_000), false, world.now);
    });
    let swap = &evening.world.plan.swaps[0];
    let former = &evening.world.engine.boxes[&swap.former];
    assert!(former.seen.runs(), "{:?}", evening.verdict());
}

#[test]
fn every_fate_of_the_change_over_ends_well() {
    for behind in [Behind::Beside, Behind::OneAtATime] {
        for good in [Mood::Healthy, Mood::SickAfter(1500)] {
            for fate in [
                Fate::Twice,
                Fate::LostBefore,
                Fate::LostAfter,
                Fate::Late(9000),
            ] {
                struct Fated(Fate, bool);
                impl Director for Fated {
                    fn at_effect(&mut self, effect: &Effect, _: usize) -> Fate {
                        if points(effect) && !std::mem::replace(&mut self.1, true) {
                            return self.0;
                        }
                        Fate::Done
                    }
                }
                let label = format!("{behind:?} {good:?} {fate:?}");
                live(&morning(behind, good), label, &mut Fated(fate, false));
            }
        }
    }
}
