//! Sentry: events that a rule found, issues and metrics.

use domain::trigger::{
    Kind,
    alert::{AlertState, Notice},
};
use serde_json::{Value, json};

use super::{at, is_other, one, told};

fn sentry(resource: &str, body: &Value) -> Notice {
    told(
        Kind::Sentry,
        &[("sentry-hook-resource", resource), ("request-id", "8b7")],
        body,
    )
}

#[test]
fn sentry_an_event_that_a_rule_found() {
    let body = json!({"action": "triggered", "actor": {"id": "sentry", "name": "Sentry", "type": "application"},
        "data": {"event": {"_ref": 1, "_ref_version": 2, "contexts": {"browser": {"name": "Chrome", "version": "75"}},
            "culprit": "?(<anonymous>)", "datetime": "2026-03-01T10:06:17.677000Z", "dist": null,
            "event_id": "e4874d664c3540c1a32eab185f12c5ac", "exception": {"values": [{"type": "ReferenceError"}]},
            "fingerprint": ["{{ default }}"], "issue_url": "https://sentry.io/api/0/issues/1117540177/",
            "issue_id": "1117540177", "level": "error", "message": "", "platform": "javascript", "project": 1,
            "received": 1_772_359_577.677, "release": null, "tags": [["browser", "Chrome 75"], ["handled", "no"],
            ["release", "shop@1.5.0"], ["level", "error"]], "timestamp": 1_772_359_577.677, "type": "error", "version": "7",
            "title": "ReferenceError: heck is not defined",
            "url": "https://sentry.io/api/0/projects/acme/front-end/events/e4874d664c3540c1a32eab185f12c5ac/",
            "web_url": "https://sentry.io/organizations/acme/issues/1117540177/events/e48/"},
            "triggered_rule": "Important", "issue_alert": {"title": "Important", "settings": [{"name": "x", "value": "y"}]}},
        "installation": {"uuid": "a8e5d37a-696c-4c54-adb5-b3f28d64c7df"}});
    let alert = one(sentry("event_alert", &body));
    assert_eq!(
        alert.service.as_deref(),
        Some("front-end"),
        "as people write it"
    );
    assert_eq!(alert.labels["project_id"], "1");
    assert_eq!(
        alert.version.as_deref(),
        Some("1.5.0"),
        "`version` is the format's own"
    );
    assert_eq!(alert.episode, "1117540177");
    assert!(is_other(&sentry(
        "error",
        &json!({"action": "created", "data": {"error": {}}})
    )));
    let installation = json!({"installation": {"status": "installed", "uuid": "u"}});
    let body = json!({"action": "created", "data": installation});
    assert_eq!(sentry("installation", &body), Notice::Ping);
    assert!(is_other(&sentry(
        "installation",
        &json!({"action": "deleted", "data": installation})
    )));
    assert!(is_other(&sentry(
        "seer",
        &json!({"action": "root_cause_completed", "data": {}})
    )));
}

#[test]
fn sentry_issues_and_metrics_come_and_go() {
    let issue = |action: &str, substatus: &str| {
        json!({"action": action, "data": {"issue": {"annotations": [], "assignedTo": null, "count": "1", "culprit": "x",
            "firstSeen": "2026-02-01T20:58:37.391000Z", "id": "1117540177", "lastSeen": "2026-03-01T10:00:00+00:00",
            "level": "fatal", "permalink": null, "project": {"id": "1", "name": "front-end", "slug": "front-end"},
            "shortId": "FRONT-END-9", "status": "unresolved", "statusDetails": {}, "substatus": substatus,
            "title": "Boom", "web_url": "https://sentry.io/organizations/acme/issues/1117540177/"}}})
    };
    let new = one(sentry("issue", &issue("created", "new")));
    assert_eq!(new.started_at, at("2026-02-01T20:58:37.391Z"));
    // It is weeks old, and began to be trouble again now.
    let back = one(sentry("issue", &issue("unresolved", "regressed")));
    assert_eq!(
        (back.state, back.started_at),
        (AlertState::Firing, at("2026-03-01T10:00:00Z"))
    );
    // It never ended: a person took it out of the archive, or it grows.
    for substatus in ["ongoing", "escalating", ""] {
        let same = one(sentry("issue", &issue("unresolved", substatus)));
        assert_eq!(
            (same.state, same.started_at),
            (AlertState::Firing, at("2026-02-01T20:58:37.391Z")),
            "{substatus}"
        );
        assert_eq!(same.occurred_at, at("2026-03-01T10:00:00Z"));
    }
    assert_eq!(
        one(sentry("issue", &issue("resolved", ""))).state,
        AlertState::Resolved
    );
    for action in ["assigned", "archived", "ignored"] {
        assert!(
            is_other(&sentry("issue", &issue(action, "archived_forever"))),
            "{action}"
        );
    }
    let metric = |action: &str, closed: Value| {
        json!({"action": action, "data": {"description_text": "1000 events", "description_title": "Critical: errors",
            "metric_alert": {"alert_rule": {"aggregate": "count()", "environment": null, "id": "7", "name": "errors",
                "projects": ["shop"], "status": 0, "triggers": [{"id": "1", "label": "critical"}]}, "date_closed": closed,
                "date_detected": "2026-03-01 10:00:00+00:00", "date_started": "2026-03-01 09:58:00.000000+00:00", "id": "4",
                "identifier": "1", "projects": ["shop"], "status": 20, "title": "errors", "type": 2},
            "web_url": "https://sentry.io/organizations/acme/alerts/1/"}})
    };
    let firing = one(sentry("metric_alert", &metric("critical", Value::Null)));
    assert_eq!(
        firing.started_at,
        at("2026-03-01T09:58:00Z"),
        "with a space for the `T`"
    );
    assert_eq!(
        (firing.severity.as_deref(), firing.service.as_deref()),
        (Some("critical"), Some("shop"))
    );
    for closed in [Value::Null, json!("2026-03-01T10:30:00.000000Z")] {
        let over = one(sentry("metric_alert", &metric("resolved", closed)));
        assert_eq!(
            (over.state, over.episode.as_str()),
            (AlertState::Resolved, "4")
        );
    }
}
