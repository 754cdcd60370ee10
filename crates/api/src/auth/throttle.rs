//! What well-formed tokens that are refused may cost. They can not be guessed; what is protected is the
//! database, which is asked about each only once, and about few of one address.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Different tokens of one address that may be refused in a [`PERIOD`]. A bot with an old token has one.
const FAILURES_MAX: u32 = 60;
/// The period.
const PERIOD: Duration = Duration::from_secs(60);
/// Addresses remembered; when more fail at once, all are forgiven rather than memory be spent.
const PEERS_MAX: usize = 4096;
/// Tokens remembered as refused, and as valid; 32 bytes each.
const TOKENS_MAX: usize = 4096;

/// What is known of a token before the database is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beforehand {
    /// Ask.
    Ask,
    /// It was refused before, and no token becomes valid later.
    Refused,
    /// Too many of this address were refused: not for so many seconds.
    Wait(u64),
}

/// What was refused lately.
#[derive(Default)]
pub(super) struct Throttle {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failed: HashMap<IpAddr, (Instant, u32)>,
    refused: HashSet<[u8; 32]>,
    /// Somebody who shares an address with a flood is still let in.
    valid: HashSet<[u8; 32]>,
}

impl Throttle {
    pub(super) fn beforehand(&self, peer: IpAddr, hash: &[u8; 32]) -> Beforehand {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.refused.contains(hash) {
            return Beforehand::Refused;
        }
        let Some((since, count)) = state.failed.get(&peer) else {
            return Beforehand::Ask;
        };
        let rest = PERIOD.saturating_sub(since.elapsed());
        if *count < FAILURES_MAX || rest.is_zero() || state.valid.contains(hash) {
            return Beforehand::Ask;
        }
        Beforehand::Wait(rest.as_secs() + 1)
    }

    pub(super) fn refused(&self, peer: IpAddr, hash: [u8; 32]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.valid.remove(&hash);
        remember(&mut state.refused, hash);
        if state.failed.len() >= PEERS_MAX && !state.failed.contains_key(&peer) {
            state.failed.clear();
        }
        let entry = state.failed.entry(peer).or_insert((Instant::now(), 0));
        if entry.0.elapsed() >= PERIOD {
            *entry = (Instant::now(), 0);
        }
        entry.1 += 1;
    }

    pub(super) fn accepted(&self, hash: [u8; 32]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        remember(&mut state.valid, hash);
    }
}

/// A full set is begun anew: what is forgotten costs one question to the database.
fn remember(set: &mut HashSet<[u8; 32]>, hash: [u8; 32]) {
    if set.len() >= TOKENS_MAX {
        set.clear();
    }
    set.insert(hash);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn token(n: u32) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        hash
    }

    #[test]
    fn a_flood_is_stopped_and_who_was_valid_before_is_let_in() {
        let (throttle, peer) = (Throttle::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        throttle.accepted([1; 32]);
        for n in 0..FAILURES_MAX {
            assert_eq!(throttle.beforehand(peer, &token(n)), Beforehand::Ask);
            throttle.refused(peer, token(n));
        }
        assert!(matches!(
            throttle.beforehand(peer, &token(FAILURES_MAX)),
            Beforehand::Wait(_)
        ));
        assert_eq!(throttle.beforehand(peer, &[1; 32]), Beforehand::Ask);
        assert_eq!(
            throttle.beforehand(IpAddr::V4(Ipv4Addr::BROADCAST), &token(FAILURES_MAX)),
            Beforehand::Ask
        );
    }

    #[test]
    fn an_old_token_sent_again_and_again_locks_nobody_out() {
        let (throttle, peer) = (Throttle::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        throttle.refused(peer, token(1));
        for _ in 0..1000 {
            assert_eq!(throttle.beforehand(peer, &token(1)), Beforehand::Refused);
        }
        assert_eq!(throttle.beforehand(peer, &token(2)), Beforehand::Ask);
    }
}
