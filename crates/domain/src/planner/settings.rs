//! What the target's containers are created from, and what of it differs from what runs.

use std::collections::{BTreeMap, BTreeSet};

use super::{BlockerCode, Planner, WarningCode};
use crate::{
    engine_look::{Container, holdings::Needs},
    front::Front,
    ledger::{RecordedSpecification, ReleaseComponent},
    name::SpecificationDigest,
    specification::{NetworkMode, Privileges, Published, Shape},
};

/// What a container is created from.
pub(super) struct Settings {
    pub(super) digest: SpecificationDigest,
    shape: Option<Shape>,
}

impl Planner<'_> {
    /// The specification that the target ran with when it can be read; else the present container's own.
    pub(super) fn settings(
        &mut self,
        container: &Container,
        part: &ReleaseComponent,
    ) -> Option<Settings> {
        let (name, version) = (&container.component, &self.release.version);
        let look_at_it = format!("compare the settings of {name} with those that {version} had");
        match &part.specification {
            Some(recorded) if recorded.readable => {
                let component = self.snapshot.application.component(name);
                let named = component.map_or(0, |component| component.containers.len());
                let shape = recorded.shape.as_ref();
                let shape = shape.map(|shape| as_copied(shape, container.shape.as_ref(), named));
                let front = component.and_then(|component| component.front.as_ref());
                let shape = shape.map(|shape| behind(shape, front));
                self.differences_are_told(container, recorded, shape.as_ref());
                return Some(Settings {
                    digest: recorded.digest.clone(),
                    shape,
                });
            }
            Some(_) => self.warn(
                WarningCode::SettingsUnknown,
                format!(
                    "the environment that {name} {version} ran with can not be read: the key it is sealed with is not \
                     here; the present environment of {name} is used"
                ),
                format!("put the key file back, or {look_at_it}"),
            ),
            None => self.warn(
                WarningCode::SettingsUnknown,
                format!(
                    "the ledger has no specification of {name} {version}; the present one of {name} is used with the \
                     other image"
                ),
                look_at_it,
            ),
        }
        if container.specification.is_none() {
            let sentence = format!(
                "{} can not be created again from what the engine says of it",
                container.name
            );
            self.block(
                BlockerCode::SpecificationMissing,
                sentence,
                "deploy the version by its usual means",
            );
        }
        Some(Settings {
            digest: container.specification.clone()?,
            shape: container.shape.clone(),
        })
    }

    fn differences_are_told(
        &mut self,
        container: &Container,
        recorded: &RecordedSpecification,
        shape: Option<&Shape>,
    ) {
        let (name, version) = (&container.component, &self.release.version);
        let differ = differing(&container.env, &recorded.env);
        if !differ.is_empty() {
            self.warn(
                WarningCode::EnvironmentDiffers,
                format!(
                    "{name} goes back to the environment that {version} ran with; different now: {}",
                    differ.join(", ")
                ),
                format!("if one of them was changed for good since, such as a password, deploy {version} by its usual means"),
            );
        }
        let differ = differences(container, recorded, shape);
        if !differ.is_empty() {
            self.warn(
                WarningCode::SettingsDiffer,
                format!(
                    "{name} goes back to the settings that {version} ran with, which are not those of now: {}",
                    differ.join("; ")
                ),
                format!("if that is not what you want, deploy {version} by its usual means"),
            );
        }
    }
}

impl Settings {
    /// The ports that nobody else may hold.
    pub(super) fn ports(&self) -> Vec<Published> {
        let ports = self.shape.iter().flat_map(Shape::fixed_ports);
        ports.cloned().collect()
    }

    /// The networks and volumes that have to be there.
    pub(super) fn needs(&self) -> Needs {
        self.shape.as_ref().map(Shape::needs).unwrap_or_default()
    }

    /// The paths of the host that have to be there.
    pub(super) fn binds(&self) -> Vec<String> {
        let binds: BTreeSet<&String> = self.shape.iter().flat_map(Shape::binds).collect();
        binds.into_iter().cloned().collect()
    }
}

/// What a copy gets of a recorded shape: where each container of a component has a name of its own, the host name and
/// the places of its ports are the replica's.
fn as_copied(recorded: &Shape, replica: Option<&Shape>, named: usize) -> Shape {
    let mut copied = recorded.clone();
    let Some(own) = replica.filter(|_| named > 1) else {
        return copied;
    };
    let inside = |shape: &Shape| -> BTreeSet<(u16, String)> {
        let ports = shape.ports.iter();
        ports
            .map(|port| (port.port, port.protocol.clone()))
            .collect()
    };
    if inside(own) == inside(&copied) {
        copied.ports.clone_from(&own.ports);
    }
    copied.hostname.clone_from(&own.hostname);
    copied
}

/// The port that its front holds is not its own any more, whatever it published when it was recorded.
fn behind(mut shape: Shape, front: Option<&Front>) -> Shape {
    if let Some(front) = front {
        shape.ports.retain(|port| !front.takes_over(port));
    }
    shape
}

/// The names whose values differ or that only one side has.
/// What docker-compose 1 writes into a container that it makes anew with the volumes of another, for a scheduler that
/// is no more: nobody's setting.
const OF_COMPOSE: &str = "affinity:container";

fn differing<'a>(
    present: &'a BTreeMap<String, String>,
    target: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let names: BTreeSet<&String> = present.keys().chain(target.keys()).collect();
    names
        .into_iter()
        .filter(|name| *name != OF_COMPOSE && present.get(*name) != target.get(*name))
        .map(String::as_str)
        .collect()
}

/// What differs beside the environment, one phrase each. A command may hold a secret: only that it differs is said.
fn differences(
    present: &Container,
    recorded: &RecordedSpecification,
    shape: Option<&Shape>,
) -> Vec<String> {
    let mut found = Vec::new();
    if let (Some(now), Some(then)) = (&present.shape, shape) {
        let sides = [now, then];
        found.extend(lists("ports", sides.map(ports)));
        found.extend(lists("mounts", sides.map(mounts)));
        found.extend(lists("networks", sides.map(networks)));
        found.extend(texts("user", sides.map(|side| &side.user)));
        found.extend(texts("working folder", sides.map(|side| &side.working_dir)));
        found.extend(texts("host name", sides.map(|side| &side.hostname)));
        if privileges(now) != privileges(then) {
            found.push("privileges".to_owned());
        }
    }
    if let (Some(now), Some(then)) = (&present.commands, &recorded.commands) {
        found.extend(
            differing(now, then)
                .into_iter()
                .map(|what| format!("another {what}")),
        );
    }
    found
}

fn ports(shape: &Shape) -> Vec<String> {
    let all = shape.publish_all.then(|| "every exposed one".to_owned());
    shape
        .ports
        .iter()
        .map(ToString::to_string)
        .chain(all)
        .collect()
}

/// Whose mounts are taken over goes by names and identities that the replica keeps: only how many counts.
fn mounts(shape: &Shape) -> Vec<String> {
    let others = shape.volumes_from.len();
    let others = (others > 0).then(|| format!("those of other containers ({others})"));
    let own = shape.mounts.iter().map(ToString::to_string);
    own.chain(others).collect()
}

/// By name: the addresses in them are the replica's own.
fn networks(shape: &Shape) -> Vec<String> {
    match &shape.network {
        NetworkMode::Host => vec!["the host's".to_owned()],
        NetworkMode::None => Vec::new(),
        NetworkMode::Container(_) => vec!["another container's".to_owned()],
        NetworkMode::Bridge | NetworkMode::Named(_) => {
            let first = shape.network.first_network().map(str::to_owned);
            let names: BTreeSet<String> = shape.networks.keys().cloned().chain(first).collect();
            names.into_iter().collect()
        }
    }
}

/// A container that is shared with goes by its identity, which is new each time.
fn privileges(shape: &Shape) -> Privileges {
    let mut privileges = shape.privileges.clone();
    for mode in [&mut privileges.pid_mode, &mut privileges.ipc_mode] {
        if let Some(mode) = mode.as_mut().filter(|mode| mode.starts_with("container:")) {
            mode.truncate("container:".len());
        }
    }
    privileges
}

/// Only what one side has alone, where there is more than that: of ten mounts the one that moved.
fn lists(what: &str, sides: [Vec<String>; 2]) -> Option<String> {
    let said = |side: &[String]| match side {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let [now, then] = sides.map(|mut side| {
        side.sort();
        side
    });
    if now == then {
        return None;
    }
    let alone = |side: &[String], other: &[String]| -> Vec<String> {
        let own = side.iter().filter(|one| !other.contains(one));
        own.cloned().collect()
    };
    let (only_now, only_then) = (alone(&now, &then), alone(&then, &now));
    if only_now.len() == now.len() && only_then.len() == then.len() {
        return Some(format!("{what} {} then, {} now", said(&then), said(&now)));
    }
    let parts = [("with", only_then), ("without", only_now)];
    let parts = parts.iter().filter(|(_, side)| !side.is_empty());
    let parts: Vec<String> = parts
        .map(|(word, side)| format!("{word} {}", side.join(", ")))
        .collect();
    Some(format!("{what} {}", parts.join(" and ")))
}

fn texts(what: &str, [now, then]: [&Option<String>; 2]) -> Option<String> {
    let side = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
    lists(what, [side(now), side(then)]).map(|said| said.replace(" none ", " the default "))
}
