//! Arguments of what keeps rollbacks from starting, and of what helps to decide on one.

use clap::{Args, Subcommand};
use domain::{name::ApplicationName, window::WindowKind};
use uuid::Uuid;

/// `automatic`.
#[derive(Clone, Debug, Subcommand)]
pub enum AutomaticCommand {
    /// Let nothing be rolled back without a person who asks; what runs by itself is called off at its next safe point
    Off(SwitchArgs),
    /// Let rollbacks start by themselves again, as far as their guards let them
    On(SwitchArgs),
}

/// `automatic off` and `automatic on`.
#[derive(Clone, Debug, Args)]
pub struct SwitchArgs {
    /// The application; without it, every one
    pub application: Option<ApplicationName>,
    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `windows`.
#[derive(Clone, Debug, Subcommand)]
pub enum WindowsCommand {
    /// List the freeze windows and whether each is open
    List,
    /// Add a freeze window
    Add(WindowAddArgs),
    /// Remove a freeze window
    Remove {
        /// The window's id, as `windows list` shows it
        id: Uuid,
    },
}

/// `windows add`.
#[derive(Clone, Debug, Args)]
#[group(id = "lasts", required = true, multiple = true, args = ["hours", "minutes"])]
pub struct WindowAddArgs {
    /// What it means while it is open: `deny` (nothing by itself) or `allow` (only then); deny wins
    pub kind: WindowKind,
    /// The application; without it, every one
    pub application: Option<ApplicationName>,
    /// When it begins: minute, hour, day, month, day of the week, such as `0 18 * * fri`
    #[arg(long, value_name = "LINE")]
    pub cron: String,
    /// How many hours it lasts
    #[arg(long, default_value_t = 0)]
    pub hours: u32,
    /// How many minutes it lasts, beside the hours
    #[arg(long, default_value_t = 0)]
    pub minutes: u32,
    /// The time zone that --cron is read in, such as `Europe/Berlin`
    #[arg(long, default_value = "UTC")]
    pub zone: String,
    /// It keeps rollbacks from starting by themselves too; usually they are exempt
    #[arg(long)]
    pub rollbacks: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}
