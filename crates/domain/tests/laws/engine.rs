//! An engine in memory: containers with unique names, restart policies, ports, and applications with moods.
//! It knows nothing of rollbacks beyond the marks that it is told to put on containers.

mod acts;
mod file;

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    effect::Failure,
    engine_look::{
        Attached, Container, ContainerState, EngineFacts, EngineLook, Health, ImageFacts, Lock,
        RestartPolicy, TakenPort, holdings::Holdings,
    },
    name::{ComponentName, ContainerId, Fence, ImageId, RollbackId},
    seen::Seen,
    supply::{Archive, ImageSource, SourceSeen},
    time::{Millis, Moment},
};

use crate::front::{Fronts, address};

pub(crate) use file::File;

/// How the process in a container behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Serves at once.
    Healthy,
    /// Serves after that long.
    Slow(u64),
    /// Runs and never serves.
    Sick,
    /// Serves for that long after its start, then never again.
    SickAfter(u64),
    /// Serves and says another version.
    Liar,
    /// Ends by itself after that long, each time.
    Crashes(u64),
    /// The engine can not start it.
    Unstartable,
}

impl Mood {
    /// Whether its probes are green when it has run for `ran`.
    pub(crate) fn serves(self, ran: Millis) -> bool {
        match self {
            Self::Healthy | Self::Liar | Self::Crashes(_) => true,
            Self::Slow(ms) => ran.0 >= ms,
            Self::SickAfter(ms) => ran.0 < ms,
            Self::Sick | Self::Unstartable => false,
        }
    }
}

/// What a build gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Built {
    pub(crate) image: ImageId,
    pub(crate) mood: Mood,
    pub(crate) version: String,
}

/// What the engine knows of a container, and what only the world knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Box_ {
    pub(crate) seen: Container,
    /// Its replica's port is published on the host: only one container can have it.
    pub(crate) port: bool,
    /// The networks that its network mode stands for; none for a container of which only its state matters.
    pub(crate) home: Vec<Attached>,
    /// When the engine starts it again by itself.
    again_at: Option<Moment>,
}

/// Who acts: what the engine stamps on what is created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By {
    pub(crate) rollback: RollbackId,
    pub(crate) fence: Fence,
}

#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) boxes: BTreeMap<ContainerId, Box_>,
    pub(crate) moods: BTreeMap<ImageId, Mood>,
    pub(crate) versions: BTreeMap<ImageId, String>,
    /// Images that it does not have and that can be brought, with the mood of what runs them.
    pub(crate) elsewhere: BTreeMap<ImageId, Mood>,
    pub(crate) kept: BTreeMap<ImageId, ContainerId>,
    pub(crate) lock: Option<(ContainerId, RollbackId)>,
    /// The fences written beside the lock, and the lock's own under its identity.
    pub(crate) fences: BTreeMap<ContainerId, Fence>,
    /// Names of containers that are nobody's we know.
    pub(crate) foreign: BTreeMap<String, ContainerId>,
    pub(crate) health_checks: BTreeSet<ComponentName>,
    pub(crate) stale_locks: BTreeSet<RollbackId>,
    pub(crate) fronts: Fronts,
    pub(crate) disk_free: u64,
    /// The file that the version is pinned in, when there is one.
    pub(crate) file: Option<File>,
    /// The list that has to name it, when it has to.
    pub(crate) list: Option<File>,
    /// Ports of the host that somebody else's containers hold.
    pub(crate) taken: Vec<TakenPort>,
    /// Paths of the host.
    pub(crate) paths: BTreeMap<String, Seen<()>>,
    /// Its networks and volumes, where a test says so.
    pub(crate) has: Option<Holdings>,
    /// Containers that it can not remove, whatever the reason: a busy mount, say.
    pub(crate) stubborn: BTreeSet<ContainerId>,
    /// What building a component gives; none for a build that fails.
    pub(crate) builds: BTreeMap<ComponentName, Option<Built>>,
    /// Components of which something of a build is there.
    pub(crate) begun: BTreeSet<ComponentName>,
    /// It does not answer until then.
    pub(crate) away_until: Option<Moment>,
    /// The stage: its name and whose it is.
    pub(crate) stage: Option<(String, RollbackId)>,
    made: u64,
}

pub(crate) fn container_id(number: u64) -> ContainerId {
    format!("{number:012x}{:052x}", 0).parse().unwrap()
}

pub(crate) fn policy(name: &str) -> RestartPolicy {
    RestartPolicy {
        name: name.to_owned(),
        retries_max: 0,
    }
}

fn refused<T>(failure: Failure, said: &str) -> Result<T, (Failure, String)> {
    Err((failure, said.to_owned()))
}

impl Box_ {
    /// Whether it has the host's port: it is up and on the network that gives it its gateway.
    pub(crate) fn holds_port(&self) -> bool {
        self.port
            && self.seen.is_up()
            && (self.home.is_empty() || self.seen.live.gateway().is_some())
    }

    /// Whether it can be reached at all, by clients or on a stage.
    fn is_reachable(&self) -> bool {
        self.home.is_empty() || !self.seen.live.networks.is_empty()
    }
}

impl Engine {
    pub(crate) fn new() -> Self {
        Self {
            boxes: BTreeMap::new(),
            moods: BTreeMap::new(),
            versions: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            kept: BTreeMap::new(),
            lock: None,
            fences: BTreeMap::new(),
            foreign: BTreeMap::new(),
            health_checks: BTreeSet::new(),
            stale_locks: BTreeSet::new(),
            fronts: Fronts::default(),
            disk_free: 1 << 40,
            file: None,
            list: None,
            taken: Vec::new(),
            paths: BTreeMap::new(),
            has: None,
            stubborn: BTreeSet::new(),
            builds: BTreeMap::new(),
            begun: BTreeSet::new(),
            away_until: None,
            stage: None,
            made: 1000,
        }
    }

    pub(crate) fn put(&mut self, seen: Container, port: bool) {
        self.boxes.insert(
            seen.id.clone(),
            Box_ {
                home: seen.live.networks.clone(),
                seen,
                port,
                again_at: None,
            },
        );
    }

    pub(crate) fn answers(&self, now: Moment) -> bool {
        self.away_until.is_none_or(|until| now >= until)
    }

    fn mood(&self, image: &ImageId) -> Mood {
        self.moods.get(image).copied().unwrap_or(Mood::Healthy)
    }

    /// Whether a container's probes are green now, and whether its version is the one it should be.
    pub(crate) fn serves(&self, id: &ContainerId, now: Moment) -> bool {
        let Some(found) = self.boxes.get(id) else {
            return false;
        };
        let Some(started) = found
            .seen
            .started_at
            .filter(|_| found.seen.runs() && found.is_reachable())
        else {
            return false;
        };
        self.mood(&found.seen.image).serves(now.since(started))
    }

    pub(crate) fn says(&self, id: &ContainerId) -> Option<String> {
        let image = &self.boxes.get(id)?.seen.image;
        let truth = self.versions.get(image)?;
        Some(if self.mood(image) == Mood::Liar {
            format!("{truth}-not")
        } else {
            truth.clone()
        })
    }

    /// Lets processes end, and those start again that the engine starts by itself.
    pub(crate) fn pass(&mut self, now: Moment) {
        if !self
            .moods
            .values()
            .any(|mood| matches!(mood, Mood::Crashes(_)))
        {
            return;
        }
        let moods = &self.moods;
        for found in self.boxes.values_mut() {
            let Some(Mood::Crashes(after)) = moods.get(&found.seen.image) else {
                continue;
            };
            if let Some(at) = found.again_at.filter(|at| now >= *at) {
                found.again_at = None;
                found.seen.state = ContainerState::Running;
                found.seen.started_at = Some(at);
                found.seen.restarts += 1;
            }
            let ends = found
                .seen
                .started_at
                .map(|started| started.after(Millis(*after)));
            if found.seen.runs() && ends.is_some_and(|ends| now >= ends) {
                found.seen.exit_code = 1;
                let again = found.seen.restart.name != "no";
                found.seen.state = if again {
                    ContainerState::Restarting
                } else {
                    ContainerState::Exited
                };
                found.again_at =
                    again.then(|| now.after(Millis(100 << found.seen.restarts.min(6))));
            }
        }
    }

    /// The engine dies and comes back: what has no restart policy stays down.
    pub(crate) fn restart(&mut self, away: Millis, now: Moment) {
        let back = now.after(away);
        self.away_until = self.away_until.max(Some(back));
        for found in self.boxes.values_mut().filter(|found| found.seen.is_up()) {
            found.again_at = None;
            if found.seen.restart.name == "no" {
                found.seen.state = ContainerState::Exited;
                found.seen.exit_code = 137;
            } else {
                found.seen.state = ContainerState::Running;
                found.seen.started_at = Some(back);
            }
        }
    }

    pub(crate) fn names(&self) -> BTreeMap<String, ContainerId> {
        let boxes = self
            .boxes
            .values()
            .map(|found| (found.seen.name.clone(), found.seen.id.clone()));
        let keepers = self
            .kept
            .iter()
            .map(|(image, id)| (format!("sternway-keep-{}", image.short()), id.clone()));
        let lock = self
            .lock
            .iter()
            .map(|(id, _)| ("sternway-lock-shop".to_owned(), id.clone()));
        boxes
            .chain(keepers)
            .chain(lock)
            .chain(self.foreign.clone())
            .collect()
    }

    pub(crate) fn look(&self, images: &[ImageId], now: Moment) -> EngineLook {
        let containers = self
            .boxes
            .values()
            .map(|found| self.seen(found, now))
            .collect();
        let images = images.iter().map(|image| {
            let facts = ImageFacts {
                tags: Vec::new(),
                digests: Vec::new(),
                bytes: 1,
                architecture: "amd64".to_owned(),
            };
            (
                image.clone(),
                if self.moods.contains_key(image) {
                    Seen::Known(facts)
                } else {
                    Seen::Absent
                },
            )
        });
        EngineLook {
            at: now,
            engine: EngineFacts {
                name: "sim".to_owned(),
                version: "20.10".to_owned(),
                api_version: "1.41".to_owned(),
                disk_free: Seen::Known(self.disk_free),
            },
            containers,
            images: images.collect(),
            sources: self.sources(),
            names: self.names(),
            kept: self.kept.clone(),
            fronts: self.fronts.look(now),
            lock: self.lock.as_ref().map(|(container, rollback)| Lock {
                container: container.clone(),
                rollback: *rollback,
                owner: "somebody".to_owned(),
                stale: self.stale_locks.contains(rollback),
                fence: self.fences.values().max().copied(),
                marks: self
                    .fences
                    .keys()
                    .filter(|id| *id != container)
                    .cloned()
                    .collect(),
            }),
            guests: BTreeMap::new(),
            taken: self.taken.clone(),
            paths: self.paths.clone(),
            has: self.has.clone(),
            project: self.file.as_ref().map(|file| file.look(self.list.as_ref())),
            stages: self.stages(),
            internal: BTreeSet::new(),
            neighbours: Vec::new(),
        }
    }

    fn seen(&self, found: &Box_, now: Moment) -> Container {
        let mut seen = found.seen.clone();
        if !found.holds_port() {
            seen.live.ports.clear();
        }
        if self.health_checks.contains(&seen.component) && seen.runs() {
            let ran = seen
                .started_at
                .map_or(Millis(0), |started| now.since(started));
            seen.health = match (self.mood(&seen.image).serves(ran), ran.0 < 100) {
                (true, _) => Health::Healthy,
                (false, true) => Health::Starting,
                (false, false) => Health::Unhealthy,
            };
        }
        seen.address = (seen.runs() && found.is_reachable()).then(|| address(&seen.id));
        seen
    }

    fn fresh(&mut self) -> ContainerId {
        self.made += 1;
        container_id(self.made)
    }

    /// The image that a finished build gave.
    pub(crate) fn built(&self, component: &ComponentName) -> Option<ImageId> {
        let image = &self.builds.get(component)?.as_ref()?.image;
        self.moods.contains_key(image).then(|| image.clone())
    }

    /// Each missing image lies in an archive and in a registry.
    fn sources(&self) -> BTreeMap<ImageId, Vec<SourceSeen>> {
        let of = |image: &ImageId| {
            let archive = ImageSource::Archive(Archive {
                path: format!("/archive/{}", image.short()),
                sha256: "ab".repeat(32),
                bytes: 1,
            });
            let reference = format!("registry/shop@{image}").parse().unwrap();
            let there = |source| SourceSeen {
                source,
                there: Seen::Known(()),
            };
            vec![there(archive), there(ImageSource::Registry { reference })]
        };
        let missing = self
            .elsewhere
            .keys()
            .filter(|image| !self.moods.contains_key(image));
        missing.map(|image| (image.clone(), of(image))).collect()
    }
}
