//! The laws of every rollback, in a simulated world: whatever is killed, frozen, refused or lost on the way, the
//! run ends, in a verdict that is so, with nothing left over.
//!
//! `STERNWAY_SEED=12345 cargo test -p domain --test laws -- random --nocapture` lives one random day again and
//! prints its log.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that panics has said what it has to"
)]

mod day;
mod engine;
mod front;
mod networks;
mod recipes;
mod shop;
mod store;
mod watch;
mod worker;
mod world;

mod calm;
mod coverage;
mod dead_ends;
mod fronted;
mod golden;
mod meddling;
mod random;
mod steps;
