//! Performing: one effect, under one claim. What came of it is only a hint; the next look decides.

use std::{net::SocketAddr, time::Instant};

use docker::{Capture, PerformContext};
use domain::{
    effect::{Effect, Failure, Outcome},
    name::{ComponentName, ContainerId, RollbackId, SpecificationDigest},
    plan::Plan,
    specification::Specification,
    steps::{Scope, World as Seen},
};
use futures_util::future::join_all;
use integrations::Trouble;
use metrics::{counter, histogram};
use store::{ArtifactKind, NewArtifact};

use crate::{
    metric,
    pins::WantedPin,
    world::{Grant, Real, StoreAway, World},
};

impl World for Real {
    async fn look(
        &self,
        plan: &Plan,
        rollback: RollbackId,
        scope: Scope,
    ) -> Result<Seen, StoreAway> {
        self.see(plan, rollback, scope).await
    }

    /// Each part asks for the fence and the claim by itself, right before it changes something.
    async fn perform(&self, plan: &Plan, grant: &Grant, effect: &Effect) -> Outcome {
        let parts = effect.parts().iter();
        let performed = parts.map(|part| self.perform_one(plan, grant, part));
        Outcome::of_all(join_all(performed).await)
    }
}

impl Real {
    async fn perform_one(&self, plan: &Plan, grant: &Grant, effect: &Effect) -> Outcome {
        let begun = Instant::now();
        let outcome = match effect {
            Effect::Record => self.record(grant).await,
            Effect::WritePin {
                path,
                variable,
                from,
                to,
            } => {
                let wanted = WantedPin {
                    path,
                    variable: variable.as_ref(),
                    from: from.as_deref(),
                    to: to.as_deref(),
                };
                self.write_pin(plan, grant, &wanted).await
            }
            Effect::PutBackPin { path } => self.put_back_pin(plan, grant, path).await,
            Effect::PointFront {
                component,
                server,
                to,
            } => self.point(plan, grant, component, server, *to).await,
            Effect::Build { component } => Box::pin(self.build(plan, grant, component)).await,
            Effect::DropBuild { component } => self.drop_build(plan, grant, component).await,
            Effect::TakeLock { .. }
            | Effect::KeepImage { .. }
            | Effect::PullImage { .. }
            | Effect::LoadImage { .. }
            | Effect::Capture { .. }
            | Effect::CreateContainer { .. }
            | Effect::StopContainer { .. }
            | Effect::StartContainer { .. }
            | Effect::RenameContainer { .. }
            | Effect::RemoveContainer { .. }
            | Effect::SetStage { .. }
            | Effect::EnterStage { .. }
            | Effect::LeaveStage { .. }
            | Effect::ClearStage { .. }
            | Effect::HandOver { .. }
            | Effect::Together { .. } => self.on_engine(plan, grant, effect).await,
        };
        let word = effect_word(effect);
        counter!(metric::EFFECTS, "effect" => word, "outcome" => outcome_word(&outcome))
            .increment(1);
        histogram!(metric::EFFECT_SECONDS, "effect" => word).record(begun.elapsed().as_secs_f64());
        outcome
    }

    async fn on_engine(&self, plan: &Plan, grant: &Grant, effect: &Effect) -> Outcome {
        let engine = match self.engines.get(&plan.application.engine) {
            Ok(engine) => engine,
            Err(error) => return error.into_outcome(),
        };
        let specification = match specification_of(effect) {
            Some(digest) => match self.store.specification_get(digest).await {
                Ok(specification) => Some(without_ports(plan, effect, specification)),
                Err(error) => return of_store(&error),
            },
            None => None,
        };
        let context = self.context(plan, grant, specification.as_ref());
        let performed = engine.perform(effect, &context).await;
        match (effect, performed.capture) {
            (
                Effect::Capture {
                    component,
                    container,
                },
                Some(capture),
            ) => {
                self.keep_capture(grant, component, container, &capture)
                    .await
            }
            _ => performed.outcome,
        }
    }

    /// The balancer knows no fences: the engine that its application runs on is asked first.
    async fn point(
        &self,
        plan: &Plan,
        grant: &Grant,
        component: &ComponentName,
        server: &str,
        to: SocketAddr,
    ) -> Outcome {
        let component = plan.application.component(component);
        let Some(front) = component.and_then(|component| component.front.as_ref()) else {
            return Outcome::Failed {
                failure: Failure::Missing,
                said: "the plan's definition has no such front".to_owned(),
            };
        };
        let engine = match self.engines.get(&plan.application.engine) {
            Ok(engine) => engine,
            Err(error) => return error.into_outcome(),
        };
        let context = self.context(plan, grant, None);
        if let Err(error) = engine.must_be_ours(&context).await {
            return error.into_outcome();
        }
        let holds = || grant.lease.holds();
        let pointed = self.balancers.point(front, server, to, &holds).await;
        pointed.map_or_else(Trouble::into_outcome, |()| Outcome::Done)
    }

    pub(crate) fn context<'a>(
        &'a self,
        plan: &'a Plan,
        grant: &'a Grant,
        specification: Option<&'a Specification>,
    ) -> PerformContext<'a> {
        PerformContext {
            application: &plan.application,
            rollback: grant.held.rollback,
            fence: grant.held.fence,
            step: grant.step,
            owner: &self.settings.owner,
            specification,
            claim: &grant.lease,
        }
    }

    async fn record(&self, grant: &Grant) -> Outcome {
        match self.store.record(&grant.held, grant.deployment).await {
            Ok(()) => Outcome::Done,
            Err(error) => of_store(&error),
        }
    }

    async fn keep_capture(
        &self,
        grant: &Grant,
        component: &ComponentName,
        container: &ContainerId,
        capture: &Capture,
    ) -> Outcome {
        let kinds = [
            (ArtifactKind::Logs, &capture.logs),
            (ArtifactKind::Inspect, &capture.inspection),
        ];
        for (kind, content) in kinds {
            let artifact = NewArtifact {
                component,
                container,
                kind,
                content: content.as_bytes(),
            };
            if let Err(error) = self.store.artifact_put(&grant.held, &artifact).await {
                return of_store(&error);
            }
        }
        Outcome::Done
    }
}

/// Without the port that the component's front holds: it was recorded before that.
fn without_ports(plan: &Plan, effect: &Effect, mut specification: Specification) -> Specification {
    let front = created(effect)
        .and_then(|component| plan.application.component(component))
        .and_then(|component| component.front.as_ref())
        .filter(|front| front.follow);
    if let Some(front) = front {
        specification.without_port(front.port);
    }
    specification
}

fn created(effect: &Effect) -> Option<&ComponentName> {
    if let Effect::CreateContainer { component, .. } = effect {
        return Some(component);
    }
    None
}

fn specification_of(effect: &Effect) -> Option<&SpecificationDigest> {
    match effect {
        Effect::CreateContainer { specification, .. } => Some(specification),
        Effect::TakeLock { .. }
        | Effect::KeepImage { .. }
        | Effect::PullImage { .. }
        | Effect::LoadImage { .. }
        | Effect::Capture { .. }
        | Effect::StopContainer { .. }
        | Effect::StartContainer { .. }
        | Effect::RenameContainer { .. }
        | Effect::RemoveContainer { .. }
        | Effect::WritePin { .. }
        | Effect::PutBackPin { .. }
        | Effect::Build { .. }
        | Effect::DropBuild { .. }
        | Effect::SetStage { .. }
        | Effect::EnterStage { .. }
        | Effect::LeaveStage { .. }
        | Effect::ClearStage { .. }
        | Effect::HandOver { .. }
        | Effect::PointFront { .. }
        | Effect::Together { .. }
        | Effect::Record => None,
    }
}

pub(crate) fn of_store(error: &store::Error) -> Outcome {
    let said = error.to_string();
    match error {
        store::Error::Fenced => Outcome::Failed {
            failure: Failure::Fenced,
            said,
        },
        store::Error::KeyLost(_) => Outcome::Failed {
            failure: Failure::Unreadable,
            said,
        },
        store::Error::NotFound(_) => Outcome::Failed {
            failure: Failure::Missing,
            said,
        },
        store::Error::Conflict(_)
        | store::Error::Revision { .. }
        | store::Error::IdempotencyMismatch
        | store::Error::OrdersPending
        | store::Error::Unavailable(_)
        | store::Error::Busy(_)
        | store::Error::Corrupt(_)
        | store::Error::NewerDatabase { .. }
        | store::Error::Unfit(_)
        | store::Error::Refused(_) => Outcome::Unknown { said },
    }
}

fn effect_word(effect: &Effect) -> &'static str {
    match effect {
        Effect::TakeLock { .. } => "take_lock",
        Effect::KeepImage { .. } => "keep_image",
        Effect::PullImage { .. } => "pull_image",
        Effect::LoadImage { .. } => "load_image",
        Effect::Capture { .. } => "capture",
        Effect::CreateContainer { .. } => "create_container",
        Effect::StopContainer { .. } => "stop_container",
        Effect::StartContainer { .. } => "start_container",
        Effect::RenameContainer { .. } => "rename_container",
        Effect::RemoveContainer { .. } => "remove_container",
        Effect::WritePin { .. } => "write_pin",
        Effect::PutBackPin { .. } => "put_back_pin",
        Effect::Build { .. } => "build",
        Effect::DropBuild { .. } => "drop_build",
        Effect::SetStage { .. } => "set_stage",
        Effect::EnterStage { .. } => "enter_stage",
        Effect::LeaveStage { .. } => "leave_stage",
        Effect::ClearStage { .. } => "clear_stage",
        Effect::HandOver { .. } => "hand_over",
        Effect::PointFront { .. } => "point_front",
        Effect::Record => "record",
        Effect::Together { .. } => "together",
    }
}

fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed { .. } => "failed",
        Outcome::Unknown { .. } => "unknown",
    }
}
