//! The watch window of a rollback: what flaps does not get through, and what was deployed meanwhile ends it.

use domain::{
    lifecycle::{Event, Phase, Run},
    name::{Fence, ImageId},
    next::{self, Claim, Then, Turn},
    steps::{Reported, World as Seen},
    time::{Millis, Moment},
    verdict::Verdict,
};

use crate::{
    day::{Blow, Director, live},
    shop::Recipe,
    world::World,
};

pub(crate) struct Sample;

impl Director for Sample {
    fn at_move(&mut self, _: usize, world: &mut World) -> Blow {
        world.sample.get_or_insert_with(Vec::new);
        Blow::None
    }
}

/// A run in its watch window, how green looks, and how long a window is.
struct Watch {
    world: World,
    run: Run,
    green: Seen,
    window: Millis,
}

impl Watch {
    fn begun() -> Self {
        let evening = live(&Recipe::usual().morning(), "watch", &mut Sample);
        let sample = evening.world.sample.clone().unwrap();
        let (run, green) = sample
            .into_iter()
            .find(|(run, _)| matches!(run.phase, Phase::Watching { .. }))
            .unwrap();
        let window = Millis::from_secs(evening.world.plan.application.watch_window_s);
        Self {
            world: evening.world,
            run,
            green,
            window,
        }
    }

    fn until(&self) -> Moment {
        match self.run.phase {
            Phase::Watching { until } => until,
            ref other => panic!("{}", other.word()),
        }
    }

    fn turn(&self, seen: &Seen, now: Moment) -> Turn {
        let claim = Claim {
            rollback: self.world.rollback,
            fence: Fence(i64::MAX),
            crashes: 0,
        };
        next::turn(&self.world.plan, &self.run, claim, &[], seen, now)
    }

    /// Takes a turn and evolves by it.
    fn see(&mut self, seen: &Seen, now: Moment) -> Turn {
        let turn = self.turn(seen, now);
        for event in &turn.events {
            self.run = self
                .run
                .clone()
                .evolve(&self.world.plan, event, now)
                .unwrap();
        }
        turn
    }

    fn red(&self) -> Seen {
        let mut red = self.green.clone();
        for answer in &mut red.answers {
            answer.green = false;
        }
        red
    }

    /// What our containers look like once somebody put others, of this image, in their place.
    fn replaced_by(&self, seen: &Seen, image: &ImageId) -> Seen {
        let mut seen = seen.clone();
        let look = seen.engine.as_mut().unwrap();
        for (number, container) in look.containers.iter_mut().enumerate() {
            if container.mark.take().is_some() {
                container.id = format!("{:064x}", 0xabc0 + number).parse().unwrap();
                container.image = image.clone();
            }
        }
        seen
    }
}

fn image(number: u8) -> ImageId {
    format!("sha256:{number:064x}").parse().unwrap()
}

fn verdict(turn: &Turn) -> Option<&Verdict> {
    turn.events.iter().find_map(|event| match event {
        Event::Ended { verdict } => Some(verdict),
        _ => None,
    })
}

#[test]
fn each_red_starts_the_window_anew() {
    let mut watch = Watch::begun();
    let (green, red, first) = (watch.green.clone(), watch.red(), watch.until());
    let middle = watch.run.since.after(Millis(watch.window.0 / 2));
    watch.see(&red, middle);
    watch.see(&green, middle.after(Millis(1000)));
    assert_eq!(watch.until(), middle.after(Millis(1000 + watch.window.0)));
    let rest = watch.turn(&green, first);
    assert_eq!(rest.then, Then::Rest(watch.until()), "{rest:?}");
    let end = watch.turn(&green, watch.until());
    assert!(
        matches!(verdict(&end), Some(Verdict::RolledBack { good: true, .. })),
        "{end:?}"
    );
}

#[test]
fn what_flaps_for_ever_is_not_watched_for_ever() {
    let mut watch = Watch::begun();
    let (green, red) = (watch.green.clone(), watch.red());
    let mut now = watch.run.since;
    for _ in 0..20 {
        now = now.after(Millis(watch.window.0 / 2));
        let turn = watch.see(&red, now);
        if let Some(Verdict::NeedsHuman { cause, .. }) = verdict(&turn) {
            assert!(
                cause.sentence.contains("one whole watch window"),
                "{cause:?}"
            );
            assert!(now.since(watch.run.proved_at.unwrap()) <= Millis(watch.window.0 * 5));
            return;
        }
        now = now.after(Millis(1000));
        watch.see(&green, now);
    }
    panic!("it is still watched");
}

#[test]
fn a_red_is_not_forgiven_because_the_engine_went_away_meanwhile() {
    let mut watch = Watch::begun();
    let (green, red) = (watch.green.clone(), watch.red());
    let away = Seen {
        engine: Err("away".to_owned()),
        ..green.clone()
    };
    let now = watch.run.since.after(Millis(watch.window.0 / 2));
    watch.see(&red, now);
    watch.see(&away, now.after(Millis(1000)));
    watch.see(&green, now.after(Millis(2000)));
    watch.see(&green, now.after(Millis(3000)));
    assert_eq!(watch.until(), now.after(Millis(3000 + watch.window.0)));
}

#[test]
fn a_deployment_that_took_the_place_ends_the_watch_and_a_report_alone_does_not() {
    let watch = Watch::begun();
    let now = watch.run.since.after(Millis(1000));
    let report = |version: &str, image: &ImageId| Reported {
        version: version.parse().unwrap(),
        images: [image.clone()].into(),
    };
    let (new, old) = (image(0x16), image(0x15));
    let reported = Seen {
        deployed: Some(report("1.6.0", &new)),
        ..watch.green.clone()
    };
    assert!(watch.turn(&reported, now).events.is_empty());
    let gone = watch.replaced_by(&reported, &new);
    let ended = watch.turn(&gone, now);
    let Some(Verdict::RolledBack { good: false, notes }) = verdict(&ended) else {
        panic!("{ended:?}")
    };
    assert!(notes.iter().any(|note| note.contains("1.6.0")), "{notes:?}");
    // Without a deployment in the ledger, or with one of other images, it is a red like any other.
    for deployed in [None, Some(report("1.5.9", &old))] {
        let unsaid = Seen {
            deployed,
            ..gone.clone()
        };
        let red = watch.turn(&unsaid, now);
        assert!(
            matches!(red.events[..], [Event::WatchRed { .. }]),
            "{red:?}"
        );
    }
    // A target that fails by itself is not excused by a report.
    let sick = Seen {
        deployed: reported.deployed,
        ..watch.red()
    };
    let red = watch.turn(&sick, now);
    assert!(
        matches!(red.events[..], [Event::WatchRed { .. }]),
        "{red:?}"
    );
}

#[test]
fn what_took_the_place_without_a_report_calls_a_person_only_when_it_is_the_bad_release() {
    let mut watch = Watch::begun();
    let now = watch.run.since.after(Millis(1000));
    let limit = Millis::from_secs(watch.world.plan.application.timeouts.red_s);
    let bad = watch.world.plan.swaps[0].former_image.clone();
    let (other, bad) = (
        watch.replaced_by(&watch.green, &image(0x16)),
        watch.replaced_by(&watch.green, &bad),
    );
    watch.see(&other, now);
    let ended = watch.turn(&other, now.after(limit));
    let Some(Verdict::RolledBack { good: false, notes }) = verdict(&ended) else {
        panic!("{ended:?}")
    };
    assert!(
        notes.iter().any(|note| note.contains("was reported")),
        "{notes:?}"
    );
    let ended = watch.turn(&bad, now.after(limit));
    assert!(
        matches!(verdict(&ended), Some(Verdict::NeedsHuman { .. })),
        "{ended:?}"
    );
}
