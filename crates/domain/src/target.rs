//! Which release to go back to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ledger::Release, name::Version};

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
) -> Result<&'a Release, NoTarget> {
    let others = || {
        releases
            .iter()
            .filter(|release| Some(&release.version) != present)
    };
    match target {
        Target::Version(version) => releases
            .iter()
            .find(|release| release.version == *version)
            .ok_or_else(|| NoTarget::UnknownVersion(version.clone())),
        Target::LastKnownGood => others()
            .filter(|release| release.eligible())
            .max_by_key(|release| release.deployed_at)
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
        let chosen = choose(&Target::LastKnownGood, &ledger, Some(&version("3"))).unwrap();
        assert_eq!(chosen.version, version("1"));
    }

    #[test]
    fn last_known_good_never_is_what_runs() {
        let ledger = [release("1", 1, true, false), release("2", 2, true, false)];
        let chosen = choose(&Target::LastKnownGood, &ledger, Some(&version("2"))).unwrap();
        assert_eq!(chosen.version, version("1"));
    }

    #[test]
    fn previous_is_by_order_whatever_is_known_of_it() {
        let ledger = [
            release("1", 1, true, false),
            release("2", 2, false, false),
            release("3", 3, false, false),
        ];
        let chosen = choose(&Target::Previous, &ledger, Some(&version("3"))).unwrap();
        assert_eq!(chosen.version, version("2"));
        assert_eq!(
            choose(&Target::Previous, &ledger[..1], Some(&version("1"))),
            Err(NoTarget::NoPrevious)
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
            if let Ok(chosen) = choose(&Target::LastKnownGood, &ledger, Some(&present)) {
                prop_assert!(chosen.hold.is_none() && chosen.good_at.is_some());
                prop_assert!(chosen.version != present);
            }
        }
    }
}
