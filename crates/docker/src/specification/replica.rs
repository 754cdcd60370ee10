//! What belongs to one replica and not to its component: it is taken over from the container that is replaced.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{ContainerInspectResponse, EndpointIpamConfig, HostConfig, PortMap};

use super::{address_meant, anonymous_volumes, replica_of, short_id, text};
use crate::label::{self, Labels};

/// The facts of the container that is replaced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replica {
    /// The name that it goes by.
    pub name: String,
    /// Compose's number and slug.
    pub labels: Labels,
    /// Its anonymous volumes by destination.
    pub volumes: BTreeMap<String, String>,
    /// Addresses that were asked for, by network.
    pub addresses: BTreeMap<String, EndpointIpamConfig>,
    /// Networks on which its own name is an alias.
    pub named_on: BTreeSet<String>,
    /// What it shares with other containers.
    pub shared: Shared,
    /// Where it is among hand-made siblings: their host ports and host names differ.
    pub place: Option<Place>,
}

/// With whom a replica shares what: a side-car's parents, by their present identities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// Its network, `container:...`.
    pub network: Option<String>,
    /// Its memory segments, `container:...`.
    pub ipc: Option<String>,
    /// Its processes, `container:...`.
    pub pid: Option<String>,
    /// Its volumes, each the container alone.
    pub volumes: Vec<String>,
    /// Links of the default bridge: the name in each, and the container that it leads to. An engine binds a link to the
    /// container that has the name when the link is made, and to no other one that gets the name later.
    pub links: Vec<(String, String)>,
}

impl Shared {
    /// Every container that something is shared with.
    pub fn parents(&mut self) -> impl Iterator<Item = Parent<'_>> {
        let modes = [&mut self.network, &mut self.ipc, &mut self.pid];
        let modes = modes.into_iter().flatten().map(Parent::Mode);
        let linked = self.links.iter_mut().map(|(_, now)| now);
        modes.chain(self.volumes.iter_mut().chain(linked).map(Parent::Alone))
    }
}

/// One mention of a parent.
#[derive(Debug)]
pub enum Parent<'a> {
    /// In a mode, after `container:`.
    Mode(&'a mut String),
    /// By itself: an owner of volumes, the end of a link.
    Alone(&'a mut String),
}

impl Parent<'_> {
    /// The container that is mentioned.
    #[must_use]
    pub fn container(&self) -> &str {
        match self {
            Self::Mode(mode) => joined_to(mode).unwrap_or(mode),
            Self::Alone(container) => container,
        }
    }

    /// Mentions another one.
    pub fn become_of(self, container: &str) {
        match self {
            Self::Mode(mode) => *mode = format!("{JOINS}{container}"),
            Self::Alone(own) => container.clone_into(own),
        }
    }
}

/// Begins the mode of a container that shares another's network, memory segments or processes.
const JOINS: &str = "container:";

/// The container that a mode joins.
pub(crate) fn joined_to(mode: &str) -> Option<&str> {
    mode.strip_prefix(JOINS)
}

/// What a host configuration shares with other containers.
pub(crate) fn shared_with(host: &HostConfig) -> Shared {
    let joins = |mode: &Option<String>| mode.clone().filter(|mode| joined_to(mode).is_some());
    let owner = |from: &String| from.split(':').next().unwrap_or(from).to_owned();
    Shared {
        network: joins(&host.network_mode),
        ipc: joins(&host.ipc_mode),
        pid: joins(&host.pid_mode),
        volumes: host.volumes_from.iter().flatten().map(owner).collect(),
        links: linked_to(host)
            .map(|name| (name.to_owned(), name.to_owned()))
            .collect(),
    }
}

/// The containers that links of the default bridge lead to, as the engine or a specification names them.
pub(crate) fn linked_to(host: &HostConfig) -> impl Iterator<Item = &str> {
    let links = host.links.iter().flatten();
    links.map(|link| {
        link.split(':')
            .next()
            .unwrap_or(link)
            .trim_start_matches('/')
    })
}

/// What hand-made replicas of one component do not share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Its host name, when it was given one.
    pub hostname: Option<String>,
    /// Its published ports.
    pub ports: Option<PortMap>,
}

impl Replica {
    /// The facts of an inspected container.
    #[must_use]
    pub fn of(inspect: &ContainerInspectResponse) -> Self {
        let labels = inspect
            .config
            .as_ref()
            .and_then(|config| config.labels.clone())
            .unwrap_or_default();
        let per_replica = [label::COMPOSE_NUMBER, label::COMPOSE_SLUG];
        let mut replica = Self {
            name: replica_of(inspect).to_owned(),
            labels: labels
                .into_iter()
                .filter(|(name, _)| per_replica.contains(&name.as_str()))
                .collect(),
            volumes: anonymous_volumes(inspect),
            shared: inspect
                .host_config
                .as_ref()
                .map(shared_with)
                .unwrap_or_default(),
            ..Self::default()
        };
        let networks = inspect
            .network_settings
            .as_ref()
            .and_then(|settings| settings.networks.clone());
        for (network, endpoint) in networks.unwrap_or_default() {
            if endpoint.aliases.unwrap_or_default().contains(&replica.name) {
                replica.named_on.insert(network.clone());
            }
            if let Some(address) = address_meant(endpoint.ipam_config) {
                replica.addresses.insert(network, address);
            }
        }
        replica
    }

    /// The same, with what sets it apart from hand-made siblings.
    #[must_use]
    pub fn with_place(mut self, inspect: &ContainerInspectResponse) -> Self {
        let hostname = inspect
            .config
            .as_ref()
            .and_then(|config| text(config.hostname.clone()));
        self.place = Some(Place {
            hostname: hostname.filter(|name| name != short_id(inspect)),
            ports: inspect
                .host_config
                .as_ref()
                .and_then(|host| host.port_bindings.clone()),
        });
        self
    }
}
