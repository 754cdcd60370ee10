//! A sender of CloudEvents asks whether it may send, before it does. The answer is no permit: each message is proved.
//!
//! Source: HTTP 1.1 Web Hooks for Event Delivery 1.0, section 4, "Abuse Protection".

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use domain::trigger::Kind;

use super::triggers::TriggerPath;
use crate::{
    auth::{App, hook},
    input::At,
    problem::{FieldError, Problem},
};

const ASKING: &str = "webhook-request-origin";
const ALLOWED: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// Longest origin that is given back: a name in DNS is no longer.
const ORIGIN_CHARS_MAX: usize = 255;

/// Agrees to be sent CloudEvents, for senders that ask before they deliver. Each message has to be proved all the same.
#[utoipa::path(options, path = "/api/v1/hooks/{trigger}", operation_id = "agree_to_messages", tag = "triggers", security(()),
    params(TriggerPath, ("webhook-request-origin" = String, Header, max_length = 255, pattern = "^[!-~]+$",
        description = "Who wants to send")),
    responses((status = 200, description = "It may send, as often as it likes",
        headers(("webhook-allowed-origin" = String, description = "Who may send"),
            ("webhook-allowed-rate" = String, description = "`*`: without a limit"))),
        (status = 400, description = "The name is none of a trigger", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such trigger of CloudEvents", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Nobody, or nobody with a name, asks", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Ask again", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn agree(
    State(app): State<App>,
    At(path): At<TriggerPath>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let kind = hook::kind(&app, &path.trigger).await?;
    if kind != Some(Kind::Cloudevents) {
        let missing = Problem::not_found("trigger of CloudEvents", path.trigger.as_str());
        return Err(missing);
    }
    let origin = headers.get(ASKING).filter(|origin| {
        let chars = origin.as_bytes();
        (1..=ORIGIN_CHARS_MAX).contains(&chars.len()) && chars.iter().all(u8::is_ascii_graphic)
    });
    let Some(origin) = origin else {
        return Err(Problem::fields([FieldError {
            field: ASKING.to_owned(),
            what: "name who wants to send, such as `eventemitter.example.com`".to_owned(),
        }]));
    };
    let answer = [
        (ALLOWED, origin.clone()),
        (RATE, HeaderValue::from_static("*")),
        (header::ALLOW, HeaderValue::from_static("POST, OPTIONS")),
    ];
    Ok(answer.into_response())
}
