//! The log of a rollback as a stream that goes on where a client left off.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response, Sse, sse},
};
use domain::{
    lifecycle::Event,
    name::{Actor, RollbackId},
    plan::Plan,
    time::Moment,
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use store::{Store, StoredEvent, Topic, Wakes};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::rollbacks::{RollbackPath, find};
use crate::{
    auth::{Permit, Read, StreamPlace},
    clock::POLL,
    input::{At, Params, header_text},
    problem::{Code, Problem},
    projection::{Fold, Logged},
    sentences::sentence,
};

/// How often a quiet stream says that it lives; proxies cut what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events read at a time.
const BATCH: u32 = 100;
/// Longest log that is projected; a rollback has some hundred events.
const LOG_EVENTS_MAX: usize = 20_000;

/// Where to begin.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventParams {
    /// Only events after this position; `last-event-id` counts for more.
    #[param(minimum = 0, maximum = 2147483647)]
    pub after: Option<i32>,
}

/// The `data` of one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventAnswer {
    /// Position in the log, from 1; the stream's `id`.
    pub seq: i32,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
    /// Who caused it.
    pub actor: Actor,
    /// The step that the rollback was at, in one or two words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// It, said to a person.
    pub sentence: String,
    /// The event as it is in the log; `event.event` is the stream's `event`.
    #[schema(value_type = Object)]
    pub event: Event,
}

/// The events of a rollback as server-sent events: those that were, then each as it comes.
///
/// `id` is the position, `event` the kind, `data` an `EventAnswer`. Ends by itself after `ended`.
#[utoipa::path(get, path = "/api/v1/rollbacks/{id}/events", operation_id = "stream_events", tag = "rollbacks",
    params(RollbackPath, EventParams, ("last-event-id" = Option<String>, Header, pattern = "^[0-9]{1,9}$",
        description = "The last `id` that you saw; browsers send it by themselves")),
    responses((status = 200, description = "A stream of server-sent events (`text/event-stream`): `id` is the position in the log, `event` its kind, `data` an `EventAnswer` as JSON. It ends after `ended`."),
        (status = 503, description = "Too many streams, or the database does not answer", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn stream(
    permit: Permit<Read>,
    At(path): At<RollbackPath>,
    Params(params): Params<EventParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = position(&headers, params.after)?;
    let view = find(&permit, path.id).await?;
    let place = permit.stream_place()?;
    let wakes = permit.store().wake().subscribe(Topic::Events);
    let reader = Reader {
        permit,
        id: path.id,
        plan: view.plan,
        wakes,
        fold: Fold::new(),
        ready: VecDeque::new(),
        read: 0,
        after,
        checked: Instant::now(),
        ended: false,
        _place: place,
    };
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let mut response = Sse::new(events)
        .keep_alive(sse::KeepAlive::new().interval(HEARTBEAT))
        .into_response();
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response
        .headers_mut()
        .insert(unbuffered, HeaderValue::from_static("no"));
    Ok(response)
}

/// Every event of a log.
pub(crate) async fn whole_log(store: &Store, id: RollbackId) -> Result<Vec<StoredEvent>, Problem> {
    let mut events: Vec<StoredEvent> = Vec::new();
    while events.len() < LOG_EVENTS_MAX {
        let after = events.last().map_or(0, |event| event.seq);
        let page = store.events(id, after, BATCH).await?;
        if page.is_empty() {
            break;
        }
        events.extend(page);
    }
    Ok(events)
}

fn position(headers: &HeaderMap, after: Option<i32>) -> Result<i32, Problem> {
    let bad = |name| Problem::parameter(name, "is not the position of an event");
    match (header_text(headers, "last-event-id")?, after) {
        (Some(id), _) => id
            .parse()
            .ok()
            .filter(|seq| *seq >= 0)
            .ok_or_else(|| bad("last-event-id")),
        (None, Some(seq)) if seq < 0 => Err(bad("after")),
        (None, Some(seq)) => Ok(seq),
        (None, None) => Ok(0),
    }
}

/// Reads one log from its beginning, since what an event means depends on what came before, and shows what is new.
struct Reader {
    permit: Permit<Read>,
    id: RollbackId,
    plan: Plan,
    wakes: Wakes,
    fold: Fold,
    ready: VecDeque<sse::Event>,
    read: i32,
    after: i32,
    checked: Instant,
    ended: bool,
    _place: StreamPlace,
}

impl Reader {
    /// The next event to show; none when the log, the permit or the server has ended.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended || self.permit.shutting_down() || !self.allowed().await {
                return None;
            }
            match self.permit.store().events(self.id, self.read, BATCH).await {
                Ok(events) if !events.is_empty() => self.take(events),
                Ok(_) => {
                    self.permit
                        .pause(&mut self.wakes, Instant::now() + POLL)
                        .await
                }
                Err(error) => {
                    tracing::debug!(%error, "a stream waits for the database");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// Whether the token is still good. A database that is away says nothing about it, and nothing is shown then.
    async fn allowed(&mut self) -> bool {
        if self.checked.elapsed() < POLL {
            return true;
        }
        self.checked = Instant::now();
        match self.permit.still_valid().await {
            Ok(()) => true,
            Err(problem) => !problem.is(Code::Unauthenticated),
        }
    }

    fn take(&mut self, events: Vec<StoredEvent>) {
        for stored in events {
            let step = self
                .fold
                .step()
                .and_then(|index| self.plan.steps.get(index))
                .map(|step| step.title());
            self.fold.push(
                &self.plan,
                Logged {
                    at: stored.at,
                    event: &stored.event,
                },
            );
            self.read = stored.seq;
            self.ended |= matches!(stored.event, Event::Ended { .. });
            if stored.seq > self.after {
                self.ready.extend(shown(&self.plan, step, stored));
            }
        }
    }
}

fn shown(plan: &Plan, step: Option<String>, stored: StoredEvent) -> Option<sse::Event> {
    let answer = EventAnswer {
        sentence: sentence(plan, &stored.event, stored.actor.as_str()),
        seq: stored.seq,
        at: stored.at,
        actor: stored.actor,
        step,
        event: stored.event,
    };
    let kind = serde_json::to_value(&answer.event).ok()?["event"]
        .as_str()?
        .to_owned();
    sse::Event::default()
        .id(answer.seq.to_string())
        .event(kind)
        .json_data(&answer)
        .ok()
}
