//! Files that rollbacks wrote a version into: what each says, and what it says again once the hold is released.

use domain::{
    name::{RollbackId, VariableName},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use store::HeldPin;
use utoipa::ToSchema;

/// A file that a rollback wrote the version into, to be put back when the hold that it made is released, or by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PinAnswer {
    /// The rollback that wrote it.
    #[schema(value_type = Uuid)]
    pub rollback_id: RollbackId,
    /// The file.
    pub path: String,
    /// The variable; none of an override file of Sternway's, which pins images of services instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub variable: Option<VariableName>,
    /// What it said before, and says again when the hold is released; nothing when it was not set, or not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<String>,
    /// What the rollback wrote; nothing when it took an override file of Sternway's away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// When the hold was released and the file looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub settled_at: Option<Moment>,
    /// What came of that: it is what it was before, or why it was left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Whether the rollback left it to a person: it made no hold whose release would put the file back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_to_person: bool,
}

impl From<HeldPin> for PinAnswer {
    fn from(held: HeldPin) -> Self {
        Self {
            rollback_id: held.rollback,
            path: held.pin.path,
            variable: held.pin.variable,
            former: held.pin.from,
            written: held.pin.to,
            settled_at: held.settled_at,
            said: held.said,
            left_to_person: !held.held,
        }
    }
}
