//! Roles as sets of acts. No route asks for a role, each asks for an act.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a token may do. Each role may do what the one above it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Plans, rolls back, cancels, holds releases, records deployments.
    Operator,
    /// Approves and rejects what others asked for.
    Approver,
    /// Everything, applications and tokens included.
    Admin,
}

/// A kind of act that a route asks a permit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Look.
    Read,
    /// Compute a plan.
    Plan,
    /// Roll back, cancel, hold, record deployments.
    Operate,
    /// Approve or reject.
    Approve,
    /// Change applications, look at engines, see and revoke tokens.
    Administer,
    /// Make a token: also what the set-up token is for.
    MakeToken,
}

impl Role {
    /// Whether the role's set holds the act.
    #[must_use]
    pub fn may(self, act: Act) -> bool {
        match act {
            Act::Read => true,
            Act::Plan | Act::Operate => self != Self::Viewer,
            Act::Approve => matches!(self, Self::Approver | Self::Admin),
            Act::Administer | Act::MakeToken => self == Self::Admin,
        }
    }

    /// The role as text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl Act {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Read => "look",
            Self::Plan => "make plans",
            Self::Operate => "roll back, cancel, hold or record deployments",
            Self::Approve => "approve or reject",
            Self::Administer => "administer applications and tokens",
            Self::MakeToken => "make tokens",
        }
    }
}

impl From<store::Role> for Role {
    fn from(role: store::Role) -> Self {
        match role {
            store::Role::Viewer => Self::Viewer,
            store::Role::Operator => Self::Operator,
            store::Role::Approver => Self::Approver,
            store::Role::Admin => Self::Admin,
        }
    }
}

impl From<Role> for store::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Approver => Self::Approver,
            Role::Admin => Self::Admin,
        }
    }
}
