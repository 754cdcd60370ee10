//! The effects that rollbacks ask of an engine. Each may be repeated: it looks first, and what is already as
//! wanted is done. None of them retries; the next look decides.

mod bring;
mod change;
mod create;
mod handover;
mod keep;
mod pin;
mod stage;

use std::collections::HashMap;

use bollard::models::ContainerSummary;
use domain::{
    application::Application,
    effect::{Effect, Outcome},
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

    /// Whether each change asks for the application's lock to be there and ours. The worker's do: without it a rollback
    /// that is over would find nothing on the engine that refuses its late call.
    fn asks_for_lock(&self) -> bool {
        false
    }
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
    /// Performs an effect once. `Record` belongs to the ledger, `PointFront` to a balancer: both are refused here;
    /// builds have calls of their own.
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
                config_hash,
            } => {
                let wanted = create::Wanted {
                    component,
                    name,
                    image,
                    digest: specification,
                    replaces,
                    config_hash: config_hash.as_deref(),
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
            Effect::SetStage { name, company } => self.set_stage(name, company, ctx).await,
            Effect::EnterStage {
                container,
                stage,
                aliases,
            } => self.enter_stage(container, stage, aliases, ctx).await,
            Effect::LeaveStage { container, grace_s } => self.stop(container, *grace_s, ctx).await,
            Effect::ClearStage { network } => self.clear_stage(network, ctx).await,
            Effect::HandOver {
                from,
                to,
                joints,
                restart,
            } => {
                let wanted = handover::Wanted {
                    from: from.as_ref(),
                    to,
                    joints,
                    restart: restart.as_ref(),
                };
                Box::pin(self.hand_over(&wanted, ctx)).await
            }
            Effect::Capture { container, .. } => return self.captured(container).await,
            Effect::Record
            | Effect::WritePin { .. }
            | Effect::PutBackPin { .. }
            | Effect::PointFront { .. }
            | Effect::Together { .. }
            | Effect::Build { .. }
            | Effect::DropBuild { .. } => Err(no_single_call()),
        };
        Performed {
            outcome: result.map_or_else(Error::into_outcome, |()| Outcome::Done),
            capture: None,
        }
    }

    async fn captured(&self, container: &ContainerId) -> Performed {
        match self.capture(container).await {
            Ok(capture) => Performed {
                outcome: Outcome::Done,
                capture: Some(capture),
            },
            Err(error) => Performed {
                outcome: error.into_outcome(),
                capture: None,
            },
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

    /// Refuses to change `target` when we are the past: the rollback itself has a newer claim, or is over and has no
    /// lock any more, or another one holds the application's lock. What other rollbacks once left on containers that
    /// serve means nothing: fences of a database that was restored are lower than the marks that it made before.
    ///
    /// Between this look and the act that follows there is a window that no engine lets us close.
    async fn fence_check(
        &self,
        target: Option<&ContainerId>,
        ctx: &PerformContext<'_>,
    ) -> Result<(), Error> {
        let lock = lock_name(&ctx.application.name);
        let marked = self.marked_for(ctx).await?;
        let (mut locked, mut gives_back) = (false, false);
        for (summary, labels) in marked.iter().filter_map(labelled) {
            let ours = label::rollback(labels) == Some(ctx.rollback);
            let is_target = target.is_some_and(|id| summary.id.as_deref() == Some(id.as_str()));
            let is_lock = labels.contains_key(label::LOCK);
            let named = label::own_name(summary.names.as_deref().unwrap_or_default());
            let newer = ours && label::fence(labels).is_some_and(|fence| fence > ctx.fence);
            let elsewhere = !ours && named == Some(lock.as_str()) && !is_target;
            if newer || elsewhere {
                let owner = labels.get(label::OWNER).map(String::as_str);
                return Err(overtaken(ctx, owner.unwrap_or("a newer claim")));
            }
            locked |= ours && is_lock;
            gives_back |= is_target && is_lock;
        }
        if ctx.claim.asks_for_lock() && !locked && !gives_back {
            return Err(overtaken(ctx, "nobody with its lock"));
        }
        ctx.must_hold()
    }

    /// The newest fence of this rollback that is written on the engine.
    async fn newest_fence(&self, ctx: &PerformContext<'_>) -> Result<Option<Fence>, Error> {
        let marked = self.marked_for(ctx).await?;
        let ours = marked
            .iter()
            .filter_map(labelled)
            .filter(|(_, labels)| label::rollback(labels) == Some(ctx.rollback));
        Ok(ours.filter_map(|(_, labels)| label::fence(labels)).max())
    }

    /// Everything on the engine that is marked as this application's.
    async fn marked_for(&self, ctx: &PerformContext<'_>) -> Result<Vec<ContainerSummary>, Error> {
        let filter = format!("{}={}", label::APPLICATION, ctx.application.name);
        self.list(HashMap::from([("label".to_owned(), vec![filter])]))
            .await
    }
}

fn labelled(summary: &ContainerSummary) -> Option<(&ContainerSummary, &label::Labels)> {
    Some((summary, summary.labels.as_ref()?))
}

fn overtaken(ctx: &PerformContext<'_>, by: &str) -> Error {
    let said = format!(
        "{by} acts on {} now, and not this claim",
        ctx.application.name
    );
    Error::new(Kind::Fenced, said)
}

fn no_single_call() -> Error {
    let said = "it is no single call to an engine".to_owned();
    Error::new(Kind::Refused, said)
}
