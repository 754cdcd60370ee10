//! Logs of former versions must fold for ever: a rollback that waits for its approval while the server is
//! upgraded is read by the next version. See `tests/golden/README.md`.

use std::path::{Path, PathBuf};

use domain::{
    lifecycle::{Event, Run},
    plan::Plan,
    time::Moment,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    day::{Blow, Director, live},
    engine::Mood,
    front::Behind,
    shop::{Rebuilt, Recipe},
    world::World,
};

#[derive(Serialize, Deserialize)]
struct Golden {
    about: String,
    plan: Plan,
    events: Vec<Line>,
    state: Value,
}

#[derive(Serialize, Deserialize)]
struct Line {
    at: Moment,
    #[serde(flatten)]
    event: Event,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn fold(golden: &Golden) -> Run {
    let (first, rest) = golden.events.split_first().unwrap();
    let run = Run::requested(&first.event, first.at).unwrap();
    rest.iter().fold(run, |run, line| {
        run.evolve(&golden.plan, &line.event, line.at)
            .unwrap_or_else(|error| panic!("{}: {error}", golden.about))
    })
}

/// Whether all that the old state says is still so. A newer version may know more.
fn holds(old: &Value, new: &Value, path: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                let now = new
                    .get(name)
                    .unwrap_or_else(|| panic!("{path}.{name} is gone"));
                holds(value, now, &format!("{path}.{name}"));
            }
        }
        (old, new) => assert_eq!(old, new, "{path} is another now"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "golden files are read from the folder, so that none is forgotten"
)]
#[test]
fn every_old_log_still_folds_to_its_state() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    assert!(
        files.len() >= days().len(),
        "golden files are missing: {files:?}"
    );
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let golden: Golden = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let state = serde_json::to_value(fold(&golden)).unwrap();
        holds(&golden.state, &state, &path.display().to_string());
        serde_json::from_value::<Run>(golden.state).unwrap();
    }
}

/// Does something to the world before one move.
struct At(usize, fn(&mut World));

impl Director for At {
    fn at_move(&mut self, move_: usize, world: &mut World) -> Blow {
        if move_ == self.0 {
            (self.1)(world);
        }
        Blow::None
    }
}

type Day = (&'static str, &'static str, Recipe, At);

/// The days that golden files are made of. Add to these lists; never change what is on them.
fn days() -> Vec<Day> {
    first_days()
        .into_iter()
        .chain(built_days())
        .chain([behind_a_front()])
        .collect()
}

fn first_days() -> Vec<Day> {
    let nothing = || At(usize::MAX, |_| ());
    let cancel = |world: &mut World| {
        world.store.order(domain::next::Order::Cancel {
            by: "ana".parse().unwrap(),
        })
    };
    let lose_image = |world: &mut World| {
        let image = world.plan.swaps[0].image.clone();
        world.engine.moods.remove(&image);
    };
    let approved = |world: &mut World| {
        world.store.order(domain::next::Order::Approve {
            by: "bob".parse().unwrap(),
            at: world.now,
        })
    };
    let approval = Recipe {
        approval: true,
        ..Recipe::usual()
    };
    let sick = |bad| Recipe::with_target(Mood::Sick).with_bad(bad);
    let fades = Recipe::with_target(Mood::SickAfter(3000));
    vec![
        (
            "1-rolled-back",
            "proved, recorded and green for its watch window",
            Recipe::usual(),
            nothing(),
        ),
        (
            "1-approved",
            "the same after a person's yes",
            approval,
            At(1, approved),
        ),
        (
            "1-restored",
            "the proof failed and what served before serves again",
            sick(Mood::Healthy),
            nothing(),
        ),
        (
            "1-cancelled",
            "called off in the middle of the switch",
            Recipe::usual(),
            At(60, cancel),
        ),
        (
            "1-refused",
            "the target's image went away before the start",
            Recipe::usual(),
            At(1, lose_image),
        ),
        (
            "1-needs-human",
            "the proof failed and what served before was not better",
            sick(Mood::Sick),
            nothing(),
        ),
        (
            "1-watch-failed",
            "proved, then red for too long in its watch window",
            fades,
            nothing(),
        ),
    ]
}

fn behind_a_front() -> Day {
    (
        "5-behind-a-front",
        "proved beside what served, then the balancer was pointed at it",
        Recipe::behind(Behind::Beside, Mood::Healthy),
        At(usize::MAX, |_| ()),
    )
}

fn built_days() -> Vec<Day> {
    let nothing = || At(usize::MAX, |_| ());
    vec![
        (
            "1-rebuilt",
            "the images were built again, proved, recorded and green for their watch window",
            Recipe::usual().rebuilt(Rebuilt::Other),
            nothing(),
        ),
        (
            "1-build-failed",
            "the build failed: nothing was touched",
            Recipe::usual().rebuilt(Rebuilt::Fails),
            nothing(),
        ),
    ]
}

#[expect(
    clippy::disallowed_methods,
    reason = "run by hand to add a golden file; it never changes one"
)]
#[test]
fn golden_files_are_added_when_asked_for() {
    if std::env::var("STERNWAY_GOLDEN").as_deref() != Ok("add") {
        return;
    }
    for (name, about, recipe, mut director) in days() {
        let path = folder().join(format!("{name}.json"));
        if path.exists() {
            continue;
        }
        let evening = live(&recipe.morning(), name, &mut director);
        let store = evening.world.store;
        let golden = Golden {
            about: about.to_owned(),
            plan: evening.world.plan,
            events: store
                .log
                .into_iter()
                .map(|stored| Line {
                    at: stored.at,
                    event: stored.event,
                })
                .collect(),
            state: serde_json::to_value(store.run).unwrap(),
        };
        std::fs::write(&path, serde_json::to_string_pretty(&golden).unwrap() + "\n").unwrap();
    }
}
