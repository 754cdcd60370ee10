//! The whole, as stories: the real server on real engines, named as sentences of the runbook.
//!
//! Nothing here knows the inside of the product: it starts the binary, asks its HTTP API and its command line,
//! and looks at the engine with its own eyes. Bad luck comes through the door between server and engine
//! (`house/door.rs`), by signals, and by taking engines and databases away.
#![expect(clippy::unwrap_used, reason = "a story that can not go on panics")]
#![expect(clippy::too_many_lines, reason = "a story is read in one piece")]

mod house;

mod acting;
mod adopted_front;
mod chat;
mod chat_ends;
mod chat_notices;
mod cli;
mod compose2;
mod databases;
mod drift;
mod engines;
mod facts;
mod fronted;
mod handover;
mod happy;
mod host;
mod input;
mod kill;
mod meddling;
mod overtaken;
mod pinned_images;
mod pins;
mod reading;
mod rebuild;
mod retention;
mod shapes;
mod supply;
mod together;
mod tools;
mod triggers;
mod zombie;
