//! What a person can do next about a rollback, most useful first.

use domain::{lifecycle::Phase, plan::Plan, steps::pinned, verdict::Verdict};
use store::RollbackView;

use super::{NextAction, PinAnswer, notes};

/// With a hold released, the version that was rolled back may come back: nothing is to be set against it.
pub(super) fn actions(view: &RollbackView, pins: &[PinAnswer]) -> Vec<NextAction> {
    let released = pins
        .iter()
        .any(|pin| !pin.left_to_person && pin.settled_at.is_some());
    let here = format!("/api/v1/rollbacks/{}", view.id);
    let (id, name) = (view.id, &view.application);
    let act = |sentence: &str, method: &str, path: String, command: Option<String>| NextAction {
        sentence: sentence.to_owned(),
        method: Some(method.to_owned()),
        path: Some(path),
        command,
    };
    let say = |sentence: String| NextAction {
        sentence,
        method: None,
        path: None,
        command: None,
    };
    let run = |word: &str| Some(format!("sternway {word} {id}"));
    let call_off = |sentence| act(sentence, "POST", format!("{here}/cancel"), run("cancel"));
    let watch = || act("watch it", "GET", format!("{here}/events"), run("watch"));
    let steps = |sentence| act(sentence, "GET", format!("{here}/steps"), run("watch"));
    match &view.run.phase {
        Phase::AwaitingApproval { .. } => vec![
            act(
                "another person approves or rejects it",
                "POST",
                format!("{here}/approval"),
                run("approve"),
            ),
            call_off("call it off"),
        ],
        Phase::Forward { .. } => vec![watch(), call_off("call it off at its next safe point")],
        Phase::Backward { .. } | Phase::Watching { .. } => vec![watch()],
        Phase::Ended { verdict } => match verdict {
            Verdict::RolledBack { .. } => {
                let notes = notes(&view.run, Some(verdict));
                let elsewhere = (!released).then(|| say(version_elsewhere(&view.plan, &notes)));
                let said_last = act(
                    "read what the former containers said last",
                    "GET",
                    format!("{here}/artifacts"),
                    None,
                );
                elsewhere.into_iter().chain([said_last]).collect()
            }
            Verdict::Restored { .. } | Verdict::Refused { .. } | Verdict::Cancelled { .. } => vec![
                steps("see what failed"),
                act(
                    "make a new plan once the cause is gone",
                    "POST",
                    format!("/api/v1/applications/{name}/plans"),
                    Some(format!("sternway plan {name}")),
                ),
            ],
            Verdict::NeedsHuman { .. } => {
                let look = say(format!(
                    "look at the containers of {name} on their engine before anything else"
                ));
                let up = up_deploys(&view.plan, pins).map(say);
                [steps("see what was reached"), look]
                    .into_iter()
                    .chain(up)
                    .collect()
            }
        },
    }
}

/// What Compose makes of production as it was left: it knows what to do with what is there twice, half or not at all.
fn up_deploys(plan: &Plan, pins: &[PinAnswer]) -> Option<String> {
    let compose = plan.application.compose.as_ref()?;
    let planned = plan
        .project
        .as_ref()
        .and_then(|project| project.pin.as_ref());
    let names = match (planned, pins.first()) {
        (Some(pin), _) if pin.from == pin.to => {
            format!("{}, which {} named before", plan.to, pin.path)
        }
        (Some(pin), Some(kept)) if kept.settled_at.is_none() => {
            format!("{}, by what the rollback wrote into {}", plan.to, pin.path)
        }
        (_, Some(_)) => "what its files named before the rollback".to_owned(),
        (_, None) => "the version that its files name: look at them first".to_owned(),
    };
    Some(format!(
        "{} makes every service whole again, with {names}",
        compose.command("up -d")
    ))
}

/// Where the bad version still stands, for the next `up` to bring back.
fn version_elsewhere(plan: &Plan, notes: &[String]) -> String {
    match pinned(plan, notes) {
        Some(pin) => match &pin.variable {
            Some(variable) => format!(
                "set the version back in CI and in shells that set {variable} too, or their next `up` brings the bad one back; {} is done: {}",
                pin.path,
                pin.stands()
            ),
            None => format!(
                "set the version back in the Compose file and CI too: once the hold is released, and where `-f` names the files, the next \
                 `up` goes by them; until then {}",
                pin.stands()
            ),
        },
        None => "set the version in the Compose file, `.env` and CI back too, or the next `up` brings the bad one back".to_owned(),
    }
}

#[cfg(test)]
mod tests;
