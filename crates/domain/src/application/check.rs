//! What a definition has to hold that types alone do not: each rule names the field that breaks it and what to write.

use std::collections::BTreeSet;

use super::{
    Application, BadField, COMPONENTS_MAX, CONTAINS_CHARS_MAX, Component, PROBES_MAX,
    URL_CHARS_MAX, approvers,
};
use crate::{
    address, metric,
    name::{ComponentName, PullReference},
    order,
    probe::Probe,
    retention::{CopyPlace, RETAINED_MAX},
};

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
            let wrong = match address::of_http(&probe.url) {
                Some(found) if found.user.is_some() => Some(address::NO_CREDENTIALS),
                Some(found)
                    if address::is_host(found.host) && is_plain(&probe.url, URL_CHARS_MAX) =>
                {
                    None
                }
                Some(_) | None => Some("use a whole http:// or https:// URL"),
            };
            if let Some(what) = wrong {
                bad.push(BadField::new(format!("probes[{at}].url"), what));
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
