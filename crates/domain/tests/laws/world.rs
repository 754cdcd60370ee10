//! The outside of one rollback: engine, store, probes and a virtual clock. It refuses nothing by itself but
//! panics when an effect breaks a rule that nothing may break.

mod ending;
mod rules;

use std::collections::BTreeSet;

use domain::{
    effect::{Effect, Failure, Outcome},
    engine_look::Container,
    lease::lands_within,
    lifecycle::Run,
    name::{ComponentName, ImageId, RollbackId},
    plan::{Plan, Swap},
    probe::{Answer, Ask, Question, Subject},
    steps::{self, BuildSeen, Scope, World as Seen},
    time::{Millis, Moment},
};
use uuid::Uuid;

use crate::{
    engine::{By, Engine},
    shop::{Morning, start},
    store::Store,
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
}
