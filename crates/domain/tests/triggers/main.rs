//! Messages of every sender: who is believed, what is read, and that nothing which is sent can break the reading.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "a test that panics has said what it has to"
)]

mod chats;
mod deployments;
mod payloads;
mod random;
mod reading;
mod strangers;
mod times;
mod vectors;
