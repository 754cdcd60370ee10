//! What time it is, and waiting for news. The only clock of this crate.

use std::time::Duration;

use domain::time::Moment;
use store::Wakes;
use time::OffsetDateTime;
use tokio::time::Instant;

/// Longest pause between two looks: rows are the truth, a wake-up only saves the wait, and a token that was
/// revoked must not be served for longer than this.
pub(crate) const POLL: Duration = Duration::from_secs(1);

pub(crate) fn now() -> Moment {
    OffsetDateTime::now_utc().into()
}

/// Waits for news, for at most [`POLL`] and not past the deadline.
pub(crate) async fn pause(wakes: &mut Wakes, deadline: Instant) {
    let until = deadline.min(Instant::now() + POLL);
    // Late or woken: either way the next thing is to look.
    let _ = tokio::time::timeout_at(until, wakes.woken()).await;
}
