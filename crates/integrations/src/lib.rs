#![doc = include_str!("../README.md")]

mod address;
mod balancer;
mod chat;
mod fetch;
mod metric;
mod probe;
mod suggest;

pub use balancer::{Balancers, Holds, Trouble};
pub use chat::{Chats, Unposted};
pub use fetch::Error;
pub use probe::{ASK_LIMIT, Prober};
pub use suggest::{Candidate, Suggestion};

/// How often a unit test tries what strangers may have written: `STERNWAY_FUZZ` times as often, by hand.
#[cfg(test)]
fn tries() -> proptest::prelude::ProptestConfig {
    let times = std::env::var("STERNWAY_FUZZ").ok();
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    proptest::prelude::ProptestConfig::with_cases(times.saturating_mul(300))
}
