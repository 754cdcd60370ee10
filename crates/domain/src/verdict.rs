//! How a rollback ended, and what made it turn.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::plan::Plan;

/// What stood in the way, as a code that programs can match and a sentence that a person can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cause {
    /// Stable code.
    pub code: CauseCode,
    /// What failed, on what.
    pub sentence: String,
}

impl Cause {
    /// A cause from its code and its sentence.
    pub fn new(code: CauseCode, sentence: impl Into<String>) -> Self {
        Self {
            code,
            sentence: sentence.into(),
        }
    }
}

/// Stable codes of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CauseCode {
    /// The engine did not answer until the deadline.
    EngineUnreachable,
    /// The target's image is not on the engine.
    ImageMissing,
    /// The image is for another kind of processor than what runs.
    Architecture,
    /// The recorded specification can not be read or is not complete.
    SpecificationMissing,
    /// The disk of the engine is too full to create a container.
    DiskFull,
    /// What runs is no longer what the plan was made for.
    Drifted,
    /// A container name that the plan needs is taken by somebody else's container.
    NameTaken,
    /// A port of the host that the target publishes is held by somebody else's container.
    PortTaken,
    /// A path of the host that the target mounts is not there.
    BindSourceMissing,
    /// A network of the target is not on the engine.
    NetworkMissing,
    /// A volume of the target is not on the engine.
    VolumeMissing,
    /// Another control plane holds the application on this engine.
    LockedElsewhere,
    /// The engine refused a call for good.
    EngineRefused,
    /// The repository that an image is built from does not answer.
    SourceUnreachable,
    /// What the repository has can not be built, or is no longer what the plan was made for.
    SourceUnfit,
    /// The build of an image failed.
    BuildFailed,
    /// A step did not reach its end until its deadline.
    DeadlinePassed,
    /// The balancer in front of a component did not answer until the deadline.
    BalancerUnreachable,
    /// The balancer, or its configuration file, is not what the plan was made for.
    BalancerUnfit,
    /// The target runs but could not be proved to be serving.
    ProofFailed,
    /// A probe turned red during the watch window and stayed red.
    WatchFailed,
    /// A person asked for it.
    Cancelled,
    /// A person rejected the plan, or nobody approved it in time.
    NotApproved,
    /// The same step crashed its worker too often.
    StepCrashes,
    /// A newer rollback of the same application took over.
    Superseded,
}

/// How a rollback ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Every replica runs the target's digest, says the target's version and answers its probes.
    RolledBack {
        /// Whether the watch window passed as well; only then is the deployment *good*.
        good: bool,
        /// What a person should still know, such as a container that could not be removed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// What served before the rollback is serving again.
    Restored {
        /// What turned the run back.
        cause: Cause,
    },
    /// Nothing was changed.
    Refused {
        /// What stood in the way.
        cause: Cause,
    },
    /// Called off by a person; what served before is serving.
    Cancelled {
        /// By whom, and why if they said.
        cause: Cause,
    },
    /// A person has to look: what was reached and what is not known is said.
    NeedsHuman {
        /// What stood in the way.
        cause: Cause,
        /// The state of production as last seen.
        production: String,
    },
}

impl Verdict {
    /// The word of the design for this verdict.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::RolledBack { .. } => "rolled_back",
            Self::Restored { .. } => "restored",
            Self::Refused { .. } => "refused",
            Self::Cancelled { .. } => "cancelled",
            Self::NeedsHuman { .. } => "needs_human",
        }
    }

    /// How it ended, said to a person.
    #[must_use]
    pub fn sentence(&self, plan: &Plan) -> String {
        let (name, to) = (&plan.application.name, &plan.to);
        match self {
            Self::RolledBack { good: true, .. } => {
                format!("{name} serves {to}, proved and good for its whole watch window")
            }
            Self::RolledBack { good: false, .. } => {
                format!("{name} serves {to}, proved; its watch window was not completed")
            }
            Self::Restored { cause } => {
                format!("what served before is serving again: {}", cause.sentence)
            }
            Self::Refused { cause } => {
                format!("refused, it changed nothing: {}", cause.sentence)
            }
            Self::Cancelled { cause } => format!(
                "cancelled, what served before is serving: {}",
                cause.sentence
            ),
            Self::NeedsHuman { cause, production } => format!(
                "a person has to look: {}. Production: {production}",
                cause.sentence
            ),
        }
    }
}
