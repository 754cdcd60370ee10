//! What is around an application on its engine: networks, stages of its rollbacks, and containers that share a
//! network with it.

use std::collections::BTreeSet;

use bollard::{
    models::{ContainerSummary, Network},
    query_parameters::{ListNetworksOptions, ListVolumesOptions},
};
use domain::{
    engine_look::{Container, Neighbour, StageSeen, holdings::Holdings},
    name::{ApplicationName, ContainerId},
};

use super::{LookRequest, live};
use crate::{
    connect::{Engine, ORDINARY},
    error::Error,
    label::{self, own_name},
};

/// Most neighbours that are looked at: more than a stage takes.
const NEIGHBOURS_MAX: usize = 64;

impl Engine {
    /// Every network.
    pub(crate) async fn networks(&self) -> Result<Vec<Network>, Error> {
        self.call("list the networks", ORDINARY, |docker| async move {
            docker.list_networks(None::<ListNetworksOptions>).await
        })
        .await
    }

    /// These networks, and every volume, where that is asked for.
    pub(super) async fn holdings(
        &self,
        networks: &[Network],
        request: &LookRequest<'_>,
    ) -> Result<Option<Holdings>, Error> {
        if !request.disk {
            return Ok(None);
        }
        let list = self.call("list the volumes", ORDINARY, |docker| async move {
            docker.list_volumes(None::<ListVolumesOptions>).await
        });
        let volumes = list.await?.volumes.unwrap_or_default();
        let known = |network: &Network| [network.name.clone(), network.id.clone()];
        Ok(Some(Holdings {
            networks: networks.iter().flat_map(known).flatten().collect(),
            volumes: volumes.into_iter().map(|volume| volume.name).collect(),
        }))
    }

    /// What matters of every network.
    pub(crate) async fn network_kinds(&self) -> Result<live::Kinds, Error> {
        Ok(kinds(&self.networks().await?))
    }

    /// Running containers of the application's Compose project that are no part of it and share a network with it;
    /// of an application without a project, those that belong to none either.
    pub(super) async fn neighbours(
        &self,
        list: &[ContainerSummary],
        parts: &[Container],
        request: &LookRequest<'_>,
        kinds: &live::Kinds,
    ) -> Result<Vec<Neighbour>, Error> {
        if !request.specifications {
            return Ok(Vec::new());
        }
        let project = request.application.project.as_ref();
        let shared: BTreeSet<&str> = parts
            .iter()
            .flat_map(|part| &part.live.networks)
            .map(|on| on.network.as_str())
            .filter(|network| *network != "bridge")
            .collect();
        let near = |summary: &&ContainerSummary| {
            let id = summary.id.as_deref().unwrap_or_default();
            summary
                .state
                .as_ref()
                .is_some_and(|state| state.as_ref() == "running")
                && !parts.iter().any(|part| part.id.as_str() == id)
                && project_of(summary) == project.map(|name| name.as_str())
                && networks_of(summary)
                    .iter()
                    .any(|name| shared.contains(name))
        };
        let mut neighbours = Vec::new();
        for summary in list.iter().filter(near).take(NEIGHBOURS_MAX) {
            let id = summary.id.as_deref().unwrap_or_default();
            let (Ok(container), Some(inspect)) = (id.parse(), self.inspect(id).await?) else {
                continue;
            };
            neighbours.push(Neighbour {
                id: container,
                name: own_name(summary.names.as_deref().unwrap_or_default())
                    .unwrap_or(id)
                    .to_owned(),
                networks: live::read(&inspect, kinds).networks,
            });
        }
        neighbours.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(neighbours)
    }
}

/// What matters of these networks.
pub(super) fn kinds(networks: &[Network]) -> live::Kinds {
    let mut kinds = live::Kinds::default();
    for network in networks {
        let Some(name) = network.name.clone() else {
            continue;
        };
        if network.internal == Some(true) {
            kinds.internal.insert(name);
        } else if network.driver.as_deref() == Some("bridge") {
            kinds.bridges.insert(name);
        }
    }
    kinds
}

/// Names of containers that live on the network of another.
pub(super) fn lodgers(list: &[ContainerSummary], host: &str) -> Vec<String> {
    let lodges = |summary: &&ContainerSummary| {
        let mode = summary
            .host_config
            .as_ref()
            .and_then(|config| config.network_mode.as_deref());
        mode.and_then(|mode| mode.strip_prefix("container:")) == Some(host)
    };
    list.iter()
        .filter(lodges)
        .filter_map(|summary| own_name(summary.names.as_deref()?).map(str::to_owned))
        .collect()
}

/// The stages that rollbacks of an application made, with everybody on them.
pub(super) fn stages(
    networks: &[Network],
    list: &[ContainerSummary],
    application: &ApplicationName,
) -> Vec<StageSeen> {
    let mut stages: Vec<StageSeen> = networks
        .iter()
        .filter_map(|network| {
            let labels = network.labels.as_ref()?;
            (labels.get(label::STAGE)? == application.as_str()).then_some(())?;
            let name = network.name.clone()?;
            let on_it = |summary: &&ContainerSummary| networks_of(summary).contains(&name.as_str());
            let members: BTreeSet<ContainerId> = list
                .iter()
                .filter(on_it)
                .filter_map(|summary| summary.id.as_deref()?.parse().ok())
                .collect();
            Some(StageSeen {
                id: network.id.clone()?,
                rollback: label::rollback(labels),
                members,
                name,
            })
        })
        .collect();
    stages.sort_by(|a, b| a.id.cmp(&b.id));
    stages
}

fn networks_of(summary: &ContainerSummary) -> Vec<&str> {
    let networks = summary
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref());
    networks
        .into_iter()
        .flat_map(|networks| networks.keys().map(String::as_str))
        .collect()
}

fn project_of(summary: &ContainerSummary) -> Option<&str> {
    let labels = summary.labels.as_ref()?;
    labels.get(label::COMPOSE_PROJECT).map(String::as_str)
}
