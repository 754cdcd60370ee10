//! From a specification to what the engine is asked to create. Nothing is added that raises a privilege: the
//! host configuration is the specification's own, plus the replica's anonymous volumes by name.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, ImageConfig, MountType, NetworkingConfig,
};
use domain::{name::ImageId, specification::Specification};
use serde_json::Value;

use super::{
    Replica, bind_destination, has_networks, joined_to, listed, shares_hostname, text,
    whole::{lay_over, untyped},
};
use crate::{
    error::{Error, Kind},
    label::{self, Marks},
};

/// What to ask of the engine: one creation, then these networks, all before the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// What is typed of the create body.
    pub body: ContainerCreateBody,
    /// The create body as it is sent: with what only the engine itself understands.
    pub whole: Value,
    /// Networks to connect afterwards, when the engine takes only one at creation.
    pub connect: BTreeMap<String, EndpointSettings>,
}

impl Creation {
    /// One of its labels, in both.
    pub(crate) fn mark(&mut self, name: &str, value: &str) {
        let labels = self.body.labels.get_or_insert_default();
        labels.insert(name.to_owned(), value.to_owned());
        self.whole["Labels"][name] = Value::from(value);
    }
}

/// The creation of a replica from a specification.
///
/// `config` is the configuration of `image`; `all_networks` tells whether the engine takes every network at
/// creation (API 1.44 on) or one.
///
/// # Errors
/// When the stored specification is not a create body.
pub fn create_body(
    specification: &Specification,
    replica: &Replica,
    image: &ImageId,
    config: &ImageConfig,
    marks: &Marks<'_>,
    all_networks: bool,
) -> Result<Creation, Error> {
    let mut body: ContainerCreateBody = serde_json::from_value(specification.body.clone())
        .map_err(|error| {
            let said = format!(
                "the specification is not a create body (line {}, column {})",
                error.line(),
                error.column()
            );
            Error::new(Kind::NoSpecification, said)
        })?;
    let mut host = body.host_config.take().unwrap_or_default();
    take_place(&mut body, &mut host, replica);
    follow_parents(&mut host, replica);
    take_volumes(&mut host, &body, replica, config);
    let mut networks = networks(&mut body, &host, replica);
    let connect = if all_networks {
        BTreeMap::new()
    } else {
        all_but_first(&mut networks, &host)
    };
    let mut labels = body.labels.take().unwrap_or_default();
    labels.retain(|name, _| !name.starts_with(label::PREFIX));
    labels.extend(replica.labels.clone());
    labels.extend(marks.labels());
    if !connect.is_empty() {
        let text = serde_json::to_string(&connect)
            .map_err(|error| Error::new(Kind::NoSpecification, error.to_string()))?;
        labels.insert(label::NETWORKS.to_owned(), text);
    }
    body.image = Some(image.to_string());
    body.env = (!specification.env.is_empty()).then(|| specification.env.clone());
    body.labels = Some(labels);
    body.networking_config = (!networks.is_empty()).then(|| NetworkingConfig {
        endpoints_config: Some(networks.into_iter().collect::<HashMap<_, _>>()),
    });
    body.host_config = Some(host);
    let whole = whole(specification, &body)?;
    Ok(Creation {
        body,
        whole,
        connect,
    })
}

/// With the fields that the typed body does not know.
fn whole(specification: &Specification, body: &ContainerCreateBody) -> Result<Value, Error> {
    let mut whole = serde_json::to_value(body)
        .map_err(|error| Error::new(Kind::NoSpecification, error.to_string()))?;
    if let Some(lost) = untyped::<ContainerCreateBody>(&specification.body)? {
        lay_over(&mut whole, lost, &specification.body);
    }
    Ok(whole)
}

/// What is shared with another container is shared with the one that the replica shares it with now.
fn follow_parents(host: &mut HostConfig, replica: &Replica) {
    let shared = &replica.shared;
    let modes = [
        (&mut host.network_mode, &shared.network),
        (&mut host.ipc_mode, &shared.ipc),
        (&mut host.pid_mode, &shared.pid),
    ];
    for (meant, now) in modes {
        if let (Some(mode), Some(now)) =
            (meant.as_mut().filter(|mode| joined_to(mode).is_some()), now)
        {
            mode.clone_from(now);
        }
    }
    if let Some(meant) = host
        .volumes_from
        .as_mut()
        .filter(|from| from.len() == shared.volumes.len())
    {
        for (from, now) in meant.iter_mut().zip(&shared.volumes) {
            let option = from.split_once(':').map(|(_, option)| format!(":{option}"));
            *from = format!("{now}{}", option.unwrap_or_default());
        }
    }
    for link in host.links.iter_mut().flatten() {
        let named = link.split_once(':').unwrap_or((link, link));
        let now = shared.links.iter().find(|(name, _)| name == named.0);
        if let Some((_, now)) = now {
            *link = format!("{now}:{}", named.1);
        }
    }
}

/// The mode of a container that shares another's network.
pub(crate) fn joined(host: &HostConfig) -> Option<&str> {
    joined_to(host.network_mode.as_deref()?)
}

fn take_place(body: &mut ContainerCreateBody, host: &mut HostConfig, replica: &Replica) {
    let Some(place) = &replica.place else { return };
    if !shares_hostname(host) && (place.hostname.is_some() || text(body.hostname.clone()).is_some())
    {
        body.hostname.clone_from(&place.hostname);
    }
    // The same ports at other places of the host; a port that the specification does not publish stays closed.
    let (Some(meant), Some(found)) = (&host.port_bindings, &place.ports) else {
        return;
    };
    if meant.len() == found.len() && meant.keys().all(|port| found.contains_key(port)) {
        host.port_bindings = Some(found.clone());
    }
}

/// A replica's anonymous volumes become explicit, or its data would silently stay behind. Only where the
/// specification or the image has a volume without a name: what an image brings elsewhere must not be covered.
fn take_volumes(
    host: &mut HostConfig,
    body: &ContainerCreateBody,
    replica: &Replica,
    config: &ImageConfig,
) {
    for (destination, volume) in &replica.volumes {
        let mount = host
            .mounts
            .iter_mut()
            .flatten()
            .find(|mount| mount.target.as_deref() == Some(destination));
        if let Some(mount) = mount {
            if mount.typ == Some(MountType::VOLUME) && mount.source.is_none() {
                mount.source = Some(volume.clone());
            }
            continue;
        }
        let meant = listed(body.volumes.as_deref(), destination)
            || listed(config.volumes.as_deref(), destination);
        let bound = host
            .binds
            .iter()
            .flatten()
            .any(|bind| bind_destination(bind) == destination);
        let covered = host
            .tmpfs
            .as_ref()
            .is_some_and(|tmpfs| tmpfs.contains_key(destination));
        if meant && !bound && !covered {
            host.binds
                .get_or_insert_default()
                .push(format!("{volume}:{destination}"));
        }
    }
}

fn networks(
    body: &mut ContainerCreateBody,
    host: &HostConfig,
    replica: &Replica,
) -> BTreeMap<String, EndpointSettings> {
    let config = body
        .networking_config
        .take()
        .and_then(|config| config.endpoints_config)
        .unwrap_or_default();
    if !has_networks(host) {
        return BTreeMap::new();
    }
    let complete = |(network, mut endpoint): (String, EndpointSettings)| {
        if let Some(address) = replica.addresses.get(&network) {
            endpoint.ipam_config = Some(address.clone());
        }
        if replica.named_on.contains(&network) {
            endpoint
                .aliases
                .get_or_insert_default()
                .insert(0, replica.name.clone());
        }
        (network, endpoint)
    };
    config.into_iter().map(complete).collect()
}

/// Leaves the network that the engine connects by itself, the one of the network mode; takes the others out.
fn all_but_first(
    networks: &mut BTreeMap<String, EndpointSettings>,
    host: &HostConfig,
) -> BTreeMap<String, EndpointSettings> {
    let first = match host.network_mode.as_deref() {
        None | Some("" | "default" | "bridge") => "bridge",
        Some(network) => network,
    };
    let stays = networks
        .remove(first)
        .map(|endpoint| (first.to_owned(), endpoint));
    let connect = std::mem::take(networks);
    // On the default bridge an endpoint without wishes is refused by some engines and needed by none.
    networks.extend(stays.filter(|(network, endpoint)| {
        network != "bridge" || *endpoint != EndpointSettings::default()
    }));
    connect
}
