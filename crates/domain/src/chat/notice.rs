//! What is told in a chat without a plan: something happened, nobody can decide on it there, and a person should know. It is
//! a function of what was written down with the fact, so posted again it says the same.

use serde::{Deserialize, Serialize};

use super::card::{Card, clock};
use crate::{
    chain::sha256_hex,
    name::{Actor, ApplicationName, TriggerName, Version},
    time::{Millis, Moment},
    triage::Advice,
};

/// How long what comes of the same kind about the same application is counted on one message: a storm would fill the
/// channel, and whoever was called a quarter of an hour ago is there.
pub const GATHER: Millis = Millis::from_secs(15 * 60);

/// Most releases that one message names: the command names them all.
const RELEASES_MAX: usize = 8;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "notice")]
pub enum Notice {
    /// Somebody was advised to do something, and the time for it passed with nothing done.
    Deadline {
        /// Which application.
        application: ApplicationName,
        /// What was best done.
        advice: Advice,
        /// Who had decided.
        by: Actor,
        /// Until when.
        until: Moment,
        /// What they had said besides.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// An alert was left to a person without a rollback that waits for their yes.
    Proposal {
        /// Which application.
        application: ApplicationName,
        /// Who told of it.
        trigger: TriggerName,
        /// What the alert is called.
        title: Option<String>,
        /// Why nothing was asked for, as a stable code.
        code: String,
        /// The same as a sentence.
        said: String,
        /// What a person may do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    /// Releases that are kept to go back to could not come back.
    WayBack {
        /// Which application.
        application: ApplicationName,
        /// Which releases.
        releases: Vec<BrokenRelease>,
    },
    /// A held release runs again, and is left running.
    Returned {
        /// Which application.
        application: ApplicationName,
        /// The release.
        version: Version,
        /// Why it is held.
        reason: String,
        /// What was done about it.
        said: String,
    },
}

/// A release that could not come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenRelease {
    /// Which.
    pub version: Version,
    /// Why.
    pub said: String,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Notice {
    /// What it is counted with when the same comes again within [`GATHER`]; none for what happens once.
    #[must_use]
    pub fn gathers(&self) -> Option<String> {
        match self {
            Self::Deadline { .. } | Self::Returned { .. } => None,
            Self::Proposal {
                application, code, ..
            } => Some(format!("proposal/{application}/{code}")),
            Self::WayBack {
                application,
                releases,
            } => {
                let versions = releases.iter().map(|one| one.version.as_str().as_bytes());
                let which = sha256_hex(&versions.collect::<Vec<_>>());
                Some(format!("way_back/{application}/{which}"))
            }
        }
    }

    /// How it is shown, when so many more like it came since.
    #[must_use]
    pub fn card(&self, more: u32) -> Card {
        let mut parts = self.parts();
        if more > 0 {
            parts.push(format!("{more} more like it since."));
        }
        Card {
            title: self.title(),
            call_all: match self {
                Self::Deadline { .. } | Self::Proposal { .. } | Self::Returned { .. } => true,
                // Nothing is wrong yet with what serves: nobody is woken for it.
                Self::WayBack { .. } => false,
            },
            parts,
            decide: None,
            last: true,
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Deadline { application, .. } => {
                format!("Nothing was done for {application} until the deadline")
            }
            Self::Proposal { application, .. } => {
                format!("An alert about {application} is left to a person")
            }
            Self::WayBack { application, .. } => {
                format!("The way back of {application} is broken")
            }
            Self::Returned {
                application,
                version,
                ..
            } => format!("{application}: the held release {version} runs again"),
        }
    }

    fn parts(&self) -> Vec<String> {
        match self {
            Self::Deadline {
                application,
                advice,
                by,
                until,
                note,
            } => {
                let when = clock(*until);
                let mut parts = vec![format!(
                    "It was {when}. What {by} was advised: {}",
                    advice.sentence()
                )];
                parts.extend(note.as_ref().map(|note| format!("They said: {note}")));
                let name = application.as_str();
                let over = format!("sternway decide {name} --over");
                parts.push(next(&advice.commands(name)));
                parts.push(format!("If it is over, say so: `{over}`"));
                parts
            }
            Self::Proposal {
                application,
                trigger,
                title,
                said,
                next: action,
                ..
            } => {
                let title = title.as_deref().unwrap_or("an alert without a title");
                let mut parts = vec![
                    format!("{title} ({trigger})"),
                    format!("No rollback was asked for: {said}."),
                ];
                parts.extend(action.as_ref().map(|action| told(action)));
                parts.push(format!(
                    "What came of each alert: `sternway messages {application}`"
                ));
                parts
            }
            Self::WayBack {
                application,
                releases,
            } => {
                let mut parts: Vec<String> =
                    releases.iter().take(RELEASES_MAX).map(broken).collect();
                let left = releases.len().saturating_sub(RELEASES_MAX);
                if left > 0 {
                    parts.push(format!("And {left} more."));
                }
                parts.push(next(&[format!("sternway versions {application}")]));
                parts
            }
            Self::Returned {
                application,
                version,
                reason,
                said,
            } => vec![
                format!("It is held: {reason}"),
                format!("What was done: {said}."),
                next(&[
                    format!("sternway status {application}"),
                    format!("sternway rollback {application} --good --reason critical_bug"),
                ]),
                format!("If it may run, say so: `sternway release {application} {version}`"),
            ],
        }
    }
}

fn broken(release: &BrokenRelease) -> String {
    let said = format!("{}: {}.", release.version, release.said);
    match &release.next {
        Some(action) => format!("{said}\n{}", told(action)),
        None => said,
    }
}

/// What a person may do, as it was said: a command, or a sentence that may name some.
fn told(action: &str) -> String {
    match action.starts_with("sternway ") {
        true => next(&[action.to_owned()]),
        false => format!("Next: {action}"),
    }
}

fn next(commands: &[String]) -> String {
    let commands: Vec<String> = commands.iter().map(|one| format!("`{one}`")).collect();
    format!("Next: {}", commands.join(", then "))
}

#[cfg(test)]
mod tests;
