//! What follows from what runs: each answer is met, and no world is told twice or told wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    application::{Application, OnReturn},
    drift::{
        self, ANNOUNCED_MAX, Answer, Detected, Drift, Known, Origin, PUT_BACK_AGAIN_AFTER,
        Recorded, SETTLE, SETTLE_BEFORE_ACTING, SETTLE_MIXED, SETTLE_MIXED_HELD,
    },
    engine_look::{Container, ContainerState, EngineLook},
    hold::Hold,
    ledger::{DeploymentKind, Release},
    name::{ComponentName, ContainerId, ImageId, Version},
    reason::Reason,
    time::{Millis, Moment},
};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

const NOW: i64 = 1_800_000_000_000;

fn hex(number: u32) -> String {
    format!("{number:012x}{:052x}", 0)
}

fn image(number: u32) -> ImageId {
    format!("sha256:{}", hex(number)).parse().unwrap()
}

fn name(text: &str) -> ComponentName {
    text.parse().unwrap()
}

fn at(ms: i64) -> Moment {
    Moment::from_unix_ms(NOW + ms)
}

/// A shop with an API, a worker and a cache that has versions of its own.
#[derive(Clone, Debug)]
struct World {
    application: Application,
    containers: Vec<Container>,
    origins: BTreeMap<ContainerId, Origin>,
    ledger: Vec<(Recorded, bool)>,
    holds: Vec<Hold>,
    acting: bool,
    locked: bool,
    stable: Millis,
    count: u32,
}

impl World {
    fn new() -> Self {
        let application = serde_json::from_value(json!({
            "name": "shop", "environment": "production", "project": "shop",
            "components": [{"name": "api"}, {"name": "worker"}, {"name": "cache"}],
        }));
        Self {
            application: application.unwrap(),
            containers: Vec::new(),
            origins: BTreeMap::new(),
            ledger: Vec::new(),
            holds: Vec::new(),
            acting: false,
            locked: false,
            stable: SETTLE,
            count: 0,
        }
    }

    /// A world in which 1.4.2 runs, and is known, seen and proved.
    fn of_142() -> Self {
        let mut world = Self::new();
        world.up(&[
            ("api", 0xa1, "shop-api:1.4.2"),
            ("worker", 0xb1, "shop-worker:1.4.2"),
            ("cache", 0xc1, "redis:7.2"),
        ]);
        world.record("1.4.2", DeploymentKind::Deploy, [0xa1, 0xb1, 0xc1], true);
        world
    }

    fn up(&mut self, parts: &[(&str, u32, &str)]) {
        for (component, from, reference) in parts {
            self.containers
                .retain(|container| container.component.as_str() != *component);
            self.start(component, *from, reference);
        }
    }

    fn start(&mut self, component: &str, from: u32, reference: &str) {
        self.count += 1;
        let container: Container = serde_json::from_value(json!({
            "id": hex(self.count), "name": format!("shop-{component}-{}", self.count), "component": component,
            "replica": 1, "image": image(from), "state": "running", "health": "none", "started_at": null,
            "restarts": 0, "exit_code": 0, "restart": {"name": "no", "retries_max": 0}, "address": null,
            "auto_remove": false, "stop_grace_s": 10, "mark": null, "specification": null,
        }))
        .unwrap();
        let origin = Origin {
            reference: Some(reference.to_owned()),
            ..Origin::default()
        };
        self.origins.insert(container.id.clone(), origin);
        self.containers.push(container);
    }

    fn origin(&mut self, component: &str) -> &mut Origin {
        let container = self
            .containers
            .iter()
            .find(|container| container.component.as_str() == component);
        self.origins.get_mut(&container.unwrap().id).unwrap()
    }

    fn state(&mut self, component: &str, state: ContainerState) {
        let container = self
            .containers
            .iter_mut()
            .find(|container| container.component.as_str() == component);
        container.unwrap().state = state;
    }

    fn images(&self, images: [u32; 3]) -> BTreeMap<ComponentName, ImageId> {
        let names = self.application.components.iter();
        names
            .map(|component| component.name.clone())
            .zip(images.map(image))
            .collect()
    }

    fn record(&mut self, version: &str, kind: DeploymentKind, images: [u32; 3], seen: bool) {
        let images = self.images(images);
        self.write(version.parse().unwrap(), kind, Some(images), seen);
    }

    fn write(
        &mut self,
        version: Version,
        kind: DeploymentKind,
        images: Option<BTreeMap<ComponentName, ImageId>>,
        seen: bool,
    ) {
        let number = i64::try_from(self.ledger.len()).unwrap();
        let recorded = Recorded {
            id: Uuid::from_u128(u128::try_from(number + 1).unwrap()),
            version,
            kind,
            deployed_at: at(number * 10 - 1_000_000),
            images,
            seen,
            returned: false,
        };
        self.ledger.push((recorded, seen));
    }

    /// Holds a version from now on, with whatever images it had.
    fn hold(&mut self, version: &str) {
        let version: Version = version.parse().unwrap();
        let mut images: BTreeMap<ComponentName, BTreeSet<ImageId>> = BTreeMap::new();
        for (row, _) in self.ledger.iter().filter(|(row, _)| row.version == version) {
            for (component, image) in row.images.iter().flatten() {
                images
                    .entry(component.clone())
                    .or_default()
                    .insert(image.clone());
            }
        }
        let newest = self.ledger.last().unwrap().0.deployed_at;
        self.holds.push(Hold {
            version,
            reason: "rolled back: critical_bug".to_owned(),
            cause: Reason::CriticalBug,
            held_at: newest.after(Millis(1)),
            images,
        });
    }

    /// Its releases as the store gives them: the newest deployment of each version.
    fn releases(&self) -> Vec<Release> {
        let mut releases: BTreeMap<Version, Release> = BTreeMap::new();
        for (row, good) in &self.ledger {
            let Some(images) = &row.images else { continue };
            let hold = self
                .holds
                .iter()
                .find(|hold| hold.version == row.version)
                .map(|hold| hold.reason.clone());
            let components: serde_json::Map<_, _> = images
                .iter()
                .map(|(name, image)| {
                    let reference = format!("shop-{name}:{}", row.version);
                    let part =
                        json!({"image": image, "reference": reference, "specification": null});
                    (name.to_string(), part)
                })
                .collect();
            let good_at = good.then(|| row.deployed_at.after(Millis(5)));
            let release: Release = serde_json::from_value(json!({
                "deployment": row.id, "version": row.version, "deployed_at": row.deployed_at, "good_at": good_at,
                "hold": hold, "insecure": null, "components": components,
            }))
            .unwrap();
            releases.insert(row.version.clone(), release);
        }
        releases.into_values().collect()
    }

    fn with<T>(&self, ask: impl FnOnce(&Known<'_>) -> T) -> T {
        let lock = self.locked.then(|| {
            json!({"container": hex(9), "rollback": Uuid::nil(), "owner": "another", "stale": false})
        });
        let look: EngineLook = serde_json::from_value(json!({
            "at": at(0), "containers": [], "images": {}, "names": {}, "kept": {}, "lock": lock,
            "engine": {"name": "e", "version": "20.10", "api_version": "1.41", "disk_free": {"unknown": "x"}},
        }))
        .unwrap();
        let look = EngineLook {
            containers: self.containers.clone(),
            ..look
        };
        let releases = self.releases();
        ask(&Known {
            application: &self.application,
            look: &look,
            origins: &self.origins,
            releases: &releases,
            holds: &self.holds,
            newest: self.ledger.last().map(|(row, _)| row),
            seen: self
                .ledger
                .iter()
                .rev()
                .map(|(row, _)| row)
                .find(|row| row.seen),
            acting: self.acting,
            stable: self.stable,
        })
    }

    fn decide(&self) -> Drift {
        self.with(drift::decide)
    }

    #[track_caller]
    fn detected(&self) -> Detected {
        let decided = self.decide();
        let Drift::Detected(found) = decided else {
            panic!("{decided:?}")
        };
        found
    }

    /// Does what was decided, as the worker does.
    fn obey(&mut self, decided: &Drift) {
        match decided {
            Drift::Nothing | Drift::Settling { .. } => {}
            Drift::Seen { deployment } => {
                let (row, _) = self
                    .ledger
                    .iter_mut()
                    .find(|(row, _)| row.id == *deployment)
                    .unwrap();
                row.seen = true;
            }
            Drift::Detected(found) => {
                let images = found
                    .components
                    .iter()
                    .map(|(name, (image, _))| (name.clone(), image.clone()))
                    .collect();
                let kind = DeploymentKind::Detected;
                self.write(found.version.clone(), kind, Some(images), true);
                // It was never proved.
                self.ledger.last_mut().unwrap().1 = false;
            }
            Drift::HeldReturned { deployment, .. } => {
                let (row, _) = self
                    .ledger
                    .iter_mut()
                    .find(|(row, _)| row.id == *deployment)
                    .unwrap();
                row.returned = true;
            }
        }
    }
}

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

#[derive(Clone, Debug)]
enum Move {
    Up([u32; 3]),
    Half(usize, u32),
    Report([u32; 3], u32),
    Hold(usize),
    Release,
    Wait(u64),
    Rollback(bool),
    Stop(usize),
}

fn moves() -> impl Strategy<Value = Move> {
    let images = || [0..4_u32, 0..4_u32, 0..2_u32];
    prop_oneof![
        images().prop_map(Move::Up),
        (0..2_usize, 0..4_u32).prop_map(|(part, from)| Move::Half(part, from)),
        (images(), 0..4_u32).prop_map(|(images, version)| Move::Report(images, version)),
        (0..8_usize).prop_map(Move::Hold),
        Just(Move::Release),
        prop_oneof![Just(0), Just(SETTLE.0), Just(SETTLE_MIXED.0)].prop_map(Move::Wait),
        any::<bool>().prop_map(Move::Rollback),
        (0..3_usize).prop_map(Move::Stop),
    ]
}

fn of(images: [u32; 3]) -> [u32; 3] {
    [0xa0 + images[0], 0xb0 + images[1], 0xc0 + images[2]]
}

impl World {
    fn make(&mut self, change: &Move) {
        let names = ["api", "worker", "cache"];
        match change {
            Move::Up(images) => {
                for (component, from) in names.into_iter().zip(of(*images)) {
                    self.up(&[(
                        component,
                        from,
                        &format!("shop-{component}:1.{}.0", from % 16),
                    )]);
                }
                self.stable = Millis(0);
            }
            Move::Half(part, from) => {
                let from = of([*from; 3])[*part];
                self.up(&[(names[*part], from, "shop:latest")]);
                self.stable = Millis(0);
            }
            Move::Report(images, version) => {
                let version = format!("1.{version}.0");
                self.record(&version, DeploymentKind::Deploy, of(*images), false);
            }
            Move::Hold(row) => {
                if let Some((row, _)) = self.ledger.get(*row) {
                    let version = row.version.to_string();
                    self.hold(&version);
                }
            }
            Move::Release => self.holds.clear(),
            Move::Wait(ms) => self.stable = self.stable.and(Millis(*ms)),
            Move::Rollback(acting) => self.acting = *acting,
            Move::Stop(part) => {
                if self
                    .containers
                    .iter()
                    .any(|one| one.component == name(names[*part]))
                {
                    self.state(names[*part], ContainerState::Exited);
                }
            }
        }
    }

    fn running(&self) -> BTreeSet<(ComponentName, ImageId)> {
        self.containers
            .iter()
            .map(|one| (one.component.clone(), one.image.clone()))
            .collect()
    }

    /// What must be true of any decision, in any world.
    fn check(&self, decided: &Drift) {
        let newest = self.ledger.last().map(|(row, _)| row);
        match decided {
            Drift::Nothing => {}
            Drift::Settling { left } => assert!(left.0 > 0 && left.0 <= SETTLE_MIXED.0),
            Drift::Seen { deployment } => {
                assert!(newest.is_some_and(|row| row.id == *deployment && !row.seen));
            }
            Drift::Detected(found) => {
                assert!(!self.acting && self.stable >= SETTLE);
                let runs: BTreeSet<_> = found
                    .components
                    .iter()
                    .map(|(name, (image, _))| (name.clone(), image.clone()))
                    .collect();
                assert_eq!(runs, self.running(), "what is written is what runs");
                let images = runs.into_iter().collect();
                assert!(newest.is_none_or(|row| row.images.as_ref() != Some(&images)));
                for release in self.releases() {
                    let same = release
                        .components
                        .iter()
                        .all(|(name, part)| images.get(name) == Some(&part.image));
                    assert!(
                        release.version != found.version || same,
                        "{} would be lost as a way back",
                        release.version
                    );
                }
            }
            Drift::HeldReturned {
                deployment,
                version,
                ..
            } => {
                let row = newest.expect("something was deployed");
                assert!(row.id == *deployment && !row.returned && !self.acting);
                assert_ne!(row.kind, DeploymentKind::Rollback);
                assert!(
                    self.holds
                        .iter()
                        .any(|hold| hold.version == *version && hold.held_at < row.deployed_at)
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_world_is_told_twice_or_told_wrong(changes in proptest::collection::vec(moves(), 1..24)) {
        let mut world = World::of_142();
        for change in &changes {
            world.make(change);
            // The worker decides up to four times on one look, and then it is quiet.
            for _ in 0..4 {
                let decided = world.decide();
                world.check(&decided);
                world.obey(&decided);
            }
            let last = world.decide();
            prop_assert!(matches!(last, Drift::Nothing | Drift::Settling { .. }), "{last:?}");
            // Whatever was not reported is in the ledger once it has settled.
            let mut settled = world.clone();
            settled.stable = SETTLE_MIXED;
            let quiet = !settled.acting && settled.ledger.last().is_some_and(|(row, _)| row.seen);
            if quiet && settled.running().len() == 3 {
                for _ in 0..4 {
                    let decided = settled.decide();
                    settled.obey(&decided);
                }
                let newest = settled.ledger.last().unwrap().0.images.clone().unwrap();
                prop_assert_eq!(newest.into_iter().collect::<BTreeSet<_>>(), settled.running());
            }
        }
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
