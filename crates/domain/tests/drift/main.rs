//! What follows from what runs: each answer is met, and no world is told twice or told wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod random;
mod world;

use domain::{
    application::OnReturn,
    drift::{
        self, ANNOUNCED_MAX, Answer, Drift, PUT_BACK_AGAIN_AFTER, SETTLE, SETTLE_BEFORE_ACTING,
        SETTLE_MIXED, SETTLE_MIXED_HELD,
    },
    engine_look::ContainerState,
    ledger::DeploymentKind,
    time::{Millis, Moment},
};

use crate::world::{World, at, image, name};

fn is_settling(decided: &Drift) -> bool {
    matches!(decided, Drift::Settling { .. })
}

#[test]
fn what_the_ledger_says_is_nothing_new() {
    let mut world = World::of_142();
    assert_eq!(world.decide(), Drift::Nothing);
    // The same images in new containers, and an application that was stopped, are no deployment either.
    world.up(&[("api", 0xa1, "shop-api:1.4.2")]);
    world.state("worker", ContainerState::Exited);
    assert_eq!(world.decide(), Drift::Nothing);
}

#[test]
fn a_deployment_by_other_means_is_found_once_nothing_moves_any_more() {
    let mut world = World::of_142();
    world.up(&[
        (
            "api",
            0xa2,
            "registry.example:5000/shop-api:1.5.0@sha256:00",
        ),
        ("worker", 0xb2, "shop-worker:1.5.0"),
    ]);
    world.origin("api").revision = Some("9F1C2AB00".to_owned());
    world.stable = Millis(SETTLE.0 - 1);
    assert!(is_settling(&world.decide()));
    world.stable = SETTLE;
    let found = world.detected();
    assert_eq!(
        (found.version.as_str(), found.commit.as_deref()),
        ("1.5.0", Some("9f1c2ab00"))
    );
    assert_eq!(
        found.components[&name("worker")],
        (image(0xb2), "shop-worker:1.5.0".to_owned())
    );
    assert_eq!(found.components[&name("cache")].0, image(0xc1));
}

#[test]
fn nothing_is_said_while_a_rollback_acts_here_or_elsewhere() {
    let mut world = World::of_142();
    world.up(&[
        ("api", 0xa2, "shop-api:1.5.0"),
        ("worker", 0xb2, "shop-worker:1.5.0"),
    ]);
    world.acting = true;
    assert_eq!(world.decide(), Drift::Nothing);
    world.acting = false;
    world.locked = true;
    assert_eq!(world.decide(), Drift::Nothing);
}

#[test]
fn a_half_finished_deployment_is_waited_for() {
    let mut world = World::of_142();
    world.up(&[("api", 0xa2, "shop-api:1.5.0")]);
    assert!(is_settling(&world.decide()), "the worker is still 1.4.2");
    world.stable = SETTLE_MIXED;
    let found = world.detected();
    assert!(
        found.version.name() == "1.5.0" && found.version.as_str() != "1.5.0",
        "{}: a mixture is not 1.5.0",
        found.version
    );
    assert!(
        found.notes.contains("worker was left as it was"),
        "{}",
        found.notes
    );
    world.stable = SETTLE;
    for half in [ContainerState::Created, ContainerState::Removing] {
        world.state("api", half);
        assert_eq!(world.decide(), Drift::Nothing);
    }
    world.state("api", ContainerState::Restarting);
    world.start("api", 0xa1, "shop-api:1.4.2");
    assert_eq!(
        world.decide(),
        Drift::Nothing,
        "two images of one component"
    );
    world.containers.retain(|one| one.component != name("api"));
    assert_eq!(
        world.decide(),
        Drift::Nothing,
        "no container of a component"
    );
}

#[test]
fn a_component_with_versions_of_its_own_does_not_hold_a_deployment_up() {
    let mut world = World::of_142();
    world.up(&[("cache", 0xc2, "redis:7.4")]);
    // The cache alone: what carries the version did not change, and a person may well mean that.
    assert!(is_settling(&world.decide()));
    world.stable = SETTLE_MIXED;
    assert_eq!(world.detected().version.name(), "7.4");
    world.stable = SETTLE;
    world.up(&[
        ("api", 0xa2, "shop-api:1.5.0"),
        ("worker", 0xb2, "shop-worker:1.5.0"),
    ]);
    assert_eq!(world.detected().version.as_str(), "1.5.0");
}

#[test]
fn a_crash_loop_is_a_deployment_too() {
    let mut world = World::of_142();
    world.up(&[
        ("api", 0xa2, "shop-api:1.5.0"),
        ("worker", 0xb2, "shop-worker:1.5.0"),
    ]);
    let print =
        |world: &World| world.with(|known| drift::fingerprint(known.application, known.look));
    let before = print(&world);
    world.state("api", ContainerState::Restarting);
    assert_eq!(print(&world), before, "its restarts are no movement");
    assert_eq!(world.detected().version.as_str(), "1.5.0");
}

#[test]
fn what_ci_announced_is_expected_and_then_seen() {
    let mut world = World::of_142();
    world.write(
        "1.5.0".parse().unwrap(),
        DeploymentKind::Deploy,
        None,
        false,
    );
    assert!(
        is_settling(&world.decide()),
        "its images are being looked up"
    );
    world.ledger.pop();
    world.record("1.5.0", DeploymentKind::Deploy, [0xa2, 0xb2, 0xc1], false);
    world.stable = SETTLE_MIXED;
    assert_eq!(world.decide(), Drift::Nothing, "1.4.2 still runs");
    world.stable = SETTLE;
    world.up(&[("api", 0xa2, "shop-api:1.5.0")]);
    assert!(is_settling(&world.decide()), "half of it is there");
    world.up(&[("worker", 0xb2, "shop-worker:1.5.0")]);
    let newest = world.ledger[1].0.id;
    assert_eq!(world.decide(), Drift::Seen { deployment: newest });
    world.obey(&Drift::Seen { deployment: newest });
    assert_eq!(world.decide(), Drift::Nothing);
    // Back to 1.4.2 by hand is a deployment, and the ledger knows its name.
    world.up(&[
        ("api", 0xa1, "sha256:00"),
        ("worker", 0xb1, "shop-worker:whatever"),
    ]);
    assert_eq!(world.detected().version.as_str(), "1.4.2");
}

#[test]
fn without_any_deployment_what_runs_is_the_first_one() {
    let mut world = World::of_142();
    world.ledger.clear();
    assert_eq!(world.detected().version.as_str(), "1.4.2");
    // Announced a moment ago, on an application that nobody has looked at before: it may be about to come.
    world.record("1.5.0", DeploymentKind::Deploy, [0xa2, 0xb2, 0xc1], false);
    world.ledger[0].0.deployed_at = at(-1000);
    assert_eq!(world.decide(), Drift::Nothing);
    let long_ago = i64::try_from(ANNOUNCED_MAX.0).unwrap();
    world.ledger[0].0.deployed_at = at(-long_ago);
    assert_eq!(world.detected().version.as_str(), "1.4.2");
}

/// The version that a world names when all of it changes to images with this label and tag.
fn called(world: &World, label: Option<&str>, reference: &str) -> String {
    let mut world = world.clone();
    world.up(&[("api", 0xa9, reference), ("worker", 0xb9, reference)]);
    for component in ["api", "worker"] {
        world.origin(component).version = label.map(str::to_owned);
    }
    world.detected().version.to_string()
}

#[test]
fn a_version_is_the_label_else_the_tag_and_never_the_name_of_other_images() {
    let mut world = World::of_142();
    assert_eq!(called(&world, Some("1.5.0"), "shop:nightly-7"), "1.5.0");
    assert_eq!(called(&world, Some("not a version"), "shop:1.5.0"), "1.5.0");
    assert_eq!(called(&world, None, "registry:5000/shop:1.5.0"), "1.5.0");
    for (label, reference, begins) in [
        (None, "shop:1.4.2", "1.4.2+image."),
        (None, "shop:latest", "latest+image."),
        (None, "registry:5000/shop", "unnamed+image."),
        (None, "sha256:0123", "unnamed+image."),
        (Some("1.4.2"), "shop:1.4.2", "1.4.2+image."),
    ] {
        let version = called(&world, label, reference);
        assert!(version.starts_with(begins), "{version}");
        assert_eq!(version.len(), begins.len() + 12, "{version}");
    }
    // `FROM ubuntu:22.04` says 22.04 in every release: once that is known, the tag tells.
    world.record("22.04", DeploymentKind::Deploy, [0xa5, 0xb5, 0xc1], true);
    assert_eq!(called(&world, Some("22.04"), "shop:1.6.0"), "1.6.0");
}

#[test]
fn the_commit_of_an_inherited_label_is_not_taken() {
    let mut world = World::of_142();
    world.record("22.04", DeploymentKind::Deploy, [0xa5, 0xb5, 0xc1], true);
    world.up(&[("api", 0xa9, "shop:1.6.0"), ("worker", 0xb9, "shop:1.6.0")]);
    let origin = world.origin("api");
    origin.version = Some("22.04".to_owned());
    origin.revision = Some("0123456".to_owned());
    assert_eq!(world.detected().commit, None);
    for bad in ["main", "0123", "", &"a".repeat(65)] {
        let origin = world.origin("api");
        origin.version = None;
        origin.revision = Some(bad.to_owned());
        assert_eq!(world.detected().commit, None, "{bad}");
    }
}

/// 1.5.0 was rolled back and is held; then its images run again, whoever says so.
fn returned(kind: Option<DeploymentKind>) -> World {
    let mut world = World::of_142();
    world.record("1.5.0", DeploymentKind::Deploy, [0xa2, 0xb2, 0xc1], true);
    world.ledger.last_mut().unwrap().1 = false;
    world.hold("1.5.0");
    world.record("1.4.2", DeploymentKind::Rollback, [0xa1, 0xb1, 0xc1], true);
    world.up(&[
        ("api", 0xa2, "shop-api:1.5.0"),
        ("worker", 0xb2, "shop-worker:1.5.0"),
    ]);
    if let Some(kind) = kind {
        world.record("1.5.0", kind, [0xa2, 0xb2, 0xc1], true);
    }
    world
}

#[test]
fn a_held_release_that_comes_back_is_detected_and_then_told_once() {
    let mut world = returned(None);
    let first = world.decide();
    assert!(matches!(&first, Drift::Detected(found) if found.version.as_str() == "1.5.0"));
    world.obey(&first);
    let second = world.decide();
    assert!(
        matches!(&second, Drift::HeldReturned { version, .. } if version.as_str() == "1.5.0"),
        "{second:?}"
    );
    world.obey(&second);
    assert_eq!(world.decide(), Drift::Nothing);
}

#[test]
fn ci_that_deploys_a_held_release_brings_it_back_and_a_rollback_does_not() {
    let by = |kind| returned(Some(kind)).decide();
    assert!(matches!(
        by(DeploymentKind::Deploy),
        Drift::HeldReturned { .. }
    ));
    assert_eq!(by(DeploymentKind::Rollback), Drift::Nothing);
    let mut released = returned(Some(DeploymentKind::Deploy));
    released.holds.clear();
    assert_eq!(released.decide(), Drift::Nothing);
    // Held while it runs: that is no return.
    let mut held_now = returned(Some(DeploymentKind::Deploy));
    held_now.holds[0].held_at = at(0);
    assert_eq!(held_now.decide(), Drift::Nothing);
}

#[test]
fn a_held_image_under_another_name_and_in_a_mixture_is_recognised() {
    let mut world = returned(None);
    world.record("1.5.1", DeploymentKind::Deploy, [0xa2, 0xb2, 0xc1], true);
    world.ledger.last_mut().unwrap().1 = false;
    let told = world.decide();
    assert!(
        matches!(&told, Drift::HeldReturned { version, .. } if version.as_str() == "1.5.0"),
        "{told:?}"
    );

    let mut mixed = returned(None);
    mixed.up(&[("worker", 0xb1, "shop-worker:1.4.2")]);
    assert!(is_settling(&mixed.decide()));
    mixed.stable = SETTLE_MIXED_HELD;
    let found = mixed.decide();
    assert!(matches!(found, Drift::Detected(_)), "{found:?}");
    mixed.obey(&found);
    assert!(matches!(mixed.decide(), Drift::HeldReturned { .. }));
    assert!(
        !mixed.with(drift::may_put_back),
        "somebody is in the middle of something"
    );
    mixed.stable = SETTLE_BEFORE_ACTING;
    assert!(mixed.with(drift::may_put_back));
}

#[test]
fn a_return_is_put_back_once_and_then_a_person_is_asked() {
    use OnReturn::{PutBack, Report};
    let soon = Some(Millis(PUT_BACK_AGAIN_AFTER.0 - 1));
    let cases = [
        (Report, None, Answer::Report),
        (Report, soon, Answer::Report),
        (PutBack, None, Answer::PutBack),
        (PutBack, soon, Answer::AskPerson),
        (PutBack, Some(PUT_BACK_AGAIN_AFTER), Answer::PutBack),
    ];
    for (policy, ago, expected) in cases {
        assert_eq!(drift::answer_to_return(policy, ago), expected);
    }
}

#[test]
fn a_return_waits_for_half_an_hour_to_be_put_back() {
    let seen = Moment::from_unix_ms(1_000_000);
    let late = |ms: u64| drift::is_put_back_late(seen, seen.after(Millis(ms)));
    assert!(!late(0) && !late(30 * 60_000 - 1));
    assert!(late(30 * 60_000) && late(u64::from(u32::MAX)));
    assert!(!drift::is_put_back_late(seen, seen.before(Millis(5))));
}
