#![doc = include_str!("../README.md")]

mod adopt;
mod build;
mod capture;
mod compose;
mod connect;
mod copy;
mod effects;
mod error;
mod events;
mod front;
mod image;
mod keeper;
mod label;
mod look;
mod paths;
mod raw;
mod source;
pub mod specification;
mod supply;

pub use adopt::{Adoption, Candidate};
pub use build::{Audience, BuildOrder, Made, Remains};
pub use capture::Capture;
pub use compose::{
    ProjectFacts, ProjectFile, ProjectLock, ProjectRequest, front_place, override_place,
};
pub use connect::{Engine, default_endpoint};
pub use copy::verify_archive;
pub use effects::{Claim, PerformContext, Performed};
pub use error::{Error, Kind};
pub use events::{Change, Heard, News};
pub use front::ServiceContainer;
pub use keeper::OwnTag;
pub use look::{LookRequest, Looked, Whole};
pub use source::{Checkout, Context, Limits, SourceError, SourceKind, Sources};

/// How often a unit test tries what strangers may have written: `STERNWAY_FUZZ` times as often, by hand.
#[cfg(test)]
fn tries() -> proptest::prelude::ProptestConfig {
    let times = std::env::var("STERNWAY_FUZZ").ok();
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    proptest::prelude::ProptestConfig::with_cases(times.saturating_mul(300))
}
