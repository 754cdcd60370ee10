//! Who may look. Looks with the ledger's eyes are few at a time, so that connections for messages stay free for those that
//! are taken in; looks with an engine's are few at each engine, so that one that hangs keeps nobody waiting who asks
//! about another.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Looks with the ledger's eyes at a time: a third of the connections that the store has for messages.
const LEDGER: usize = 4;
/// Looks at one engine at a time: alerts of one storm are about the same applications.
const EACH_ENGINE: usize = 3;
/// How long an engine's turn is waited for with a place among the messages in hand, which others wait for.
const TURN_MAX: Duration = Duration::from_millis(250);

/// The places.
pub(super) struct Lookers {
    ledger: Semaphore,
    engines: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Lookers {
    pub(super) fn new() -> Self {
        Self {
            ledger: Semaphore::new(LEDGER),
            engines: Mutex::default(),
        }
    }

    /// A place at the ledger; it is never closed.
    pub(super) async fn ledger(&self) -> Option<SemaphorePermit<'_>> {
        self.ledger.acquire().await.ok()
    }

    /// A place at an engine; none: others are at it, and it is to be asked for again later.
    pub(super) async fn engine(&self, engine: &str) -> Option<OwnedSemaphorePermit> {
        let places = self.places(engine);
        let turn = tokio::time::timeout(TURN_MAX, places.acquire_owned());
        turn.await.ok()?.ok()
    }

    fn places(&self, engine: &str) -> Arc<Semaphore> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody is at those that only this list knows.
        engines.retain(|_, places| Arc::strong_count(places) > 1);
        let new = || Arc::new(Semaphore::new(EACH_ENGINE));
        Arc::clone(engines.entry(engine.to_owned()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_keeps_only_those_waiting_who_ask_about_it() {
        let lookers = Lookers::new();
        let mut held = Vec::new();
        for _ in 0..EACH_ENGINE {
            held.push(lookers.engine("hangs").await.unwrap());
        }
        assert!(lookers.engine("hangs").await.is_none());
        let began = tokio::time::Instant::now();
        for _ in 0..EACH_ENGINE {
            held.push(lookers.engine("well").await.unwrap());
        }
        let _ledger = lookers.ledger().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(held.remove(0));
        let again = lookers.engine("hangs").await;
        assert!(again.is_some());
        drop((held, again));
        let _ = lookers.places("another");
        assert!(
            lookers.engines.lock().unwrap().len() <= 1,
            "nobody is at the others"
        );
    }
}
