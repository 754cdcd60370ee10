//! What the API wants to know of an engine: it has no socket of its own, so it asks by a row.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use domain::{
    application::Application,
    engine_look::EngineLook,
    guard::Decision,
    ledger::ReleaseComponent,
    name::{ApplicationName, ComponentName, ImageId, TagName, TriggerName, Version},
    seen::Seen,
    source::TagsSeen,
    specification::Shape,
    supply::ImageSource,
    trigger::alert::Alert,
};
use integrations::Candidate;
use serde_json::Value;
use store::{Question, Store, Topic, Wake};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    crew::Crew,
    eyes::Asked,
    facts, intake,
    world::{Real, StoreAway},
};

/// The truth is polled; a wake-up only saves the waiting.
const POLL: Duration = Duration::from_millis(500);
/// Inquiries answered at a time; whoever asks waits, so a few are enough, but for an engine that hangs.
const AT_ONCE: u32 = 16;
/// Repositories and projects asked at the same time: each is a process of git, which may ask the other side of the
/// world, or of Compose.
const SLOW_AT_ONCE: usize = 4;
/// Missing images whose registries are asked for in one look, those of the newest releases: somebody waits for it.
const REGISTRIES_ASKED_MAX: usize = 24;
/// An engine that needs longer is said to be unreachable: the API's client waits for this answer.
const LIMIT: Duration = Duration::from_secs(4);
/// The same for all that a plan needs: where it pins a version, Compose is asked too, beside the engine.
const PLAN_LIMIT: Duration = Duration::from_secs(9);
/// The same for the adoption of a Compose project, which the site's own Compose is asked about, several times.
const PROJECT_LIMIT: Duration = Duration::from_secs(40);

pub(crate) async fn run(store: Store, real: Arc<Real>, wake: Wake, shutdown: CancellationToken) {
    let mut wakes = wake.subscribe(Topic::Work);
    let places = Arc::new(Semaphore::new(SLOW_AT_ONCE));
    let mut crew = Crew::of(AT_ONCE);
    while !shutdown.is_cancelled() {
        let room = crew.room();
        let open = match room {
            0 => Ok(Vec::new()),
            room => store.inquiries_open(room).await,
        };
        match open {
            Ok(open) => {
                for (id, question) in open {
                    let is_slow = slow(&question);
                    let answer = answer(store.clone(), real.clone(), id, question);
                    if !is_slow {
                        crew.begin(answer);
                        continue;
                    }
                    // Nobody who waits for an engine waits for a repository or for Compose.
                    let places = places.clone();
                    tokio::spawn(async move {
                        if let Ok(_place) = places.acquire_owned().await {
                            answer.await;
                        }
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "can not read what is asked; trying again"),
        }
        tokio::select! {
            () = crew.room_again() => {}
            () = wakes.woken() => {}
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

fn slow(question: &Question) -> bool {
    match question {
        Question::Tags { .. } | Question::Project { .. } => true,
        Question::Application { .. }
        | Question::Images { .. }
        | Question::Facts { .. }
        | Question::Alert { .. } => false,
    }
}

async fn answer(store: Store, real: Arc<Real>, id: Uuid, question: Question) {
    let limit = match question {
        // git has a limit of its own, and says what it waited for.
        Question::Tags { .. } => Duration::MAX,
        Question::Project { .. } => PROJECT_LIMIT,
        Question::Application { .. } | Question::Alert { .. } => PLAN_LIMIT,
        Question::Images { .. } | Question::Facts { .. } => LIMIT,
    };
    let found = tokio::time::timeout(limit, find(&real, &question)).await;
    let found =
        found.unwrap_or_else(|_| Err(format!("the engine did not answer within {limit:?}")));
    if let Err(error) = store.inquiry_answer(id, &found).await {
        tracing::warn!(%error, "could not answer an inquiry; whoever asked will ask again");
    }
}

async fn find(real: &Real, question: &Question) -> Result<Value, String> {
    match question {
        Question::Application { name } => {
            let look = application(real, name)
                .await
                .map_err(|away| away.to_string())??;
            serde_json::to_value(look).map_err(|error| error.to_string())
        }
        Question::Project { engine, project } => {
            let adopted = adopt(real, engine, project).await?;
            serde_json::to_value(adopted).map_err(|error| error.to_string())
        }
        Question::Images { engine, references } => {
            let found = images(real, engine, references).await?;
            serde_json::to_value(found).map_err(|error| error.to_string())
        }
        Question::Tags { name, only } => {
            let found = tags(real, name, only.as_ref()).await?;
            serde_json::to_value(found).map_err(|error| error.to_string())
        }
        Question::Facts { name } => {
            let found = facts::find(real, name).await?;
            serde_json::to_value(found).map_err(|error| error.to_string())
        }
        Question::Alert {
            name,
            trigger,
            event_id,
            alert,
        } => {
            let said = alert_of(real, name, trigger, event_id, alert).await?;
            serde_json::to_value(said).map_err(|error| error.to_string())
        }
    }
}

/// What the guards say of an alert, with our own eyes.
async fn alert_of(
    real: &Real,
    name: &ApplicationName,
    trigger: &TriggerName,
    event_id: &str,
    alert: &Alert,
) -> Result<Decision, String> {
    let (application, _) = real
        .store
        .application_get(name)
        .await
        .map_err(|error| error.to_string())?;
    intake::explain(real, trigger, event_id, alert, &application)
        .await
        .map_err(|away| away.to_string())?
}

/// The tags of the application's repository.
async fn tags(
    real: &Real,
    name: &ApplicationName,
    only: Option<&TagName>,
) -> Result<TagsSeen, String> {
    let (application, _) = real
        .store
        .application_get(name)
        .await
        .map_err(|error| error.to_string())?;
    let source = application
        .source
        .ok_or_else(|| format!("{name} has no `source`"))?;
    let seen = real.sources.tags(&source, only).await;
    seen.map_err(|error| error.to_string())
}

/// The application on its engine, with every image that one of its releases runs.
pub(crate) async fn application(
    real: &Real,
    name: &ApplicationName,
) -> Result<Result<EngineLook, String>, StoreAway> {
    let (application, _) = real.store.application_get(name).await.map_err(StoreAway)?;
    let releases = real.store.releases(name).await.map_err(StoreAway)?;
    let parts = releases
        .iter()
        .flat_map(|release| release.components.values());
    let images: BTreeSet<ImageId> = parts.clone().map(|part| part.image.clone()).collect();
    let images: Vec<ImageId> = images.into_iter().collect();
    let shapes = parts
        .clone()
        .filter_map(|part| part.specification.as_ref()?.shape.as_ref());
    let mut paths: Vec<String> = Vec::new();
    for path in shapes.flat_map(Shape::binds) {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
    let asked = Asked {
        images: &images,
        paths: &paths,
    };
    let (looked, project) = tokio::join!(
        tokio::time::timeout(LIMIT, real.full_look(&application, asked)),
        real.project_for_plan(&application)
    );
    let Ok(looked) = looked else {
        return Ok(Err(format!("the engine did not answer within {LIMIT:?}")));
    };
    let mut looked = looked?;
    if let Ok(look) = &mut looked {
        let missing =
            |part: &&ReleaseComponent| !look.images.get(&part.image).is_some_and(Seen::is_known);
        let wanted = asked_for(parts.filter(missing));
        look.project = project;
        look.sources = real.sources(&application, wanted).await;
    }
    Ok(looked)
}

/// Whose sources are asked for: everything with an archive, which costs a look at our own disk, and the newest of the rest.
fn asked_for<'a>(
    missing: impl Iterator<Item = &'a ReleaseComponent>,
) -> BTreeMap<ImageId, Vec<ImageSource>> {
    let mut wanted: BTreeMap<ImageId, Vec<ImageSource>> = BTreeMap::new();
    let mut registries = 0;
    for part in missing.filter(|part| !part.sources.is_empty()) {
        let is_archive = |source: &ImageSource| matches!(source, ImageSource::Archive(_));
        if wanted.contains_key(&part.image) {
            continue;
        }
        if !part.sources.iter().any(is_archive) {
            if registries == REGISTRIES_ASKED_MAX {
                continue;
            }
            registries += 1;
        }
        wanted.insert(part.image.clone(), part.sources.clone());
    }
    wanted
}

/// The definition of a running Compose project, with the probes that answer now, and what a person should know.
async fn adopt(real: &Real, engine: &str, project: &ComponentName) -> Result<Adopted, String> {
    let connected = real
        .engines
        .get(engine)
        .map_err(|error| error.to_string())?;
    let adoption = connected
        .adopt(project)
        .await
        .map_err(|error| error.to_string())?;
    let mut application = adoption.application;
    engine.clone_into(&mut application.engine);
    let candidates: Vec<Candidate> = adoption
        .candidates
        .into_iter()
        .map(|found| Candidate {
            component: found.component,
            address: found.address,
            port: found.port,
        })
        .collect();
    let mut says = BTreeMap::new();
    for suggestion in real.prober.suggest(&candidates).await {
        let part = application
            .components
            .iter_mut()
            .find(|component| component.name == suggestion.component);
        if let Some(component) = part {
            component.probes.extend(suggestion.probes);
            component.version_endpoint = suggestion.version_endpoint;
            says.extend(suggestion.says.map(|says| (component.name.clone(), says)));
        }
    }
    let mut notes = adoption.notes;
    notes.extend(versions_apart(&mut application, &says));
    notes.push(ONE_COPY.to_owned());
    Ok(Adopted { application, notes })
}

/// Which folder has room for images is the operator's to know, so none is proposed.
const ONE_COPY: &str = "the images of earlier releases are kept on the engine alone: one `docker system prune -a`, or the loss \
                        of its disk, takes every way back; `copy` in `[retain]` keeps a second one elsewhere, such as { archive = \
                        \"/var/backups/sternway\" }";

/// A release is one version: components that say different ones would never be proved together, so none of their
/// endpoints is proposed.
fn versions_apart(
    application: &mut Application,
    says: &BTreeMap<ComponentName, Version>,
) -> Option<String> {
    let different: BTreeSet<&Version> = says.values().collect();
    if different.len() < 2 {
        return None;
    }
    for component in &mut application.components {
        component.version_endpoint = None;
    }
    let said: Vec<String> = says
        .iter()
        .map(|(component, version)| format!("{component} says {version}"))
        .collect();
    Some(format!(
        "the components have versions of their own ({}), and a release is one version: no version endpoint is proposed, \
         their images prove what runs; give `version_endpoint` only to components that say the release's version",
        said.join(", ")
    ))
}

/// What an adoption answers: the body of its inquiry.
#[derive(serde::Serialize)]
struct Adopted {
    application: Application,
    notes: Vec<String>,
}

async fn images(
    real: &Real,
    engine: &str,
    references: &[String],
) -> Result<BTreeMap<String, Option<ImageId>>, String> {
    let connected = real
        .engines
        .get(engine)
        .map_err(|error| error.to_string())?;
    let mut found = BTreeMap::new();
    for reference in references {
        let image = connected
            .image_id(reference)
            .await
            .map_err(|error| error.to_string())?;
        found.insert(reference.clone(), image);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_release_with_an_archive_is_asked_about_behind_many_that_are_gone() {
        let part = |number: usize, sources: Value| -> ReleaseComponent {
            serde_json::from_value(serde_json::json!({
                "image": format!("sha256:{number:064x}"), "reference": "shop", "sources": sources,
                "specification": null
            }))
            .unwrap()
        };
        let digest = "a".repeat(64);
        let registry =
            serde_json::json!([{"from": "registry", "reference": format!("shop@sha256:{digest}")}]);
        let archive = serde_json::json!([{"from": "archive", "path": "/k/1.tar", "sha256": digest, "bytes": 1}]);
        let mut parts: Vec<_> = (0..40).map(|n| part(n, serde_json::json!([]))).collect();
        parts.extend((40..80).map(|n| part(n, registry.clone())));
        parts.push(part(80, archive));
        let wanted = asked_for(parts.iter());
        assert!(wanted.contains_key(&parts[80].image));
        assert_eq!(wanted.len(), REGISTRIES_ASKED_MAX + 1);
        assert!(wanted.contains_key(&parts[40].image), "the newest first");
    }

    #[test]
    fn endpoints_are_proposed_only_where_one_version_is_said() {
        let endpoint = serde_json::json!({"port": 80, "path": "/version"});
        let part = |name: &str| serde_json::json!({"name": name, "version_endpoint": endpoint});
        let mut shop: Application = serde_json::from_value(serde_json::json!({
            "name": "shop", "environment": "production", "project": "shop",
            "components": [part("api"), part("billing"), {"name": "worker"}]
        }))
        .unwrap();
        let says = |billing: &str| -> BTreeMap<ComponentName, Version> {
            [("api", "1.5.0"), ("billing", billing)]
                .map(|(name, says)| (name.parse().unwrap(), says.parse().unwrap()))
                .into()
        };
        let before = shop.clone();
        assert_eq!(versions_apart(&mut shop, &says("1.5.0")), None);
        assert_eq!(shop, before, "one version is the release's");
        let note = versions_apart(&mut shop, &says("3.2")).unwrap();
        assert!(
            note.contains("(api says 1.5.0, billing says 3.2)"),
            "{note}"
        );
        let left = shop
            .components
            .iter()
            .filter(|component| component.version_endpoint.is_some());
        assert_eq!(left.count(), 0);
    }
}
