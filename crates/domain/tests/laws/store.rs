//! A store in memory: the event log with fence and chain, orders, and the claim on the run. What it accepts is
//! decided by the domain's own lease rules.

use domain::{
    chain::{self, Entry, Link},
    effect::Effect,
    lease::{self, Held, Row},
    lifecycle::{Event, Phase, Run},
    name::{Actor, ContainerId, Fence, RollbackId},
    next::{self, Order},
    plan::Plan,
    steps::Reported,
    time::{Millis, Moment},
    verdict::{CauseCode, Verdict},
};

/// One stored event.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) fence: Fence,
    pub(crate) at: Moment,
    pub(crate) event: Event,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) row: Row,
    pub(crate) log: Vec<Stored>,
    /// The cached state; folding the log must give it again.
    pub(crate) run: Run,
    pub(crate) orders: Vec<(i64, Order)>,
    pub(crate) orders_seen: i64,
    pub(crate) crashes: i16,
    /// Whether somebody holds the claim who has not given it back.
    pub(crate) held: bool,
    pub(crate) recorded: bool,
    /// What was deployed since.
    pub(crate) deployed: Option<Reported>,
    pub(crate) captured: Vec<ContainerId>,
}

/// What a worker writes beside the events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) release: bool,
    pub(crate) orders_seen: i64,
    pub(crate) step_changed: bool,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Took {
    /// It was taken.
    All,
    /// The claim is not the writer's any more.
    Fenced,
    /// It would have ended the run and left an order without an answer.
    OrdersPending,
}

/// The lease of the simulated store.
pub(crate) const LEASE: Millis = Millis::from_secs(15);

fn since_epoch(now: Moment) -> Millis {
    Millis(now.unix_ms().cast_unsigned())
}

impl Store {
    pub(crate) fn new(approval_until: Option<Moment>, now: Moment) -> Self {
        let event = Event::Requested {
            approval_until,
            break_glass: None,
        };
        let run = Run::requested(&event, now).unwrap();
        let fence = Fence(now.unix_ms());
        Self {
            row: Row {
                fence,
                seq: 1,
                lease_until: Millis(0),
            },
            log: vec![Stored {
                fence,
                at: now,
                event,
            }],
            run,
            orders: Vec::new(),
            orders_seen: 0,
            crashes: 0,
            held: false,
            recorded: false,
            deployed: None,
            captured: Vec::new(),
        }
    }

    /// Claims the run for a worker. One that is still held was lost by its worker: that is a crash of the step, unless
    /// it is the same that comes again.
    pub(crate) fn claim(&mut self, now: Moment, same_worker: bool) -> Held {
        assert!(
            !self.held || lease::claim_allowed(&self.row, since_epoch(now)),
            "claimed while it is held"
        );
        self.crashes += i16::from(self.held && !same_worker);
        self.held = true;
        self.row.fence.0 += 1;
        self.row.lease_until = since_epoch(now.after(LEASE));
        Held {
            fence: self.row.fence,
            seq: self.row.seq,
        }
    }

    pub(crate) fn renew(&mut self, held: &Held, now: Moment) {
        if held.fence == self.row.fence {
            self.row.lease_until = since_epoch(now.after(LEASE));
        }
    }

    /// When a claim that its worker lost can be had.
    pub(crate) fn lease_end(&self) -> Moment {
        Moment::from_unix_ms(self.row.lease_until.0.cast_signed())
    }

    /// All events are taken or none.
    pub(crate) fn append(
        &mut self,
        held: &mut Held,
        events: &[(Moment, Event)],
        run: &Run,
        meta: Meta,
        now: Moment,
    ) -> Took {
        if !lease::append_allowed(&self.row, held, since_epoch(now)) {
            return Took::Fenced;
        }
        let ends = matches!(run.phase, Phase::Ended { .. });
        if ends && !self.orders_after(meta.orders_seen).is_empty() {
            return Took::OrdersPending;
        }
        for (at, event) in events {
            self.log.push(Stored {
                fence: held.fence,
                at: *at,
                event: event.clone(),
            });
        }
        self.row.seq += i32::try_from(events.len()).unwrap();
        held.seq = self.row.seq;
        self.run = run.clone();
        self.orders_seen = meta.orders_seen;
        if meta.step_changed {
            self.crashes = 0;
        }
        self.held = !meta.release;
        self.row.lease_until = if meta.release {
            Millis(0)
        } else {
            since_epoch(now.after(LEASE))
        };
        Took::All
    }

    pub(crate) fn orders_after(&self, seen: i64) -> Vec<(i64, Order)> {
        self.orders
            .iter()
            .filter(|(number, _)| *number > seen)
            .cloned()
            .collect()
    }

    /// Accepts an order, or says that it is too late for it, as the real store does.
    pub(crate) fn order(&mut self, order: Order) {
        let waits = matches!(self.run.phase, Phase::AwaitingApproval { .. });
        let in_vain = match &order {
            Order::Cancel { .. } => next::too_late_to_cancel(&self.run).is_some(),
            Order::Approve { at, .. } => {
                !waits || next::too_late_to_approve(&self.run, *at).is_some()
            }
            Order::Reject { .. } => !waits,
            Order::Supersede { .. } => false,
        };
        if in_vain || matches!(self.run.phase, Phase::Ended { .. }) {
            return;
        }
        let number = i64::try_from(self.orders.len()).unwrap() + 1;
        self.orders.push((number, order));
    }

    /// Whether the log answers every cancel and every no that was accepted: obeyed, or refused with the reason.
    pub(crate) fn answers_every_cancel(&self) -> bool {
        let obeyed = self.log.iter().any(|stored| match &stored.event {
            Event::TurnedBack { cause } => cause.code == CauseCode::Cancelled,
            Event::Ended { verdict } => match verdict {
                Verdict::Cancelled { .. } => true,
                Verdict::RolledBack { good, notes } => {
                    !good
                        && notes
                            .iter()
                            .any(|note| note.contains("ended the watch window"))
                }
                Verdict::Restored { .. } | Verdict::Refused { .. } | Verdict::NeedsHuman { .. } => {
                    false
                }
            },
            _ => false,
        });
        let refused = |wanted: &Actor| {
            self.log.iter().any(
                |stored| matches!(&stored.event, Event::CancelRefused { by, .. } if by == wanted),
            )
        };
        obeyed
            || self.orders.iter().all(|(_, order)| match order {
                Order::Cancel { by } | Order::Reject { by } => refused(by),
                Order::Approve { .. } | Order::Supersede { .. } => true,
            })
    }

    /// Whether an effect's intent was committed under this fence and nothing was heard of it since.
    pub(crate) fn intends(&self, effect: &Effect, fence: Fence) -> bool {
        let last = self
            .log
            .iter()
            .rev()
            .find(|stored| matches!(stored.event, Event::Intended { .. }));
        last.is_some_and(|stored| {
            let intended = match &stored.event {
                Event::Intended { effect: intended } => intended.parts().contains(effect),
                _ => false,
            };
            stored.fence == fence && intended
        })
    }

    /// The last intent that was committed.
    pub(crate) fn intent(&self) -> Option<&Effect> {
        self.log
            .iter()
            .rev()
            .find_map(|stored| match &stored.event {
                Event::Intended { effect } => Some(effect),
                _ => None,
            })
    }

    /// The log folded again.
    pub(crate) fn replay(&self, plan: &Plan) -> Run {
        let mut stored = self.log.iter();
        let first = stored.next().unwrap();
        let run = Run::requested(&first.event, first.at).unwrap();
        stored.fold(run, |run, stored| {
            run.evolve(plan, &stored.event, stored.at).unwrap()
        })
    }

    /// Whether the log is the same after it was the text that a real store keeps, and its chain verifies and
    /// breaks with any of its links.
    pub(crate) fn survives_storage(&self, rollback: RollbackId) {
        let texts: Vec<String> = self
            .log
            .iter()
            .map(|stored| serde_json::to_string(&stored.event).unwrap())
            .collect();
        for (stored, text) in self.log.iter().zip(&texts) {
            assert_eq!(
                serde_json::from_str::<Event>(text).unwrap(),
                stored.event,
                "{text}"
            );
        }
        let links = self.chain(rollback, &texts);
        assert_eq!(links, self.chain(rollback, &texts));
        let shorter: Vec<String> = texts.iter().skip(1).cloned().collect();
        assert_ne!(links.last(), self.chain(rollback, &shorter).last());
    }

    fn chain(&self, rollback: RollbackId, texts: &[String]) -> Vec<Link> {
        let mut links = vec![chain::root(rollback)];
        for ((seq, stored), body) in (1..).zip(&self.log).zip(texts) {
            let entry = Entry {
                seq,
                fence: stored.fence,
                at: stored.at,
                actor: "worker",
                body,
            };
            links.push(chain::link(links.last().unwrap(), &entry));
        }
        links
    }
}
