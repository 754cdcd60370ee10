//! What an engine has that a target can not be without: networks, and volumes with a name. An engine refuses to start
//! on a network that is gone, and makes a volume that is gone anew, empty.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::name::ComponentName;

/// What an engine has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// Its networks, by name and by identity.
    pub networks: BTreeSet<String>,
    /// Its volumes, by name.
    pub volumes: BTreeSet<String>,
}

/// What a target needs of its engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Networks.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub networks: BTreeSet<String>,
    /// Volumes with a name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
}

/// Something that it needs and the engine does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking<'a> {
    /// A network of this name.
    Network(&'a str),
    /// A volume of this name.
    Volume(&'a str),
}

impl Needs {
    /// Whether it needs nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.volumes.is_empty()
    }

    /// What an engine does not have of it.
    pub fn lacking<'a>(&'a self, has: &'a Holdings) -> impl Iterator<Item = Lacking<'a>> {
        let networks = self.networks.difference(&has.networks);
        let volumes = self.volumes.difference(&has.volumes);
        networks
            .map(|name| Lacking::Network(name))
            .chain(volumes.map(|name| Lacking::Volume(name)))
    }
}

impl Lacking<'_> {
    /// That it is lacking, as a sentence without its end.
    #[must_use]
    pub fn said(self, component: &ComponentName) -> String {
        match self {
            Self::Network(name) => {
                format!("{component} is on the network {name}, which is not on the engine")
            }
            Self::Volume(name) => format!(
                "{component} mounts the volume {name}, which is not on the engine and would be made anew, empty"
            ),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn next_action(self) -> String {
        match self {
            Self::Network(name) => format!(
                "make the network {name} again as it was (the Compose file that names it does, with its labels), or choose another \
                 version"
            ),
            Self::Volume(name) => format!(
                "bring the volume {name} back from a copy, or make it with `docker volume create {name}` where empty will do, or choose \
                 another version"
            ),
        }
    }
}
