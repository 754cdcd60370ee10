//! Arguments of the demo.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// The Compose file of the demo's application
    #[arg(long, value_name = "FILE", default_value = "docker/demo/compose.yml")]
    pub compose_file: PathBuf,
    /// Leave everything running at the end, to look around
    #[arg(long, conflicts_with = "stop")]
    pub keep: bool,
    /// Stop what an earlier `demo --keep` left running, and nothing else
    #[arg(long)]
    pub stop: bool,
    /// Let a signed event start the rollback instead of a request
    #[arg(long, value_enum, value_name = "SENDER", conflicts_with = "stop")]
    pub trigger: Option<DemoTrigger>,
}

/// Whose event starts the demo's rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoTrigger {
    /// PagerDuty's
    Pagerduty,
}
