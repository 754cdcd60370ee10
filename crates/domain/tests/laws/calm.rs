//! How each mood ends when nothing else goes wrong.

use domain::{
    effect::Effect,
    engine_look::{TakenPort, holdings::Holdings},
    lifecycle::Event,
    next::{self, Claim, Then},
    seen::Seen,
    specification::Published,
    steps::{Act, Step},
    time::Millis,
};

use crate::{
    day::{Calm, live},
    engine::Mood,
    shop::{Leftover, Morning, Part, Recipe, State, start},
    watch::Sample,
};

fn ends(recipe: &Recipe) -> String {
    let evening = live(&recipe.morning(), format!("{recipe:?}"), &mut Calm);
    evening.said()
}

#[test]
fn a_healthy_target_is_proved_and_becomes_good() {
    assert_eq!(ends(&Recipe::usual()), "rolled_back good=true");
}

#[test]
fn each_mood_ends_as_it_should() {
    let table = [
        (Mood::Slow(700), Mood::Sick, "rolled_back good=true"),
        (Mood::Slow(60_000), Mood::Healthy, "restored ProofFailed"),
        (Mood::Sick, Mood::Healthy, "restored ProofFailed"),
        (Mood::Sick, Mood::Sick, "needs_human ProofFailed"),
        (Mood::Liar, Mood::Healthy, "restored ProofFailed"),
        (Mood::Crashes(30), Mood::Healthy, "restored ProofFailed"),
        (Mood::Unstartable, Mood::Healthy, "restored EngineRefused"),
        (Mood::Unstartable, Mood::Sick, "restored EngineRefused"),
        (Mood::SickAfter(3000), Mood::Sick, "needs_human WatchFailed"),
    ];
    for (target, bad, verdict) in table {
        assert_eq!(
            ends(&Recipe::with_target(target).with_bad(bad)),
            verdict,
            "{target:?} after {bad:?}"
        );
    }
}

#[test]
fn each_shape_of_application_is_rolled_back() {
    let usual = Part::usual();
    let shapes = [
        Part {
            replicas: 3,
            ..usual
        },
        Part {
            state: State::Stopped,
            ..usual
        },
        Part {
            health_check: true,
            ..usual
        },
        Part {
            probed: false,
            ..usual
        },
        Part {
            probed: false,
            health_check: true,
            ..usual
        },
        Part {
            port: false,
            ..usual
        },
        Part {
            restart: "no",
            ..usual
        },
        Part {
            leftover: Leftover::Aside,
            ..usual
        },
        Part {
            missing: true,
            ..usual
        },
        Part {
            leftover: Leftover::Interim,
            ..usual
        },
    ];
    for shape in shapes {
        let settled = Part {
            state: State::Settled,
            ..usual
        };
        assert_eq!(
            ends(&Recipe::of(vec![shape, settled])),
            "rolled_back good=true",
            "{shape:?}"
        );
    }
}

/// One container that can not be removed keeps no other from going, and changes no verdict.
#[test]
fn what_can_not_be_removed_is_said_and_keeps_nothing_else() {
    let part = |stubborn| Part {
        replicas: 2,
        stubborn,
        leftover: Leftover::Aside,
        ..Part::usual()
    };
    let recipe = Recipe::of(vec![part(true), part(false)]);
    let evening = live(&recipe.morning(), "stubborn", &mut Calm);
    assert_eq!(evening.said(), "rolled_back good=true");
    let engine = &evening.world.engine;
    let plan = &evening.world.plan;
    let left: Vec<&str> = plan
        .swaps
        .iter()
        .flat_map(|swap| swap.leftovers.iter().chain([&swap.former]))
        .filter_map(|id| Some(engine.boxes.get(id)?.seen.name.as_str()))
        .collect();
    assert_eq!(left, [plan.swaps[0].name_after(evening.world.rollback)]);
    assert_eq!(engine.lock, None);
    let notes = &evening.world.store.run.notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].contains(left[0]) && notes[0].contains("device or resource busy"),
        "{notes:?}"
    );
}

/// What serves now is what the target is measured by, and it may have been deployed a moment ago.
#[test]
fn what_started_a_moment_ago_is_not_taken_for_bad() {
    for networked in [false, true] {
        let silent = Part {
            probed: false,
            bad: Mood::Healthy,
            networked,
            ..Part::usual()
        };
        let sick = Part {
            good: Mood::Sick,
            bad: Mood::Healthy,
            ..Part::usual()
        };
        let mut morning = Recipe::of(vec![sick, silent, silent]).morning();
        for found in morning.engine.boxes.values_mut() {
            found.seen.started_at = Some(start());
        }
        let evening = live(&morning, "fresh", &mut Calm);
        assert_eq!(evening.said(), "restored ProofFailed");
    }
}

/// What was free when the plan was made and is not when it begins is found before anything is done.
#[test]
fn what_the_host_lost_since_the_plan_refuses_it() {
    let port = Published {
        port: 80,
        protocol: "tcp".to_owned(),
        host_ip: None,
        host_port: Some(8080),
    };
    let mut morning = Recipe::usual().morning();
    morning.plan.swaps[1].ports = vec![port.clone()];
    morning.plan.swaps[1].binds = vec!["/srv/conf".to_owned()];
    let lived = |morning: &Morning| live(morning, "host", &mut Calm);
    assert_eq!(lived(&morning).said(), "rolled_back good=true");
    let mut taken = morning.clone();
    taken.engine.taken = vec![TakenPort {
        container: "grafana".to_owned(),
        port,
    }];
    let mut lacking = morning.clone();
    lacking.plan.swaps[1].needs.networks = ["back".to_owned()].into();
    lacking.plan.swaps[1].needs.volumes = ["data".to_owned()].into();
    let mut has = Holdings {
        networks: ["back".to_owned()].into(),
        ..Holdings::default()
    };
    lacking.engine.has = Some(has.clone());
    let mut cut = lacking.clone();
    cut.engine.has = Some(Holdings::default());
    has.volumes.insert("data".to_owned());
    let mut whole = lacking.clone();
    whole.engine.has = Some(has);
    assert_eq!(lived(&whole).said(), "rolled_back good=true");
    let mut gone = morning;
    gone.engine.paths = [("/srv/conf".to_owned(), Seen::Absent)].into();
    for (morning, said) in [
        (taken, "refused PortTaken"),
        (gone, "refused BindSourceMissing"),
        (lacking, "refused VolumeMissing"),
        (cut, "refused NetworkMissing"),
    ] {
        let evening = lived(&morning);
        assert_eq!(evening.said(), said);
        assert_eq!(evening.world.effects, 0);
    }
}

/// Late or not: what was stopped is followed by its successor's start. Before that a late switch turns back.
#[test]
fn a_late_switch_starts_what_it_stopped_for() {
    let evening = live(&Recipe::usual().morning(), "late", &mut Sample);
    let (world, mut starts, mut stops) = (&evening.world, 0, 0);
    for (run, seen) in world.sample.iter().flatten() {
        let lock = seen
            .engine
            .as_ref()
            .ok()
            .and_then(|look| look.lock.as_ref());
        let Some(fence) = lock.and_then(|lock| lock.fence) else {
            continue;
        };
        let claim = Claim {
            rollback: world.rollback,
            fence,
            crashes: 0,
        };
        let step = run.step(&world.plan);
        let switches = matches!(
            step,
            Some(
                Step::Switch { .. }
                    | Step::Wave {
                        act: Act::Switch,
                        ..
                    }
            )
        );
        if !switches || run.phase.word() != "forward" {
            continue;
        }
        let in_time = next::turn(&world.plan, run, claim, &[], seen, run.since);
        let late = run.since.after(Millis(86_400_000));
        let late = next::turn(&world.plan, run, claim, &[], seen, late);
        let Then::Perform(effect) = &in_time.then else {
            continue;
        };
        let acts = effect.parts();
        let is_start = |act: &Effect| matches!(act, Effect::StartContainer { .. });
        if acts.iter().all(is_start) {
            starts += acts.len();
            assert_eq!(late, in_time);
        } else if acts
            .iter()
            .any(|act| matches!(act, Effect::StopContainer { .. }))
        {
            stops += acts.len();
            assert!(
                matches!(late.events[..], [Event::TurnedBack { .. }]),
                "{late:?}"
            );
        }
    }
    assert!(starts >= 1 && stops >= 2, "{starts} starts, {stops} stops");
}
