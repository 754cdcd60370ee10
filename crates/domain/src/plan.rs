//! A plan: the exact, ordered, immutable list of steps of a rollback. It is complete data; execution makes
//! no choices. What is approved is its digest.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    application::Application,
    engine_look::RestartPolicy,
    front::Front,
    name::{
        ComponentName, ContainerId, ImageId, PlanDigest, RollbackId, SpecificationDigest, Version,
    },
    steps::Step,
    supply::Supply,
    target::Target,
};

/// The newest plan format that this binary executes; a worker never claims a newer one.
pub const PLAN_FORMAT: i16 = 2;

/// A stored plan. Its bytes are the serde_json text of this struct: no maps, so the order is fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Format of this data.
    pub format: i16,
    /// How the way back is walked.
    pub strategy: Strategy,
    /// The definition that the plan was made for, probes and time limits included.
    pub application: Application,
    /// What was asked for.
    pub target: Target,
    /// The version that runs, when the ledger knows it.
    pub from: Option<Version>,
    /// The version to go back to.
    pub to: Version,
    /// The target release's newest deployment in the ledger.
    pub deployment: Uuid,
    /// The replicas to swap, in order.
    pub swaps: Vec<Swap>,
    /// Replicas that already run the target's image and are left alone.
    pub settled: Vec<Settled>,
    /// Images that are not on the engine and have to be brought there first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supplies: Vec<Supply>,
    /// Images to protect from clean-ups: the present ones and the target's.
    pub keep: Vec<ImageId>,
    /// Free bytes that the engine must have where it keeps its data.
    pub disk_free_min: u64,
    /// What to do, in order. Empty when the target is what runs.
    pub steps: Vec<Step>,
}

/// How the way back is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The target's containers are created beside the present ones; then stop, start and rename.
    Quick,
}

/// One replica: from the container that serves now to one of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Its component.
    pub component: ComponentName,
    /// Its number among the component's replicas.
    pub replica: u32,
    /// The name that the replica goes by.
    pub name: String,
    /// The container that it is now.
    pub former: ContainerId,
    /// The image of that container.
    pub former_image: ImageId,
    /// Whether that container runs.
    pub former_runs: bool,
    /// Its restart policy, to put back if the run turns.
    pub former_restart: RestartPolicy,
    /// Seconds between asking a container to stop and killing it.
    pub stop_grace_s: u32,
    /// The image to run.
    pub image: ImageId,
    /// What to create the target's container from.
    pub specification: SpecificationDigest,
    /// Other containers that an earlier rollback left of this replica: stopped and set aside with the former
    /// one, removed with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<ContainerId>,
    /// The server of the component's front that stands for this replica; none without a front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// A replica that already is what the target wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Its component.
    pub component: ComponentName,
    /// The container.
    pub container: ContainerId,
    /// Its image.
    pub image: ImageId,
}

impl Plan {
    /// The exact bytes that are stored and digested.
    #[must_use]
    pub fn bytes(&self) -> String {
        serde_json::to_string(self).expect("a plan has only string keys")
    }

    /// The digest that an approval is bound to.
    #[must_use]
    pub fn digest(&self) -> PlanDigest {
        PlanDigest::of(self.bytes().as_bytes())
    }

    /// Whether the target is what runs.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the plan brings this image to the engine.
    #[must_use]
    pub fn supplies(&self, image: &ImageId) -> bool {
        self.supplies.iter().any(|supply| supply.image == *image)
    }

    /// The front of the component that a swap belongs to, with the server that stands for the replica.
    #[must_use]
    pub fn front_of<'a>(&'a self, swap: &'a Swap) -> Option<(&'a Front, &'a str)> {
        let component = self.application.component(&swap.component)?;
        component.front.as_ref().zip(swap.server.as_deref())
    }

    /// Whether the target's container of a swap runs beside the former one.
    #[must_use]
    pub fn side_by_side(&self, swap: &Swap) -> bool {
        self.front_of(swap)
            .is_some_and(|(front, _)| front.two_versions)
    }

    /// The swaps of one component, in order.
    pub fn swaps_of<'a>(
        &'a self,
        component: &'a ComponentName,
    ) -> impl DoubleEndedIterator<Item = &'a Swap> {
        self.swaps
            .iter()
            .filter(move |swap| swap.component == *component)
    }
}

impl Swap {
    /// The name of the target's container until it takes over the replica's name.
    #[must_use]
    pub fn name_before(&self, rollback: RollbackId) -> String {
        format!("{}{NEXT}{}", self.name, rollback.short())
    }

    /// The name of the former container once it has given up the replica's name.
    #[must_use]
    pub fn name_after(&self, rollback: RollbackId) -> String {
        format!("{}{FORMER}{}", self.name, rollback.short())
    }
}

/// Stands between a replica's name and the rollback in the name of the target's container.
const NEXT: &str = ".next-";
/// Stands between a replica's name and the rollback in the name of the former container.
const FORMER: &str = ".former-";

/// The replica's name in an interim one: `shop-api-1` in `shop-api-1.next-0123456789ab`. None for every name
/// that no rollback gives, so that a service called `.next-door` stays what it is.
#[must_use]
pub fn base_of_interim(name: &str) -> Option<&str> {
    let at = name.rfind('.')?;
    let (base, tail) = name.split_at(at);
    let short = tail
        .strip_prefix(NEXT)
        .or_else(|| tail.strip_prefix(FORMER))?;
    let is_short = short.len() == RollbackId::SHORT_CHARS
        && short
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_short && !base.is_empty()).then_some(base)
}

/// Whether a rollback gave this name: it is no replica's own.
#[must_use]
pub fn is_interim_name(name: &str) -> bool {
    base_of_interim(name).is_some()
}

/// The sentences of two plans that differ: what a 412 answers with.
#[must_use]
pub fn difference(old: &Plan, new: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if old.to != new.to {
        lines.push(format!("the target was {}, now it is {}", old.to, new.to));
    }
    if old.from != new.from {
        let say = |from: &Option<Version>| {
            from.as_ref()
                .map_or("an unknown version".to_owned(), ToString::to_string)
        };
        lines.push(format!(
            "{} ran, now {} runs",
            say(&old.from),
            say(&new.from)
        ));
    }
    if old.application != new.application {
        lines.push("the application's definition was changed".to_owned());
    }
    for swap in &old.swaps {
        if !new.swaps.iter().any(|other| other.former == swap.former) {
            lines.push(format!(
                "container {} ({}) is no longer to be replaced",
                swap.name,
                swap.former.short()
            ));
        }
    }
    for swap in &new.swaps {
        match old.swaps.iter().find(|other| other.former == swap.former) {
            None => lines.push(format!(
                "container {} ({}) is to be replaced as well",
                swap.name,
                swap.former.short()
            )),
            Some(other) if other != swap => lines.push(format!(
                "container {} is to be replaced in another way",
                swap.name
            )),
            Some(_) => {}
        }
    }
    if lines.is_empty() && old != new {
        lines.push("the ledger or the images on the engine were changed".to_owned());
    }
    lines
}
