//! What belongs to one replica and not to its component: it is taken over from the container that is replaced.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{ContainerInspectResponse, EndpointIpamConfig, PortMap};

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
    /// The container whose network it shares, `container:...`.
    pub shares_network_of: Option<String>,
    /// Where it is among hand-made siblings: their host ports and host names differ.
    pub place: Option<Place>,
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
        let mode = inspect
            .host_config
            .as_ref()
            .and_then(|host| host.network_mode.clone());
        let mut replica = Self {
            name: replica_of(inspect).to_owned(),
            labels: labels
                .into_iter()
                .filter(|(name, _)| per_replica.contains(&name.as_str()))
                .collect(),
            volumes: anonymous_volumes(inspect),
            shares_network_of: mode.filter(|mode| mode.starts_with("container:")),
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
