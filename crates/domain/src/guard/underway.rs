//! Whether a version is being put in service, as far as its sender told. A rollback would meet it half-way.

use serde::{Deserialize, Serialize};

use super::{Answer, Decision, Guard, GuardAnswer, NewestDeployment, version::same};
use crate::{
    time::Moment,
    trigger::alert::{Deployed, DeployedState},
};

/// What the answer about one goes by, among its evidence.
const BY: &str = "underway_by";

/// A deployment that began, and of which no end is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway {
    /// The trigger that told of it.
    pub trigger: String,
    /// The version, when it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Since when: by the sender's clock, and not later than it was told.
    pub since: Moment,
}

/// What a trigger told of a deployment of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentWord {
    /// Which trigger.
    pub trigger: String,
    /// What it told.
    pub told: Deployed,
    /// When we wrote it down.
    pub told_at: Moment,
}

/// The newest deployment that began and of which no end is known: neither its sender told of one, nor has the ledger a newer
/// entry.
#[must_use]
pub fn underway(words: &[DeploymentWord], newest: Option<&NewestDeployment>) -> Option<Underway> {
    let open = words
        .iter()
        .filter(|word| word.told.state == DeployedState::Started)
        .filter(|begun| !words.iter().any(|word| ends(word, begun)))
        .filter(|begun| !newest.is_some_and(|newest| is_in(newest, begun)));
    let last = open.max_by_key(|begun| begun.told_at)?;
    Some(Underway {
        trigger: last.trigger.clone(),
        version: last.told.version.clone(),
        since: since(last),
    })
}

fn since(begun: &DeploymentWord) -> Moment {
    begun.told.at.min(begun.told_at)
}

/// Whether a word tells the end of what began: of the same deployment, or of the same version of the same thing where its
/// sender gives each message a key of its own.
fn ends(word: &DeploymentWord, begun: &DeploymentWord) -> bool {
    let over = match word.told.state {
        DeployedState::Succeeded | DeployedState::Failed => true,
        DeployedState::Announced | DeployedState::Started => false,
    };
    let (end, beginning) = (&word.told, &begun.told);
    let one = end.key == beginning.key
        || (end.service == beginning.service
            && end.version.is_some()
            && end.version == beginning.version);
    // Messages overtake each other: their sender's clock tells which was first.
    over && one && word.trigger == begun.trigger && end.at >= beginning.at
}

/// Whether the ledger knows what came of it: a newer entry, or one of that version since it began.
fn is_in(newest: &NewestDeployment, begun: &DeploymentWord) -> bool {
    let told = begun.told.version.as_deref();
    let it = told.is_some_and(|told| same(told, newest.version.name()));
    newest.at > begun.told_at || (it && newest.at > since(begun))
}

impl Underway {
    pub(super) fn asks(&self, guard: Guard) -> GuardAnswer {
        let (version, since) = (self.version.as_deref(), self.since);
        let what = format!(
            "{} is being put in service since {since}, as `{}` told",
            version.unwrap_or("a version"),
            self.trigger
        );
        let next = "wait until it is done: CI says so by deploy.succeeded or deploy.failed";
        let answer = GuardAnswer::ask(guard, what, next)
            .with(BY, &self.trigger)
            .with("since", since);
        match version {
            Some(version) => answer.with("version", version),
            None => answer,
        }
    }
}

impl Decision {
    /// What asks to wait for a deployment that is under way: a rollback now would meet it half-way.
    #[must_use]
    pub fn waits_for_a_deployment(&self) -> Option<&GuardAnswer> {
        let mut asks = self.answers.iter();
        asks.find(|said| said.answer == Answer::Ask && said.evidence.contains_key(BY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::tests::{at, fine};

    fn word(key: &str, state: DeployedState, version: &str, seconds: i64) -> DeploymentWord {
        let told = serde_json::json!({"key": key, "state": state, "service": "acme/shop",
            "version": (!version.is_empty()).then_some(version), "at": at(seconds)});
        DeploymentWord {
            trigger: "ci".to_owned(),
            told: serde_json::from_value(told).unwrap(),
            told_at: at(seconds + 1),
        }
    }

    /// The version that is under way; the ledger's newest is 1.5.0 of 500 s ago.
    fn under_way(words: &[DeploymentWord]) -> Option<String> {
        let facts = fine();
        underway(words, facts.deployment.known()).and_then(|found| found.version)
    }

    #[test]
    fn what_began_is_under_way_until_its_end_is_told_or_the_ledger_has_it() {
        use DeployedState::{Announced, Failed, Started, Succeeded};
        let begun = word("d1", Started, "1.5.1", -60);
        let open = Some("1.5.1".to_owned());
        assert_eq!(under_way(std::slice::from_ref(&begun)), open);
        for over in [Succeeded, Failed] {
            let same_key = word("d1", over, "", -20);
            assert_eq!(under_way(&[same_key.clone(), begun.clone()]), None);
            // Overtaken on the way.
            assert_eq!(under_way(&[begun.clone(), same_key]), None);
            let own_key = word("m2", over, "1.5.1", -20);
            assert_eq!(under_way(&[own_key, begun.clone()]), None);
            for other in [
                word("d2", over, "1.5.2", -20),
                word("d2", over, "", -20),
                // The end of an earlier try.
                word("d1", over, "1.5.1", -90),
                DeploymentWord {
                    trigger: "other".to_owned(),
                    ..word("d1", over, "1.5.1", -20)
                },
            ] {
                assert_eq!(under_way(&[other, begun.clone()]), open);
            }
        }
        assert_eq!(under_way(&[word("r1", Announced, "1.5.1", -60)]), None);
        // The ledger's entry of 500 s ago is newer, or is that version.
        assert_eq!(under_way(&[word("d1", Started, "1.5.1", -600)]), None);
        let mut late = word("d1", Started, "v1.5.0", -600);
        late.told_at = at(-100);
        assert_eq!(under_way(&[late.clone()]), None);
        // A sender's clock that is behind hides nothing.
        late.told.version = Some("1.5.1".to_owned());
        assert_eq!(under_way(&[late]), open);
        // The newest of several.
        let second = word("d2", Started, "1.5.2", -30);
        assert_eq!(under_way(&[begun, second]), Some("1.5.2".to_owned()));
    }
}
