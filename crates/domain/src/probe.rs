//! Probes as data: what is asked of the world, and what its answer means.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::name::{ComponentName, ContainerId};

/// A check at each replica of a component, directly at the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    /// `GET path` answers with an expected status, and with an expected text when one is given.
    Http {
        /// Port inside the container.
        #[schema(minimum = 1, maximum = 65535)]
        port: u16,
        /// Path with query, starting with `/`.
        path: String,
        /// Expected status; any 2xx when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 100, maximum = 599)]
        status: Option<u16>,
        /// Text that the first 64 KiB of the body must contain.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contains: Option<String>,
    },
    /// The port accepts a connection.
    Tcp {
        /// Port inside the container.
        #[schema(minimum = 1, maximum = 65535)]
        port: u16,
    },
}

/// Where a component says which version it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionEndpoint {
    /// Port inside the container.
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// Path with query, starting with `/`.
    pub path: String,
    /// Field of the JSON answer that holds the version; the whole body, trimmed, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// A check of the application through its front: a whole URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontProbe {
    /// `http://` or `https://` URL as clients use it.
    pub url: String,
    /// Expected status; any 2xx when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 599)]
    pub status: Option<u16>,
    /// Text that the first 64 KiB of the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// One question to ask now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the answer is about.
    pub subject: Subject,
    /// What to ask.
    pub ask: Ask,
}

/// What a probe's answer is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// One replica of a component.
    Replica {
        /// The component.
        component: ComponentName,
        /// The container asked.
        container: ContainerId,
    },
    /// The application through its front.
    Front,
}

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// An HTTP request.
    Http {
        /// Whole URL.
        url: String,
        /// Expected status; any 2xx when none.
        status: Option<u16>,
        /// Text that the body must contain.
        contains: Option<String>,
    },
    /// The version that a replica reports must be this one.
    Version {
        /// Whole URL.
        url: String,
        /// Field of the JSON answer.
        field: Option<String>,
        /// What it must say.
        expected: String,
    },
    /// A connection.
    Tcp {
        /// Address of the replica.
        address: IpAddr,
        /// Port of the replica.
        port: u16,
    },
}

impl Ask {
    /// The question in a few words, for a report.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Http { url, .. } => format!("GET {url}"),
            Self::Version { url, expected, .. } => format!("GET {url} says {expected}"),
            Self::Tcp { address, port } => format!("connect to {address}:{port}"),
        }
    }
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What it is about.
    pub subject: Subject,
    /// The question in a few words.
    pub asked: String,
    /// Whether it was as expected.
    pub green: bool,
    /// What came back, as a sentence, without bodies.
    pub said: String,
    /// Whether that is the application's own word. Silence is not, nor is a status that says that something behind
    /// it can not be reached (502, 503, 504).
    #[serde(default)]
    pub spoke: bool,
}

impl Answer {
    /// Whether it is about this container.
    #[must_use]
    pub fn is_about(&self, id: &ContainerId) -> bool {
        match &self.subject {
            Subject::Replica { container, .. } => container == id,
            Subject::Front => false,
        }
    }
}

/// How many checks of a state of the application are green: what makes one state better than another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Checks that are green.
    pub green: u32,
    /// Checks made.
    pub asked: u32,
}

impl Tally {
    /// The tally of answers.
    #[must_use]
    pub fn of(answers: &[Answer]) -> Self {
        let green = answers.iter().filter(|answer| answer.green).count();
        Self {
            green: u32::try_from(green).unwrap_or(u32::MAX),
            asked: u32::try_from(answers.len()).unwrap_or(u32::MAX),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            green: self.green + other.green,
            asked: self.asked + other.asked,
        }
    }

    /// Whether a larger part of its checks is green: two sides may differ in replicas, so counts alone say
    /// nothing. A state that nothing was asked of is better than none.
    #[must_use]
    pub fn better_than(self, other: Self) -> bool {
        u64::from(self.green) * u64::from(other.asked.max(1))
            > u64::from(other.green) * u64::from(self.asked.max(1))
    }

    /// Whether every check is green.
    #[must_use]
    pub fn all_green(self) -> bool {
        self.green == self.asked
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} of {} checks green", self.green, self.asked)
    }
}
