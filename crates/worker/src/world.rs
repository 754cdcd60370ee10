//! The one seam between deciding and the outside: look, and perform.

use std::{future::Future, sync::Arc};

use docker::Sources;
use domain::{
    effect::{Effect, Outcome},
    name::RollbackId,
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
    pub(crate) balancers: Balancers,
}
