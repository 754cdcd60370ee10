//! The planner: each blocker is met, a no-op is said, plans are stable to the byte.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod blockers;
mod fronted;
mod order;
mod pins;
mod rebuilds;
mod replicas;
mod said;
mod shop;
