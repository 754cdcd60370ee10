//! Decisions: the runbook's questions, and what is best done by the answers. Nothing is done here.

use axum::{Json, http::StatusCode};
use domain::{
    application::Application,
    guard,
    name::{Actor, ApplicationName},
    reason::Reason,
    time::Moment,
    triage::{self, Advice, Evidence, Led, Question, Said, Source, Urgency, facts},
};
use serde::{Deserialize, Serialize};
use store::{NewTriage, StoredTriage};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    applications::find,
    page::{Listing, limit},
};
use crate::{
    auth::{Operate, Permit, PrincipalKind, Read},
    clock,
    input::{Input, Params},
    look,
    problem::{FieldError, Problem},
};

/// Most answers of one request: several may speak to each question.
const ANSWERS_MAX: usize = 24;
/// Longest note, and longest word for a severity.
const NOTE_CHARS_MAX: usize = 500;

/// Answers to the runbook's questions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"application": "shop", "answers": [
    {"question": "down", "said": "no"}, {"question": "data_corruption", "said": "no"},
    {"question": "security_hole", "said": "no"}, {"question": "many_users", "said": "unknown"}]}))]
pub struct DecisionRequest {
    /// About which application.
    pub application: ApplicationName,
    /// What is known. What is not answered yet is asked for, the next question first.
    #[serde(default)]
    #[schema(max_items = 24)]
    pub answers: Vec<SaidAnswer>,
    /// An alert's word for its severity; it answers the question that it speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    pub severity: Option<String>,
    /// Instead of answers: it is over, and the deadline of before counts no more.
    #[serde(default)]
    pub over: bool,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    pub note: Option<String>,
}

/// One answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaidAnswer {
    /// To which question.
    pub question: Question,
    /// Yes, no or unknown; unknown counts as the more severe of the two.
    pub said: Said,
    /// What it rests on: a service has to name something else than a person.
    #[serde(default)]
    pub source: Source,
    /// What was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    pub note: Option<String>,
}

/// Where the answers lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionAnswer {
    /// The decision's identity; absent while a question is open, since nothing is kept until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// About which application.
    pub application: ApplicationName,
    /// Who said what, on what grounds and when; by `sternway:asker` is what the application's metrics, probes and alerts said, where
    /// `unknown` leaves the question to a person.
    pub answers: Vec<Evidence>,
    /// The question to answer next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_question: Option<NextQuestion>,
    /// What is best done; absent while a question is open, and of one that says that it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<AdviceAnswer>,
    /// Who decided.
    pub by: Actor,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When the deadline passed with nothing done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub passed_at: Option<Moment>,
    /// Whether it still has to be done: no rollback that was asked for since goes on or put something in service, and nobody
    /// decided anew. An alert's proposal that only waits for a person is none.
    pub open: bool,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextQuestion {
    /// Its code.
    pub question: Question,
    /// As it is asked.
    pub sentence: String,
}

/// What is best done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AdviceAnswer {
    /// Its code.
    pub code: Advice,
    /// As a sentence.
    pub sentence: String,
    /// How much of a hurry it is.
    pub urgency: Urgency,
    /// Until when; after that it is said aloud that nothing was done.
    #[schema(value_type = String, format = DateTime)]
    pub deadline: Moment,
    /// The reason to give with the rollback, when one is advised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The commands that do it, in order.
    pub commands: Vec<String>,
}

/// Which decisions.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DecisionParams {
    /// Only of this application.
    pub application: Option<ApplicationName>,
    /// Most rows.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
}

/// Answers the runbook's questions. With all that it needs it says what is best done, keeps it with the answers, and
/// watches the deadline; until then it says what to ask next. Where the answers do not settle it, the application's own
/// metrics and probes are asked, once, and the severity of alerts that are still there is read; what they say is kept like
/// any answer, by `sternway:asker`; what they can not tell is `unknown` and left to a person, whose word counts before theirs.
#[utoipa::path(post, path = "/api/v1/decisions", operation_id = "decide", tag = "guards", request_body = DecisionRequest,
    responses((status = 200, description = "A question is open; nothing is kept", body = DecisionAnswer),
        (status = 201, description = "What is best done; it is kept", body = DecisionAnswer),
        (status = 404, description = "There is no such application that you may see", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn decide(
    permit: Permit<Operate>,
    Input(ask): Input<DecisionRequest>,
) -> Result<(StatusCode, Json<DecisionAnswer>), Problem> {
    let (application, _) = find(&permit, &ask.application).await?;
    check(&ask, permit.principal().kind).map_err(Problem::fields)?;
    let (by, at) = (permit.actor().clone(), clock::now());
    let mut answers = evidence(&ask, &by, at)?;
    let led = match ask.over {
        true => None,
        false => Some(weigh(&permit, &application, &mut answers, at).await?),
    };
    let mut new = NewTriage {
        id: Uuid::now_v7(),
        answers,
        application: ask.application,
        advice: None,
        note: ask.note,
        by,
        at,
    };
    match led {
        Some(Led::Ask(question)) => {
            let stored = StoredTriage {
                triage: new,
                deadline: None,
                passed_at: None,
                open: false,
            };
            let answer = DecisionAnswer {
                id: None,
                next_question: Some(NextQuestion {
                    question,
                    sentence: question.sentence().to_owned(),
                }),
                ..answer(stored)
            };
            return Ok((StatusCode::OK, Json(answer)));
        }
        Some(Led::Advise(advice, _)) => new.advice = Some(advice),
        None => {}
    }
    permit.store().triage_put(&new).await?;
    let stored = StoredTriage {
        deadline: new.advice.map(|advice| advice.deadline(at)),
        open: new.advice.is_some(),
        triage: new,
        passed_at: None,
    };
    Ok((StatusCode::CREATED, Json(answer(stored))))
}

/// Where the answers lead, together with what Sternway finds out by itself where that may change it.
async fn weigh(
    permit: &Permit<Operate>,
    application: &Application,
    answers: &mut Vec<Evidence>,
    at: Moment,
) -> Result<Led, Problem> {
    let alerts = permit.store().alerts_newest(&application.name).await?;
    let told = facts::by_alerts(&alerts, &[], at);
    if facts::are_wanted(answers, application, &told) {
        let mut found = look::facts_of(permit, application).await?;
        found.extend(facts::by_alerts(&alerts, &found, at));
        answers.extend(found);
    }
    Ok(triage::walk(answers))
}

/// What was decided, newest first.
#[utoipa::path(get, path = "/api/v1/decisions", operation_id = "list_decisions", tag = "guards",
    params(DecisionParams), responses((status = 200, description = "The newest decisions", body = Listing<DecisionAnswer>),
        (status = 404, description = "There is no such application that you may see", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    permit: Permit<Read>,
    Params(ask): Params<DecisionParams>,
) -> Result<Json<Listing<DecisionAnswer>>, Problem> {
    let limit = limit(ask.limit)?;
    if let Some(name) = &ask.application {
        find(&permit, name).await?;
    }
    let stored = permit
        .store()
        .triage_list(ask.application.as_ref(), limit)
        .await?;
    let visible = |stored: &StoredTriage| permit.sees(&stored.triage.application);
    let items = stored.into_iter().filter(visible).map(answer).collect();
    Ok(Json(Listing { items, next: None }))
}

fn check(ask: &DecisionRequest, kind: PrincipalKind) -> Result<(), Vec<FieldError>> {
    let mut bad = Vec::new();
    let mut refuse = |field: String, what: String| bad.push(FieldError { field, what });
    let wrong = |text: &Option<String>| {
        text.as_ref()
            .is_some_and(|text| text.trim().is_empty() || text.chars().count() > NOTE_CHARS_MAX)
    };
    let length = format!("use 1 to {NOTE_CHARS_MAX} characters, or leave it out");
    if ask.answers.len() > ANSWERS_MAX {
        refuse("answers".to_owned(), format!("give at most {ANSWERS_MAX}"));
    }
    for (name, text) in [("note", &ask.note), ("severity", &ask.severity)] {
        if wrong(text) {
            refuse(name.to_owned(), length.clone());
        }
    }
    for (at, answer) in ask.answers.iter().enumerate() {
        if wrong(&answer.note) {
            refuse(format!("answers[{at}].note"), length.clone());
        }
        if kind == PrincipalKind::Service && answer.source == Source::Person {
            let what = "a service is no person: say what it rests on".to_owned();
            refuse(format!("answers[{at}].source"), what);
        }
    }
    if ask.over && (!ask.answers.is_empty() || ask.severity.is_some()) {
        refuse("over".to_owned(), "it takes no answers with it".to_owned());
    }
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

fn evidence(ask: &DecisionRequest, by: &Actor, at: Moment) -> Result<Vec<Evidence>, Problem> {
    let said = ask.answers.iter().map(|answer| Evidence {
        question: answer.question,
        said: answer.said,
        source: answer.source,
        by: by.clone(),
        at,
        note: answer.note.clone(),
    });
    let mut evidence: Vec<Evidence> = said.collect();
    if let Some(word) = &ask.severity {
        let impact = guard::impact_of_word(word).ok_or_else(|| {
            Problem::fields([FieldError {
                field: "severity".to_owned(),
                what: "it is not known what it means: answer the questions instead".to_owned(),
            }])
        })?;
        evidence.extend(triage::by_impact(impact, by, at));
    }
    Ok(evidence)
}

fn answer(stored: StoredTriage) -> DecisionAnswer {
    let triage = stored.triage;
    let name = triage.application.as_str();
    let advice = triage.advice.map(|advice| AdviceAnswer {
        code: advice,
        sentence: advice.sentence().to_owned(),
        urgency: advice.urgency(),
        deadline: advice.deadline(triage.at),
        reason: advice.reason(),
        commands: advice.commands(name),
    });
    DecisionAnswer {
        id: Some(triage.id),
        advice,
        application: triage.application,
        answers: triage.answers,
        next_question: None,
        by: triage.by,
        at: triage.at,
        note: triage.note,
        passed_at: stored.passed_at,
        open: stored.open,
    }
}
