//! Held releases that are back: announced, and by policy put back by an ordinary rollback. Everything that it goes by is
//! a fact in the database, so it happens once, however many workers look and however often they die.

use domain::{
    application::Application,
    drift::{self, Answer, PUT_BACK_WITHIN},
    hold::Hold,
    ledger::Release,
    lifecycle::Phase,
    name::RollbackId,
    planner::{self, Snapshot},
    reason::Reason,
    target::Target,
    time::Millis,
    verdict::Verdict,
    window::{self, Window},
};
use metrics::counter;
use store::{
    Constraint, Error, HeldReturn, Idempotency, NewReturn, NewRollback, Requested, ReturnOutcome,
    Store,
};
use uuid::Uuid;

use crate::{
    clock,
    drift::watcher,
    inquiries, metric,
    world::{Real, StoreAway},
};

/// Writes down that a held release is back, and says so once.
pub(crate) async fn announce(store: &Store, new: &NewReturn) -> Result<(), StoreAway> {
    let put = store.return_put(new, &watcher()).await;
    let Some(answer) = put.map_err(StoreAway)? else {
        return Ok(());
    };
    let word = match answer {
        Answer::Report => "reported",
        Answer::PutBack => "putting_back",
        Answer::AskPerson => "needs_person",
    };
    counter!(metric::RETURNS, "outcome" => word).increment(1);
    let (application, version) = (&new.application, &new.version);
    let (reason, said) = (&new.reason, answer.sentence());
    match answer {
        Answer::Report | Answer::PutBack => {
            tracing::warn!(%application, %version, reason, said, "a held release is back");
        }
        Answer::AskPerson => {
            tracing::error!(%application, %version, reason, said, "a held release is back once more");
        }
    }
    Ok(())
}

/// A return that may not be over yet.
pub(crate) struct Pending<'a> {
    pub(crate) store: &'a Store,
    pub(crate) real: &'a Real,
    pub(crate) application: &'a Application,
    pub(crate) releases: &'a [Release],
    pub(crate) holds: &'a [Hold],
}

impl Pending<'_> {
    /// Does what is next, if anything; whether something is still to be done.
    pub(crate) async fn go_on(&self, found: &HeldReturn, may_act: bool) -> Result<bool, StoreAway> {
        match (found.outcome, found.rollback) {
            (ReturnOutcome::PuttingBack, _) if !found.open => {
                let said = "it went away, or its hold was released, before it was put back";
                self.decided(found, ReturnOutcome::Over, said, None).await?;
                Ok(false)
            }
            (ReturnOutcome::PuttingBack, _) if may_act => self.put_back(found).await,
            (ReturnOutcome::PuttingBack, _) => Ok(true),
            (ReturnOutcome::PutBack, Some(rollback)) if found.open => {
                self.look_after(found, rollback).await
            }
            (
                ReturnOutcome::Reported
                | ReturnOutcome::PutBack
                | ReturnOutcome::NeedsPerson
                | ReturnOutcome::Over,
                _,
            ) => Ok(false),
        }
    }

    /// Leaves to a person what waits too long to be put back; whether it did. It needs no look at the engine, which may be
    /// what is waited for.
    pub(crate) async fn give_up(&self, found: &HeldReturn) -> Result<bool, StoreAway> {
        let waits = found.outcome == ReturnOutcome::PuttingBack && found.open;
        if !waits || !drift::is_put_back_late(found.seen_at, clock::now()) {
            return Ok(false);
        }
        let said = format!(
            "it could not be put back within {PUT_BACK_WITHIN}: its engine did not answer, its replicas were not all there, \
             or another rollback was under way or waited for a yes"
        );
        self.needs_person(found, &said).await?;
        Ok(true)
    }

    /// Asks for a rollback like anybody else: a fresh look, a plan, a request along it. The key is the return's own,
    /// so that asking twice is asking once.
    async fn put_back(&self, found: &HeldReturn) -> Result<bool, StoreAway> {
        let name = &self.application.name;
        if let Some(said) = self.frozen().await? {
            self.needs_person(found, &said).await?;
            return Ok(false);
        }
        let look = match inquiries::application(self.real, name).await? {
            Ok(look) => look,
            // An engine that is away is waited for, until it is given up.
            Err(_) => return Ok(true),
        };
        let outages = self.store.outages(name).await.map_err(StoreAway)?;
        let snapshot = Snapshot {
            application: self.application,
            look: &look,
            releases: self.releases,
            outages: &outages,
            last: None,
        };
        let plan = match planner::plan(&snapshot, &Target::LastKnownGood) {
            Ok(proposal) => proposal.plan,
            Err(blockers) => {
                let sentences: Vec<String> = blockers
                    .into_iter()
                    .map(|blocker| blocker.sentence)
                    .collect();
                let said = format!("it can not be put back: {}", sentences.join("; "));
                self.needs_person(found, &said).await?;
                return Ok(false);
            }
        };
        if plan.changes_nothing() {
            let said = "what runs is the last known good release";
            self.decided(found, ReturnOutcome::Over, said, None).await?;
            return Ok(false);
        }
        self.store
            .plan_put(&plan, &watcher())
            .await
            .map_err(StoreAway)?;
        self.request(found, &plan).await
    }

    async fn request(
        &self,
        found: &HeldReturn,
        plan: &domain::plan::Plan,
    ) -> Result<bool, StoreAway> {
        let (id, at) = (RollbackId(Uuid::now_v7()), clock::now());
        let approval = Millis::from_secs(self.application.timeouts.approval_s);
        let ask = NewRollback {
            id,
            plan,
            requested_by: watcher(),
            reason: self.cause(found),
            note: Some(format!(
                "the held release {} came back ({})",
                found.version, found.reason
            )),
            ticked: Vec::new(),
            break_glass: None,
            idempotency: Idempotency {
                principal: watcher().to_string(),
                key: format!("return-{}", found.deployment),
                body_hash: found.deployment.as_bytes().to_vec(),
            },
            approval_until: self.application.approval.then(|| at.after(approval)),
            at,
        };
        let rollback = match self.store.rollback_request(&ask).await {
            Ok(Requested::New) => id,
            Ok(Requested::Replayed(earlier)) => earlier,
            // Somebody was faster: what they do is better informed.
            Err(Error::Conflict(Constraint::OneActing { .. })) => return Ok(true),
            Err(Error::Conflict(off @ Constraint::AutomaticOff { .. })) => {
                let said = format!("it is not put back: {off}");
                self.needs_person(found, &said).await?;
                return Ok(false);
            }
            Err(error) => return Err(StoreAway(error)),
        };
        let said = format!("rollback {rollback} to {} puts it back", plan.to);
        self.decided(found, ReturnOutcome::PutBack, &said, Some(rollback))
            .await?;
        Ok(true)
    }

    /// Why a freeze window keeps anything from being rolled back by itself now; none when none does.
    async fn frozen(&self) -> Result<Option<String>, StoreAway> {
        let name = &self.application.name;
        let stored = self.store.windows(Some(name)).await.map_err(StoreAway)?;
        let windows: Vec<Window> = stored.into_iter().map(|stored| stored.window).collect();
        let why = match window::judge(&windows, name, clock::now()) {
            window::Verdict::Open { .. } => return Ok(None),
            window::Verdict::Denied { until, .. } => {
                format!("a freeze window is open until {until}")
            }
            window::Verdict::NotAllowed { .. } => {
                "no window that allows rollbacks is open".to_owned()
            }
            window::Verdict::Unreadable { why, .. } => {
                format!("it can not be said whether a freeze window is open: {why}")
            }
        };
        Ok(Some(format!("it is not put back: {why}")))
    }

    /// What it was held for is what it is rolled back for again.
    fn cause(&self, found: &HeldReturn) -> Reason {
        let hold = self.holds.iter().find(|hold| hold.version == found.version);
        hold.map_or(Reason::CriticalBug, |hold| hold.cause)
    }

    /// The return is still open although its rollback was requested: it goes on, or it did not help.
    async fn look_after(
        &self,
        found: &HeldReturn,
        rollback: RollbackId,
    ) -> Result<bool, StoreAway> {
        let view = self.store.rollback_get(rollback).await.map_err(StoreAway)?;
        if !matches!(view.run.phase, Phase::Ended { .. }) {
            return Ok(true);
        }
        let verdict = view.verdict.as_ref().map_or("nothing", Verdict::word);
        let said = format!("rollback {rollback}, which should put it back, ended: {verdict}");
        self.needs_person(found, &said).await?;
        Ok(false)
    }

    async fn needs_person(&self, found: &HeldReturn, said: &str) -> Result<(), StoreAway> {
        let (application, version) = (&found.application, &found.version);
        if self
            .decided(found, ReturnOutcome::NeedsPerson, said, None)
            .await?
        {
            counter!(metric::RETURNS, "outcome" => "needs_person").increment(1);
            tracing::error!(%application, %version, said, "a held release is back and stays");
        }
        Ok(())
    }

    async fn decided(
        &self,
        found: &HeldReturn,
        outcome: ReturnOutcome,
        said: &str,
        rollback: Option<RollbackId>,
    ) -> Result<bool, StoreAway> {
        self.store
            .return_decided(found.deployment, outcome, said, rollback)
            .await
            .map_err(StoreAway)
    }
}
