//! `record-deploy` and `history`: the ledger is written by CI and read by people.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use domain::{ledger::DeploymentKind, time::Moment};

use super::{
    args::{HistoryArgs, RecordDeployArgs},
    table::{self, Cell, Tone},
};
use crate::{
    client::{
        Client, Conditions,
        answers::{
            DeploymentAnswer, DeploymentRequest, Listing, PhaseWord, RollbackItem, StateWord,
            VerdictWord,
        },
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::{Out, Paint, one_line},
    progress::words::date,
};

/// How long `record-deploy` waits for the first look at what it reported.
const FIRST_LOOK_WAIT: Duration = Duration::from_secs(3);
/// How often it asks.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// `record-deploy`. The same report again is the same entry.
///
/// # Errors
/// What the server says no with.
pub async fn record(args: &RecordDeployArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let count = args.images.len();
    let body = DeploymentRequest {
        version: args.version.clone(),
        commit: args.commit.clone(),
        notes: args.notes.clone(),
        images: args.images.iter().cloned().collect(),
    };
    if body.images.len() != count {
        return Err(Failure::new(
            Exit::Usage,
            "a component was given two images",
            &["give --image once for each component"],
        ));
    }
    let conditions = Conditions {
        idempotency_key: args.key.as_deref(),
        ..Conditions::default()
    };
    let path = format!(
        "/api/v1/applications/{}/deployments",
        segment(args.application.as_str())
    );
    let reply = client.post(&path, &body, conditions).await?;
    let answer: DeploymentAnswer = reply.read()?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    let known = if reply.status == 201 {
        "recorded"
    } else {
        "was recorded before"
    };
    out.data(&format!(
        "{} {} {known}: deployment {} is {}",
        answer.application,
        answer.version,
        answer.id,
        state(answer.state).0
    ));
    for warning in &answer.warnings {
        out.say(&format!(
            "{} {}",
            out.talk.warn("warning:"),
            one_line(warning)
        ));
    }
    if let Some(said) = not_running(client, answer.clone()).await {
        out.say(&format!(
            "{} what was reported is not seen running yet: {}. It is watched for an hour, in case it is started late.",
            out.talk.warn("warning:"),
            one_line(&said)
        ));
    }
    if answer.state == StateWord::Resolving {
        out.say("Its images are not looked up yet: the engine or the worker did not answer in time. It goes on by itself.");
    }
    Ok(Exit::Reached)
}

/// What was said of a deployment that is not seen running: another image runs, or it could not be looked at. None when it
/// runs, or when nothing was said in time.
async fn not_running(client: &Client, mut answer: DeploymentAnswer) -> Option<String> {
    let began = Instant::now();
    let path = format!("/api/v1/deployments/{}", answer.id);
    loop {
        let runs = answer.components.values().all(|part| part.specification);
        if answer.state != StateWord::Watching || runs {
            return None;
        }
        if answer.said.is_some() || began.elapsed() >= FIRST_LOOK_WAIT {
            return answer.said;
        }
        tokio::time::sleep(ASK_AGAIN).await;
        answer = client.get(&path).await.ok()?.read().ok()?;
    }
}

/// The word of a state, and how it looks.
#[must_use]
pub fn state(state: StateWord) -> (&'static str, Tone) {
    match state {
        StateWord::Resolving => ("resolving", Tone::Busy),
        StateWord::Watching => ("watching", Tone::Busy),
        StateWord::Good => ("good", Tone::Good),
        StateWord::Bad => ("bad", Tone::Bad),
        StateWord::Unproved => ("unproved", Tone::Warn),
        StateWord::Refused => ("refused", Tone::Bad),
    }
}

/// `history`: the ledger's rows, and the rollbacks that did not get as far as the ledger.
///
/// # Errors
/// What the server says no with.
pub async fn history(args: &HistoryArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let name = segment(args.of.application.as_str());
    let limit = args.of.limit;
    let deployments = client
        .get(&format!(
            "/api/v1/applications/{name}/deployments?limit={limit}"
        ))
        .await?;
    let rollbacks = client
        .get(&format!(
            "/api/v1/rollbacks?application={name}&limit={limit}"
        ))
        .await?;
    if out.json {
        out.object(&serde_json::json!({ "deployments": deployments.raw["items"], "rollbacks": rollbacks.raw["items"] }));
        return Ok(Exit::Reached);
    }
    let (deployments, rollbacks) = (
        deployments.read::<Listing<_>>()?,
        rollbacks.read::<Listing<_>>()?,
    );
    let more = deployments.next.is_some() || rollbacks.next.is_some();
    out.data(&text(
        &deployments.items,
        &rollbacks.items,
        limit.into(),
        out.data,
    ));
    if more {
        out.say(&format!("There is more: --limit shows up to 100 rows, GET /api/v1/applications/{name}/deployments all of them."));
    }
    Ok(Exit::Reached)
}

fn text(
    deployments: &[DeploymentAnswer],
    rollbacks: &[RollbackItem],
    limit: usize,
    paint: Paint,
) -> String {
    let of = |row: &DeploymentAnswer| {
        rollbacks
            .iter()
            .find(|rollback| Some(rollback.id) == row.rollback_id)
    };
    let recorded = |rollback: &&RollbackItem| {
        !deployments
            .iter()
            .any(|row| row.rollback_id == Some(rollback.id))
    };
    let mut rows: Vec<(Moment, [Cell; 6])> = deployments
        .iter()
        .map(|row| (row.deployed_at, deployment(row, of(row))))
        .collect();
    rows.extend(
        rollbacks
            .iter()
            .filter(recorded)
            .map(|rollback| (rollback.requested_at, unrecorded(rollback))),
    );
    rows.sort_by_key(|(at, _)| Reverse(*at));
    let rows: Vec<[Cell; 6]> = rows.into_iter().take(limit).map(|(_, row)| row).collect();
    table::render(
        ["WHEN", "WHAT", "VERSION", "STATE", "BY", "WHY"],
        &rows,
        paint,
    )
}

fn deployment(row: &DeploymentAnswer, rollback: Option<&RollbackItem>) -> [Cell; 6] {
    let (word, tone) = state(row.state);
    let (what, why) = match (row.kind, rollback) {
        (DeploymentKind::Deploy, _) => ("deploy", row.notes.clone().or_else(|| row.commit.clone())),
        (DeploymentKind::Detected, _) => {
            ("detected", row.commit.clone().or_else(|| row.notes.clone()))
        }
        (DeploymentKind::Rollback, Some(rollback)) => ("rollback", Some(why(rollback))),
        (DeploymentKind::Rollback, None) => ("rollback", row.rollback_id.map(|id| id.to_string())),
    };
    let why = match (why, verdict_words(row.state, row.said.as_deref())) {
        (Some(why), Some(said)) => Some(format!("{why}; {said}")),
        (why, said) => why.or(said),
    };
    [
        date(row.deployed_at).into(),
        what.into(),
        row.version.as_str().into(),
        Cell::toned(word, tone),
        row.actor.as_str().into(),
        Cell::or_dash(why),
    ]
}

/// Why a deployment is not good, or not yet; of a good one there is nothing to explain.
#[must_use]
pub fn verdict_words(state: StateWord, said: Option<&str>) -> Option<String> {
    let said = said.map(one_line);
    match state {
        StateWord::Good => None,
        StateWord::Resolving => said,
        StateWord::Watching => said.map(|said| format!("not green yet: {said}")),
        StateWord::Bad | StateWord::Unproved | StateWord::Refused => {
            said.map(|said| format!("{}: {said}", self::state(state).0))
        }
    }
}

/// A rollback that runs, or that ended without putting its target in service.
fn unrecorded(rollback: &RollbackItem) -> [Cell; 6] {
    let (word, tone) = match rollback.verdict {
        None => (rollback.phase.word(), Tone::Busy),
        Some(VerdictWord::RolledBack) => ("rolled_back", Tone::Good),
        Some(VerdictWord::Restored) => ("restored", Tone::Warn),
        Some(VerdictWord::Refused) => ("refused", Tone::Bad),
        Some(VerdictWord::Cancelled) => ("cancelled", Tone::Warn),
        Some(VerdictWord::NeedsHuman) => ("needs_human", Tone::Bad),
    };
    let cause = rollback
        .cause
        .as_ref()
        .filter(|_| rollback.phase == PhaseWord::Ended);
    let why = cause.map_or_else(
        || why(rollback),
        |cause| format!("{}; {}", why(rollback), cause.sentence),
    );
    [
        date(rollback.requested_at).into(),
        "rollback".into(),
        rollback.to.as_str().into(),
        Cell::toned(word, tone),
        rollback.requested_by.as_str().into(),
        why.into(),
    ]
}

fn why(rollback: &RollbackItem) -> String {
    let note = rollback
        .note
        .as_deref()
        .map_or(String::new(), |note| format!(": {note}"));
    format!("{}{note} ({})", rollback.reason.word(), rollback.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_and_rollbacks_are_one_history() {
        let id = "0199c0de-7a11-7000-8000-000000000001";
        let other = "0199c0de-7a11-7000-8000-000000000002";
        let deployments: Vec<DeploymentAnswer> = serde_json::from_value(serde_json::json!([
            {"id": id, "application": "shop", "version": "1.4.2", "kind": "rollback", "actor": "ana", "rollback_id": id,
             "state": "watching", "components": {}, "deployed_at": "2026-11-22T08:20:34Z"},
            {"id": id, "application": "shop", "version": "1.5.0", "kind": "deploy", "actor": "service:ci", "commit": "9f1c2ab",
             "state": "bad", "said": "GET / of api: 500, wanted 200", "components": {}, "deployed_at": "2026-11-22T08:00:00Z"},
            {"id": other, "application": "shop", "version": "1.4.3", "kind": "deploy", "actor": "service:ci", "state": "refused",
             "said": "image `x` of api is not on the engine", "components": {}, "deployed_at": "2026-11-22T07:00:00Z"},
        ]))
        .unwrap();
        let rollback = |id: &str, change: serde_json::Value| {
            let mut value = serde_json::json!({
                "id": id, "application": "shop", "to": "1.4.2", "phase": "watching", "requested_by": "ana", "reason": "critical_bug",
                "requested_at": "2026-11-22T08:20:31Z", "plan_digest": "ab".repeat(32)
            });
            for (name, member) in change.as_object().unwrap() {
                value[name] = member.clone();
            }
            serde_json::from_value::<RollbackItem>(value).unwrap()
        };
        let cause = serde_json::json!({"code": "image_missing", "sentence": "the image is gone"});
        let rollbacks = [
            rollback(id, serde_json::json!({"note": "500 on checkout"})),
            rollback(
                other,
                serde_json::json!({"phase": "ended", "verdict": "refused", "cause": cause, "requested_at": "2026-11-22T08:10:00Z"}),
            ),
        ];
        assert_eq!(
            text(&deployments, &rollbacks, 20, Paint::default()),
            format!(
                "WHEN                  WHAT      VERSION  STATE     BY          WHY\n\
                 2026-11-22 08:20:34Z  rollback  1.4.2    watching  ana         critical_bug: 500 on checkout ({id})\n\
                 2026-11-22 08:10:00Z  rollback  1.4.2    refused   ana         critical_bug ({other}); the image is gone\n\
                 2026-11-22 08:00:00Z  deploy    1.5.0    bad       service:ci  9f1c2ab; bad: GET / of api: 500, wanted 200\n\
                 2026-11-22 07:00:00Z  deploy    1.4.3    refused   service:ci  refused: image `x` of api is not on the engine"
            )
        );
    }
}
