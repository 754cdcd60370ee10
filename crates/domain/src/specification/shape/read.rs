//! The engine's words for it. Engines write `null`, an empty text and nothing at all for the same thing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Endpoint, MountKind, Mounted, NetworkMode, Privileges, Published, Shape};
use crate::engine_look::RestartPolicy;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Body {
    hostname: Option<String>,
    user: Option<String>,
    working_dir: Option<String>,
    cmd: Option<Value>,
    entrypoint: Option<Value>,
    volumes: Option<Value>,
    stop_signal: Option<String>,
    stop_timeout: Option<i64>,
    host_config: Option<Host>,
    networking_config: Option<Networking>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Host {
    network_mode: Option<String>,
    port_bindings: Option<BTreeMap<String, Option<Vec<Binding>>>>,
    publish_all_ports: Option<bool>,
    binds: Option<Vec<String>>,
    mounts: Option<Vec<Mount>>,
    tmpfs: Option<BTreeMap<String, String>>,
    volumes_from: Option<Vec<String>>,
    links: Option<Vec<String>>,
    restart_policy: Option<Restart>,
    privileged: Option<bool>,
    readonly_rootfs: Option<bool>,
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    devices: Option<Vec<Device>>,
    device_cgroup_rules: Option<Vec<String>>,
    device_requests: Option<Vec<Value>>,
    security_opt: Option<Vec<String>>,
    group_add: Option<Vec<String>>,
    sysctls: Option<BTreeMap<String, String>>,
    pid_mode: Option<String>,
    ipc_mode: Option<String>,
    #[serde(rename = "UTSMode")]
    uts_mode: Option<String>,
    userns_mode: Option<String>,
    runtime: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Binding {
    host_ip: Option<String>,
    host_port: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Mount {
    #[serde(rename = "Type")]
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Restart {
    name: Option<String>,
    maximum_retry_count: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Device {
    path_on_host: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Networking {
    endpoints_config: Option<BTreeMap<String, Option<Meant>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Meant {
    #[serde(rename = "IPAMConfig")]
    address: Option<Address>,
    links: Option<Vec<String>>,
    aliases: Option<Vec<String>>,
    driver_opts: Option<BTreeMap<String, String>>,
    gw_priority: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address {
    #[serde(rename = "IPv4Address")]
    ipv4: Option<String>,
    #[serde(rename = "IPv6Address")]
    ipv6: Option<String>,
    #[serde(rename = "LinkLocalIPs")]
    link_local: Option<Vec<String>>,
}

pub(super) fn shape(body: &Value) -> Option<Shape> {
    let body = Body::deserialize(body).ok()?;
    let mut host = body.host_config.unwrap_or_default();
    let networks = body
        .networking_config
        .and_then(|config| config.endpoints_config)
        .unwrap_or_default();
    Some(Shape {
        network: mode(text(host.network_mode.take())),
        networks: networks
            .into_iter()
            .map(|(name, meant)| (name, endpoint(meant.unwrap_or_default())))
            .collect(),
        links: host.links.take().unwrap_or_default(),
        ports: ports(host.port_bindings.take().unwrap_or_default()),
        publish_all: host.publish_all_ports.unwrap_or(false),
        mounts: mounts(&mut host, body.volumes.as_ref()),
        volumes_from: host.volumes_from.take().unwrap_or_default(),
        own_command: is_given(body.cmd.as_ref()),
        own_entrypoint: is_given(body.entrypoint.as_ref()),
        user: text(body.user),
        working_dir: text(body.working_dir),
        hostname: text(body.hostname),
        restart: host.restart_policy.take().and_then(restart),
        stop_signal: text(body.stop_signal),
        stop_timeout_s: body.stop_timeout,
        privileges: privileges(host),
    })
}

fn mode(mode: Option<String>) -> NetworkMode {
    match mode.as_deref() {
        None | Some("default" | "bridge") => NetworkMode::Bridge,
        Some("host") => NetworkMode::Host,
        Some("none") => NetworkMode::None,
        Some(named) => match named.strip_prefix("container:") {
            Some(container) => NetworkMode::Container(container.to_owned()),
            None => NetworkMode::Named(named.to_owned()),
        },
    }
}

fn endpoint(meant: Meant) -> Endpoint {
    let address = meant.address.unwrap_or_default();
    Endpoint {
        aliases: meant.aliases.unwrap_or_default(),
        ipv4: text(address.ipv4),
        ipv6: text(address.ipv6),
        link_local: address.link_local.unwrap_or_default(),
        links: meant.links.unwrap_or_default(),
        driver_options: meant.driver_opts.unwrap_or_default(),
        gateway_priority: meant.gw_priority.unwrap_or(0),
    }
}

fn ports(bindings: BTreeMap<String, Option<Vec<Binding>>>) -> Vec<Published> {
    let mut ports = Vec::new();
    for (inside, bindings) in bindings {
        let (port, protocol) = inside.split_once('/').unwrap_or((&inside, "tcp"));
        let Ok(port) = port.parse() else { continue };
        ports.extend(bindings.unwrap_or_default().into_iter().map(|binding| {
            Published {
                port,
                protocol: protocol.to_owned(),
                host_ip: text(binding.host_ip).filter(|ip| ip != "0.0.0.0"),
                host_port: binding
                    .host_port
                    .and_then(|port| port.parse().ok())
                    .filter(|port| *port != 0),
            }
        }));
    }
    ports.sort();
    ports
}

fn mounts(host: &mut Host, volumes: Option<&Value>) -> Vec<Mounted> {
    let mut mounts: Vec<Mounted> = host
        .binds
        .iter()
        .flatten()
        .map(|bind| bound(bind))
        .collect();
    mounts.extend(host.mounts.take().into_iter().flatten().map(mounted));
    let tmpfs = host.tmpfs.take().unwrap_or_default();
    mounts.extend(tmpfs.into_iter().map(|(target, options)| Mounted {
        kind: MountKind::Tmpfs,
        source: None,
        target,
        writable: !options.split(',').any(|option| option == "ro"),
    }));
    for target in listed(volumes) {
        // An explicit mount at the same place is what is there.
        if !mounts.iter().any(|mount| mount.target == target) {
            mounts.push(Mounted {
                kind: MountKind::Anonymous,
                source: None,
                target,
                writable: true,
            });
        }
    }
    mounts.sort();
    mounts
}

/// `source:target:options`, as the engine writes a bind or a volume.
fn bound(bind: &str) -> Mounted {
    let mut parts = bind.splitn(3, ':');
    let source = parts.next().unwrap_or_default().to_owned();
    let target = parts.next().unwrap_or(&source).to_owned();
    let options = parts.next().unwrap_or_default();
    Mounted {
        kind: if source.starts_with('/') {
            MountKind::Bind
        } else {
            MountKind::Volume
        },
        source: Some(source),
        target,
        writable: !options.split(',').any(|option| option == "ro"),
    }
}

fn mounted(mount: Mount) -> Mounted {
    let source = text(mount.source);
    Mounted {
        kind: match (mount.kind.as_deref(), &source) {
            (Some("bind"), _) => MountKind::Bind,
            (Some("volume"), Some(_)) => MountKind::Volume,
            (Some("volume"), None) => MountKind::Anonymous,
            (Some("tmpfs"), _) => MountKind::Tmpfs,
            (Some(_) | None, _) => MountKind::Other,
        },
        source,
        target: mount.target.unwrap_or_default(),
        writable: !mount.read_only.unwrap_or(false),
    }
}

fn restart(policy: Restart) -> Option<RestartPolicy> {
    let name = text(policy.name).filter(|name| name != "no")?;
    Some(RestartPolicy {
        name,
        retries_max: policy.maximum_retry_count.unwrap_or(0),
    })
}

fn privileges(host: Host) -> Privileges {
    let devices = host.devices.unwrap_or_default();
    let mut device_rules = host.device_cgroup_rules.unwrap_or_default();
    let requests = host.device_requests.unwrap_or_default();
    device_rules.extend(requests.iter().map(Value::to_string));
    Privileges {
        privileged: host.privileged.unwrap_or(false),
        read_only_root: host.readonly_rootfs.unwrap_or(false),
        cap_add: host.cap_add.unwrap_or_default(),
        cap_drop: host.cap_drop.unwrap_or_default(),
        devices: devices
            .into_iter()
            .filter_map(|device| device.path_on_host)
            .collect(),
        device_rules,
        security_options: host.security_opt.unwrap_or_default(),
        groups: host.group_add.unwrap_or_default(),
        sysctls: host.sysctls.unwrap_or_default(),
        pid_mode: text(host.pid_mode),
        ipc_mode: text(host.ipc_mode),
        uts_mode: text(host.uts_mode),
        userns_mode: text(host.userns_mode),
        runtime: text(host.runtime),
    }
}

fn text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// A command of the operator's: a list with something in it, or one text.
fn is_given(command: Option<&Value>) -> bool {
    match command {
        None | Some(Value::Null) => false,
        Some(Value::Array(words)) => !words.is_empty(),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => true,
    }
}

/// A set of the engine's: an object's keys, or a list, as our client library writes it.
fn listed(set: Option<&Value>) -> Vec<String> {
    match set {
        Some(Value::Object(set)) => set.keys().cloned().collect(),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        None | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            Vec::new()
        }
    }
}
