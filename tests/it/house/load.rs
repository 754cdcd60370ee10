//! A client that asks all the time, to see what clients see.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::wire::Place;

/// Between two requests.
const PACE: Duration = Duration::from_millis(5);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// A client at work.
pub(crate) struct Client {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Experience>,
}

/// What a client saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Experience {
    pub(crate) answered: usize,
    pub(crate) failed: usize,
    /// The longest time between two answers.
    pub(crate) gap: Duration,
}

impl Client {
    /// Asks for a path of a port of this machine every few milliseconds. Any answer below 500 counts.
    pub(crate) fn start(port: u16, path: &'static str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let thread = thread::spawn(move || {
            let place = Place::Tcp(([127, 0, 0, 1], port).into());
            let (mut experience, mut last) = (Experience::default(), Instant::now());
            while !seen.load(Ordering::Relaxed) {
                let reply = place.ask("GET", path, &[], &[], PATIENCE);
                if reply.is_ok_and(|reply| reply.status < 500) {
                    experience.answered += 1;
                    experience.gap = experience.gap.max(last.elapsed());
                    last = Instant::now();
                } else {
                    experience.failed += 1;
                }
                thread::sleep(PACE);
            }
            experience.gap = experience.gap.max(last.elapsed());
            experience
        });
        Self { over, thread }
    }

    pub(crate) fn end(self) -> Experience {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the client does not fail")
    }
}
