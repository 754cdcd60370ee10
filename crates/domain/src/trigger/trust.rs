//! How far a trigger is trusted, and what it may do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a trigger's messages prove whom they come from; the later, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrustTier {
    /// By nothing but an address that is hard to guess.
    Address,
    /// By a shared secret that is sent along: whoever reads one message can make others.
    Bearer,
    /// By a signature over the body: nobody without the secret can make or change one.
    Signed,
}

impl TrustTier {
    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Bearer => "bearer",
            Self::Signed => "signed",
        }
    }
}

/// Why a trigger's messages are no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Its definition trusts it with less than its sender proves.
    Lowered,
    /// They carry a password, and nothing signs what they say.
    Unsigned,
    /// They are signed, but for no time: whoever read one can send it again.
    Untimed,
}

/// What a trigger may do at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing: its messages are verified and thrown away.
    Off,
    /// Its messages are recorded.
    #[default]
    Record,
    /// It proposes rollbacks to people.
    Propose,
    /// What it would have done is decided and recorded, and nothing is done: how a trigger is tried out.
    Shadow,
    /// It starts rollbacks that every guard lets through.
    Auto,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 5] = [
        Self::Off,
        Self::Record,
        Self::Propose,
        Self::Shadow,
        Self::Auto,
    ];

    /// The word in the API, on the command line and in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Record => "record",
            Self::Propose => "propose",
            Self::Shadow => "shadow",
            Self::Auto => "auto",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::word).join(", ");
        Self::ALL
            .into_iter()
            .find(|mode| mode.word() == word)
            .ok_or_else(|| format!("mode `{word}` is not known: use one of {}", known()))
    }
}
