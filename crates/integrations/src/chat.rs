//! Chats: messages that are posted, changed and answered. Slack says no with a 200, so the body is read.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fetch::{Error, Fetched, Fetcher, plain};

/// How long a chat may take for one call: what it does not take now is tried again.
const LIMIT: Duration = Duration::from_secs(8);
/// How long we wait when a chat says that too much comes, and not for how long.
const REST: Duration = Duration::from_secs(30);
/// The longest that we let ourselves be sent away for.
const REST_MAX: Duration = Duration::from_secs(600);
/// Longest word of a chat's own that is passed on.
const SAID_CHARS_MAX: usize = 80;

/// Talks to chats. Cheap to clone.
#[derive(Clone)]
pub struct Chats {
    fetcher: Fetcher,
}

/// Why something was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unposted {
    /// Too much comes: nothing is to be sent for so long.
    #[error("it asks for a rest of {} s", .0.as_secs())]
    Rest(Duration),
    /// It did not answer, or not as it should: again later.
    #[error("{0}")]
    Away(String),
    /// It said no, and will until somebody changes something there or here.
    #[error("it said `{0}`")]
    Refused(String),
    /// The message is not there any more.
    #[error("the message is not there any more")]
    Lost,
}

impl std::fmt::Debug for Chats {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Chats")
    }
}

impl Chats {
    /// Ready to talk.
    ///
    /// # Errors
    /// When the HTTP client can not be made.
    pub fn new() -> Result<Self, Error> {
        Fetcher::new().map(|fetcher| Self { fetcher })
    }

    /// Posts a message into a channel of Slack; the identity of the message.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn post(
        &self,
        base: &str,
        token: &str,
        channel: &str,
        message: &Value,
    ) -> Result<String, Unposted> {
        let body = with(message, &[("channel", channel)]);
        let said = self.call(base, "chat.postMessage", token, &body).await?;
        let ts = said
            .get("ts")
            .and_then(Value::as_str)
            .map(ToOwned::to_owned);
        ts.ok_or_else(|| Unposted::Away("it did not say which message it made".to_owned()))
    }

    /// Changes a message in a channel of Slack.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn update(
        &self,
        base: &str,
        token: &str,
        channel: &str,
        ts: &str,
        message: &Value,
    ) -> Result<(), Unposted> {
        let body = with(message, &[("channel", channel), ("ts", ts)]);
        self.call(base, "chat.update", token, &body).await.map(drop)
    }

    /// Answers a command or a click, at the address that came with it.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn answer(&self, url: &str, body: &Value) -> Result<(), Unposted> {
        let fetched = self.fetcher.post(url, None, body, LIMIT).await;
        let fetched = fetched.map_err(Unposted::Away)?;
        match fetched.status {
            200..=299 => Ok(()),
            status => Err(unposted(&fetched, format!("HTTP {status}"))),
        }
    }

    async fn call(
        &self,
        base: &str,
        method: &str,
        token: &str,
        body: &Value,
    ) -> Result<Value, Unposted> {
        let url = format!("{base}/api/{method}");
        let fetched = self.fetcher.post(&url, Some(token), body, LIMIT).await;
        let fetched = fetched.map_err(Unposted::Away)?;
        if fetched.status != 200 {
            return Err(unposted(&fetched, format!("HTTP {}", fetched.status)));
        }
        let said: Value = serde_json::from_slice(&fetched.body)
            .map_err(|_| Unposted::Away("it did not answer with JSON".to_owned()))?;
        if said.get("ok").and_then(Value::as_bool) == Some(true) {
            return Ok(said);
        }
        let word = said.get("error").and_then(Value::as_str).unwrap_or("no");
        Err(match word {
            "message_not_found" => Unposted::Lost,
            "ratelimited" | "rate_limited" => Unposted::Rest(rest(&fetched)),
            "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
                Unposted::Away(plain(word, SAID_CHARS_MAX))
            }
            word => Unposted::Refused(plain(word, SAID_CHARS_MAX)),
        })
    }
}

fn with(message: &Value, fields: &[(&str, &str)]) -> Value {
    let mut body = message.clone();
    for (name, value) in fields {
        body[*name] = json!(value);
    }
    body
}

fn unposted(fetched: &Fetched, said: String) -> Unposted {
    match fetched.status {
        429 => Unposted::Rest(rest(fetched)),
        408 | 500.. => Unposted::Away(said),
        _ => Unposted::Refused(said),
    }
}

fn rest(fetched: &Fetched) -> Duration {
    let asked = fetched.retry_after_s.map_or(REST, Duration::from_secs);
    asked.clamp(Duration::from_secs(1), REST_MAX)
}
