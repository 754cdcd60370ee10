//! Clearing away: server, containers, network, keepers, folder. Called on every way out, and again later for
//! what a demo that was killed had to leave. Each part is tried even when another one failed.

use std::path::Path;

use docker::{Engine, LookRequest, PerformContext};
use domain::{
    application::Application,
    effect::{Effect, Outcome},
    engine_look::EngineLook,
    name::{Fence, RollbackId},
};
use uuid::Uuid;

use super::{
    compose::Compose,
    folder::{Folder, Note},
    server,
    story::PROJECT,
};
use crate::{client::problem::Failure, exit::Exit, out::Out};

/// Seconds for a container of the demo to end by itself.
const GRACE_S: u32 = 2;

/// Removes the application, and the folder once nothing is left that its note is needed for. The server must
/// have ended.
///
/// # Errors
/// What could not be removed.
pub async fn away(folder: Folder, compose: &Compose, note: &Note) -> Result<(), Failure> {
    let mut left = Vec::new();
    if let Err(failure) = compose.down().await {
        left.push(failure.problem.detail.unwrap_or_default());
    }
    let application = note.application.clone().or_else(|| nominal().ok());
    if let Some(application) = application
        && let Err(said) = containers(&note.docker_host, &application).await
    {
        left.push(said);
    }
    if left.is_empty() {
        return folder.remove();
    }
    let mut failure = Failure::new(
        Exit::Internal,
        "not everything of the demo could be removed",
        &["`sternway demo --stop` tries again"],
    );
    failure.problem.difference = left;
    Err(failure)
}

/// Makes sure that nobody's demo is on the engine. What a rollback that was cut off once left there is removed;
/// containers are not, since they may be somebody's.
///
/// # Errors
/// When there are containers.
pub async fn before(endpoint: &str) -> Result<(), Failure> {
    let unknown = |said: String| {
        Failure::new(
            Exit::Unreachable,
            said,
            &["`sternway doctor` looks at the engine"],
        )
    };
    let application = nominal()?;
    let look = look(endpoint, &application).await.map_err(unknown)?;
    if let Some(container) = look.containers.first() {
        let what = format!(
            "the engine has containers of the demo already, such as {}",
            container.name
        );
        return Err(Failure::new(
            Exit::Conflict,
            what,
            &["stop that demo where it was started, or remove them with docker-compose down"],
        ));
    }
    containers(endpoint, &application).await.map_err(unknown)
}

/// The application as far as it is known before anything was adopted.
fn nominal() -> Result<Application, Failure> {
    let definition = serde_json::json!({
        "name": PROJECT, "environment": "demo", "project": PROJECT, "components": [{"name": "api"}, {"name": "worker"}]
    });
    serde_json::from_value(definition)
        .map_err(|error| Failure::new(Exit::Internal, error.to_string(), &[]))
}

async fn look(endpoint: &str, application: &Application) -> Result<EngineLook, String> {
    let engine = Engine::connect(endpoint).map_err(|error| error.to_string())?;
    let request = LookRequest {
        application,
        images: &[],
        disk: false,
        paths: &[],
        specifications: false,
    };
    Ok(engine
        .look(&request)
        .await
        .map_err(|error| error.to_string())?
        .look)
}

/// Ends and removes what an earlier demo left, on purpose or not.
///
/// # Errors
/// What could not be removed.
pub async fn left(folder: Folder, note: &Note, out: &Out) -> Result<(), Failure> {
    if let Some(pid) = note.server {
        server::stop_left(pid, &folder.state()).await;
    }
    let compose = Compose::find(&note.compose_file, &note.docker_host).await?;
    away(folder, &compose, note).await?;
    out.say("Removed: the demo's server, its state, its containers and their network.");
    Ok(())
}

/// What Compose does not know of: keepers, the lock, and containers of a rollback that was cut off. It is done
/// under the identity of whoever holds the lock, who is known to be dead.
async fn containers(endpoint: &str, application: &Application) -> Result<(), String> {
    let look = look(endpoint, application).await?;
    let mut effects = Vec::new();
    for container in look.containers {
        effects.push(Effect::StopContainer {
            container: container.id.clone(),
            grace_s: GRACE_S,
        });
        effects.push(Effect::RemoveContainer {
            container: container.id,
        });
    }
    let holder = look
        .lock
        .as_ref()
        .map_or(RollbackId(Uuid::nil()), |lock| lock.rollback);
    let owned = look
        .kept
        .into_values()
        .chain(look.lock.map(|lock| lock.container));
    effects.extend(owned.map(|container| Effect::RemoveContainer { container }));
    let ctx = PerformContext {
        application,
        rollback: holder,
        fence: Fence(i64::MAX),
        step: 0,
        owner: "sternway demo",
        specification: None,
        claim: &Alone,
    };
    let engine = Engine::connect(endpoint).map_err(|error| error.to_string())?;
    for effect in &effects {
        match Box::pin(engine.perform(effect, &ctx)).await.outcome {
            Outcome::Done => {}
            Outcome::Failed { said, .. } | Outcome::Unknown { said } => return Err(said),
        }
    }
    Ok(())
}

/// Whether this note is of a demo that was left running on purpose and still runs.
#[must_use]
pub fn is_kept(note: &Note, state: &Path) -> bool {
    note.kept && note.server.is_some_and(|pid| server::is_ours(pid, state))
}

/// The demo's server is stopped when its containers are cleared away: nobody else can act on them.
#[derive(Debug)]
struct Alone;

impl docker::Claim for Alone {
    fn holds(&self) -> bool {
        true
    }
}
