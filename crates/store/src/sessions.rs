//! Connections for what comes many times a second. A pool asks each one that it is given back whether it lives, which is a
//! trip to Postgres beside each statement; here one that is used again at once is not given back. It holds no SQL.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use sqlx::{PgPool, PgTransaction, Postgres, pool::PoolConnection};

use crate::{connect::TRUSTED_IDLE, error::Result};

/// Most that are kept beside the pool: statements that are under way at a time in a storm.
const KEPT_MAX: usize = 4;

type Kept = Vec<(Instant, PoolConnection<Postgres>)>;

/// A pool, and some of its connections that are good and were used a moment ago. Clones share them.
#[derive(Clone)]
pub(crate) struct Sessions {
    pool: PgPool,
    kept: Arc<Mutex<Kept>>,
}

impl Sessions {
    pub(crate) fn of(pool: PgPool) -> Self {
        Self {
            pool,
            kept: Arc::default(),
        }
    }

    /// A connection, the one that was used last if that was a moment ago. Dropped, it goes back to the pool.
    pub(crate) async fn take(&self) -> Result<PoolConnection<Postgres>> {
        let last = self.kept().pop();
        match last.filter(|(used, _)| used.elapsed() < TRUSTED_IDLE) {
            Some((_, session)) => Ok(session),
            None => Ok(self.pool.acquire().await?),
        }
    }

    /// Keeps a connection whose last statement was answered and that is in no transaction.
    pub(crate) fn keep(&self, session: PoolConnection<Postgres>) {
        let mut kept = self.kept();
        kept.retain(|(used, _)| used.elapsed() < TRUSTED_IDLE);
        if kept.len() < KEPT_MAX && !self.pool.is_closed() {
            kept.push((Instant::now(), session));
        }
    }

    pub(crate) async fn begin(&self) -> Result<PgTransaction<'static>> {
        Ok(self.pool.begin().await?)
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) {
        let closing = self.pool.close();
        self.kept().clear();
        closing.await;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing in here can be left half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
