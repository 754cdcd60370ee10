//! Which releases are kept as ways back. Pure: it protects and removes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ledger::Release,
    name::{ImageId, Version},
};

/// Most releases that are kept by number, and by name: each costs the disk of its images.
pub const RETAINED_MAX: usize = 50;

/// What of an application's past is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retain {
    /// How many releases that were proved good, and may come back, are kept.
    #[schema(minimum = 1, maximum = 50)]
    pub releases: u32,
    /// Versions that are kept whatever is known of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, max_items = 50)]
    pub pinned: Vec<Version>,
    /// Where a second copy of their images is kept, outside the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyPlace>,
}

impl Default for Retain {
    fn default() -> Self {
        // A week of daily deployments, without the weekend.
        Self {
            releases: 5,
            pinned: Vec::new(),
            copy: None,
        }
    }
}

impl Retain {
    /// Whether it says nothing but the default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A place outside the engine for second copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CopyPlace {
    /// A registry and the beginning of its repositories, such as `registry.example:5000/sternway`.
    Registry(String),
    /// An absolute folder on the worker's disk.
    Archive(String),
}

/// Why a release is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It runs.
    Present,
    /// It is among the last that were proved good and may come back.
    Good,
    /// The definition names it.
    Pinned,
    /// It is the newest that is not marked insecure.
    Secure,
}

/// The releases that are kept, each with why.
#[must_use]
pub fn retained(
    retain: &Retain,
    releases: &[Release],
    present: Option<&Version>,
) -> BTreeMap<Version, BTreeSet<Why>> {
    let mut newest: Vec<&Release> = releases.iter().collect();
    newest.sort_by(|a, b| (b.deployed_at, &b.version).cmp(&(a.deployed_at, &a.version)));
    let mut kept: BTreeMap<Version, BTreeSet<Why>> = BTreeMap::new();
    let mut keep = |release: &Release, why: Why| {
        kept.entry(release.version.clone()).or_default().insert(why);
    };
    let number = usize::try_from(retain.releases).unwrap_or(RETAINED_MAX);
    // What runs is no way back, so it does not count as one.
    let good = newest
        .iter()
        .filter(|release| release.eligible() && Some(&release.version) != present);
    for release in good.take(number.min(RETAINED_MAX)) {
        keep(release, Why::Good);
    }
    for release in &newest {
        if Some(&release.version) == present {
            keep(release, Why::Present);
        }
        if retain.pinned.contains(&release.version) {
            keep(release, Why::Pinned);
        }
    }
    if let Some(secure) = newest.iter().find(|release| release.insecure.is_none()) {
        keep(secure, Why::Secure);
    }
    kept
}

/// The images of the releases that are kept.
#[must_use]
pub fn images<'a>(
    kept: &BTreeMap<Version, BTreeSet<Why>>,
    releases: &'a [Release],
) -> BTreeSet<&'a ImageId> {
    releases
        .iter()
        .filter(|release| kept.contains_key(&release.version))
        .flat_map(|release| release.components.values().map(|part| &part.image))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Moment;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn release(at: i64, good: bool, held: bool, insecure: bool) -> Release {
        Release {
            deployment: Uuid::nil(),
            commit: None,
            version: format!("1.{at}").parse().unwrap(),
            deployed_at: Moment::from_unix_ms(at),
            good_at: good.then(|| Moment::from_unix_ms(at + 1)),
            hold: held.then(|| "bad".to_owned()),
            insecure: insecure.then(|| "CVE".to_owned()),
            components: BTreeMap::new(),
        }
    }

    fn version(at: i64) -> Version {
        format!("1.{at}").parse().unwrap()
    }

    #[test]
    fn the_last_good_ones_the_pinned_the_secure_and_the_present_are_kept() {
        let releases = [
            release(1, true, false, false),
            release(2, true, false, false),
            release(3, true, true, false),
            release(4, true, false, false),
            release(5, false, false, true),
        ];
        let retain = Retain {
            releases: 1,
            pinned: vec![version(1)],
            copy: None,
        };
        let kept = retained(&retain, &releases, Some(&version(5)));
        assert_eq!(kept[&version(1)], BTreeSet::from([Why::Pinned]));
        assert_eq!(kept[&version(4)], BTreeSet::from([Why::Good, Why::Secure]));
        assert_eq!(kept[&version(5)], BTreeSet::from([Why::Present]));
        assert_eq!(kept.len(), 3, "{kept:?}");
    }

    proptest! {
        #[test]
        fn what_is_kept_is_bounded_and_the_last_known_good_is_in_it(
            rows in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 0..30),
            number in 1..6_u32,
            present in 0..30_i64,
        ) {
            let releases: Vec<Release> = rows.iter().zip(0..)
                .map(|((good, held, insecure), at)| release(at, *good, *held, *insecure)).collect();
            let present = version(present);
            let retain = Retain { releases: number, ..Retain::default() };
            let kept = retained(&retain, &releases, Some(&present));
            prop_assert!(kept.len() <= number as usize + 2);
            let target = crate::target::Target::LastKnownGood;
            if let Ok(chosen) = crate::target::choose(&target, &releases, Some(&present), None) {
                prop_assert!(kept.contains_key(&chosen.version));
            }
        }
    }
}
