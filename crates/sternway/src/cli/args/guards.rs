//! Arguments of what keeps rollbacks from starting, and of what helps to decide on one.

use clap::{Args, Subcommand};
use domain::{
    name::ApplicationName,
    triage::{Question, Said, Source},
    window::WindowKind,
};
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
pub struct WindowAddArgs {
    /// What it means while it is open: `deny` (nothing by itself) or `allow` (only then); deny wins
    pub kind: WindowKind,
    /// The application; without it, every one
    pub application: Option<ApplicationName>,
    /// When it begins: minute, hour, day, month, day of the week, such as `0 18 * * fri`
    #[arg(long, value_name = "LINE")]
    pub cron: String,
    /// How many hours it lasts
    #[arg(long, required_unless_present = "minutes")]
    pub hours: Option<u32>,
    /// How many minutes it lasts, beside the hours
    #[arg(long)]
    pub minutes: Option<u32>,
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

/// `decide`.
#[derive(Clone, Debug, Args)]
pub struct DecideArgs {
    /// The application
    pub application: ApplicationName,
    /// What is known of a question (down, data_corruption, security_hole, many_users, only_slow, fix_forward): yes, no
    /// or unknown; once for each. What is not said is asked for on a terminal
    #[arg(long = "answer", value_name = "QUESTION=yes|no|unknown", value_parser = answer)]
    pub answers: Vec<(Question, Said)>,
    /// What the answers rest on: person, probe, metric or alert
    #[arg(long, value_parser = source)]
    pub source: Option<Source>,
    /// An alert's word for its severity, such as `critical`
    #[arg(long, value_name = "WORD")]
    pub severity: Option<String>,
    /// It is over: the deadline of before counts no more
    #[arg(long, conflicts_with_all = ["answers", "severity", "source"])]
    pub over: bool,
    /// What else is worth knowing
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

fn answer(text: &str) -> Result<(Question, Said), String> {
    let (question, said) = text
        .split_once('=')
        .ok_or("write it as question=yes, question=no or question=unknown")?;
    Ok((question.parse()?, said.parse()?))
}

fn source(text: &str) -> Result<Source, String> {
    text.parse()
}
