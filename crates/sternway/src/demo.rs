//! `demo`: one real rollback in real containers, from a request to the proof, watched from outside. The demo
//! is a client like any other; what it claims at the end it has asked the application itself.

pub mod alert;
pub mod clear;
pub mod compose;
pub mod folder;
pub mod proof;
pub mod server;
pub mod story;
pub mod summary;
pub mod traffic;

use std::path::PathBuf;

use domain::application::Application;
use tokio::signal::unix::{SignalKind, signal};

use crate::{cli::args::DemoArgs, client::problem::Failure, exit::Exit, out::Out};
use compose::Compose;
use folder::{Folder, Note};
use server::Server;

/// What stands on the stage, to be cleared away whatever happens.
#[derive(Debug)]
pub struct Stage {
    /// docker-compose and its file.
    pub compose: Compose,
    /// The engine.
    pub docker_host: String,
    /// The demo's folder.
    pub folder: Folder,
    /// The server, once it is started.
    pub server: Option<Server>,
    /// The application, once it is defined.
    pub application: Option<Application>,
    /// Whether all of it is to be left running.
    pub keep: bool,
    compose_file: PathBuf,
}

/// The command.
///
/// # Errors
/// What went wrong, after everything was cleared away.
pub async fn run(args: &DemoArgs, out: &Out) -> Result<Exit, Failure> {
    let folder = Folder::open(&Folder::place())?;
    let note = folder.note();
    if args.stop {
        return stop(folder, note, out).await;
    }
    let folder = match note {
        Some(note) if clear::is_kept(&note, &folder.state()) => {
            let what = "a demo was left running with --keep";
            return Err(Failure::new(
                Exit::Conflict,
                what,
                &["stop it first: sternway demo --stop"],
            ));
        }
        Some(note) => {
            out.say("An earlier demo was cut off; what it left is removed first.");
            clear::left(folder, &note, out).await?;
            Folder::open(&Folder::place())?
        }
        None => folder,
    };
    let props = match props(args).await {
        Ok(props) => props,
        Err(failure) => {
            folder.remove()?;
            return Err(failure);
        }
    };
    play(props, folder, args, out).await
}

/// What the demo needs of this machine: docker-compose, and an engine without anybody's demo.
async fn props(args: &DemoArgs) -> Result<(Compose, String), Failure> {
    let docker_host = docker::default_endpoint(std::env::var("DOCKER_HOST").ok().as_deref());
    let compose = Compose::find(&args.compose_file, &docker_host).await?;
    clear::before(&docker_host).await?;
    let port = story::port();
    std::net::TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
        let what = format!("the application's port {port} on this machine can not be had: {error}");
        Failure::new(Exit::Conflict, what, &["set DEMO_PORT to a free port"])
    })?;
    Ok((compose, docker_host))
}

async fn play(
    props: (Compose, String),
    folder: Folder,
    args: &DemoArgs,
    out: &Out,
) -> Result<Exit, Failure> {
    let (compose, docker_host) = props;
    let compose_file =
        std::fs::canonicalize(&args.compose_file).unwrap_or_else(|_| args.compose_file.clone());
    let mut stage = Stage {
        compose,
        docker_host,
        folder,
        server: None,
        application: None,
        keep: args.keep,
        compose_file,
    };
    stage.remember()?;
    let told = tokio::select! {
        told = Box::pin(story::tell(&mut stage, args.trigger, out)) => told,
        failure = interrupted() => Err(failure),
    };
    match told {
        Ok(story) if args.keep => keep(stage, &story, out),
        Ok(story) => {
            strike(stage, out).await?;
            summary::print(&story, None, out);
            Ok(Exit::Reached)
        }
        Err(failure) => {
            out.say("Clearing away ...");
            if let Err(left) = strike(stage, out).await {
                out.say(&left.render(out.talk));
            }
            Err(failure)
        }
    }
}

impl Stage {
    /// Notes what runs, before it runs: a demo that is killed can then be cleared away by the next one.
    ///
    /// # Errors
    /// When it can not be written.
    pub fn remember(&self) -> Result<(), Failure> {
        self.folder.write(&self.note(false))
    }

    fn note(&self, kept: bool) -> Note {
        Note {
            kept,
            server: self.server.as_ref().map(Server::pid),
            docker_host: self.docker_host.clone(),
            compose_file: self.compose_file.clone(),
            application: self.application.clone(),
        }
    }
}

/// Clears the stage.
async fn strike(mut stage: Stage, out: &Out) -> Result<(), Failure> {
    let note = stage.note(false);
    if let Some(server) = stage.server.take() {
        server.stop().await;
    }
    clear::away(stage.folder, &stage.compose, &note).await?;
    out.say("Removed: the demo's server, its state, its containers and their network.");
    Ok(())
}

fn keep(stage: Stage, story: &summary::Story, out: &Out) -> Result<Exit, Failure> {
    stage.folder.write(&stage.note(true))?;
    let url = stage
        .server
        .as_ref()
        .map_or(String::new(), |server| server.url.clone());
    summary::print(
        story,
        Some(&summary::Kept {
            url,
            state: stage.folder.state(),
            token: stage.folder.token(),
            log: stage.folder.log(),
        }),
        out,
    );
    Ok(Exit::Reached)
}

async fn stop(folder: Folder, note: Option<Note>, out: &Out) -> Result<Exit, Failure> {
    match note {
        Some(note) => clear::left(folder, &note, out).await?,
        None => {
            folder.remove()?;
            out.say("No demo is left running.");
        }
    }
    Ok(Exit::Reached)
}

/// Ctrl-C, a polite kill, or a closed terminal.
async fn interrupted() -> Failure {
    let heard = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = heard(SignalKind::interrupt()) => {}
        () = heard(SignalKind::terminate()) => {}
        () = heard(SignalKind::hangup()) => {}
    }
    Failure::new(Exit::Detached, "the demo was interrupted", &[])
}
