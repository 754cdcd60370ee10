//! The demo with `--trigger pagerduty`: nobody types the rollback. An event as PagerDuty sends it, truly signed, starts it,
//! past every guard.

use std::time::{Duration, Instant, SystemTime};

use domain::{
    chain,
    guard::{Answer, GuardAnswer, GuardSettings},
    time::Moment,
    trigger::verify::mac,
};
use serde_json::json;

use super::{
    Stage,
    story::{Asked, BAD, local, surprise},
    traffic,
};
use crate::{
    client::{
        Conditions,
        answers::{Listing, MessageDecision, MessageOutcome},
        problem::Failure,
    },
    out::Out,
};

/// The trigger's name.
const NAME: &str = "pagerduty";
/// The sender's name for the application.
const SERVICE: &str = "PDEMO01";
/// How long the decision may take: the trouble has to stay, and our own probes are asked.
const DECIDED_LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The usual 30 seconds that an alert has to stay, and the 10 minutes that a release must have served, would be a long demo.
#[must_use]
pub fn guards() -> GuardSettings {
    GuardSettings {
        settle_s: Some(1),
        served_min_s: Some(1),
        ..GuardSettings::default()
    }
}

/// Sets the trigger up, and posts the event; the rollback that it started.
///
/// # Errors
/// When it started none, with every guard's reason.
pub async fn page(stage: &Stage, out: &Out) -> Result<Asked, Failure> {
    let application = stage.application.as_ref();
    let name = &application
        .ok_or_else(|| surprise("nothing is defined"))?
        .name;
    let trigger = json!({"name": NAME, "kind": "pagerduty", "mode": "auto",
        "routes": [{"application": name, "service": SERVICE}]});
    let secret = secret()?;
    let api = local(stage)?;
    let path = format!("/api/v1/triggers/{NAME}");
    api.send(
        reqwest::Method::PUT,
        &path,
        Some(&trigger),
        Conditions::default(),
    )
    .await?;
    let body = json!({ "secret": secret });
    api.post(&format!("{path}/secrets"), &body, Conditions::default())
        .await?;
    let event = event();
    out.say(&format!(
        "     POST /api/v1/hooks/{NAME}: \"{BAD} answers 500 on its main path\", priority P1, signed"
    ));
    let at = Instant::now();
    post(stage, &secret, &event).await?;
    let decision = decided(stage).await?;
    let accepted_after = at.elapsed();
    let guards: Vec<GuardAnswer> = decision
        .guards
        .and_then(|guards| serde_json::from_value(guards).ok())
        .unwrap_or_default();
    let (Some(id), MessageOutcome::Acted) = (decision.rollback_id, decision.outcome) else {
        let failing = guards.iter().filter(|one| one.answer != Answer::Pass);
        let reasons: Vec<&str> = failing.map(|one| one.sentence.as_str()).collect();
        let what = format!("the event started nothing: {}", reasons.join("; "));
        return Err(surprise(&what));
    };
    for shown in ["settle", "deploy_correlation", "target_known_good"] {
        if let Some(guard) = guards.iter().find(|one| one.guard.word() == shown) {
            out.say(&format!("     {shown}: {}", guard.sentence));
        }
    }
    let count = guards.len();
    out.say(&format!(
        "     {count} of {count} guards let it through, {} ms after the event",
        accepted_after.as_millis()
    ));
    Ok(Asked {
        id,
        at,
        accepted_after,
    })
}

fn secret() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| surprise(&format!("no secret: {error}")))?;
    Ok(chain::hex(&bytes))
}

fn event() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ms = since.map_or(0, |since| since.as_millis());
    let at = Moment::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    json!({"event": {"id": uuid::Uuid::now_v7(), "event_type": "incident.triggered", "resource_type": "incident",
        "occurred_at": at, "agent": null, "client": null,
        "data": {"id": "QDEMO", "type": "incident", "number": 1, "status": "triggered", "incident_key": "demo",
                 "created_at": at, "title": format!("{BAD} answers 500 on its main path"),
                 "service": {"id": SERVICE, "summary": "demo", "type": "service_reference"},
                 "priority": {"summary": "P1"}, "urgency": "high", "resolve_reason": null}}})
    .to_string()
}

/// As PagerDuty does, over the server's port and without a token.
async fn post(stage: &Stage, secret: &str, body: &str) -> Result<(), Failure> {
    let server = stage.server.as_ref();
    let url = &server.ok_or_else(|| surprise("the server is gone"))?.url;
    let signature = chain::hex(&mac(secret.as_bytes(), &[body.as_bytes()]));
    let answer = traffic::http()?
        .post(format!("{url}/api/v1/hooks/{NAME}"))
        .header("content-type", "application/json")
        .header("x-pagerduty-signature", format!("v1={signature}"))
        .body(body.to_owned())
        .send()
        .await
        .map_err(|error| surprise(&format!("the event was not taken: {error}")))?;
    match answer.status().as_u16() {
        202 => Ok(()),
        status => Err(surprise(&format!("the event was answered with {status}"))),
    }
}

async fn decided(stage: &Stage) -> Result<MessageDecision, Failure> {
    let begin = Instant::now();
    while begin.elapsed() < DECIDED_LIMIT {
        let path = format!("/api/v1/messages?trigger={NAME}");
        let page: Listing<MessageDecision> = local(stage)?.get(&path).await?.read()?;
        if let Some(decision) = page.items.into_iter().next() {
            return Ok(decision);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let s = DECIDED_LIMIT.as_secs();
    Err(surprise(&format!("the event was not decided within {s} s")))
}
