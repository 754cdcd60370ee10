//! The acts of a person in a chat. Each goes through the function that does the same for the API's other clients, with
//! the person's own permit, so that a rule that holds there holds here.

use std::time::Duration;

use axum::Json;
use domain::{
    chat::card::{Facts, Known, Occasion, State, Under, card},
    lifecycle::Phase,
    name::{ApplicationName, PlanDigest, RollbackId, Version},
    plan::Plan,
    readiness::ReadinessCode,
    reason::Reason,
    target::{self, Target},
    time::Millis,
    trigger::{Kind, Mode, TrustTier},
};
use sha2::{Digest as _, Sha256};
use store::{ChatCard, Due, Idempotency, Page, RollbackView};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Heard, Outcome, is, named_after, words};
use crate::{
    auth::{self, Approve, ChatDesk, Chatter, Operate, Permit, Read},
    clock::now,
    input::{At, Input, Params},
    problem::{Code, Problem},
    routes::{
        applications::{self, ApplicationPath},
        approvals::{self, ApprovalRequest, Decision},
        plans::{self, PlanAnswer, PlanRequest},
        releases::{self, ReleaseParams},
        rollbacks::{self, RollbackPath, RollbackRequest, Way},
    },
};

/// Applications that are listed in a chat.
const APPLICATIONS_MAX: u32 = 15;
/// Versions that are named of each.
const READY_MAX: usize = 3;

/// How long somebody else's asking is waited for, and how often it is looked at: a look at an engine and at Compose.
const TAKEN_MAX: Duration = Duration::from_secs(15);
const TAKEN_POLL: Duration = Duration::from_millis(200);

/// A person, and what they said.
pub(super) struct Acting<'a> {
    pub(super) desk: &'a ChatDesk,
    pub(super) due: &'a Due,
    pub(super) heard: &'a Heard,
    pub(super) chatter: &'a Chatter,
}

impl Acting<'_> {
    /// What there is, and what it could go back to.
    pub(super) async fn applications(&self) -> Result<Outcome, Problem> {
        let permit = self.chatter.permit::<Read>()?;
        let page = Page {
            after: None,
            limit: APPLICATIONS_MAX,
        };
        let listed = applications::page(&permit, &page).await?;
        let mut found = Vec::new();
        for item in listed.items {
            let ready = self.ready(&permit, &item.application.name).await?;
            found.push((item, ready));
        }
        let text = words::applications(&found, listed.next.is_some());
        Ok(Outcome::said("applications", text))
    }

    /// What is worth going back to and was ready when it was last looked at, the last known good release first. No engine is
    /// asked: what runs is what the ledger last saw running.
    async fn ready(
        &self,
        permit: &Permit<Read>,
        name: &ApplicationName,
    ) -> Result<Vec<String>, Problem> {
        let store = permit.store();
        let runs = store.standpoint(name).await?.seen.map(|seen| seen.version);
        let releases = store.releases(name).await?;
        let stored = store.readiness_list(name).await?;
        let is_ready = |version: &Version| {
            let found = stored.get(version);
            found.is_some_and(|found| found.readiness.code == ReadinessCode::Ready)
        };
        let good = target::known_good(&releases, runs.as_ref()).into_iter();
        let ready = good.filter(|release| is_ready(&release.version));
        let named = ready
            .take(READY_MAX)
            .map(|release| release.version.to_string());
        Ok(named.collect())
    }

    /// A plan, on a card that can be decided on; without a version, what can be gone back to besides.
    pub(super) async fn plan(
        &self,
        name: &ApplicationName,
        version: Option<&Version>,
        reason: Option<Reason>,
        note: Option<&String>,
    ) -> Result<Outcome, Problem> {
        let path = || At(ApplicationPath { name: name.clone() });
        let mut texts = Vec::new();
        if version.is_none() {
            let readiness = Some(true);
            let params = Params(ReleaseParams { readiness });
            let Json(listed) = releases::list(self.chatter.permit()?, path(), params).await?;
            texts.push(words::targets(&listed.items));
        }
        let ask = PlanRequest {
            target: match version {
                Some(version) => Target::Version(version.clone()),
                None => Target::LastKnownGood,
            },
            ..PlanRequest::default()
        };
        let made = match self.chatter.permit::<auth::Plan>() {
            Ok(permit) => plans::make(permit, path(), Input(ask)).await,
            Err(problem) => Err(problem),
        };
        let code = match made {
            Ok(Json(plan)) => {
                texts.push(self.show(plan, reason, note).await?);
                "plan".to_owned()
            }
            // What can be gone back to was asked for as well, and is known.
            Err(problem) if !texts.is_empty() => {
                texts.push(words::problem(&problem));
                problem.code.word().to_owned()
            }
            Err(problem) => return Err(problem),
        };
        Ok(Outcome::said(&code, texts.join("\n\n")))
    }

    /// Makes the card; what whoever asked is told besides.
    async fn show(
        &self,
        answer: PlanAnswer,
        reason: Option<Reason>,
        note: Option<&String>,
    ) -> Result<String, Problem> {
        let (name, to) = (answer.application, answer.to);
        if answer.changes_nothing {
            return Ok(format!("{name} runs {to} already: there is nothing to do."));
        }
        let store = self.desk.store();
        let trigger = &self.due.trigger;
        let plan = store.plan_get(&answer.digest).await?;
        let may_act = trigger.mode == Mode::Propose;
        let shown = may_act
            && trigger.kind == Kind::Slack
            && store.chat_bot(&trigger.name).await?.is_some();
        let card = ChatCard {
            id: named_after(self.due, "card"),
            trigger: trigger.name.clone(),
            channel: shown.then(|| self.heard.channel.clone()),
            occasion: Occasion::Plan,
            plan: answer.digest,
            rollback: None,
            asked_by: self.chatter.principal().actor.clone(),
            known: Known {
                downtime: answer.downtime,
                warnings: answer.warnings,
                checklist: answer.checklist,
                asker: Some(self.heard.user.clone()),
                reason,
                note: note.cloned(),
                glass: None,
            },
            state: State::Open,
            said: None,
            revision: 1,
            until: now().after(Millis::from_secs(plan.application.timeouts.approval_s)),
        };
        if may_act {
            store.chat_card_put(&card).await?;
        }
        if shown {
            return Ok(format!(
                "The plan for {name} to {to} is shown in this channel. If it is not, invite me there, or say \
                 `/rollback approve {}`.",
                card.id
            ));
        }
        let text = text_of(&card, &plan, None, may_act);
        Ok(match self.way() {
            Way::Unsigned if may_act => format!("{text}\n\n{}", words::ONLY_PROPOSES),
            Way::Unsigned | Way::Proved => text,
        })
    }

    /// How what is said in this chat comes here.
    fn way(&self) -> Way {
        match self.due.trigger.trusted() {
            TrustTier::Address | TrustTier::Bearer => Way::Unsigned,
            TrustTier::Signed => Way::Proved,
        }
    }

    /// A yes or a no, to a plan or to a rollback that waits.
    pub(super) async fn decide(
        &self,
        id: Uuid,
        digest: Option<&PlanDigest>,
        yes: bool,
    ) -> Result<Outcome, Problem> {
        let trigger = &self.due.trigger;
        if trigger.mode != Mode::Propose {
            let said = "this chat only shows what there is: nothing can be done here";
            return Err(Problem::new(Code::Forbidden, said).next("use the command line"));
        }
        loop {
            let card = self.settled(id).await?;
            let plan = self.desk.store().plan_get(&card.plan).await?;
            let name = &plan.application.name;
            self.chatter.permit::<Read>()?.must_see(name)?;
            if digest.is_some_and(|seen| *seen != card.plan) {
                return Err(Problem::digest_differs(&card.plan));
            }
            let outcome = match (card.rollback, yes) {
                (Some(rollback), yes) => self.decide_on(rollback, &card.plan, yes).await?,
                (None, true) => match Box::pin(self.ask_for(&card, &plan)).await? {
                    Some(outcome) => outcome,
                    None => continue,
                },
                (None, false) => self.deny(&card).await?,
            };
            return Ok(outcome.about(name));
        }
    }

    /// The card, once nobody else is asking for its plan at this moment.
    async fn settled(&self, id: Uuid) -> Result<ChatCard, Problem> {
        let (store, trigger) = (self.desk.store(), &self.due.trigger.name);
        let began = Instant::now();
        loop {
            let found = store.chat_card_find(trigger, id).await?;
            let card =
                found.ok_or_else(|| Problem::not_found("plan or rollback", &id.to_string()))?;
            let others = card.said.as_deref() != Some(self.due.event_id.as_str());
            if card.rollback.is_some() || card.state != State::Taken || !others {
                return Ok(card);
            }
            if began.elapsed() > TAKEN_MAX {
                return Err(moved_on());
            }
            tokio::time::sleep(TAKEN_POLL).await;
        }
    }

    /// What is shown is not asked for.
    async fn deny(&self, card: &ChatCard) -> Result<Outcome, Problem> {
        let permit = self.chatter.permit::<Operate>()?;
        still_open(card)?;
        let by = permit.actor().as_str();
        let closed = self
            .desk
            .store()
            .chat_card_close(card.id, State::Denied, by);
        if !closed.await? {
            return Err(moved_on());
        }
        Ok(Outcome::said("denied", "Denied. Nothing was done."))
    }

    /// A yes to a plan that nobody has asked for yet: it is asked for in the name of whoever had it shown, where another
    /// person has to approve it, and then approved by whoever clicked; otherwise in the name of whoever clicked.
    /// None: somebody else is at it.
    async fn ask_for(&self, card: &ChatCard, plan: &Plan) -> Result<Option<Outcome>, Problem> {
        let mine = is(self.chatter, &card.asked_by);
        let second = plan.application.approval && !mine;
        let asker = match second {
            false => None,
            true => {
                // Whether it may be approved at all comes before anything is asked for.
                if self.way() == Way::Unsigned {
                    return Err(unsigned());
                }
                self.chatter.permit::<Approve>()?;
                Some(self.asker(card).await?)
            }
        };
        let requester = asker.as_ref().unwrap_or(self.chatter);
        still_open(card)?;
        let (store, message) = (self.desk.store(), self.due.event_id.as_str());
        if !store.chat_card_take(card.id, message).await? {
            return Ok(None);
        }
        let view = match self.request(requester, card).await {
            Ok(view) => view,
            Err(problem) => {
                if problem.code == Code::PlanStale {
                    let why = problem.difference.join("; ");
                    store.chat_card_close(card.id, State::Stale, &why).await?;
                } else if !super::passes(&problem) {
                    store.chat_card_give_back(card.id, message).await?;
                }
                return Err(problem);
            }
        };
        store.chat_card_bind(card.id, view.id).await?;
        if second {
            return self.decide_on(view.id, &card.plan, true).await.map(Some);
        }
        Ok(Some(self.asked_for(&view)))
    }

    /// What whoever asked for a rollback is told. In a chat that signs nothing it is only proposed.
    fn asked_for(&self, view: &RollbackView) -> Outcome {
        let text = match self.way() {
            Way::Proved => words::asked_for(view),
            Way::Unsigned => words::proposed(view),
        };
        Outcome {
            rollback: Some(view.id),
            ..Outcome::said("asked_for", text)
        }
    }

    /// Whoever had the plan shown, with what they may do by now.
    async fn asker(&self, card: &ChatCard) -> Result<Chatter, Problem> {
        let found = match &card.known.asker {
            Some(user) => {
                self.desk
                    .store()
                    .chat_person_get(&card.trigger, user)
                    .await?
            }
            None => None,
        };
        let found = found.filter(|person| person.person == card.asked_by);
        let gone = || {
            let said = format!(
                "{} asked for it, and is not known here any more",
                card.asked_by
            );
            Problem::new(Code::Forbidden, said).next("ask for the plan yourself")
        };
        Ok(self.desk.chatter(found.ok_or_else(gone)?))
    }

    /// The request itself: the card is its key, so clicking twice is asking once.
    async fn request(&self, requester: &Chatter, card: &ChatCard) -> Result<RollbackView, Problem> {
        let permit = requester.permit::<Operate>()?;
        let ask = RollbackRequest {
            plan_digest: card.plan.clone(),
            reason: card.known.reason.unwrap_or(Reason::CriticalBug),
            note: card.known.note.clone(),
            ticked: Vec::new(),
            break_glass: None,
        };
        let idempotency = Idempotency {
            principal: permit.actor().to_string(),
            key: format!("chat/{}", card.id),
            body_hash: Sha256::digest(card.plan.as_str()).to_vec(),
        };
        let (view, _) = rollbacks::accept(&permit, &ask, self.way(), idempotency).await?;
        Ok(view)
    }

    /// A yes or a no to a rollback.
    async fn decide_on(
        &self,
        id: RollbackId,
        digest: &PlanDigest,
        yes: bool,
    ) -> Result<Outcome, Problem> {
        let read = self.chatter.permit::<Read>()?;
        let view = rollbacks::find(&read, id).await?;
        let mine = is(self.chatter, &view.requested_by);
        let path = At(RollbackPath { id });
        match (yes, mine) {
            // Their own click on what needs nobody else, again: it is asked for, as the first one said.
            (true, true) if !view.plan.application.approval => {
                return Ok(self.asked_for(&view));
            }
            // A button that is pressed late turns nothing back that is under way.
            (false, true) if !matches!(view.run.phase, Phase::AwaitingApproval { .. }) => {
                let said = format!("rollback {id} does not wait for a yes any more");
                return Err(Problem::new(Code::ApprovalNotAwaited, said)
                    .next(format!("to call it off: `sternway cancel {id}`")));
            }
            (false, true) => {
                let permit = self.chatter.permit()?;
                rollbacks::cancel(permit, path).await?;
            }
            (true, false) if self.way() == Way::Unsigned => return Err(unsigned()),
            (yes, _) => {
                let ask = ApprovalRequest {
                    decision: if yes {
                        Decision::Approve
                    } else {
                        Decision::Reject
                    },
                    plan_digest: digest.clone(),
                };
                approvals::decide(self.chatter.permit()?, path, Input(ask)).await?;
            }
        }
        let code = if yes { "approved" } else { "rejected" };
        Ok(Outcome {
            rollback: Some(id),
            ..Outcome::said(code, words::decided(&view, yes))
        })
    }
}

/// What can be asked for can be until its time is over, like an approval.
fn still_open(card: &ChatCard) -> Result<(), Problem> {
    match card.state {
        State::Open if now() < card.until => Ok(()),
        // Whose it is, is decided where it is taken.
        State::Taken => Ok(()),
        State::Open => Err(Problem::new(
            Code::ApprovalNotAwaited,
            format!("nobody took this plan up until {}", card.until),
        )),
        State::Denied | State::Stale | State::Broken => Err(moved_on()),
    }
    .map_err(|problem| problem.next("ask for the plan again: `/rollback APP`"))
}

fn moved_on() -> Problem {
    let said = "this plan was denied, is no longer true, or is asked for already";
    Problem::new(Code::ApprovalNotAwaited, said)
}

/// Whoever reads one command of such a chat can make others, in anybody's name.
fn unsigned() -> Problem {
    let said = "this chat signs nothing, so nobody can approve another person's rollback in it";
    Problem::new(Code::Forbidden, said).next("approve it on the command line")
}

/// The card in words, for who sees no cards.
fn text_of(made: &ChatCard, plan: &Plan, under: Option<Under<'_>>, may_act: bool) -> String {
    card(&Facts {
        card: made.id,
        occasion: made.occasion,
        plan,
        known: &made.known,
        asked_by: &made.asked_by,
        state: made.state,
        said: made.said.as_deref(),
        until: made.until,
        under,
        may_act,
        now: now(),
    })
    .text()
}
