//! Which release to go back to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ledger::{LastRollback, Release},
    name::{RollbackId, Version},
};

/// What a request names as its target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The newest release that was proved healthy for its watch window and is neither held nor insecure.
    #[default]
    LastKnownGood,
    /// The release that was deployed before the one that runs, whatever is known of it.
    Previous,
    /// This version.
    #[schema(value_type = String)]
    Version(Version),
    /// What served before this rollback, which has to be the application's newest that put its target in service.
    #[schema(value_type = uuid::Uuid)]
    Undo(RollbackId),
}

impl Target {
    /// The rollback that is taken back.
    #[must_use]
    pub fn undoes(&self) -> Option<RollbackId> {
        match self {
            Self::Undo(rollback) => Some(*rollback),
            Self::LastKnownGood | Self::Previous | Self::Version(_) => None,
        }
    }
}

/// Why no release answers to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTarget {
    /// The ledger has no release of that version.
    UnknownVersion(Version),
    /// No release was ever proved good, or each is held, insecure or the one that runs.
    NoKnownGood,
    /// Nothing was deployed before what runs, or what runs is no release.
    NoPrevious,
    /// That rollback is not the newest that put its target in service.
    NotTheLast(Option<RollbackId>),
    /// The rollback's target is not what runs any more; that version runs, when the ledger knows it.
    Replaced(Version, Option<Version>),
    /// What served before the rollback is no release.
    FormerUnknown,
}

/// The releases that are worth going back to, given what runs now: the last known good one first, then the ones before it.
#[must_use]
pub fn known_good<'a>(releases: &'a [Release], present: Option<&Version>) -> Vec<&'a Release> {
    let mut good: Vec<&Release> = releases
        .iter()
        .filter(|release| Some(&release.version) != present && release.eligible())
        .collect();
    good.sort_by_key(|release| std::cmp::Reverse(release.deployed_at));
    good
}

/// The release that `target` means, given what runs now. `releases` may come in any order.
///
/// *Last known good* is the newest deployment among those that are proved, never the newest alone: a release that
/// is held, insecure, never proved, judged bad since, or the one that runs is not a candidate.
///
/// # Errors
/// Why there is none.
pub fn choose<'a>(
    target: &Target,
    releases: &'a [Release],
    present: Option<&Version>,
    last: Option<&LastRollback>,
) -> Result<&'a Release, NoTarget> {
    let named = |version: &Version| {
        releases
            .iter()
            .find(|release| release.version == *version)
            .ok_or_else(|| NoTarget::UnknownVersion(version.clone()))
    };
    let others = || {
        releases
            .iter()
            .filter(|release| Some(&release.version) != present)
    };
    match target {
        Target::Version(version) => named(version),
        Target::Undo(rollback) => {
            let last = last
                .filter(|last| last.id == *rollback)
                .ok_or(NoTarget::NotTheLast(last.map(|last| last.id)))?;
            if present != Some(&last.to) {
                return Err(NoTarget::Replaced(last.to.clone(), present.cloned()));
            }
            named(last.from.as_ref().ok_or(NoTarget::FormerUnknown)?)
        }
        Target::LastKnownGood => known_good(releases, present)
            .into_iter()
            .next()
            .ok_or(NoTarget::NoKnownGood),
        Target::Previous => {
            // With a mixture running, nothing says which release came before it.
            let now = releases
                .iter()
                .find(|release| Some(&release.version) == present)
                .ok_or(NoTarget::NoPrevious)?;
            others()
                .filter(|release| release.deployed_at < now.deployed_at)
                .max_by_key(|release| release.deployed_at)
                .ok_or(NoTarget::NoPrevious)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::time::Moment;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn release(version: &str, at: i64, good: bool, held: bool) -> Release {
        Release {
            deployment: Uuid::nil(),
            version: version.parse().unwrap(),
            commit: None,
            deployed_at: Moment::from_unix_ms(at),
            good_at: good.then(|| Moment::from_unix_ms(at + 1)),
            hold: held.then(|| "rolled back".to_owned()),
            insecure: None,
            components: BTreeMap::new(),
        }
    }

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn last_known_good_skips_what_was_never_proved() {
        let ledger = [
            release("1", 1, true, false),
            release("2", 2, false, false),
            release("3", 3, false, false),
        ];
        let chosen = choose(&Target::LastKnownGood, &ledger, Some(&version("3")), None).unwrap();
        assert_eq!(chosen.version, version("1"));
    }

    #[test]
    fn what_is_worth_going_back_to_is_neither_held_nor_unproved_nor_what_runs() {
        let ledger = [
            release("1", 1, true, false),
            release("2", 2, true, false),
            release("3", 3, false, false),
            release("4", 4, true, true),
            release("5", 5, true, false),
        ];
        let found = |present: Option<&str>| {
            let present = present.map(version);
            let good = known_good(&ledger, present.as_ref());
            let versions = good.into_iter().map(|release| release.version.to_string());
            versions.collect::<Vec<_>>()
        };
        assert_eq!(found(Some("5")), ["2", "1"]);
        assert_eq!(found(None), ["5", "2", "1"]);
    }

    #[test]
    fn last_known_good_never_is_what_runs() {
        let ledger = [release("1", 1, true, false), release("2", 2, true, false)];
        let chosen = choose(&Target::LastKnownGood, &ledger, Some(&version("2")), None).unwrap();
        assert_eq!(chosen.version, version("1"));
    }

    #[test]
    fn previous_is_by_order_whatever_is_known_of_it() {
        let ledger = [
            release("1", 1, true, false),
            release("2", 2, false, false),
            release("3", 3, false, false),
        ];
        let chosen = choose(&Target::Previous, &ledger, Some(&version("3")), None).unwrap();
        assert_eq!(chosen.version, version("2"));
        assert_eq!(
            choose(&Target::Previous, &ledger[..1], Some(&version("1")), None),
            Err(NoTarget::NoPrevious)
        );
    }

    #[test]
    fn only_the_last_rollback_whose_target_runs_can_be_undone() {
        let ledger = [release("1", 1, true, false), release("2", 2, false, true)];
        let (this, other) = (
            RollbackId(Uuid::from_u128(1)),
            RollbackId(Uuid::from_u128(2)),
        );
        let last = |from: Option<&str>| LastRollback {
            id: this,
            from: from.map(version),
            to: version("1"),
            hold_of_others: None,
        };
        let undo = |rollback, present: &str, last: &LastRollback| {
            choose(
                &Target::Undo(rollback),
                &ledger,
                Some(&version(present)),
                Some(last),
            )
            .map(|release| release.version.clone())
        };
        assert_eq!(undo(this, "1", &last(Some("2"))), Ok(version("2")));
        assert_eq!(
            undo(other, "1", &last(Some("2"))),
            Err(NoTarget::NotTheLast(Some(this)))
        );
        assert_eq!(
            undo(this, "2", &last(Some("2"))),
            Err(NoTarget::Replaced(version("1"), Some(version("2"))))
        );
        assert_eq!(undo(this, "1", &last(None)), Err(NoTarget::FormerUnknown));
        assert_eq!(
            undo(this, "1", &last(Some("3"))),
            Err(NoTarget::UnknownVersion(version("3")))
        );
    }

    proptest! {
        #[test]
        fn a_held_or_unproved_release_is_never_chosen_by_itself(
            rows in proptest::collection::vec((0..50_i64, any::<bool>(), any::<bool>()), 0..12),
            runs in 0..12_usize,
        ) {
            let ledger: Vec<Release> = rows.iter().enumerate()
                .map(|(n, (at, good, held))| release(&n.to_string(), *at, *good, *held)).collect();
            let present = version(&runs.to_string());
            if let Ok(chosen) = choose(&Target::LastKnownGood, &ledger, Some(&present), None) {
                prop_assert!(chosen.hold.is_none() && chosen.good_at.is_some());
                prop_assert!(chosen.version != present);
            }
        }
    }
}
