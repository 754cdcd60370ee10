//! The server: its state folder, its Postgres, and the two halves that meet there. It decides nothing.

mod background;
mod wiring;

use std::time::Duration;

use anyhow::{Context as _, bail};
use api::{ApiSettings, Server, Surroundings};
use docker::{Limits, Sources};
use store::Wake;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use worker::Engines;

use crate::{
    cli::args::{Role, ServeArgs},
    state_folder::HostLock,
    telemetry,
};
use wiring::Foundation;

/// What is logged when `STERNWAY_LOG` says nothing.
const LOG_FILTER: &str = "info";
/// What may never be logged in more detail, whatever is asked for: the engine client prints bodies and inspections,
/// with the values of environments in them.
const LOG_CEILING: &str = "bollard=info,hyper=info,hyper_util=info,h2=info,reqwest=info,sqlx=warn";
/// Rollbacks that one process drives at the same time; the claim of the rest waits for the next process or turn.
const ROLLBACKS_MAX: usize = 64;

/// Runs the server until it is told to stop.
///
/// # Errors
/// What keeps it from starting, as a sentence that says what to do.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    let _telemetry = telemetry::start(&logs(args.otel.as_deref()))?;
    // Somebody else's choice stands.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no async runtime")?;
    let served = runtime.block_on(serve(args));
    // Blocking calls that hang, such as a look at a dead network disk, may not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(2));
    served
}

fn logs(collector: Option<&str>) -> telemetry::Settings {
    let mut logs = telemetry::Settings::of_process(LOG_FILTER);
    logs.filter = format!("{},{LOG_CEILING}", logs.filter);
    if let Some(collector) = collector {
        logs.traces = Some(telemetry::traces_of(collector));
    }
    logs
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    if args.role != Role::All && args.database_url.is_none() {
        bail!(
            "`--role {}` needs DATABASE_URL: the two halves meet in one Postgres, and the embedded one belongs to \
             `--role all`",
            args.role.word()
        );
    }
    let shutdown = stop_on_signals()?;
    let foundation = wiring::lay(&args).await?;
    let ran = halves(&args, &foundation, shutdown).await;
    foundation.clear().await;
    ran
}

/// Starts what the role asks for and returns when all of it has ended.
async fn halves(
    args: &ServeArgs,
    foundation: &Foundation,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let wake = Wake::default();
    let metrics = background::metrics()?;
    let listening = tokio::spawn(store::listen(foundation.database.clone(), wake.clone()));
    let api = match args.role {
        Role::All | Role::Api => Some(api_half(args, foundation, &wake, metrics, &shutdown).await?),
        Role::Worker => None,
    };
    let worker = match args.role {
        Role::All | Role::Worker => Some(worker_half(args, foundation, &wake, &shutdown).await?),
        Role::Api => None,
    };
    tracing::info!(
        role = args.role.word(),
        version = crate::VERSION,
        "sternway serves"
    );
    let ended = both(
        worker.map(async |worker| {
            worker
                .await
                .context("the worker ended unexpectedly")?
                .map_err(Into::into)
        }),
        api.map(async |api| api.await.context("the API ended unexpectedly")),
        &shutdown,
    )
    .await;
    listening.abort();
    ended?;
    tracing::info!("sternway has stopped");
    Ok(())
}

/// Waits for both halves. When one ends, for whatever reason, the other is told to: a process with half of what it was
/// started for would look alive to whoever could start it again.
async fn both(
    worker: Option<impl Future<Output = anyhow::Result<()>>>,
    api: Option<impl Future<Output = anyhow::Result<()>>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let worker = async {
        let Some(worker) = worker else { return Ok(()) };
        let ended = worker.await;
        shutdown.cancel();
        ended
    };
    let api = async {
        let Some(api) = api else { return Ok(()) };
        let ended = api.await;
        shutdown.cancel();
        ended
    };
    let (worker, api) = tokio::join!(worker, api);
    worker.and(api)
}

async fn api_half(
    args: &ServeArgs,
    foundation: &Foundation,
    wake: &Wake,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    shutdown: &CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let store = foundation.store("sternway api", wake.clone()).await?;
    let settings = ApiSettings {
        listen: args.listen.clone(),
        unix_socket: Some(foundation.lock.folder().socket()),
        version: crate::VERSION.to_owned(),
    };
    let server = Server::bind(settings).await?;
    for address in server.addresses() {
        tracing::info!(%address, "listening");
    }
    background::announce_setup(&store, &server.addresses()).await?;
    worker::metric::describe();
    tokio::spawn(background::standing(store.clone(), shutdown.clone()));
    let readiness = background::readiness(store.clone(), shutdown.clone());
    let surroundings = Surroundings {
        readiness,
        metrics: Some(metrics),
    };
    Ok(tokio::spawn(server.run(
        store,
        surroundings,
        shutdown.clone(),
    )))
}

async fn worker_half(
    args: &ServeArgs,
    foundation: &Foundation,
    wake: &Wake,
    shutdown: &CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<Result<(), integrations::Error>>> {
    let store = foundation.store("sternway worker", wake.clone()).await?;
    let engines = Engines::new(docker::default_endpoint(args.docker_host.as_deref()));
    let settings = worker_settings(args, &foundation.lock);
    let folder = foundation.lock.folder().path().join("sources");
    let home = std::env::var_os("HOME");
    let sources = Sources::open(folder, home, Limits::default())
        .context("no room for the sources of builds in the state folder")?;
    worker::metric::describe();
    tokio::spawn(background::prune(store.clone(), shutdown.clone()));
    Ok(tokio::spawn(worker::run(
        settings,
        store,
        engines,
        sources,
        wake.clone(),
        shutdown.clone(),
    )))
}

fn worker_settings(args: &ServeArgs, lock: &HostLock) -> worker::Settings {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let folder = lock.folder().path();
    worker::Settings {
        worker: Uuid::now_v7(),
        host: lock.host_id(),
        owner: format!("sternway on {host} ({})", folder.display()),
        lease: Duration::from_secs(u64::from(args.lease_s)),
        rollbacks_max: ROLLBACKS_MAX,
        version: crate::VERSION,
    }
}

/// The first SIGTERM or SIGINT asks for an orderly end; the second one is obeyed at once, which costs no more than
/// a power cut does.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let mut terminate =
        signal(SignalKind::terminate()).context("SIGTERM can not be listened for")?;
    let mut interrupt =
        signal(SignalKind::interrupt()).context("SIGINT can not be listened for")?;
    let token = shutdown.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if token.is_cancelled() {
                std::process::exit(130);
            }
            tracing::info!("asked to stop");
            token.cancel();
        }
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_to_the_collector_that_the_command_line_names() {
        let goal = logs(Some("http://collector:4318/")).traces;
        assert_eq!(goal.as_deref(), Some("http://collector:4318/v1/traces"));
    }

    #[tokio::test]
    async fn a_half_that_ends_takes_the_other_one_with_it() {
        for the_api_breaks in [true, false] {
            let shutdown = CancellationToken::new();
            let waits = async {
                shutdown.cancelled().await;
                Ok(())
            };
            let breaks = async {
                let broken = tokio::spawn(async { panic!("broken, as this test wants it") });
                broken.await.context("it ended unexpectedly")
            };
            let ended = if the_api_breaks {
                both(Some(waits), Some(breaks), &shutdown).await
            } else {
                both(Some(breaks), Some(waits), &shutdown).await
            };
            let said = ended.unwrap_err().to_string();
            assert_eq!(said, "it ended unexpectedly");
        }
    }

    #[tokio::test]
    async fn a_half_that_was_not_asked_for_ends_nothing() {
        let shutdown = CancellationToken::new();
        let api = async {
            tokio::task::yield_now().await;
            assert!(!shutdown.is_cancelled());
            Ok(())
        };
        let none: Option<std::future::Ready<anyhow::Result<()>>> = None;
        both(none, Some(api), &shutdown).await.unwrap();
    }
}
