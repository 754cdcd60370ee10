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
        /// Whether everybody is called for it.
        #[serde(default)]
        calls: bool,
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
    /// Notices were given up in a chat, since too many waited.
    Behind {
        /// Which chat.
        chat: TriggerName,
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
            // What calls is never counted on what called nobody.
            Self::Proposal {
                application,
                code,
                calls,
                ..
            } => {
                let call = if *calls { "/call" } else { "" };
                Some(format!("proposal/{application}/{code}{call}"))
            }
            Self::Behind { chat } => Some(format!("behind/{chat}")),
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

    /// Whether everybody is called for it.
    #[must_use]
    pub fn calls(&self) -> bool {
        match self {
            Self::Deadline { .. } | Self::Returned { .. } => true,
            Self::Proposal { calls, .. } => *calls,
            // Nothing is wrong yet with what serves: nobody is woken for it. What called most was not given up.
            Self::WayBack { .. } | Self::Behind { .. } => false,
        }
    }

    /// How it is shown, when so many more like it came since.
    #[must_use]
    pub fn card(&self, more: u32) -> Card {
        let mut parts = self.parts();
        let counts = match self {
            Self::Deadline { .. }
            | Self::Proposal { .. }
            | Self::WayBack { .. }
            | Self::Returned { .. } => true,
            // Each of them is one that was given up: the title says how many.
            Self::Behind { .. } => false,
        };
        if counts && more > 0 {
            parts.push(format!("{more} more like it since."));
        }
        Card {
            title: self.title(more),
            call_all: self.calls(),
            parts,
            decide: None,
            last: true,
        }
    }

    fn title(&self, more: u32) -> String {
        match self {
            Self::Behind { .. } if more == 0 => "1 more notice was not posted".to_owned(),
            Self::Behind { .. } => {
                format!(
                    "{} more notices were not posted",
                    u64::from(more).saturating_add(1)
                )
            }
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
                parts.extend(note.as_ref().map(|note| format!("They said: {}", line(note))));
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
                    format!("{} ({trigger})", line(title)),
                    format!("No rollback was asked for: {}.", line(said)),
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
            } => way_back(application, releases),
            Self::Returned {
                application,
                version,
                reason,
                said,
            } => vec![
                format!("It is held: {}", line(reason)),
                format!("What was done: {}.", line(said)),
                next(&[
                    format!("sternway status {application}"),
                    format!("sternway rollback {application} --good --reason critical_bug"),
                ]),
                format!("If it may run, say so: `sternway release {application} {version}`"),
            ],
            Self::Behind { .. } => vec![
                "Too many waited: the newest of those that call everybody were kept, then the newest of the others."
                    .to_owned(),
                "What came of each alert: `sternway messages`".to_owned(),
            ],
        }
    }
}

fn way_back(application: &ApplicationName, releases: &[BrokenRelease]) -> Vec<String> {
    let mut parts: Vec<String> = releases.iter().take(RELEASES_MAX).map(broken).collect();
    let left = releases.len().saturating_sub(RELEASES_MAX);
    if left > 0 {
        parts.push(format!("And {left} more."));
    }
    parts.push(next(&[format!("sternway versions {application}")]));
    parts
}

fn broken(release: &BrokenRelease) -> String {
    let said = format!("{}: {}.", release.version, line(&release.said));
    match &release.next {
        Some(action) => format!("{said}\n{}", told(action)),
        None => said,
    }
}

/// A text from outside on one line: nothing in it looks like a piece of ours.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a person may do, as it was said: a command, or a sentence that may name some.
fn told(action: &str) -> String {
    let action = line(action);
    match action.starts_with("sternway ") {
        true => next(&[action]),
        false => format!("Next: {action}"),
    }
}

fn next(commands: &[String]) -> String {
    let commands: Vec<String> = commands.iter().map(|one| format!("`{one}`")).collect();
    format!("Next: {}", commands.join(", then "))
}

#[cfg(test)]
mod tests;
