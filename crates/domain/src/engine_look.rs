//! What an engine looks like: the facts that plans and steps decide on.

pub mod holdings;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use holdings::Holdings;

use crate::{
    compose::ProjectLook,
    front::FrontLook,
    name::{
        ComponentName, ContainerId, Fence, ImageId, PullReference, RollbackId, SpecificationDigest,
    },
    seen::Seen,
    specification::{Endpoint, Mounted, Published, Shape},
    supply::SourceSeen,
    time::Moment,
};

/// One look at everything of an application on its engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineLook {
    /// When it was taken.
    pub at: Moment,
    /// The engine itself.
    pub engine: EngineFacts,
    /// The application's containers, ours beside them included.
    pub containers: Vec<Container>,
    /// The images asked about: whether each is on the engine.
    pub images: BTreeMap<ImageId, Seen<ImageFacts>>,
    /// Where the images that are not on the engine can be had, as far as was asked.
    #[serde(default)]
    pub sources: BTreeMap<ImageId, Vec<SourceSeen>>,
    /// Every container name on the engine, and whose it is.
    pub names: BTreeMap<String, ContainerId>,
    /// Images that a keeper container of this application protects from clean-ups.
    pub kept: BTreeMap<ImageId, ContainerId>,
    /// Who holds the application's lock on this engine.
    pub lock: Option<Lock>,
    /// Containers that are no part of the application and share the network of one that is, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub guests: BTreeMap<String, ContainerId>,
    /// Ports of the host that are published by containers which are no part of the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<TakenPort>,
    /// Paths of the engine's host that were asked about: whether each is there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, Seen<()>>,
    /// Its networks and volumes, where the look asked what a target needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has: Option<Holdings>,
    /// Its Compose project, when the definition says where that is and it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectLook>,
    /// The stages of the application's rollbacks.
    #[serde(default)]
    pub stages: Vec<StageSeen>,
    /// Names of networks without a way out.
    #[serde(default)]
    pub internal: BTreeSet<String>,
    /// What shares a network with the application without being part of it; only where the look asked for
    /// specifications.
    #[serde(default)]
    pub neighbours: Vec<Neighbour>,
    /// The balancers in front of components, where they were looked at.
    #[serde(default)]
    pub fronts: BTreeMap<ComponentName, Seen<FrontLook>>,
}

/// An internal network on which a rollback proves its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSeen {
    /// Its identity.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The rollback that made it.
    pub rollback: Option<RollbackId>,
    /// Every container that is connected to it, running or not.
    pub members: BTreeSet<ContainerId>,
}

/// A running container that is found on one of the application's networks: of its Compose project without being a
/// component, such as a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its identity.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// The networks that it is connected to.
    pub networks: Vec<Attached>,
}

/// A port of the host that a container holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenPort {
    /// The container's name.
    pub container: String,
    /// The port.
    pub port: Published,
}

/// Facts of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// Its host name.
    pub name: String,
    /// Its version, such as `20.10.24`.
    pub version: String,
    /// The newest API version it speaks, such as `1.41`.
    pub api_version: String,
    /// Free bytes where it keeps its data; unknown for an engine whose disk we can not see.
    pub disk_free: Seen<u64>,
}

/// Facts of an image on an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Its tags, for people.
    pub tags: Vec<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// What registries it was pulled from or pushed to know it by.
    #[serde(default)]
    pub digests: Vec<PullReference>,
    /// Its architecture, such as `amd64`.
    pub architecture: String,
}

/// One container of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its identity.
    pub id: ContainerId,
    /// Its name, without the leading slash.
    pub name: String,
    /// The component it belongs to.
    pub component: ComponentName,
    /// Its number among the component's replicas, from 1.
    pub replica: u32,
    /// The image it was created from.
    pub image: ImageId,
    /// What it does.
    pub state: ContainerState,
    /// What Docker's own health check says.
    pub health: Health,
    /// When it was last started.
    pub started_at: Option<Moment>,
    /// How often the engine started it again by itself.
    pub restarts: u32,
    /// Exit code of the last run, when it is not running.
    pub exit_code: i64,
    /// Its restart policy.
    pub restart: RestartPolicy,
    /// Where it can be reached from this host; none while it has no network of its own.
    pub address: Option<IpAddr>,
    /// Whether the engine removes it as soon as it stops (`--rm`).
    pub auto_remove: bool,
    /// Containers whose network, memory or processes it shares, or that it is linked to on the default bridge, by their
    /// identities: without them it does not start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<ContainerId>,
    /// Seconds between asking it to stop and killing it.
    pub stop_grace_s: u32,
    /// Our mark, when a rollback of ours created it.
    pub mark: Option<Mark>,
    /// The specification it was created from, as we would create it again.
    pub specification: Option<SpecificationDigest>,
    /// Keyed fingerprints of its environment values by name, to tell a difference without the value.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Keyed fingerprints of its commands by what each is for, to tell a difference without a word of them; none where
    /// nobody worked them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<BTreeMap<String, String>>,
    /// What that specification asks for; only where the look worked it out.
    #[serde(default)]
    pub shape: Option<Shape>,
    /// What it has now, whatever was asked for.
    #[serde(default)]
    pub live: Live,
}

/// What a container has at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// The networks that it is connected to, by name.
    pub networks: Vec<Attached>,
    /// The ports of the host that it holds. What an engine says of one without any network is its past.
    pub ports: Vec<Published>,
    /// What is mounted in it, anonymous volumes by their names.
    pub mounts: Vec<Mounted>,
    /// Networks of which the engine's own record says more than is so: a connection that failed half-way. It can not
    /// be disconnected nor tried again while the container runs; a restart makes it whole.
    pub ghosts: Vec<String>,
    /// Names of other containers that have no network of their own but this one's.
    pub lodgers: Vec<String>,
}

/// A network that a container is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The network's name.
    pub network: String,
    /// What was meant of it, ready to be connected again in the same way.
    pub endpoint: Endpoint,
    /// Where it is reached there; none while it does not run.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Whether the container's way out, and so its published ports, go through it.
    #[serde(default)]
    pub gateway: bool,
    /// Whether it has no way out at all.
    #[serde(default)]
    pub internal: bool,
}

/// Begins the name of every stage.
pub const STAGE_PREFIX: &str = "sternway-stage-";

impl Attached {
    /// Whether this is the stage of a rollback and none of the container's own networks.
    #[must_use]
    pub fn is_stage(&self) -> bool {
        self.network.starts_with(STAGE_PREFIX)
    }
}

impl Live {
    /// Whether it holds a port. "Every address" covers any; an engine says it in several ways.
    #[must_use]
    pub fn holds(&self, port: &Published) -> bool {
        let any = |ip: &Option<String>| {
            ip.as_deref()
                .is_none_or(|ip| matches!(ip, "" | "0.0.0.0" | "::"))
        };
        self.ports.iter().any(|held| {
            (held.port, &held.protocol, held.host_port)
                == (port.port, &port.protocol, port.host_port)
                && (any(&held.host_ip) || any(&port.host_ip) || held.host_ip == port.host_ip)
        })
    }

    /// The network that its published ports go through.
    #[must_use]
    pub fn gateway(&self) -> Option<&Attached> {
        self.networks.iter().find(|attached| attached.gateway)
    }

    /// Its endpoint on a network.
    #[must_use]
    pub fn on(&self, network: &str) -> Option<&Attached> {
        self.networks
            .iter()
            .find(|attached| attached.network == network)
    }
}

impl Container {
    /// Whether it is serving as far as the engine can tell.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state == ContainerState::Running
    }

    /// Whether it runs or is about to: it may hold a port.
    #[must_use]
    pub fn is_up(&self) -> bool {
        match self.state {
            ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => true,
            ContainerState::Created
            | ContainerState::Exited
            | ContainerState::Removing
            | ContainerState::Dead => false,
        }
    }
}

/// State of a container as the engine names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Created and never started.
    Created,
    /// Running.
    Running,
    /// Running, and stopped by the freezer.
    Paused,
    /// Ended, and about to be started again by its restart policy.
    Restarting,
    /// Ended.
    Exited,
    /// Being removed.
    Removing,
    /// Broken beyond use.
    Dead,
}

/// What Docker's own health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It has no health check.
    None,
    /// No result yet.
    Starting,
    /// The last results were good.
    Healthy,
    /// The last results were bad.
    Unhealthy,
}

/// A container's restart policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// `no`, `always`, `unless-stopped` or `on-failure`.
    pub name: String,
    /// Most retries of `on-failure`; 0 is unlimited.
    pub retries_max: i64,
}

/// The labels that a rollback puts on what it creates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The rollback (`sternway.rollback`).
    pub rollback: RollbackId,
    /// Its fence at that time (`sternway.fence`).
    pub fence: Fence,
    /// The container that it takes the place of (`sternway.replaces`).
    pub replaces: ContainerId,
}

/// A never-started container whose name makes it the application's lock on an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The lock container.
    pub container: ContainerId,
    /// The rollback that took it.
    pub rollback: RollbackId,
    /// Which control plane took it, for a person to find.
    pub owner: String,
    /// Whether that rollback is one of ours and acts no more: it ended, or it only watches
    /// (see [`crate::lifecycle::Phase::acts`]).
    pub stale: bool,
    /// The newest fence of that rollback that is written on the engine.
    #[serde(default)]
    pub fence: Option<Fence>,
    /// The containers on which its later fences are written: a container's own labels are written once.
    #[serde(default)]
    pub marks: Vec<ContainerId>,
}
