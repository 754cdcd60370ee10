//! The planner: what is known in, a plan or the reasons against one out. Planning never changes anything.

mod aim;
mod assemble;
mod barred;
mod blocker;
mod front;
mod host;
mod manner;
mod outlook;
mod place;
mod project;
mod rebuild;
mod settings;
mod side_car;
mod supply;
mod warning;

use std::collections::BTreeSet;

use crate::{
    application::Application,
    engine_look::{ContainerState, EngineLook},
    ledger::{LastRollback, Release, ReleaseComponent},
    name::{ComponentName, ContainerId},
    order,
    plan::{Chosen, Plan, Settled, Swap},
    target::Target,
    time::Millis,
};
pub use aim::{present, release_of};
use assemble::{Parts, assemble};
pub use barred::barred;
pub use blocker::{Blocker, BlockerCode};
pub(crate) use host::{lacking, paths_missing, ports_taken};
pub use outlook::Downtime;
use outlook::{downtime, unchanged};
use place::{Place, places_of};
pub use rebuild::{Rebuild, may_build, rebuild};
pub use warning::{Warning, WarningCode};

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
    /// Its newest rollback that put its target in service.
    pub last: Option<&'a LastRollback>,
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
    pub warnings: Vec<Warning>,
}

/// Plans the quick strategy.
///
/// # Errors
/// Every blocker that is known, so that a person can remove them in one go.
pub fn plan(snapshot: &Snapshot<'_>, target: &Target) -> Result<Proposal, Vec<Blocker>> {
    by_way_of(snapshot, target, None)
}

/// Plans the way to a target, with builds before it or without.
fn by_way_of(
    snapshot: &Snapshot<'_>,
    target: &Target,
    rebuild: Option<&Rebuild<'_>>,
) -> Result<Proposal, Vec<Blocker>> {
    let present = present(snapshot);
    let release = release_of(snapshot, target)?;
    let mut planner = Planner {
        snapshot,
        release,
        built: BTreeSet::new(),
        blockers: Vec::new(),
        warnings: Vec::new(),
    };
    if present.is_none() {
        planner.warn(
            WarningCode::PresentUnknown,
            "what runs is no release of the ledger: nothing will be held, and CI may bring it back"
                .to_owned(),
            "record what runs with `sternway record-deploy`, then ask again, if it should be held"
                .to_owned(),
        );
    }
    planner.release_may_come_back(target);
    let (swaps, settled, manners) = planner.replicas();
    let source = rebuild.and_then(|rebuild| planner.builds_of(&swaps, rebuild));
    let supplies = planner.supplies(&swaps);
    let room = planner.room(&supplies);
    planner.engine_is_fit(room);
    planner.host_is_ready(&swaps);
    if !planner.blockers.is_empty() {
        return Err(planner.blockers);
    }
    let (mut warnings, built) = (planner.warnings, planner.built);
    let undoes = target.undoes().is_some();
    let project = project::project(
        snapshot,
        release,
        present.as_ref(),
        undoes,
        &swaps,
        &mut warnings,
    );
    let mut plan = assemble(
        snapshot.application,
        release,
        target,
        present,
        Parts {
            swaps,
            manners,
            settled,
            supplies,
            room,
        },
    );
    if let Some(source) = source {
        rebuild::build_first(&mut plan, source, &built);
    }
    project::pin(&mut plan, project);
    front::format(&mut plan);
    let downtime = downtime(snapshot, &plan);
    Ok(Proposal {
        unchanged: unchanged(&plan),
        downtime,
        warnings,
        plan,
    })
}

struct Planner<'a> {
    snapshot: &'a Snapshot<'a>,
    release: &'a Release,
    /// The components that are built.
    built: BTreeSet<ComponentName>,
    blockers: Vec<Blocker>,
    warnings: Vec<Warning>,
}

impl<'a> Planner<'a> {
    fn block(&mut self, code: BlockerCode, sentence: String, next_action: impl Into<String>) {
        self.blockers.push(Blocker {
            code,
            sentence,
            next_action: next_action.into(),
        });
    }

    /// Once: replicas of one component have the same to tell.
    fn warn(&mut self, code: WarningCode, sentence: String, next_action: String) {
        let warning = Warning {
            code,
            sentence,
            next_action,
        };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn release_may_come_back(&mut self, target: &Target) {
        let (name, version) = (&self.snapshot.application.name, &self.release.version);
        // Who undoes a rollback says by that that its hold was wrong; of what others hold it for that says nothing.
        let hold = match (target.undoes(), self.snapshot.last) {
            (Some(_), Some(last)) => last.hold_of_others.as_ref(),
            _ => self.release.hold.as_ref(),
        };
        let insecure = self.release.insecure.as_deref();
        let barred = barred(name, version, hold.map(String::as_str), insecure);
        self.blockers.extend(barred);
        if target.undoes().is_some() && hold.is_none() && self.release.hold.is_some() {
            self.warn(
                WarningCode::HoldReleased,
                format!("{version} is held by the rollback that is undone; once it is proved to serve the hold is released, and CI may deploy it again"),
                format!("hold it anew if it turns out to be bad after all: `sternway hold {name} {version} --reason WHY`"),
            );
        }
    }

    fn replicas(&mut self) -> (Vec<Swap>, Vec<Settled>, Vec<Chosen>) {
        let found = self.places();
        let all: Vec<&Place<'_>> = found.iter().map(|(_, place)| place).collect();
        let part = |id: &ContainerId| found.iter().find(|(_, place)| place.replica.id == *id);
        let moving = side_car::moving(&all, |place| {
            let same =
                part(&place.replica.id).is_some_and(|(part, _)| part.image == place.replica.image);
            !(same && place.replica.runs() && place.is_tidy())
        });
        let (mut changes, mut settled) = (Vec::new(), Vec::new());
        for (part, place) in &found {
            if !moving.contains(&place.replica.id) {
                self.leave_alone(place);
                settled.push(Settled {
                    component: place.replica.component.clone(),
                    container: place.replica.id.clone(),
                    image: part.image.clone(),
                });
            } else if let Some(swap) =
                self.swap(place, part, side_car::parents(place.replica, &moving))
            {
                changes.push((*part, place, swap));
            }
        }
        let manners = self.manners(&mut changes);
        let swaps: Vec<Swap> = changes.into_iter().map(|(_, _, swap)| swap).collect();
        self.guests_are_told(&swaps);
        (side_car::parents_first(swaps), settled, manners)
    }

    /// Every replica with what the release runs in its place, in the order of the definition.
    fn places(&mut self) -> Vec<(&'a ReleaseComponent, Place<'a>)> {
        let mut found = Vec::new();
        let snapshot = self.snapshot;
        for component in order::in_order(&snapshot.application.components) {
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
            let places = places_of(name, snapshot.look);
            if places.is_empty() {
                let sentence = format!("the engine has no container of {name}");
                let means = match &snapshot.application.compose {
                    Some(compose) => {
                        let up = compose.command(&format!("up -d --no-deps {name}"));
                        format!("{up}, once its files name the version that shall run")
                    }
                    None => format!("start {name} once by its usual means"),
                };
                self.block(
                    BlockerCode::ComponentAbsent,
                    sentence,
                    format!("{means}, or take it out of the definition"),
                );
            }
            found.extend(places.into_iter().map(|place| (part, place)));
        }
        found
    }

    /// Who shares the network of a replaced container and is not the application's keeps a dead one, and may go on
    /// saying that it is healthy.
    fn guests_are_told(&mut self, swaps: &[Swap]) {
        for (guest, host) in &self.snapshot.look.guests {
            if let Some(swap) = swaps.iter().find(|swap| swap.former == *host) {
                self.warn(
                    WarningCode::GuestCutOff,
                    format!(
                        "{guest} shares the network of {} and is no part of the application: it is cut off until it is \
                         created again",
                        swap.name
                    ),
                    "name it in the definition to have it follow, or create it again afterwards".to_owned(),
                );
            }
        }
    }

    /// How the replicas of each component change over.
    fn manners(&mut self, changes: &mut [(&ReleaseComponent, &Place<'_>, Swap)]) -> Vec<Chosen> {
        let mut manners = Vec::new();
        for component in order::in_order(&self.snapshot.application.components) {
            let is_mine = |swap: &Swap| swap.component == component.name;
            let of_it = changes.iter().filter(|(_, _, swap)| is_mine(swap));
            let (parts, places): (Vec<_>, Vec<_>) =
                of_it.map(|(part, place, _)| (*part, *place)).unzip();
            let Some(part) = parts.first() else { continue };
            let (manner, ends) = manner::choose(self.snapshot, component, part, &places);
            self.warnings
                .extend(manner::warnings(component, &manner, &places));
            let swaps = changes.iter_mut().filter(|(_, _, swap)| is_mine(swap));
            for ((_, _, swap), ends) in swaps.zip(ends) {
                swap.ends = ends;
            }
            manners.push(Chosen {
                component: component.name.clone(),
                manner,
            });
        }
        self.warnings.extend(manner::stopped_and_started(&manners));
        manners
    }

    fn leave_alone(&mut self, place: &Place<'_>) {
        for left in &place.leftovers {
            let (name, id) = (&left.name, left.id.short());
            self.warn(
                WarningCode::Leftover,
                format!("{name} ({id}) is left from an earlier rollback and nothing needs it"),
                format!("`docker rm {id}`"),
            );
        }
    }

    fn swap(
        &mut self,
        place: &Place<'_>,
        part: &ReleaseComponent,
        joins: Vec<ContainerId>,
    ) -> Option<Swap> {
        let container = place.replica;
        self.may_be_swapped(place)?;
        let settings = self.settings(container, part)?;
        for left in &place.leftovers {
            let (name, id) = (&left.name, left.id.short());
            self.warn(
                WarningCode::Leftover,
                format!(
                    "{name} ({id}) is left from an earlier rollback and is removed with {}, which is taken for the replica",
                    container.name
                ),
                format!("if {name} is the one that should stay, stop and remove {} first, then ask again", container.name),
            );
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
            ports: settings.ports(),
            binds: settings.binds(),
            needs: settings.needs(),
            specification: settings.digest,
            leftovers: place
                .leftovers
                .iter()
                .map(|container| container.id.clone())
                .collect(),
            joins,
            ends: None,
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
}
