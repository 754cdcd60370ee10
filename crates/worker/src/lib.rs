#![doc = include_str!("../README.md")]

mod builds;
mod chats;
mod claims;
mod clock;
mod copies;
mod crew;
mod deadlines;
mod deployments;
mod drift;
mod drive;
mod engines;
mod eyes;
mod facts;
mod hands;
mod hints;
mod inquiries;
mod intake;
pub mod metric;
mod pins;
mod returns;
mod upkeep;
mod watch;
pub mod world;

use std::{sync::Arc, time::Duration};

use integrations::{Balancers, Chats, Prober};
use store::{Store, Wake};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use claims::Lease;
pub use engines::Engines;

/// What a worker is told once, at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This process; new at every start.
    pub worker: Uuid,
    /// The state folder's identity: whoever holds its lock knows that its predecessor is dead.
    pub host: Uuid,
    /// Who this control plane is, for a person who finds its lock on an engine.
    pub owner: String,
    /// How long a claim lasts without being renewed.
    pub lease: Duration,
    /// Rollbacks driven at the same time; each costs a task and no connection while it waits.
    pub rollbacks_max: usize,
    /// Version of this binary, for the list of workers.
    pub version: &'static str,
}

/// Runs until `shutdown`, then gives back what it holds.
///
/// # Errors
/// When the HTTP client of the probes can not be made.
pub async fn run(
    settings: Settings,
    store: Store,
    engines: Engines,
    sources: docker::Sources,
    wake: Wake,
    shutdown: CancellationToken,
) -> Result<(), integrations::Error> {
    let (prober, balancers, chats) = (Prober::new()?, Balancers::new()?, Chats::new()?);
    let engines = Arc::new(engines);
    let hands = world::Real {
        settings: settings.clone(),
        store: store.clone(),
        engines: engines.clone(),
        prober,
        sources,
        kept: world::Kept::default(),
        balancers,
    };
    let hands = Arc::new(hands);
    let mut loops = JoinSet::new();
    loops.spawn(claims::run(
        settings,
        store.clone(),
        hands.clone(),
        wake.clone(),
        shutdown.clone(),
    ));
    loops.spawn(intake::run(
        store.clone(),
        hands.clone(),
        wake.clone(),
        shutdown.clone(),
    ));
    loops.spawn(chats::answers(
        store.clone(),
        chats.clone(),
        wake.clone(),
        shutdown.clone(),
    ));
    loops.spawn(chats::cards(
        store.clone(),
        chats,
        wake.clone(),
        shutdown.clone(),
    ));
    loops.spawn(pins::run(store.clone(), shutdown.clone()));
    loops.spawn(deadlines::run(store.clone(), shutdown.clone()));
    loops.spawn(watch::run(store.clone(), hands.clone(), shutdown.clone()));
    loops.spawn(deployments::run(
        store.clone(),
        hands.clone(),
        wake.clone(),
        shutdown.clone(),
    ));
    loops.spawn(copies::run(store.clone(), hands.clone(), shutdown.clone()));
    loops.spawn(upkeep::run(store.clone(), hands.clone(), shutdown.clone()));
    loops.spawn(drift::run(
        store.clone(),
        hands.clone(),
        wake.clone(),
        shutdown.clone(),
    ));
    loops.spawn(inquiries::run(store, hands, wake, shutdown));
    // A loop that panicked would leave a worker that beats and does not work: better none.
    while let Some(ended) = loops.join_next().await {
        ended.expect("no loop of the worker panics");
    }
    Ok(())
}

/// Drives rollbacks in any world: what [`run`] does for the real one. Benchmarks use it with a world that
/// answers at once, to measure what a durable step costs by itself.
pub async fn drive<W: world::World>(
    settings: Settings,
    store: Store,
    world: Arc<W>,
    wake: Wake,
    shutdown: CancellationToken,
) {
    claims::run(settings, store, world, wake, shutdown).await;
}
