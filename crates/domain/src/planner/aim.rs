//! Where from and where to: what runs, and the release that is meant.

use std::collections::{BTreeMap, BTreeSet};

use super::{Blocker, Snapshot, blocker::no_target, place::places};
use crate::{
    ledger::Release,
    name::{ComponentName, Version},
    target::{self, Target},
};

/// The release that a target means now.
///
/// # Errors
/// Why there is none.
pub fn release_of<'a>(
    snapshot: &Snapshot<'a>,
    target: &Target,
) -> Result<&'a Release, Vec<Blocker>> {
    target::choose(
        target,
        snapshot.releases,
        present(snapshot).as_ref(),
        snapshot.last,
    )
    .map_err(|none| vec![no_target(snapshot.application, none)])
}

/// The version that runs: the newest release whose images are what every component runs.
#[must_use]
pub fn present(snapshot: &Snapshot<'_>) -> Option<Version> {
    let mut images: BTreeMap<&ComponentName, BTreeSet<&str>> = BTreeMap::new();
    for place in places(snapshot.application, snapshot.look) {
        images
            .entry(&place.replica.component)
            .or_default()
            .insert(place.replica.image.as_str());
    }
    let runs = |release: &&Release| {
        !images.is_empty()
            && images.iter().all(|(component, seen)| {
                release
                    .components
                    .get(*component)
                    .is_some_and(|part| seen.len() == 1 && seen.contains(part.image.as_str()))
            })
    };
    snapshot
        .releases
        .iter()
        .filter(runs)
        .max_by_key(|release| release.deployed_at)
        .map(|r| r.version.clone())
}
