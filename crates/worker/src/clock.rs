//! The two clocks of a worker: the wall's for what is written, the boot's for how long a lease is ours.

use std::time::Duration;

use domain::time::Moment;
use rustix::time::{ClockId, clock_gettime};

/// What time it is, for the log.
pub(crate) fn now() -> Moment {
    Moment::from(time::OffsetDateTime::now_utc())
}

/// A point on the clock that goes on while the machine sleeps: `Instant` stops then, a lease does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootInstant(Duration);

impl BootInstant {
    pub(crate) fn now() -> Self {
        let since_boot = clock_gettime(ClockId::Boottime);
        let secs = u64::try_from(since_boot.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(since_boot.tv_nsec).unwrap_or(0);
        Self(Duration::new(secs, nanos))
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        Self(self.0 + wait)
    }

    /// How long until then; zero when it has passed.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }
}
