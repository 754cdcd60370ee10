//! The commands. Each is a file; here one is chosen, and how it ended becomes the process's exit code.

pub mod about;
pub mod application;
pub mod args;
pub mod automatic;
pub mod chat;
pub mod decide;
pub mod definition;
pub mod front;
pub mod holds;
pub mod ledger;
pub mod may_deploy;
pub mod overrides;
pub mod plan;
pub mod rollback;
pub mod status;
pub mod table;
pub mod tags;
pub mod token;
pub mod triggers;
pub mod versions;
pub mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    client::{Client, answers::Decision, problem::Failure},
    demo, doctor,
    exit::Exit,
    out::Out,
};
use args::{Cli, Command, Globals, ServeArgs};

/// The process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are asked for and go to stdout; everything else is a wrong call.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Reached
            }
            .into();
        }
    };
    let out = Out::detect(cli.globals.json, cli.globals.no_color);
    match ended(cli, &out) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            out.say(&failure.render(out.talk));
            if out.json {
                out.object(&failure.problem);
            }
            failure.exit.into()
        }
    }
}

/// The server makes its own runtime, since it decides when its blocking calls are given up.
fn ended(cli: Cli, out: &Out) -> Result<Exit, Failure> {
    if let Command::Serve(args) = cli.command {
        return serve(args, cli.globals);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| {
        Failure::new(
            Exit::Internal,
            format!("the process can not start: {error}"),
            &[],
        )
    })?;
    runtime.block_on(Box::pin(run(cli, out)))
}

/// One command.
async fn run(cli: Cli, out: &Out) -> Result<Exit, Failure> {
    let globals = &cli.globals;
    let client = || Client::new(globals);
    match &cli.command {
        // Answered before a runtime is made.
        Command::Serve(_) => Ok(Exit::Internal),
        Command::Demo(args) => demo::run(args, out).await,
        Command::Doctor(args) => doctor::run(args, globals, out).await,
        Command::Adopt(args) => application::adopt(args, &client()?, out).await,
        Command::Apply(args) => application::apply(args, &client()?, out).await,
        Command::RecordDeploy(args) => ledger::record(args, &client()?, out).await,
        Command::MayDeploy(args) => may_deploy::run(args, &client()?, out).await,
        Command::Versions(args) => versions::run(args, &client()?, out).await,
        Command::Tags(args) => tags::run(args, &client()?, out).await,
        Command::Plan(args) => plan::run(args, &client()?, out).await,
        Command::Rollback(args) => rollback::run(args, &client()?, out).await,
        Command::Undo(args) => rollback::undo(args, &client()?, out).await,
        Command::Status(args) => status::run(args, &client()?, out).await,
        Command::Watch(args) => watch::run(args, &client()?, out).await,
        Command::History(args) => ledger::history(args, &client()?, out).await,
        Command::Cancel(args) => watch::cancel(args, &client()?, out).await,
        Command::Approve(args) => watch::decide(args, Decision::Approve, &client()?, out).await,
        Command::Reject(args) => watch::decide(args, Decision::Reject, &client()?, out).await,
        Command::Hold(args) => holds::hold(args, &client()?, out).await,
        Command::Release(args) => holds::release(args, &client()?, out).await,
        Command::Front(command) => Box::pin(front::run(command, &client()?, out)).await,
        Command::Triggers(command) => triggers::run(command, &client()?, out).await,
        Command::Messages(args) => triggers::messages(args, &client()?, out).await,
        Command::Decide(args) => decide::run(args, &client()?, out).await,
        Command::Automatic { command } => {
            automatic::automatic(command.as_ref(), &client()?, out).await
        }
        Command::Windows(command) => automatic::windows(command, &client()?, out).await,
        Command::Overrides(command) => overrides::run(command, &client()?, out).await,
        Command::Chat(command) => chat::run(command, &client()?, out).await,
        Command::Token(command) => token::run(command, &client()?, out).await,
        Command::Openapi => about::openapi(out),
        Command::Version => about::version(globals, out).await,
        Command::Completions { shell } => about::completions(*shell, out),
        Command::ExitCodes => about::exit_codes(out),
    }
}

/// The server; it ends when it is asked to.
fn serve(args: ServeArgs, globals: Globals) -> Result<Exit, Failure> {
    let args = ServeArgs {
        state_dir: globals.state_dir,
        ..args
    };
    match crate::serve::run(args) {
        Ok(()) => Ok(Exit::Reached),
        Err(error) => Err(Failure::new(
            Exit::Internal,
            format!("{error:#}"),
            &["`sternway doctor` looks at what is needed"],
        )),
    }
}
