//! An alert of a trigger that may do more than record: the facts are gathered, the guards asked, and what they let through
//! is asked for like anybody's rollback.

use domain::{
    guard::{self, Decision, Facts, Impact, Outcome, Policy, Recent, impact_of},
    hold::Marks,
    name::{Actor, RollbackId},
    plan::Plan,
    reason::Reason,
    time::{Millis, Moment},
};
use store::{
    Constraint, Deciding, DecisionOutcome, Error, Idempotency, NewDecision, NewRollback, Requested,
    Told,
};
use uuid::Uuid;

use super::{
    Desk,
    looking::{self, Looked},
};
use crate::{clock, world::StoreAway};

/// How soon an alert is looked at again when something has to end, or was changed, first.
const SOON: Millis = Millis(300);

/// How soon an alert is looked at again when others are looking at its engine.
const TURN: Millis = Millis(700);

/// One alert on its way to a decision.
pub(super) struct Judging<'a> {
    pub(super) desk: &'a Desk,
    pub(super) told: Told<'a>,
    /// Which of the alerts of its message it is.
    pub(super) part: i32,
}

/// What came of it.
pub(super) enum Judged {
    /// It is decided.
    Decided(Box<NewDecision>),
    /// It is to be looked at again then.
    Later(Moment),
}

/// What a rollback is asked for as.
#[derive(Clone, Copy, PartialEq)]
enum Ask {
    /// It starts.
    Start,
    /// It waits for a person's yes.
    Propose,
}

impl Judging<'_> {
    /// Decides, or says when to look again. `looked` is kept for the other alerts of the message about the application.
    pub(super) async fn judge(&self, looked: &mut Option<Looked>) -> Result<Judged, StoreAway> {
        // What the ledger alone says no to costs no look at an engine: most of a storm ends here.
        let lookers = &self.desk.lookers;
        let at_ledger = lookers.ledger().await;
        let facts = self.store().facts(&self.told).await.map_err(StoreAway)?;
        let decision = self.decide(&facts);
        for ask in [Ask::Start, Ask::Propose] {
            let asked = self.store().idempotency_find(&self.key(ask)).await;
            if let Some(rollback) = asked.map_err(StoreAway)? {
                // Its decision was written with the request: this one is not kept.
                return Ok(decided(self.asked(&decision, rollback, ask)));
            }
        }
        match decision.outcome {
            Outcome::Record => return Ok(self.only_said(&decision, None)),
            Outcome::Wait { until } => return Ok(Judged::Later(until)),
            Outcome::Auto | Outcome::Propose | Outcome::Shadow => {}
        }
        drop(at_ledger);
        if looked.is_none() {
            let Some(_turn) = lookers.engine(&self.told.application.engine).await else {
                return Ok(Judged::Later(clock::now().after(TURN)));
            };
            let newest = facts.deployment.known();
            let seen = looking::look(&self.desk.real, self.told.application, newest).await?;
            if let Some(plan) = &seen.plan {
                let kept = self.store().plan_put(plan, &self.actor()).await;
                kept.map_err(StoreAway)?;
            }
            *looked = Some(seen);
        }
        match looked {
            Some(seen) => {
                let judged = self.settle(seen).await?;
                if matches!(judged, Judged::Later(_)) {
                    *looked = None;
                }
                Ok(judged)
            }
            None => Ok(Judged::Later(clock::now().after(SOON))),
        }
    }

    /// The last look at what was rolled back and the request for one more are one transaction, which nobody else has at
    /// that time.
    async fn settle(&self, looked: &Looked) -> Result<Judged, StoreAway> {
        // Of this process one at a time waits for it, so that those who wait do not hold every connection.
        let _turn = self.desk.turn.lock().await;
        let mut deciding = self
            .store()
            .deciding(&self.told.trigger.name)
            .await
            .map_err(StoreAway)?;
        let mut facts = deciding.facts(&self.told).await.map_err(StoreAway)?;
        // What was looked up may be older than a person's word on the target.
        let marks = match looked.sight.version() {
            None => Marks::default(),
            Some(version) => {
                let name = &self.told.application.name;
                deciding.marks(name, version).await.map_err(StoreAway)?
            }
        };
        if !looked.sight.add_to(&mut facts, marks) {
            return Ok(Judged::Later(clock::now().after(SOON)));
        }
        let decision = self.decide(&facts);
        let proposed = self.proposed(&facts);
        match (decision.outcome, &looked.plan) {
            (Outcome::Auto, Some(plan)) => match proposed {
                None => self.ask(deciding, &decision, plan, Ask::Start).await,
                Some(_) => {
                    drop(deciding);
                    self.make_way().await
                }
            },
            (Outcome::Propose, Some(plan)) if decision.lacks_only_a_yes() => match proposed {
                None => self.ask(deciding, &decision, plan, Ask::Propose).await,
                Some(waiting) if waiting.plan == Some(plan.digest()) => {
                    let asked = self.asked(&decision, waiting.rollback, Ask::Propose);
                    Ok(decided(asked))
                }
                // It is of what is no longer so: nobody could say yes to it.
                Some(_) => {
                    drop(deciding);
                    self.make_way().await
                }
            },
            (Outcome::Wait { until }, _) => Ok(Judged::Later(until)),
            (Outcome::Auto | Outcome::Propose | Outcome::Shadow | Outcome::Record, plan) => {
                Ok(self.only_said(&decision, plan.as_ref()))
            }
        }
    }

    fn store(&self) -> &store::Store {
        &self.desk.real.store
    }

    fn decide(&self, facts: &Facts) -> Decision {
        let policy = Policy::of(&self.told.application.guards);
        guard::decide(facts, &policy, clock::now())
    }

    /// The rollback of this application that is proposed and waits.
    fn proposed<'a>(&self, facts: &'a Facts) -> Option<&'a Recent> {
        let name = &self.told.application.name;
        let mut recent = facts.rollbacks.known()?.iter();
        recent.find(|recent| recent.proposed() && recent.application == *name)
    }

    /// What is only proposed gives way to what may start.
    async fn make_way(&self) -> Result<Judged, StoreAway> {
        let name = &self.told.application.name;
        let withdrawn = self.store().proposal_withdraw(name, &self.actor()).await;
        withdrawn.map_err(StoreAway)?;
        Ok(Judged::Later(clock::now().after(SOON)))
    }

    async fn ask(
        &self,
        deciding: Deciding,
        decision: &Decision,
        plan: &Plan,
        ask: Ask,
    ) -> Result<Judged, StoreAway> {
        let (id, at) = (RollbackId(Uuid::now_v7()), clock::now());
        let approval = Millis::from_secs(self.told.application.timeouts.approval_s);
        let new = NewRollback {
            id,
            plan,
            requested_by: self.actor(),
            reason: self.reason(),
            note: Some(self.note()),
            ticked: Vec::new(),
            break_glass: None,
            idempotency: self.key(ask),
            approval_until: (ask == Ask::Propose).then(|| at.after(approval)),
            at,
        };
        let asked = self.asked(decision, id, ask);
        let (event, part) = (self.told.event_id, self.part);
        match deciding.request(&new, event, part, &asked).await {
            Ok(Requested::New | Requested::Replayed(_)) => {}
            Err(Error::Conflict(Constraint::OneActing { active })) => {
                let said = format!(
                    "rollback {active} of {} is under way",
                    plan.application.name
                );
                return Ok(self.stopped(decision, "cooldown", said));
            }
            Err(Error::NotFound("message")) => {
                let said = "another worker decided it".to_owned();
                return Ok(self.stopped(decision, "decided", said));
            }
            // Switched off since the last look, whose guard says it better than we could.
            Err(Error::Conflict(Constraint::AutomaticOff { .. })) => {
                return Ok(Judged::Later(clock::now().after(SOON)));
            }
            Err(error) => return Err(StoreAway(error)),
        }
        let (application, trigger) = (&plan.application.name, &self.told.trigger.name);
        let (alert, said) = (&self.told.alert.title, &asked.said);
        tracing::warn!(%application, %trigger, alert, said, "an alert asked for a rollback");
        Ok(decided(asked))
    }

    fn note(&self) -> String {
        format!("{} ({})", self.told.alert.title, self.told.trigger.name)
    }

    /// An alert's own: asking twice is asking once.
    fn key(&self, ask: Ask) -> Idempotency {
        let event = self.told.event_id.as_bytes();
        let as_what: &[u8] = match ask {
            Ask::Start => b"start",
            Ask::Propose => b"propose",
        };
        let key = domain::chain::sha256_hex(&[as_what, &self.part.to_be_bytes(), event]);
        Idempotency {
            principal: self.actor().to_string(),
            body_hash: key.as_bytes().to_vec(),
            key,
        }
    }

    fn actor(&self) -> Actor {
        let name = self.told.trigger.name.as_str();
        Actor::of_trigger(name).expect("a name behind a word is an actor")
    }

    fn reason(&self) -> Reason {
        match impact_of(self.told.alert, &self.told.trigger.severities) {
            Some(Impact::Slow) => Reason::Performance,
            Some(Impact::Security) => Reason::Security,
            Some(Impact::Minor | Impact::Many | Impact::Down | Impact::DataCorruption) | None => {
                Reason::CriticalBug
            }
        }
    }

    /// The decision as it is written, by its worst reason.
    fn with_reason(&self, decision: &Decision, outcome: DecisionOutcome) -> NewDecision {
        let (code, next_action) = match decision.main_reason() {
            Some(answer) => (answer.guard.word(), answer.next_action.clone()),
            None => ("let_through", None),
        };
        NewDecision {
            application: Some(self.told.application.name.clone()),
            outcome,
            code: code.to_owned(),
            said: decision.said(),
            notice: serde_json::to_value(self.told.alert).unwrap_or_default(),
            deployment: None,
            episode: Some(self.told.alert.episode.clone()),
            would_be: Some(decision.would_be.word().to_owned()),
            guards: serde_json::to_value(&decision.answers).ok(),
            next_action,
            plan: None,
            rollback: None,
        }
    }

    /// Nothing is asked for.
    fn only_said(&self, decision: &Decision, plan: Option<&Plan>) -> Judged {
        let outcome = match decision.outcome {
            Outcome::Propose | Outcome::Auto => DecisionOutcome::Proposed,
            Outcome::Shadow => DecisionOutcome::Shadowed,
            Outcome::Record | Outcome::Wait { .. } => DecisionOutcome::Recorded,
        };
        let mut new = self.with_reason(decision, outcome);
        if let (DecisionOutcome::Proposed, Some(plan)) = (outcome, plan) {
            new.plan = Some(plan.digest());
            let (name, reason) = (&plan.application.name, self.reason().word());
            new.next_action = match decision.waits_for_a_deployment() {
                Some(wait) => wait.next_action.clone(),
                None => Some(format!(
                    "sternway rollback {name} --to {} --reason {reason}",
                    plan.to
                )),
            };
        }
        decided(new)
    }

    /// A rollback is asked for.
    fn asked(&self, decision: &Decision, rollback: RollbackId, ask: Ask) -> NewDecision {
        let new = match ask {
            Ask::Start => NewDecision {
                code: "let_through".to_owned(),
                said: format!("every guard lets it through: rollback {rollback}"),
                next_action: Some(format!("sternway watch {rollback}")),
                ..self.with_reason(decision, DecisionOutcome::Acted)
            },
            Ask::Propose => {
                let new = self.with_reason(decision, DecisionOutcome::Proposed);
                NewDecision {
                    said: format!("{}; rollback {rollback} waits for a yes", new.said),
                    next_action: Some(format!("sternway approve {rollback}")),
                    ..new
                }
            }
        };
        NewDecision {
            rollback: Some(rollback),
            ..new
        }
    }

    /// The guards had let it through, and the request was refused all the same.
    fn stopped(&self, decision: &Decision, code: &str, said: String) -> Judged {
        decided(NewDecision {
            code: code.to_owned(),
            said,
            next_action: None,
            ..self.with_reason(decision, DecisionOutcome::Recorded)
        })
    }
}

fn decided(new: NewDecision) -> Judged {
    Judged::Decided(Box::new(new))
}
