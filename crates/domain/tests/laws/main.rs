//! The laws of every rollback, in a simulated world: whatever is killed, frozen, refused or lost on the way, the
//! run ends, in a verdict that is so, with nothing left over.
//!
//! `STERNWAY_SEED=12345 cargo test -p domain --test laws -- random --nocapture` lives one random day again and
//! prints its log.

mod day;
mod engine;
mod shop;
mod store;
mod world;
mod worker;

mod calm;
mod coverage;
mod dead_ends;
mod golden;
mod random;
mod steps;
