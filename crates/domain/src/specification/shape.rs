//! What a specification comes to: the part of an engine's create body that plans are decided on, typed.
//!
//! It holds no command, no label and no environment: those may hold secrets, and nothing is decided on them but
//! whether they are the operator's own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine_look::{RestartPolicy, holdings::Needs};

mod read;

/// What a container's specification asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    /// Whose network it has.
    pub network: NetworkMode,
    /// Its networks by name, and what was meant of each.
    pub networks: BTreeMap<String, Endpoint>,
    /// Links of the default bridge, `container:alias`.
    pub links: Vec<String>,
    /// The ports that it publishes on its host.
    pub ports: Vec<Published>,
    /// Whether every exposed port is published where the engine likes (`-P`).
    pub publish_all: bool,
    /// What is mounted in it.
    pub mounts: Vec<Mounted>,
    /// Containers whose mounts it takes over (`--volumes-from`).
    pub volumes_from: Vec<String>,
    /// Whether it has a command of its own.
    pub own_command: bool,
    /// Whether it has an entry point of its own.
    pub own_entrypoint: bool,
    /// The user that it runs as; none is the image's.
    pub user: Option<String>,
    /// Where its command runs; none is the image's.
    pub working_dir: Option<String>,
    /// Its host name, when it was given one.
    pub hostname: Option<String>,
    /// Its restart policy; none is `no`.
    pub restart: Option<RestartPolicy>,
    /// The signal that asks it to stop; none is the image's.
    pub stop_signal: Option<String>,
    /// Seconds between asking it to stop and killing it; none is the engine's default.
    pub stop_timeout_s: Option<i64>,
    /// What it may do beyond an ordinary container.
    pub privileges: Privileges,
}

/// Whose network a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", content = "of", rename_all = "snake_case")]
pub enum NetworkMode {
    /// The engine's default bridge.
    #[default]
    Bridge,
    /// A network of its own by this name.
    Named(String),
    /// The host's.
    Host,
    /// None.
    None,
    /// Another container's, by identity or name.
    Container(String),
}

impl NetworkMode {
    /// Whether the container has endpoints of its own: only then can it be connected and disconnected.
    #[must_use]
    pub fn has_endpoints(&self) -> bool {
        match self {
            Self::Bridge | Self::Named(_) => true,
            Self::Host | Self::None | Self::Container(_) => false,
        }
    }

    /// The network that the engine connects by itself at creation.
    #[must_use]
    pub fn first_network(&self) -> Option<&str> {
        match self {
            Self::Bridge => Some("bridge"),
            Self::Named(name) => Some(name),
            Self::Host | Self::None | Self::Container(_) => None,
        }
    }
}

/// What was meant of one network; what the engine chose by itself is not here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Other names by which it is found there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The IPv4 address that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// The IPv6 address that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// Link-local addresses that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub link_local: Vec<String>,
    /// Links, `container:alias`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Options of the network's driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_options: BTreeMap<String, String>,
    /// Which network gives the gateway: the highest wins (engines from 28 on).
    #[serde(skip_serializing_if = "is_zero")]
    pub gateway_priority: i64,
}

/// A port that is published on the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    /// The port inside.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The host's address; none is every address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<String>,
    /// The host's port; none when the engine chooses it, a range included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
}

impl Published {
    /// Whether only one of the two can be published at a time.
    #[must_use]
    pub fn collides_with(&self, other: &Self) -> bool {
        let same_address = match (&self.host_ip, &other.host_ip) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        self.host_port.is_some()
            && self.host_port == other.host_port
            && self.protocol == other.protocol
            && same_address
    }
}

/// `127.0.0.1:18080→8080/tcp`.
impl std::fmt::Display for Published {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host_ip {
            Some(ip) if ip.contains(':') => write!(out, "[{ip}]:")?,
            Some(ip) => write!(out, "{ip}:")?,
            None => {}
        }
        match self.host_port {
            Some(port) => write!(out, "{port}")?,
            None => out.write_str("(any)")?,
        }
        write!(out, "→{}/{}", self.port, self.protocol)
    }
}

/// Something mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mounted {
    /// What it is.
    pub kind: MountKind,
    /// A path of the host, or a volume's name; none where there is nothing to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where it is inside.
    pub target: String,
    /// Whether it can be written to.
    pub writable: bool,
}

/// Kinds of mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume with a name.
    Volume,
    /// A volume that nobody named.
    Anonymous,
    /// Memory.
    Tmpfs,
    /// Anything else that an engine knows.
    Other,
}

/// `/srv/data:/data:ro`.
impl std::fmt::Display for Mounted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.source, self.kind) {
            (Some(source), _) => write!(out, "{source}:")?,
            (None, MountKind::Tmpfs) => out.write_str("(memory):")?,
            (None, MountKind::Anonymous) => out.write_str("(a volume of its own):")?,
            (None, MountKind::Bind | MountKind::Volume | MountKind::Other) => {}
        }
        write!(
            out,
            "{}{}",
            self.target,
            if self.writable { "" } else { ":ro" }
        )
    }
}

impl Mounted {
    /// Whether two containers with it can write to the same data.
    #[must_use]
    pub fn shares_writes(&self) -> bool {
        let lasts = match self.kind {
            MountKind::Bind | MountKind::Volume | MountKind::Anonymous | MountKind::Other => true,
            MountKind::Tmpfs => false,
        };
        self.writable && lasts
    }
}

/// What a container may do beyond an ordinary one, or may not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Privileges {
    /// Every privilege of the host's root.
    pub privileged: bool,
    /// Whether its root file system can not be written to.
    pub read_only_root: bool,
    /// Capabilities on top of the default ones.
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// Devices of the host, by their path there.
    pub devices: Vec<String>,
    /// Rules for devices, and requests for them such as GPUs.
    pub device_rules: Vec<String>,
    /// Security options, `seccomp=...` and `apparmor=...` included.
    pub security_options: Vec<String>,
    /// Further groups of its user.
    pub groups: Vec<String>,
    /// Kernel settings of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Whose process identities it sees; none is its own.
    pub pid_mode: Option<String>,
    /// Whose shared memory it sees; none is the engine's default.
    pub ipc_mode: Option<String>,
    /// Whose host name it has; none is its own.
    pub uts_mode: Option<String>,
    /// Whose user identities it has; none is the engine's default.
    pub userns_mode: Option<String>,
    /// The runtime that it runs in; none is the engine's default.
    pub runtime: Option<String>,
}

impl Shape {
    /// Reads an engine's create body; none when it is no create body.
    #[must_use]
    pub fn of(body: &Value) -> Option<Self> {
        read::shape(body)
    }

    /// The paths of the host that are mounted.
    pub fn binds(&self) -> impl Iterator<Item = &String> {
        self.mounts
            .iter()
            .filter(|mount| mount.kind == MountKind::Bind)
            .filter_map(|mount| mount.source.as_ref())
    }

    /// What of its engine it can not be without.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let named = |mount: &&Mounted| mount.kind == MountKind::Volume;
        let volumes = self.mounts.iter().filter(named);
        Needs {
            networks: self.networks.keys().cloned().collect(),
            volumes: volumes.filter_map(|mount| mount.source.clone()).collect(),
        }
    }

    /// The ports of the host that only one container can hold at a time.
    pub fn fixed_ports(&self) -> impl Iterator<Item = &Published> {
        self.ports.iter().filter(|port| port.host_port.is_some())
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;
