#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod application;
pub mod chain;
pub mod checklist;
mod claims;
pub mod compose;
pub mod deployment_watch;
pub mod drift;
pub mod effect;
pub mod engine_look;
pub mod front;
pub mod guard;
pub mod hold;
pub mod lease;
pub mod ledger;
pub mod lifecycle;
pub mod name;
pub mod next;
pub mod order;
pub mod plan;
pub mod planner;
pub mod probe;
pub mod readiness;
pub mod reason;
pub mod retention;
pub mod seen;
pub mod source;
pub mod specification;
pub mod steps;
pub mod supply;
pub mod target;
pub mod time;
pub mod triage;
pub mod trigger;
pub mod verdict;
pub mod window;
