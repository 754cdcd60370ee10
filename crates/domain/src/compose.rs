//! The Compose project that an application belongs to: where its files are, and where the site keeps the version
//! that it deploys. Nothing here reads a file.

pub mod env_file;
pub mod override_file;
pub mod place;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    application::BadField,
    name::{ComponentName, ImageId, VariableName},
    seen::Seen,
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
    /// As images of its services, in an override file of ours that Compose reads after the site's own files.
    Override,
}

/// The environment file that Compose reads when nobody names another.
const ENV_FILE: &str = ".env";

impl ComposeProject {
    /// The name of its environment file.
    #[must_use]
    pub fn env_file(&self) -> &str {
        self.env_file.as_deref().unwrap_or(ENV_FILE)
    }

    /// The command with which a person calls Compose for it, by its own files, and where.
    #[must_use]
    pub fn command(&self, words: &str) -> String {
        let files = self.files.iter().map(|file| format!(" -f {file}"));
        let env = self
            .env_file
            .iter()
            .map(|file| format!(" --env-file {file}"));
        let options: String = files.chain(env).collect();
        format!("`docker-compose{options} {words}` in {}", self.folder)
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

/// Stands for the value of a pin's variable in the images that a plan looks at. No image has it by chance.
pub const MARK: &str = "sternway-asks";

/// One look at a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectLook {
    /// As Compose reads it; absent when Compose was not asked.
    pub read: Seen<ProjectRead>,
    /// The file that a pin is written into; absent when the definition has no pin.
    pub file: Seen<PinFile>,
    /// The list of files that has to name it; none where Compose finds it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
}

/// The list of a project's files, in its environment file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The environment file, with the list that it has now.
    pub file: PinFile,
    /// The list with our override file.
    pub with: Option<String>,
    /// The list without it.
    pub without: Option<String>,
}

/// The file that a pin is written into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinFile {
    /// Its path.
    pub path: String,
    /// What the pin's variable is in it, none when it does not set it; of an override file of ours the images that it
    /// pins, none when it is not there.
    pub value: Option<String>,
    /// What became of it.
    pub state: PinState,
}

/// What became of the file that a rollback pins a version in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PinState {
    /// This rollback has not written it.
    Free,
    /// It is what this rollback wrote, byte for byte.
    Ours,
    /// It is what it was before, byte for byte.
    Former,
    /// Somebody edited it since.
    Edited {
        /// The names of the variables or keys that differ; values may be secrets.
        difference: String,
    },
}

/// What a plan says of a project whose version it pins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedProject {
    /// What is written; none when it can not be, which `drift` explains.
    pub pin: Option<Pin>,
    /// The list of files that is changed with it, where Compose would not find it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Pin>,
    /// Components that Compose, run by us, reads as whoever started them did.
    pub understood: Vec<ComponentName>,
    /// Where Compose will not tell the truth afterwards, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
    /// Whether Compose said nothing in time: what it would make of the containers is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unread: bool,
}

impl PlannedProject {
    /// What is written, in that order: no list ever names a file that is not there.
    #[must_use]
    pub fn pins(&self) -> Vec<&Pin> {
        let mut pins: Vec<&Pin> = self.pin.iter().chain(&self.listing).collect();
        if self.pin.as_ref().is_some_and(|pin| pin.to.is_none()) {
            pins.reverse();
        }
        pins
    }

    /// With the images that were built in place of those that the plan named.
    pub(crate) fn as_built(&mut self, built: &BTreeMap<ComponentName, ImageId>) {
        let Some(Pin {
            variable: None,
            to: Some(to),
            ..
        }) = &mut self.pin
        else {
            return;
        };
        if let Some(images) = override_file::Images::parse(to) {
            let built = built.iter();
            let built = built.map(|(name, image)| (name.clone(), image.to_string()));
            *to = images.with(built).to_string();
        }
    }
}

/// A version to write where the site keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The file.
    pub path: String,
    /// The variable in it; none for an override file of ours, which has images instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<VariableName>,
    /// What it says now.
    pub from: Option<String>,
    /// What it shall say; none for an override file that is not needed.
    pub to: Option<String>,
}

impl Pin {
    /// That it was written, as a sentence.
    #[must_use]
    pub fn stands(&self) -> String {
        match (&self.variable, &self.to) {
            (Some(variable), to) => {
                let to = to.as_deref().unwrap_or_default();
                format!("{variable}={to} stands in {}", self.path)
            }
            (None, Some(to)) => format!("{} pins {to}", self.path),
            (None, None) => format!("the Compose files name it, without {}", self.path),
        }
    }

    /// What it says, or said: the variable with that value, or the images.
    #[must_use]
    pub fn says(&self, value: Option<&String>) -> String {
        match (&self.variable, value) {
            (Some(variable), Some(value)) => format!("{variable}={value}"),
            (Some(variable), None) => format!("no {variable}"),
            (None, Some(images)) => images.clone(),
            (None, None) => "no image".to_owned(),
        }
    }
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
