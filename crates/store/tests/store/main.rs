//! The store on a real Postgres.
#![expect(clippy::unwrap_used, reason = "a test that can not go on panics")]
#![expect(clippy::print_stdout, reason = "measured figures are for who runs it")]
#![expect(clippy::too_many_lines, reason = "a story is read in one piece")]

#[path = "../postgres_fixture/mod.rs"]
mod postgres_fixture;

mod access;
mod artifacts;
mod chats;
mod claims;
mod constraints;
mod cutting_proxy;
mod databases;
mod definitions;
mod drift;
mod evidence;
mod fronts;
mod guards;
mod house;
mod inquiries;
mod lease;
mod ledger;
mod logs;
mod messages;
mod migrations;
mod notices;
mod orders;
mod outages;
mod paging;
mod parts;
mod pins;
mod releases;
mod reports;
mod requests;
mod seals;
mod steps;
mod triage;
mod triggers;
mod under_way;
mod upkeep;
mod waiting;
mod words;
