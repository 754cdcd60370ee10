//! The command line as data. `--help` of anything is answered from here and never touches the network.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::name::{ApplicationName, ComponentName, Version};
use uuid::Uuid;

pub mod chat;
mod demo;
mod front;
mod guards;
mod rollback;
pub mod triggers;

pub use demo::{DemoArgs, DemoTrigger};
pub use front::{FrontAdoptArgs, FrontCommand, FrontReleaseArgs};
pub use guards::{
    AutomaticCommand, DecideArgs, OverrideArgs, OverridesCommand, SwitchArgs, WindowAddArgs,
    WindowsCommand,
};
pub use rollback::{PlanArgs, RequestArgs, RollbackArgs, StrategyArgs, TargetArgs, UndoArgs};

/// Where `serve` listens when nothing else is said.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7423";

/// Brings an application back to its last known good version.
#[derive(Clone, Debug, Parser)]
#[command(name = "sternway", version, about, after_long_help = crate::exit::table(), arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Globals {
    /// Print one JSON object on stdout instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// No colours (also NO_COLOR, or TERM=dumb)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// The server's address; without it the server of this machine is asked over its socket. The token is
    /// taken from STERNWAY_TOKEN or the file STERNWAY_TOKEN_FILE, never from a flag
    #[arg(long, global = true, env = "STERNWAY_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The folder where the server of this machine keeps its state and its socket
    #[arg(long, global = true, env = "STERNWAY_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Show one real rollback, from a request to the proof
    Demo(DemoArgs),
    /// Look whether everything that is needed is there, and say what to do where it is not
    Doctor(DoctorArgs),
    /// Look at a running Compose project and print its definition, for `apply`
    Adopt(AdoptArgs),
    /// Create or change an application from its definition
    Apply(ApplyArgs),
    /// Write into the ledger that a version was deployed (for CI)
    RecordDeploy(RecordDeployArgs),
    /// Ask whether a version, or some images, may be deployed now (for CI); exit code 5 means no
    MayDeploy(MayDeployArgs),
    /// List the versions of an application and whether each could come back
    Versions(ApplicationArgs),
    /// List the tags of an application's repository, and which of them the ledger knows
    Tags(ApplicationArgs),
    /// Show what a rollback would do; nothing is changed
    Plan(PlanArgs),
    /// Roll an application back
    Rollback(RollbackArgs),
    /// Take a rollback back: what served before it serves again, and is held no more
    Undo(UndoArgs),
    /// Show what runs, what could come back, and what goes on
    Status(StatusArgs),
    /// Follow a rollback until its end
    Watch(WatchArgs),
    /// List an application's deployments and rollbacks, newest first
    History(HistoryArgs),
    /// Call a rollback off at the next safe point
    Cancel(RunArgs),
    /// Say yes to the plan of a rollback that waits for approval
    Approve(RunArgs),
    /// Say no to the plan of a rollback that waits for approval
    Reject(RunArgs),
    /// Hold a version: it may not come back until released
    Hold(HoldArgs),
    /// Release a held version: `.env` says it again where the rollback that held it had pinned another one
    Release(ReleaseArgs),
    /// Put HAProxy on the fixed port of an application, so that later rollbacks lose no request, or take it away
    #[command(subcommand)]
    Front(FrontCommand),
    /// Set up what other systems may tell: alerts, and deployments for the ledger
    #[command(subcommand)]
    Triggers(triggers::TriggersCommand),
    /// List what came of what other systems told
    Messages(triggers::MessagesArgs),
    /// Answer the runbook's questions, and hear what is best done and until when; nothing is changed
    Decide(DecideArgs),
    /// Show whether rollbacks may start by themselves, or switch that off or on
    Automatic {
        #[command(subcommand)]
        command: Option<AutomaticCommand>,
    },
    /// List, add and remove freeze windows
    #[command(subcommand)]
    Windows(WindowsCommand),
    /// Let alerts about an application past a guard for a while, by name and with a reason
    #[command(subcommand)]
    Overrides(OverridesCommand),
    /// Say who the users of a chat are, and set the token that is posted with there
    #[command(subcommand)]
    Chat(chat::ChatCommand),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the OpenAPI description of the HTTP API
    Openapi,
    /// Print the version of this binary and of the server
    Version,
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// List the exit codes
    #[command(hide = true, long_about = crate::exit::table())]
    ExitCodes,
}

/// Which halves of the server run in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Both
    #[default]
    All,
    /// The HTTP API: needs no Docker socket
    Api,
    /// The worker that acts
    Worker,
}

impl Role {
    /// The word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// `serve`. With DATABASE_URL the state is kept in that Postgres (15 or newer), else in an embedded one.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Which half of the server to run
    #[arg(long, value_enum, default_value_t)]
    pub role: Role,
    /// Address to listen on; may be given more than once
    #[arg(long, value_name = "ADDR", default_value = LISTEN_DEFAULT)]
    pub listen: Vec<SocketAddr>,
    /// The engine that applications with `engine = "local"` run on
    #[arg(long, env = "DOCKER_HOST", value_name = "HOST")]
    pub docker_host: Option<String>,
    /// How long a worker that fell silent keeps its rollbacks, in seconds
    #[arg(long, env = "STERNWAY_LEASE_S", value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(2..=300))]
    pub lease_s: u32,
    /// The key that secrets are sealed with; servers that share a database need the same one [default: in the state folder]
    #[arg(long, env = "STERNWAY_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Where to send traces (OTLP over HTTP), such as `http://collector:4318` [env: OTEL_EXPORTER_OTLP_ENDPOINT]
    // Not by `env`: what is said here wins over every variable, and of the variables the one for traces alone wins.
    #[arg(long, value_name = "URL")]
    pub otel: Option<String>,
    /// `DATABASE_URL`: from the environment only, since it holds a password.
    #[arg(skip = environment("DATABASE_URL"))]
    pub database_url: Option<String>,
    /// The global `--state-dir`.
    #[arg(skip)]
    pub state_dir: Option<PathBuf>,
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// The engine to look at
    #[arg(long, env = "DOCKER_HOST", value_name = "HOST")]
    pub docker_host: Option<String>,
    /// `DATABASE_URL`: from the environment only, since it holds a password.
    #[arg(skip = environment("DATABASE_URL"))]
    pub database_url: Option<String>,
}

/// `adopt`.
#[derive(Clone, Debug, Args)]
pub struct AdoptArgs {
    /// The Compose project, as `docker-compose ls` or the containers' labels name it
    pub project: ComponentName,
    /// The engine it runs on: `local` or `unix:///path/of/the.sock`
    #[arg(long, default_value = "local")]
    pub engine: String,
}

/// `apply`.
#[derive(Clone, Debug, Args)]
pub struct ApplyArgs {
    /// The definition in TOML; `-` reads stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
}

/// `record-deploy`.
#[derive(Clone, Debug, Args)]
pub struct RecordDeployArgs {
    /// The application
    pub application: ApplicationName,
    /// The version, as the application itself reports it
    #[arg(long)]
    pub version: Version,
    /// The commit it was built from
    #[arg(long)]
    pub commit: Option<String>,
    /// What is worth knowing about it
    #[arg(long)]
    pub notes: Option<String>,
    /// What a component runs; once for each component
    #[arg(long = "image", value_name = "COMPONENT=REFERENCE", required = true, value_parser = component_image)]
    pub images: Vec<(ComponentName, String)>,
    /// A key of this deployment, such as the number of the CI job: however late the same report is repeated with
    /// it, it is recorded once; under another key the same images are judged anew
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

/// `may-deploy`.
#[derive(Clone, Debug, Args)]
pub struct MayDeployArgs {
    /// The application
    pub application: ApplicationName,
    /// The version
    #[arg(long, required_unless_present = "images")]
    pub version: Option<Version>,
    /// What a component would run; once for each component
    #[arg(long = "image", value_name = "COMPONENT=REFERENCE", value_parser = component_image)]
    pub images: Vec<(ComponentName, String)>,
}

fn rollback_id(text: &str) -> Result<Uuid, String> {
    let unknown = "it is no id of a rollback; `sternway history APPLICATION` lists them";
    text.parse().map_err(|_| unknown.to_owned())
}

fn component_image(text: &str) -> Result<(ComponentName, String), String> {
    let (component, reference) = text
        .split_once('=')
        .filter(|(_, reference)| !reference.is_empty())
        .ok_or("write it as component=reference, such as api=registry.example/api:1.4.2")?;
    Ok((
        component
            .parse()
            .map_err(|bad: domain::name::BadName| bad.to_string())?,
        reference.to_owned(),
    ))
}

/// Commands about one application.
#[derive(Clone, Debug, Args)]
pub struct ApplicationArgs {
    /// The application
    pub application: ApplicationName,
    /// At most so many rows
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub limit: u16,
}

/// `status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// The application; all of them when left out
    pub application: Option<ApplicationName>,
}

/// Until when `watch` follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// Until the watch window has passed
    #[default]
    End,
    /// Until the target is proved to be serving
    Proof,
}

/// `watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// The rollback, as `sternway history` names it
    #[arg(value_parser = rollback_id)]
    pub id: Uuid,
    /// Until when to follow
    #[arg(long, value_enum, default_value_t)]
    pub until: Until,
    /// Stop watching after so many seconds; the rollback goes on
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: Option<u32>,
}

/// `history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    pub of: ApplicationArgs,
}

/// Commands about one rollback.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The rollback, as `sternway history` names it
    #[arg(value_parser = rollback_id)]
    pub id: Uuid,
}

/// `hold`.
#[derive(Clone, Debug, Args)]
pub struct HoldArgs {
    /// The application
    pub application: ApplicationName,
    /// The version
    pub version: Version,
    /// Why it may not come back
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// It has a security hole
    #[arg(long)]
    pub insecure: bool,
}

/// `release`.
#[derive(Clone, Debug, Args)]
pub struct ReleaseArgs {
    /// The application
    pub application: ApplicationName,
    /// The version
    pub version: Version,
}

/// `token`.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is shown once, on stdout
    Create(TokenCreateArgs),
    /// List the tokens
    List,
    /// Revoke a token, at once and for good
    Revoke {
        /// The token's id, as `token list` shows it
        id: Uuid,
    },
}

/// What a token may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenRole {
    /// Look
    Viewer,
    /// Record deployments, ask for rollbacks, cancel them, hold and release versions
    Operator,
    /// Approve what others asked for
    Approver,
    /// Everything, applications and tokens included
    Admin,
}

/// `token create`.
#[derive(Clone, Debug, Args)]
pub struct TokenCreateArgs {
    /// What it is for, such as `ci` or `ana-laptop`
    pub name: String,
    /// What it may do
    #[arg(long, value_enum)]
    pub role: TokenRole,
    /// The person that acts with it; without it, the token belongs to a service and can not approve
    #[arg(long, value_name = "NAME")]
    pub person: Option<String>,
    /// Only for this application; may be given more than once
    #[arg(long = "application", value_name = "APPLICATION")]
    pub applications: Vec<ApplicationName>,
    /// Days until it expires
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=90))]
    pub days: u16,
}

#[cfg(test)]
mod tests;
