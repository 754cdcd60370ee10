//! What can stand in the way of a plan, each with what to do about it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{application::Application, target::NoTarget};

/// Something that stands in the way of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Blocker {
    /// Stable code.
    pub code: BlockerCode,
    /// What is the matter.
    pub sentence: String,
    /// What to do about it.
    pub next_action: String,
}

/// Stable codes of blockers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockerCode {
    /// The ledger has no release of that version.
    UnknownVersion,
    /// No release was ever proved good and could come back.
    NoKnownGood,
    /// Nothing was deployed before what runs.
    NoPrevious,
    /// The rollback can not be undone: it is not the newest, its target does not run any more, or nobody knows what
    /// served before it.
    NotUndoable,
    /// The target is held.
    Held,
    /// The target is marked insecure.
    Insecure,
    /// The target's image is not on the engine.
    ImageMissing,
    /// The ledger does not say what the target runs for a component.
    ComponentUnknown,
    /// Nothing of a component is on the engine: there is no container to take the place of.
    ComponentAbsent,
    /// No specification can be had for a component.
    SpecificationMissing,
    /// The engine removes a container as soon as it stops (`--rm`): there would be no way back.
    AutoRemove,
    /// A container is in a state that can not be swapped.
    ContainerState,
    /// The disk is too full.
    DiskFull,
    /// Another control plane holds the application on this engine.
    LockedElsewhere,
    /// The image is for another kind of processor.
    Architecture,
    /// The balancer in front of a component does not answer.
    BalancerUnreachable,
    /// The balancer, or its configuration file, does not fit the definition and what runs.
    BalancerUnfit,
    /// A replica's name belongs to a container that is no part of the application.
    NameTaken,
    /// A port of the host that the target publishes is held by a container that stays.
    PortTaken,
    /// A path of the host that the target mounts is not there.
    BindSourceMissing,
    /// A network of the target is not on the engine.
    NetworkMissing,
    /// A volume of the target is not on the engine.
    VolumeMissing,
    /// The definition does not say how to build anything of the application.
    NoSource,
    /// The repository has no tag for the version.
    TagMissing,
    /// The version's tag names another commit than the ledger has.
    TagMoved,
}

/// Why there is no release to go back to.
pub(super) fn no_target(application: &Application, none: NoTarget) -> Blocker {
    let name = &application.name;
    match none {
        NoTarget::UnknownVersion(version) => Blocker {
            code: BlockerCode::UnknownVersion,
            sentence: format!("the ledger of {name} has no release {version}"),
            next_action: format!(
                "list what there is with `sternway versions {name}`, or record it with `sternway record-deploy`"
            ),
        },
        NoTarget::NoKnownGood => Blocker {
            code: BlockerCode::NoKnownGood,
            sentence: format!(
                "no other release of {name} was proved healthy for its watch window and may come back"
            ),
            next_action: format!(
                "name a version yourself: `sternway versions {name}` shows what is known of each"
            ),
        },
        NoTarget::NotTheLast(last) => Blocker {
            code: BlockerCode::NotUndoable,
            sentence: format!("that is not the newest rollback of {name} that put its target in service"),
            next_action: last.map_or_else(
                || format!("`sternway history {name}` shows what was done"),
                |last| format!("undo rollback {last}, or name a version: `sternway versions {name}` lists them"),
            ),
        },
        NoTarget::Replaced(to, present) => Blocker {
            code: BlockerCode::NotUndoable,
            sentence: match present {
                Some(present) => format!("{name} runs {present}, not {to} that the rollback put in service"),
                None => format!("{name} does not run {to} any more, which the rollback put in service"),
            },
            next_action: format!("name a version yourself: `sternway versions {name}` lists them"),
        },
        NoTarget::FormerUnknown => Blocker {
            code: BlockerCode::NotUndoable,
            sentence: format!("what served before the rollback is no release in the ledger of {name}"),
            next_action: format!(
                "deploy it again the way you do, or name a version: `sternway versions {name}` lists them"
            ),
        },
        NoTarget::NoPrevious => Blocker {
            code: BlockerCode::NoPrevious,
            sentence: format!(
                "the ledger knows of nothing that was deployed before what {name} runs now"
            ),
            next_action: format!("name a version yourself: `sternway versions {name}` lists them"),
        },
    }
}
