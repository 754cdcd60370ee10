//! Which manner is legal for a component. Two versions run at once during a handover, and a container is taken off
//! its networks while it runs: what does not bear either is stopped and started, and the plan says why.

mod front;

use std::{cmp::Reverse, collections::BTreeSet};

use super::{Place, Snapshot, Warning, WarningCode};
use crate::{
    application::Component,
    engine_look::{Container, EngineLook},
    ledger::ReleaseComponent,
    plan::{Chosen, Companion, End, Ends, Joint, Manner},
    specification::{Endpoint, Mounted, NetworkMode, Published, Shape},
};

/// Most containers that are connected to a stage: each costs two calls, before and after.
const COMPANY_MAX: usize = 32;

/// A component's manner, and for a handover the ends of each of its places.
pub(super) fn choose(
    snapshot: &Snapshot<'_>,
    component: &Component,
    part: &ReleaseComponent,
    places: &[&Place<'_>],
) -> (Manner, Vec<Option<Ends>>) {
    if let Some(front) = &component.front {
        let stops_first = front::stops_first(snapshot.look, component, front, part, places);
        return (Manner::Front { stops_first }, vec![None; places.len()]);
    }
    let stop_start = |why: String| (Manner::StopStart { why }, vec![None; places.len()]);
    let ends: Result<Vec<Ends>, String> = places
        .iter()
        .map(|place| ends(snapshot.look, component, part, place))
        .collect();
    match ends {
        Err(why) => stop_start(why),
        Ok(ends) => {
            let company = company(snapshot.look, component, places);
            if company.len() > COMPANY_MAX {
                return stop_start(format!(
                    "{} containers share a network with it, too many to bring along",
                    company.len()
                ));
            }
            let ends = ends.into_iter().map(Some).collect();
            (Manner::Handover { company }, ends)
        }
    }
}

/// Where a replica's two containers belong, or why a handover is not for it.
fn ends(
    look: &EngineLook,
    component: &Component,
    part: &ReleaseComponent,
    place: &Place<'_>,
) -> Result<Ends, String> {
    let former = place.replica;
    let (present, target) = shapes(former, part)?;
    may_run_twice(component, former, target)?;
    if !former.runs() || former.live.networks.is_empty() {
        return Err(
            "it does not run, or not on any network: there is nothing to keep serving".to_owned(),
        );
    }
    if place.leftovers.iter().any(|left| left.is_up()) {
        return Err("something that an earlier rollback left of it still runs".to_owned());
    }
    for shape in [present, target] {
        has_networks(shape)?;
    }
    shares_with_nobody(look, former)?;
    Ok(Ends {
        former: End {
            joints: in_order(former.live.networks.iter().map(|on| {
                let joint = Joint {
                    network: on.network.clone(),
                    endpoint: on.endpoint.clone(),
                };
                (on.internal, joint)
            })),
            ports: fixed(present)
                .into_iter()
                .filter(|port| former.live.holds(port))
                .collect(),
        },
        target: End {
            joints: in_order(target.networks.iter().map(|(network, endpoint)| {
                let joint = Joint {
                    network: network.clone(),
                    endpoint: of_replica(former, network, endpoint),
                };
                (look.internal.contains(network), joint)
            })),
            ports: of_place(component, present, target),
        },
    })
}

fn shapes<'a>(
    former: &'a Container,
    part: &'a ReleaseComponent,
) -> Result<(&'a Shape, &'a Shape), String> {
    let present = former.shape.as_ref();
    let target = match &part.specification {
        Some(recorded) if recorded.readable => recorded.shape.as_ref(),
        Some(_) | None => present,
    };
    present
        .zip(target)
        .ok_or_else(|| "what it asks for could not be worked out".to_owned())
}

fn may_run_twice(component: &Component, former: &Container, target: &Shape) -> Result<(), String> {
    let if_legal = "if two of it may run at once, say `overlap = true` for it in the definition";
    match component.overlap {
        Some(true) => Ok(()),
        Some(false) => Err("the definition says `overlap = false`".to_owned()),
        None if target.fixed_ports().next().is_none() => Err(format!(
            "it publishes no fixed port and may be a worker, whose work two of it would do twice; {if_legal}"
        )),
        None => {
            let mounts = former.live.mounts.iter().chain(&target.mounts);
            match mounts.into_iter().find(|mount| mount.shares_writes()) {
                Some(Mounted { target, .. }) => Err(format!(
                    "two versions of it would write to {target} at the same time; {if_legal}"
                )),
                None if !target.volumes_from.is_empty() => Err(format!(
                    "it writes where other containers do (`volumes_from`); {if_legal}"
                )),
                None => Ok(()),
            }
        }
    }
}

/// A share names a container by its identity: it lasts exactly as long as both run, so neither end is moved alone.
fn shares_with_nobody(look: &EngineLook, former: &Container) -> Result<(), String> {
    if !former.joins.is_empty() {
        return Err(
            "it shares the memory or the processes of another container, or is linked to it"
                .to_owned(),
        );
    }
    let by_part = look
        .containers
        .iter()
        .filter(|other| other.is_up() && other.joins.contains(&former.id))
        .map(|other| &other.name);
    let by_guest = look.guests.iter().filter(|(_, host)| **host == former.id);
    let lodgers = &former.live.lodgers;
    let mut all = by_part.chain(lodgers).chain(by_guest.map(|(name, _)| name));
    match all.next() {
        Some(lodger) => Err(format!(
            "{lodger} shares its network, memory or processes, or is linked to it, and would lose them"
        )),
        None => Ok(()),
    }
}

fn has_networks(shape: &Shape) -> Result<(), String> {
    let mode = match &shape.network {
        NetworkMode::Bridge | NetworkMode::Named(_) => None,
        NetworkMode::Host => Some("it has the host's own network"),
        NetworkMode::None => Some("it has no network"),
        NetworkMode::Container(_) => Some("it shares the network of another container"),
    };
    if let Some(mode) = mode {
        return Err(format!("{mode}, and no port of its own to move"));
    }
    if !shape.links.is_empty() {
        return Err(
            "it has links of the default bridge, which only a start puts in place".to_owned(),
        );
    }
    if shape.networks.is_empty() {
        return Err("its networks are not known".to_owned());
    }
    Ok(())
}

/// What belongs to the replica and not to its component: its address, and its own name where that is an alias.
fn of_replica(former: &Container, network: &str, meant: &Endpoint) -> Endpoint {
    let mut endpoint = meant.clone();
    let Some(now) = former.live.on(network) else {
        return endpoint;
    };
    let has_address = now.endpoint.ipv4.is_some() || now.endpoint.ipv6.is_some();
    if has_address {
        endpoint.ipv4.clone_from(&now.endpoint.ipv4);
        endpoint.ipv6.clone_from(&now.endpoint.ipv6);
        endpoint.link_local.clone_from(&now.endpoint.link_local);
    }
    let name = crate::plan::base_of_interim(&former.name).unwrap_or(&former.name);
    let named = now.endpoint.aliases.iter().any(|alias| alias == name);
    if named && !endpoint.aliases.iter().any(|alias| alias == name) {
        endpoint.aliases.insert(0, name.to_owned());
    }
    endpoint
}

/// The engine's own order: what gives the gateway comes first, and gives it only once.
fn in_order(joints: impl Iterator<Item = (bool, Joint)>) -> Vec<Joint> {
    let mut joints: Vec<(bool, Joint)> = joints.collect();
    joints.sort_by_key(|(internal, joint)| {
        let priority = Reverse(joint.endpoint.gateway_priority);
        (*internal, priority, joint.network.clone())
    });
    joints.into_iter().map(|(_, joint)| joint).collect()
}

/// Hand-made replicas of one component differ in the host's ports: each keeps its own, as when it is created.
fn of_place(component: &Component, present: &Shape, target: &Shape) -> Vec<Published> {
    let inside = |shape: &Shape| -> BTreeSet<(u16, String)> {
        let ports = shape.ports.iter();
        ports
            .map(|port| (port.port, port.protocol.clone()))
            .collect()
    };
    if component.containers.len() > 1 && inside(present) == inside(target) {
        fixed(present)
    } else {
        fixed(target)
    }
}

fn fixed(shape: &Shape) -> Vec<Published> {
    shape.fixed_ports().cloned().collect()
}

/// Who else is found on the component's networks: other parts of the application, and what belongs to the same
/// project without being part of it, such as its database.
fn company(look: &EngineLook, component: &Component, places: &[&Place<'_>]) -> Vec<Companion> {
    let shared: BTreeSet<&str> = places
        .iter()
        .flat_map(|place| &place.replica.live.networks)
        .map(|on| on.network.as_str())
        // Nobody has a name on the default bridge.
        .filter(|network| *network != "bridge")
        .collect();
    let parts = look
        .containers
        .iter()
        .filter(|other| other.component != component.name && other.runs())
        .map(|other| (&other.id, &other.name, &other.live.networks));
    let neighbours = look
        .neighbours
        .iter()
        .map(|other| (&other.id, &other.name, &other.networks));
    parts
        .chain(neighbours)
        .filter_map(|(id, name, networks)| {
            let mut aliases: Vec<String> = Vec::new();
            let on: Vec<_> = networks
                .iter()
                .filter(|on| shared.contains(on.network.as_str()))
                .collect();
            for on in &on {
                aliases.extend(on.endpoint.aliases.iter().cloned());
            }
            aliases.sort();
            aliases.dedup();
            (!on.is_empty()).then(|| Companion {
                container: id.clone(),
                name: name.clone(),
                aliases,
            })
        })
        .collect()
}

/// What a person should know of a component's manner.
pub(super) fn warnings(
    component: &Component,
    manner: &Manner,
    places: &[&Place<'_>],
) -> Vec<Warning> {
    let name = &component.name;
    match manner {
        Manner::StopStart { .. } => {}
        Manner::Front { stops_first } => {
            return front::warnings(component, stops_first.as_deref(), places);
        }
        Manner::Handover { .. } => return Vec::new(),
    }
    let mut warnings: Vec<Warning> = killed(places).into_iter().collect();
    let published = places.iter().any(|place| {
        let shape = place.replica.shape.as_ref();
        shape.is_some_and(|shape| {
            shape.network.has_endpoints() && shape.fixed_ports().next().is_some()
        })
    });
    if published {
        warnings.push(Warning {
            code: WarningCode::NeighbourTimer,
            sentence: format!(
                "clients of {name} may wait for a second more: one that retries while its port is moved on a bridge can \
                 hit the kernel's one-second neighbour timer"
            ),
            next_action:
                "`sysctl -w net.ipv4.neigh.default.retrans_time_ms=50` before the bridge is made, or the same for the \
                 bridge itself, cures it"
                    .to_owned(),
        });
    }
    warnings
}

/// Which components are stopped and started, those of one reason in one sentence: five of the same hide the sixth.
pub(super) fn stopped_and_started(manners: &[Chosen]) -> Vec<Warning> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for chosen in manners {
        let Manner::StopStart { why } = &chosen.manner else {
            continue;
        };
        let name = chosen.component.as_str();
        match reasons.iter_mut().find(|(known, _)| *known == why.as_str()) {
            Some((_, names)) => names.push(name),
            None => reasons.push((why.as_str(), vec![name])),
        }
    }
    let warning = |(why, mut names): (&str, Vec<&str>)| {
        let last = names.pop().unwrap_or_default();
        let who = match names.as_slice() {
            [] => format!("{last} is"),
            others => format!("{} and {last} are each", others.join(", ")),
        };
        Warning {
            code: WarningCode::StoppedAndStarted,
            sentence: format!("{who} stopped and started, not handed over: {why}"),
            next_action:
                "go on if clients can wait that long; `overlap` in the definition says whether two versions may run at once"
                    .to_owned(),
        }
    };
    reasons.into_iter().map(warning).collect()
}

/// That a component's last stop was no stop.
fn killed(places: &[&Place<'_>]) -> Option<Warning> {
    let mut all = places.iter().flat_map(|place| place.all());
    let killed = all.find(|container| !container.is_up() && container.exit_code == KILLED)?;
    Some(Warning {
        code: WarningCode::StopEndsInKill,
        sentence: format!(
            "the last stop of {} ended in its being killed (exit code {KILLED}) after {} s: the outage is as long",
            killed.name, killed.stop_grace_s
        ),
        next_action:
            "let it end on its stop signal, or set `stop_signal` or a shorter `stop_grace_period`"
                .to_owned(),
    })
}

/// How a process ends that did not end when it was asked to.
const KILLED: i64 = 137;

#[cfg(test)]
mod tests;
