//! What a verified message says, whoever sent it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Moment;

/// What a message says, in our words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Something is wrong, or no more. Alertmanager and Grafana send several at once.
    Alerts(Vec<Alert>),
    /// A version was put in service, or is about to be.
    Deployed(Box<Deployed>),
    /// The sender tries whether we can be reached.
    Ping,
    /// A kind of message that nothing is done with: it is recorded.
    Other {
        /// The sender's name for it.
        kind: String,
    },
}

/// One thing that is wrong, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Which trouble it is: messages of the same key are one episode. Unique for its trigger only.
    pub episode: String,
    /// What stays the same when the same trouble comes again, where its sender makes that an episode of its own. Unique for
    /// its trigger only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurs: Option<String>,
    /// Where the trouble stands.
    pub state: AlertState,
    /// What it is called.
    pub title: String,
    /// Where a person reads more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How severe it is, in the sender's word: `critical`, `P1`, `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// What the sender calls what is in trouble: PagerDuty's service id, Sentry's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What else the sender says of it by name; rules that find the application read these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The version that the sender saw it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the trouble began, by the sender's clock.
    pub started_at: Moment,
    /// When what this message tells of happened, by the sender's clock; never before `started_at`.
    pub occurred_at: Moment,
    /// Whether it only says again what was said before.
    #[serde(default)]
    pub repeated: bool,
    /// Whether the alert is one that we raised ourselves.
    #[serde(default)]
    pub ours: bool,
}

/// Where a trouble stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It is there.
    Firing,
    /// It is there, and a person looks after it.
    Acknowledged,
    /// It is gone.
    Resolved,
    /// It is followed under another alert: it is not gone.
    Merged,
}

/// A version that was put in service, or is about to be, as a CI system tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// Which deployment it is: messages of the same key tell of one. Unique for its trigger only.
    pub key: String,
    /// How far it is.
    pub state: DeployedState,
    /// What the sender calls the application.
    pub service: String,
    /// What the sender calls the environment, when it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The commit that it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The image, when the sender names one for the whole application: a reference with a digest, or a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The image of each component, when the sender names them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Who deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Where a person reads more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When, by the sender's clock.
    pub at: Moment,
}

/// How far a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployedState {
    /// It is there to be deployed: nothing was begun.
    Announced,
    /// It began.
    Started,
    /// It is done.
    Succeeded,
    /// It did not come about.
    Failed,
}
