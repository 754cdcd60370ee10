//! An engine in memory: containers with unique names, restart policies, ports, and applications with moods.
//! It knows nothing of rollbacks beyond the marks that it is told to put on containers.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    compose::{Listing, PinFile, PinState, ProjectLook, ProjectRead, Service},
    effect::{Effect, Failure},
    engine_look::{
        Attached, Container, ContainerState, EngineFacts, EngineLook, Health, ImageFacts, Lock,
        Mark, RestartPolicy, TakenPort, holdings::Holdings,
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

/// A file of the site's with one variable in it, or an override file of ours; what else is in it is a number that an
/// edit changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) value: Option<String>,
    /// What it says before anybody acts, and what it says once the version that goes back is pinned in it.
    pub(crate) first: Option<String>,
    pub(crate) wanted: Option<String>,
    pub(crate) rest: u32,
    pub(crate) read_only: bool,
    /// What each component would run with the version that goes back.
    pub(crate) images: BTreeMap<ComponentName, ImageId>,
    /// What was in it, and what was written, once it is about to be.
    pub(crate) kept: Option<(Content, Content)>,
}

/// What is in a file.
type Content = (Option<String>, u32);

impl File {
    fn content(&self) -> Content {
        (self.value.clone(), self.rest)
    }

    pub(crate) fn seen(&self) -> PinFile {
        let state = match &self.kept {
            None => PinState::Free,
            Some((_, written)) if *written == self.content() => PinState::Ours,
            Some((former, _)) if *former == self.content() => PinState::Former,
            Some(_) => PinState::Edited {
                difference: "somebody was here".to_owned(),
            },
        };
        PinFile {
            path: self.path.clone(),
            value: self.value.clone(),
            state,
        }
    }

    pub(crate) fn look(&self, list: Option<&Self>) -> ProjectLook {
        let listed = list.is_none_or(|list| list.value == list.wanted);
        let goes_back = self.value == self.wanted && listed;
        let service = |image: &ImageId| Service {
            hash: self.value.clone().unwrap_or_default(),
            image: None,
            image_id: goes_back.then(|| image.clone()),
            needs: Vec::new(),
            reproduced: true,
        };
        let services = self.images.iter();
        let services = services.map(|(name, image)| (name.clone(), service(image)));
        ProjectLook {
            read: Seen::Known(ProjectRead {
                compose: "compose".to_owned(),
                services: services.collect(),
            }),
            file: Seen::Known(self.seen()),
            listing: list.map(|list| Listing {
                file: list.seen(),
                with: list.wanted.clone(),
                without: None,
            }),
        }
    }

    /// As the worker does it: what is there is kept first, and only that is replaced.
    fn write(
        &mut self,
        from: Option<&String>,
        to: Option<&String>,
    ) -> Result<(), (Failure, String)> {
        if self.kept.is_none() && self.value.as_ref() != from {
            return refused(Failure::Refused, "it was edited");
        }
        self.wanted = to.cloned();
        let fresh = (self.content(), (to.cloned(), self.rest));
        let (former, written) = self.kept.get_or_insert(fresh).clone();
        self.replace(&former, written)
    }

    fn put_back(&mut self) -> Result<(), (Failure, String)> {
        match self.kept.clone() {
            Some((former, written)) => self.replace(&written, former),
            None => Ok(()),
        }
    }

    fn replace(&mut self, expected: &Content, wanted: Content) -> Result<(), (Failure, String)> {
        if self.content() == wanted {
            return Ok(());
        }
        if self.content() != *expected || self.read_only {
            return refused(Failure::Refused, "it was edited, or can not be written");
        }
        (self.value, self.rest) = wanted;
        Ok(())
    }
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
            Effect::WritePin { path, from, to, .. } => {
                self.file(path)?.write(from.as_ref(), to.as_ref())
            }
            Effect::PutBackPin { path } => self.file(path)?.put_back(),
            Effect::Build { component } => self.build(component),
            Effect::DropBuild { component } => self.drop_build(component),
            Effect::SetStage { .. }
            | Effect::EnterStage { .. }
            | Effect::LeaveStage { .. }
            | Effect::ClearStage { .. }
            | Effect::HandOver { .. } => self.on_networks(effect, by, now),
            Effect::PointFront {
                component,
                server,
                to,
            } => match self.fronts.point(component, server, *to, now) {
                true => Ok(()),
                false => refused(Failure::Refused, "the balancer does not answer"),
            },
            Effect::Capture { .. } | Effect::Record | Effect::Together { .. } => {
                panic!("the engine has no part in {effect:?}")
            }
        }
    }

    fn file(&mut self, path: &str) -> Result<&mut File, (Failure, String)> {
        let gone = || (Failure::Missing, "there is no such file".to_owned());
        let mut files = self.file.iter_mut().chain(&mut self.list);
        files.find(|file| file.path == path).ok_or_else(gone)
    }

    /// The image that a finished build gave.
    pub(crate) fn built(&self, component: &ComponentName) -> Option<ImageId> {
        let image = &self.builds.get(component)?.as_ref()?.image;
        self.moods.contains_key(image).then(|| image.clone())
    }

    fn build(&mut self, component: &ComponentName) -> Result<(), (Failure, String)> {
        self.begun.insert(component.clone());
        let Some(Some(built)) = self.builds.get(component).cloned() else {
            return refused(Failure::BuildFailed, "the command returned 1");
        };
        self.versions.insert(built.image.clone(), built.version);
        self.moods.insert(built.image, built.mood);
        Ok(())
    }

    /// Removing an image that a container refers to is refused, and that is fine.
    fn drop_build(&mut self, component: &ComponentName) -> Result<(), (Failure, String)> {
        self.begun.remove(component);
        if let Some(image) = self.built(component)
            && !self.kept.contains_key(&image)
            && !self.boxes.values().any(|found| found.seen.image == image)
        {
            self.moods.remove(&image);
        }
        Ok(())
    }

    fn take_lock(&mut self, by: By) -> Result<(), (Failure, String)> {
        match &self.lock {
            Some((_, rollback)) if *rollback == by.rollback => {
                if self.fences.values().all(|fence| *fence < by.fence) {
                    let mark = self.fresh();
                    self.fences.insert(mark, by.fence);
                }
                Ok(())
            }
            Some(_) => refused(Failure::NameTaken, "the lock is taken"),
            None => {
                let lock = self.fresh();
                self.fences.insert(lock.clone(), by.fence);
                self.lock = Some((lock, by.rollback));
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
        // As the real driver does: what is shared with a replaced container is shared with its successor.
        let joins = former.seen.joins.iter().map(|parent| {
            let successor = self.boxes.values().find(|found| {
                let mark = found.seen.mark.as_ref();
                mark.is_some_and(|mark| mark.rollback == by.rollback && mark.replaces == *parent)
            });
            successor.map_or_else(|| parent.clone(), |found| found.seen.id.clone())
        });
        let joins = joins.collect();
        let (home, ports) = (former.home.clone(), former.ports());
        let seen = Container {
            id,
            joins,
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
        let mut seen = seen;
        seen.live.networks = home;
        seen.live.ports = ports;
        self.put(seen, former.port);
        Ok(())
    }

    pub(crate) fn found(&mut self, id: &ContainerId) -> Result<&mut Box_, (Failure, String)> {
        self.boxes
            .get_mut(id)
            .ok_or_else(|| (Failure::Missing, "no such container".to_owned()))
    }

    pub(crate) fn stop(&mut self, id: &ContainerId) -> Result<(), (Failure, String)> {
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

    pub(crate) fn start(
        &mut self,
        id: &ContainerId,
        restart: Option<&RestartPolicy>,
        now: Moment,
    ) -> Result<(), (Failure, String)> {
        let (component, replica, port) = {
            let found = self.found(id)?;
            // An engine connects what has no network to that of its mode.
            if found.seen.live.networks.is_empty() && !found.seen.is_up() {
                found.seen.live.networks = found.home.iter().take(1).cloned().collect();
            }
            if let Some(restart) = restart {
                found.seen.restart = restart.clone();
            }
            if found.seen.is_up() {
                return Ok(());
            }
            let publishes =
                found.port && (found.home.is_empty() || found.seen.live.gateway().is_some());
            (found.seen.component.clone(), found.seen.replica, publishes)
        };
        if port && self.port_is_held(&component, replica, id) {
            return refused(Failure::Refused, "port is already allocated");
        }
        let joins = self.boxes[id].seen.joins.clone();
        let runs = |parent: &ContainerId| self.boxes.get(parent).is_some_and(|p| p.seen.runs());
        if !joins.iter().all(runs) {
            return refused(
                Failure::Refused,
                "cannot join network of a non running container",
            );
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
        if self.stubborn.contains(id) {
            return refused(Failure::Refused, "device or resource busy");
        }
        self.fences.remove(id);
        if let Some((lock, rollback)) = self.lock.take_if(|(lock, _)| lock == id) {
            drop(lock);
            // What is left of its fences stands for it until the last of them is gone.
            self.lock = self
                .fences
                .keys()
                .next()
                .map(|mark| (mark.clone(), rollback));
        }
        self.kept.retain(|_, keeper| keeper != id);
        if self.boxes.get(id).is_some_and(|found| found.seen.is_up()) {
            return refused(Failure::Refused, "it runs");
        }
        self.boxes.remove(id);
        Ok(())
    }
}
