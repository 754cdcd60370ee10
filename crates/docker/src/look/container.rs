//! From an inspection to the facts that decisions are made on.

use std::{collections::BTreeMap, net::IpAddr};

use bollard::models::{
    ContainerInspectResponse, ContainerState as StateOfBollard, ContainerStateStatusEnum as Status,
    EndpointSettings, HealthStatusEnum, HostConfig, RestartPolicyNameEnum as Policy,
};
use domain::{
    drift::Origin,
    engine_look::{Container, ContainerState, Health, Live, RestartPolicy},
    name::{ApplicationName, ContainerId, ImageId},
    time::Moment,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::Found;
use crate::{
    error::{Error, Kind},
    label,
    specification::{joined_to, linked_to, shared_with},
};

/// What an engine waits for when nothing was said.
const STOP_GRACE_S: u32 = 10;
/// A container that may take forever to stop is given this long: the longest step that a plan can have.
const STOP_GRACE_S_MAX: u32 = 3600;

/// The facts of one inspected container; `parent` is the address of the container whose network it shares.
pub(super) fn read(
    found: &Found,
    inspect: &ContainerInspectResponse,
    application: &ApplicationName,
    parent: Option<IpAddr>,
) -> Result<Container, Error> {
    let state = inspect.state.clone().unwrap_or_default();
    let config = inspect.config.clone().unwrap_or_default();
    let host = inspect.host_config.clone().unwrap_or_default();
    let id = found
        .id
        .parse()
        .map_err(|bad| Error::new(Kind::Unreadable, format!("{bad}")))?;
    let mark = config
        .labels
        .as_ref()
        .and_then(|labels| label::mark(labels, application));
    Ok(Container {
        id,
        name: inspect
            .name
            .as_deref()
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        component: found.component.clone(),
        replica: found.replica,
        image: image_of(inspect)?,
        state: state_of(&state),
        health: health_of(&state),
        started_at: state.started_at.as_deref().and_then(started_at),
        restarts: inspect
            .restart_count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
        exit_code: state.exit_code.unwrap_or(0),
        restart: restart_of(&host),
        address: address(inspect).or(parent),
        auto_remove: host.auto_remove.unwrap_or(false),
        joins: joins_of(&host),
        stop_grace_s: grace(config.stop_timeout),
        mark,
        specification: None,
        env: BTreeMap::new(),
        commands: None,
        shape: None,
        live: Live::default(),
    })
}

/// What a container says of where it comes from; its labels are its image's, unless it was given others.
pub(super) fn origin(inspect: &ContainerInspectResponse) -> Origin {
    let Some(config) = &inspect.config else {
        return Origin::default();
    };
    let label = |name: &str| config.labels.as_ref()?.get(name).cloned();
    Origin {
        reference: config.image.clone(),
        version: label("org.opencontainers.image.version"),
        revision: label("org.opencontainers.image.revision"),
    }
}

/// The image that a container was created from.
pub(crate) fn image_of(inspect: &ContainerInspectResponse) -> Result<ImageId, Error> {
    inspect
        .image
        .as_deref()
        .unwrap_or_default()
        .parse()
        .map_err(|bad| {
            let name = inspect.name.as_deref().unwrap_or_default();
            Error::new(Kind::Unreadable, format!("container {name}: {bad}"))
        })
}

/// Where a container is reached from this host: on the network of its mode if it has an address there, else on
/// the first by name that it has one on.
pub(crate) fn address(inspect: &ContainerInspectResponse) -> Option<IpAddr> {
    let networks = inspect.network_settings.as_ref()?.networks.as_ref()?;
    let mode = inspect
        .host_config
        .as_ref()
        .and_then(|host| host.network_mode.as_deref())
        .unwrap_or_default();
    let mut ordered: Vec<(&String, &EndpointSettings)> = networks.iter().collect();
    ordered.sort_by_key(|(network, _)| (network.as_str() != mode, network.as_str()));
    ordered.into_iter().find_map(|(_, endpoint)| {
        let addresses = [&endpoint.ip_address, &endpoint.global_ipv6_address];
        addresses
            .into_iter()
            .flatten()
            .find_map(|address| address.parse().ok())
    })
}

/// The containers that it shares with. An engine says them by identity; who was named by hand is not known by it.
fn joins_of(host: &HostConfig) -> Vec<ContainerId> {
    let mut joins: Vec<ContainerId> = Vec::new();
    let shared = shared_with(host);
    for mode in [shared.network, shared.ipc, shared.pid]
        .into_iter()
        .flatten()
    {
        if let Some(parent) = joined_to(&mode).and_then(|parent| parent.parse().ok())
            && !joins.contains(&parent)
        {
            joins.push(parent);
        }
    }
    joins
}

/// A link of the default bridge is bound to one container as well; an engine says it by the name that it has now.
pub(super) fn add_linked(
    container: &mut Container,
    inspect: &ContainerInspectResponse,
    names: &BTreeMap<String, ContainerId>,
) {
    let host = inspect.host_config.iter();
    for parent in host.flat_map(linked_to).filter_map(|name| names.get(name)) {
        if !container.joins.contains(parent) {
            container.joins.push(parent.clone());
        }
    }
}

fn state_of(state: &StateOfBollard) -> ContainerState {
    match state.status {
        Some(Status::CREATED) => ContainerState::Created,
        Some(Status::RUNNING | Status::STOPPING) => ContainerState::Running,
        Some(Status::PAUSED) => ContainerState::Paused,
        Some(Status::RESTARTING) => ContainerState::Restarting,
        Some(Status::EXITED) => ContainerState::Exited,
        Some(Status::REMOVING) => ContainerState::Removing,
        Some(Status::DEAD | Status::EMPTY) | None => ContainerState::Dead,
    }
}

fn health_of(state: &StateOfBollard) -> Health {
    match state.health.as_ref().and_then(|health| health.status) {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Health::None,
    }
}

/// A container's restart policy; an engine says "none" in two ways.
pub(crate) fn restart_of(host: &HostConfig) -> RestartPolicy {
    let policy = host.restart_policy.clone().unwrap_or_default();
    let name = match policy.name {
        Some(Policy::ALWAYS) => "always",
        Some(Policy::UNLESS_STOPPED) => "unless-stopped",
        Some(Policy::ON_FAILURE) => "on-failure",
        Some(Policy::NO | Policy::EMPTY) | None => "no",
    };
    RestartPolicy {
        name: name.to_owned(),
        retries_max: policy.maximum_retry_count.unwrap_or(0),
    }
}

/// An engine writes the year 1 for "never".
fn started_at(text: &str) -> Option<Moment> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    (at.year() > 1970).then(|| at.into())
}

fn grace(stop_timeout: Option<i64>) -> u32 {
    match stop_timeout {
        None => STOP_GRACE_S,
        // A negative one means "for ever".
        Some(s) => u32::try_from(s)
            .unwrap_or(STOP_GRACE_S_MAX)
            .min(STOP_GRACE_S_MAX),
    }
}
