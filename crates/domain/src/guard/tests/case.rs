//! A case that every guard lets through, and the words in which tests change what is known of it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    guard::{
        Asker, EpisodeFacts, EpisodeState, Facts, NewestDeployment, Opinion, Recent, Subject,
        Switches, TargetFacts, TriggerFacts,
    },
    ledger::DeploymentKind,
    name::RollbackId,
    readiness::ReadinessCode,
    seen::Seen,
    time::{Millis, Moment},
    trigger::{
        alert::{Alert, AlertState},
        trust::{Mode, TrustTier},
    },
    window::Window,
};

const NOON: i64 = 1_795_348_800_000;

pub(in crate::guard) fn at(seconds: i64) -> Moment {
    Moment::from_unix_ms(NOON + seconds * 1000)
}

/// When the decision is made: 31 seconds after the alert came, 40 after the trouble began.
pub(in crate::guard) fn now() -> Moment {
    at(0)
}

/// Facts that every guard lets through.
pub(in crate::guard) fn fine() -> Facts {
    Facts {
        trigger: TriggerFacts {
            name: "pager".to_owned(),
            trust: TrustTier::Signed,
            doubt: None,
            mode: Mode::Auto,
            severities: BTreeMap::new(),
        },
        alert: Alert {
            episode: "Q1".to_owned(),
            recurs: None,
            state: AlertState::Firing,
            title: "shop: 5xx rate 14%".to_owned(),
            url: None,
            severity: Some("critical".to_owned()),
            service: Some("PSVC001".to_owned()),
            labels: BTreeMap::new(),
            version: None,
            started_at: at(-40),
            occurred_at: at(-40),
            repeated: false,
            ours: false,
        },
        received_at: at(-31),
        application: Seen::Known(Subject {
            name: "shop".parse().unwrap(),
            approval: false,
        }),
        switches: Seen::Known(Switches::default()),
        episode: Seen::Known(EpisodeFacts {
            states: vec![EpisodeState {
                at: at(-40),
                state: AlertState::Firing,
            }],
            earlier: Vec::new(),
            decided: None,
            later: None,
        }),
        opinion: Seen::Known(Opinion {
            at: at(0),
            failing: Some("api: /health answers 500".to_owned()),
        }),
        deployment: Seen::Known(NewestDeployment {
            id: uuid(5),
            version: "1.5.0".parse().unwrap(),
            kind: DeploymentKind::Deploy,
            at: at(-500),
            finished: true,
            seen: true,
        }),
        underway: None,
        target: Seen::Known(TargetFacts {
            version: "1.4.2".parse().unwrap(),
            proved: true,
            served: Some(Millis::from_secs(86_400)),
            readiness: ReadinessCode::Ready,
            blockers: Vec::new(),
            hold: None,
            insecure: None,
        }),
        rollbacks: Seen::Known(Vec::new()),
        windows: Seen::Known(Vec::new()),
        overrides: Vec::new(),
    }
}

pub(super) fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

/// Changes what is known. Of what is not seen there is nothing to change.
pub(super) fn known<T>(seen: &mut Seen<T>, change: impl FnOnce(&mut T)) {
    match seen {
        Seen::Known(value) => change(value),
        Seen::Absent | Seen::Unknown(_) => {}
    }
}

pub(super) fn recent(application: &str, by: Asker, asked: i64, rested: Option<i64>) -> Recent {
    Recent {
        rollback: RollbackId(uuid(u128::from(asked.unsigned_abs()))),
        application: application.parse().unwrap(),
        by,
        asked_at: at(asked),
        rested_at: rested.map(at),
        episode: None,
        undid: None,
        touched: true,
        left: None,
        trigger: (by == Asker::Trigger).then(|| "other".to_owned()),
        plan: None,
        awaits: false,
        accepted: false,
    }
}

pub(super) fn window(kind: &str, cron: &str, rollbacks: bool) -> Window {
    serde_json::from_value(json!({
        "id": uuid(1), "kind": kind, "application": null, "cron": cron, "duration": 3_600_000,
        "zone": "UTC", "rollbacks": rollbacks,
    }))
    .unwrap()
}

pub(super) fn unknown<T>() -> Seen<T> {
    Seen::Unknown("it did not answer".to_owned())
}

pub(super) fn done_before(facts: &mut Facts, rollback: Recent) {
    known(&mut facts.rollbacks, |it| it.push(rollback));
}
