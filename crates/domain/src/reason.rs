//! Why a rollback is asked for: the runbook's five reasons.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The runbook's "when to roll back".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Critical bugs were discovered after the deployment.
    CriticalBug,
    /// Performance degraded beyond acceptable thresholds.
    Performance,
    /// A security vulnerability was identified.
    Security,
    /// Dependent services fail to integrate.
    Integration,
    /// Health checks fail consistently.
    HealthChecks,
}

impl Reason {
    /// Every reason, in the runbook's order.
    pub const ALL: [Self; 5] = [
        Self::CriticalBug,
        Self::Performance,
        Self::Security,
        Self::Integration,
        Self::HealthChecks,
    ];

    /// The word used in the API and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::CriticalBug => "critical_bug",
            Self::Performance => "performance",
            Self::Security => "security",
            Self::Integration => "integration",
            Self::HealthChecks => "health_checks",
        }
    }
}

impl std::str::FromStr for Reason {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::word).join(", ");
        Self::ALL
            .into_iter()
            .find(|reason| reason.word() == word)
            .ok_or_else(|| format!("reason `{word}` is not known: use one of {}", known()))
    }
}
