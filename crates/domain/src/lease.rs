//! How long a claim is good for, and what a claim allows. The store's SQL and the worker's clock follow these rules in
//! their own words; here they are in one place, for the model that
//! is checked for two workers and one engine. It knows no clock: each side brings its own times.

use crate::{effect::Effect, name::Fence, time::Millis};

/// Longest time that an engine call other than a stop is taken to act once its caller is gone. A creation on a
/// disk that is far too slow may take longer; what it leaves was never started, and the next plan names it.
const CALL_MAX: Millis = Millis::from_secs(10);

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

/// When a claim ends, by its holder's own clock: counted from before the query that took or renewed it, so that
/// the holder always stops before the store gives the claim away.
#[must_use]
pub fn deadline(asked: Millis, lease: Millis, margin: Millis) -> Millis {
    Millis(asked.0 + lease.0.saturating_sub(margin.0))
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
/// A run whose end nobody saw is not called over sooner on its way back ([`crate::lifecycle::Run::unsettled_until`]);
/// the model's take-over waits as long, the worker's does not: it looks, and looks again.
#[must_use]
pub fn lands_within(effect: &Effect) -> Millis {
    match effect {
        Effect::StopContainer { grace_s, .. } => Millis(CALL_MAX.0 + Millis::from_secs(*grace_s).0),
        Effect::TakeLock { .. }
        | Effect::KeepImage { .. }
        | Effect::CreateContainer { .. }
        | Effect::StartContainer { .. }
        | Effect::RenameContainer { .. }
        | Effect::RemoveContainer { .. } => CALL_MAX,
        // They change nothing on the engine.
        Effect::Capture { .. } | Effect::Record => Millis(0),
    }
}
