#![doc = include_str!("../README.md")]

mod address;
mod fetch;
mod probe;
mod suggest;

pub use fetch::Error;
pub use probe::{ASK_LIMIT, Prober};
pub use suggest::{Candidate, Suggestion};
