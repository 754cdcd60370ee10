//! What persons ask in chats, taken up from the inbox and done by the same functions that answer every other client. An
//! answer and a card are rows, which a worker sends: a chat that is away delays nobody.

mod acts;
mod words;

use std::{panic::catch_unwind, time::Duration};

use domain::{
    chat::{
        command::{Asked, Heard, heard},
        may_answer,
    },
    name::{Actor, ApplicationName, RollbackId},
    trigger::Mode,
};
use serde_json::json;
use store::{DecisionOutcome, Desk, Due, NewDecision, Topic};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    auth::{ChatDesk, Chatter},
    clock::POLL,
    problem::{Code, Problem},
};

/// Messages taken up at a time: each may wait for a look at an engine.
const AT_ONCE: usize = 16;
/// How long one is ours: two looks at an engine, and one at a repository.
const LEASE: Duration = Duration::from_secs(45);
/// How often one is tried before it is put down.
const TRIES_MAX: i32 = 4;

/// What came of a message.
struct Outcome {
    /// What whoever asked is told.
    text: String,
    /// The same as a stable code.
    code: String,
    application: Option<ApplicationName>,
    rollback: Option<RollbackId>,
}

impl Outcome {
    fn said(code: &str, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            code: code.to_owned(),
            application: None,
            rollback: None,
        }
    }

    fn about(self, application: &ApplicationName) -> Self {
        Self {
            application: Some(application.clone()),
            ..self
        }
    }

    fn of(problem: &Problem) -> Self {
        Self::said(problem.code.word(), words::problem(problem))
    }
}

/// Takes up what is asked, until `shutdown`. One that waits for an engine keeps only its own place.
pub(crate) async fn run(desk: ChatDesk, shutdown: CancellationToken) {
    let mut wakes = desk.store().wake().subscribe(Topic::Work);
    let mut messages = JoinSet::new();
    while !shutdown.is_cancelled() {
        while let Some(ended) = messages.try_join_next() {
            noted(ended);
        }
        let room = AT_ONCE.saturating_sub(messages.len());
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let due = match room {
            0 => Ok(Vec::new()),
            _ => desk.store().inbox_due(Desk::Chat, limit, LEASE).await,
        };
        match due {
            Ok(due) => {
                for due in due {
                    let desk = desk.clone();
                    messages.spawn(async move { take_up(&desk, &due).await });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "can not read what is asked in chats; trying again");
            }
        }
        tokio::select! {
            Some(ended) = messages.join_next(), if room == 0 => noted(ended),
            () = wakes.woken() => {}
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

fn noted(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a message of a chat broke off: a defect of ours");
    }
}

/// What fails now is due again when its lease is over.
async fn take_up(desk: &ChatDesk, due: &Due) {
    let (trigger, event) = (&due.trigger.name, &due.event_id);
    let (outcome, url) = match read(due) {
        _ if due.removed || due.trigger.mode == Mode::Off => {
            (Outcome::said("off", "the chat was switched off"), None)
        }
        Ok(heard) if due.tries > TRIES_MAX => {
            (Outcome::said("undecidable", words::BROKEN), heard.reply_to)
        }
        Err(said) => (Outcome::said("unreadable", said), None),
        Ok(heard) => {
            let outcome = match answered(desk, due, &heard).await {
                Ok(outcome) => outcome,
                Err(problem) if passes(&problem) && due.tries < TRIES_MAX => {
                    return tracing::warn!(%trigger, said = problem.detail, "a chat is answered later");
                }
                Err(problem) => Outcome::of(&problem),
            };
            (outcome, heard.reply_to)
        }
    };
    let base = due.trigger.settings.base_url.as_deref();
    let url = url.filter(|url| may_answer(base, url));
    if let Err(error) = tell(desk, due, &outcome, url.as_deref()).await {
        tracing::warn!(%trigger, event, %error, "what came of a message was not written; trying again");
    }
}

/// What is asked, or why it can not be read.
fn read(due: &Due) -> Result<Heard, String> {
    if let Some(why) = &due.lost {
        return Err(why.clone());
    }
    // Reading it may be what breaks off.
    let read = catch_unwind(|| heard(due.trigger.kind, &due.body));
    read.unwrap_or_else(|_| Err("a defect of ours".to_owned()))
}

/// Whether the same message may have a better answer in a moment, without anybody asking again.
fn passes(problem: &Problem) -> bool {
    matches!(problem.code, Code::DatabaseUnavailable | Code::Internal)
}

async fn tell(
    desk: &ChatDesk,
    due: &Due,
    outcome: &Outcome,
    url: Option<&str>,
) -> store::Result<()> {
    let store = desk.store();
    let trigger = &due.trigger.name;
    if let Some(url) = url {
        let id = named_after(due, "answer");
        store
            .chat_answer_put(id, trigger, url, &outcome.text)
            .await?;
    }
    let came_of_it = match outcome.rollback {
        Some(_) => DecisionOutcome::Acted,
        None => DecisionOutcome::Noted,
    };
    let first = outcome.text.lines().next().unwrap_or_default();
    let decision = NewDecision {
        application: outcome.application.clone(),
        outcome: came_of_it,
        code: outcome.code.clone(),
        said: first.to_owned(),
        notice: serde_json::Value::Null,
        deployment: None,
        episode: None,
        would_be: None,
        guards: None,
        next_action: None,
        plan: None,
        rollback: outcome.rollback,
    };
    store
        .decisions_put(trigger, &due.event_id, vec![decision])
        .await
        .map(drop)
}

/// An identity that taking the same message up again gives again.
fn named_after(due: &Due, what: &str) -> Uuid {
    let trigger = due.trigger.name.as_str();
    let parts = [what, "/", trigger, "/", &due.event_id].map(str::as_bytes);
    let digest = domain::chain::sha256_hex(&parts);
    digest
        .get(..32)
        .and_then(|hex| hex.parse().ok())
        .unwrap_or_default()
}

async fn answered(desk: &ChatDesk, due: &Due, heard: &Heard) -> Result<Outcome, Problem> {
    let trigger = &due.trigger;
    let Some(person) = desk
        .store()
        .chat_person_get(&trigger.name, &heard.user)
        .await?
    else {
        let by = Actor::of_trigger(trigger.name.as_str()).map_err(|_| Problem::internal())?;
        let object = format!("trigger/{}", trigger.name);
        let detail = json!({"user": heard.user, "event": due.event_id});
        desk.store()
            .audit_put(&by, "chat.unknown", &object, detail)
            .await?;
        return Ok(Outcome::said(
            "unknown_person",
            words::unknown(&trigger.name, &heard.user),
        ));
    };
    let chatter = desk.chatter(person);
    let acting = acts::Acting {
        desk,
        due,
        heard,
        chatter: &chatter,
    };
    match &heard.asked {
        Asked::Help(wrong) => Ok(Outcome::said("help", words::help(wrong.as_deref()))),
        Asked::Nothing => Ok(Outcome::said("unknown_kind", words::help(None))),
        Asked::Applications => acting.applications().await,
        Asked::Plan {
            application,
            version,
            reason,
            note,
        } => {
            let outcome = acting
                .plan(application, version.as_ref(), *reason, note.as_ref())
                .await;
            outcome.map(|outcome| outcome.about(application))
        }
        Asked::Decide { card, digest, yes } => acting.decide(*card, digest.as_ref(), *yes).await,
    }
}

/// Whether two names are the same person.
fn is(chatter: &Chatter, actor: &Actor) -> bool {
    chatter.principal().actor == *actor
}
