//! What the guards go by. Everything here was seen by somebody and is recorded with the decision, so that a decision
//! can be made again from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Guard, Underway};
use crate::{
    ledger::DeploymentKind,
    name::{Actor, ApplicationName, PlanDigest, RollbackId, Version},
    planner::Blocker,
    readiness::ReadinessCode,
    seen::Seen,
    time::{Millis, Moment},
    trigger::{
        alert::{Alert, AlertState},
        trust::{Doubt, Mode, TrustTier},
    },
    window::Window,
};

/// Everything that the guards go by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Who sent it.
    pub trigger: TriggerFacts,
    /// What it says.
    pub alert: Alert,
    /// When it was taken in, by our clock.
    pub received_at: Moment,
    /// Which application is meant; absent when none of ours is, unknown when it can not be said.
    pub application: Seen<Subject>,
    /// The kill switches.
    pub switches: Seen<Switches>,
    /// What else is known of the trouble.
    pub episode: Seen<EpisodeFacts>,
    /// What our own probes say now; absent when there are none. Only looked at once the alert has settled.
    pub opinion: Seen<Opinion>,
    /// The newest deployment in the ledger that is one; absent when there is none.
    pub deployment: Seen<NewestDeployment>,
    /// The deployment that a sender said to have begun, and of which neither it nor the ledger tells the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underway: Option<Underway>,
    /// What the planner would go back to; absent when there is no such release.
    pub target: Seen<TargetFacts>,
    /// Rollbacks of every application that act now, or were asked for in the last 24 hours, or undid the newest
    /// deployment of this one however long ago; without those that ended before they did anything, unless an alert
    /// had started them.
    pub rollbacks: Seen<Vec<Recent>>,
    /// Freeze windows of this application and of all.
    pub windows: Seen<Vec<Window>>,
    /// Guards that persons let it through although they do not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// What is known of a trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerFacts {
    /// Its name.
    pub name: String,
    /// How its messages prove whom they come from. What is signed for a time of its own is only `signed` within the
    /// window of that time.
    pub trust: TrustTier,
    /// Why they prove no more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// What it may do.
    pub mode: Mode,
    /// What its words for severity mean; the usual words are known without.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub severities: BTreeMap<String, Impact>,
}

/// The application that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name.
    pub name: ApplicationName,
    /// Whether its definition asks for a person's approval.
    pub approval: bool,
}

/// What a trouble does to the people who use an application; the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Few of them see it.
    Minor,
    /// It is slow.
    Slow,
    /// More than a tenth of them see it.
    Many,
    /// It is down.
    Down,
    /// It has a security hole.
    Security,
    /// It damages data.
    DataCorruption,
}

impl Impact {
    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Slow => "slow",
            Self::Many => "many",
            Self::Down => "down",
            Self::Security => "security",
            Self::DataCorruption => "data_corruption",
        }
    }
}

/// The switches that stop automatic rollbacks; none where it is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// For every application.
    pub everywhere: Option<Switch>,
    /// For this one.
    pub here: Option<Switch>,
}

/// A switch that somebody set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Moment,
    /// Why.
    pub reason: String,
}

/// What else is known of the trouble that a message is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpisodeFacts {
    /// Every state that messages of this episode's key told of in the last hours, this one's included, oldest first.
    pub states: Vec<EpisodeState>,
    /// The same of earlier episodes of what comes again under a key of its own each time, in the last hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EpisodeState>,
    /// The event of an earlier message about the same trouble that waits to be decided, or was decided as `auto` or
    /// `propose`; none when the trouble was over since then.
    pub decided: Option<String>,
    /// The newest word on the trouble that is newer than the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<Later>,
}

/// What was said of a trouble after the alert that is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Later {
    /// What it says.
    pub alert: Box<Alert>,
    /// The application that it is about, by the routes.
    pub application: Option<ApplicationName>,
}

/// A state that a message told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpisodeState {
    /// When it came about, by the sender's clock.
    pub at: Moment,
    /// The state.
    pub state: AlertState,
}

/// What our own probes say of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// When they were asked.
    pub at: Moment,
    /// The first one that fails, as a sentence; none when all are green.
    pub failing: Option<String>,
}

/// The newest deployment of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestDeployment {
    /// Its identity.
    pub id: Uuid,
    /// Of which version.
    pub version: Version,
    /// How.
    pub kind: DeploymentKind,
    /// When, as far as it is known: by the first who told of it, and not later than what runs was started.
    pub at: Moment,
    /// Whether it is done.
    pub finished: bool,
    /// Whether its images were ever seen to run: what is only told of may not have come about.
    pub seen: bool,
}

/// What the planner would go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// The version.
    pub version: Version,
    /// Whether it was ever proved healthy for its watch window.
    pub proved: bool,
    /// How long it served, as far as the ledger knows.
    pub served: Option<Millis>,
    /// How ready it is.
    pub readiness: ReadinessCode,
    /// What stands in the way of a plan.
    pub blockers: Vec<Blocker>,
    /// Why it is held.
    pub hold: Option<String>,
    /// Why it is insecure.
    pub insecure: Option<String>,
}

/// A rollback that acts, or was asked for of late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// Its identity.
    pub rollback: RollbackId,
    /// Of which application.
    pub application: ApplicationName,
    /// Who asked for it.
    pub by: Asker,
    /// When.
    pub asked_at: Moment,
    /// When it no longer acted; none while it does, the wait for an approval included.
    pub rested_at: Option<Moment>,
    /// The alert's episode that it was started by.
    pub episode: Option<String>,
    /// The deployment that it undid; none when it ended before it touched what serves.
    pub undid: Option<Uuid>,
    /// Whether clients may have seen anything of it. What is under way may yet.
    pub touched: bool,
    /// The version of that deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Version>,
    /// The trigger that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// Its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanDigest>,
    /// Whether it waits for a person's yes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaits: bool,
    /// Whether an alert only proposed it, and a person's yes started it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

impl Recent {
    /// Whether it is only proposed: an alert asked for it, and a person's yes is waited for.
    #[must_use]
    pub fn proposed(&self) -> bool {
        match self.by {
            Asker::Trigger => self.awaits,
            Asker::Person | Asker::Watcher => false,
        }
    }
}

/// Who asked for a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asker {
    /// A person, or a service in a person's name.
    Person,
    /// An alert.
    Trigger,
    /// The watcher, because a held release came back.
    Watcher,
}

/// A person's word that a guard shall be passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = GuardOverride)]
pub struct Override {
    /// Which guard.
    pub guard: Guard,
    /// Who.
    pub person: Actor,
    /// Why.
    pub reason: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
}

impl Facts {
    /// The application, when it is known which one is meant.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.application.known()
    }
}

/// What an alert's severity means; none when nothing says it. What speaks of damaged data is taken for it whatever else
/// is said: that mistake is the cheaper one.
#[must_use]
pub fn impact_of(alert: &Alert, severities: &BTreeMap<String, Impact>) -> Option<Impact> {
    let lower = |text: &str| text.trim().to_lowercase();
    let labels = ["impact", "category", "class"];
    let said = labels.iter().filter_map(|name| alert.labels.get(*name));
    let flagged = alert.labels.iter().any(|(name, value)| {
        matches!(lower(name).as_str(), "data_corruption" | "data_loss")
            && !matches!(lower(value).as_str(), "" | "false" | "no" | "0")
    });
    let title = lower(&alert.title);
    let damages = ["corrupt", "data loss", "dataloss"];
    if flagged || damages.iter().any(|word| title.contains(word)) {
        return Some(Impact::DataCorruption);
    }
    let word = alert.severity.iter();
    word.chain(said)
        .filter_map(|word| {
            let word = lower(word);
            let mapped = severities.iter().find(|(name, _)| lower(name) == word);
            mapped.map(|(_, impact)| *impact).or_else(|| usual(&word))
        })
        .max()
}

/// What a word for a severity means, as the common senders use it.
#[must_use]
pub fn impact_of_word(word: &str) -> Option<Impact> {
    usual(&word.trim().to_lowercase())
}

fn usual(word: &str) -> Option<Impact> {
    match word {
        "critical" | "fatal" | "emergency" | "page" | "p1" | "sev1" | "sev-1" | "down" => {
            Some(Impact::Down)
        }
        // `high` is what PagerDuty says of every incident of a service unless somebody set it otherwise.
        "error" | "p2" | "sev2" | "sev-2" | "major" | "high" | "many" => Some(Impact::Many),
        "warning" | "p3" | "sev3" | "sev-3" | "slow" | "performance" => Some(Impact::Slow),
        "info" | "low" | "minor" | "none" | "p4" | "p5" | "sev4" | "sev-4" => Some(Impact::Minor),
        "security" | "vulnerability" => Some(Impact::Security),
        "data_corruption" | "data_loss" | "corruption" => Some(Impact::DataCorruption),
        _ => None,
    }
}
