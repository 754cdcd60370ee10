//! A limit on well-formed tokens that turn out to be refused. The tokens can not be guessed; what is
//! protected is the database, which is asked once for each.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Refused tokens that one address may send in a [`PERIOD`]: a misconfigured bot sends one a second at most.
pub const FAILURES_MAX: u32 = 60;
/// The period.
pub const PERIOD: Duration = Duration::from_secs(60);
/// Addresses remembered; when more fail at once, all are forgiven rather than memory be spent.
const PEERS_MAX: usize = 4096;
/// Tokens remembered as valid: somebody who shares an address with a flood is still let in.
const VALID_MAX: usize = 1024;

/// Who failed lately.
#[derive(Default)]
pub(crate) struct Throttle {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failed: HashMap<IpAddr, (Instant, u32)>,
    valid: HashSet<[u8; 32]>,
}

impl Throttle {
    /// Seconds that this address has to wait before the database is asked about this token.
    pub(crate) fn wait_s(&self, peer: IpAddr, hash: &[u8; 32]) -> Option<u64> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = state.failed.get(&peer)?;
        let rest = PERIOD.saturating_sub(since.elapsed());
        let closed = *count >= FAILURES_MAX && !rest.is_zero() && !state.valid.contains(hash);
        closed.then(|| rest.as_secs() + 1)
    }

    pub(crate) fn refused(&self, peer: IpAddr, hash: &[u8; 32]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.valid.remove(hash);
        if state.failed.len() >= PEERS_MAX && !state.failed.contains_key(&peer) {
            state.failed.clear();
        }
        let entry = state.failed.entry(peer).or_insert((Instant::now(), 0));
        if entry.0.elapsed() >= PERIOD {
            *entry = (Instant::now(), 0);
        }
        entry.1 += 1;
    }

    pub(crate) fn accepted(&self, hash: [u8; 32]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.valid.len() >= VALID_MAX {
            state.valid.clear();
        }
        state.valid.insert(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_flood_is_stopped_and_who_was_valid_before_is_let_in() {
        let (throttle, peer) = (Throttle::default(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        throttle.accepted([1; 32]);
        for _ in 0..FAILURES_MAX {
            assert_eq!(throttle.wait_s(peer, &[2; 32]), None);
            throttle.refused(peer, &[2; 32]);
        }
        assert!(throttle.wait_s(peer, &[2; 32]).is_some());
        assert_eq!(throttle.wait_s(peer, &[1; 32]), None);
        assert_eq!(throttle.wait_s(IpAddr::V4(Ipv4Addr::BROADCAST), &[2; 32]), None);
    }
}
