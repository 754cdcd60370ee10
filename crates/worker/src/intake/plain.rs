//! Messages of which nothing is to be found out: what comes of them is in them. They are read and written together, so that
//! each costs little in a storm.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use domain::trigger::{
    Mode,
    sort::{Matter, Part, sorted},
};
use store::{DecidedMessage, DecisionOutcome, Due, NewDecision, Store};
use uuid::Uuid;

use super::{put_down, tell};

/// Longest body of a message that is read with others: what is longer may be many alerts against many rules, which nobody
/// else waits for.
const READ_TOGETHER_BYTES_MAX: usize = 16 << 10;
/// How long reading together may take: what is left then is read by itself.
const READ_TOGETHER_MAX: Duration = Duration::from_millis(5);

/// Messages, by what they need.
#[derive(Default)]
pub(super) struct Sorted {
    /// Each is decided by itself.
    pub(super) alone: Vec<Due>,
    /// What comes of these is known.
    pub(super) plain: Vec<(Due, Vec<NewDecision>)>,
}

/// Whether a message may be read with others.
pub(super) fn may_be(due: &Due) -> bool {
    due.body.len() <= READ_TOGETHER_BYTES_MAX
}

/// Reads them. One that can not be read is left to whoever reads it alone.
pub(super) async fn sort(messages: Vec<Due>) -> Sorted {
    let sorting = tokio::task::spawn_blocking(move || {
        let (began, mut sorted) = (Instant::now(), Sorted::default());
        for due in messages {
            let in_time = began.elapsed() < READ_TOGETHER_MAX;
            let read = in_time.then(|| catch_unwind(AssertUnwindSafe(|| decisions(&due))));
            match read {
                Some(Ok(Some(decisions))) => sorted.plain.push((due, decisions)),
                Some(Ok(None) | Err(_)) | None => sorted.alone.push(due),
            }
        }
        sorted
    });
    // Broken off with the process: each is due again when its lease is over.
    sorting.await.unwrap_or_default()
}

/// None: there is something to be found out. Of a message that says several things some may be written down already.
fn decisions(due: &Due) -> Option<Vec<NewDecision>> {
    if due.removed {
        return Some(vec![of_removed()]);
    }
    let parts = sorted(&due.trigger, &due.headers, &due.body);
    if parts.len() > 1 {
        return None;
    }
    let each = parts.iter().map(|part| decision(due.trigger.mode, part));
    each.collect()
}

pub(super) fn of_removed() -> NewDecision {
    put_down("trigger_removed", "its trigger was taken out".to_owned())
}

/// What comes of a part by itself; none when there is something to be found out.
pub(super) fn decision(mode: Mode, part: &Part) -> Option<NewDecision> {
    let as_said = |outcome| Some(written(part, outcome, part.code, part.said.clone(), None));
    match (&part.matter, &part.application) {
        (Matter::Nothing, _) => as_said(DecisionOutcome::Noted),
        (Matter::Known, _)
        | (Matter::Alert(_) | Matter::Begun(_) | Matter::Deployment(_), None) => {
            as_said(DecisionOutcome::Recorded)
        }
        (Matter::Alert(_), Some(_)) => match mode {
            Mode::Off | Mode::Record => as_said(DecisionOutcome::Recorded),
            Mode::Propose | Mode::Shadow | Mode::Auto => None,
        },
        (Matter::Begun(_) | Matter::Deployment(_), Some(_)) => None,
    }
}

/// A decision on a part.
pub(super) fn written(
    part: &Part,
    outcome: DecisionOutcome,
    code: &str,
    said: String,
    deployment: Option<Uuid>,
) -> NewDecision {
    let episode = part
        .notice
        .get("episode")
        .and_then(serde_json::Value::as_str);
    NewDecision {
        notice: part.notice.clone(),
        deployment,
        episode: episode.map(ToOwned::to_owned),
        ..super::plain(part.application.clone(), outcome, code, said)
    }
}

/// Writes what comes of them. What fails now is due again when its lease is over.
pub(super) async fn write(store: &Store, plain: Vec<(Due, Vec<NewDecision>)>) {
    let message = |(due, decisions): &(Due, Vec<NewDecision>)| DecidedMessage {
        trigger: due.trigger.name.clone(),
        event_id: due.event_id.clone(),
        decisions: decisions.clone(),
    };
    let messages: Vec<_> = plain.iter().map(message).collect();
    let written = store.decisions_put_all(messages).await;
    for ((due, decisions), written) in plain.iter().zip(written) {
        let trigger = &due.trigger.name;
        match written {
            Ok(true) => tell(due, decisions),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%trigger, %error, "a decision was not written; trying again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        time::Moment,
        trigger::{Headers, Trigger},
    };
    use serde_json::json;

    use super::*;

    fn trigger(mode: &str) -> Trigger {
        let routes = json!([{"application": "shop", "service": "P1"}]);
        let trigger = json!({"name": "pager", "kind": "pagerduty", "mode": mode, "routes": routes});
        serde_json::from_value(trigger).unwrap()
    }

    fn due(mode: &str, event_id: &str, body: String) -> Due {
        Due {
            trigger: trigger(mode),
            removed: false,
            event_id: event_id.to_owned(),
            headers: Headers::default(),
            body: body.into_bytes(),
            lost: None,
            received_at: Moment::from_unix_ms(0),
            tries: 1,
        }
    }

    fn incident(status: &str) -> String {
        let event_type = format!("incident.{status}");
        let service = json!({"id": "P1", "summary": "shop", "type": "service_reference"});
        json!({"event": {
            "id": "e", "event_type": event_type, "resource_type": "incident",
            "occurred_at": "2026-01-02T03:04:05Z",
            "data": {"id": "Q1", "type": "incident", "status": status, "incident_key": "k", "title": "t",
                "created_at": "2026-01-02T03:04:05Z", "urgency": "high", "service": service}
        }})
        .to_string()
    }

    /// What each of them came to, by their events.
    async fn sorted_of(messages: Vec<Due>) -> (Vec<String>, Vec<String>) {
        let sorted = sort(messages).await;
        let alone = sorted.alone.into_iter().map(|due| due.event_id);
        let plain = sorted.plain.into_iter();
        let plain = plain.map(|(due, made)| format!("{} {}", due.event_id, made[0].code));
        (alone.collect(), plain.collect())
    }

    #[tokio::test]
    async fn what_has_to_be_found_out_is_left_to_be_decided_alone() {
        let removed = Due {
            removed: true,
            ..due("auto", "taken-out", incident("triggered"))
        };
        let (alone, plain) = sorted_of(vec![
            due("record", "recorded", incident("triggered")),
            due("auto", "acts", incident("triggered")),
            due("shadow", "tried", incident("triggered")),
            due("auto", "over", incident("resolved")),
            due("auto", "strange", "{".to_owned()),
            removed,
        ])
        .await;
        assert_eq!(alone, ["acts", "tried"]);
        let events: Vec<&str> = plain
            .iter()
            .filter_map(|one| one.split(' ').next())
            .collect();
        assert_eq!(events, ["recorded", "over", "strange", "taken-out"]);
        assert!(
            plain.contains(&"taken-out trigger_removed".to_owned()),
            "{plain:?}"
        );
        assert!(
            plain.contains(&"strange unreadable".to_owned()),
            "{plain:?}"
        );
    }

    #[test]
    fn a_long_message_keeps_no_other_waiting() {
        let long = " ".repeat(READ_TOGETHER_BYTES_MAX + 1);
        assert!(!may_be(&due("record", "e", long)));
        assert!(may_be(&due("record", "e", incident("triggered"))));
    }
}
