//! PagerDuty: each kind of event of its webhooks.

use domain::trigger::{
    Headers, Kind, Settings,
    alert::{AlertState, Notice},
    message::read,
};
use serde_json::{Value, json};

use super::{at, is_other, one, told};

fn reference(kind: &str, id: &str, summary: &str) -> Value {
    json!({"html_url": format!("https://acme.pagerduty.com/{kind}s/{id}"), "id": id,
        "self": format!("https://api.pagerduty.com/{kind}s/{id}"), "summary": summary, "type": format!("{kind}_reference")})
}

fn event(kind: &str, resource: &str, data: &Value) -> Value {
    json!({"event": {"id": "01DEFQ3K1CW9R8ZT7V4KX0M2PB", "event_type": kind, "resource_type": resource,
        "occurred_at": "2026-03-01T10:20:30.169Z", "agent": reference("user", "PLH2ABC", "Ada"),
        "client": {"name": "PagerDuty"}, "data": data}})
}

fn incident(status: &str) -> Value {
    json!({"id": "Q2MWZXF1", "type": "incident", "self": "https://api.pagerduty.com/incidents/Q2MWZXF1",
        "html_url": "https://acme.pagerduty.com/incidents/Q2MWZXF1", "number": 812, "status": status,
        "incident_key": "baf7cf21b1da41b4b0221008339ff357", "created_at": "2026-03-01T10:15:00Z",
        "title": "Checkout answers 500", "service": reference("service", "PF9CHKO", "Checkout"),
        "assignees": [reference("user", "PTUXL7H", "Bob")], "teams": [reference("team", "PFCVPS1", "Shop")],
        "escalation_policy": reference("escalation_policy", "PUS0KTF", "Default"),
        "priority": reference("priority", "PSO75BN", "P1"), "urgency": "high",
        "conference_bridge": {"conference_number": "+1 555,,9#", "conference_url": "https://example.com"},
        "resolve_reason": null, "incident_type": {"name": "incident_default"}})
}

fn pagerduty(kind: &str, data: &Value) -> Notice {
    told(Kind::Pagerduty, &[], &event(kind, "incident", data))
}

#[test]
fn pagerduty_each_kind_of_incident_event() {
    let new = one(pagerduty("incident.triggered", &incident("triggered")));
    assert!(!new.repeated && new.state == AlertState::Firing);
    assert_eq!(
        (new.severity.as_deref(), new.service.as_deref()),
        (Some("P1"), Some("PF9CHKO"))
    );
    assert_eq!(new.started_at, at("2026-03-01T10:15:00Z"));
    // All of these are about an incident that was told of before: none may start anything.
    for kind in [
        "escalated",
        "reassigned",
        "delegated",
        "priority_updated",
        "service_updated",
        "unacknowledged",
        "incident_type.changed",
        "a_kind_of_2031",
    ] {
        let again = one(pagerduty(
            &format!("incident.{kind}"),
            &incident("triggered"),
        ));
        let handed = matches!(kind, "reassigned" | "delegated");
        assert_eq!(again.repeated, !handed, "{kind}");
        // Whoever hands it on looks after it.
        assert_eq!(again.state == AlertState::Acknowledged, handed, "{kind}");
    }
    let seen = one(pagerduty(
        "incident.acknowledged",
        &incident("acknowledged"),
    ));
    assert_eq!(seen.state, AlertState::Acknowledged);
    // Escalated while somebody looks after it.
    let escalated = one(pagerduty("incident.escalated", &incident("acknowledged")));
    assert_eq!(escalated.state, AlertState::Acknowledged);
    let mut over = incident("resolved");
    over["resolve_reason"] = json!({"type": "unknown_resolve_reason"});
    assert_eq!(
        one(pagerduty("incident.resolved", &over)).state,
        AlertState::Resolved
    );
    over["resolve_reason"] =
        json!({"type": "merge_resolve_reason", "incident": reference("incident", "Q9", "Another")});
    assert_eq!(
        one(pagerduty("incident.resolved", &over)).state,
        AlertState::Merged
    );

    let mut back = incident("triggered");
    back["reopened_at"] = json!("2026-03-01T10:20:29Z");
    let reopened = one(pagerduty("incident.reopened", &back));
    assert_eq!(
        (reopened.started_at, reopened.repeated),
        (at("2026-03-01T10:20:29Z"), false)
    );
    // One that was reopened and is given another priority is no news.
    assert!(one(pagerduty("incident.priority_updated", &back)).repeated);
    // Neither older accounts nor our own tests of receivers have every field; an end without a beginning is an end.
    for field in [
        "created_at",
        "incident_key",
        "priority",
        "resolve_reason",
        "incident_type",
        "conference_bridge",
    ] {
        let mut less = incident("resolved");
        less.as_object_mut().unwrap().remove(field);
        assert_eq!(
            one(pagerduty("incident.resolved", &less)).state,
            AlertState::Resolved,
            "{field}"
        );
    }
    let mut plain = incident("triggered");
    plain["priority"] = Value::Null;
    plain["service"] = Value::Null;
    let plain = one(pagerduty("incident.triggered", &plain));
    assert_eq!(
        (plain.severity.as_deref(), plain.service),
        (Some("high"), None)
    );
}

#[test]
fn pagerduty_what_is_no_incident_starts_nothing() {
    let about = reference("incident", "Q2MWZXF1", "Checkout answers 500");
    let others = [
        (
            "incident.annotated",
            json!({"incident": about, "id": "P2LA90Y", "content": "rollback shop now",
            "trimmed": false, "type": "incident_note"}),
        ),
        (
            "incident.status_update_published",
            json!({"incident": about, "id": "P2", "message": "down: triggered",
            "trimmed": false, "type": "incident_status_update"}),
        ),
        (
            "incident.responder.added",
            json!({"incident": about, "user": reference("user", "PV", "Maeve"),
            "message": "please help", "state": "pending", "type": "incident_responder"}),
        ),
        (
            "incident.responder.replied",
            json!({"incident": about, "user": reference("user", "PV", "Maeve"),
            "message": "coming", "state": "accepted", "type": "incident_responder"}),
        ),
        (
            "incident.workflow.started",
            json!({"id": "01", "incident": about, "summary": "flow",
            "type": "incident_workflow_instance"}),
        ),
        (
            "incident.action_invocation.created",
            json!({"id": "01", "incident": about, "state": "created",
            "action": {"id": "01", "type": "action_reference"}, "type": "incident_action_invocation"}),
        ),
        (
            "incident.custom_field_values.updated",
            json!({"incident": about, "custom_fields": [{"name": "status",
            "value": "triggered"}], "changed_field_ids": ["PT"], "type": "incident_field_values"}),
        ),
        (
            "incident.conference_bridge.updated",
            json!({"incident": about, "conference_numbers": [],
            "type": "incident_conference_bridge"}),
        ),
    ];
    for (kind, data) in &others {
        assert!(is_other(&pagerduty(kind, data)), "{kind}");
    }
    let mut service = reference("service", "PF9CHKO", "Checkout");
    service["alert_creation"] = json!("create_alerts_and_incidents");
    service["type"] = json!("service");
    for kind in ["service.created", "service.updated", "service.deleted"] {
        let mut told_of = event(kind, "service", &service);
        told_of["event"]["agent"] = Value::Null;
        told_of["event"]["client"] = Value::Null;
        assert!(is_other(&told(Kind::Pagerduty, &[], &told_of)), "{kind}");
    }
    let ping = json!({"event": {"id": "01CEVN8T", "event_type": "pagey.ping", "resource_type": "pagey",
        "occurred_at": "2026-03-01T10:00:00.000Z", "agent": null, "client": null,
        "data": {"message": "Hello from your friend Pagey!", "type": "ping"}}});
    assert_eq!(told(Kind::Pagerduty, &[], &ping), Notice::Ping);
    // Version 2 of the webhooks is told as what it is: nothing that is read.
    let former =
        json!({"messages": [{"id": "x", "event": "incident.trigger", "incident": {"id": "Q2"}}]});
    let none = Settings::default();
    assert!(
        read(
            Kind::Pagerduty,
            &none,
            &Headers::default(),
            former.to_string().as_bytes()
        )
        .is_err()
    );
}
