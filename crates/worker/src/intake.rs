//! What triggers told us: read, and brought to what comes of it. Everything that it goes by is a row, so a message is
//! decided once, however many workers look and however often they die.

mod alert;
mod ledger;
mod lookers;
mod looking;
mod plain;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use domain::{
    name::{ApplicationName, TriggerName},
    time::Moment,
    trigger::{
        alert::Alert,
        sort::{Begun, Matter, Part, sorted},
    },
};
use metrics::counter;
use store::{
    DecisionOutcome, Desk as InboxDesk, Due, Error, NewDecision, Store, Told, Topic, Wake,
};
use tokio::{
    sync::Mutex,
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{
    alert::{Judged, Judging},
    ledger::{Ledger, Recorded},
    lookers::Lookers,
    looking::Looked,
    plain::Sorted,
};
use crate::{
    metric,
    world::{Real, StoreAway},
};

pub(crate) use looking::explain;

/// The truth is polled; a wake-up only saves the waiting.
const POLL: Duration = Duration::from_millis(250);
/// Messages in hand at a time, and how many there must be room for before more are taken: few trips in a storm.
const AT_ONCE: usize = 64;
const ROOM: usize = AT_ONCE / 2;
/// The shortest time between two takings when the last one took all that there was: what comes meanwhile is taken together.
const BREATH: Duration = Duration::from_millis(10);
/// How long a message is ours: a worker that dies leaves it to others this much later. A look at an engine that does not
/// answer takes most of it.
const LEASE: Duration = Duration::from_secs(15);
/// How often a message is tried before it is put down as one that can not be decided. A database that is away is no try.
const TRIES_MAX: i32 = 8;

/// Where messages are decided.
struct Desk {
    real: Arc<Real>,
    /// Held by whoever waits for the right to let a rollback through.
    turn: Mutex<()>,
    /// Who may look.
    lookers: Lookers,
}

pub(crate) async fn run(store: Store, real: Arc<Real>, wake: Wake, shutdown: CancellationToken) {
    let mut wakes = wake.subscribe(Topic::Messages);
    let desk = Arc::new(Desk {
        real,
        turn: Mutex::new(()),
        lookers: Lookers::new(),
    });
    let mut hand = Hand {
        desk,
        store,
        messages: JoinSet::new(),
        keys: HashMap::new(),
    };
    let (mut more, mut next, mut poll) = (true, Instant::now(), Instant::now());
    while !shutdown.is_cancelled() {
        let now = Instant::now();
        more |= poll <= now;
        if more && hand.room() >= ROOM && next <= now {
            more = hand.take().await;
            let taken = Instant::now();
            next = if more { taken } else { taken + BREATH };
            poll = taken + POLL;
            continue;
        }
        let again = if more { next } else { poll };
        tokio::select! {
            Some(decided) = hand.messages.join_next_with_id() => hand.done(decided),
            () = wakes.woken(), if !more => more = true,
            () = tokio::time::sleep_until(again), if again > now => {}
            () = shutdown.cancelled() => {}
        }
    }
    // What was begun is decided again by whoever comes next: what it asked for has a key.
    hand.messages.shutdown().await;
}

/// The messages that are being decided.
struct Hand {
    desk: Arc<Desk>,
    store: Store,
    messages: JoinSet<Sorted>,
    keys: HashMap<Id, Vec<(TriggerName, String)>>,
}

impl Hand {
    fn room(&self) -> usize {
        AT_ONCE.saturating_sub(self.keys.values().map(Vec::len).sum())
    }

    /// Takes what is due; whether there may be more.
    async fn take(&mut self) -> bool {
        let room = self.room();
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let due = match self.store.inbox_due(InboxDesk::Intake, limit, LEASE).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "can not read what triggers told; trying again");
                return false;
            }
        };
        let full = due.len() == room;
        // One that takes longer than its lease is ours still.
        let ours = |due: &Due| self.keys.values().flatten().any(|mine| *mine == key(due));
        let due: Vec<Due> = due.into_iter().filter(|due| !ours(due)).collect();
        let (small, large): (Vec<Due>, Vec<Due>) = due.into_iter().partition(plain::may_be);
        large.into_iter().for_each(|message| self.alone(message));
        match small.len() {
            0 | 1 => small.into_iter().for_each(|message| self.alone(message)),
            _ => {
                let keys = small.iter().map(key).collect();
                let task = self.messages.spawn(plain::sort(small));
                self.keys.insert(task.id(), keys);
            }
        }
        full
    }

    /// One that others do not wait for.
    fn alone(&mut self, message: Due) {
        let (desk, keys) = (Arc::clone(&self.desk), vec![key(&message)]);
        let task = self.messages.spawn(async move {
            decide(&desk, &message).await;
            Sorted::default()
        });
        self.keys.insert(task.id(), keys);
    }

    fn together(&mut self, plain: Vec<(Due, Vec<NewDecision>)>) {
        let keys = plain.iter().map(|(due, _)| key(due)).collect();
        let store = self.store.clone();
        let task = self.messages.spawn(async move {
            plain::write(&store, plain).await;
            Sorted::default()
        });
        self.keys.insert(task.id(), keys);
    }

    fn done(&mut self, decided: Result<(Id, Sorted), JoinError>) {
        let (id, sorted) = decided.unwrap_or_else(|error| {
            tracing::error!(%error, "deciding a message broke off");
            (error.id(), Sorted::default())
        });
        self.keys.remove(&id);
        let Sorted { alone, plain } = sorted;
        alone.into_iter().for_each(|message| self.alone(message));
        if !plain.is_empty() {
            self.together(plain);
        }
    }
}

fn key(due: &Due) -> (TriggerName, String) {
    (due.trigger.name.clone(), due.event_id.clone())
}

/// Decides one message. What fails now is due again when its lease is over.
async fn decide(desk: &Desk, due: &Due) {
    let (store, trigger) = (&desk.real.store, &due.trigger.name);
    let decisions = match decisions(desk, due).await {
        Ok(Decided::Now(decisions)) => decisions,
        Ok(Decided::Later(until)) => {
            if let Err(error) = store.inbox_later(trigger, &due.event_id, until).await {
                tracing::warn!(%trigger, %error, "a message is looked at again later than it should be");
            }
            return;
        }
        Err(StoreAway(error)) if error.passes() || due.tries < TRIES_MAX => {
            return tracing::warn!(%trigger, %error, "a message could not be decided; trying again");
        }
        Err(StoreAway(error)) => {
            tracing::error!(%trigger, %error, "a message can not be decided and is put down");
            let said = format!("it could not be decided: {error}");
            vec![put_down("undecidable", said)]
        }
    };
    match store
        .decisions_put(trigger, &due.event_id, decisions.clone())
        .await
    {
        Ok(true) => tell(due, &decisions),
        Ok(false) => {}
        Err(error) => tracing::warn!(%trigger, %error, "a decision was not written; trying again"),
    }
}

fn tell(due: &Due, decisions: &[NewDecision]) {
    let trigger = &due.trigger.name;
    for decision in decisions {
        counter!(metric::DECISIONS, "outcome" => decision.outcome.word()).increment(1);
        let (code, said) = (&decision.code, &decision.said);
        let application = decision.application.as_ref().map(ToString::to_string);
        tracing::info!(%trigger, application, code, said, "a message was decided");
    }
}

fn plain(
    application: Option<ApplicationName>,
    outcome: DecisionOutcome,
    code: &str,
    said: String,
) -> NewDecision {
    NewDecision {
        application,
        outcome,
        code: code.to_owned(),
        said,
        notice: serde_json::Value::Null,
        deployment: None,
        episode: None,
        would_be: None,
        guards: None,
        next_action: None,
        plan: None,
        rollback: None,
    }
}

fn put_down(code: &str, said: String) -> NewDecision {
    plain(None, DecisionOutcome::Recorded, code, said)
}

/// What came of a message. It is decided once everything that it says is.
enum Decided {
    Now(Vec<NewDecision>),
    Later(Moment),
}

async fn decisions(desk: &Desk, due: &Due) -> Result<Decided, StoreAway> {
    if due.removed {
        return Ok(Decided::Now(vec![plain::of_removed()]));
    }
    let Some(parts) = parts(due).await else {
        let said = "our reading of it broke off: a defect of ours".to_owned();
        return Ok(Decided::Now(vec![put_down("undecidable", said)]));
    };
    let (store, trigger) = (&desk.real.store, &due.trigger.name);
    let mut before = BTreeMap::new();
    if parts.len() > 1 {
        let kept = store.decisions_of(trigger, &due.event_id).await;
        before = kept.map_err(StoreAway)?;
    }
    let (mut decisions, mut new, mut later) = (Vec::new(), BTreeMap::new(), None);
    let mut seen = BTreeMap::new();
    for (at, part) in (0_i32..).zip(parts) {
        if let Some(decided) = before.remove(&at) {
            decisions.push(decided);
            continue;
        }
        match decision(desk, due, at, part, &mut seen).await? {
            Judged::Decided(decision) => {
                new.insert(at, (*decision).clone());
                decisions.push(*decision);
            }
            // The first that may be decided is: the others are asked again then.
            Judged::Later(until) => {
                later = Some(later.map_or(until, |later: Moment| later.min(until)));
            }
        }
    }
    let Some(until) = later else {
        return Ok(Decided::Now(decisions));
    };
    // What one application has to wait for keeps back nothing of another, and makes nothing of it late.
    if !new.is_empty() {
        let kept = store.decisions_keep(trigger, &due.event_id, &new).await;
        kept.map_err(StoreAway)?;
    }
    Ok(Decided::Later(until))
}

/// Everything that a message says. Many alerts against many rules take a while, and nobody else waits for that; what it
/// can not stand is put down, and not tried again.
async fn parts(due: &Due) -> Option<Vec<Part>> {
    let (trigger, headers, body) = (due.trigger.clone(), due.headers.clone(), due.body.clone());
    let read = tokio::task::spawn_blocking(move || sorted(&trigger, &headers, &body)).await;
    let name = &due.trigger.name;
    read.inspect_err(
        |error| tracing::error!(trigger = %name, %error, "a message breaks our reading"),
    )
    .ok()
}

/// What was seen of each application that a message is about.
type Seen = BTreeMap<ApplicationName, Option<Looked>>;

async fn decision(
    desk: &Desk,
    due: &Due,
    at: i32,
    part: Part,
    seen: &mut Seen,
) -> Result<Judged, StoreAway> {
    let written = |outcome, code: &str, said: String, deployment| {
        Judged::Decided(Box::new(plain::written(
            &part, outcome, code, said, deployment,
        )))
    };
    let as_said = |outcome| written(outcome, part.code, part.said.clone(), None);
    if let Some(decision) = plain::decision(due.trigger.mode, &part) {
        return Ok(Judged::Decided(Box::new(decision)));
    }
    match (&part.matter, &part.application) {
        (Matter::Nothing | Matter::Known, _)
        | (Matter::Alert(_) | Matter::Begun(_) | Matter::Deployment(_), None) => {
            Ok(as_said(DecisionOutcome::Recorded))
        }
        (Matter::Begun(begun), Some(name)) => Ok(match other(desk, begun, name).await? {
            Some((code, said)) => written(DecisionOutcome::Recorded, code, said, None),
            None => as_said(DecisionOutcome::Recorded),
        }),
        (Matter::Alert(alert), Some(name)) => {
            let seen = seen.entry(name.clone()).or_default();
            let judged = alerted(desk, due, at, alert, name, seen).await?;
            Ok(judged.unwrap_or_else(|| {
                let said = led_nowhere(name);
                written(DecisionOutcome::Recorded, "unknown_application", said, None)
            }))
        }
        (Matter::Deployment(told), Some(name)) => {
            let _looks = desk.lookers.ledger().await;
            let ledger = Ledger {
                store: &desk.real.store,
                due,
                told,
            };
            Ok(match ledger.record(name).await? {
                Recorded::In { id, said } => {
                    written(DecisionOutcome::Deployed, "deployed", said, Some(id))
                }
                Recorded::Not { code, said } => {
                    written(DecisionOutcome::Recorded, code, said, None)
                }
            })
        }
    }
}

/// Why what began is not under way for this application.
async fn other(
    desk: &Desk,
    begun: &Begun,
    name: &ApplicationName,
) -> Result<Option<(&'static str, String)>, StoreAway> {
    match desk.real.store.application_get(name).await {
        Ok((application, _)) => Ok(begun.other(&application)),
        Err(Error::NotFound(_)) => Ok(Some(("unknown_application", led_nowhere(name)))),
        Err(error) => Err(StoreAway(error)),
    }
}

fn led_nowhere(name: &ApplicationName) -> String {
    format!("the route leads to {name}, which is no application here")
}

/// None: there is no such application.
async fn alerted(
    desk: &Desk,
    due: &Due,
    part: i32,
    alert: &Alert,
    name: &ApplicationName,
    seen: &mut Option<Looked>,
) -> Result<Option<Judged>, StoreAway> {
    let application = match desk.real.store.application_get(name).await {
        Ok((application, _)) => application,
        Err(Error::NotFound(_)) => return Ok(None),
        Err(error) => return Err(StoreAway(error)),
    };
    let told = Told {
        trigger: &due.trigger,
        event_id: &due.event_id,
        alert,
        received_at: due.received_at,
        application: &application,
    };
    let judging = Judging { desk, told, part };
    judging.judge(seen).await.map(Some)
}
