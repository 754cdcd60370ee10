//! What no effect may break, whoever asks for it and whatever happened before.

use domain::{effect::Effect, engine_look::Container, name::ContainerId, plan::Swap};

use super::World;
use crate::engine::{Box_, By, Mood};

impl World {
    pub(super) fn obeys_the_rules(&self, effect: &Effect, by: By) {
        let label = &self.label;
        assert!(
            self.store.intends(effect, by.fence),
            "{label}: {effect:?} without a committed intent of its fence"
        );
        if let Effect::StopContainer { container, .. } = effect {
            self.target_is_there(container);
            self.outlives_the_proof(container);
            self.nobody_shares_with(container);
            self.no_client_is_sent_there(container);
        }
        if let Effect::HandOver { from, to, .. } = effect {
            self.target_is_proved(from.as_ref(), to);
        }
        if let Effect::StartContainer { container, .. } = effect {
            self.nothing_else_is_up(container);
        }
        if let Effect::RemoveContainer { container } = effect {
            self.outlives_the_proof(container);
        }
        if effect.may_be_let_go() {
            assert!(
                self.store.run.touched_at.is_none(),
                "{label}: {effect:?} when something was touched already"
            );
        }
        let locked = self
            .engine
            .lock
            .as_ref()
            .is_some_and(|(_, rollback)| *rollback == self.rollback);
        let needs_lock = match effect {
            Effect::TakeLock { .. } | Effect::Record => false,
            // Nothing that serves is touched by them.
            Effect::Build { .. } | Effect::DropBuild { .. } => false,
            Effect::RemoveContainer { container } => self.engine.boxes.contains_key(container),
            _ => self.engine.answers(self.now),
        };
        assert!(
            locked || !needs_lock,
            "{label}: {effect:?} without the lock"
        );
        let newest = self.engine.fences.values().max();
        assert!(
            !needs_lock || newest == Some(&by.fence),
            "{label}: {effect:?} under another fence than the engine's newest, {newest:?}"
        );
    }

    /// What serves, and where: its networks without a stage, its port, its state.
    pub(super) fn serving(&self) -> Vec<(ContainerId, bool, bool, Vec<String>)> {
        let former = |found: &&Box_| {
            let id = &found.seen.id;
            let swapped = self.plan.swaps.iter().any(|swap| swap.former == *id);
            swapped
                || self
                    .plan
                    .settled
                    .iter()
                    .any(|settled| settled.container == *id)
        };
        let boxes = self.engine.boxes.values().filter(former);
        boxes
            .map(|found| {
                let networks = found.seen.live.networks.iter().filter(|on| !on.is_stage());
                (
                    found.seen.id.clone(),
                    found.seen.is_up(),
                    found.holds_port(),
                    networks.map(|on| on.network.clone()).collect(),
                )
            })
            .collect()
    }

    /// Only what no longer serves is removed, and that is the business of other rules.
    pub(super) fn removes(&self, effect: &Effect) -> bool {
        matches!(effect, Effect::RemoveContainer { .. })
    }

    /// What serves gives its port only to a target that runs, unless there is nothing left to keep.
    fn target_is_proved(&self, from: Option<&ContainerId>, to: &ContainerId) {
        let Some(swap) = self
            .plan
            .swaps
            .iter()
            .find(|swap| Some(&swap.former) == from)
        else {
            return;
        };
        let Some(former) = self.engine.boxes.get(&swap.former) else {
            return;
        };
        if former.seen.live.networks.is_empty() {
            return;
        }
        let next = self.engine.boxes.get(to);
        // A process may end between the look and the act.
        let ends_by_itself = |next: &Box_| {
            let mood = self.engine.moods.get(&next.seen.image);
            matches!(mood, Some(Mood::Crashes(_)))
        };
        assert!(
            next.is_some_and(|next| next.seen.runs() || ends_by_itself(next)),
            "{}: the port of {} goes to a target that does not run",
            self.label,
            swap.name
        );
        assert!(
            !self.store.run.unstaged.contains(&swap.component),
            "{}: the port of {} goes to a target that was not proved",
            self.label,
            swap.name
        );
    }

    /// What gave its port away stays alive until its target is proved in its place: the way back is one move. Only a
    /// target that could not be proved beside it, or ended since, takes its place the ordinary way.
    fn outlives_the_proof(&self, ended: &ContainerId) {
        let run = &self.store.run;
        let handed_over = |swap: &&Swap| swap.former == *ended && swap.ends.is_some();
        let Some(swap) = self.plan.swaps.iter().find(handed_over) else {
            return;
        };
        let unproved = run.phase.word() == "forward" && run.proved_at.is_none();
        assert!(
            !unproved
                || run.unstaged.contains(&swap.component)
                || !self.next_of(swap).is_some_and(Container::runs),
            "{}: {} ends before its target is proved in its place",
            self.label,
            swap.name
        );
    }

    fn target_is_there(&self, stopped: &ContainerId) {
        let gives_way = |swap: &&Swap| swap.former == *stopped || swap.leftovers.contains(stopped);
        let plan = self.plan.as_built(&self.store.run.built);
        let Some(swap) = plan.swaps.iter().find(gives_way) else {
            return;
        };
        assert!(
            self.engine.moods.contains_key(&swap.image),
            "{}: stopped without an image to start",
            self.label
        );
        assert!(
            self.next_of(swap).is_some(),
            "{}: stopped {} before its target was created",
            self.label,
            swap.name
        );
    }

    /// A side-car stops before what it shares with.
    fn nobody_shares_with(&self, stopped: &ContainerId) {
        let shares = |found: &&Box_| found.seen.is_up() && found.seen.joins.contains(stopped);
        let parent_is_up = self
            .engine
            .boxes
            .get(stopped)
            .is_some_and(|found| found.seen.is_up());
        let left = self
            .engine
            .boxes
            .values()
            .find(shares)
            .filter(|_| parent_is_up);
        assert!(
            left.is_none() || self.restarted,
            "{}: {} was stopped under its side-car {}",
            self.label,
            stopped.short(),
            left.map_or("", |found| found.seen.name.as_str())
        );
    }

    /// Where two versions may run at once, nothing stops that clients are sent to.
    fn no_client_is_sent_there(&self, stopped: &ContainerId) {
        let beside = |swap: &&Swap| {
            let next = self.next_of(swap).is_some_and(|next| next.id == *stopped);
            self.plan.side_by_side(swap) && (swap.former == *stopped || next)
        };
        let both = |swap: &Swap| {
            let serves = |id: &ContainerId| self.engine.serves(id, self.now);
            serves(&swap.former) && self.next_of(swap).is_some_and(|next| serves(&next.id))
        };
        let swap = self.plan.swaps.iter().find(beside);
        // A balancer may forget between the look and the act.
        let fronts = &self.engine.fronts;
        assert!(
            fronts.forgot || !(swap.is_some_and(both) && fronts.aims_at(stopped)),
            "{}: stopped what clients are sent to",
            self.label
        );
    }

    /// The target never starts beside what it replaces, unless a late request brought that back.
    fn nothing_else_is_up(&self, started: &ContainerId) {
        let Some(swap) = self
            .plan
            .swaps
            .iter()
            .find(|swap| self.next_of(swap).is_some_and(|c| c.id == *started))
        else {
            return;
        };
        let up = |id: &ContainerId| {
            self.engine
                .boxes
                .get(id)
                .is_some_and(|found| found.seen.is_up())
        };
        assert!(
            !up(&swap.former) || self.plan.side_by_side(swap),
            "{}: {} was started beside its former container",
            self.label,
            swap.name
        );
        let alone = self.plan.application.component(&swap.component);
        if alone.is_some_and(|component| component.overlap == Some(false)) {
            let mut others = self.plan.swaps_of(&swap.component);
            assert!(
                !others.any(|other| up(&other.former)),
                "{}: {} was started beside another replica's former container",
                self.label,
                swap.name
            );
        }
    }
}
