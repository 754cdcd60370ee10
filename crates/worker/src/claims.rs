//! Which rollbacks are ours, for how long, and when to stop acting on them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{
    lease,
    name::{Fence, RollbackId},
    time::Millis,
};
use metrics::{counter, gauge};
use store::{Claimed, Held, Store, Topic, Wake, Worker};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{Settings, clock::BootInstant, drive, metric, world::World};

/// The truth is polled; a wake-up only saves the waiting.
const POLL: Duration = Duration::from_secs(1);
/// Claims made at once: a backlog is taken in pieces, so that several workers share it.
const CLAIMS_AT_ONCE: u32 = 16;

/// How long a claim is ours, as its holder knows it: counted from before the query that took or renewed it, on
/// our own clock, with a margin. Past it no effect is started, and one under way is let go of.
#[derive(Clone, Debug)]
pub struct Lease {
    deadline: Arc<Mutex<BootInstant>>,
    lost: CancellationToken,
    /// A renewal saw orders that no turn has seen.
    orders: Arc<AtomicBool>,
}

impl docker::Claim for Lease {
    fn holds(&self) -> bool {
        !self.lost.is_cancelled() && !self.left().is_zero()
    }

    fn asks_for_lock(&self) -> bool {
        true
    }
}

impl Lease {
    fn until(deadline: BootInstant) -> Self {
        Self {
            deadline: Arc::new(Mutex::new(deadline)),
            lost: CancellationToken::new(),
            orders: Arc::default(),
        }
    }

    /// Whether an effect may be started now.
    pub(crate) fn holds(&self) -> bool {
        docker::Claim::holds(self)
    }

    /// Returns when the claim is no longer ours.
    pub(crate) async fn gone(&self) {
        while self.holds() {
            // The deadline moves with each renewal, so it is read again each time.
            let left = self.left();
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.lost.cancelled() => {}
            }
        }
    }

    /// Moves the deadline: the claim was renewed by a query that began at `asked`.
    pub(crate) fn renewed(&self, asked: BootInstant, lease: Duration) {
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *deadline = (*deadline).max(deadline_of(asked, lease));
    }

    /// Whether there are orders to read; asking answers it.
    pub(crate) fn orders_pending(&self) -> bool {
        self.orders.swap(false, Ordering::Relaxed)
    }

    fn left(&self) -> Duration {
        self.deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .left()
    }
}

fn deadline_of(asked: BootInstant, lease: Duration) -> BootInstant {
    let lease = Millis(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
    asked.after(Duration::from_millis(lease::term(lease).0))
}

type Leases = Arc<Mutex<HashMap<RollbackId, (Fence, Lease)>>>;

/// Claims what is due and drives each claim, until `shutdown`.
pub(crate) async fn run<W: World>(
    settings: Settings,
    store: Store,
    world: Arc<W>,
    wake: Wake,
    shutdown: CancellationToken,
) {
    let leases: Leases = Arc::default();
    let renewing = tokio::spawn(renew(settings.clone(), store.clone(), leases.clone()));
    let beating = tokio::spawn(beat(settings.clone(), store.clone()));
    let mut claimer = Claimer {
        settings,
        store,
        world,
        leases,
        driven: JoinSet::new(),
        claims: HashMap::new(),
    };
    let mut wakes = wake.subscribe(Topic::Work);
    claimer.reclaim().await;
    while !shutdown.is_cancelled() {
        claimer.claim(&shutdown).await;
        tokio::select! {
            () = wakes.woken() => {}
            () = tokio::time::sleep(POLL) => {}
            Some(ended) = claimer.driven.join_next_with_id() => claimer.reap(ended).await,
            () = shutdown.cancelled() => {}
        }
    }
    claimer.give_all_back().await;
    renewing.abort();
    beating.abort();
}

struct Claimer<W> {
    settings: Settings,
    store: Store,
    world: Arc<W>,
    leases: Leases,
    driven: JoinSet<drive::Ended>,
    claims: HashMap<Id, Held>,
}

impl<W: World> Claimer<W> {
    /// The lock on our state folder proves that whoever claimed from it before is dead: no lease to wait for.
    async fn reclaim(&self) {
        match self.store.reclaim_host(&worker(&self.settings)).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, "took back the claims of this host's former process")
            }
            Err(error) => {
                tracing::warn!(%error, "could not take back the claims of this host's former process")
            }
        }
    }

    async fn claim(&mut self, shutdown: &CancellationToken) {
        let room = self
            .settings
            .rollbacks_max
            .saturating_sub(self.driven.len());
        let limit = CLAIMS_AT_ONCE.min(u32::try_from(room).unwrap_or(u32::MAX));
        if limit == 0 {
            return;
        }
        let asked = BootInstant::now();
        match self
            .store
            .claim(&worker(&self.settings), limit, self.settings.lease)
            .await
        {
            Ok(claimed) => {
                for claimed in claimed {
                    self.drive(claimed, asked, shutdown);
                }
            }
            Err(error) => tracing::warn!(%error, "could not claim; trying again"),
        }
        gauge!(metric::DRIVEN).set(self.driven.len() as f64);
    }

    fn drive(&mut self, claimed: Claimed, asked: BootInstant, shutdown: &CancellationToken) {
        let taken_over = if claimed.crashes > 0 { "yes" } else { "no" };
        counter!(metric::CLAIMS, "taken_over" => taken_over).increment(1);
        let lease = Lease::until(deadline_of(asked, self.settings.lease));
        let (rollback, fence) = (claimed.rollback, claimed.fence);
        self.leases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(rollback, (fence, lease.clone()));
        let driver = drive::Driver {
            store: self.store.clone(),
            world: self.world.clone(),
            lease,
            lease_length: self.settings.lease,
            host: self.settings.host,
            shutdown: shutdown.clone(),
        };
        let held = claimed.held();
        let task = self.driven.spawn(driver.run(claimed));
        self.claims.insert(task.id(), held);
    }

    /// Waits until each drive has given its claim back, then tells the other workers: they need not poll for them.
    async fn give_all_back(&mut self) {
        let any = !self.driven.is_empty();
        while let Some(ended) = self.driven.join_next_with_id().await {
            self.reap(ended).await;
        }
        if any && let Err(error) = self.store.announce_work().await {
            tracing::debug!(%error, "the other workers were not told; they poll");
        }
    }

    /// A drive that ended well has given its claim back; one that panicked or met what will not pass has not, and that
    /// counts as a crash of its step.
    async fn reap(&mut self, ended: Result<(Id, drive::Ended), tokio::task::JoinError>) {
        let (id, broken) = match &ended {
            Ok((id, ended)) => (*id, *ended == drive::Ended::Broken),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some(held) = self.claims.remove(&id) else {
            return;
        };
        let rollback = held.rollback;
        forget(&self.leases, &held);
        if broken {
            tracing::error!(%rollback, "a rollback could not be driven; it will be taken up again");
            if let Err(error) = self.store.crashed(&held).await {
                tracing::warn!(%error, %rollback, "could not count the crash; the lease will end by itself");
            }
        }
    }
}

/// Forgets the lease of a claim, unless a newer claim of ours on the same rollback has one already.
fn forget(leases: &Leases, held: &Held) {
    let mut leases = leases.lock().unwrap_or_else(PoisonError::into_inner);
    if leases
        .get(&held.rollback)
        .is_some_and(|(fence, _)| *fence == held.fence)
    {
        leases.remove(&held.rollback);
    }
}

/// Renews every claim three times a lease; what can not be renewed is no longer ours.
async fn renew(settings: Settings, store: Store, leases: Leases) {
    loop {
        tokio::time::sleep(settings.lease / 3).await;
        let held: Vec<(RollbackId, Fence)> = {
            let leases = leases.lock().unwrap_or_else(PoisonError::into_inner);
            leases
                .iter()
                .map(|(rollback, (fence, _))| (*rollback, *fence))
                .collect()
        };
        if held.is_empty() {
            continue;
        }
        let asked = BootInstant::now();
        let renewed = match store.renew(&held, settings.lease).await {
            Ok(renewed) => renewed,
            Err(error) => {
                tracing::warn!(%error, "could not renew {} claims; trying again", held.len());
                continue;
            }
        };
        let leases = leases.lock().unwrap_or_else(PoisonError::into_inner);
        for (rollback, fence) in held {
            let Some((_, lease)) = leases.get(&rollback).filter(|(now, _)| *now == fence) else {
                continue;
            };
            match renewed.iter().find(|renewed| renewed.rollback == rollback) {
                Some(renewed) => {
                    lease.renewed(asked, settings.lease);
                    lease
                        .orders
                        .fetch_or(renewed.orders_pending, Ordering::Relaxed);
                }
                None => lease.lost.cancel(),
            }
        }
    }
}

/// Says that this worker lives.
async fn beat(settings: Settings, store: Store) {
    let every = settings.lease / 3;
    let worker = worker(&settings);
    loop {
        if let Err(error) = store.worker_beat(&worker).await {
            tracing::warn!(%error, "could not say that this worker lives; trying again");
        }
        tokio::time::sleep(every).await;
    }
}

fn worker(settings: &Settings) -> Worker {
    Worker {
        id: settings.worker,
        host: settings.host,
        version: settings.version.to_owned(),
        plan_format_max: domain::plan::PLAN_FORMAT,
    }
}
