//! What is asked of the engine, done as one does it: by identity, idempotently where an engine is.

use domain::{
    effect::{Effect, Failure},
    engine_look::{Container, ContainerState, Health, Mark, RestartPolicy},
    name::{ComponentName, ContainerId, ImageId, SpecificationDigest},
    time::Moment,
};

use super::{Box_, By, Engine, File, Mood, policy, refused};

impl Engine {
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
