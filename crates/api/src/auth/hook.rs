//! Messages of other systems: nobody has a token here, the signature is the permit. What it permits is to have this one
//! message kept, and nothing else.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts as _, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use domain::{
    chat::command::{challenge, is_click, is_probe},
    name::TriggerName,
    trigger::{
        Headers, Kind, Mode, Trigger,
        answer::{Situation, body_bytes_max, status},
        message,
        verify::{self, Refusal},
    },
};
use serde::Deserialize;
use store::{Desk, HookKeys, NewMessage};
use tokio::{sync::SemaphorePermit, time::Instant};

use super::App;
use crate::{clock::now, problem::Problem};

/// Most messages that are read and kept at a time: each may be a MiB. More wait for [`PLACE_TIMEOUT`].
pub(crate) const HOOKS_MAX: usize = 64;
/// How long a message waits for its turn: whoever sends it tries again, and has others to send.
const PLACE_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a body may take on its way: senders are programs near by, and each holds a place while it is read.
const HOOK_BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a message may wait for its turn and for our database in all: with what else is done it is answered within a
/// second, for senders that wait no longer. One question may take what the others leave: on a busy machine one of them does.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(800);

/// Many CloudEvents in one message.
const EVENT_BATCH: &str = "application/cloudevents-batch+json";

/// What came to the door.
pub(crate) enum Message {
    /// A message whose sender is proved.
    Signed(Box<Signed>),
    /// A chat tries whether we can be reached: it is signed by nobody, and nothing is done.
    Probe,
    /// A chat, proved, wants to have this said back.
    Challenge(String),
}

/// How much longer a message may wait. While its body comes nothing of it passes: that is its sender's own time.
struct Patience {
    left: Duration,
}

impl Patience {
    fn new() -> Self {
        Self {
            left: ANSWER_TIMEOUT,
        }
    }

    /// What comes of it in the time that is left, or within `most`; none when it takes longer.
    async fn within<T>(&mut self, most: Duration, asked: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        let answer = tokio::time::timeout(most.min(self.left), asked).await;
        self.left = self.left.saturating_sub(began.elapsed());
        answer.ok()
    }

    async fn place<'a>(&mut self, app: &'a App) -> Result<SemaphorePermit<'a>, Problem> {
        let place = self.within(PLACE_TIMEOUT, app.hooks().acquire()).await;
        let full = || Problem::message_not_kept("too many messages come at once");
        place.and_then(Result::ok).ok_or_else(full)
    }

    /// Anything that our database does not do now is a 503: then it comes again. A wrong answer would lose it.
    async fn store<T>(
        &mut self,
        asked: impl Future<Output = store::Result<T>>,
    ) -> Result<T, Problem> {
        match self.within(self.left, asked).await {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                tracing::warn!(%error, "a message was not kept");
                Err(Problem::message_not_kept(
                    "Sternway's own database does not answer",
                ))
            }
            None => Err(Problem::message_not_kept(
                "Sternway's own database does not answer in time",
            )),
        }
    }
}

/// A message whose sender is proved.
pub(crate) struct Signed {
    app: App,
    patience: Patience,
    trigger: Trigger,
    headers: Headers,
    body: Bytes,
}

/// What was done with a message.
pub(crate) struct Kept {
    pub(crate) kind: Kind,
    pub(crate) event_id: String,
    /// None: its trigger is off.
    pub(crate) new: Option<bool>,
    /// Whether it tells of a click.
    pub(crate) click: bool,
}

#[derive(Deserialize)]
struct HookPath {
    trigger: TriggerName,
}

impl FromRequest<App> for Message {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let mut patience = Patience::new();
        let _place = patience.place(app).await?;
        let keys = keys(&mut parts, app, &mut patience).await?;
        let kind = keys.trigger.kind;
        is_written_as(&parts.headers, kind)?;
        let body = read(&parts.headers, body, body_bytes_max(kind)).await?;
        let headers = known_headers(&parts.headers, &keys.trigger);
        let settings = &keys.trigger.settings;
        let verified = verify::verify(kind, settings, &keys.secrets, &headers, &body, now());
        if let Err(refusal) = verified {
            if refusal == Refusal::Missing && is_probe(kind, &body) {
                return Ok(Self::Probe);
            }
            crate::metric::message(kind, refusal.code());
            let status = status(kind, Situation::Refused(refusal));
            return Err(Problem::message_refused(refusal, status));
        }
        if let Some(said) = challenge(kind, &body) {
            return Ok(Self::Challenge(said));
        }
        Ok(Self::Signed(Box::new(Signed {
            app: app.clone(),
            patience,
            headers: headers.only(message::headers_read(kind)),
            trigger: keys.trigger,
            body,
        })))
    }
}

impl Signed {
    /// Keeps it. When this returns, it is kept whatever dies.
    pub(crate) async fn keep(mut self) -> Result<Kept, Problem> {
        let trigger = &self.trigger;
        let event_id =
            message::event_id(trigger.kind, &trigger.settings, &self.headers, &self.body);
        let click = trigger.kind.is_chat() && is_click(&self.body);
        let new = match trigger.mode {
            Mode::Off => None,
            Mode::Record | Mode::Propose | Mode::Shadow | Mode::Auto => {
                let message = NewMessage {
                    trigger: trigger.name.clone(),
                    event_id: event_id.clone(),
                    headers: self.headers,
                    body: message::kept(trigger.kind, self.body.into()),
                    settle: Duration::ZERO,
                    desk: match trigger.kind.is_chat() {
                        true => Desk::Chat,
                        false => Desk::Intake,
                    },
                };
                let put = self.app.store().inbox_put(message);
                Some(self.patience.store(put).await?)
            }
        };
        let word = match new {
            None => "off",
            Some(true) => "kept",
            Some(false) => "known",
        };
        crate::metric::message(trigger.kind, word);
        Ok(Kept {
            kind: trigger.kind,
            event_id,
            new,
            click,
        })
    }
}

/// Of which kind a trigger is, when there is one.
pub(crate) async fn kind(app: &App, trigger: &TriggerName) -> Result<Option<Kind>, Problem> {
    let mut patience = Patience::new();
    let _place = patience.place(app).await?;
    let found = patience.store(app.store().trigger_keys(trigger)).await?;
    Ok(found.map(|keys| keys.trigger.kind))
}

async fn keys(parts: &mut Parts, app: &App, patience: &mut Patience) -> Result<HookKeys, Problem> {
    let path = Path::<HookPath>::from_request_parts(parts, app).await;
    let Ok(Path(HookPath { trigger })) = path else {
        return Err(Problem::not_found("trigger", "of that name"));
    };
    let found = patience.store(app.store().trigger_keys(&trigger)).await?;
    found.ok_or_else(|| Problem::not_found("trigger", trigger.as_str()))
}

/// Chats send forms, and Slack tries an address with JSON; everybody else sends JSON.
fn is_written_as(headers: &HeaderMap, kind: Kind) -> Result<(), Problem> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    let essence = given
        .and_then(|given| given.split(';').next())
        .map(str::trim);
    let fits = |essence: &str| {
        let essence = essence.to_ascii_lowercase();
        let json = essence == "application/json";
        match kind.is_chat() {
            true => essence == "application/x-www-form-urlencoded" || (json && kind == Kind::Slack),
            // One answer could not say what became of each event of a batch.
            false => json || (essence.ends_with("+json") && essence != EVENT_BATCH),
        }
    };
    if essence.is_some_and(fits) {
        return Ok(());
    }
    let next = match kind.is_chat() {
        true => "a chat's commands and clicks are forms: have it post them here itself",
        false if kind == Kind::Cloudevents => {
            "send each event as a message of its own, with `application/cloudevents+json` or `application/json`"
        }
        false => "set the content type to `application/json` where the webhook is set up",
    };
    Err(Problem::media_type(given).next(next))
}

async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > most as u64) {
        return Err(Problem::body_too_large(most));
    }
    match tokio::time::timeout(HOOK_BODY_TIMEOUT, axum::body::to_bytes(body, most)).await {
        // Never a 4xx: PagerDuty would drop the event, and after three of them the whole subscription.
        Err(_) => Err(Problem::message_not_kept("its body came too slowly")),
        Ok(Ok(bytes)) => Ok(bytes),
        // Too long without having said so, or broken off: whoever broke off hears nothing of it.
        Ok(Err(_)) => Err(Problem::body_too_large(most)),
    }
}

/// Those that prove the sender and those that its reading needs; of all others nothing is ever looked at.
fn known_headers(all: &HeaderMap, trigger: &Trigger) -> Headers {
    let proving = verify::proving(trigger.kind, &trigger.settings);
    let read = message::headers_read(trigger.kind).iter().copied();
    let names: std::collections::BTreeSet<&str> =
        proving.iter().map(String::as_str).chain(read).collect();
    let mut known = Headers::default();
    for name in names {
        for value in all.get_all(name) {
            known.add(name, &String::from_utf8_lossy(value.as_bytes()));
        }
    }
    known
}
