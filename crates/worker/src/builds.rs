//! Building a component: the source fetched, the context packed, the engine's builder heard, and what it makes written
//! down at once, so that whoever comes after a crash can remove it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use docker::{Audience, BuildOrder, Engine, Made, Remains, SourceError, SourceKind};
use domain::{
    effect::{Failure, Outcome},
    name::{ComponentName, ImageId, RollbackId},
    plan::Plan,
    steps::{BuildSeen, Step},
};
use store::{BuildFacts, BuildState};

use crate::{
    hands::of_store,
    world::{Grant, Real, StoreAway},
};

/// How often the progress of a build is written down; what it makes is written down at the next of these moments.
const TELL: Duration = Duration::from_millis(500);
/// Bytes of a log that are kept.
const TAIL_BYTES_MAX: usize = 16 << 10;
/// So many layers and containers of one build are noted.
const MADE_MAX: usize = 1024;

impl Real {
    /// What is there of each component that the plan builds; the inner error is the engine's.
    pub(crate) async fn builds_seen(
        &self,
        plan: &Plan,
        rollback: RollbackId,
    ) -> Result<Result<BTreeMap<ComponentName, BuildSeen>, String>, StoreAway> {
        let begun = self.store.builds(rollback).await.map_err(StoreAway)?;
        let mut seen = BTreeMap::new();
        for component in plan.steps.iter().filter_map(built_component) {
            let image = match self.image_built(plan, component).await {
                Ok(image) => image,
                Err(said) => return Ok(Err(said)),
            };
            let begun = begun.iter().any(|build| {
                build.component == *component && build.facts.state != BuildState::Dropped
            });
            seen.insert(component.clone(), BuildSeen { image, begun });
        }
        Ok(Ok(seen))
    }

    async fn image_built(
        &self,
        plan: &Plan,
        component: &ComponentName,
    ) -> Result<Option<ImageId>, String> {
        let Some(order) = BuildOrder::of(plan, component) else {
            return Ok(None);
        };
        let engine = self
            .engines
            .get(&plan.application.engine)
            .map_err(|error| error.to_string())?;
        engine
            .built(&order)
            .await
            .map_err(|error| error.to_string())
    }

    /// Builds a component. Dropping the future calls the build off.
    pub(crate) async fn build(
        &self,
        plan: &Plan,
        grant: &Grant,
        component: &ComponentName,
    ) -> Outcome {
        let Some(order) = BuildOrder::of(plan, component) else {
            return unfit("the plan does not say what to build".to_owned());
        };
        let engine = match self.engines.get(&plan.application.engine) {
            Ok(engine) => engine,
            Err(error) => return error.into_outcome(),
        };
        let log = BuildLog::default();
        if let Err(error) = self.tell(grant, component, &log).await {
            return of_store(&error);
        }
        let limit = Duration::from_secs(plan.application.timeouts.build_s.into());
        let build = Box::pin(self.run_build(&engine, &order, limit, &log));
        let ended = tokio::select! {
            ended = build => ended,
            error = self.keep_telling(grant, component, &log) => return of_store(&error),
        };
        log.state(if ended.is_ok() {
            BuildState::Built
        } else {
            BuildState::Failed
        });
        if let Err(error) = self.tell(grant, component, &log).await {
            return of_store(&error);
        }
        match ended {
            Ok(image) => match engine.tag_built(&order, &image, &grant.lease).await {
                Ok(()) => Outcome::Done,
                Err(error) => error.into_outcome(),
            },
            Err(outcome) => outcome,
        }
    }

    async fn run_build(
        &self,
        engine: &Engine,
        order: &BuildOrder,
        limit: Duration,
        log: &BuildLog,
    ) -> Result<ImageId, Outcome> {
        let whole = async {
            log.line(&format!(
                "Fetching tag {} of {}",
                order.tag, order.source.repository
            ));
            let checkout = self
                .sources
                .checkout(&order.source, &order.tag, &order.commit)
                .await
                .map_err(of_source)?;
            let packed = checkout.pack(&order.build, self.sources.limits()).await;
            let context = packed.map_err(of_source)?;
            log.line(&format!(
                "Sending {} files, {} bytes",
                context.files, context.bytes
            ));
            let built = engine.build(order, &context, checkout.committed_at(), limit, log);
            built.await.map_err(docker::Error::into_outcome)
        };
        // The engine's part has the same limit, and says how far it came.
        match tokio::time::timeout(limit + TELL, whole).await {
            Ok(ended) => ended,
            Err(_) => Err(Outcome::Failed {
                failure: Failure::BuildFailed,
                said: format!(
                    "building {} was not done after {} s",
                    order.component,
                    limit.as_secs()
                ),
            }),
        }
    }

    /// Removes what this rollback's build of a component left.
    pub(crate) async fn drop_build(
        &self,
        plan: &Plan,
        grant: &Grant,
        component: &ComponentName,
    ) -> Outcome {
        let Some(order) = BuildOrder::of(plan, component) else {
            return unfit("the plan does not say what was built".to_owned());
        };
        let known = match self.store.builds(grant.held.rollback).await {
            Ok(builds) => builds
                .into_iter()
                .find(|build| build.component == *component),
            Err(error) => return of_store(&error),
        };
        let Some(known) = known else {
            return Outcome::Done;
        };
        let engine = match self.engines.get(&plan.application.engine) {
            Ok(engine) => engine,
            Err(error) => return error.into_outcome(),
        };
        let remains = Remains {
            image: known.facts.image.clone(),
            layers: known.facts.layers.clone(),
            containers: known.facts.containers.clone(),
        };
        if let Err(error) = engine.drop_build(&order, &remains, &grant.lease).await {
            return error.into_outcome();
        }
        let facts = BuildFacts {
            state: BuildState::Dropped,
            ..known.facts
        };
        match self.store.build_put(&grant.held, component, &facts).await {
            Ok(()) => Outcome::Done,
            Err(error) => of_store(&error),
        }
    }

    /// Writes progress down for as long as it goes on; returns when that is refused: the claim is over.
    async fn keep_telling(
        &self,
        grant: &Grant,
        component: &ComponentName,
        log: &BuildLog,
    ) -> store::Error {
        loop {
            tokio::time::sleep(TELL).await;
            if !log.has_news() {
                continue;
            }
            match self.tell(grant, component, log).await {
                Err(error @ store::Error::Fenced) => return error,
                Err(error) => {
                    log.news();
                    tracing::warn!(%error, "could not write down how a build goes on; trying again");
                }
                Ok(()) => {}
            }
        }
    }

    async fn tell(
        &self,
        grant: &Grant,
        component: &ComponentName,
        log: &BuildLog,
    ) -> Result<(), store::Error> {
        let facts = log.facts();
        self.store.build_put(&grant.held, component, &facts).await
    }
}

fn built_component(step: &Step) -> Option<&ComponentName> {
    if let Step::Build { component } = step {
        Some(component)
    } else {
        None
    }
}

fn unfit(said: String) -> Outcome {
    Outcome::Failed {
        failure: Failure::SourceUnfit,
        said,
    }
}

fn of_source(error: SourceError) -> Outcome {
    let failure = match error.kind() {
        SourceKind::Unreachable => Failure::SourceUnreachable,
        SourceKind::TagMissing | SourceKind::TagMoved | SourceKind::Unfit => Failure::SourceUnfit,
    };
    Outcome::Failed {
        failure,
        said: error.to_string(),
    }
}

/// What a build has said so far.
#[derive(Debug, Default)]
struct BuildLog {
    inner: Mutex<(BuildFacts, bool)>,
}

impl BuildLog {
    fn with<T>(&self, act: impl FnOnce(&mut BuildFacts) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1 = true;
        act(&mut inner.0)
    }

    fn facts(&self) -> BuildFacts {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1 = false;
        inner.0.clone()
    }

    fn has_news(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn news(&self) {
        self.with(|_| ());
    }

    fn state(&self, state: BuildState) {
        self.with(|facts| facts.state = state);
    }
}

impl Audience for BuildLog {
    fn line(&self, line: &str) {
        self.with(|facts| {
            facts.lines = facts.lines.saturating_add(1);
            facts.tail.push_str(line);
            facts.tail.push('\n');
            let over = facts.tail.len().saturating_sub(TAIL_BYTES_MAX);
            if over > 0 {
                let next = facts.tail.as_bytes()[over..]
                    .iter()
                    .position(|b| *b == b'\n');
                facts.tail.drain(..over + next.map_or(0, |at| at + 1));
            }
        });
    }

    fn made(&self, made: Made<'_>) {
        self.with(|facts| match made {
            Made::Layer(id) => note(&mut facts.layers, id),
            Made::Container(id) => note(&mut facts.containers, id),
            Made::Image(image) => facts.image = Some(image.clone()),
        });
    }
}

/// A log is as long as whoever wrote the Dockerfile likes.
fn note(made: &mut Vec<String>, id: &str) {
    if made.len() < MADE_MAX && !made.iter().any(|known| known == id) {
        made.push(id.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_names_is_bounded() {
        let log = BuildLog::default();
        for number in 0..3 * MADE_MAX {
            log.made(Made::Layer(&format!("{:012x}", number / 2)));
        }
        assert_eq!(log.facts().layers.len(), MADE_MAX);
    }

    #[test]
    fn the_end_of_a_long_log_is_kept_in_whole_lines() {
        let log = BuildLog::default();
        for number in 0..5000 {
            log.line(&format!("line {number} ü"));
        }
        let facts = log.facts();
        assert_eq!(facts.lines, 5000);
        assert!(facts.tail.len() <= TAIL_BYTES_MAX && facts.tail.ends_with("line 4999 ü\n"));
        assert!(facts.tail.starts_with("line "), "{}", &facts.tail[..40]);
        assert!(!log.has_news());
    }
}
