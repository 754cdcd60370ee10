//! What goes on beside the two halves: metrics, readiness, the set-up token, clearing away.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use api::{NotReady, ReadinessCheck};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::out::Out;

/// Durations from a call on a local socket to a stop with its grace.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// How often old samples of histograms are folded, so that they do not pile up when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(30);
/// How often what stands in the store is counted: half of Prometheus's usual interval at most.
const STANDING: Duration = Duration::from_secs(5);
/// How often rows that nobody needs any more are cleared away.
const PRUNE: Duration = Duration::from_secs(3600);

/// The recorder of this process's metrics.
pub(super) fn metrics() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
    let handle = builder
        .context("the metrics' buckets are not accepted")?
        .install_recorder();
    let handle = handle.context("the metrics of this process were set up twice")?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Why this process can not be relied on now; nothing when it can.
pub(super) fn readiness(store: Store, shutdown: CancellationToken) -> ReadinessCheck {
    Arc::new(move || {
        let (store, shutdown) = (store.clone(), shutdown.clone());
        Box::pin(async move {
            let mut reasons = Vec::new();
            if shutdown.is_cancelled() {
                reasons.push(reason("shutdown", "this server was asked to stop"));
            }
            if let Err(error) = store.ready().await {
                reasons.push(reason("database", &error.to_string()));
                return reasons;
            }
            match store.standing().await {
                Ok(standing) if standing.workers == 0 => {
                    let sentence = "no worker gave a sign of life in the last half minute: start `sternway serve --role worker`";
                    reasons.push(reason("worker", sentence));
                }
                Ok(_) => {}
                Err(error) => reasons.push(reason("database", &error.to_string())),
            }
            reasons
        })
    })
}

fn reason(what: &str, sentence: &str) -> NotReady {
    NotReady {
        what: what.to_owned(),
        sentence: sentence.to_owned(),
    }
}

/// The one-time set-up token of a first start: once, on stderr, in plain text, never in the log.
pub(super) async fn announce_setup(store: &Store, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let Some(token) = api::setup_token(store)
        .await
        .context("the set-up token can not be stored")?
    else {
        return Ok(());
    };
    let address = addresses
        .first()
        .map_or_else(String::new, |address| format!("http://{address}"));
    let minutes = api::SETUP_TOKEN_MINUTES;
    let secret = token.reveal();
    Out::detect(false, false).say(&format!(
        "\nNobody has a token yet. On this machine, as this user, the command line needs none.\n\
         For everybody else, make the first admin token within {minutes} minutes:\n\n\
         \x20 STERNWAY_URL={address} STERNWAY_TOKEN={secret} \\\n\
         \x20   sternway token create first --person YOU --role admin\n\n\
         This is shown once, and the token works once.\n"
    ));
    Ok(())
}

/// Seals specifications that a former version stored in the clear, batch by batch.
async fn seal(store: &Store) {
    loop {
        match store.specifications_seal().await {
            Ok(0) => return,
            Ok(sealed) => tracing::info!(sealed, "sealed specifications of a former version"),
            Err(error) => {
                return tracing::warn!(%error, "could not seal specifications; trying again");
            }
        }
    }
}

/// Counts what stands in the store, for the metrics of this process.
pub(super) async fn standing(store: Store, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        match (store.standing().await, store.ways_back().await) {
            (Ok(standing), Ok(ways_back)) => worker::metric::tell(&standing, &ways_back),
            (Err(error), _) | (_, Err(error)) => {
                tracing::debug!(%error, "can not count what stands in the store; trying again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(STANDING) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Clears away what nobody needs any more, for as long as the worker runs.
pub(super) async fn prune(store: Store, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        seal(&store).await;
        match store.prune().await {
            Ok(pruned) => tracing::debug!(?pruned, "cleared away"),
            Err(error) => tracing::warn!(%error, "could not clear away old rows; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(PRUNE) => {}
            () = shutdown.cancelled() => {}
        }
    }
}
