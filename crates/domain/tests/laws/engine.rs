//! An engine in memory: containers with unique names, restart policies, ports, and applications with moods.
//! It knows nothing of rollbacks beyond the marks that it is told to put on containers.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    effect::{Effect, Failure},
    engine_look::{
        Container, ContainerState, EngineFacts, EngineLook, Health, ImageFacts, Lock, Mark,
        RestartPolicy,
    },
    name::{ComponentName, ContainerId, Fence, ImageId, RollbackId, SpecificationDigest},
    seen::Seen,
    supply::{Archive, ImageSource, SourceSeen},
    time::{Millis, Moment},
};

use crate::front::{Fronts, address};

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

/// What the engine knows of a container, and what only the world knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Box_ {
    pub(crate) seen: Container,
    /// Its replica's port is published on the host: only one container can have it.
    pub(crate) port: bool,
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
    /// Names of containers that are nobody's we know.
    pub(crate) foreign: BTreeMap<String, ContainerId>,
    pub(crate) health_checks: BTreeSet<ComponentName>,
    pub(crate) stale_locks: BTreeSet<RollbackId>,
    pub(crate) fronts: Fronts,
    pub(crate) disk_free: u64,
    /// It does not answer until then.
    pub(crate) away_until: Option<Moment>,
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

impl Engine {
    pub(crate) fn new() -> Self {
        Self {
            boxes: BTreeMap::new(),
            moods: BTreeMap::new(),
            versions: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            kept: BTreeMap::new(),
            lock: None,
            foreign: BTreeMap::new(),
            health_checks: BTreeSet::new(),
            stale_locks: BTreeSet::new(),
            fronts: Fronts::default(),
            disk_free: 1 << 40,
            away_until: None,
            made: 1000,
        }
    }

    pub(crate) fn put(&mut self, seen: Container, port: bool) {
        self.boxes.insert(
            seen.id.clone(),
            Box_ {
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
        let Some(started) = found.seen.started_at.filter(|_| found.seen.runs()) else {
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
            .map(|found| self.seen(&found.seen, now))
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
            }),
        }
    }

    fn seen(&self, container: &Container, now: Moment) -> Container {
        let mut seen = container.clone();
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
        seen.address = seen.runs().then(|| address(&seen.id));
        seen
    }

    fn fresh(&mut self) -> ContainerId {
        self.made += 1;
        container_id(self.made)
    }

    /// Performs one effect as an engine does it: by identity, idempotently where an engine is.
    pub(crate) fn perform(
        &mut self,
        effect: &Effect,
        by: By,
        now: Moment,
    ) -> Result<(), (Failure, String)> {
        match effect {
            Effect::TakeLock { .. } => self.take_lock(by),
            Effect::KeepImage { image } => self.keep(image),
            Effect::PullImage { image, .. } | Effect::LoadImage { image, .. } => self.bring(image),
            Effect::CreateContainer {
                name,
                image,
                specification,
                replaces,
                ..
            } => self.create(name, image, specification, replaces, by),
            Effect::StopContainer { container, .. } => self.stop(container),
            Effect::StartContainer { container, restart } => {
                self.start(container, restart.as_ref(), now)
            }
            Effect::RenameContainer { container, name } => self.rename(container, name),
            Effect::RemoveContainer { container } => self.remove(container),
            Effect::PointFront {
                component,
                server,
                to,
            } => match self.fronts.point(component, server, *to, now) {
                true => Ok(()),
                false => refused(Failure::Refused, "the balancer does not answer"),
            },
            Effect::Capture { .. } | Effect::Record => {
                panic!("the engine has no part in {effect:?}")
            }
        }
    }

    fn take_lock(&mut self, by: By) -> Result<(), (Failure, String)> {
        match &self.lock {
            Some((_, rollback)) if *rollback == by.rollback => Ok(()),
            Some(_) => refused(Failure::NameTaken, "the lock is taken"),
            None => {
                self.lock = Some((self.fresh(), by.rollback));
                Ok(())
            }
        }
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

    fn bring(&mut self, image: &ImageId) -> Result<(), (Failure, String)> {
        match self.elsewhere.get(image) {
            Some(mood) => {
                self.moods.insert(image.clone(), *mood);
                Ok(())
            }
            None => refused(Failure::NotSupplied, "nobody has it"),
        }
    }

    fn keep(&mut self, image: &ImageId) -> Result<(), (Failure, String)> {
        if !self.moods.contains_key(image) {
            return refused(Failure::Missing, "no such image");
        }
        let id = self.fresh();
        self.kept.entry(image.clone()).or_insert(id);
        Ok(())
    }

    fn create(
        &mut self,
        name: &str,
        image: &ImageId,
        specification: &SpecificationDigest,
        replaces: &ContainerId,
        by: By,
    ) -> Result<(), (Failure, String)> {
        if let Some(owner) = self.names().get(name) {
            let ours = self
                .boxes
                .get(owner)
                .and_then(|found| found.seen.mark.as_ref());
            return match ours
                .is_some_and(|mark| mark.rollback == by.rollback && mark.replaces == *replaces)
            {
                true => Ok(()),
                false => refused(Failure::NameTaken, "the name is taken"),
            };
        }
        if !self.moods.contains_key(image) {
            return refused(Failure::Missing, "no such image");
        }
        let Some(former) = self.boxes.get(replaces).cloned() else {
            return refused(Failure::Missing, "no such container to take the place of");
        };
        let id = self.fresh();
        let seen = Container {
            id,
            name: name.to_owned(),
            image: image.clone(),
            state: ContainerState::Created,
            health: Health::None,
            started_at: None,
            restarts: 0,
            exit_code: 0,
            restart: policy("unless-stopped"),
            auto_remove: false,
            mark: Some(Mark {
                rollback: by.rollback,
                fence: by.fence,
                replaces: replaces.clone(),
            }),
            specification: Some(specification.clone()),
            ..former.seen
        };
        self.put(seen, former.port);
        Ok(())
    }

    fn found(&mut self, id: &ContainerId) -> Result<&mut Box_, (Failure, String)> {
        self.boxes
            .get_mut(id)
            .ok_or_else(|| (Failure::Missing, "no such container".to_owned()))
    }

    fn stop(&mut self, id: &ContainerId) -> Result<(), (Failure, String)> {
        let found = self.found(id)?;
        found.seen.restart = policy("no");
        found.again_at = None;
        if found.seen.is_up() {
            found.seen.state = ContainerState::Exited;
            found.seen.exit_code = 143;
        }
        if found.seen.auto_remove {
            self.boxes.remove(id);
        }
        Ok(())
    }

    fn start(
        &mut self,
        id: &ContainerId,
        restart: Option<&RestartPolicy>,
        now: Moment,
    ) -> Result<(), (Failure, String)> {
        let (component, replica, port) = {
            let found = self.found(id)?;
            if let Some(restart) = restart {
                found.seen.restart = restart.clone();
            }
            if found.seen.is_up() {
                return Ok(());
            }
            (found.seen.component.clone(), found.seen.replica, found.port)
        };
        let holder = self.boxes.values().any(|other| {
            other.port
                && other.seen.is_up()
                && (&other.seen.component, other.seen.replica) == (&component, replica)
        });
        if port && holder {
            return refused(Failure::Refused, "port is already allocated");
        }
        if self
            .boxes
            .get(id)
            .is_some_and(|found| self.mood(&found.seen.image) == Mood::Unstartable)
        {
            return refused(Failure::Refused, "exec: no such file");
        }
        let found = self.found(id)?;
        found.seen.state = ContainerState::Running;
        found.seen.started_at = Some(now);
        found.seen.restarts = 0;
        Ok(())
    }

    fn rename(&mut self, id: &ContainerId, name: &str) -> Result<(), (Failure, String)> {
        let owner = self.names().get(name).cloned();
        match owner {
            Some(owner) if owner != *id => refused(Failure::NameTaken, "the name is taken"),
            Some(_) => Ok(()),
            None => {
                self.found(id)?.seen.name = name.to_owned();
                Ok(())
            }
        }
    }

    fn remove(&mut self, id: &ContainerId) -> Result<(), (Failure, String)> {
        if self.lock.as_ref().is_some_and(|(lock, _)| lock == id) {
            self.lock = None;
        }
        self.kept.retain(|_, keeper| keeper != id);
        if self.boxes.get(id).is_some_and(|found| found.seen.is_up()) {
            return refused(Failure::Refused, "it runs");
        }
        self.boxes.remove(id);
        Ok(())
    }
}
