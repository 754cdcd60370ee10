//! `plan`, `rollback` and `undo`: what to go back to, how, and why.

use clap::Args;
use domain::{
    checklist::CheckCode,
    name::{ApplicationName, Version},
    plan::Strategy,
    reason::Reason,
    target::Target,
};
use uuid::Uuid;

/// Which version to go back to.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub struct TargetArgs {
    /// To this version
    #[arg(long, value_name = "VERSION")]
    pub to: Option<Version>,
    /// To the version that was deployed before the one that runs
    #[arg(long)]
    pub previous: bool,
    /// To the newest version that was proved healthy for its watch window
    #[arg(long)]
    pub good: bool,
}

/// How to go back.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct StrategyArgs {
    /// Build the version's images again from its git tag first, as the definition says
    #[arg(long)]
    pub rebuild: bool,
    /// Build what the tag names now although the ledger has another commit for the version
    #[arg(long, requires = "rebuild")]
    pub confirm_moved_tag: bool,
}

impl StrategyArgs {
    /// The strategy that was asked for.
    #[must_use]
    pub fn strategy(self) -> Strategy {
        if self.rebuild {
            Strategy::Rebuild
        } else {
            Strategy::Quick
        }
    }
}

impl TargetArgs {
    /// The target, when one was named.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        match (&self.to, self.previous, self.good) {
            (Some(version), _, _) => Some(Target::Version(version.clone())),
            (None, true, _) => Some(Target::Previous),
            (None, false, true) => Some(Target::LastKnownGood),
            (None, false, false) => None,
        }
    }
}

/// `plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// The application
    pub application: ApplicationName,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub strategy: StrategyArgs,
}

/// `rollback`.
#[derive(Clone, Debug, Args)]
pub struct RollbackArgs {
    /// The application
    pub application: ApplicationName,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub strategy: StrategyArgs,
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `undo`.
#[derive(Clone, Debug, Args)]
pub struct UndoArgs {
    /// The application
    pub application: ApplicationName,
    /// The rollback to take back; the newest that put its target in service when left out
    #[arg(long, value_name = "ID")]
    pub rollback: Option<Uuid>,
    #[command(flatten)]
    pub request: RequestArgs,
}

/// How to ask for it, and how to follow it.
#[derive(Clone, Debug, Args)]
pub struct RequestArgs {
    /// Why: critical_bug, performance, security, integration or health_checks
    #[arg(long)]
    pub reason: Option<Reason>,
    /// What else is worth knowing about why
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// What of the plan's checklist you did: cause_confirmed, stakeholders_notified; kept with your name
    #[arg(long, value_name = "ITEM", value_delimiter = ',')]
    pub tick: Vec<CheckCode>,
    /// Start without the approval that the definition asks for, and say why; for persons when nobody can be reached
    #[arg(long, value_name = "WHY")]
    pub break_glass: Option<String>,
    /// Wait until the target is proved to be serving (the default)
    #[arg(long, conflicts_with = "detach")]
    pub wait: bool,
    /// Do not wait: print the rollback's id
    #[arg(long)]
    pub detach: bool,
    /// Stop waiting after so many seconds; the rollback goes on
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: Option<u32>,
    /// Do not ask before it starts
    #[arg(long)]
    pub yes: bool,
}
