//! One rollback, turn by turn: look, decide, commit, perform. Nothing here decides what to do next; that is
//! `domain::next`. Nothing here is remembered that the log does not hold.

use std::{sync::Arc, time::Duration};

use domain::{
    effect::{Effect, Outcome},
    lease,
    lifecycle::{Event, Run},
    name::Actor,
    next::{self, Claim, Order, Then, Turn},
    plan::Plan,
    time::Moment,
    verdict::Verdict,
};
use metrics::counter;
use store::{AppendMeta, Claimed, Held, Store, Topic, Wakes};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};
use uuid::Uuid;

use crate::{
    claims::Lease,
    clock::{self, BootInstant},
    metric,
    world::{Grant, World},
};

/// How often a renewal of the claim is asked whether it saw orders, during an effect that can be called off.
const ORDERS_AGAIN: Duration = Duration::from_millis(500);
/// Pause between tries while our own store is away.
const STORE_AGAIN: Duration = Duration::from_millis(200);
/// Pause before what is broken is taken up again.
const BROKEN_AGAIN: Duration = Duration::from_secs(1);

/// Drives one claim.
pub(crate) struct Driver<W> {
    pub(crate) store: Store,
    pub(crate) world: Arc<W>,
    pub(crate) lease: Lease,
    pub(crate) lease_length: Duration,
    pub(crate) host: Uuid,
    pub(crate) shutdown: CancellationToken,
}

/// Why a drive stops without having ended its rollback.
enum Stop {
    /// The claim is somebody else's now, or its time is up.
    Fenced,
    /// Nothing to do for now; the claim is given back.
    Rested,
    /// What is stored can not be read or written, and will not be next time either.
    Broken,
}

/// How a drive ended, for whoever keeps the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The claim is given back, or somebody else's.
    Well,
    /// It counts as a crash of the step: a person is asked in the end, where trying for ever would hold the application.
    Broken,
}

/// The log so far and what is not committed yet.
struct Log {
    plan: Plan,
    run: Run,
    held: Held,
    crashes: i16,
    /// What people want and no turn has seen.
    orders: Vec<(i64, Order)>,
    /// Orders that a turn has seen and no commit has answered.
    orders_seen: Vec<i64>,
    /// Events decided on since the last commit. Losing them loses nothing: the next look gives them again.
    pending: Vec<(Moment, Event)>,
    step_changed: bool,
    /// How all this was before the last turn.
    before: Option<Box<Before>>,
}

/// What a turn that could not be committed is taken back to.
struct Before {
    run: Run,
    pending: usize,
    orders_seen: usize,
}

impl<W: World> Driver<W> {
    pub(crate) async fn run(self, claimed: Claimed) -> Ended {
        let rollback = claimed.rollback;
        let span = info_span!("rollback", rollback.id = %rollback, fence = claimed.fence.0);
        let work = async {
            match self.drive(claimed).await {
                Stop::Rested => Ended::Well,
                Stop::Fenced => {
                    counter!(metric::FENCED).increment(1);
                    tracing::warn!("lost the claim; whoever has it now goes on");
                    Ended::Well
                }
                Stop::Broken => {
                    tokio::time::sleep(BROKEN_AGAIN).await;
                    Ended::Broken
                }
            }
        };
        work.instrument(span).await
    }

    async fn drive(&self, claimed: Claimed) -> Stop {
        let same_host = claimed.former_host.is_none_or(|host| host == self.host);
        let grace = lease::grace(unfinished(&claimed), same_host);
        tokio::time::sleep(Duration::from_millis(grace.0)).await;
        let mut wakes = self.store.wake().subscribe(Topic::Work);
        let mut log = Log::of(claimed);
        loop {
            if !self.lease.holds() {
                return Stop::Fenced;
            }
            if self.shutdown.is_cancelled() {
                return self.give_back(&mut log).await;
            }
            if self.lease.orders_pending() {
                self.orders_again(&mut log).await;
            }
            let followed = match self.decide(&mut log).await {
                Ok(None) => continue,
                Ok(Some(turn)) => self.follow(&mut log, turn, &mut wakes).await,
                Err(stop) => Err(stop),
            };
            if let Err(stop) = followed {
                return stop;
            }
        }
    }

    /// Looks and decides; none while our own store is away.
    async fn decide(&self, log: &mut Log) -> Result<Option<Turn>, Stop> {
        let rollback = log.held.rollback;
        let claim = Claim {
            rollback,
            fence: log.held.fence,
            crashes: log.crashes,
        };
        let plan = log.plan.as_built(&log.run.built).into_owned();
        let scope = next::scope(&plan, &log.run, claim);
        let world = match self.world.look(&plan, rollback, scope).await {
            Ok(world) => world,
            Err(error) => {
                self.again("can not look at the store", &error.0).await?;
                return Ok(None);
            }
        };
        let orders: Vec<Order> = log.orders.iter().map(|(_, order)| order.clone()).collect();
        let turn = next::turn(&plan, &log.run, claim, &orders, &world, clock::now());
        if turn.then == Then::Ended {
            log.remember();
        }
        log.orders_done();
        Ok(Some(turn))
    }

    /// After what passes it is tried again, and anything else ends the drive.
    async fn again(&self, what: &str, error: &store::Error) -> Result<(), Stop> {
        let passes = error.passes();
        {
            let error = error as &dyn std::error::Error;
            if !passes {
                tracing::error!(error, "{what}, and that will not pass");
                return Err(Stop::Broken);
            }
            tracing::warn!(error, "{what}; trying again");
        }
        tokio::time::sleep(STORE_AGAIN).await;
        Ok(())
    }

    async fn follow(&self, log: &mut Log, turn: Turn, wakes: &mut Wakes) -> Result<(), Stop> {
        for event in turn.events {
            log.evolve(event);
        }
        match turn.then {
            Then::Look => Ok(()),
            Then::Fenced => Err(Stop::Fenced),
            Then::Perform(effect) => {
                self.commit(log, None).await?;
                let outcome = self.perform(log, &effect).await?;
                log.evolve(Event::Performed { outcome });
                Ok(())
            }
            Then::Pause(pause) => {
                if !log.pending.is_empty() {
                    self.commit(log, None).await?;
                }
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(pause.0)) => {}
                    () = wakes.woken() => self.orders_again(log).await,
                }
                Ok(())
            }
            Then::Rest(until) => {
                self.commit(log, Some(until)).await?;
                Err(Stop::Rested)
            }
            Then::Ended => {
                self.commit(log, None).await?;
                // Not ended after all: somebody was told that an order of theirs is accepted.
                if log.ended() {
                    Err(Stop::Rested)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Performs one effect under the claim; lets go of it when the claim's time is up.
    async fn perform(&self, log: &mut Log, effect: &Effect) -> Result<Outcome, Stop> {
        // The last look at our own clock before the act: a process that was stopped for longer than its lease
        // wakes up here.
        if !self.lease.holds() {
            return Err(Stop::Fenced);
        }
        let plan = log.plan.as_built(&log.run.built).into_owned();
        let grant = Grant {
            held: log.held.clone(),
            lease: self.lease.clone(),
            step: log.step_number(),
            deployment: ledger_row_of(log.held.rollback.0),
        };
        // The lease first: after a sleep both may be ready, and then nothing more of the effect may be sent.
        tokio::select! {
            biased;
            () = self.lease.gone() => Err(Stop::Fenced),
            said = self.called_off(log, effect.may_be_let_go()) => Ok(Outcome::Unknown { said }),
            outcome = self.world.perform(&plan, &grant, effect) => Ok(outcome),
        }
    }

    /// Returns when an effect that takes minutes has to be let go of: somebody cancelled, or the process is asked to
    /// stop. The next turn answers the order.
    async fn called_off(&self, log: &mut Log, interruptible: bool) -> String {
        if !interruptible {
            return std::future::pending().await;
        }
        let mut wakes = self.store.wake().subscribe(Topic::Work);
        loop {
            if log.orders.iter().any(|(_, order)| order.stops().is_some()) {
                return "it was called off".to_owned();
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return "the server is asked to stop".to_owned(),
                () = wakes.woken() => self.orders_again(log).await,
                () = tokio::time::sleep(ORDERS_AGAIN) => {
                    if self.lease.orders_pending() {
                        self.orders_again(log).await;
                    }
                }
            }
        }
    }

    /// Commits everything decided on. It is also the fence check that precedes every effect.
    async fn commit(&self, log: &mut Log, rest_until: Option<Moment>) -> Result<(), Stop> {
        let ended = log.ended();
        let meta = AppendMeta {
            wake_at: rest_until,
            release: rest_until.is_some() || ended,
            orders_seen: log.orders_seen.clone(),
            step_changed: log.step_changed,
            lease: self.lease_length,
        };
        let events: Vec<(Moment, Actor, Event)> = log
            .pending
            .iter()
            .map(|(at, event)| (*at, worker_actor(), event.clone()))
            .collect();
        loop {
            let asked = BootInstant::now();
            match self.store.append(&log.held, &events, &log.run, &meta).await {
                Ok(appended) => {
                    self.lease.renewed(asked, self.lease_length);
                    log.committed(&appended);
                    if appended.orders_pending && !meta.release {
                        self.orders_again(log).await;
                    }
                    return Ok(());
                }
                Err(store::Error::Fenced) => return Err(Stop::Fenced),
                Err(store::Error::OrdersPending) => {
                    log.take_back();
                    self.orders_again(log).await;
                    return Ok(());
                }
                Err(error) => {
                    if !self.lease.holds() {
                        return Err(Stop::Fenced);
                    }
                    self.again("could not commit", &error).await?;
                }
            }
        }
    }

    /// What people asked of this rollback since it was claimed.
    async fn orders_again(&self, log: &mut Log) {
        match self.store.orders_unseen(log.held.rollback).await {
            Ok(orders) => {
                log.orders = orders
                    .into_iter()
                    .filter(|(id, _)| !log.orders_seen.contains(id))
                    .collect()
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "can not read orders; trying again later"
                );
            }
        }
    }

    /// The process is asked to stop: whoever takes over may do so at once.
    async fn give_back(&self, log: &mut Log) -> Stop {
        match self.commit(log, Some(clock::now())).await {
            Ok(()) => Stop::Rested,
            Err(stop) => stop,
        }
    }
}

impl Log {
    fn of(claimed: Claimed) -> Self {
        let unfinished = unfinished(&claimed);
        let mut log = Self {
            held: claimed.held(),
            plan: claimed.plan,
            run: claimed.run,
            crashes: claimed.crashes,
            orders: claimed.orders,
            orders_seen: Vec::new(),
            pending: Vec::new(),
            step_changed: false,
            before: None,
        };
        if unfinished {
            log.evolve(Event::TakenOver {
                crashes: log.crashes,
            });
        }
        log
    }

    /// Events come from `domain::next`, which only makes those that can follow: a refusal is a defect of ours,
    /// and the panic makes it a counted crash of the step instead of a silent loop.
    fn evolve(&mut self, event: Event) {
        let at = clock::now();
        let before = self.step_number();
        let phase = self.run.phase.word();
        let run = self.run.clone().evolve(&self.plan, &event, at);
        self.run = run.expect("a decided event can follow the state that it was decided on");
        self.step_changed |= before != self.step_number() || phase != self.run.phase.word();
        self.tell(&event);
        self.pending.push((at, event));
    }

    fn orders_done(&mut self) {
        self.orders_seen
            .extend(self.orders.drain(..).map(|(id, _)| id));
    }

    fn ended(&self) -> bool {
        matches!(self.run.phase, domain::lifecycle::Phase::Ended { .. })
    }

    /// Keeps how things are before an end, which an order may still come before.
    fn remember(&mut self) {
        self.before = Some(Box::new(Before {
            run: self.run.clone(),
            pending: self.pending.len(),
            orders_seen: self.orders_seen.len(),
        }));
    }

    fn take_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.run = before.run;
            self.pending.truncate(before.pending);
            self.orders_seen.truncate(before.orders_seen);
        }
    }

    fn committed(&mut self, appended: &store::Appended) {
        self.held.seq = appended.seq;
        self.held.head = appended.head;
        self.pending.clear();
        self.orders_seen.clear();
        if self.step_changed {
            self.crashes = 0;
        }
        self.step_changed = false;
    }

    fn step_number(&self) -> u16 {
        match &self.run.phase {
            domain::lifecycle::Phase::Forward { at }
            | domain::lifecycle::Phase::Backward { at, .. } => *at,
            domain::lifecycle::Phase::AwaitingApproval { .. }
            | domain::lifecycle::Phase::Watching { .. }
            | domain::lifecycle::Phase::Ended { .. } => u16::MAX,
        }
    }

    /// One log line for what an operator would want to read; the events themselves are in the store.
    fn tell(&self, event: &Event) {
        match event {
            Event::TurnedBack { cause } => tracing::warn!(cause = cause.sentence, "turns back"),
            Event::StepSkipped { note, .. } => tracing::warn!(note, "goes on without it"),
            Event::EngineLost { said } => {
                tracing::warn!(said, "the engine does not answer; waiting")
            }
            Event::Ended { verdict } => {
                counter!(metric::VERDICTS, "verdict" => verdict.word()).increment(1);
                match verdict {
                    Verdict::NeedsHuman { cause, production } => {
                        tracing::error!(cause = cause.sentence, production, "needs a human");
                    }
                    Verdict::RolledBack { .. }
                    | Verdict::Restored { .. }
                    | Verdict::Refused { .. }
                    | Verdict::Cancelled { .. } => {
                        tracing::info!(verdict = verdict.word(), "ended")
                    }
                }
            }
            Event::Requested { .. }
            | Event::Approved { .. }
            | Event::TakenOver { .. }
            | Event::Intended { .. }
            | Event::Performed { .. }
            | Event::EngineBack
            | Event::StepDone { .. }
            | Event::CancelRefused { .. }
            | Event::WatchRed { .. }
            | Event::WatchGreen { .. } => tracing::debug!(?event, "goes on"),
        }
    }
}

fn unfinished(claimed: &Claimed) -> bool {
    lease::unfinished(claimed.crashes, claimed.former_host.is_some())
}

/// The ledger row of a rollback, named by the rollback itself so that recording twice is recording once.
fn ledger_row_of(rollback: Uuid) -> Uuid {
    rollback
}

fn worker_actor() -> Actor {
    "worker".parse().expect("the literal is a valid actor")
}
