//! The one seam between deciding and the outside: look, and perform.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use docker::Sources;
use domain::{
    effect::{Effect, Outcome},
    name::{RollbackId, SpecificationDigest},
    plan::Plan,
    steps::{Scope, World as Seen},
};
use integrations::{Balancers, Prober};
use store::{Held, Store};
use uuid::Uuid;

use crate::{Settings, claims::Lease, engines::Engines};

/// Our own store is away: nothing can be seen or recorded now.
#[derive(Debug, thiserror::Error)]
#[error("the store is away")]
pub struct StoreAway(#[source] pub store::Error);

/// What a claim lets its holder do: every effect is performed under one.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The claim.
    pub held: Held,
    /// How long it is ours.
    pub lease: Lease,
    /// The step's number, for labels.
    pub step: u16,
    /// Name of the ledger row that `Record` makes: known beforehand, so that making it twice is making it once.
    pub deployment: Uuid,
}

/// The outside, as a rollback meets it.
pub trait World: Send + Sync + 'static {
    /// Looks at what `scope` names. An engine that does not answer is something seen, not an error.
    fn look(
        &self,
        plan: &Plan,
        rollback: RollbackId,
        scope: Scope,
    ) -> impl Future<Output = Result<Seen, StoreAway>> + Send;

    /// Performs one effect whose intent is committed.
    fn perform(
        &self,
        plan: &Plan,
        grant: &Grant,
        effect: &Effect,
    ) -> impl Future<Output = Outcome> + Send;
}

/// The real outside.
#[derive(Debug)]
pub(crate) struct Real {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) engines: Arc<Engines>,
    pub(crate) prober: Prober,
    pub(crate) sources: Sources,
    pub(crate) kept: Kept,
    pub(crate) balancers: Balancers,
}

/// Most specifications that are remembered; then all are forgotten, which costs a statement each and no more.
const KEPT_MAX: usize = 4096;

/// Specifications of which this process has kept the inspection already: it looks every two seconds.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<BTreeSet<SpecificationDigest>>);

impl Kept {
    pub(crate) fn is_new(&self, digest: &SpecificationDigest) -> bool {
        !self.known().contains(digest)
    }

    pub(crate) fn note(&self, digest: &SpecificationDigest) {
        let mut known = self.known();
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        known.insert(digest.clone());
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<SpecificationDigest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
