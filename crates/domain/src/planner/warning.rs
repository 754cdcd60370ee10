//! What is worth knowing of a plan and stands in no one's way, each with what can be done about it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something worth knowing of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// Stable code.
    pub code: WarningCode,
    /// What is the matter.
    pub sentence: String,
    /// What can be done about it.
    pub next_action: String,
}

/// Stable codes of warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// What runs is no release of the ledger: nothing will be held.
    PresentUnknown,
    /// The target is held by the rollback that is undone; the hold ends with that.
    HoldReleased,
    /// A container is left from an earlier rollback.
    Leftover,
    /// Somebody else's container shares the network of one that is replaced.
    GuestCutOff,
    /// The environment that the target ran with differs from the present one.
    EnvironmentDiffers,
    /// Other settings that the target ran with differ from the present ones.
    SettingsDiffer,
    /// What the target ran with is not known or can not be read: the present settings are used.
    SettingsUnknown,
    /// An image has to be brought to the engine first.
    ImageBrought,
    /// An image is built again first: it is seldom the same as before.
    ImageBuilt,
    /// The version's tag was moved, or it is not known whether it was.
    TagMoved,
    /// The Compose project will not say what runs.
    ComposeDrift,
    /// How much room the engine's disk has is not known.
    DiskUnknown,
    /// No component says its version: which one serves is only told by its image.
    VersionNotAsked,
    /// A component's port is not handed over: it is stopped and started.
    StoppedAndStarted,
    /// Two versions of a component write to the same lasting storage for a while.
    SharedWrites,
    /// A component does not end on its stop signal.
    StopEndsInKill,
    /// A client that asks at the wrong moment waits for a second more.
    NeighbourTimer,
}
