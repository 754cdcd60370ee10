#![doc = include_str!("../README.md")]

mod address;
mod balancer;
mod fetch;
mod probe;
mod suggest;

pub use balancer::{Balancers, Holds, Trouble};
pub use fetch::Error;
pub use probe::{ASK_LIMIT, Prober};
pub use suggest::{Candidate, Suggestion};
