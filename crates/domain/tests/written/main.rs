//! Names, cron lines, definitions and files that people and other programs write: nothing panics, what is taken is written
//! down as it was, and what is edited changes nowhere else. `STERNWAY_FUZZ=100` tries a hundred times as much.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has said what it has to"
)]

mod definitions;
mod files;
mod names;

use proptest::prelude::ProptestConfig;

/// Tries of one property in a debug build; all of them take a few seconds.
const TRIES: u32 = 400;

#[expect(
    clippy::disallowed_methods,
    reason = "read by a test that is run for longer by hand"
)]
fn config() -> ProptestConfig {
    let times = std::env::var("STERNWAY_FUZZ").ok();
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    ProptestConfig::with_cases(TRIES.saturating_mul(times))
}
