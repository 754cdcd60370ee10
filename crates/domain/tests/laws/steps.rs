//! The laws, applied to every step in both directions: done twice, failed, killed and frozen at every move, the
//! engine lost, and called off.

use domain::{
    effect::{Effect, Failure},
    name::Actor,
    next::{self, Order},
    time::Millis,
};

use crate::{
    day::{Blow, Calm, Director, Evening, live},
    engine::Mood,
    recipes::recipes,
    shop::Morning,
    world::{Fate, World},
};

/// One thing at one moment.
struct Once<F> {
    at: usize,
    strike: F,
}

impl<F: FnMut(&mut World) -> Blow> Director for Once<F> {
    fn at_move(&mut self, move_: usize, world: &mut World) -> Blow {
        if move_ == self.at {
            (self.strike)(world)
        } else {
            Blow::None
        }
    }
}

/// Every effect, or one of them, has this fate.
struct Fated<F>(F);
impl<F: FnMut(&Effect, usize) -> Fate> Director for Fated<F> {
    fn at_effect(&mut self, effect: &Effect, nth: usize) -> Fate {
        (self.0)(effect, nth)
    }
}

fn calm(morning: &Morning) -> Evening {
    live(morning, "a calm day", &mut Calm)
}

/// The mornings of the recipes, numbered for what is said when a law is broken.
fn mornings() -> impl Iterator<Item = (usize, Morning)> {
    recipes()
        .into_iter()
        .map(|recipe| recipe.morning())
        .enumerate()
}

/// Lives the day once for each of its moves that differs, and gives each evening to `judge`.
fn at_every_move(
    (number, morning): (usize, &Morning),
    what: &str,
    mut strike: impl FnMut(&mut World) -> Blow,
    judge: impl Fn(&Evening),
) {
    let calm = calm(morning);
    // A death inside a call can only be where a call is.
    let moments = if what.contains("in the call") {
        calm.calls
    } else {
        calm.moments
    };
    for at in moments {
        let label = format!("{what} at move {at} of recipe {number}");
        judge(&live(
            morning,
            label,
            &mut Once {
                at,
                strike: &mut strike,
            },
        ));
    }
}

/// Those of which the target does not go bad with time: a day that lasts longer ends as a short one does.
fn lasting_mornings() -> impl Iterator<Item = (usize, Morning)> {
    let lasts = |morning: &Morning| {
        !morning
            .engine
            .moods
            .values()
            .any(|mood| matches!(mood, Mood::SickAfter(_)))
    };
    mornings().filter(move |(_, morning)| lasts(morning))
}

fn like(calm: &Evening) -> impl Fn(&Evening) + use<> {
    let due = calm.result();
    move |evening| assert_eq!(evening.result(), due, "{}", evening.world.label)
}

#[test]
fn an_effect_done_twice_changes_nothing() {
    for (number, morning) in mornings() {
        let twice = live(
            &morning,
            format!("twice recipe {number}"),
            &mut Fated(|_: &Effect, _| Fate::Twice),
        );
        like(&calm(&morning))(&twice);
    }
}

#[test]
fn an_effect_of_unknown_outcome_is_looked_at_and_not_believed() {
    for (number, morning) in mornings() {
        let due = calm(&morning);
        for fate in [
            Fate::LostBefore,
            Fate::LostAfter,
            Fate::Late(400),
            Fate::Late(9000),
        ] {
            for at in 0..due.world.effects {
                let label = format!("{fate:?} at effect {at} of recipe {number}");
                let mut once = Fated(|_: &Effect, nth| if nth == at { fate } else { Fate::Done });
                like(&due)(&live(&morning, label, &mut once));
            }
        }
    }
}

#[test]
fn a_worker_killed_at_any_move_is_replaced_without_a_trace() {
    for (number, morning) in mornings() {
        at_every_move(
            (number, &morning),
            "killed",
            |_| Blow::Kill,
            like(&calm(&morning)),
        );
    }
}

#[test]
fn a_host_that_dies_at_any_move_is_replaced_without_a_trace() {
    for (number, morning) in lasting_mornings() {
        let due = calm(&morning);
        at_every_move(
            (number, &morning),
            "host killed",
            |_| Blow::KillHost,
            like(&due),
        );
        at_every_move(
            (number, &morning),
            "killed in the call",
            |_| Blow::KillInCall(9000),
            like(&due),
        );
    }
}

#[test]
fn a_worker_that_slept_longer_than_its_lease_changes_nothing() {
    for (number, morning) in lasting_mornings() {
        let due = calm(&morning);
        for for_moves in [2, 40] {
            at_every_move(
                (number, &morning),
                "frozen",
                |_| Blow::Freeze(for_moves),
                like(&due),
            );
        }
    }
}

/// Every refusal for good, of each kind, of each effect: the run ends, and `live` checks that it ends well.
#[test]
fn a_step_that_is_refused_for_good_ends_the_run_well() {
    let failures = [
        Failure::Missing,
        Failure::NameTaken,
        Failure::DiskFull,
        Failure::Unreadable,
        Failure::Fenced,
        Failure::FrontRefused,
        Failure::Refused,
    ];
    for (number, morning) in mornings() {
        let effects = calm(&morning).world.effects;
        for failure in failures {
            for from in 0..effects {
                let mut kind = None;
                let mut refuse = Fated(|effect: &Effect, nth| {
                    let same = *kind.get_or_insert_with(|| std::mem::discriminant(effect));
                    let struck = nth >= from && same == std::mem::discriminant(effect);
                    if nth < from {
                        kind = None;
                    }
                    if struck {
                        Fate::Refused(failure)
                    } else {
                        Fate::Done
                    }
                });
                let label = format!("{failure:?} from effect {from} on of recipe {number}");
                live(&morning, label, &mut refuse);
            }
        }
    }
}

#[test]
fn a_refusal_that_passes_changes_nothing() {
    for (number, morning) in mornings() {
        let due = calm(&morning);
        for at in 0..due.world.effects {
            let mut once = Fated(|_: &Effect, nth| {
                if (at..at + 2).contains(&nth) {
                    Fate::Refused(Failure::Refused)
                } else {
                    Fate::Done
                }
            });
            like(&due)(&live(
                &morning,
                format!("refused twice at {at} of recipe {number}"),
                &mut once,
            ));
        }
    }
}

#[test]
fn an_engine_that_is_away_for_a_while_is_waited_for() {
    for (number, morning) in lasting_mornings() {
        let away = |world: &mut World| {
            world.engine.away_until = Some(world.now.after(Millis(3000)));
            Blow::None
        };
        at_every_move(
            (number, &morning),
            "engine away",
            away,
            like(&calm(&morning)),
        );
    }
}

#[test]
fn an_engine_that_restarts_at_any_move_is_survived() {
    for (number, morning) in mornings() {
        let restart = |world: &mut World| {
            world.engine_restarts(Millis(2000));
            Blow::None
        };
        at_every_move((number, &morning), "engine restarted", restart, |evening| {
            let healthy = morning.engine.moods.iter().all(|(image, mood)| {
                *mood == Mood::Healthy
                    || !morning.plan.swaps.iter().any(|swap| swap.image == *image)
            });
            let builds = morning.engine.builds.values().all(Option::is_some);
            assert!(
                !(healthy && builds) || evening.said().starts_with("rolled_back"),
                "{}: {}",
                evening.world.label,
                evening.said()
            );
        });
    }
}

#[test]
fn an_engine_that_never_comes_back_is_given_up() {
    for (number, morning) in mornings() {
        let gone = |world: &mut World| {
            world.engine.away_until = Some(world.now.after(Millis(100_000_000)));
            Blow::None
        };
        at_every_move((number, &morning), "engine gone", gone, |evening| {
            let untouched = evening.world.store.run.acted_at.is_none();
            let said = evening.said();
            assert!(
                !untouched || !said.starts_with("needs_human"),
                "{}: {said}",
                evening.world.label
            );
        });
    }
}

fn cancel(world: &mut World) -> Blow {
    let by: Actor = "ana".parse().unwrap();
    world.store.order(Order::Cancel { by });
    Blow::None
}

#[test]
fn a_cancel_at_any_move_is_obeyed_or_answered() {
    for (number, morning) in mornings() {
        let blows = [
            ("cancelled", Blow::None),
            ("cancelled while killed in the call", Blow::KillInCall(9000)),
            ("cancelled while frozen", Blow::Freeze(5)),
        ];
        for (what, blow) in blows {
            let strike = |world: &mut World| {
                cancel(world);
                blow
            };
            at_every_move((number, &morning), what, strike, |evening| {
                let run = &evening.world.store;
                let answered = run.log.iter().any(|stored| {
                    let words = serde_json::to_string(&stored.event).unwrap();
                    words.contains("ana")
                });
                let over = run.orders_seen == 0;
                assert!(
                    answered || over,
                    "{}: nobody answered the cancel",
                    evening.world.label
                );
            });
        }
    }
}

#[test]
fn a_step_that_kills_its_workers_is_given_up() {
    struct Killer {
        from: usize,
    }
    impl Director for Killer {
        fn at_move(&mut self, move_: usize, world: &mut World) -> Blow {
            let again = move_ >= self.from
                && move_.is_multiple_of(2)
                && world.store.crashes < next::CRASHES_MAX;
            if again { Blow::Kill } else { Blow::None }
        }
    }
    for (number, morning) in mornings() {
        for from in calm(&morning).moments {
            live(
                &morning,
                format!("killed again and again from {from} of recipe {number}"),
                &mut Killer { from },
            );
        }
    }
}
