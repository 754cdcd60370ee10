//! A world that answers at once: each rollback has an engine of its own, in memory. It does what the real one
//! would, so that the run's log and state are those of a real rollback; only the waiting is gone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    effect::{Effect, Outcome},
    engine_look::{
        Container, ContainerState, EngineFacts, EngineLook, Health, ImageFacts, Lock, Mark,
        RestartPolicy,
    },
    name::{ComponentName, ContainerId, ImageId, RollbackId},
    plan::{Plan, Swap},
    seen::Seen,
    steps::{Scope, World as Sight},
    time::Moment,
};
use worker::world::{Grant, StoreAway, World};

/// All engines of a run.
#[derive(Debug, Default)]
pub(crate) struct Sham {
    engines: Mutex<HashMap<RollbackId, Arc<Mutex<Engine>>>>,
    performed: AtomicU64,
}

#[derive(Debug)]
struct Engine {
    look: EngineLook,
    captured: BTreeSet<ContainerId>,
    recorded: bool,
    created: u64,
}

impl Sham {
    /// Effects performed so far: one for each durable step.
    pub(crate) fn performed(&self) -> u64 {
        self.performed.load(Ordering::Relaxed)
    }

    fn engine(&self, plan: &Plan, rollback: RollbackId) -> Arc<Mutex<Engine>> {
        locked(&self.engines)
            .entry(rollback)
            .or_insert_with(|| Arc::new(Mutex::new(Engine::before(plan))))
            .clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World for Sham {
    async fn look(
        &self,
        plan: &Plan,
        rollback: RollbackId,
        scope: Scope,
    ) -> Result<Sight, StoreAway> {
        let engine = self.engine(plan, rollback);
        let engine = locked(&engine);
        let digests = plan
            .swaps
            .iter()
            .map(|swap| (swap.specification.clone(), true));
        Ok(Sight {
            engine: if scope.engine {
                Ok(engine.look.clone())
            } else {
                Err("it was not looked at".to_owned())
            },
            specifications: if scope.supplies {
                digests.collect()
            } else {
                BTreeMap::new()
            },
            captured: if scope.records {
                engine.captured.clone()
            } else {
                BTreeSet::new()
            },
            recorded: engine.recorded,
            deployed: None,
            builds: BTreeMap::new(),
            answers: Vec::new(),
        })
    }

    async fn perform(&self, plan: &Plan, grant: &Grant, effect: &Effect) -> Outcome {
        let engine = self.engine(plan, grant.held.rollback);
        locked(&engine).perform(grant, effect);
        self.performed.fetch_add(1, Ordering::Relaxed);
        Outcome::Done
    }
}

impl Engine {
    /// What serves before the rollback.
    fn before(plan: &Plan) -> Self {
        let containers: Vec<Container> = plan.swaps.iter().map(former).collect();
        let facts = |_: &_| {
            Seen::Known(ImageFacts {
                tags: Vec::new(),
                digests: Vec::new(),
                bytes: 1 << 20,
                architecture: "amd64".to_owned(),
            })
        };
        let look = EngineLook {
            stages: Vec::new(),
            internal: BTreeSet::new(),
            neighbours: Vec::new(),
            at: Moment::from_unix_ms(0),
            engine: EngineFacts {
                name: "sham".to_owned(),
                version: "20.10.24".to_owned(),
                api_version: "1.41".to_owned(),
                disk_free: Seen::Known(1 << 40),
            },
            names: containers
                .iter()
                .map(|container| (container.name.clone(), container.id.clone()))
                .collect(),
            images: plan
                .keep
                .iter()
                .map(|image| (image.clone(), facts(image)))
                .collect(),
            sources: BTreeMap::new(),
            kept: BTreeMap::new(),
            lock: None,
            guests: BTreeMap::new(),
            taken: Vec::new(),
            paths: BTreeMap::new(),
            has: None,
            fronts: BTreeMap::new(),
            containers,
            project: None,
        };
        Self {
            look,
            captured: BTreeSet::new(),
            recorded: false,
            created: 0,
        }
    }

    fn perform(&mut self, grant: &Grant, effect: &Effect) {
        match effect {
            Effect::TakeLock { .. } => {
                let (container, rollback) = (self.new_id(), grant.held.rollback);
                self.look.lock = Some(Lock {
                    container,
                    rollback,
                    owner: "bench".to_owned(),
                    stale: false,
                    fence: Some(grant.held.fence),
                    marks: Vec::new(),
                });
            }
            // No plan of this world lacks an image, has a stage or a balancer, or pins a version.
            Effect::PullImage { .. }
            | Effect::LoadImage { .. }
            | Effect::SetStage { .. }
            | Effect::EnterStage { .. }
            | Effect::LeaveStage { .. }
            | Effect::ClearStage { .. }
            | Effect::HandOver { .. }
            | Effect::WritePin { .. }
            | Effect::PutBackPin { .. }
            | Effect::PointFront { .. } => {}
            Effect::Together { effects } => {
                for effect in effects {
                    self.perform(grant, effect);
                }
            }
            Effect::KeepImage { image } => {
                let id = self.new_id();
                self.look.kept.insert(image.clone(), id);
            }
            Effect::Capture { container, .. } => {
                self.captured.insert(container.clone());
            }
            Effect::CreateContainer {
                component,
                name,
                image,
                replaces,
                ..
            } => {
                self.create(grant, (component, name, image), replaces);
            }
            Effect::StopContainer { container, .. } => self.to(container, ContainerState::Exited),
            Effect::StartContainer { container, .. } => self.to(container, ContainerState::Running),
            Effect::RenameContainer { container, name } => {
                self.look.names.retain(|_, owner| owner != container);
                self.look.names.insert(name.clone(), container.clone());
                self.change(container, |seen| seen.name.clone_from(name));
            }
            Effect::RemoveContainer { container } => {
                self.look.containers.retain(|seen| seen.id != *container);
                self.look.names.retain(|_, owner| owner != container);
                self.look.kept.retain(|_, keeper| keeper != container);
                self.look.lock.take_if(|lock| lock.container == *container);
            }
            Effect::Record => self.recorded = true,
            // Its plans build nothing.
            Effect::Build { .. } | Effect::DropBuild { .. } => {}
        }
    }

    fn to(&mut self, id: &ContainerId, state: ContainerState) {
        self.change(id, |seen| seen.state = state);
    }

    fn create(
        &mut self,
        grant: &Grant,
        (component, name, image): (&ComponentName, &str, &ImageId),
        replaces: &ContainerId,
    ) {
        let mut containers = self.look.containers.iter();
        let Some(of) = containers.find(|of| of.id == *replaces).cloned() else {
            return;
        };
        let mark = Some(Mark {
            rollback: grant.held.rollback,
            fence: grant.held.fence,
            replaces: replaces.clone(),
        });
        let (id, state) = (self.new_id(), ContainerState::Created);
        self.look.names.insert(name.to_owned(), id.clone());
        self.look.containers.push(Container {
            id,
            name: name.to_owned(),
            component: component.clone(),
            image: image.clone(),
            state,
            mark,
            ..of
        });
    }

    fn change(&mut self, id: &ContainerId, change: impl FnOnce(&mut Container)) {
        if let Some(container) = self
            .look
            .containers
            .iter_mut()
            .find(|container| container.id == *id)
        {
            change(container);
        }
    }

    fn new_id(&mut self) -> ContainerId {
        self.created += 1;
        super::work::container_id(self.created + (1 << 32))
    }
}

fn former(swap: &Swap) -> Container {
    Container {
        id: swap.former.clone(),
        name: swap.name.clone(),
        component: swap.component.clone(),
        replica: swap.replica,
        image: swap.former_image.clone(),
        state: ContainerState::Running,
        health: Health::None,
        started_at: Some(Moment::from_unix_ms(0)),
        restarts: 0,
        exit_code: 0,
        restart: RestartPolicy {
            name: "unless-stopped".to_owned(),
            retries_max: 0,
        },
        address: None,
        auto_remove: false,
        joins: Vec::new(),
        stop_grace_s: swap.stop_grace_s,
        mark: None,
        specification: Some(swap.specification.clone()),
        env: BTreeMap::new(),
        commands: None,
        shape: None,
        live: domain::engine_look::Live::default(),
    }
}
