//! What is known of the outside world. Unknown is a value of its own: it is never taken for absent.

use serde::{Deserialize, Serialize};

/// One look at something outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    /// It was looked at, and this is what was there.
    Known(T),
    /// It was looked at, and it is not there.
    Absent,
    /// It could not be looked at; why, as a sentence.
    Unknown(String),
}

impl<T> Seen<T> {
    /// The value when it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// Whether it is known to be there.
    pub fn is_known(&self) -> bool {
        self.known().is_some()
    }
}
