//! What is rolled back as one unit: its parts, how to tell that they serve, and how long to wait.

mod approvers;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    compose::ComposeProject,
    front::Front,
    guard::GuardSettings,
    metric::{self, Metric},
    name::{ApplicationName, ComponentName, EnvironmentName, PullReference},
    order,
    probe::{FrontProbe, Probe, VersionEndpoint},
    retention::{CopyPlace, RETAINED_MAX, Retain},
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
    /// Every rule of the definition that types alone do not hold; all violations, not only the first.
    ///
    /// # Errors
    /// The fields that break a rule.
    pub fn check(&self) -> Result<(), Vec<BadField>> {
        let mut bad = Vec::new();
        self.check_engine(&mut bad);
        self.check_components(&mut bad);
        self.check_order(&mut bad);
        if let Some(compose) = &self.compose {
            compose.check(self.project.is_some(), &mut bad);
        }
        self.check_front(&mut bad);
        metric::check(&self.metrics, &mut bad);
        self.check_source(&mut bad);
        self.check_times(&mut bad);
        self.check_retain(&mut bad);
        self.guards.check("guards", &mut bad);
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }

    /// The component of that name.
    #[must_use]
    pub fn component(&self, name: &ComponentName) -> Option<&Component> {
        self.components
            .iter()
            .find(|component| component.name == *name)
    }

    fn check_engine(&self, bad: &mut Vec<BadField>) {
        let path = self.engine.strip_prefix("unix://");
        let absolute =
            path.is_some_and(|path| path.starts_with('/') && is_plain(path, URL_CHARS_MAX));
        if self.engine != "local" && !absolute {
            bad.push(BadField::new(
                "engine",
                "use `local` or `unix:///absolute/path/of/the.sock`",
            ));
        }
    }

    fn check_components(&self, bad: &mut Vec<BadField>) {
        let count = self.components.len();
        if count == 0 || count > COMPONENTS_MAX {
            bad.push(BadField::new(
                "components",
                format!("give 1 to {COMPONENTS_MAX} components"),
            ));
        }
        let mut names = BTreeSet::new();
        for (at, component) in self.components.iter().enumerate() {
            let field = format!("components[{at}]");
            if !names.insert(&component.name) {
                bad.push(BadField::new(
                    format!("{field}.name"),
                    "is used twice; names must differ",
                ));
            }
            self.check_component(&field, component, bad);
        }
    }

    fn check_order(&self, bad: &mut Vec<BadField>) {
        for (at, component) in self.components.iter().enumerate() {
            for need in &component.after {
                if self.component(need).is_none() {
                    let what = format!("{need} is no component of this application");
                    bad.push(BadField::new(format!("components[{at}].after"), what));
                }
            }
        }
        if let Err(circle) = order::waves(&self.components) {
            let names: Vec<&str> = circle.iter().map(ComponentName::as_str).collect();
            let what = format!("{} wait for each other", names.join(", "));
            bad.push(BadField::new("components", what));
        }
    }

    fn check_component(&self, field: &str, component: &Component, bad: &mut Vec<BadField>) {
        if self.project.is_some() != component.containers.is_empty() {
            let what = "name the containers exactly when the application has no Compose `project`";
            bad.push(BadField::new(format!("{field}.containers"), what));
        }
        if component
            .containers
            .iter()
            .any(|name| !is_container_name(name))
        {
            let what = "use container names of letters, digits, `_`, `.`, `-`";
            bad.push(BadField::new(format!("{field}.containers"), what));
        }
        if component.probes.len() > PROBES_MAX {
            bad.push(BadField::new(
                format!("{field}.probes"),
                format!("give at most {PROBES_MAX}"),
            ));
        }
        if let Some(endpoint) = &component.version_endpoint {
            check_port(&format!("{field}.version_endpoint"), endpoint.port, bad);
            check_path(&format!("{field}.version_endpoint"), &endpoint.path, bad);
        }
        if let Some(front) = &component.front {
            front.check(&format!("{field}.front"), bad);
        }
        for (at, probe) in component.probes.iter().enumerate() {
            check_probe(&format!("{field}.probes[{at}]"), probe, bad);
        }
    }

    fn check_front(&self, bad: &mut Vec<BadField>) {
        if self.probes.len() > PROBES_MAX {
            bad.push(BadField::new(
                "probes",
                format!("give at most {PROBES_MAX}"),
            ));
        }
        for (at, probe) in self.probes.iter().enumerate() {
            let http = ["http://", "https://"].iter().any(|scheme| {
                probe
                    .url
                    .strip_prefix(scheme)
                    .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
            });
            if !http || !is_plain(&probe.url, URL_CHARS_MAX) {
                bad.push(BadField::new(
                    format!("probes[{at}].url"),
                    "use a whole http:// or https:// URL",
                ));
            }
            check_status(&format!("probes[{at}]"), probe.status, bad);
            check_contains(&format!("probes[{at}]"), probe.contains.as_deref(), bad);
        }
    }

    fn check_source(&self, bad: &mut Vec<BadField>) {
        if let Some(source) = &self.source {
            source.check("source", bad);
        }
        for (at, component) in self.components.iter().enumerate() {
            let Some(build) = &component.build else {
                continue;
            };
            let field = format!("components[{at}].build");
            if self.source.is_none() {
                let what =
                    "name the repository in the application's `source`, or leave `build` out";
                bad.push(BadField::new(field.clone(), what));
            }
            build.check(&field, bad);
        }
        let builds = self
            .components
            .iter()
            .any(|component| component.build.is_some());
        if self.source.is_some() && !builds {
            let what = "give at least one component a `build`, or leave `source` out";
            bad.push(BadField::new("source", what));
        }
    }

    fn check_retain(&self, bad: &mut Vec<BadField>) {
        let retain = &self.retain;
        if retain.releases == 0 || retain.releases as usize > RETAINED_MAX {
            let what = format!("use 1 to {RETAINED_MAX}");
            bad.push(BadField::new("retain.releases", what));
        }
        if retain.pinned.len() > RETAINED_MAX {
            let what = format!("name at most {RETAINED_MAX} versions");
            bad.push(BadField::new("retain.pinned", what));
        }
        match &retain.copy {
            Some(CopyPlace::Archive(folder)) => {
                let walks = folder.split('/').any(|part| part == "." || part == "..");
                if !folder.starts_with('/') || walks || !is_plain(folder, URL_CHARS_MAX) {
                    let what = "use an absolute folder on the worker's disk";
                    bad.push(BadField::new("retain.copy.archive", what));
                }
            }
            Some(CopyPlace::Registry(prefix)) => {
                let digest = "0".repeat(64);
                let whole = format!("{prefix}/x@sha256:{digest}").parse::<PullReference>();
                if whole.is_err() || prefix.len() > 200 {
                    let what = "use a registry and the beginning of its repositories, such as `registry.example:5000/sternway`";
                    bad.push(BadField::new("retain.copy.registry", what));
                }
            }
            None => {}
        }
    }

    fn check_times(&self, bad: &mut Vec<BadField>) {
        let times = &self.timeouts;
        let limits = [
            ("timeouts.proof_s", times.proof_s, 3600),
            ("timeouts.engine_s", times.engine_s, 3600),
            ("timeouts.step_s", times.step_s, 3600),
            ("timeouts.approval_s", times.approval_s, 86_400),
            ("timeouts.red_s", times.red_s, 3600),
            ("timeouts.build_s", times.build_s, 14_400),
        ];
        for (field, value, max) in limits {
            if value == 0 || value > max {
                bad.push(BadField::new(field, format!("use 1 to {max} seconds")));
            }
        }
        approvers::check(self, bad);
        if self.watch_window_s > 86_400 {
            bad.push(BadField::new("watch_window_s", "use at most 86400 seconds"));
        }
    }
}

fn check_probe(field: &str, probe: &Probe, bad: &mut Vec<BadField>) {
    match probe {
        Probe::Http {
            port,
            path,
            status,
            contains,
        } => {
            check_port(field, *port, bad);
            check_path(field, path, bad);
            check_status(field, *status, bad);
            check_contains(field, contains.as_deref(), bad);
        }
        Probe::Tcp { port } => check_port(field, *port, bad),
    }
}

fn check_port(field: &str, port: u16, bad: &mut Vec<BadField>) {
    if port == 0 {
        bad.push(BadField::new(format!("{field}.port"), "use 1 to 65535"));
    }
}

fn check_path(field: &str, path: &str, bad: &mut Vec<BadField>) {
    if !path.starts_with('/') || !is_plain(path, URL_CHARS_MAX) {
        bad.push(BadField::new(
            format!("{field}.path"),
            "start with `/` and use no spaces or controls",
        ));
    }
}

fn check_status(field: &str, status: Option<u16>, bad: &mut Vec<BadField>) {
    if status.is_some_and(|status| !(100..=599).contains(&status)) {
        bad.push(BadField::new(format!("{field}.status"), "use 100 to 599"));
    }
}

fn check_contains(field: &str, contains: Option<&str>, bad: &mut Vec<BadField>) {
    if contains.is_some_and(|text| text.is_empty() || text.len() > CONTAINS_CHARS_MAX) {
        let what = format!("use 1 to {CONTAINS_CHARS_MAX} bytes, or leave it out");
        bad.push(BadField::new(format!("{field}.contains"), what));
    }
}

pub(crate) fn is_plain(text: &str, chars_max: usize) -> bool {
    text.len() <= chars_max && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_container_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 200
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests;
