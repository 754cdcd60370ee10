//! The planner: what is known in, a plan or the reasons against one out. Planning never changes anything.

mod blocker;
mod front;
mod outlook;
mod place;
mod supply;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    application::Application,
    engine_look::{Container, ContainerState, EngineLook},
    ledger::{Release, ReleaseComponent},
    name::{ComponentName, SpecificationDigest, Version},
    order,
    plan::{PLAN_FORMAT, Plan, Settled, Strategy, Swap},
    steps::Step,
    supply::Supply,
    target::{self, Target},
    time::Millis,
};
use blocker::no_target;
pub use blocker::{Blocker, BlockerCode};
pub use outlook::Downtime;
use outlook::{downtime, unchanged};
use place::{Place, places, places_of};

/// Room that creating containers needs: their writable layers start empty, the engine's own records do not.
const DISK_FREE_MIN: u64 = 64 << 20;

/// Everything that a plan is decided on.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// The application's definition.
    pub application: &'a Application,
    /// The last look at its engine.
    pub look: &'a EngineLook,
    /// Its releases, in any order.
    pub releases: &'a [Release],
    /// How long clients went without an answer in its earlier rollbacks.
    pub outages: &'a [Millis],
}

/// A plan with what a person should know before saying yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The plan.
    pub plan: Plan,
    /// How long clients are expected to go without an answer.
    pub downtime: Downtime,
    /// What stays as it is, one sentence each.
    pub unchanged: Vec<String>,
    /// What is worth knowing and stands in no one's way.
    pub warnings: Vec<String>,
}

/// Plans the quick strategy.
///
/// # Errors
/// Every blocker that is known, so that a person can remove them in one go.
pub fn plan(snapshot: &Snapshot<'_>, target: &Target) -> Result<Proposal, Vec<Blocker>> {
    let present = present(snapshot);
    let release = target::choose(target, snapshot.releases, present.as_ref())
        .map_err(|none| vec![no_target(snapshot.application, none)])?;
    let mut planner = Planner {
        snapshot,
        release,
        blockers: Vec::new(),
        warnings: Vec::new(),
    };
    if present.is_none() {
        let said =
            "what runs is no release of the ledger: nothing will be held, and CI may bring it back";
        planner.warnings.push(said.to_owned());
    }
    planner.release_may_come_back();
    let (swaps, settled) = planner.replicas();
    let supplies = planner.supplies(&swaps);
    let room = planner.room(&supplies);
    planner.engine_is_fit(room);
    if !planner.blockers.is_empty() {
        return Err(planner.blockers);
    }
    let warnings = planner.warnings;
    let plan = assemble(
        snapshot.application,
        release,
        target,
        present,
        Parts {
            swaps,
            settled,
            supplies,
            room,
        },
    );
    let downtime = downtime(snapshot, &plan);
    Ok(Proposal {
        unchanged: unchanged(&plan),
        downtime,
        warnings,
        plan,
    })
}

/// The version that runs: the newest release whose images are what every component runs.
#[must_use]
pub fn present(snapshot: &Snapshot<'_>) -> Option<Version> {
    let mut images: BTreeMap<&ComponentName, BTreeSet<&str>> = BTreeMap::new();
    for place in places(snapshot.application, snapshot.look) {
        images
            .entry(&place.replica.component)
            .or_default()
            .insert(place.replica.image.as_str());
    }
    let runs = |release: &&Release| {
        !images.is_empty()
            && images.iter().all(|(component, seen)| {
                release
                    .components
                    .get(*component)
                    .is_some_and(|part| seen.len() == 1 && seen.contains(part.image.as_str()))
            })
    };
    snapshot
        .releases
        .iter()
        .filter(runs)
        .max_by_key(|release| release.deployed_at)
        .map(|r| r.version.clone())
}

struct Planner<'a> {
    snapshot: &'a Snapshot<'a>,
    release: &'a Release,
    blockers: Vec<Blocker>,
    warnings: Vec<String>,
}

impl Planner<'_> {
    fn block(&mut self, code: BlockerCode, sentence: String, next_action: impl Into<String>) {
        self.blockers.push(Blocker {
            code,
            sentence,
            next_action: next_action.into(),
        });
    }

    fn release_may_come_back(&mut self) {
        let (name, version) = (&self.snapshot.application.name, &self.release.version);
        if let Some(why) = &self.release.hold {
            let sentence = format!("{version} is held: {why}");
            self.block(
                BlockerCode::Held,
                sentence,
                format!("release the hold of {name} {version} first, or choose another version"),
            );
        }
        if let Some(why) = &self.release.insecure {
            let sentence = format!("{version} is marked insecure: {why}");
            self.block(
                BlockerCode::Insecure,
                sentence,
                "choose a version that is not marked",
            );
        }
    }

    fn replicas(&mut self) -> (Vec<Swap>, Vec<Settled>) {
        let (mut swaps, mut settled) = (Vec::new(), Vec::new());
        for component in order::in_order(&self.snapshot.application.components) {
            let name = &component.name;
            let Some(part) = self.release.components.get(name) else {
                let sentence = format!(
                    "the ledger does not say which image {name} of {} runs",
                    self.release.version
                );
                self.block(
                    BlockerCode::ComponentUnknown,
                    sentence,
                    "record the deployment again with an image for each component",
                );
                continue;
            };
            let places = places_of(name, self.snapshot.look);
            if places.is_empty() {
                let sentence = format!("the engine has no container of {name}");
                self.block(
                    BlockerCode::ComponentAbsent,
                    sentence,
                    format!(
                        "start {name} once by its usual means, or take it out of the definition"
                    ),
                );
            }
            for place in &places {
                if place.replica.image == part.image && place.replica.runs() && place.is_tidy() {
                    self.leave_alone(place);
                    let container = place.replica.id.clone();
                    settled.push(Settled {
                        component: name.clone(),
                        container,
                        image: part.image.clone(),
                    });
                } else if let Some(swap) = self.swap(place, part) {
                    swaps.push(swap);
                }
            }
        }
        (swaps, settled)
    }

    fn leave_alone(&mut self, place: &Place<'_>) {
        for left in &place.leftovers {
            let (name, id) = (&left.name, left.id.short());
            self.warnings.push(format!(
                "{name} ({id}) is left from an earlier rollback; nothing needs it, `docker rm` it"
            ));
        }
    }

    fn swap(&mut self, place: &Place<'_>, part: &ReleaseComponent) -> Option<Swap> {
        let container = place.replica;
        self.may_be_swapped(place)?;
        let specification = self.specification(container, part)?;
        for left in &place.leftovers {
            let (name, id) = (&left.name, left.id.short());
            self.warnings.push(format!(
                "{name} ({id}) is left from an earlier rollback and is removed with {}, which is taken for the replica",
                container.name
            ));
        }
        let server = self.server(place)?;
        Some(Swap {
            server,
            component: container.component.clone(),
            replica: container.replica,
            name: place.name.to_owned(),
            former: container.id.clone(),
            former_image: container.image.clone(),
            former_runs: matches!(
                container.state,
                ContainerState::Running | ContainerState::Restarting
            ),
            former_restart: container.restart.clone(),
            stop_grace_s: container.stop_grace_s,
            image: part.image.clone(),
            specification,
            leftovers: place
                .leftovers
                .iter()
                .map(|container| container.id.clone())
                .collect(),
        })
    }

    fn may_be_swapped(&mut self, place: &Place<'_>) -> Option<()> {
        let container = place.replica;
        let owner = self.snapshot.look.names.get(place.name);
        if let Some(owner) =
            owner.filter(|owner| place.all().all(|container| container.id != **owner))
        {
            let sentence = format!(
                "the name {} belongs to container {}, which is not part of the application",
                place.name,
                owner.short()
            );
            self.block(
                BlockerCode::NameTaken,
                sentence,
                "remove or rename that container, then ask again",
            );
            return None;
        }
        if container.auto_remove {
            let sentence = format!(
                "the engine removes {} as soon as it stops (`--rm`): there would be no way back",
                container.name
            );
            self.block(
                BlockerCode::AutoRemove,
                sentence,
                "run it without `--rm`, then ask again",
            );
            return None;
        }
        match container.state {
            ContainerState::Created
            | ContainerState::Running
            | ContainerState::Restarting
            | ContainerState::Exited => Some(()),
            ContainerState::Paused | ContainerState::Removing | ContainerState::Dead => {
                let state = format!("{:?}", container.state).to_lowercase();
                let sentence = format!("{} is {state} and can not be swapped", container.name);
                self.block(
                    BlockerCode::ContainerState,
                    sentence,
                    format!(
                        "`docker unpause` or remove {}, then ask again",
                        container.name
                    ),
                );
                None
            }
        }
    }

    /// The specification that the target ran with when it can be read; else the present container's own.
    fn specification(
        &mut self,
        container: &Container,
        part: &ReleaseComponent,
    ) -> Option<SpecificationDigest> {
        let (name, version) = (&container.component, &self.release.version);
        match &part.specification {
            Some(recorded) if recorded.readable => {
                let differ = differing(&container.env, &recorded.env);
                if !differ.is_empty() {
                    self.warnings.push(format!(
                        "{name} goes back to the environment that {version} ran with; different now: {}",
                        differ.join(", ")
                    ));
                }
                return Some(recorded.digest.clone());
            }
            Some(_) => self.warnings.push(format!(
                "the environment that {name} {version} ran with can not be read: the key it is sealed with is not here; \
                 the present environment of {name} is used"
            )),
            None => self.warnings.push(format!(
                "the ledger has no specification of {name} {version}; the present one of {name} is used with the other image"
            )),
        }
        if container.specification.is_none() {
            let sentence = format!(
                "{} can not be created again from what the engine says of it",
                container.name
            );
            self.block(
                BlockerCode::SpecificationMissing,
                sentence,
                "deploy the version by its usual means",
            );
        }
        container.specification.clone()
    }

    fn engine_is_fit(&mut self, room: u64) {
        if let Some(free) = self
            .snapshot
            .look
            .engine
            .disk_free
            .known()
            .filter(|free| **free < room)
        {
            let sentence = format!(
                "the engine has {} MiB of disk left and needs {} MiB",
                free >> 20,
                room >> 20
            );
            self.block(
                BlockerCode::DiskFull,
                sentence,
                "free some disk where the engine keeps its data, then ask again",
            );
        }
        if let Some(lock) = self.snapshot.look.lock.as_ref().filter(|lock| !lock.stale) {
            let sentence = format!(
                "{} holds this application on its engine with rollback {}",
                lock.owner, lock.rollback
            );
            let action = format!(
                "wait for it; if it is gone for good, remove container {}",
                lock.container.short()
            );
            self.block(BlockerCode::LockedElsewhere, sentence, action);
        }
    }
}

/// The names whose values differ or that only one side has.
fn differing<'a>(
    present: &'a BTreeMap<String, String>,
    target: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let names: BTreeSet<&String> = present.keys().chain(target.keys()).collect();
    names
        .into_iter()
        .filter(|name| present.get(*name) != target.get(*name))
        .map(String::as_str)
        .collect()
}

/// What a plan is made of.
struct Parts {
    swaps: Vec<Swap>,
    settled: Vec<Settled>,
    supplies: Vec<Supply>,
    room: u64,
}

fn assemble(
    application: &Application,
    release: &Release,
    target: &Target,
    from: Option<Version>,
    parts: Parts,
) -> Plan {
    let Parts {
        swaps,
        settled,
        supplies,
        room,
    } = parts;
    let images: BTreeSet<_> = swaps
        .iter()
        .flat_map(|swap| [&swap.former_image, &swap.image])
        .collect();
    let keep = images.into_iter().cloned().collect();
    let mut touched: Vec<ComponentName> = Vec::new();
    for swap in &swaps {
        if !touched.contains(&swap.component) {
            touched.push(swap.component.clone());
        }
    }
    let mut steps = Vec::new();
    if !swaps.is_empty() {
        steps.extend([Step::Check, Step::Lock]);
        steps.extend((!supplies.is_empty()).then_some(Step::Supply));
        steps.extend([Step::Keep, Step::Capture]);
        steps.extend(touched.iter().map(|component| Step::Create {
            component: component.clone(),
        }));
        steps.extend(front::switches(application, &touched));
        steps.extend([Step::Prove, Step::Record, Step::Retire]);
    }
    Plan {
        // The oldest that can execute it: while two versions run side by side, both can do most of the work.
        format: if supplies.is_empty() && !front::any(application) {
            1
        } else {
            PLAN_FORMAT
        },
        strategy: Strategy::Quick,
        application: application.clone(),
        target: target.clone(),
        from,
        to: release.version.clone(),
        deployment: release.deployment,
        swaps,
        settled,
        supplies,
        keep,
        disk_free_min: room,
        steps,
    }
}
