//! Whether the engine and its host are fit for the target: room, ports, paths, and nobody else at work.

use std::collections::BTreeSet;

use super::{BlockerCode, Planner, WarningCode};
use crate::{
    engine_look::{EngineLook, TakenPort, holdings::Lacking},
    name::ContainerId,
    plan::Swap,
    seen::Seen,
    specification::Published,
};

impl Planner<'_> {
    pub(super) fn engine_is_fit(&mut self, room: u64) {
        match &self.snapshot.look.engine.disk_free {
            Seen::Known(free) if *free < room => {
                let sentence = format!(
                    "the engine has {} MiB of disk left and needs {} MiB",
                    free >> 20,
                    room >> 20
                );
                self.block(
                    BlockerCode::DiskFull,
                    sentence,
                    "free some disk where the engine keeps its data, then ask again",
                );
            }
            Seen::Known(_) => {}
            Seen::Unknown(_) | Seen::Absent => self.warn(
                WarningCode::DiskUnknown,
                "how much room the engine's disk has is not known: its folder can not be seen from here".to_owned(),
                format!("see to it that {} MiB are free where the engine keeps its data", room >> 20),
            ),
        }
        if let Some(lock) = self.snapshot.look.lock.as_ref().filter(|lock| !lock.stale) {
            let sentence = format!(
                "{} holds this application on its engine with rollback {}",
                lock.owner, lock.rollback
            );
            let action = format!(
                "wait for it; if it is gone for good, remove container {}",
                lock.container.short()
            );
            self.block(BlockerCode::LockedElsewhere, sentence, action);
        }
    }

    /// What would only be found when the target starts, with what serves stopped already.
    pub(super) fn host_is_ready(&mut self, swaps: &[Swap]) {
        let look = self.snapshot.look;
        let outgoing: BTreeSet<&ContainerId> = swaps
            .iter()
            .flat_map(|swap| swap.leftovers.iter().chain([&swap.former]))
            .collect();
        for swap in swaps {
            for (port, holder) in ports_taken(look, swap, |id| outgoing.contains(id)) {
                self.block(
                    BlockerCode::PortTaken,
                    format!(
                        "{} publishes {port}, and container {holder} holds that port of the host",
                        swap.component
                    ),
                    format!("stop {holder} or give it another port, then ask again"),
                );
            }
            for lacking in lacking(look, swap) {
                let code = match lacking {
                    Lacking::Network(_) => BlockerCode::NetworkMissing,
                    Lacking::Volume(_) => BlockerCode::VolumeMissing,
                };
                self.block(code, lacking.said(&swap.component), lacking.next_action());
            }
            for path in paths_missing(look, swap) {
                self.block(
                    BlockerCode::BindSourceMissing,
                    format!(
                        "{} mounts {path}, which is not there on the engine's host",
                        swap.component
                    ),
                    format!("put {path} back as it was, or choose another version"),
                );
            }
        }
        let asked = |swap: &Swap| {
            let component = self.snapshot.application.component(&swap.component);
            component.is_some_and(|component| component.version_endpoint.is_some())
        };
        if !swaps.is_empty() && !swaps.iter().any(asked) {
            self.warn(
                WarningCode::VersionNotAsked,
                format!(
                    "no component that changes says its version: that {} serves is proved by its image and its probes only",
                    self.release.version
                ),
                "give a component a `version_endpoint` in the definition".to_owned(),
            );
        }
    }
}

/// The ports that the target of a swap publishes and that a container which stays holds, with that container's name.
pub(crate) fn ports_taken<'a>(
    look: &'a EngineLook,
    swap: &'a Swap,
    gives_way: impl Fn(&ContainerId) -> bool,
) -> Vec<(&'a Published, &'a str)> {
    let others = look
        .taken
        .iter()
        .map(|TakenPort { container, port }| (port, container.as_str()));
    let own = look
        .containers
        .iter()
        .filter(|container| container.is_up() && !gives_way(&container.id))
        .flat_map(|container| {
            container
                .live
                .ports
                .iter()
                .map(|port| (port, container.name.as_str()))
        });
    let held: Vec<(&Published, &str)> = others.chain(own).collect();
    let holder = |port: &Published| {
        let taken = held.iter().find(|(other, _)| port.collides_with(other));
        taken.map(|(_, holder)| *holder)
    };
    let ports = swap.ports.iter();
    ports
        .filter_map(|port| Some((port, holder(port)?)))
        .collect()
}

/// What the target of a swap can not be without and the engine is known not to have.
pub(crate) fn lacking<'a>(
    look: &'a EngineLook,
    swap: &'a Swap,
) -> impl Iterator<Item = Lacking<'a>> {
    let has = look.has.iter();
    has.flat_map(|has| swap.needs.lacking(has))
}

/// The paths that the target of a swap mounts and that are known not to be there.
pub(crate) fn paths_missing<'a>(
    look: &'a EngineLook,
    swap: &'a Swap,
) -> impl Iterator<Item = &'a String> {
    let missing = |path: &&String| matches!(look.paths.get(*path), Some(Seen::Absent));
    swap.binds.iter().filter(missing)
}
