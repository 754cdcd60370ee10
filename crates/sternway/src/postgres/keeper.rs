//! The thread that owns the server: starts it, starts it again when it dies, stops it when told.
//!
//! It must be one thread that lives as long as the server: the kernel sends the parent-death signal when
//! the thread that spawned the child ends, not when the process does.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use super::{
    cluster::{Cluster, Running, STOP_MAX, end},
    error::{PostgresError, failed},
    launch::Handle,
};

/// The first pause before a new start; each failure doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// A full disk is looked at this often; a person who frees it waits no longer.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A server that lived this long did not die of how it was started.
const CALM: Duration = Duration::from_secs(60);
/// The first start may find the processes of a killed server still ending: 0.1 + 0.2 + 0.4 + 0.8 s.
const FIRST_ATTEMPTS: u32 = 5;

/// What the thread and whoever stops it both see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    current: Option<Arc<Handle>>,
}

impl Shared {
    /// Says which server there is before it is waited for, so that a stop reaches it at any time.
    pub(super) fn publish(&self, handle: &Arc<Handle>) -> Result<(), PostgresError> {
        let mut state = self.lock();
        if state.stopping {
            return Err(PostgresError::Stopping);
        }
        state.current = Some(handle.clone());
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> bool {
        self.lock().stopping
    }

    /// `false`: told to stop meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), pause, |state| !state.stopping);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }
}

/// The pauses between starts: longer with each, short again after a calm time.
struct Backoff(Duration);

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

/// How the first start went.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) adopted: bool,
}

/// The thread, from outside.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// Closed by the thread's end.
    alive: Receiver<()>,
}

impl Keeper {
    /// Returns when the server answers.
    pub(super) fn start(cluster: Cluster) -> Result<(Self, Started), PostgresError> {
        let shared = Arc::new(Shared::default());
        let (tell, told) = channel();
        let (living, alive) = channel::<()>();
        let folder = cluster.folder.data();
        let seen = shared.clone();
        let thread = std::thread::Builder::new().name("postgres-keeper".into());
        let spawned = thread.spawn(move || {
            keep(&cluster, &seen, &tell);
            drop(living);
        });
        spawned.map_err(failed(&folder, "watched over"))?;
        // The thread always tells, unless it panicked.
        let started = told.recv().unwrap_or(Err(PostgresError::Stopping))?;
        Ok((Self { shared, alive }, started))
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.shared.lock().current.as_ref().map(|handle| handle.pid)
    }

    /// Stops the server, and waits for its end and the thread's.
    pub(super) fn stop(&self) -> Result<(), PostgresError> {
        let current = {
            let mut state = self.shared.lock();
            state.stopping = true;
            state.current.clone()
        };
        self.shared.changed.notify_all();
        let ended = current.map_or(Ok(()), |handle| end(&handle));
        match self.alive.recv_timeout(STOP_MAX) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("the thread that keeps Postgres is still busy")
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
        }
        ended
    }
}

fn keep(cluster: &Cluster, shared: &Shared, tell: &Sender<Result<Started, PostgresError>>) {
    let started = cluster
        .prepare()
        .and_then(|()| first_start(cluster, shared));
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            let _ = tell.send(Err(error));
            return;
        }
    };
    let _ = tell.send(Ok(Started {
        adopted: running.adopted(),
    }));
    supervise(cluster, shared, running);
}

fn first_start(cluster: &Cluster, shared: &Shared) -> Result<Running, PostgresError> {
    let mut backoff = Backoff(PAUSE_MIN);
    for _ in 1..FIRST_ATTEMPTS {
        match cluster.start(shared) {
            Err(PostgresError::Ended { said, .. }) => {
                tracing::info!(%said, "Postgres ended while it started; it is tried again");
                if !shared.pause(backoff.next()) {
                    return Err(PostgresError::Stopping);
                }
            }
            answered => return answered,
        }
    }
    cluster.start(shared)
}

fn supervise(cluster: &Cluster, shared: &Shared, mut running: Running) {
    let mut backoff = Backoff(PAUSE_MIN);
    loop {
        let since = Instant::now();
        let status = running.wait();
        if shared.stopping() {
            return;
        }
        tracing::warn!(%status, "Postgres ended by itself; it is started again");
        if since.elapsed() > CALM {
            backoff = Backoff(PAUSE_MIN);
        }
        let Some(again) = restart(cluster, shared, &mut backoff) else {
            return;
        };
        running = again;
        tracing::info!(
            duration_ms = since.elapsed().as_millis(),
            "Postgres is back"
        );
    }
}

/// `None`: told to stop meanwhile.
fn restart(cluster: &Cluster, shared: &Shared, backoff: &mut Backoff) -> Option<Running> {
    loop {
        if !shared.pause(backoff.next()) {
            return None;
        }
        match cluster.start(shared) {
            Ok(running) => return Some(running),
            Err(_) if shared.stopping() => return None,
            Err(error) => tracing::error!(%error, "Postgres cannot be started again yet"),
        }
    }
}
