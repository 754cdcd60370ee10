//! What a container has at this moment: its networks, the host's ports that it holds, its mounts.

use std::{cmp::Reverse, collections::BTreeSet};

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, EndpointSettings, MountPoint, PortMap,
};
use domain::{
    application::Application,
    engine_look::{Attached, Live, TakenPort},
    specification::{Endpoint, MountKind, Mounted, Published},
};

use crate::{
    label::own_name,
    specification::{endpoint_of_container, is_anonymous, short_id},
};

/// What matters of the engine's networks, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds {
    /// Those without a way out.
    pub(crate) internal: BTreeSet<String>,
    /// Bridges with a way out.
    pub(crate) bridges: BTreeSet<String>,
}

/// What an inspection says of this moment.
pub(crate) fn read(inspect: &ContainerInspectResponse, kinds: &Kinds) -> Live {
    let settings = inspect.network_settings.clone().unwrap_or_default();
    let short = short_id(inspect);
    let runs = inspect.state.as_ref().and_then(|state| state.running) == Some(true);
    let (ghosts, whole): (Vec<_>, Vec<_>) = settings
        .networks
        .unwrap_or_default()
        .into_iter()
        .filter(|(network, _)| !matches!(network.as_str(), "host" | "none"))
        .partition(|(network, endpoint)| {
            runs && kinds.bridges.contains(network) && !has_gateway(endpoint)
        });
    let mut ghosts: Vec<String> = ghosts.into_iter().map(|(network, _)| network).collect();
    ghosts.sort();
    let mut networks: Vec<Attached> = whole
        .into_iter()
        .map(|(network, endpoint)| attached(network, endpoint, short, &kinds.internal))
        .collect();
    networks.sort_by(|a, b| a.network.cmp(&b.network));
    mark_gateway(&mut networks);
    let ports = if networks.is_empty() {
        Vec::new()
    } else {
        held(settings.ports.unwrap_or_default())
    };
    let mut mounts: Vec<Mounted> = inspect.mounts.iter().flatten().filter_map(mount).collect();
    mounts.sort();
    Live {
        networks,
        ports,
        mounts,
        ghosts,
        lodgers: Vec::new(),
    }
}

/// A bridge gives every endpoint a gateway; one without was never finished.
fn has_gateway(endpoint: &EndpointSettings) -> bool {
    [&endpoint.gateway, &endpoint.ipv6_gateway]
        .into_iter()
        .flatten()
        .any(|gateway| !gateway.is_empty())
}

fn attached(
    network: String,
    endpoint: EndpointSettings,
    short: &str,
    internal: &BTreeSet<String>,
) -> Attached {
    let address = [&endpoint.ip_address, &endpoint.global_ipv6_address]
        .into_iter()
        .flatten()
        .find_map(|address| address.parse().ok());
    Attached {
        address,
        gateway: false,
        internal: internal.contains(&network),
        endpoint: meant(endpoint_of_container(endpoint, short)),
        network,
    }
}

/// The engine's own order: the highest priority, then the name; an internal network never gives a gateway.
fn mark_gateway(networks: &mut [Attached]) {
    let chosen = networks
        .iter_mut()
        .filter(|attached| !attached.internal)
        .min_by_key(|attached| {
            let priority = Reverse(attached.endpoint.gateway_priority);
            (priority, attached.network.clone())
        });
    if let Some(attached) = chosen {
        attached.gateway = true;
    }
}

fn meant(endpoint: EndpointSettings) -> Endpoint {
    let address = endpoint.ipam_config.unwrap_or_default();
    Endpoint {
        aliases: endpoint.aliases.unwrap_or_default(),
        ipv4: address.ipv4_address,
        ipv6: address.ipv6_address,
        link_local: address.link_local_ips.unwrap_or_default(),
        links: endpoint.links.unwrap_or_default(),
        driver_options: endpoint
            .driver_opts
            .unwrap_or_default()
            .into_iter()
            .collect(),
        gateway_priority: endpoint.gw_priority.unwrap_or(0),
    }
}

/// The ports of the host that a container was given, by what its operator asked for.
pub(crate) fn published_by(inspect: &ContainerInspectResponse) -> Vec<Published> {
    let host = inspect.host_config.as_ref();
    held(
        host.and_then(|host| host.port_bindings.clone())
            .unwrap_or_default(),
    )
}

/// The ports of the host that containers hold which are no part of the application.
pub(super) fn taken(list: &[ContainerSummary], application: &Application) -> Vec<TakenPort> {
    let others = list
        .iter()
        .filter(|summary| super::found(summary, application).is_none());
    let mut taken: Vec<TakenPort> = others.flat_map(taken_by).collect();
    taken.sort_by(|a, b| (&a.container, &a.port).cmp(&(&b.container, &b.port)));
    taken.dedup();
    taken
}

fn taken_by(summary: &ContainerSummary) -> Vec<TakenPort> {
    let name = own_name(summary.names.as_deref().unwrap_or_default()).unwrap_or_default();
    let ports = summary.ports.iter().flatten();
    let held = ports.filter_map(|port| {
        Some(TakenPort {
            container: name.to_owned(),
            port: Published {
                port: port.private_port,
                protocol: port
                    .typ
                    .map_or_else(|| "tcp".to_owned(), |kind| kind.to_string()),
                host_ip: port.ip.clone().filter(|ip| !is_every_address(ip)),
                host_port: Some(port.public_port?),
            },
        })
    });
    held.collect()
}

fn is_every_address(ip: &str) -> bool {
    matches!(ip, "" | "0.0.0.0" | "::")
}

fn held(ports: PortMap) -> Vec<Published> {
    let mut held = BTreeSet::new();
    for (inside, bindings) in ports {
        let (port, protocol) = inside.split_once('/').unwrap_or((&inside, "tcp"));
        let Ok(port) = port.parse::<u16>() else {
            continue;
        };
        for binding in bindings.into_iter().flatten() {
            let host_port = binding.host_port.and_then(|port| port.parse().ok());
            held.insert(Published {
                port,
                protocol: protocol.to_owned(),
                // The engine says "every address" twice, once for each kind.
                host_ip: binding.host_ip.filter(|ip| !is_every_address(ip)),
                host_port,
            });
        }
    }
    held.into_iter().collect()
}

fn mount(mount: &MountPoint) -> Option<Mounted> {
    let (kind, source) = match mount.typ.as_deref() {
        Some("bind") => (MountKind::Bind, mount.source.clone()),
        Some("volume") if mount.name.as_deref().is_some_and(is_anonymous) => {
            (MountKind::Anonymous, mount.name.clone())
        }
        Some("volume") => (MountKind::Volume, mount.name.clone()),
        Some("tmpfs") => (MountKind::Tmpfs, None),
        Some(_) | None => (MountKind::Other, mount.source.clone()),
    };
    Some(Mounted {
        kind,
        source,
        target: mount.destination.clone()?,
        writable: mount.rw.unwrap_or(true),
    })
}
