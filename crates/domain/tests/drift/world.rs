//! A world in which things are deployed: what runs, what the ledger says, and what the worker does about it.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    application::Application,
    drift::{self, Detected, Drift, Known, Origin, Recorded, SETTLE},
    engine_look::{Container, ContainerState, EngineLook},
    hold::Hold,
    ledger::{DeploymentKind, Release},
    name::{ComponentName, ContainerId, ImageId, Version},
    reason::Reason,
    time::{Millis, Moment},
};
use serde_json::json;
use uuid::Uuid;

const NOW: i64 = 1_800_000_000_000;

fn hex(number: u32) -> String {
    format!("{number:012x}{:052x}", 0)
}

pub(super) fn image(number: u32) -> ImageId {
    format!("sha256:{}", hex(number)).parse().unwrap()
}

pub(super) fn name(text: &str) -> ComponentName {
    text.parse().unwrap()
}

pub(super) fn at(ms: i64) -> Moment {
    Moment::from_unix_ms(NOW + ms)
}

/// A shop with an API, a worker and a cache that has versions of its own.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) application: Application,
    pub(super) containers: Vec<Container>,
    pub(super) origins: BTreeMap<ContainerId, Origin>,
    pub(super) ledger: Vec<(Recorded, bool)>,
    pub(super) holds: Vec<Hold>,
    pub(super) acting: bool,
    pub(super) locked: bool,
    pub(super) stable: Millis,
    pub(super) count: u32,
}

impl World {
    pub(super) fn new() -> Self {
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
    pub(super) fn of_142() -> Self {
        let mut world = Self::new();
        world.up(&[
            ("api", 0xa1, "shop-api:1.4.2"),
            ("worker", 0xb1, "shop-worker:1.4.2"),
            ("cache", 0xc1, "redis:7.2"),
        ]);
        world.record("1.4.2", DeploymentKind::Deploy, [0xa1, 0xb1, 0xc1], true);
        world
    }

    pub(super) fn up(&mut self, parts: &[(&str, u32, &str)]) {
        for (component, from, reference) in parts {
            self.containers
                .retain(|container| container.component.as_str() != *component);
            self.start(component, *from, reference);
        }
    }

    pub(super) fn start(&mut self, component: &str, from: u32, reference: &str) {
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

    pub(super) fn origin(&mut self, component: &str) -> &mut Origin {
        let container = self
            .containers
            .iter()
            .find(|container| container.component.as_str() == component);
        self.origins.get_mut(&container.unwrap().id).unwrap()
    }

    pub(super) fn state(&mut self, component: &str, state: ContainerState) {
        let container = self
            .containers
            .iter_mut()
            .find(|container| container.component.as_str() == component);
        container.unwrap().state = state;
    }

    pub(super) fn images(&self, images: [u32; 3]) -> BTreeMap<ComponentName, ImageId> {
        let names = self.application.components.iter();
        names
            .map(|component| component.name.clone())
            .zip(images.map(image))
            .collect()
    }

    pub(super) fn record(
        &mut self,
        version: &str,
        kind: DeploymentKind,
        images: [u32; 3],
        seen: bool,
    ) {
        let images = self.images(images);
        self.write(version.parse().unwrap(), kind, Some(images), seen);
    }

    pub(super) fn write(
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
    pub(super) fn hold(&mut self, version: &str) {
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
    pub(super) fn releases(&self) -> Vec<Release> {
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

    pub(super) fn with<T>(&self, ask: impl FnOnce(&Known<'_>) -> T) -> T {
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

    pub(super) fn decide(&self) -> Drift {
        self.with(drift::decide)
    }

    #[track_caller]
    pub(super) fn detected(&self) -> Detected {
        let decided = self.decide();
        let Drift::Detected(found) = decided else {
            panic!("{decided:?}")
        };
        found
    }

    /// Does what was decided, as the worker does.
    pub(super) fn obey(&mut self, decided: &Drift) {
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
