#![doc = include_str!("../README.md")]

mod address;
mod balancer;
mod chat;
mod fetch;
mod probe;
mod suggest;

pub use balancer::{Balancers, Holds, Trouble};
pub use chat::{Chats, Unposted};
pub use fetch::Error;
pub use probe::{ASK_LIMIT, Prober};
pub use suggest::{Candidate, Suggestion};
