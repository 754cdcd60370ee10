//! What must be so when a run has ended: its verdict is true, and nothing is left over.

use std::collections::BTreeSet;

use domain::{
    engine_look::{Container, Live},
    lifecycle::{Event, Phase},
    name::ImageId,
    verdict::Verdict,
};

use super::World;
use crate::{
    engine::{Box_, Engine, File, Mood},
    store::Stored,
};

impl World {
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
