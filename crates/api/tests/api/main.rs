//! The API as a client meets it: a real server on a real Postgres, with a worker that is made of cardboard.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

#[path = "../../../store/tests/postgres_fixture/mod.rs"]
mod postgres_fixture;

mod approvals;
mod cardboard;
mod chats;
mod client;
mod edge;
mod facts;
mod guards;
mod hooks;
mod house;
mod input;
mod ledger;
mod matrix;
mod openapi;
mod rollbacks;
mod shutdown;
mod stand;
mod streams;
mod tags;
mod things;
mod tokens;
mod visibility;
