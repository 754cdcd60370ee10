//! The runbook's checklist before a rollback: what the facts show, and what only a person can say. It stops nobody: at
//! 3 a.m. it reminds, and it is kept with the request.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ledger::{Health, Release},
    name::{ApplicationName, Version},
    time::Moment,
};

/// What is on it, in the runbook's order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CheckCode {
    /// The target version is identified.
    TargetIdentified,
    /// The issue is caused by what was deployed.
    CauseConfirmed,
    /// The stakeholders are notified.
    StakeholdersNotified,
    /// The issue is documented for the post-mortem.
    Documented,
}

impl CheckCode {
    /// Those that a person may tick: the others are facts.
    pub const OF_PERSONS: [Self; 2] = [Self::CauseConfirmed, Self::StakeholdersNotified];

    /// The code as it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::TargetIdentified => "target_identified",
            Self::CauseConfirmed => "cause_confirmed",
            Self::StakeholdersNotified => "stakeholders_notified",
            Self::Documented => "documented",
        }
    }
}

impl fmt::Display for CheckCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

impl std::str::FromStr for CheckCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [
            Self::TargetIdentified,
            Self::CauseConfirmed,
            Self::StakeholdersNotified,
            Self::Documented,
        ];
        all.into_iter()
            .find(|code| code.word() == text)
            .ok_or_else(|| format!("`{text}` is not on the checklist"))
    }
}

/// One item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// Which.
    pub code: CheckCode,
    /// Whether facts show it.
    pub met: bool,
    /// The facts, or what nobody knows.
    pub said: String,
    /// What a person can do about it; none where it is met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_action: Option<String>,
}

/// What runs, as far as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its version.
    pub version: Version,
    /// When it was deployed.
    pub deployed_at: Moment,
    /// What is known of it; none while it is being looked up.
    pub health: Option<Health>,
    /// What was said about that.
    pub said: Option<String>,
}

/// The checklist of a plan that goes back to `target`.
#[must_use]
pub fn checklist(name: &ApplicationName, target: &Release, runs: Option<&Suspect>) -> Vec<Check> {
    let proved = match target.good_at {
        Some(at) => format!("it is {}, proved healthy at {at}", target.version),
        None => format!("it is {}; it was never proved healthy", target.version),
    };
    vec![
        met(CheckCode::TargetIdentified, proved),
        cause(name, runs),
        Check {
            code: CheckCode::StakeholdersNotified,
            met: false,
            said: "nobody here knows whether they are".to_owned(),
            next_action: Some(
                "tell them, then tick `stakeholders_notified` in the request".to_owned(),
            ),
        },
        met(
            CheckCode::Documented,
            "the request, its reason, every step and what the present containers say are kept"
                .to_owned(),
        ),
    ]
}

fn cause(name: &ApplicationName, runs: Option<&Suspect>) -> Check {
    let open = |said: String| Check {
        code: CheckCode::CauseConfirmed,
        met: false,
        said,
        next_action: Some(format!(
            "compare with `sternway history {name}`; when it fits, tick `cause_confirmed` in the request"
        )),
    };
    let Some(runs) = runs else {
        return open("what runs is no release of the ledger".to_owned());
    };
    let deployed = format!("{} was deployed at {}", runs.version, runs.deployed_at);
    match runs.health {
        Some(Health::Bad) => {
            let why = runs.said.as_deref().unwrap_or("its probes turned red");
            met(
                CheckCode::CauseConfirmed,
                format!("{deployed} and is bad: {why}"),
            )
        }
        Some(Health::Good) => open(format!("{deployed} and was proved healthy after that")),
        Some(Health::Watching | Health::Unproved) | None => open(match runs.said.as_deref() {
            Some(why) => format!("{deployed} and is not judged yet; last seen: {why}"),
            None => format!("{deployed}; nothing was found out about it yet"),
        }),
    }
}

fn met(code: CheckCode, said: String) -> Check {
    Check {
        code,
        met: true,
        said,
        next_action: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;

    fn list(runs: Option<Option<Health>>) -> Vec<Check> {
        let target = Release {
            deployment: Uuid::nil(),
            version: "1.4.2".parse().unwrap(),
            commit: None,
            deployed_at: Moment::from_unix_ms(1_000),
            good_at: Some(Moment::from_unix_ms(2_000)),
            hold: None,
            insecure: None,
            components: BTreeMap::new(),
        };
        let suspect = runs.map(|health| Suspect {
            version: "1.5.0".parse().unwrap(),
            deployed_at: Moment::from_unix_ms(3_000),
            health,
            said: Some("/health answers 500".to_owned()),
        });
        checklist(&"shop".parse().unwrap(), &target, suspect.as_ref())
    }

    #[test]
    fn only_a_release_that_turned_bad_is_the_cause_by_the_facts_alone() {
        let confirmed = |runs| {
            let list = list(runs);
            let item = list
                .iter()
                .find(|item| item.code == CheckCode::CauseConfirmed);
            item.unwrap().clone()
        };
        let bad = confirmed(Some(Some(Health::Bad)));
        assert!(
            bad.met && bad.said.contains("/health answers 500"),
            "{bad:?}"
        );
        for runs in [
            None,
            Some(None),
            Some(Some(Health::Good)),
            Some(Some(Health::Watching)),
            Some(Some(Health::Unproved)),
        ] {
            let item = confirmed(runs);
            assert!(!item.met && item.next_action.is_some(), "{item:?}");
        }
    }

    #[test]
    fn a_red_probe_that_is_not_judged_yet_is_said() {
        let item = &list(Some(Some(Health::Watching)))[1];
        assert!(
            !item.met && item.said.contains("/health answers 500"),
            "{item:?}"
        );
    }

    #[test]
    fn what_only_a_person_knows_is_never_met_by_itself() {
        for runs in [None, Some(Some(Health::Bad))] {
            let list = list(runs);
            let codes: Vec<CheckCode> = list.iter().map(|item| item.code).collect();
            let mut sorted = codes.clone();
            sorted.sort_unstable();
            assert_eq!((codes.len(), &codes), (4, &sorted), "the runbook's order");
            assert!(!list[2].met && list[0].met && list[3].met);
        }
    }

    #[test]
    fn every_code_is_read_as_it_is_written() {
        for item in list(None) {
            assert_eq!(item.code.word().parse(), Ok(item.code));
            let json = serde_json::to_value(item.code).unwrap();
            assert_eq!(json, serde_json::json!(item.code.word()));
        }
    }
}
