//! The effects that rollbacks ask of an engine. Each may be repeated: it looks first, and what is already as
//! wanted is done. None of them retries; the next look decides.

mod bring;
mod change;
mod create;
mod keep;

use std::collections::HashMap;

use domain::{
    application::Application,
    effect::{Effect, Failure, Outcome},
    name::{ContainerId, Fence, RollbackId},
    specification::Specification,
};

use crate::{
    capture::Capture,
    connect::Engine,
    error::{Error, Kind},
    label,
};

pub(crate) use keep::lock_name;

/// Under whose authority an effect is performed, and with what.
#[derive(Clone, Copy, Debug)]
pub struct PerformContext<'a> {
    /// The application.
    pub application: &'a Application,
    /// The rollback.
    pub rollback: RollbackId,
    /// The fence of the present claim.
    pub fence: Fence,
    /// Index of the step, written on what is created, for people.
    pub step: u16,
    /// Which control plane this is, written on the lock, for people.
    pub owner: &'a str,
    /// What to create a container from; only a creation needs it.
    pub specification: Option<&'a Specification>,
    /// The claim itself, asked right before each call that changes something: an effect is a chain of calls, and a
    /// process that was stopped in the middle of it may wake up when its claim is long over.
    pub claim: &'a dyn Claim,
}

/// Knows whether a claim is still its holder's.
pub trait Claim: std::fmt::Debug + Send + Sync {
    /// Whether it is, by the holder's own clock.
    fn holds(&self) -> bool;
}

impl PerformContext<'_> {
    /// Refuses when the claim is over.
    pub(crate) fn must_hold(&self) -> Result<(), Error> {
        if self.claim.holds() {
            Ok(())
        } else {
            Err(Error::new(
                Kind::Fenced,
                "the claim on this rollback is over".to_owned(),
            ))
        }
    }
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Performed {
    /// What its performer could tell.
    pub outcome: Outcome,
    /// What was captured, when that was the effect.
    pub capture: Option<Capture>,
}

impl Engine {
    /// Performs an effect once. `Record` belongs to the ledger, `PointFront` to a balancer: both are
    /// refused here.
    pub async fn perform(&self, effect: &Effect, ctx: &PerformContext<'_>) -> Performed {
        let result = match effect {
            Effect::TakeLock { image } => self.take_lock(image, ctx).await,
            Effect::KeepImage { image } => self.keep_image(image, ctx).await,
            Effect::PullImage { image, reference } => {
                Box::pin(self.pull(image, reference, ctx)).await
            }
            Effect::LoadImage { image, archive } => Box::pin(self.load(image, archive, ctx)).await,
            Effect::CreateContainer {
                component,
                name,
                image,
                specification,
                replaces,
            } => {
                let wanted = create::Wanted {
                    component,
                    name,
                    image,
                    digest: specification,
                    replaces,
                };
                Box::pin(self.create(&wanted, ctx)).await
            }
            Effect::StopContainer { container, grace_s } => {
                self.stop(container, *grace_s, ctx).await
            }
            Effect::StartContainer { container, restart } => {
                self.start(container, restart.as_ref(), ctx).await
            }
            Effect::RenameContainer { container, name } => self.rename(container, name, ctx).await,
            Effect::RemoveContainer { container } => self.remove(container, ctx).await,
            Effect::Capture { container, .. } => {
                return match self.capture(container).await {
                    Ok(capture) => Performed {
                        outcome: Outcome::Done,
                        capture: Some(capture),
                    },
                    Err(error) => Performed {
                        outcome: error.into_outcome(),
                        capture: None,
                    },
                };
            }
            Effect::Record | Effect::PointFront { .. } => {
                let said = "neither the ledger nor a balancer is the engine's to change".to_owned();
                return Performed {
                    outcome: Outcome::Failed {
                        failure: Failure::Refused,
                        said,
                    },
                    capture: None,
                };
            }
        };
        let outcome = result.map_or_else(Error::into_outcome, |()| Outcome::Done);
        Performed {
            outcome,
            capture: None,
        }
    }

    /// Refuses an act elsewhere, such as on a balancer, when we are the past: whoever acts on an application marks
    /// its engine.
    ///
    /// # Errors
    /// When somebody newer acts on the application, or the engine can not be asked.
    pub async fn must_be_ours(&self, ctx: &PerformContext<'_>) -> Result<(), Error> {
        self.fence_check(None, ctx).await
    }

    /// Refuses to change `target` when we are the past: the rollback itself has a newer owner, or another one holds
    /// the application's lock. What other rollbacks once left on containers that serve means nothing: fences of a
    /// database that was restored are lower than the marks that it made before.
    ///
    /// Between this look and the act that follows there is a window that no engine lets us close.
    async fn fence_check(
        &self,
        target: Option<&ContainerId>,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        let filter = format!("{}={}", label::APPLICATION, ctx.application.name);
        let marked = self
            .list(HashMap::from([("label".to_owned(), vec![filter])]))
            .await?;
        let is_target = |id: &Option<String>| {
            target.is_some_and(|target| id.as_deref() == Some(target.as_str()))
        };
        for summary in &marked {
            let Some(labels) = &summary.labels else {
                continue;
            };
            let ours = label::rollback(labels) == Some(ctx.rollback);
            let newer = ours && label::fence(labels).is_some_and(|fence| fence > ctx.fence);
            let locked = !ours && labels.contains_key(label::LOCK) && !is_target(&summary.id);
            if newer || locked {
                let owner = labels
                    .get(label::OWNER)
                    .map_or("a newer claim", String::as_str);
                let said = format!(
                    "{owner} acts on {} now, and not this claim",
                    ctx.application.name
                );
                return Err(Error::new(Kind::Fenced, said));
            }
        }
        ctx.must_hold()
    }
}
