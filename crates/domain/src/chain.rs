//! The hash chain over a rollback's events: a changed, removed or reordered event breaks it.
//!
//! Each link is SHA-256 over the former link and every stored field of the event, each preceded by its
//! length, so that no two different events have the same bytes.

use sha2::{Digest, Sha256};

use crate::{
    name::{Fence, RollbackId},
    time::Moment,
};

/// One link: SHA-256, 32 bytes.
pub type Link = [u8; 32];

/// What the first event of a rollback is chained to.
#[must_use]
pub fn root(rollback: RollbackId) -> Link {
    digest(&[b"sternway rollback", rollback.0.as_bytes()])
}

/// The stored fields of one event that its link covers.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Position in the rollback's log, from 1.
    pub seq: i32,
    /// Fence of the claim under which it was written.
    pub fence: Fence,
    /// When it was written, by the writer's clock.
    pub at: Moment,
    /// Who caused it.
    pub actor: &'a str,
    /// The exact bytes of the event.
    pub body: &'a str,
}

/// The link of `entry` after `former`.
#[must_use]
pub fn link(former: &Link, entry: &Entry<'_>) -> Link {
    digest(&[
        former,
        &entry.seq.to_be_bytes(),
        &entry.fence.0.to_be_bytes(),
        &entry.at.unix_ms().to_be_bytes(),
        entry.actor.as_bytes(),
        entry.body.as_bytes(),
    ])
}

/// Lower-case hex of SHA-256 over the parts, each preceded by its length.
#[must_use]
pub fn sha256_hex(parts: &[&[u8]]) -> String {
    hex(&digest(parts))
}

/// Lower-case hex of bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn digest(parts: &[&[u8]]) -> Link {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: &str) -> Entry<'_> {
        Entry {
            seq: 1,
            fence: Fence(2),
            at: Moment::from_unix_ms(3),
            actor: "ana",
            body,
        }
    }

    #[test]
    fn any_changed_field_changes_the_link() {
        let base = link(&[0; 32], &entry("x"));
        let others = [
            link(&[1; 32], &entry("x")),
            link(&[0; 32], &entry("y")),
            link(
                &[0; 32],
                &Entry {
                    seq: 2,
                    ..entry("x")
                },
            ),
            link(
                &[0; 32],
                &Entry {
                    fence: Fence(3),
                    ..entry("x")
                },
            ),
            link(
                &[0; 32],
                &Entry {
                    at: Moment::from_unix_ms(4),
                    ..entry("x")
                },
            ),
            link(
                &[0; 32],
                &Entry {
                    actor: "bob",
                    ..entry("x")
                },
            ),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn bytes_can_not_move_between_fields() {
        let left = link(
            &[0; 32],
            &Entry {
                actor: "ab",
                ..entry("c")
            },
        );
        let right = link(
            &[0; 32],
            &Entry {
                actor: "a",
                ..entry("bc")
            },
        );
        assert_ne!(left, right);
    }
}
