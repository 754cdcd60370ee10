//! The crate against a real engine: at `DOCKER_HOST`, else at the usual socket. Nothing is skipped: without an
//! engine these tests fail and say so. Each uses names of its own and removes what it made.
#![expect(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod build;
mod change;
mod clone;
mod compose;
mod create;
mod events;
mod fidelity;
mod handover;
mod hold;
mod house;
mod live;
mod look;
mod registry;
mod supply;
mod unwell;
