//! Waiting for the world, always with a deadline and never with a bare pause.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Looking again costs a call to an engine or a server: often enough to be prompt, rare enough to disturb nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What `look` finds, as soon as it finds something.
///
/// Panics with the sentence when the deadline passes first.
#[track_caller]
pub(crate) fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begun.elapsed() < deadline,
            "waited {} s for this, in vain: {what}",
            deadline.as_secs_f32()
        );
        thread::sleep(LOOK_AGAIN);
    }
}

/// Looks for that long and fails as soon as `look` says that it no longer holds.
pub(crate) fn throughout(what: &str, length: Duration, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < length {
        assert!(
            look(),
            "this should have held for {} s: {what}",
            length.as_secs_f32()
        );
        thread::sleep(LOOK_AGAIN);
    }
}

/// Seconds, since most deadlines are some.
pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
