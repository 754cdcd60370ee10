//! Arguments of what puts a balancer on an application's port.

use clap::{Args, Subcommand};
use domain::name::{ApplicationName, ComponentName};

/// The image that is used when none is named: HAProxy's own, in its long-term version.
const IMAGE_DEFAULT: &str = "haproxy:lts";

/// `front`.
#[derive(Clone, Debug, Subcommand)]
pub enum FrontCommand {
    /// Give the fixed port of an application to HAProxy, so that later rollbacks lose no request; run it on the
    /// project's host. It shows what it will do and what that costs, and asks
    Adopt(FrontAdoptArgs),
    /// Take it away again: the port, the files and the definition as they were
    Release(FrontReleaseArgs),
}

/// `front adopt`.
#[derive(Clone, Debug, Args)]
pub struct FrontAdoptArgs {
    /// The application
    pub application: ApplicationName,
    /// The component whose port it is; without it, the only one with a fixed port
    #[arg(long, value_name = "COMPONENT")]
    pub component: Option<ComponentName>,
    /// HAProxy's image; pulled where the engine does not have it
    #[arg(long, value_name = "IMAGE", default_value = IMAGE_DEFAULT)]
    pub image: String,
    /// Two versions of the component may run at once: without it a rollback still stops one before it starts the other
    #[arg(long)]
    pub two_versions: bool,
    /// Start without a question
    #[arg(long)]
    pub yes: bool,
}

/// `front release`.
#[derive(Clone, Debug, Args)]
pub struct FrontReleaseArgs {
    /// The application
    pub application: ApplicationName,
    /// Start without a question
    #[arg(long)]
    pub yes: bool,
}
