//! The command line of triggers.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::{
    name::{ApplicationName, TriggerName},
    trigger::{Kind, Mode},
};

/// `triggers`.
#[derive(Clone, Debug, Subcommand)]
pub enum TriggersCommand {
    /// List the triggers
    List,
    /// Create a trigger, or change it, and give a new one its secret
    Add(TriggerAddArgs),
    /// Show a trigger: its definition, its address, its secrets without what they are
    Show {
        /// The trigger
        name: TriggerName,
    },
    /// Give a trigger a new secret; the former one stays good for a while
    Rotate(TriggerRotateArgs),
    /// Set what a trigger's messages may lead to
    Mode {
        /// The trigger
        name: TriggerName,
        /// `off`, `record`, `propose`, `shadow` or `auto`
        mode: Mode,
    },
    /// Take a trigger out, its secrets with it
    Remove {
        /// The trigger
        name: TriggerName,
    },
    /// Say what would come of a message, and why
    Explain(TriggerExplainArgs),
}

fn kind(word: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.map(Kind::word).join(", ");
    let found = Kind::ALL.into_iter().find(|kind| kind.word() == word);
    found.ok_or_else(|| format!("use one of {}", known()))
}

/// `triggers add`.
#[derive(Clone, Debug, Args)]
#[group(id = "how", required = true, args = ["kind", "file"])]
pub struct TriggerAddArgs {
    /// Its name; it becomes part of the address that its sender posts to
    pub name: TriggerName,
    /// Who sends: pagerduty, alertmanager, grafana, github, sentry, standard_webhooks, cloudevents, generic,
    /// slack or mattermost
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,
    /// The whole definition in TOML instead, with its routes and settings; `-` reads stdin
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["application", "service", "mode"])]
    pub file: Option<PathBuf>,
    /// The application that its messages are about; a chat takes none, since whoever asks names it
    #[arg(long, requires = "kind")]
    pub application: Option<ApplicationName>,
    /// Only messages about what the sender calls so: PagerDuty's service id, a repository
    #[arg(long, requires = "application")]
    pub service: Option<String>,
    /// What its messages may lead to: `off`, `record`, `propose`, `shadow` or `auto`
    #[arg(long, default_value = "record")]
    pub mode: Mode,
    /// A file with the secret that the sender shows; `-` reads stdin. Without it one is made, where the sender makes none
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// `triggers rotate`.
#[derive(Clone, Debug, Args)]
pub struct TriggerRotateArgs {
    /// The trigger
    pub name: TriggerName,
    /// A file with the secret that the sender shows; `-` reads stdin. Without it one is made, where the sender makes none
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// How long the former secret stays good, in hours; 0 ends it now
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=168))]
    pub former_hours: u32,
}

/// `triggers explain`.
#[derive(Clone, Debug, Args)]
pub struct TriggerExplainArgs {
    /// The trigger
    pub name: TriggerName,
    /// The message's body, exactly as it was sent; `-` reads stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// A header of the message; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("write it as `name: value`, such as `x-github-event: release`")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// `messages`.
#[derive(Clone, Debug, Args)]
pub struct MessagesArgs {
    /// Only about this application
    pub application: Option<ApplicationName>,
    /// Only of this trigger
    #[arg(long)]
    pub trigger: Option<TriggerName>,
    /// At most so many rows
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub limit: u16,
    /// Those before the last of the rows that were listed: its identity, as the end of a list says it
    #[arg(long, value_name = "ID")]
    pub after: Option<uuid::Uuid>,
}
