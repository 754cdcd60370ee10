//! What people say of a release that keeps it from coming back. It is asked when a plan is made, and again when a rollback
//! along it is approved.

use super::{Blocker, BlockerCode};
use crate::name::{ApplicationName, Version};

/// Why a version may not come back; empty when it may.
#[must_use]
pub fn barred(
    application: &ApplicationName,
    version: &Version,
    hold: Option<&str>,
    insecure: Option<&str>,
) -> Vec<Blocker> {
    let held = hold.map(|why| Blocker {
        code: BlockerCode::Held,
        sentence: format!("{version} is held: {why}"),
        next_action: format!(
            "release the hold of {application} {version} first, or choose another version"
        ),
    });
    let marked = insecure.map(|why| Blocker {
        code: BlockerCode::Insecure,
        sentence: format!("{version} is marked insecure: {why}"),
        next_action: "choose a version that is not marked".to_owned(),
    });
    held.into_iter().chain(marked).collect()
}
