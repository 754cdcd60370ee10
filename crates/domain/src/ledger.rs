//! The version history: what was put in service, by whom, and whether it was proved healthy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    name::{ComponentName, ImageId, RollbackId, SpecificationDigest, Version},
    specification::Shape,
    supply::ImageSource,
    time::Moment,
};

/// How a release was put in service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentKind {
    /// Recorded by CI or a person.
    Deploy,
    /// Put back by a rollback.
    Rollback,
    /// Found running: put in service by other means, and nobody reported it.
    Detected,
}

/// What is known of a deployment's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Not looked at for a whole watch window yet.
    Watching,
    /// Proved healthy for its watch window.
    Good,
    /// Its probes turned red and stayed red.
    Bad,
    /// Replaced before its watch window passed, or never seen running: nothing was proved.
    Unproved,
}

/// A release of one application as the planner sees it: its newest deployment and what was ever proved of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its newest deployment.
    pub deployment: Uuid,
    /// Its version.
    pub version: Version,
    /// The commit that it was built from, as it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// When that deployment was made.
    pub deployed_at: Moment,
    /// When a deployment of it was last proved healthy for its whole watch window; none when its images were judged
    /// bad since.
    pub good_at: Option<Moment>,
    /// Why it may not come back, when it is held.
    pub hold: Option<String>,
    /// Why it is insecure, when it is marked so.
    pub insecure: Option<String>,
    /// What each component runs.
    pub components: BTreeMap<ComponentName, ReleaseComponent>,
}

/// An application's newest rollback that put its target in service: the one that can be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRollback {
    /// The rollback.
    pub id: RollbackId,
    /// What served before it, when the ledger knew it.
    pub from: Option<Version>,
    /// What it put in service.
    pub to: Version,
    /// Why somebody else than this rollback holds what served before, when somebody does.
    pub hold_of_others: Option<String>,
}

/// What one component of a release runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseComponent {
    /// The image.
    pub image: ImageId,
    /// The reference that it was deployed by, for people.
    pub reference: String,
    /// Where the image can be had when the engine does not have it.
    #[serde(default)]
    pub sources: Vec<ImageSource>,
    /// The processor that the image is made for, when it was noted.
    #[serde(default)]
    pub architecture: Option<String>,
    /// The image's size in bytes, when it was noted.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The specification it ran with, and whether it can be read with the key we have.
    pub specification: Option<RecordedSpecification>,
}

/// A specification in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedSpecification {
    /// Its digest.
    pub digest: SpecificationDigest,
    /// Whether the key that its environment values are sealed with is the one we have.
    pub readable: bool,
    /// Keyed fingerprints of its environment values by name.
    pub env: BTreeMap<String, String>,
    /// Keyed fingerprints of its commands by what each is for; none when its stored body can not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<BTreeMap<String, String>>,
    /// What it asks for; none when its stored body can not be read.
    #[serde(default)]
    pub shape: Option<Shape>,
}

impl Release {
    /// Whether this release was proved good and nothing speaks against it.
    #[must_use]
    pub fn eligible(&self) -> bool {
        self.good_at.is_some() && self.hold.is_none() && self.insecure.is_none()
    }
}
