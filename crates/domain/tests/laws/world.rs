//! The outside of one rollback: engine, store, probes and a virtual clock. It refuses nothing by itself but
//! panics when an effect breaks a rule that nothing may break.

use std::collections::BTreeSet;

use domain::{
    effect::{Effect, Failure, Outcome},
    engine_look::{Container, Live},
    lease::lands_within,
    lifecycle::{Event, Phase, Run},
    name::{ComponentName, ContainerId, ImageId, RollbackId},
    plan::{Plan, Swap},
    probe::{Answer, Ask, Question, Subject},
    steps::{self, BuildSeen, Scope, World as Seen},
    time::{Millis, Moment},
    verdict::Verdict,
};
use uuid::Uuid;

use crate::{
    engine::{Box_, By, Engine, File, Mood},
    shop::{Morning, start},
    store::{Store, Stored},
};

/// What becomes of one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done and said to be.
    Done,
    /// It is done twice, as after a retry that nobody knows of.
    Twice,
    /// It is refused.
    Refused(Failure),
    /// The connection breaks before it is done.
    LostBefore,
    /// The connection breaks after it is done.
    LostAfter,
    /// The connection breaks; it is done that much later.
    Late(u64),
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rollback: RollbackId,
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) now: Moment,
    /// Requests inside the engine whose caller is gone.
    pub(crate) in_flight: Vec<(Moment, By, Effect)>,
    pub(crate) covered: BTreeSet<(&'static str, &'static str, &'static str)>,
    pub(crate) effects: usize,
    /// Each state that a turn was taken in, with what was seen, when somebody wants them.
    pub(crate) sample: Option<Vec<(Run, Seen)>>,
    /// Whether the engine stopped containers by dying.
    restarted: bool,
    /// Said with every broken rule, so that the day can be lived again.
    pub(crate) label: String,
    at_first: Engine,
}

impl World {
    pub(crate) fn new(morning: &Morning, label: impl Into<String>) -> Self {
        let Morning {
            engine,
            plan,
            approval,
        } = morning.clone();
        let approval_until = approval.then(|| start().after(Millis::from_secs(60)));
        Self {
            plan,
            rollback: RollbackId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00AB)),
            at_first: engine.clone(),
            engine,
            store: Store::new(approval_until, start()),
            now: start(),
            in_flight: Vec::new(),
            covered: BTreeSet::new(),
            effects: 0,
            sample: None,
            restarted: false,
            label: label.into(),
        }
    }

    /// Time passes, and with it what happens by itself.
    pub(crate) fn pass(&mut self, wait: Millis) {
        self.now = self.now.after(wait);
        self.engine.pass(self.now);
        self.in_flight.sort_by_key(|(at, _, _)| *at);
        while self
            .in_flight
            .first()
            .is_some_and(|(at, _, _)| *at <= self.now)
        {
            let (_, by, effect) = self.in_flight.remove(0);
            if self.engine.answers(self.now) {
                let _landed = self.engine.perform(&effect, by, self.now);
            }
        }
    }

    /// The engine dies, and every request inside it with it.
    pub(crate) fn engine_restarts(&mut self, away: Millis) {
        self.in_flight.clear();
        self.restarted = true;
        self.engine.restart(away, self.now);
    }

    pub(crate) fn look(&mut self, scope: Scope) -> Seen {
        self.pass(Millis(15));
        self.engine.fronts.forgot = false;
        let mut seen = Seen {
            engine: Err("it was not looked at".to_owned()),
            specifications: std::collections::BTreeMap::new(),
            captured: BTreeSet::new(),
            recorded: false,
            deployed: None,
            builds: std::collections::BTreeMap::new(),
            answers: Vec::new(),
        };
        if scope.deployments {
            seen.deployed.clone_from(&self.store.deployed);
        }
        if scope.supplies {
            seen.specifications = self
                .plan
                .swaps
                .iter()
                .map(|swap| (swap.specification.clone(), true))
                .collect();
        }
        if scope.records {
            seen.captured = self.store.captured.iter().cloned().collect();
            seen.recorded = self.store.recorded;
        }
        if scope.engine {
            let images: Vec<ImageId> = self
                .plan
                .swaps
                .iter()
                .map(|swap| swap.image.clone())
                .chain(
                    self.engine
                        .builds
                        .keys()
                        .filter_map(|part| self.engine.built(part)),
                )
                .collect();
            let images = if scope.supplies {
                images.as_slice()
            } else {
                &[]
            };
            let away = || "the engine does not answer".to_owned();
            seen.engine = if self.engine.answers(self.now) {
                Ok(self.engine.look(images, self.now))
            } else {
                Err(away())
            };
        }
        if scope.builds {
            let part = |name: &ComponentName| {
                let seen = BuildSeen {
                    image: self.engine.built(name),
                    begun: self.engine.begun.contains(name),
                };
                (name.clone(), seen)
            };
            seen.builds = self.engine.builds.keys().map(part).collect();
        }
        if let (Some(side), Ok(look)) = (scope.probes, &seen.engine) {
            let questions = steps::expected_questions(&self.plan, self.rollback, side, look);
            seen.answers = questions
                .into_iter()
                .map(|question| self.answer(question))
                .collect();
        }
        seen
    }

    fn answer(&self, question: Question) -> Answer {
        let green = match &question.subject {
            Subject::Front => self.front_serves(),
            Subject::Replica { container, .. } => {
                let says =
                    |expected: &String| self.engine.says(container).as_ref() == Some(expected);
                let version = match &question.ask {
                    Ask::Version { expected, .. } => says(expected),
                    Ask::Http { .. } | Ask::Tcp { .. } => true,
                };
                version
                    && (self.engine.serves(container, self.now)
                        || matches!(question.ask, Ask::Version { .. }))
            }
        };
        Answer {
            asked: question.ask.words(),
            subject: question.subject,
            green,
            said: format!("{green}"),
            spoke: true,
        }
    }

    /// The front reaches the first component: whatever of it is up.
    fn front_serves(&self) -> bool {
        let first = &self.plan.application.components[0].name;
        let fronts = &self.engine.fronts;
        let reached = |id| !fronts.has(first) || (fronts.aims_at(id) && fronts.answers(self.now));
        self.engine.boxes.values().any(|found| {
            let seen = &found.seen;
            let joined = found.home.is_empty() || seen.live.gateway().is_some();
            let here = joined && reached(&seen.id);
            seen.component == *first && here && self.engine.serves(&seen.id, self.now)
        })
    }

    /// Performs an effect for a worker that holds a claim; what is done together is done in an order that nobody
    /// knows, each part with a fate of its own.
    pub(crate) fn perform_all(
        &mut self,
        effect: &Effect,
        by: By,
        fate: &mut dyn FnMut(&Effect) -> Fate,
    ) -> Outcome {
        for part in effect.parts() {
            self.obeys_the_rules(part, by);
        }
        let mut parts: Vec<&Effect> = effect.parts().iter().collect();
        if self.effects % 2 == 1 {
            parts.reverse();
        }
        let performed = parts.into_iter().map(|part| {
            let fate = fate(part);
            self.perform(part, by, fate)
        });
        Outcome::of_all(performed.collect::<Vec<_>>())
    }

    /// Performs one act.
    pub(crate) fn perform(&mut self, effect: &Effect, by: By, fate: Fate) -> Outcome {
        self.effects += 1;
        self.obeys_the_rules(effect, by);
        self.pass(Millis(match effect {
            Effect::StartContainer { .. }
            | Effect::StopContainer { .. }
            | Effect::HandOver { .. } => 40,
            _ => 5,
        }));
        let lost = || Outcome::Unknown {
            said: "the connection broke".to_owned(),
        };
        match fate {
            Fate::Done => self.do_it(effect, by),
            Fate::Twice => {
                self.do_it(effect, by);
                self.do_it(effect, by)
            }
            Fate::Refused(failure) => Outcome::Failed {
                failure,
                said: "no".to_owned(),
            },
            Fate::LostBefore => lost(),
            Fate::LostAfter => {
                self.do_it(effect, by);
                lost()
            }
            Fate::Late(ms) => {
                self.fly(effect, by, Millis(ms.min(lands_within(effect).0)));
                lost()
            }
        }
    }

    /// The effect is inside the engine and its caller is gone. What is our own store's is transactional.
    pub(crate) fn fly(&mut self, effect: &Effect, by: By, lands_in: Millis) {
        // An engine calls a build off when its caller is gone.
        if let Effect::Together { effects } = effect {
            for (nth, part) in (1..).zip(effects) {
                self.fly(part, by, Millis(lands_in.0 / nth));
            }
        } else if !matches!(
            effect,
            Effect::Capture { .. } | Effect::Record | Effect::Build { .. }
        ) {
            self.in_flight
                .push((self.now.after(lands_in), by, effect.clone()));
        }
    }

    fn do_it(&mut self, effect: &Effect, by: By) -> Outcome {
        match effect {
            Effect::Capture { container, .. } => self.store.captured.push(container.clone()),
            Effect::Record => self.store.recorded = true,
            _ if !self.engine.answers(self.now) => {
                return Outcome::Unknown {
                    said: "the engine does not answer".to_owned(),
                };
            }
            _ => {
                let serving = self.serving();
                let done = self.engine.perform(effect, by, self.now);
                assert!(
                    effect.touches() || self.removes(effect) || serving == self.serving(),
                    "{}: {effect:?} touched what serves",
                    self.label
                );
                if let Err((failure, said)) = done {
                    return Outcome::Failed { failure, said };
                }
            }
        }
        Outcome::Done
    }

    fn obeys_the_rules(&self, effect: &Effect, by: By) {
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
    fn serving(&self) -> Vec<(ContainerId, bool, bool, Vec<String>)> {
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
    fn removes(&self, effect: &Effect) -> bool {
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

    pub(crate) fn next_of(&self, swap: &Swap) -> Option<&Container> {
        self.engine
            .boxes
            .values()
            .map(|found| &found.seen)
            .find(|container| {
                container.mark.as_ref().is_some_and(|mark| {
                    mark.rollback == self.rollback && mark.replaces == swap.former
                })
            })
    }

    /// Whether the target truly serves everywhere, whatever anybody believes.
    pub(crate) fn target_serves(&self) -> bool {
        let probed = |container: &Container| {
            let component = self
                .plan
                .application
                .component(&container.component)
                .unwrap();
            component.probes.is_empty()
                || (self.engine.serves(&container.id, self.now)
                    && self.engine.says(&container.id).as_deref() == Some(self.plan.to.as_str()))
        };
        let plan = self.plan.as_built(&self.store.run.built);
        let swapped = plan.swaps.iter().all(|swap| {
            self.next_of(swap).is_some_and(|c| {
                let has_port = |found: &Box_| {
                    found.holds_port() == found.port
                        && is_joined(
                            &Live {
                                networks: found.home.clone(),
                                ..Live::default()
                            },
                            &found.seen.live,
                        )
                };
                let aimed = swap.server.is_none() || self.engine.fronts.aims_at(&c.id);
                aimed
                    && has_port(&self.engine.boxes[&c.id])
                    && c.runs()
                    && c.name == swap.name
                    && c.image == swap.image
                    && probed(c)
            })
        });
        let settled = self.plan.settled.iter().all(|settled| {
            self.engine
                .boxes
                .get(&settled.container)
                .is_some_and(|found| found.seen.runs() && probed(&found.seen))
        });
        swapped && settled
    }

    /// Whether what served before runs under the names that it had.
    pub(crate) fn former_runs(&self) -> bool {
        self.plan
            .swaps
            .iter()
            .filter(|swap| swap.former_runs)
            // What ends by itself whatever is done is nobody's to keep up.
            .filter(|swap| {
                !matches!(
                    self.engine.moods.get(&swap.former_image),
                    Some(Mood::Crashes(_))
                )
            })
            .all(|swap| {
                let (then, now) = (
                    &self.at_first.boxes[&swap.former].seen,
                    self.engine.boxes.get(&swap.former),
                );
                let aimed = swap.server.is_none() || self.engine.fronts.aims_at(&swap.former);
                now.is_some_and(|now| {
                    let held = self.at_first.boxes[&swap.former].holds_port();
                    aimed
                        && now.seen.is_up()
                        && now.holds_port() == held
                        && is_joined(&then.live, &now.seen.live)
                        && now.seen.name == then.name
                        && now.seen.restart == then.restart
                })
            })
    }

    fn former_crashes(&self) -> bool {
        self.plan.swaps.iter().any(|swap| {
            let mood = self.engine.moods.get(&swap.former_image);
            matches!(mood, Some(Mood::Crashes(_)))
        })
    }

    /// Rules about the end of every run.
    pub(crate) fn ended_well(&self) {
        let Phase::Ended { verdict } = &self.store.run.phase else {
            panic!("{}: it did not end", self.label)
        };
        let label = format!("{}: {verdict:?}", self.label);
        assert_eq!(
            self.store.replay(&self.plan),
            self.store.run,
            "{label}: the log does not fold to the state"
        );
        assert!(
            self.store.answers_every_cancel(),
            "{label}: a cancel was accepted and never answered"
        );
        let touched = self.store.run.touched_at.is_some();
        let told = |stored: &Stored| match &stored.event {
            Event::StepDone { note, .. } => note.contains("edited since"),
            _ => false,
        };
        let spared = !self.store.run.notes.is_empty() || self.store.log.iter().any(told);
        match verdict {
            Verdict::RolledBack { .. } => {
                let pinned = spared || self.file_is_true(true);
                assert!(
                    pinned,
                    "{label}: the pin is not written: {:?}",
                    self.engine.file
                );
                assert!(
                    spared || self.is_tidy(true),
                    "{label}: something is left over: {}",
                    self.gist()
                );
            }
            Verdict::Restored { .. } | Verdict::Cancelled { .. } | Verdict::Refused { .. } => {
                // Nobody owes that what ends by itself runs: it did not before, either.
                let owed = touched && !self.restarted && !self.former_crashes();
                let put_back = spared || self.file_is_true(false);
                assert!(put_back, "{label}: the pin stays: {:?}", self.engine.file);
                assert!(
                    !owed || self.former_runs(),
                    "{label}: what served before does not run: {}",
                    self.gist()
                );
                assert!(
                    spared || self.is_tidy(false),
                    "{label}: something is left over: {}",
                    self.gist()
                );
            }
            Verdict::NeedsHuman { production, .. } => assert!(!production.is_empty()),
        }
    }

    /// The version that stands where the site keeps it is the one that serves, as long as nobody else wrote there.
    fn file_is_true(&self, rolled_back: bool) -> bool {
        let says_so = |file: &File| {
            let wanted = if rolled_back {
                &file.wanted
            } else {
                &file.first
            };
            file.value == *wanted
        };
        let mut files = self.engine.file.iter().chain(&self.engine.list);
        files.all(says_so)
    }

    /// Exactly one container for each replica after a rollback; what there was before it without one.
    fn is_tidy(&self, rolled_back: bool) -> bool {
        let names = |engine: &Engine| -> Vec<String> {
            engine
                .boxes
                .values()
                .map(|found| found.seen.name.clone())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect()
        };
        let ours = self
            .engine
            .lock
            .as_ref()
            .is_some_and(|(_, rollback)| *rollback == self.rollback);
        let one_each = self.engine.boxes.values().all(|found| {
            !found.holds_port()
                || !self.engine.port_is_held(
                    &found.seen.component,
                    found.seen.replica,
                    &found.seen.id,
                )
        });
        let same = if rolled_back {
            let swapped = self.plan.swaps.iter().map(|swap| swap.name.clone());
            let gone: BTreeSet<_> = self
                .plan
                .swaps
                .iter()
                .flat_map(|s| s.leftovers.iter().chain([&s.former]))
                .collect();
            let kept = self
                .at_first
                .boxes
                .values()
                .filter(|found| !gone.contains(&found.seen.id));
            let due: BTreeSet<String> = swapped
                .chain(kept.map(|found| found.seen.name.clone()))
                .collect();
            names(&self.engine) == due.into_iter().collect::<Vec<_>>()
                && self.engine.boxes.len() == due_len(self)
        } else {
            let ids = |engine: &Engine| engine.boxes.keys().cloned().collect::<Vec<_>>();
            names(&self.engine) == names(&self.at_first) && ids(&self.engine) == ids(&self.at_first)
        };
        same && !ours && one_each && self.engine.stage.is_none()
    }

    /// What matters of the world at the end, without identities that are made anew each time.
    pub(crate) fn gist(&self) -> String {
        let mut lines: Vec<String> = self
            .engine
            .boxes
            .values()
            .map(|found| {
                let seen = &found.seen;
                format!(
                    "{} {} {:?} {} port {}",
                    seen.name,
                    seen.image.short(),
                    seen.state,
                    seen.mark.is_some(),
                    found.holds_port()
                )
            })
            .collect();
        lines.sort();
        let kept: Vec<&str> = self.engine.kept.keys().map(ImageId::short).collect();
        let recorded = self.store.recorded;
        format!(
            "{lines:#?} kept {kept:?} lock {:?} recorded {recorded}",
            self.engine.lock.is_some()
        )
    }
}

/// Whether every network of then is there now, and no stage.
fn is_joined(then: &Live, now: &Live) -> bool {
    then.networks
        .iter()
        .all(|on| on.is_stage() || now.on(&on.network).is_some())
        && !now.networks.iter().any(|on| on.is_stage())
}

/// How many containers there are when nothing is left over after a rollback.
fn due_len(world: &World) -> usize {
    let gone: usize = world
        .plan
        .swaps
        .iter()
        .map(|swap| swap.leftovers.len())
        .sum();
    world.at_first.boxes.len() - gone
}
