//! Days that between them walk every step in both directions, to every verdict.

use crate::{
    engine::Mood,
    front::Behind,
    shop::{Leftover, Part, Pin, Rebuilt, Recipe, State},
};

/// Days that between them walk every step in both directions, to every verdict.
pub(crate) fn recipes() -> Vec<Recipe> {
    let usual = Part::usual();
    let mixed = vec![
        Part {
            replicas: 2,
            state: State::Stopped,
            missing: true,
            ..usual
        },
        Part {
            state: State::Settled,
            ..usual
        },
        Part {
            health_check: true,
            probed: false,
            leftover: Leftover::Interim,
            ..usual
        },
    ];
    let alone = Part {
        replicas: 3,
        alone: true,
        ..usual
    };
    vec![
        Recipe::of(vec![alone]),
        Recipe::of(vec![Part {
            good: Mood::Sick,
            bad: Mood::Healthy,
            ..alone
        }]),
        Recipe::usual(),
        Recipe::of(mixed),
        Recipe::with_target(Mood::Sick).with_bad(Mood::Healthy),
        Recipe::of(vec![Part {
            missing: true,
            ..usual
        }]),
        Recipe::with_target(Mood::Crashes(30)).with_bad(Mood::Healthy),
        Recipe::with_target(Mood::Unstartable).with_bad(Mood::Healthy),
        Recipe::of(vec![Part {
            replicas: 2,
            good: Mood::Liar,
            bad: Mood::Healthy,
            leftover: Leftover::Interim,
            ..usual
        }]),
        Recipe::with_target(Mood::SickAfter(3000)),
        Recipe::of(side_cars(Mood::Healthy)),
        Recipe::of(side_cars(Mood::Sick)),
        Recipe::of(vec![
            Part {
                stubborn: true,
                replicas: 2,
                ..usual
            },
            usual,
        ]),
        Recipe::behind(Behind::Beside, Mood::Healthy),
        Recipe::behind(Behind::Beside, Mood::Sick),
        Recipe::behind(Behind::OneAtATime, Mood::Healthy),
        Recipe::behind(Behind::OneAtATime, Mood::Crashes(30)),
        Recipe::usual().rebuilt(Rebuilt::Other),
        Recipe::usual().rebuilt(Rebuilt::Fails),
    ]
    .into_iter()
    .chain(pinned())
    .chain(handovers())
    .collect()
}

/// Days on which the version is pinned, in each way.
fn pinned() -> [Recipe; 5] {
    let sick = || Recipe::with_target(Mood::Sick).with_bad(Mood::Healthy);
    let by = |pin, recipe| Recipe { pin, ..recipe };
    [
        by(Pin::File, Recipe::usual()),
        by(Pin::File, sick()),
        by(Pin::ReadOnly, Recipe::usual()),
        by(Pin::Override, sick()),
        by(Pin::Listed, sick()),
    ]
}

/// Days on which a port is handed over, or should have been.
fn handovers() -> Vec<Recipe> {
    let usual = Part::usual();
    vec![
        Recipe::of(vec![
            Part {
                replicas: 2,
                ..Part::networked()
            },
            usual,
            Part {
                good: Mood::Slow(300),
                ..Part::networked()
            },
        ]),
        Recipe::of(vec![Part {
            good: Mood::Sick,
            bad: Mood::Healthy,
            ..Part::networked()
        }]),
        // One after the other, with a stage of its own each.
        Recipe::of(vec![
            Part {
                bad: Mood::Healthy,
                ..Part::networked()
            },
            Part {
                after: true,
                good: Mood::Sick,
                bad: Mood::Healthy,
                ..Part::networked()
            },
        ]),
        Recipe::of(vec![
            Part {
                bad: Mood::Healthy,
                ..Part::networked()
            },
            Part {
                good: Mood::Crashes(1),
                bad: Mood::Healthy,
                ..Part::networked()
            },
        ]),
        // Proved on the stage, and bad as soon as it has the port.
        Recipe::of(vec![
            Part {
                bad: Mood::Healthy,
                ..Part::networked()
            },
            Part {
                good: Mood::Unstartable,
                ..usual
            },
        ]),
    ]
}

/// A parent between two side-cars, of which one already runs the target and moves all the same.
pub(crate) fn side_cars(good: Mood) -> Vec<Part> {
    let parent = Part {
        good,
        bad: if good == Mood::Healthy {
            Mood::Sick
        } else {
            Mood::Healthy
        },
        ..Part::usual()
    };
    let settled = Part {
        state: State::Settled,
        ..Part::side_car_of(1)
    };
    vec![Part::side_car_of(1), parent, settled]
}
