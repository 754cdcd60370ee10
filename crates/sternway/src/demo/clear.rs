//! Clearing away: server, containers, network, keepers, folder. Called on every way out, and again later for
//! what a demo that was killed had to leave. Each part is tried even when another one failed.

use std::path::Path;

use docker::{Engine, LookRequest, PerformContext};
use domain::{
    application::Application,
    effect::{Effect, Outcome},
    name::{Fence, RollbackId},
};
use uuid::Uuid;

use super::{
    compose::Compose,
    folder::{Folder, Note},
    server,
};
use crate::{client::problem::Failure, exit::Exit, out::Out};

/// Seconds for a container of the demo to end by itself.
const GRACE_S: u32 = 2;

/// Removes the application and the folder. The server must have ended.
///
/// # Errors
/// What could not be removed.
pub async fn away(folder: Folder, compose: &Compose, note: &Note) -> Result<(), Failure> {
    let mut left = Vec::new();
    if let Err(failure) = compose.down().await {
        left.push(failure.problem.detail.unwrap_or_default());
    }
    if let Some(application) = &note.application
        && let Err(said) = containers(&note.docker_host, application).await
    {
        left.push(said);
    }
    if let Err(failure) = folder.remove() {
        left.push(failure.problem.detail.unwrap_or_default());
    }
    if left.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Internal, "not everything of the demo could be removed", &["`sternway demo --stop` tries again"]);
    failure.problem.difference = left;
    Err(failure)
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

/// What Compose does not know of: keepers, the lock, and containers of a rollback that was cut off.
async fn containers(endpoint: &str, application: &Application) -> Result<(), String> {
    let engine = Engine::connect(endpoint).map_err(|error| error.to_string())?;
    let request = LookRequest { application, images: &[], disk: false, specifications: false };
    let look = engine.look(&request).await.map_err(|error| error.to_string())?.look;
    let mut effects = Vec::new();
    for container in look.containers {
        effects.push(Effect::StopContainer { container: container.id.clone(), grace_s: GRACE_S });
        effects.push(Effect::RemoveContainer { container: container.id });
    }
    let owned = look.kept.into_values().chain(look.lock.map(|lock| lock.container));
    effects.extend(owned.map(|container| Effect::RemoveContainer { container }));
    let ctx = PerformContext {
        application,
        rollback: RollbackId(Uuid::nil()),
        fence: Fence(i64::MAX),
        step: 0,
        owner: "sternway demo",
        specification: None,
    };
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
