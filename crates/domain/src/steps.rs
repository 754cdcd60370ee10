//! The steps that plans are made of. Each is level-triggered: it looks, compares, and asks for one act only
//! if what is seen differs from what is wanted. No step remembers that it acted.

mod build;
mod capture;
mod check;
mod create;
mod front;
mod handover;
mod keep;
mod lock;
mod pin;
mod point;
mod prove;
mod questions;
mod raise;
mod record;
mod remake;
mod retire;
mod scope;
mod stage;
mod standing;
mod supply;
mod switch;
mod wave;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    effect::Effect,
    engine_look::{Container, EngineLook},
    lifecycle::Run,
    name::{ComponentName, ContainerId, Fence, ImageId, RollbackId, SpecificationDigest, Version},
    plan::{Plan, Swap},
    probe::Answer,
    time::{Millis, Moment},
    verdict::{Cause, CauseCode},
};

pub use build::BuildSeen;
pub(crate) use build::built;
pub(crate) use lock::{asks_for_it as asks_for_lock, held as lock_held};
pub use pin::pinned;
pub(crate) use point::failure as point_failure;
pub use prove::health_answers;
pub(crate) use prove::{failure as proof_failure, intruders, tally, tally_of};
pub use questions::{expected_questions, front_questions, replica_questions};
pub(crate) use raise::failure as raise_failure;
pub(crate) use record::forward as recorded;
pub use scope::{Scope, Side};
pub use stage::stage_name;
pub(crate) use stage::{failure as stage_failure, is_the_targets_own_fault};
pub(crate) use standing::standing;
pub use wave::Act;
pub(crate) use wave::behind;

/// One step of a plan. Its data is the plan's own; here is only which part it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Look whether the way back exists before anything is touched.
    Check,
    /// Build the image of one component from the plan's commit. Nothing that serves is touched.
    Build {
        /// The component.
        component: ComponentName,
    },
    /// Take the application's lock on the engine.
    Lock,
    /// Bring the images that the engine does not have.
    Supply,
    /// Protect the present and the target's images from clean-ups.
    Keep,
    /// Store what the present containers say, for the incident report.
    Capture,
    /// Write the version where the site keeps it.
    Pin,
    /// Create the target's containers of one component beside the present ones.
    Create {
        /// The component.
        component: ComponentName,
    },
    /// Boot the target's containers of one component on an internal network and prove them there.
    Stage {
        /// The component.
        component: ComponentName,
    },
    /// Start the target's containers of one component behind a front and prove each at its own address, before
    /// any client is sent there.
    Raise {
        /// The component.
        component: ComponentName,
    },
    /// Send the clients of one component's front to the target's containers, and hand over the names.
    Point {
        /// The component.
        component: ComponentName,
    },
    /// Move the published ports of one component to the target's containers.
    Handover {
        /// The component.
        component: ComponentName,
    },
    /// Stop the present containers of one component, start the target's, hand over the names.
    Switch {
        /// The component.
        component: ComponentName,
    },
    /// The same step of components that need nothing of each other, at the same time.
    Wave {
        /// Which step.
        act: Act,
        /// The components, two at least.
        components: Vec<ComponentName>,
    },
    /// Prove that the target serves, on every replica.
    Prove,
    /// Write the ledger and hold the bad release. From here on the run does not turn back.
    Record,
    /// Remove the former containers and give the lock back.
    Retire,
}

/// What somebody reported to have deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Its version.
    pub version: Version,
    /// The images of its components.
    pub images: BTreeSet<ImageId>,
}

/// What was seen for one decision.
#[derive(Clone, Debug)]
pub struct World {
    /// The engine; none when it could not be looked at, with what was said.
    pub engine: Result<EngineLook, String>,
    /// Stored specifications, and whether each can be read with the key we have.
    pub specifications: BTreeMap<SpecificationDigest, bool>,
    /// Containers whose artifacts this rollback has stored.
    pub captured: BTreeSet<ContainerId>,
    /// Whether this rollback is in the ledger.
    pub recorded: bool,
    /// The newest deployment that came into the ledger after this rollback and of which it is known what it runs.
    pub deployed: Option<Reported>,
    /// What is there of each component that the plan builds.
    pub builds: BTreeMap<ComponentName, BuildSeen>,
    /// The answers of the probes asked.
    pub answers: Vec<Answer>,
}

/// What a step decides with.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The run so far.
    pub run: &'a Run,
    /// The rollback.
    pub rollback: RollbackId,
    /// The fence of the present claim.
    pub fence: Fence,
    /// What is seen of the engine.
    pub look: &'a EngineLook,
    /// Everything else that is seen.
    pub world: &'a World,
    /// What time it is.
    pub now: Moment,
}

/// What a step wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this, then look again.
    Do(Effect),
    /// What is seen is what is wanted, as a sentence.
    Done(String),
    /// Not yet; look again after this.
    Wait(Millis),
    /// It can not be reached.
    Fail(Cause),
}

impl Step {
    /// Given what is seen, what next.
    #[must_use]
    pub fn forward(&self, ctx: &Ctx<'_>) -> Next {
        match self {
            Self::Check => check::forward(ctx),
            Self::Build { component } => build::forward(ctx, component),
            Self::Lock => lock::forward(ctx),
            Self::Supply => supply::forward(ctx),
            Self::Keep => keep::forward(ctx),
            Self::Capture => capture::forward(ctx),
            Self::Pin => pin::forward(ctx),
            Self::Create { component } => create::forward(ctx, component),
            Self::Stage { component } => stage::forward(ctx, component),
            Self::Switch { component } => switch::forward(ctx, component),
            Self::Handover { component } => handover::forward(ctx, component),
            Self::Raise { component } => raise::forward(ctx, component),
            Self::Point { component } => point::forward(ctx, component),
            Self::Wave { act, components } => wave::forward(ctx, *act, components),
            Self::Prove => prove::forward(ctx),
            Self::Record => record::forward(ctx.world),
            Self::Retire => retire::forward(ctx),
        }
    }

    /// Given what is seen, what next on the way back.
    #[must_use]
    pub fn backward(&self, ctx: &Ctx<'_>) -> Next {
        match self {
            Self::Check => Next::Done("a look leaves nothing to undo".to_owned()),
            Self::Build { component } => build::backward(ctx, component),
            Self::Lock => lock::backward(ctx),
            Self::Pin => pin::backward(ctx),
            Self::Create { component } => create::backward(ctx, component),
            Self::Stage { component } => stage::backward(ctx, component),
            Self::Raise { component } => raise::backward(ctx, component),
            Self::Switch { component } => switch::backward(ctx, component),
            Self::Handover { component } => handover::backward(ctx, component),
            Self::Wave { act, components } => wave::backward(ctx, *act, components),
            Self::Supply => Next::Done("the images that were brought stay".to_owned()),
            Self::Point { component } => point::backward(ctx, component),
            Self::Keep => Next::Done("the images stay protected".to_owned()),
            Self::Capture => Next::Done("what was captured stays".to_owned()),
            Self::Prove | Self::Record | Self::Retire => Next::Done("nothing to undo".to_owned()),
        }
    }

    /// Whether the rollback goes on when this step can not be done.
    #[must_use]
    pub fn may_be_skipped(&self) -> bool {
        match self {
            Self::Capture | Self::Pin | Self::Stage { .. } | Self::Retire => true,
            Self::Wave { act, .. } => *act == Act::Stage,
            Self::Check
            | Self::Build { .. }
            | Self::Lock
            | Self::Supply
            | Self::Keep
            | Self::Create { .. }
            | Self::Raise { .. }
            | Self::Switch { .. }
            | Self::Handover { .. }
            | Self::Point { .. }
            | Self::Prove
            | Self::Record => false,
        }
    }

    /// Whether an act of this step may change what clients see. What is created beside the present containers and
    /// started there serves nobody yet.
    pub(crate) fn touches(&self, plan: &Plan, effect: &Effect) -> bool {
        let beside =
            *self == Self::Lock || matches!(self.act(), Some((Act::Create | Act::Raise, _)));
        let found = |id: &ContainerId| {
            plan.swaps
                .iter()
                .any(|swap| swap.former == *id || swap.leftovers.contains(id))
        };
        effect
            .parts()
            .iter()
            .any(|part| part.touches() && (!beside || part.container().is_none_or(found)))
    }

    /// The step as a plain sentence.
    #[must_use]
    pub fn explain(&self, plan: &Plan) -> String {
        match self {
            Self::Check => check::explain(plan),
            Self::Build { component } => build::explain(plan, component),
            Self::Lock => lock::explain(plan),
            Self::Supply => supply::explain(plan),
            Self::Keep => keep::explain(plan),
            Self::Capture => capture::explain(plan),
            Self::Pin => pin::explain(plan),
            Self::Create { component } => create::explain(plan, component),
            Self::Stage { component } => stage::explain(plan, component),
            Self::Switch { component } => switch::explain(plan, component),
            Self::Handover { component } => handover::explain(plan, component),
            Self::Raise { component } => raise::explain(plan, component),
            Self::Point { component } => point::explain(plan, component),
            Self::Wave { act, components } => wave::explain(plan, *act, components),
            Self::Prove => prove::explain(plan),
            Self::Record => record::explain(plan),
            Self::Retire => retire::explain(plan),
        }
    }

    /// The step in one or two words, for a progress line.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Check => "check".to_owned(),
            Self::Build { component } => format!("build {component}"),
            Self::Lock => "lock".to_owned(),
            Self::Supply => "supply images".to_owned(),
            Self::Keep => "keep images".to_owned(),
            Self::Capture => "capture".to_owned(),
            Self::Pin => "pin".to_owned(),
            Self::Create { component } => format!("create {component}"),
            Self::Stage { component } => format!("stage {component}"),
            Self::Switch { component } => format!("switch {component}"),
            Self::Handover { component } => format!("hand over {component}"),
            Self::Raise { component } => format!("raise {component}"),
            Self::Point { component } => format!("point {component}"),
            Self::Wave { act, components } => wave::title(*act, components),
            Self::Prove => "prove".to_owned(),
            Self::Record => "record".to_owned(),
            Self::Retire => "retire".to_owned(),
        }
    }

    /// The note of a run that goes on without it.
    pub(crate) fn given_up(&self, why: &str) -> String {
        format!("step `{}` was given up: {why}", self.title())
    }
}

impl<'a> Ctx<'a> {
    /// From when on no effect of the way forward can land any more.
    pub(crate) fn settled_at(&self) -> Moment {
        self.run.unsettled_until.unwrap_or(self.run.since)
    }

    /// The container that this rollback created for a swap.
    fn next_of(&self, swap: &Swap) -> Option<&'a Container> {
        self.created_for(swap)
            .max_by_key(|container| (container.name == swap.name, container.is_up()))
    }

    /// Containers that a creation made which landed late, after its name was free again.
    fn strays_of(&self, swap: &Swap) -> impl Iterator<Item = &'a Container> {
        let next = self.next_of(swap).map(|next| &next.id);
        self.created_for(swap)
            .filter(move |container| Some(&container.id) != next)
    }

    fn created_for(&self, swap: &Swap) -> impl Iterator<Item = &'a Container> {
        self.look.containers.iter().filter(|container| {
            let mark = container.mark.as_ref();
            mark.is_some_and(|mark| mark.rollback == self.rollback && mark.replaces == swap.former)
        })
    }

    /// The container that a swap replaces.
    fn former_of(&self, swap: &Swap) -> Option<&'a Container> {
        self.container(&swap.former)
    }

    /// Every container that gives way to the target's: leftovers first, so that what serves stops last.
    fn outgoing_of(&self, swap: &Swap) -> impl Iterator<Item = &'a Container> {
        swap.leftovers
            .iter()
            .chain([&swap.former])
            .filter_map(|id| self.container(id))
    }

    fn container(&self, id: &ContainerId) -> Option<&'a Container> {
        self.look
            .containers
            .iter()
            .find(|container| container.id == *id)
    }

    /// What is wrong when a name that a swap needs belongs to a container that is no part of it.
    fn name_taken(&self, swap: &Swap, name: &str) -> Option<Cause> {
        let owner = self.look.names.get(name)?;
        let ours = self
            .outgoing_of(swap)
            .chain(self.created_for(swap))
            .any(|container| container.id == *owner);
        (!ours).then(|| {
            let sentence = format!(
                "the container name `{name}` is taken by container {}, which is not part of this rollback; \
                 remove or rename it",
                owner.short()
            );
            Cause::new(CauseCode::NameTaken, sentence)
        })
    }

    /// Whether a name belongs to a container that can not be looked at any more.
    fn is_vanishing(&self, name: &str) -> bool {
        let owner = self.look.names.get(name);
        owner.is_some_and(|owner| self.container(owner).is_none())
    }

    /// Gives a container of a swap a name, or says whose it is.
    fn rename(&self, swap: &Swap, container: &Container, name: String) -> Next {
        match self.name_taken(swap, &name) {
            Some(cause) => Next::Fail(cause),
            None => Next::Do(Effect::RenameContainer {
                container: container.id.clone(),
                name,
            }),
        }
    }
}

/// Removes a container; one that is up is asked to stop first, since the engine would only kill it.
fn remove(container: &Container, grace_s: u32) -> Next {
    let id = container.id.clone();
    Next::Do(if container.is_up() {
        Effect::StopContainer {
            container: id,
            grace_s,
        }
    } else {
        Effect::RemoveContainer { container: id }
    })
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}
