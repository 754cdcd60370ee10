//! Looking: the engine first, then the probes of what it shows, then our own records.

use std::{collections::BTreeMap, time::Duration};

use docker::{LookRequest, Looked};
use domain::{
    application::Application,
    drift::Origin,
    engine_look::EngineLook,
    front::FrontLook,
    name::{ComponentName, ContainerId, ImageId, RollbackId},
    plan::Plan,
    probe::{Answer, Question},
    seen::Seen,
    steps::{self, Scope, Side, World},
    supply::{ImageSource, SourceSeen},
};
use futures_util::{StreamExt, stream};

use crate::world::{Real, StoreAway};

/// Images asked for at a time: with the engine's time limit per question, one round fits in a look.
const SOURCES_AT_ONCE: usize = 24;

/// What containers say of where they come from.
pub(crate) type Origins = BTreeMap<ContainerId, Origin>;

/// What is asked of an engine beside the application's containers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    /// Images: whether each is there.
    pub(crate) images: &'a [ImageId],
    /// Paths of the host: whether each is there.
    pub(crate) paths: &'a [String],
}

/// A probe that takes longer is red: the runbook's health endpoint answers in milliseconds.
pub(crate) const PROBE_LIMIT: Duration = Duration::from_secs(1);
/// Times in a row that everything asked of a target beside the present container must be green.
const GREENS_BESIDE: u8 = 3;

impl Real {
    /// What `scope` names, for one decision.
    pub(crate) async fn see(
        &self,
        plan: &Plan,
        rollback: RollbackId,
        scope: Scope,
    ) -> Result<World, StoreAway> {
        let mut seen = World {
            engine: Err("it was not looked at".to_owned()),
            specifications: BTreeMap::new(),
            captured: std::collections::BTreeSet::new(),
            recorded: false,
            deployed: None,
            builds: BTreeMap::new(),
            answers: Vec::new(),
        };
        if scope.supplies {
            let digests: Vec<_> = plan
                .swaps
                .iter()
                .map(|swap| swap.specification.clone())
                .collect();
            seen.specifications = self
                .store
                .specifications_readable(&digests)
                .await
                .map_err(StoreAway)?;
        }
        if scope.records {
            seen.captured = self.store.captured(rollback).await.map_err(StoreAway)?;
            seen.recorded = self.store.recorded(rollback).await.map_err(StoreAway)?;
        }
        if scope.deployments {
            let deployed = self.store.deployed_after(rollback).await;
            seen.deployed = deployed.map_err(StoreAway)?;
        }
        if scope.engine {
            let images: Vec<ImageId> = plan.swaps.iter().map(|swap| swap.image.clone()).collect();
            let paths: Vec<String> = plan
                .swaps
                .iter()
                .flat_map(|swap| swap.binds.clone())
                .collect();
            let asked = if scope.supplies {
                Asked {
                    images: &images,
                    paths: &paths,
                }
            } else {
                Asked::default()
            };
            seen.engine = self
                .engine_look(&plan.application, asked, scope.supplies)
                .await?;
        }
        if let (true, Ok(look)) = (scope.pin || scope.project, &mut seen.engine) {
            look.project = self.project_for_step(plan, rollback, scope).await?;
        }
        if let (true, Ok(look)) = (scope.fronts, &mut seen.engine) {
            look.fronts = self.fronts_of(plan, scope.sessions).await;
        }
        if scope.builds && seen.engine.is_ok() {
            match self.builds_seen(plan, rollback).await? {
                Ok(builds) => seen.builds = builds,
                Err(said) => seen.engine = Err(said),
            }
        }
        if let (Some(side), Ok(look)) = (scope.probes, &seen.engine) {
            let questions: Vec<Question> = steps::expected_questions(plan, rollback, side, look);
            seen.answers = self.ask(&questions, side).await;
        }
        Ok(seen)
    }

    /// Before any client is sent there, one good answer is not enough: the first may be luck.
    async fn ask(&self, questions: &[Question], side: Side) -> Vec<Answer> {
        let rounds = match side {
            Side::Beside => GREENS_BESIDE,
            Side::Former | Side::Target | Side::Stage => 1,
        };
        let mut answers = self.prober.ask(questions, PROBE_LIMIT).await;
        for _ in 1..rounds {
            if answers.iter().any(|answer| !answer.green) {
                break;
            }
            answers = self.prober.ask(questions, PROBE_LIMIT).await;
        }
        answers
    }

    /// The balancers in front of what a plan touches.
    async fn fronts_of(
        &self,
        plan: &Plan,
        sessions: bool,
    ) -> BTreeMap<ComponentName, Seen<FrontLook>> {
        let touched = |component: &ComponentName| plan.swaps_of(component).next().is_some();
        self.fronts(&plan.application, touched, sessions).await
    }

    /// The balancers in front of some of an application's components.
    async fn fronts(
        &self,
        application: &Application,
        wanted: impl Fn(&ComponentName) -> bool,
        sessions: bool,
    ) -> BTreeMap<ComponentName, Seen<FrontLook>> {
        let mut fronts = BTreeMap::new();
        for component in &application.components {
            let Some(front) = component.front.as_ref().filter(|_| wanted(&component.name)) else {
                continue;
            };
            let look = self.balancers.look(front, sessions).await;
            let seen = look.map_or_else(|trouble| Seen::Unknown(trouble.to_string()), Seen::Known);
            fronts.insert(component.name.clone(), seen);
        }
        fronts
    }

    /// The application on its engine; the inner error is what an engine that does not answer said.
    pub(crate) async fn engine_look(
        &self,
        application: &Application,
        asked: Asked<'_>,
        disk: bool,
    ) -> Result<Result<EngineLook, String>, StoreAway> {
        let request = LookRequest {
            application,
            images: asked.images,
            disk,
            paths: asked.paths,
            specifications: false,
        };
        match self.looked(application, &request).await {
            Ok(looked) => self.with_lock_judged(looked.look).await.map(Ok),
            Err(said) => Ok(Err(said)),
        }
    }

    /// The application on its engine with the specification of each container, stored by digest.
    pub(crate) async fn full_look(
        &self,
        application: &Application,
        asked: Asked<'_>,
    ) -> Result<Result<EngineLook, String>, StoreAway> {
        let request = LookRequest {
            application,
            images: asked.images,
            disk: true,
            paths: asked.paths,
            specifications: true,
        };
        let mut looked = match self.looked(application, &request).await {
            Ok(looked) => looked,
            Err(said) => return Ok(Err(said)),
        };
        if self.images_remembered(application, &looked).await? {
            looked = match self.looked(application, &request).await {
                Ok(looked) => looked,
                Err(said) => return Ok(Err(said)),
            };
        }
        let Looked {
            mut look,
            specifications,
            wholes,
            ..
        } = looked;
        for container in &mut look.containers {
            let Some(specification) = specifications.get(&container.id) else {
                continue;
            };
            let digest = self
                .store
                .specification_put(specification)
                .await
                .map_err(StoreAway)?;
            if let Some(whole) = wholes.get(&container.id)
                && self.kept.is_new(&digest)
            {
                self.store
                    .inspection_put(&digest, &container.image, &whole.inspection, &whole.image)
                    .await
                    .map_err(StoreAway)?;
                self.kept.note(&digest);
            }
            container.specification = Some(digest);
            container.env = self.store.key().fingerprints(specification);
            container.commands = Some(self.store.key().commands(&specification.body));
        }
        look.fronts = self.fronts(application, |_| true, false).await;
        self.with_lock_judged(look).await.map(Ok)
    }

    /// Where each of these images can be had, as far as is said in time; most of one application's lie together, so
    /// few places are asked often.
    pub(crate) async fn sources(
        &self,
        application: &Application,
        wanted: BTreeMap<ImageId, Vec<ImageSource>>,
    ) -> BTreeMap<ImageId, Vec<SourceSeen>> {
        let Ok(engine) = self.engines.get(&application.engine) else {
            return BTreeMap::new();
        };
        let ask = |(image, sources): (ImageId, Vec<ImageSource>)| {
            let engine = engine.clone();
            async move { (image, engine.sources(sources).await) }
        };
        let asked: Vec<_> = wanted.into_iter().map(ask).collect();
        stream::iter(asked)
            .buffer_unordered(SOURCES_AT_ONCE)
            .collect()
            .await
    }

    /// Tells the engine's driver of images that the engine no longer has and that were read when they were
    /// deployed. Whether there was one.
    async fn images_remembered(
        &self,
        application: &Application,
        looked: &Looked,
    ) -> Result<bool, StoreAway> {
        let mut remembered = false;
        for image in &looked.images_gone {
            let settings = match self.store.image_settings(image).await {
                Ok(settings) => settings,
                Err(store::Error::KeyLost(_)) => None,
                Err(error) => return Err(StoreAway(error)),
            };
            if let (Some(settings), Ok(engine)) = (settings, self.engines.get(&application.engine))
            {
                remembered |= engine.remember_image(image, settings).is_ok();
            }
        }
        Ok(remembered)
    }

    /// The application on its engine, with what each container says of where it comes from.
    pub(crate) async fn look_at_origins(
        &self,
        application: &Application,
    ) -> Result<Result<(EngineLook, Origins), String>, StoreAway> {
        let request = LookRequest {
            application,
            images: &[],
            disk: false,
            paths: &[],
            specifications: false,
        };
        match self.looked(application, &request).await {
            Ok(looked) => {
                let look = self.with_lock_judged(looked.look).await?;
                Ok(Ok((look, looked.origins)))
            }
            Err(said) => Ok(Err(said)),
        }
    }

    async fn looked(
        &self,
        application: &Application,
        request: &LookRequest<'_>,
    ) -> Result<Looked, String> {
        let engine = self
            .engines
            .get(&application.engine)
            .map_err(|error| error.to_string())?;
        engine
            .look(request)
            .await
            .map_err(|error| error.to_string())
    }

    /// A lock whose rollback is one of ours and has ended was left by a run that needed a person.
    async fn with_lock_judged(&self, mut look: EngineLook) -> Result<EngineLook, StoreAway> {
        if let Some(lock) = &mut look.lock {
            lock.stale = self
                .store
                .lock_stale(lock.rollback)
                .await
                .map_err(StoreAway)?
                == Some(true);
        }
        Ok(look)
    }
}
