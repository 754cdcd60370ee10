//! Whether what was deployed is good: its references become digests at once, then its probes are watched for a
//! whole window. Only a proof makes a release *known good*.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use docker::Engine;
use domain::{
    deployment_watch::{self, Judgement, Watched},
    engine_look::{Container, EngineLook, ImageFacts},
    ledger::Health,
    name::{ApplicationName, ComponentName, ImageId, SpecificationDigest},
    time::{Millis, Moment},
};
use metrics::counter;
use store::{DeployedComponent, DeploymentState, DeploymentWork, HealthUpdate, Store, Topic, Wake};
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    crew::Crew,
    eyes::{Asked, PROBE_LIMIT},
    metric,
    world::{Real, StoreAway},
};

/// How often a deployment in its watch window is looked at.
const LOOK_AGAIN: Millis = Millis(2_000);
/// How often it is asked which deployments are due.
const POLL: Duration = Duration::from_secs(1);
/// Who takes a deployment has this long for one look at it; then it is due again.
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// Deployments looked at together.
const AT_ONCE: u32 = 8;

pub(crate) async fn run(store: Store, real: Arc<Real>, wake: Wake, shutdown: CancellationToken) {
    let mut wakes = wake.subscribe(Topic::Work);
    let mut crew = Crew::of(AT_ONCE);
    while !shutdown.is_cancelled() {
        let due = match crew.room() {
            0 => Ok(Vec::new()),
            room => store.deployments_due(room, LOOK_LIMIT).await,
        };
        match due {
            Ok(due) => {
                for work in due {
                    let real = real.clone();
                    crew.begin(async move { one(&real, work).await });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "can not list the deployments to watch; trying again")
            }
        }
        tokio::select! {
            () = crew.room_again() => {}
            () = wakes.woken() => {}
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn one(real: &Real, work: DeploymentWork) {
    let id = work.id;
    let look = async {
        match work.state {
            DeploymentState::Resolving => resolve(real, &work).await,
            DeploymentState::Watching => watch(real, &work).await,
            DeploymentState::Good
            | DeploymentState::Bad
            | DeploymentState::Unproved
            | DeploymentState::Refused => Ok(()),
        }
    };
    match tokio::time::timeout(LOOK_LIMIT, look).await {
        Ok(Ok(())) => {}
        Ok(Err(away)) => {
            tracing::warn!(deployment = %id, error = &away as &dyn std::error::Error, "can not go on with a deployment");
        }
        Err(_) => {
            tracing::warn!(deployment = %id, "looking at a deployment took too long; trying again");
        }
    }
}

/// Turns the references that it was recorded with into digests. A tag may move tomorrow.
async fn resolve(real: &Real, work: &DeploymentWork) -> Result<(), StoreAway> {
    let engine = match real.engines.get(&work.application.engine) {
        Ok(engine) => engine,
        Err(error) => return refuse(real, work, &error.to_string()).await,
    };
    let mut components = BTreeMap::new();
    for (component, reference) in &work.images {
        match engine.image_id(reference).await {
            Ok(Some(image)) => match engine.image_seen(&image).await {
                Ok(seen) => {
                    keep(&engine, &work.application.name, &image).await;
                    let deployed = deployed(image, reference, seen.known());
                    components.insert(component.clone(), deployed);
                }
                Err(error) => return later(real, work, &error.to_string()).await,
            },
            Ok(None) => {
                let said = format!("image `{reference}` of {component} is not on the engine");
                return refuse(real, work, &said).await;
            }
            Err(error) => return later(real, work, &error.to_string()).await,
        }
    }
    real.store
        .deployment_resolved(work.id, &components)
        .await
        .map_err(StoreAway)
}

/// At once: a clean-up that runs with the next deployment must find it protected. What needs no keeper is let go later.
pub(crate) async fn keep(engine: &Engine, name: &ApplicationName, image: &ImageId) {
    if let Err(error) = engine.keep(name, image).await {
        tracing::warn!(application = %name, %error, "could not protect an image yet");
    }
}

/// What is noted of an image now is what it can be brought by when the engine has lost it.
pub(crate) fn deployed(
    image: ImageId,
    reference: &str,
    facts: Option<&ImageFacts>,
) -> DeployedComponent {
    DeployedComponent {
        image,
        reference: reference.to_owned(),
        digests: facts.map_or_else(Vec::new, |facts| facts.digests.clone()),
        architecture: facts.map(|facts| facts.architecture.clone()),
        bytes: facts.map(|facts| facts.bytes),
        specification: None,
    }
}

async fn refuse(real: &Real, work: &DeploymentWork, said: &str) -> Result<(), StoreAway> {
    counter!(metric::DEPLOYMENTS, "state" => "refused").increment(1);
    real.store
        .deployment_refused(work.id, said)
        .await
        .map_err(StoreAway)
}

/// What could not be looked at says nothing about the deployment.
async fn later(real: &Real, work: &DeploymentWork, said: &str) -> Result<(), StoreAway> {
    real.store
        .deployment_later(work.id, said, clock::now().after(LOOK_AGAIN))
        .await
        .map_err(StoreAway)
}

async fn watch(real: &Real, work: &DeploymentWork) -> Result<(), StoreAway> {
    if work.rolling_back {
        return later(real, work, "a rollback acts on the application").await;
    }
    let look = match real.full_look(&work.application, Asked::default()).await? {
        Ok(look) => look,
        Err(said) => return later(real, work, &said).await,
    };
    let specifications = specifications(work, &look);
    if !specifications.is_empty() {
        real.store
            .deployment_specifications(work.id, &specifications)
            .await
            .map_err(StoreAway)?;
    }
    let questions = deployment_watch::questions(&work.application, &work.version, &look);
    let answers = real.prober.ask(&questions, PROBE_LIMIT).await;
    let watched = Watched {
        since: work.deployed_at,
        green_since: work.green_since,
        red_since: work.red_since,
        newer: work.newer.as_ref().map(images_of),
    };
    let images = images_of(&work.components);
    let now = clock::now();
    let judgement =
        deployment_watch::judge(&work.application, &images, &watched, &look, &answers, now);
    tell(work, &judgement);
    let update = update(work, judgement, now);
    real.store
        .deployment_health(work.id, &update)
        .await
        .map_err(StoreAway)?;
    Ok(())
}

fn images_of(
    components: &BTreeMap<ComponentName, DeployedComponent>,
) -> BTreeMap<ComponentName, ImageId> {
    components
        .iter()
        .map(|(name, part)| (name.clone(), part.image.clone()))
        .collect()
}

fn update(work: &DeploymentWork, judgement: Judgement, now: Moment) -> HealthUpdate {
    let window = Millis::from_secs(work.application.watch_window_s);
    match judgement {
        Judgement::Watching {
            green_since,
            red_since,
            said,
        } => HealthUpdate {
            health: Health::Watching,
            green_since,
            red_since,
            watch_until: green_since.map(|since| since.after(window)),
            said,
            wake_at: Some(now.after(LOOK_AGAIN)),
        },
        Judgement::Decided { health, said } => HealthUpdate {
            health,
            green_since: work.green_since,
            red_since: work.red_since,
            watch_until: work.watch_until,
            said: Some(said),
            wake_at: None,
        },
    }
}

fn tell(work: &DeploymentWork, judgement: &Judgement) {
    let Judgement::Decided { health, said } = judgement else {
        return;
    };
    let state = health_word(*health);
    counter!(metric::DEPLOYMENTS, "state" => state).increment(1);
    tracing::info!(deployment = %work.id, version = %work.version, state, said, "judged");
}

/// The specification that each component runs with, once it runs the deployment's image, where it is not the one that is
/// noted: what is proved at the end of the window is what the release is to come back with. A newer deployment of the same
/// images has settings of its own.
fn specifications(
    work: &DeploymentWork,
    look: &EngineLook,
) -> BTreeMap<ComponentName, SpecificationDigest> {
    let wanted = |container: &&Container| {
        work.components
            .get(&container.component)
            .is_some_and(|part| part.image == container.image)
    };
    deployment_watch::replicas(&work.application, look)
        .filter(wanted)
        .filter_map(|container| {
            Some((
                container.component.clone(),
                container.specification.clone()?,
            ))
        })
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .filter(|(component, digest)| {
            work.components
                .get(component)
                .is_some_and(|part| match &part.specification {
                    None => true,
                    Some(noted) => noted != digest && work.newer.is_none(),
                })
        })
        .collect()
}

fn health_word(health: Health) -> &'static str {
    match health {
        Health::Watching => "watching",
        Health::Good => "good",
        Health::Bad => "bad",
        Health::Unproved => "unproved",
    }
}
