//! What is rolled back as one unit: its parts, how to tell that they serve, and how long to wait.

mod approvers;
mod check;

pub(crate) use check::is_plain;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    compose::ComposeProject,
    front::Front,
    guard::GuardSettings,
    metric::Metric,
    name::{ApplicationName, ComponentName, EnvironmentName},
    probe::{FrontProbe, Probe, VersionEndpoint},
    retention::Retain,
    source::{Build, Source},
    time::Millis,
};

/// Most components of one application; each costs its own switch.
pub const COMPONENTS_MAX: usize = 64;
/// Most probes of one component, and of one front.
pub const PROBES_MAX: usize = 16;
/// Longest text that a probe may look for.
pub const CONTAINS_CHARS_MAX: usize = 512;
/// Longest path or URL of a probe.
pub const URL_CHARS_MAX: usize = 2048;

/// The definition of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Unique name.
    pub name: ApplicationName,
    /// Where it runs, such as `production`.
    pub environment: EnvironmentName,
    /// The engine it runs on: `local` (the server's own `DOCKER_HOST`) or `unix:///path`.
    #[serde(default = "engine_default")]
    pub engine: String,
    /// The Compose project that its components belong to; none for plain containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ComponentName>,
    /// Where that project keeps its files, when they can be read from where Sternway runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<ComposeProject>,
    /// How long the probes must stay green after the switch, in seconds (the runbook says 15 to 30 minutes).
    #[serde(default = "watch_window_default")]
    #[schema(maximum = 86400)]
    pub watch_window_s: u32,
    /// Whether a rollback waits for one other person's approval before it starts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval: bool,
    /// How many other persons have to approve it, when any has to: one, or two for what can not be put right again.
    #[serde(default = "approvers::one", skip_serializing_if = "approvers::is_one")]
    #[schema(minimum = 1, maximum = 2)]
    pub approvers: u8,
    /// What is done when a held release is found running again.
    #[serde(default, skip_serializing_if = "OnReturn::is_default")]
    pub on_return: OnReturn,
    /// How long each thing may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// The limits within which an alert may roll it back by itself.
    #[serde(default, skip_serializing_if = "GuardSettings::is_default")]
    pub guards: GuardSettings,
    /// Where its source is, for versions whose images are gone and have to be built again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What of its past is kept.
    #[serde(default, skip_serializing_if = "Retain::is_default")]
    pub retain: Retain,
    /// Checks through the front, as clients see the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 16)]
    pub probes: Vec<FrontProbe>,
    /// Numbers that answer the runbook's questions for whoever decides. They start nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub metrics: Vec<Metric>,
    /// Its parts, in the order in which they are switched.
    #[schema(min_items = 1, max_items = 64)]
    pub components: Vec<Component>,
}

/// What is done when a held release is found running again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnReturn {
    /// It is recorded and announced.
    #[default]
    Report,
    /// It is rolled back to the last known good release, once; if it comes back once more, a person is asked.
    PutBack,
}

impl OnReturn {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One part of an application: a Compose service, or a named set of plain containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name; with a Compose project, the service's name.
    pub name: ComponentName,
    /// The names of its containers when they do not belong to a Compose project.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub containers: Vec<String>,
    /// How its image is built from the application's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// The components that it needs: it is switched after them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub after: Vec<ComponentName>,
    /// Where it says which version it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_endpoint: Option<VersionEndpoint>,
    /// Whether two versions of it may run at once. None given: only where it has a fixed published port and writes
    /// to nothing that outlives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<bool>,
    /// Checks at each of its replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 16)]
    pub probes: Vec<Probe>,
    /// The balancer that its clients come through; none when they reach it by a published port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<Front>,
}

/// How long each thing may take, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// From a replica's start to its proof.
    #[schema(minimum = 1, maximum = 3600)]
    pub proof_s: u32,
    /// How long an engine that does not answer is waited for.
    #[schema(minimum = 1, maximum = 3600)]
    pub engine_s: u32,
    /// How long one step other than the proof may be tried.
    #[schema(minimum = 1, maximum = 3600)]
    pub step_s: u32,
    /// How long an approval is waited for; a plan is not fresh for longer.
    #[schema(minimum = 1, maximum = 86400)]
    pub approval_s: u32,
    /// How long a red probe may stay red during the watch window.
    #[schema(minimum = 1, maximum = 3600)]
    pub red_s: u32,
    /// How long the build of one component may take, its source's way here included. The usual limit is not
    /// written, so that definitions of before keep their bytes.
    #[serde(skip_serializing_if = "is_build_default")]
    #[schema(minimum = 1, maximum = 14400)]
    pub build_s: u32,
}

/// A build compiles: minutes, and rarely half an hour.
const BUILD_S_DEFAULT: u32 = 1800;

impl Default for Timeouts {
    fn default() -> Self {
        // An engine under a supervisor needs two starts and about 20 s after a SIGKILL; a host boot
        // takes minutes. A step costs at most one grace period (10 s by default) and a start.
        Self {
            proof_s: 60,
            engine_s: 300,
            step_s: 120,
            approval_s: 900,
            red_s: 15,
            build_s: BUILD_S_DEFAULT,
        }
    }
}

impl Timeouts {
    /// The proof's deadline.
    #[must_use]
    pub fn proof(&self) -> Millis {
        Millis::from_secs(self.proof_s)
    }
}

fn engine_default() -> String {
    "local".to_owned()
}

fn watch_window_default() -> u32 {
    900
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it may skip by reference"
)]
fn is_build_default(seconds: &u32) -> bool {
    *seconds == BUILD_S_DEFAULT
}

/// What is wrong with a definition: the field and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {what}")]
pub struct BadField {
    /// Path of the field, such as `components[1].probes[0].path`.
    pub field: String,
    /// What is wrong and what to write instead.
    pub what: String,
}

impl BadField {
    pub(crate) fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            what: what.into(),
        }
    }
}

impl Application {
    /// The component of that name.
    #[must_use]
    pub fn component(&self, name: &ComponentName) -> Option<&Component> {
        self.components
            .iter()
            .find(|component| component.name == *name)
    }
}

#[cfg(test)]
mod tests;
