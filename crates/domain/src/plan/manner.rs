//! How a component changes over, with everything that it takes to go forward and to come back: once a container
//! is disconnected, its own inspection no longer says where it was connected.

use serde::{Deserialize, Serialize};

use crate::{
    name::{ComponentName, ContainerId},
    specification::{Endpoint, Published},
};

/// How one component changes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The component.
    pub component: ComponentName,
    /// How.
    #[serde(flatten)]
    pub manner: Manner,
}

/// The manners, from the one that always works to those that lose less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "manner", rename_all = "snake_case")]
pub enum Manner {
    /// Stop the present container, start the target's: nothing serves in between.
    StopStart {
        /// Why nothing better is possible, and which setting would change that.
        why: String,
    },
    /// Prove the target at its own address first, then point the balancer in front of the component to it.
    Front {
        /// Why what serves stops first; none when the target runs beside it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stops_first: Option<String>,
    },
    /// Prove the target on an internal network first, then move the published port to it.
    Handover {
        /// Who else is on that network while the target is proved there.
        company: Vec<Companion>,
    },
}

/// A container that the target may talk to while it is proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// The container.
    pub container: ContainerId,
    /// Its name, for people.
    pub name: String,
    /// The names by which the target knows it.
    pub aliases: Vec<String>,
}

/// Where the two containers of a replica belong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// The one that serves now: what an undo connects again.
    pub former: End,
    /// The one of the target.
    pub target: End,
}

/// Where a container belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its networks, the one that gives the gateway first.
    pub joints: Vec<Joint>,
    /// The host's ports that it must hold there.
    pub ports: Vec<Published>,
}

/// A place on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joint {
    /// The network.
    pub network: String,
    /// What is meant of it.
    #[serde(default)]
    pub endpoint: Endpoint,
}

impl End {
    /// Every name by which it is known, each once.
    #[must_use]
    pub fn aliases(&self) -> Vec<String> {
        let mut aliases: Vec<String> = self
            .joints
            .iter()
            .flat_map(|joint| joint.endpoint.aliases.iter().cloned())
            .collect();
        aliases.sort();
        aliases.dedup();
        aliases
    }
}
