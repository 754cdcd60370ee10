//! The store on a real Postgres.

#[path = "../postgres_fixture/mod.rs"]
mod postgres_fixture;

mod access;
mod claims;
mod constraints;
mod cutting_proxy;
mod house;
mod inquiries;
mod ledger;
mod logs;
mod migrations;
mod outages;
mod paging;
mod requests;
mod seals;
mod steps;
