//! What the operator meant by a container: its inspection minus everything that its image brought.
//!
//! Pure functions; nothing here asks an engine. The image's configuration must be the one read by the
//! container's image identity, since a tag may have moved. What can not be known: a value that the operator
//! set to exactly the image's own default counts as the image's.

mod body;
mod privilege;
mod replica;
mod whole;

pub use crate::label::Marks;
pub(crate) use body::joined;
pub use body::{Creation, create_body};
pub use privilege::no_rise;
pub use replica::Replica;
pub(crate) use replica::{joined_to, linked_to, shared_with};
pub use whole::{ImageSettings, subtract_whole};

use std::collections::BTreeMap;

use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, EndpointIpamConfig,
    EndpointSettings, HealthConfig, HostConfig, ImageConfig, Mount, MountPoint, MountType,
    NetworkingConfig,
};
use domain::specification::Specification;
use serde_json::Value;

use crate::{
    error::{Error, Kind},
    label::{self, Labels, replica_name},
};

/// The specification of an inspected container: the same for every replica of its component.
///
/// # Errors
/// When the inspection lacks its configuration.
pub fn subtract(
    inspect: &ContainerInspectResponse,
    image: &ImageConfig,
) -> Result<Specification, Error> {
    let (Some(config), Some(host)) = (inspect.config.clone(), inspect.host_config.clone()) else {
        return Err(Error::new(
            Kind::Unreadable,
            "the inspection of a container lacks its configuration",
        ));
    };
    let mut env = minus(config.env.clone(), image.env.as_deref());
    // An engine gives them in another order at times. By name only: of two with the same name the first wins.
    env.sort_by(|a, b| a.split('=').next().cmp(&b.split('=').next()));
    let networking_config = networking(inspect, &host);
    let mut body = configuration(inspect, config, &host, image);
    body.host_config = Some(host_config(host));
    body.networking_config = networking_config;
    let body = serde_json::to_value(body)
        .map_err(|error| Error::new(Kind::Unreadable, error.to_string()))?;
    Ok(Specification {
        body: sorted(body),
        env,
    })
}

fn configuration(
    inspect: &ContainerInspectResponse,
    config: ContainerConfig,
    host: &HostConfig,
    image: &ImageConfig,
) -> ContainerCreateBody {
    let short = short_id(inspect).to_owned();
    let own_hostname = |hostname: &String| !shares_hostname(host) && *hostname != short;
    let (entrypoint, cmd) = command(config.entrypoint, config.cmd, image);
    let mut volumes = minus(config.volumes, image.volumes.as_deref());
    for destination in anonymous_volumes(inspect).into_keys() {
        if !volumes.contains(&destination)
            && !listed(image.volumes.as_deref(), &destination)
            && !mounted(host, &destination)
        {
            volumes.push(destination);
        }
    }
    volumes.sort();
    let mut exposed_ports = minus(config.exposed_ports, image.exposed_ports.as_deref());
    exposed_ports.sort();
    ContainerCreateBody {
        hostname: text(config.hostname).filter(own_hostname),
        domainname: text(config.domainname).filter(|_| !shares_hostname(host)),
        user: own(text(config.user), image.user.as_ref()),
        exposed_ports: filled(exposed_ports),
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        cmd,
        entrypoint,
        healthcheck: health_check(config.healthcheck, image.healthcheck.as_ref()),
        volumes: filled(volumes),
        working_dir: own(text(config.working_dir), image.working_dir.as_ref()),
        network_disabled: config.network_disabled,
        labels: labels(config.labels.unwrap_or_default(), image.labels.as_ref()),
        stop_signal: own(text(config.stop_signal), image.stop_signal.as_ref()),
        stop_timeout: config.stop_timeout,
        shell: own(config.shell, image.shell.as_ref()),
        ..ContainerCreateBody::default()
    }
}

/// Entrypoint and command. The command may only be left to the image when the entrypoint is the image's too:
/// an entrypoint of one's own makes the engine forget the image's command.
fn command(
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    image: &ImageConfig,
) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let (entrypoint, cmd) = (entrypoint.unwrap_or_default(), cmd.unwrap_or_default());
    if entrypoint == image.entrypoint.clone().unwrap_or_default() {
        let own_cmd = (cmd != image.cmd.clone().unwrap_or_default()).then_some(cmd);
        return (None, own_cmd);
    }
    // An empty one would let the image's in again; one empty word is how the engine is told "none".
    let entrypoint = if entrypoint.is_empty() {
        vec![String::new()]
    } else {
        entrypoint
    };
    (Some(entrypoint), filled(cmd))
}

/// Field by field, as the engine fills one that was given in part: what was not said is the image's.
fn health_check(mine: Option<HealthConfig>, image: Option<&HealthConfig>) -> Option<HealthConfig> {
    let mine = mine?;
    let none = HealthConfig::default();
    let image = image.unwrap_or(&none);
    let number =
        |mine: Option<i64>, image: Option<i64>| mine.filter(|n| *n != 0 && Some(*n) != image);
    let meant = HealthConfig {
        test: own(mine.test, image.test.as_ref()),
        interval: number(mine.interval, image.interval),
        timeout: number(mine.timeout, image.timeout),
        retries: number(mine.retries, image.retries),
        start_period: number(mine.start_period, image.start_period),
        start_interval: number(mine.start_interval, image.start_interval),
    };
    (meant != none).then_some(meant)
}

fn labels(mine: Labels, image: Option<&Labels>) -> Option<Labels> {
    let per_replica = [
        label::COMPOSE_NUMBER,
        label::COMPOSE_SLUG,
        label::COMPOSE_REPLACE,
    ];
    let kept: Labels = mine
        .into_iter()
        .filter(|(name, value)| {
            !name.starts_with(label::PREFIX)
                && !per_replica.contains(&name.as_str())
                && image.and_then(|labels| labels.get(name)) != Some(value)
        })
        .collect();
    (!kept.is_empty()).then_some(kept)
}

fn host_config(mut host: HostConfig) -> HostConfig {
    host.links = host
        .links
        .map(|links| links.iter().map(|link| rewritten_link(link)).collect());
    host.binds = host.binds.and_then(|binds| {
        filled(
            binds
                .into_iter()
                .filter(|bind| !is_anonymous(bind_source(bind)))
                .collect(),
        )
    });
    for mount in host.mounts.iter_mut().flatten() {
        if mount.typ == Some(MountType::VOLUME) && mount.source.as_deref().is_some_and(is_anonymous)
        {
            mount.source = None;
        }
    }
    // Facts of the client that created it, not of the container.
    host.container_id_file = None;
    host.console_size = None;
    host
}

/// What was meant by each network; addresses that the engine chose are not kept.
fn networking(inspect: &ContainerInspectResponse, host: &HostConfig) -> Option<NetworkingConfig> {
    if !has_networks(host) {
        return None;
    }
    let networks = inspect.network_settings.as_ref()?.networks.clone()?;
    let ours = |(network, endpoint): (String, EndpointSettings)| {
        let endpoint = endpoint_meant(endpoint, &names_of(inspect));
        (network, endpoint)
    };
    Some(NetworkingConfig {
        endpoints_config: Some(networks.into_iter().map(ours).collect()),
    })
}

fn endpoint_meant(endpoint: EndpointSettings, names: &[&str; 3]) -> EndpointSettings {
    let mut meant = endpoint_of_container(endpoint, names[0]);
    meant.aliases = meant.aliases.and_then(|aliases| {
        filled(
            aliases
                .into_iter()
                .filter(|alias| !names.contains(&alias.as_str()))
                .collect(),
        )
    });
    meant
}

/// What was meant of an endpoint of one container: its own name stays where that is an alias.
pub(crate) fn endpoint_of_container(endpoint: EndpointSettings, short: &str) -> EndpointSettings {
    let keep = |alias: &String| alias != short;
    EndpointSettings {
        ipam_config: address_meant(endpoint.ipam_config),
        links: endpoint
            .links
            .and_then(|links| filled(links.iter().map(|link| rewritten_link(link)).collect())),
        aliases: endpoint
            .aliases
            .and_then(|aliases| filled(aliases.into_iter().filter(keep).collect())),
        driver_opts: endpoint.driver_opts.filter(|options| !options.is_empty()),
        gw_priority: endpoint.gw_priority.filter(|priority| *priority != 0),
        ..EndpointSettings::default()
    }
}

/// What a container is found by on every network without having been asked for: the engine adds its identity and
/// its host name, Compose its name.
fn names_of(inspect: &ContainerInspectResponse) -> [&str; 3] {
    let hostname = inspect
        .config
        .as_ref()
        .and_then(|config| config.hostname.as_deref());
    [
        short_id(inspect),
        replica_of(inspect),
        hostname.unwrap_or_default(),
    ]
}

/// An address that was asked for; none when the engine chose it.
fn address_meant(address: Option<EndpointIpamConfig>) -> Option<EndpointIpamConfig> {
    let address = address?;
    let meant = EndpointIpamConfig {
        ipv4_address: text(address.ipv4_address),
        ipv6_address: text(address.ipv6_address),
        link_local_ips: address.link_local_ips.and_then(filled),
    };
    (meant != EndpointIpamConfig::default()).then_some(meant)
}

/// Volumes that nobody named, by destination: where a replica's data silently is. A copy gets them by name, so
/// that an explicit mount of such a name is still one of these.
fn anonymous_volumes(inspect: &ContainerInspectResponse) -> BTreeMap<String, String> {
    let mounts = inspect.mounts.iter().flatten();
    mounts
        .filter_map(|mount| Some((mount.destination.clone()?, mount.name.clone()?)))
        .filter(|(_, volume)| is_anonymous(volume))
        .collect()
}

/// The engine gives a volume without a name 64 hex digits.
pub(crate) fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64
        && volume
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn mounted(host: &HostConfig, destination: &str) -> bool {
    host.mounts
        .iter()
        .flatten()
        .any(|mount: &Mount| mount.target.as_deref() == Some(destination))
}

/// Whether a mount is one that the container itself was created with.
pub(crate) fn asked_for(host: &HostConfig, mount: &MountPoint) -> bool {
    let Some(destination) = &mount.destination else {
        return false;
    };
    let binds = host.binds.iter().flatten();
    mounted(host, destination)
        || binds
            .into_iter()
            .any(|bind| bind_destination(bind) == destination)
}

/// The volumes that a container mounts by name.
pub(crate) fn volumes_of(host: &HostConfig) -> Vec<String> {
    let binds = host.binds.iter().flatten().map(|bind| bind_source(bind));
    let mounts = host.mounts.iter().flatten();
    let mounts = mounts
        .filter(|mount| mount.typ == Some(MountType::VOLUME))
        .filter_map(|mount| mount.source.as_deref());
    let named = binds
        .chain(mounts)
        .filter(|source| !source.starts_with('/'));
    named.map(str::to_owned).collect()
}

fn bind_source(bind: &str) -> &str {
    bind.split(':').next().unwrap_or(bind)
}

fn bind_destination(bind: &str) -> &str {
    bind.split(':').nth(1).unwrap_or(bind)
}

/// `/shop_db_1:/shop_web_1/db`, as an inspection says it, is `shop_db_1:db` to whoever creates.
fn rewritten_link(link: &str) -> String {
    match link.split_once(':') {
        Some((container, alias)) if link.starts_with('/') => {
            format!(
                "{}:{}",
                container.trim_start_matches('/'),
                alias.rsplit('/').next().unwrap_or(alias)
            )
        }
        _ => link.to_owned(),
    }
}

fn has_networks(host: &HostConfig) -> bool {
    let mode = host.network_mode.as_deref().unwrap_or_default();
    !matches!(mode, "host" | "none") && !mode.starts_with("container:")
}

fn shares_hostname(host: &HostConfig) -> bool {
    let mode = host.network_mode.as_deref().unwrap_or_default();
    mode == "host" || mode.starts_with("container:") || host.uts_mode.as_deref() == Some("host")
}

pub(crate) fn short_id(inspect: &ContainerInspectResponse) -> &str {
    inspect
        .id
        .as_deref()
        .and_then(|id| id.get(..12))
        .unwrap_or_default()
}

fn replica_of(inspect: &ContainerInspectResponse) -> &str {
    replica_name(
        inspect
            .name
            .as_deref()
            .unwrap_or_default()
            .trim_start_matches('/'),
    )
}

fn own<T: PartialEq>(mine: Option<T>, image: Option<&T>) -> Option<T> {
    if mine.as_ref() == image { None } else { mine }
}

fn text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn filled<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn minus(mine: Option<Vec<String>>, image: Option<&[String]>) -> Vec<String> {
    mine.unwrap_or_default()
        .into_iter()
        .filter(|entry| !listed(image, entry))
        .collect()
}

fn listed(list: Option<&[String]>, entry: &str) -> bool {
    list.is_some_and(|list| list.iter().any(|other| other == entry))
}

/// The same with every object's keys in order: a digest is taken over its text.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests;
