//! Where other systems post. A message that is proved and kept is all that is done here: what comes of it is decided
//! later, and is never an error for its sender.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{
    application::Application,
    guard::{self, GuardAnswer, Policy},
    name::ApplicationName,
    trigger::{
        Headers, Trigger,
        answer::{Situation, status},
        message::{event_id, headers_read},
        sort::{Matter, Part, sorted},
        verify::verify,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Question, Told};
use utoipa::ToSchema;

use super::triggers::TriggerPath;
use crate::{
    auth::{Administer, Message, Permit},
    clock::now,
    input::{At, Input},
    look::ask,
    problem::{Code, Problem},
};

/// Most headers of a message to be explained.
const HEADERS_MAX: usize = 32;

/// Alerts of one explained message that are looked at with our own eyes: each takes a second or more.
const LOOKED_AT_MAX: usize = 4;

/// What was done with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageAnswer {
    /// Which event it tells of.
    pub event_id: String,
    /// What was done with it.
    pub status: MessageStatus,
}

/// What was done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// It is kept, and will be decided.
    Kept,
    /// Its event was kept before.
    Known,
    /// The trigger is off: it is not kept.
    Off,
}

/// Takes a message of another system. Its signature, or its bearer token, is the permit; an API token is of no use here.
///
/// The statuses are those that each sender's rules for trying again ask for: a message that is proved is never answered
/// with an error unless it could not be kept. An event that is delivered again is kept once.
#[utoipa::path(post, path = "/api/v1/hooks/{trigger}", operation_id = "receive_message", tag = "triggers", security(()),
    params(TriggerPath), request_body(content = Object, description = "What the sender sends, JSON or a chat's form: at most 256 KiB, or 1 MiB of Alertmanager, Grafana, GitHub and Sentry"),
    responses((status = 200, description = "It is kept, or was before; empty for a click in a chat", body = ReceivedAnswer),
        (status = 202, description = "It is kept, or was before", body = MessageAnswer),
        (status = 400, description = "PagerDuty: there is no signature; the body is empty", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The sender is not proved", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "PagerDuty: the sender is not proved", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long for this sender", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It was not kept; send it again", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn receive(message: Message) -> Result<Response, Problem> {
    let signed = match message {
        Message::Signed(signed) => signed,
        Message::Probe => return Ok(StatusCode::OK.into_response()),
        Message::Challenge(challenge) => {
            return Ok(Json(ChallengeAnswer { challenge }).into_response());
        }
    };
    let kept = signed.keep().await?;
    let status_code = StatusCode::from_u16(status(kept.kind, Situation::Accepted));
    let answer = MessageAnswer {
        event_id: kept.event_id,
        status: match kept.new {
            None => MessageStatus::Off,
            Some(true) => MessageStatus::Kept,
            Some(false) => MessageStatus::Known,
        },
    };
    let status_code = status_code.unwrap_or(StatusCode::ACCEPTED);
    if !kept.kind.is_chat() {
        return Ok((status_code, Json(answer)).into_response());
    }
    // What is answered to a click would take the message's place.
    if kept.click {
        return Ok(status_code.into_response());
    }
    let text = match answer.status {
        MessageStatus::Kept => "One moment.",
        MessageStatus::Known => "That was asked before, word by word.",
        MessageStatus::Off => "This chat is switched off in Sternway.",
    };
    let answer = ChatAnswer {
        response_type: "ephemeral".to_owned(),
        text: text.to_owned(),
    };
    Ok((status_code, Json(answer)).into_response())
}

/// What a chat's command is answered at once. What comes of it is sent to the address that came with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChatAnswer {
    /// Who sees it: `ephemeral` for whoever asked.
    #[schema(example = "ephemeral")]
    pub response_type: String,
    /// The answer.
    pub text: String,
}

/// What Slack has said back to it, so that it knows whose address it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChallengeAnswer {
    /// What it sent.
    pub challenge: String,
}

/// What a message is answered: a sender by what was done with it, a command of a chat by a word for its person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ReceivedAnswer {
    /// Of a sender of alerts or deployments.
    Message(MessageAnswer),
    /// Of a chat's command.
    Chat(ChatAnswer),
    /// Of Slack, which tries the address.
    Challenge(ChallengeAnswer),
}

/// A message to be explained.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Its headers. Without those that prove the sender it is told all the same what would come of it.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body, exactly as it was sent.
    pub body: String,
}

/// What would be done with a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainAnswer {
    /// Whether its sender is proved.
    pub proved: bool,
    /// Why not, as a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// The same as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Which event it tells of.
    pub event_id: String,
    /// Whether that event was kept before: then nothing more would come of it.
    pub known: bool,
    /// What it says, and what would come of each.
    pub parts: Vec<ExplainedPart>,
}

/// One thing that a message says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplainedPart {
    /// The application that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub application: Option<String>,
    /// What would come of it, as a stable code.
    pub code: String,
    /// The same as a sentence.
    pub said: String,
    /// What it says, in our words.
    #[schema(value_type = Object)]
    pub notice: Value,
    /// What would be done about an alert: `auto`, `propose`, `shadow` or `record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The same in the mode `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_be: Option<String>,
    /// What each guard would say now of an alert that stays, with our own probes asked for the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardAnswer>,
}

/// Says what would be done with a message, step by step, and does nothing.
#[utoipa::path(post, path = "/api/v1/hooks/{trigger}/explain", operation_id = "explain_message", tag = "triggers",
    params(TriggerPath), request_body = ExplainRequest,
    responses((status = 200, description = "What would be done with it", body = ExplainAnswer)))]
pub(crate) async fn explain(
    permit: Permit<Administer>,
    At(path): At<TriggerPath>,
    Input(ask): Input<ExplainRequest>,
) -> Result<Json<ExplainAnswer>, Problem> {
    permit.must_see_all()?;
    if ask.headers.len() > HEADERS_MAX {
        return Err(Problem::fields([crate::problem::FieldError {
            field: "headers".to_owned(),
            what: format!("give at most {HEADERS_MAX}"),
        }]));
    }
    let missing = || Problem::not_found("trigger", path.trigger.as_str());
    let keys = permit
        .store()
        .trigger_keys(&path.trigger)
        .await?
        .ok_or_else(missing)?;
    let trigger = &keys.trigger;
    let given = ask.headers.iter();
    let headers: Headers = given
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let body = ask.body.as_bytes();
    let settings = &trigger.settings;
    let verified = verify(trigger.kind, settings, &keys.secrets, &headers, body, now());
    let refusal = verified.err();
    let headers = headers.only(headers_read(trigger.kind));
    let id = event_id(trigger.kind, settings, &headers, body);
    let known = permit.store().inbox_knows(&trigger.name, &id).await?;
    let mut parts = Vec::new();
    for (at, part) in sorted(trigger, &headers, body).into_iter().enumerate() {
        parts.push(explained(&permit, trigger, &id, part, at < LOOKED_AT_MAX).await?);
    }
    Ok(Json(ExplainAnswer {
        proved: refusal.is_none(),
        refusal: refusal.map(|refusal| refusal.code().to_owned()),
        said: refusal.map(|refusal| refusal.to_string()),
        event_id: id,
        known,
        parts,
    }))
}

async fn application(
    permit: &Permit<Administer>,
    name: &ApplicationName,
) -> Result<Option<Application>, Problem> {
    match permit.store().application_get(name).await {
        Ok((application, _)) => Ok(Some(application)),
        Err(store::Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Guard by guard.
async fn explained(
    permit: &Permit<Administer>,
    trigger: &Trigger,
    event_id: &str,
    part: Part,
    look: bool,
) -> Result<ExplainedPart, Problem> {
    let mut explained = ExplainedPart {
        application: part.application.as_ref().map(ToString::to_string),
        code: part.code.to_owned(),
        said: part.said,
        notice: part.notice,
        outcome: None,
        would_be: None,
        guards: Vec::new(),
    };
    let decides = matches!(part.code, "guards" | "deployed" | "deploy_started");
    let (Matter::Alert(_) | Matter::Begun(_) | Matter::Deployment(_), Some(name)) =
        (&part.matter, &part.application)
    else {
        return Ok(explained);
    };
    let Some(application) = application(permit, name).await? else {
        if decides {
            explained.code = "unknown_application".to_owned();
            explained.said = format!("the route leads to {name}, which is no application here");
        }
        return Ok(explained);
    };
    let alert = match part.matter {
        Matter::Alert(alert) => alert,
        Matter::Deployment(told) => {
            if let Err((code, said)) = told.images_of(&application) {
                (explained.code, explained.said) = (code.to_owned(), said);
            }
            return Ok(explained);
        }
        Matter::Begun(begun) => {
            if let Some((code, said)) = begun.other(&application) {
                (explained.code, explained.said) = (code.to_owned(), said);
            }
            return Ok(explained);
        }
        Matter::Nothing | Matter::Known => return Ok(explained),
    };
    let policy = Policy::of(&application.guards);
    let told = Told {
        trigger,
        event_id,
        alert: &alert,
        // As if it had stayed for as long as it has to.
        received_at: now().before(policy.settle),
        application: &application,
    };
    let decision = match look {
        true => seen(permit, &told).await?,
        false => None,
    };
    let decision = match decision {
        Some(decision) => decision,
        // What is recorded says a lot by itself.
        None => {
            let facts = permit.store().facts(&told).await?;
            guard::decide(&facts, &policy, now())
        }
    };
    explained.outcome = Some(decision.outcome.word().to_owned());
    explained.would_be = Some(decision.would_be.word().to_owned());
    explained.guards = decision.answers;
    Ok(explained)
}

/// The same by the worker, which looks at the application as it would when the message came; none when none answers.
async fn seen(
    permit: &Permit<Administer>,
    told: &Told<'_>,
) -> Result<Option<guard::Decision>, Problem> {
    let question = Question::Alert {
        name: told.application.name.clone(),
        trigger: told.trigger.name.clone(),
        event_id: told.event_id.to_owned(),
        alert: Box::new(told.alert.clone()),
    };
    match ask(permit, question).await {
        Ok(answer) => Ok(answer.ok()),
        Err(problem) if problem.code == Code::EngineUnreachable => Ok(None),
        Err(problem) => Err(problem),
    }
}
