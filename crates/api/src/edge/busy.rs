//! Whether a connection has a request under way, body of the answer included, and since when not.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

/// Counts the requests of one connection.
pub(super) struct Busy {
    requests: AtomicU32,
    born: Instant,
    quiet_since_ms: AtomicU64,
}

/// One request under way.
pub(super) struct UnderWay(Arc<Busy>);

impl Busy {
    pub(super) fn new() -> Self {
        Self {
            requests: AtomicU32::new(0),
            born: Instant::now(),
            quiet_since_ms: AtomicU64::new(0),
        }
    }

    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Waits until nothing was under way for `limit`.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let since =
                self.born + Duration::from_millis(self.quiet_since_ms.load(Ordering::Relaxed));
            let quiet = self.requests.load(Ordering::Relaxed) == 0;
            if quiet && since.elapsed() >= limit {
                return;
            }
            let rest = if quiet {
                limit.saturating_sub(since.elapsed())
            } else {
                limit
            };
            tokio::time::sleep(rest.max(Duration::from_millis(100))).await;
        }
    }
}

impl UnderWay {
    pub(super) fn until_end_of(self, body: Body) -> Body {
        Body::new(Guarded {
            body,
            _until_dropped: self,
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let ms = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.quiet_since_ms.store(ms, Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Guarded {
    body: Body,
    _until_dropped: UnderWay,
}

impl hyper::body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
