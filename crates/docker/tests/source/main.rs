//! The crate against real git repositories in folders of their own. Nothing of the machine's git is used, and none of
//! these tests needs an engine.
#![expect(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod context;
mod place;
mod repository;
