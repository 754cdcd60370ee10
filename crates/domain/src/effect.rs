//! Everything that a decision may ask to be done, and what came of it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{
    engine_look::RestartPolicy,
    name::{ComponentName, ContainerId, ImageId, PullReference, SpecificationDigest, VariableName},
    plan::{Companion, Joint},
    supply::Archive,
};

/// One act. It is committed as an intent before it is performed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Effect {
    /// Create the application's lock container. If it is there and ours, write the claim's fence beside it: whoever had
    /// an earlier claim then finds on the engine itself that it is the past.
    TakeLock {
        /// Any image on the engine; the container is never started.
        image: ImageId,
    },
    /// Create a never-started container that keeps an image from every clean-up.
    KeepImage {
        /// The image.
        image: ImageId,
    },
    /// Have the engine pull an image by digest from a registry.
    PullImage {
        /// The image that must be there afterwards.
        image: ImageId,
        /// What to pull.
        reference: PullReference,
    },
    /// Give the engine an image from an archive, once its checksum is found right.
    LoadImage {
        /// The image that must be there afterwards.
        image: ImageId,
        /// Where it is.
        archive: Archive,
    },
    /// Store the last logs and the inspection of a container as artifacts.
    Capture {
        /// Its component.
        component: ComponentName,
        /// The container.
        container: ContainerId,
    },
    /// Create the target's container beside the one that it will replace.
    CreateContainer {
        /// Its component.
        component: ComponentName,
        /// Its temporary name; the engine gives a name once, so a second creation finds the first.
        name: String,
        /// Its image, by digest and never by tag.
        image: ImageId,
        /// What to create it from.
        specification: SpecificationDigest,
        /// The container that it will replace, whose replica-specific facts it takes over.
        replaces: ContainerId,
        /// What Compose would write on it as its configuration hash, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        config_hash: Option<String>,
    },
    /// Take away its restart policy, then stop it: a stopped container must not come back by itself.
    StopContainer {
        /// The container.
        container: ContainerId,
        /// Seconds between asking and killing.
        grace_s: u32,
    },
    /// Start it, with its restart policy put back first when one is given.
    StartContainer {
        /// The container.
        container: ContainerId,
        /// The policy to put back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart: Option<RestartPolicy>,
    },
    /// Give it another name.
    RenameContainer {
        /// The container.
        container: ContainerId,
        /// The new name.
        name: String,
    },
    /// Remove it; its volumes stay, always.
    RemoveContainer {
        /// The container.
        container: ContainerId,
    },
    /// Write the version where the site keeps it; the file's former content is kept, sealed, before.
    WritePin {
        /// The file.
        path: String,
        /// The variable; none for an override file of ours, which has images instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        variable: Option<VariableName>,
        /// What it must say before.
        from: Option<String>,
        /// What it shall say; none to take an override file of ours away.
        to: Option<String>,
    },
    /// Put that file's former content back.
    PutBackPin {
        /// The file.
        path: String,
    },
    /// Build a component's image from the plan's commit, and give it a tag of ours.
    Build {
        /// The component.
        component: ComponentName,
    },
    /// Remove what this rollback's build of a component left: the image, unless something uses it, the layers and
    /// the builder's containers.
    DropBuild {
        /// The component.
        component: ComponentName,
    },
    /// Make the rollback's internal network and connect to it what the target may talk to.
    SetStage {
        /// The network's name.
        name: String,
        /// Who is connected, on top of the networks that they have.
        company: Vec<Companion>,
    },
    /// Take a container that never ran off its networks, connect it to the stage and start it there.
    EnterStage {
        /// The container.
        container: ContainerId,
        /// The stage.
        stage: String,
        /// The names by which it is found there.
        aliases: Vec<String>,
    },
    /// Stop a container that is connected to the stage alone: no client reaches it.
    LeaveStage {
        /// The container.
        container: ContainerId,
        /// Seconds between asking and killing.
        grace_s: u32,
    },
    /// Disconnect everybody from a stage and remove it.
    ClearStage {
        /// The network.
        network: String,
    },
    /// Move the published ports: take one container off all its networks, connect the other to its own.
    HandOver {
        /// The one that leaves; it goes on running. None when there is none any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<ContainerId>,
        /// The one that takes its place.
        to: ContainerId,
        /// Where that one belongs, the network that gives the gateway first.
        joints: Vec<Joint>,
        /// The restart policy that it gets back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart: Option<RestartPolicy>,
    },
    /// Send the clients of one of a front's servers to an address, and make the balancer's file say so.
    PointFront {
        /// The component behind the front.
        component: ComponentName,
        /// What the balancer calls the server.
        server: String,
        /// Where clients are to be sent.
        to: SocketAddr,
    },
    /// Write the rollback into the ledger and hold the release that was rolled back.
    Record,
    /// Several of the above at the same time, each about another container or the same for all.
    Together {
        /// What; never one of this kind.
        effects: Vec<Effect>,
    },
}

impl Effect {
    /// One act for several: itself when there is only one, and the same act once.
    #[must_use]
    pub fn together(effects: Vec<Self>) -> Option<Self> {
        let mut once: Vec<Self> = Vec::with_capacity(effects.len());
        for effect in effects {
            if !once.contains(&effect) {
                once.push(effect);
            }
        }
        match once.len() {
            0 | 1 => once.pop(),
            _ => Some(Self::Together { effects: once }),
        }
    }

    /// The single acts that it is made of.
    #[must_use]
    pub fn parts(&self) -> &[Self] {
        if let Self::Together { effects } = self {
            effects
        } else {
            std::slice::from_ref(self)
        }
    }

    /// Whether a replica may be another one after it: from then on the run has something to undo that clients see.
    #[must_use]
    pub fn touches(&self) -> bool {
        self.parts().iter().any(|part| part.nature().touches)
    }

    /// The container that it changes or looks at; none when it is about something else, or several.
    #[must_use]
    pub fn container(&self) -> Option<&ContainerId> {
        self.nature().container
    }

    /// The container that is on its way out by it.
    #[must_use]
    pub fn removes(&self) -> Option<&ContainerId> {
        let nature = self.nature();
        nature.container.filter(|_| nature.removes)
    }

    /// Whether something that serves or that holds the way back may be lost by it.
    #[must_use]
    pub fn destructive(&self) -> bool {
        self.parts().iter().any(|part| part.nature().destructive)
    }

    /// Whether it may take minutes and may be let go of at any moment, since nothing depends on it yet.
    #[must_use]
    pub fn may_be_let_go(&self) -> bool {
        self.parts().iter().all(|part| part.nature().may_be_let_go)
    }

    /// What sets a single act apart, in one table.
    fn nature(&self) -> Nature<'_> {
        match self {
            Self::PullImage { .. } | Self::LoadImage { .. } | Self::Build { .. } => Nature {
                may_be_let_go: true,
                ..Nature::default()
            },
            Self::Capture { container, .. } => Nature::of(container),
            Self::StartContainer { container, .. } | Self::RenameContainer { container, .. } => {
                Nature {
                    touches: true,
                    ..Nature::of(container)
                }
            }
            Self::StopContainer { container, .. } => Nature {
                touches: true,
                removes: true,
                destructive: true,
                ..Nature::of(container)
            },
            Self::RemoveContainer { container } => Nature {
                removes: true,
                destructive: true,
                ..Nature::of(container)
            },
            Self::HandOver { .. } => Nature {
                touches: true,
                destructive: true,
                ..Nature::default()
            },
            Self::PointFront { .. } => Nature {
                touches: true,
                ..Nature::default()
            },
            // Of several, each is asked.
            Self::Together { .. }
            | Self::TakeLock { .. }
            | Self::KeepImage { .. }
            | Self::CreateContainer { .. }
            | Self::WritePin { .. }
            | Self::PutBackPin { .. }
            | Self::DropBuild { .. }
            | Self::SetStage { .. }
            | Self::EnterStage { .. }
            | Self::LeaveStage { .. }
            | Self::ClearStage { .. }
            | Self::Record => Nature::default(),
        }
    }
}

/// What is to be known of a single act, whatever it does.
#[derive(Clone, Copy, Debug, Default)]
struct Nature<'a> {
    container: Option<&'a ContainerId>,
    touches: bool,
    removes: bool,
    destructive: bool,
    may_be_let_go: bool,
}

impl<'a> Nature<'a> {
    fn of(container: &'a ContainerId) -> Self {
        Self {
            container: Some(container),
            ..Self::default()
        }
    }
}

/// What came of an effect, as far as its performer could tell. The next look decides, not this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The call succeeded.
    Done,
    /// The call was refused.
    Failed {
        /// What kind of refusal.
        failure: Failure,
        /// What was said, with secrets left out.
        said: String,
    },
    /// The connection broke or the time was up: it may have happened or not.
    Unknown {
        /// What was said.
        said: String,
    },
}

impl Outcome {
    /// What came of several acts as one: what may still land counts most, then what was refused.
    #[must_use]
    pub fn of_all(outcomes: impl IntoIterator<Item = Self>) -> Self {
        let weight = |outcome: &Self| match outcome {
            Self::Done => 0,
            Self::Failed { .. } => 1,
            Self::Unknown { .. } => 2,
        };
        outcomes
            .into_iter()
            .reduce(|one, other| {
                if weight(&other) > weight(&one) {
                    other
                } else {
                    one
                }
            })
            .unwrap_or(Self::Done)
    }
}

/// Kinds of refusals that decisions tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// What it was about is not there.
    Missing,
    /// A name is taken.
    NameTaken,
    /// There is no room left.
    DiskFull,
    /// A stored specification can not be read with the key we have.
    Unreadable,
    /// An image can not be had from where it should be: nobody answers there, it is not there, or it is another one.
    NotSupplied,
    /// Somebody newer acts on this application: we are the past.
    Fenced,
    /// The repository does not answer.
    SourceUnreachable,
    /// What the repository has can not be built: no such tag, another commit, no Dockerfile, too large.
    SourceUnfit,
    /// The build ran and did not end well.
    BuildFailed,
    /// The balancer in front of a component says no, or its file can not be kept true.
    FrontRefused,
    /// Anything else that the engine says no to.
    Refused,
}
