//! A plan: the exact, ordered, immutable list of steps of a rollback. It is complete data; execution makes
//! no choices. What is approved is its digest.

mod manner;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use manner::{Chosen, Companion, End, Ends, Joint, Manner};

use crate::{
    application::Application,
    compose::PlannedProject,
    engine_look::{RestartPolicy, holdings::Needs},
    front::Front,
    name::{
        CommitId, ComponentName, ContainerId, ImageId, PlanDigest, RollbackId, SpecificationDigest,
        TagName, Version,
    },
    specification::Published,
    steps::Step,
    supply::Supply,
    target::Target,
};

/// The newest plan format that this binary executes; a worker never claims a newer one.
pub const PLAN_FORMAT: i16 = PLAN_FORMAT_WAVES;
/// The format of plans that every binary executes; one that brings or builds an image, hands a port over or points a
/// balancer has a newer one, so that two versions that run side by side can both do most of the work.
pub const PLAN_FORMAT_QUICK: i16 = 1;
/// The format of plans that bring images.
pub const PLAN_FORMAT_SUPPLY: i16 = 2;
/// The format of plans that hand ports over.
pub const PLAN_FORMAT_HANDOVER: i16 = 3;
/// The format of plans that build.
pub const PLAN_FORMAT_REBUILD: i16 = 4;
/// The format of plans that point balancers.
pub const PLAN_FORMAT_FRONT: i16 = 5;
/// The format of plans that undo a rollback: they release its hold instead of making one.
pub const PLAN_FORMAT_UNDO: i16 = 6;
/// The format of plans that two persons have to approve: an older binary would start with one.
pub const PLAN_FORMAT_TWO: i16 = 7;
/// The format of plans that pin images in an override file.
pub const PLAN_FORMAT_OVERRIDE: i16 = 8;
/// The format of plans for applications with a front that follows their containers.
pub const PLAN_FORMAT_FOLLOW: i16 = 9;
/// The format of plans in which several components take a step at the same time.
pub const PLAN_FORMAT_WAVES: i16 = 10;

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
    /// What the images are built from, when the strategy is `rebuild`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TaggedSource>,
    /// The version that runs, when the ledger knows it.
    pub from: Option<Version>,
    /// The version to go back to.
    pub to: Version,
    /// The target release's newest deployment in the ledger.
    pub deployment: Uuid,
    /// The replicas to swap, in order.
    pub swaps: Vec<Swap>,
    /// How each component of theirs changes over; one without an entry is stopped and started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manners: Vec<Chosen>,
    /// Replicas that already run the target's image and are left alone.
    pub settled: Vec<Settled>,
    /// Images that are not on the engine and have to be brought there first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supplies: Vec<Supply>,
    /// Images to protect from clean-ups: the present ones and the target's.
    pub keep: Vec<ImageId>,
    /// Free bytes that the engine must have where it keeps its data.
    pub disk_free_min: u64,
    /// Where the version is pinned, when the definition asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<PlannedProject>,
    /// What to do, in order. Empty when the target is what runs.
    pub steps: Vec<Step>,
}

/// How the way back is walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The target's containers are created beside the present ones; then stop, start and rename.
    #[default]
    Quick,
    /// The target's images are built again from its git tag first; then as `quick`.
    Rebuild,
}

/// The commit that a rebuild is made of. Whatever the tag names later, only this one is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedSource {
    /// The tag of the version.
    pub tag: TagName,
    /// The commit that it named when the plan was made.
    pub commit: CommitId,
    /// The commit that the ledger has, when the tag was moved since and somebody confirmed the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
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
    /// The ports of the host that the target publishes and nobody else may hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Published>,
    /// The paths of the host that it mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binds: Vec<String>,
    /// The networks and volumes that it can not be without.
    #[serde(default, skip_serializing_if = "Needs::is_empty")]
    pub needs: Needs,
    /// Containers of other swaps whose network, memory or processes the replica shares: it stops before them and
    /// starts after what takes their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<ContainerId>,
    /// Where its two containers belong, when its component is handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Ends>,
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
    /// Whether this image is one that the rollback takes out of service.
    #[must_use]
    pub fn replaced(&self, image: &ImageId) -> bool {
        self.swaps.iter().any(|swap| swap.former_image == *image)
    }

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

    /// Whether `now`, planned for the same wish, would do the same. A Compose that did not answer in time for one of
    /// them makes no other rollback: what is unknown of it is said in the plan, and nobody is asked twice at 3 a.m.
    #[must_use]
    pub fn still_holds(&self, now: &Self) -> bool {
        let unread = |plan: &Self| plan.project.as_ref().is_some_and(|project| project.unread);
        if !unread(self) && !unread(now) {
            return self == now;
        }
        let mut like_this = now.clone();
        if let (Some(planned), Some(project)) = (&mut like_this.project, &self.project) {
            *planned = PlannedProject {
                pin: planned.pin.take(),
                listing: planned.listing.take(),
                ..project.clone()
            };
        }
        *self == like_this
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

    /// Whether a component's image is built by this plan.
    #[must_use]
    pub fn builds(&self, component: &ComponentName) -> bool {
        let build =
            |step: &Step| matches!(step, Step::Build { component: built } if built == component);
        self.steps.iter().any(build)
    }

    /// The plan with the images that its builds gave. The stored plan names the ledger's images, since its bytes are
    /// fixed before anything is built; the log of the run names what was built, and every step after it goes by that.
    #[must_use]
    pub fn as_built(&self, built: &BTreeMap<ComponentName, ImageId>) -> Cow<'_, Self> {
        if built.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut plan = self.clone();
        for swap in &mut plan.swaps {
            if let Some(image) = built.get(&swap.component) {
                swap.image = image.clone();
            }
        }
        plan.keep = images_to_keep(&plan.swaps);
        if let Some(project) = &mut plan.project {
            project.as_built(built);
        }
        Cow::Owned(plan)
    }

    /// How a component changes over, when the plan says.
    #[must_use]
    pub fn manner_of(&self, component: &ComponentName) -> Option<&Manner> {
        self.manners
            .iter()
            .find(|chosen| chosen.component == *component)
            .map(|chosen| &chosen.manner)
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
        let manner = self.manner_of(&swap.component);
        matches!(manner, Some(Manner::Front { stops_first: None }))
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

    /// The side-cars of a swap, and theirs: who shares with its container, the outermost first.
    #[must_use]
    pub fn side_cars_of(&self, swap: &Swap) -> Vec<&Swap> {
        let mut found: Vec<&Swap> = Vec::new();
        let mut parents = vec![&swap.former];
        while let Some(parent) = parents.pop() {
            let sharing = self
                .swaps
                .iter()
                .filter(|other| other.joins.contains(parent));
            for other in sharing.filter(|other| other.former != swap.former) {
                if !found.iter().any(|known| known.former == other.former) {
                    found.push(other);
                    parents.push(&other.former);
                }
            }
        }
        found.reverse();
        found
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

/// The images that a rollback protects from clean-ups: what served before and what shall serve.
#[must_use]
pub fn images_to_keep(swaps: &[Swap]) -> Vec<ImageId> {
    let images: BTreeSet<_> = swaps
        .iter()
        .flat_map(|swap| [&swap.former_image, &swap.image])
        .collect();
    images.into_iter().cloned().collect()
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
    if old.source != new.source {
        lines.push("the tag of the version names another commit, or the ledger does".to_owned());
    }
    if old.application != new.application {
        lines.push("the application's definition was changed".to_owned());
    }
    if old.project != new.project {
        lines.push("the Compose project's files were changed".to_owned());
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
