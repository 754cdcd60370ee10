//! The Compose project that an application belongs to: where its files are, and where the site keeps the version
//! that it deploys. Nothing here reads a file.

pub mod env_file;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    application::BadField,
    name::{ComponentName, ImageId, VariableName},
};

/// Most Compose files of one project.
pub const FILES_MAX: usize = 16;
/// Longest path.
pub const PATH_CHARS_MAX: usize = 1024;

/// Where a Compose project keeps its files, as seen from where Sternway runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComposeProject {
    /// The folder that `docker-compose` is called in; nothing outside of it is ever written.
    pub folder: String,
    /// Its Compose files, in the order of `-f`, below the folder; none: as Compose finds them there by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 16)]
    pub files: Vec<String>,
    /// Its environment file below the folder; `.env` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_file: Option<String>,
    /// Where a rollback writes the version; nowhere without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<PinBy>,
}

/// Where a rollback writes the version that it brings back, so that the next `up` does not undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PinBy {
    /// Into this variable of the environment file.
    Env(VariableName),
    /// Into an override file of Sternway's own, which names each image by its identity.
    Override(bool),
}

/// The environment file that Compose reads when nobody names another.
const ENV_FILE: &str = ".env";

impl ComposeProject {
    /// The name of its environment file.
    #[must_use]
    pub fn env_file(&self) -> &str {
        self.env_file.as_deref().unwrap_or(ENV_FILE)
    }

    pub(crate) fn check(&self, has_project: bool, bad: &mut Vec<BadField>) {
        if !has_project {
            bad.push(BadField::new(
                "compose",
                "name the Compose `project` as well",
            ));
        }
        if !self.folder.strip_prefix('/').is_some_and(is_below) {
            let what = "use the absolute path of the project's folder, without `..`";
            bad.push(BadField::new("compose.folder", what));
        }
        if self.files.len() > FILES_MAX {
            let what = format!("give at most {FILES_MAX}");
            bad.push(BadField::new("compose.files", what));
        }
        let what = "use a path below the folder, without `..`";
        for (at, file) in self.files.iter().enumerate() {
            if !is_below(file) {
                bad.push(BadField::new(format!("compose.files[{at}]"), what));
            }
        }
        if !is_below(self.env_file()) {
            bad.push(BadField::new("compose.env_file", what));
        }
        if self.pin == Some(PinBy::Override(false)) {
            let what = "use `{ env = \"VERSION\" }` or `{ override = true }`, or leave it out";
            bad.push(BadField::new("compose.pin", what));
        }
    }
}

/// Whether a path leads below where it starts, as far as its text goes.
fn is_below(path: &str) -> bool {
    path.len() <= PATH_CHARS_MAX
        && !path.chars().any(char::is_control)
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// A project as the site's own Compose reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRead {
    /// Which Compose read it, such as `docker-compose 1.29.2`.
    pub compose: String,
    /// Its services that are components of the application.
    pub services: BTreeMap<ComponentName, Service>,
}

/// A service as the site's own Compose reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What Compose would write on a container of it, and compares to tell whether one is up to date.
    pub hash: String,
    /// The image that it would run.
    pub image: Option<String>,
    /// What that reference names on the engine now.
    pub image_id: Option<ImageId>,
    /// The services that it needs.
    pub needs: Vec<String>,
    /// Whether every container of it carries that hash: then whoever started them saw the same files and the same
    /// variables as we.
    pub reproduced: bool,
}
