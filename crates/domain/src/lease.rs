//! How long a claim is good for, and what a claim allows, in one place: the worker's clock asks these functions, the
//! store's SQL is held against them on a grid (`store/tests/store/lease.rs`), and the model (`tests/model.rs`) checks
//! them for two workers and one engine. It knows no clock: each side brings its own times.

use crate::{effect::Effect, name::Fence, time::Millis};

/// Longest time that an engine call other than a stop is taken to act once its caller is gone. A creation on a
/// disk that is far too slow may take longer; what it leaves was never started, and the next plan names it.
const CALL_MAX: Millis = Millis::from_secs(10);

/// The holder stops this much before the store gives its claim away, at most: a call that is inside the engine by then
/// has so long to end. Engine calls take milliseconds; a stop takes its grace, see [`grace`].
const MARGIN_MAX: Millis = Millis(1000);

/// Whoever takes over from another host waits this long before it acts.
const GRACE: Millis = Millis(500);

/// What a row says of the claim on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The fence of the newest claim.
    pub fence: Fence,
    /// How many events its log has.
    pub seq: i32,
    /// Until when the claim holds, by the store's clock.
    pub lease_until: Millis,
}

/// What a worker knows of its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The fence it was given.
    pub fence: Fence,
    /// How many events the log had when it last wrote or read it.
    pub seq: i32,
}

/// How long its holder may act on a claim, counted on its own clock from before the query that took or renewed it:
/// so it always stops before the store gives the claim away.
#[must_use]
pub fn term(lease: Millis) -> Millis {
    Millis(lease.0 - MARGIN_MAX.0.min(lease.0 / 5))
}

/// When a claim ends, by its holder's own clock.
#[must_use]
pub fn deadline(asked: Millis, lease: Millis) -> Millis {
    Millis(asked.0 + term(lease).0)
}

/// Whether whoever had the run last did not give it back, so that what it had begun may still land. That may have been
/// this very process, if it slept for longer than its lease.
#[must_use]
pub fn unfinished(crashes: i16, taken_from_somebody: bool) -> bool {
    crashes > 0 || taken_from_somebody
}

/// How long whoever takes a run over waits before it acts.
///
/// Together with the margin it covers every call that an engine answers in `GRACE` and a second. The model calls
/// that time one tick and lets no call be longer. A real one can be: a stop lasts its whole grace, and a take-over
/// that waited for it would add that to the outage. So the worker does not wait for those, and need not: a late call
/// of the way forward is the present step, or one that is done, and is looked for before each act; a late call that
/// would undo the way back is waited for there ([`crate::lifecycle::Run::unsettled_until`]).
#[must_use]
pub fn grace(unfinished: bool, same_host: bool) -> Millis {
    // A process of the same host proved by the host's lock that its predecessor is dead: its connection is gone, and
    // the engine cancels what it can.
    if unfinished && !same_host {
        GRACE
    } else {
        Millis(0)
    }
}

/// Whether an effect may be started: the holder's last look at its own clock before the call.
#[must_use]
pub fn may_start_effect(now: Millis, deadline: Millis) -> bool {
    now < deadline
}

/// Whether the store takes an event. The fence alone makes it safe; the sequence catches a lost answer to an
/// append that was taken; the lease keeps a worker that everybody has given up from writing on.
#[must_use]
pub fn append_allowed(row: &Row, held: &Held, now: Millis) -> bool {
    row.fence == held.fence && row.seq == held.seq && now < row.lease_until
}

/// Whether the store gives the claim to somebody else.
#[must_use]
pub fn claim_allowed(row: &Row, now: Millis) -> bool {
    row.lease_until <= now
}

/// How long an effect can act after its caller is gone: a request that is inside the engine is not called back.
/// A run whose end nobody saw is not called over sooner on its way back ([`crate::lifecycle::Run::unsettled_until`]).
#[must_use]
pub fn lands_within(effect: &Effect) -> Millis {
    match effect {
        Effect::Together { effects } => effects.iter().map(lands_within).max().unwrap_or(Millis(0)),
        Effect::StopContainer { grace_s, .. } | Effect::LeaveStage { grace_s, .. } => {
            Millis(CALL_MAX.0 + Millis::from_secs(*grace_s).0)
        }
        Effect::TakeLock { .. }
        | Effect::KeepImage { .. }
        | Effect::CreateContainer { .. }
        | Effect::StartContainer { .. }
        | Effect::RenameContainer { .. }
        | Effect::RemoveContainer { .. }
        | Effect::WritePin { .. }
        | Effect::PutBackPin { .. }
        | Effect::SetStage { .. }
        | Effect::EnterStage { .. }
        | Effect::ClearStage { .. }
        | Effect::HandOver { .. }
        | Effect::PointFront { .. }
        | Effect::DropBuild { .. } => CALL_MAX,
        // The engine calls a build off when its caller is gone, and at most ends the instruction that it is at.
        Effect::Build { .. } => CALL_MAX,
        // They change nothing on the engine.
        Effect::Capture { .. } | Effect::Record => Millis(0),
        // An image that arrives late is in nobody's way.
        Effect::PullImage { .. } | Effect::LoadImage { .. } => Millis(0),
    }
}
