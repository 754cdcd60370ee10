//! Payloads as the senders' own documentation and servers write them, with every field that they have, each judged by
//! what it must and must not lead to. All names in them are invented.

use domain::{
    time::Moment,
    trigger::{
        Headers, Kind, Settings,
        alert::{Alert, AlertState, Deployed, DeployedState, Notice},
        message::{event_id, headers_read, read},
    },
};
use serde_json::{Value, json};

pub(crate) fn at(text: &str) -> Moment {
    serde_json::from_value(json!(text)).unwrap()
}

fn told(kind: Kind, headers: &[(&str, &str)], body: &Value) -> Notice {
    let headers: Headers = headers.iter().copied().collect();
    let kept = headers.only(headers_read(kind));
    let read = read(
        kind,
        &Settings::default(),
        &kept,
        body.to_string().as_bytes(),
    );
    read.unwrap_or_else(|why| panic!("{kind:?}: {why}: {body}"))
}

fn alerts(notice: Notice) -> Vec<Alert> {
    match notice {
        Notice::Alerts(alerts) => alerts,
        other => panic!("{other:?}"),
    }
}

fn one(notice: Notice) -> Alert {
    let mut all = alerts(notice);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn deployed(notice: Notice) -> Deployed {
    match notice {
        Notice::Deployed(told) => *told,
        other => panic!("{other:?}"),
    }
}

fn is_other(notice: &Notice) -> bool {
    matches!(notice, Notice::Other { .. })
}

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
        assert!(again.repeated, "{kind}");
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

fn prometheus(status: &str, labels: Value, fingerprint: &str) -> Value {
    let over = status == "resolved";
    json!({"status": status, "labels": labels, "annotations": {"description": "more than 5 % fail", "runbook_url": ""},
        "startsAt": "2026-03-01T11:12:13.739266876+02:00", "fingerprint": fingerprint,
        "endsAt": if over { "2026-03-01T09:30:00Z" } else { "0001-01-01T00:00:00Z" },
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1"})
}

fn group(alerts: &[Value]) -> Value {
    json!({"receiver": "sternway", "status": "firing", "alerts": alerts, "groupLabels": {"alertname": "ErrorRate"},
        "commonLabels": {"alertname": "ErrorRate", "env": "production"}, "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093", "version": "4", "groupKey": "{}/{env=\"production\"}:{alertname=\"ErrorRate\"}",
        "truncatedAlerts": 0, "notification_reason": "first notification", "routeLabels": {"team": "shop"}})
}

#[test]
fn alertmanager_mixed_and_truncated_groups() {
    let mut mixed = group(&[
        prometheus(
            "firing",
            json!({"alertname": "ErrorRate", "service": "shop", "severity": "critical"}),
            "a1",
        ),
        prometheus(
            "resolved",
            json!({"alertname": "ErrorRate", "service": "cart", "severity": "critical"}),
            "a2",
        ),
    ]);
    let read = alerts(told(Kind::Alertmanager, &[], &mixed));
    assert_eq!(
        [read[0].state, read[1].state],
        [AlertState::Firing, AlertState::Resolved]
    );
    assert_eq!(read[0].title, "ErrorRate", "without a summary");
    assert_eq!(read[0].started_at, at("2026-03-01T09:12:13.739Z"));
    assert_eq!(read[1].occurred_at, at("2026-03-01T09:30:00Z"));
    // A group that is cut says nothing of what was cut.
    mixed["truncatedAlerts"] = json!(40);
    mixed["status"] = json!("resolved");
    mixed["alerts"] = json!([mixed["alerts"][1]]);
    assert_eq!(alerts(told(Kind::Alertmanager, &[], &mixed)).len(), 1);
    mixed["alerts"] = json!([]);
    assert_eq!(alerts(told(Kind::Alertmanager, &[], &mixed)), []);
    // The reasons that Alertmanager has words for: only one of them is no news.
    for (reason, again) in [
        ("first notification", false),
        ("new alerts added", false),
        ("unknown", false),
        ("repeat interval elapsed", true),
    ] {
        let mut sent = group(&[prometheus(
            "firing",
            json!({"alertname": "ErrorRate"}),
            "a1",
        )]);
        sent["notification_reason"] = json!(reason);
        assert_eq!(
            one(told(Kind::Alertmanager, &[], &sent)).repeated,
            again,
            "{reason}"
        );
    }
}

#[test]
fn alertmanager_a_label_that_is_empty_is_none() {
    let empty = json!({"alertname": "ErrorRate", "service": "", "job": "shop", "severity": "", "version": "", "pod": ""});
    let alert = one(told(
        Kind::Alertmanager,
        &[],
        &group(&[prometheus("firing", empty, "a1")]),
    ));
    assert_eq!((alert.severity, alert.version), (None, None));
    assert_eq!(alert.service.as_deref(), Some("shop"));
    assert_eq!(alert.labels["pod"], "", "rules may ask for it");
}

#[test]
fn alertmanager_one_alert_that_can_not_be_read_takes_no_others_along() {
    let mut odd = prometheus("firing", json!({"alertname": "Odd"}), "a0");
    odd["startsAt"] = json!("0001-01-01T00:00:00Z");
    let fine = prometheus("firing", json!({"alertname": "ErrorRate"}), "a1");
    for alerts in [[odd.clone(), fine.clone()], [fine, odd.clone()]] {
        let read = one(told(Kind::Alertmanager, &[], &group(&alerts)));
        assert_eq!(read.title, "ErrorRate (and 1 alerts that are not read)");
    }
    let alone = group(&[odd]).to_string();
    assert!(
        read(
            Kind::Alertmanager,
            &Settings::default(),
            &Headers::default(),
            alone.as_bytes()
        )
        .is_err()
    );
}

fn grafana(labels: Value) -> Value {
    let mut alert = prometheus("firing", labels, "c6eadffa33fcdf38");
    let more = json!({"values": {"B": 44.239, "C": 1}, "valueString": "[ var='B' labels={} value=44.2 ], [ var='C' value=1 ]",
        "silenceURL": "https://grafana.example/alerting/silence/new?alertmanager=grafana", "dashboardURL": "", "orgId": 1,
        "panelURL": "https://grafana.example/d/abc?viewPanel=2", "imageURL": "https://grafana.example/image.png",
        "ruleUID": "df1"});
    alert
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let mut sent = group(&[alert]);
    let more = json!({"version": "1", "orgId": 1, "title": "[FIRING:1] ErrorRate (shop)", "state": "alerting",
        "message": "**Firing**\n\nValue: B=44.2", "appVersion": "12.1.0"});
    sent.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    sent
}

#[test]
fn grafana_an_alert_with_all_of_its_fields() {
    let labels = json!({"alertname": "ErrorRate", "grafana_folder": "Shop", "service": "shop", "severity": "critical"});
    let alert = one(told(Kind::Grafana, &[], &grafana(labels)));
    assert_eq!(
        alert.url.as_deref(),
        Some("https://grafana.example/d/abc?viewPanel=2")
    );
    assert_eq!(
        (alert.severity.as_deref(), alert.repeated),
        (Some("critical"), false)
    );
}

#[test]
fn grafana_that_can_not_look_says_nothing_of_the_application() {
    for (name, severity) in [
        ("DatasourceNoData", "datasource_no_data"),
        ("DatasourceError", "datasource_error"),
    ] {
        let mut sent = grafana(
            json!({"alertname": name, "rulename": "ErrorRate", "datasource_uid": "prom", "ref_id": "A",
            "grafana_folder": "Shop", "service": "shop", "severity": "critical"}),
        );
        sent["alerts"][0]["values"] = Value::Null;
        sent["alerts"][0]["valueString"] = json!("");
        let alert = one(told(Kind::Grafana, &[], &sent));
        assert_eq!(alert.severity.as_deref(), Some(severity));
        assert_eq!(
            domain::guard::impact_of(&alert, &[].into()),
            None,
            "a person is asked"
        );
        let said = [(severity.to_owned(), domain::guard::Impact::Down)].into();
        let meant = domain::guard::impact_of(&alert, &said);
        assert_eq!(
            meant,
            Some(domain::guard::Impact::Down),
            "unless somebody said so"
        );
    }
    let test = grafana(json!({"alertname": "TestAlert", "instance": "Grafana"}));
    assert_eq!(told(Kind::Grafana, &[], &test), Notice::Ping);
}

fn deployment(state: &str) -> Value {
    let user =
        json!({"login": "deployer[bot]", "id": 52_472_962, "type": "Bot", "site_admin": false});
    json!({"action": "created", "deployment_status": {"url": "https://api.github.com/x", "id": 209_916_254, "node_id": "x",
            "state": state, "creator": user, "description": "", "environment": "production",
            "target_url": "https://github.com/acme/shop/runs/1", "created_at": "2026-03-01T10:00:05Z",
            "updated_at": "2026-03-01T10:00:05Z", "environment_url": "", "log_url": "", "performed_via_github_app": null},
        "deployment": {"url": "https://api.github.com/y", "id": 145_988_746, "task": "deploy", "payload": {},
            "original_environment": "production", "environment": "production", "description": null,
            "created_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-01T10:00:05Z", "creator": user,
            "sha": "f95f852bd8fca8fcc58a9a2d6c842781e32a215f", "ref": "v1.5.0", "transient_environment": false,
            "production_environment": true, "performed_via_github_app": null},
        "check_run": {"id": 1, "status": "in_progress", "conclusion": null}, "workflow": null,
        "workflow_run": {"id": 2, "head_branch": "main", "status": "in_progress"},
        "repository": {"id": 3, "full_name": "acme/shop", "default_branch": "main"}, "sender": user,
        "organization": {"login": "acme"}, "installation": {"id": 1}})
}

fn github(event: &str, body: &Value) -> Notice {
    told(Kind::Github, &[("x-github-event", event)], body)
}

#[test]
fn github_each_state_of_a_deployment() {
    for (state, expected) in [
        ("queued", DeployedState::Started),
        ("pending", DeployedState::Started),
        ("waiting", DeployedState::Started),
        ("in_progress", DeployedState::Started),
        ("success", DeployedState::Succeeded),
        ("failure", DeployedState::Failed),
        ("error", DeployedState::Failed),
    ] {
        let told = deployed(github("deployment_status", &deployment(state)));
        assert_eq!(
            (told.state, told.version.as_deref()),
            (expected, Some("1.5.0")),
            "{state}"
        );
    }
    // A former deployment is put out of service by GitHub itself when another one succeeds.
    assert!(is_other(&github(
        "deployment_status",
        &deployment("inactive")
    )));
    // A branch is no version, whatever it is called, and a commit is one where nothing else is named.
    for (name, version) in [
        ("main", None),
        ("production", None),
        ("release/1.4", None),
        ("version-bump", None),
        ("refs/heads/v2", None),
        ("v2.0.0", Some("2.0.0")),
        ("2.0.0-rc.1", Some("2.0.0-rc.1")),
        ("refs/tags/v2.0.0", Some("2.0.0")),
        ("refs/tags/nightly", Some("nightly")),
        (
            "f95f852bd8fca8fcc58a9a2d6c842781e32a215f",
            Some("f95f852bd8fca8fcc58a9a2d6c842781e32a215f"),
        ),
    ] {
        let mut sent = deployment("success");
        sent["deployment"]["ref"] = json!(name);
        let told = deployed(github("deployment_status", &sent));
        assert_eq!(told.version.as_deref(), version, "{name}");
    }
    // What was given along comes back as it was given: an object, or a text of one.
    let along = json!({"version": "1.5.1", "images": {"api": "shop:1.5.1"}});
    for payload in [along.clone(), json!(along.to_string())] {
        let mut sent = deployment("success");
        sent["deployment"]["payload"] = payload;
        let told = deployed(github("deployment_status", &sent));
        assert_eq!(told.version.as_deref(), Some("1.5.1"));
        assert_eq!(told.images["api"], "shop:1.5.1");
    }
    for payload in [json!(""), json!("not json"), Value::Null, json!([1])] {
        let mut sent = deployment("success");
        sent["deployment"]["payload"] = payload;
        assert_eq!(
            deployed(github("deployment_status", &sent))
                .version
                .as_deref(),
            Some("1.5.0")
        );
    }
}

#[test]
fn github_releases_and_what_is_neither() {
    let release = |action: &str, prerelease: bool| {
        json!({"action": action, "changes": {"body": {"from": "x"}}, "release": {"id": 17_372_790, "tag_name": "v2.0.0-rc.1",
            "target_commitish": "main", "name": null, "draft": false, "prerelease": prerelease, "author": {"login": "ada"},
            "created_at": "2026-03-01T09:00:00Z", "published_at": "2026-03-01T10:00:00Z", "assets": [], "body": null,
            "html_url": "https://github.com/acme/shop/releases/tag/v2.0.0-rc.1"}, "repository": {"full_name": "acme/shop"}})
    };
    for action in ["created", "edited", "prereleased", "unpublished", "deleted"] {
        assert!(
            is_other(&github("release", &release(action, false))),
            "{action}"
        );
    }
    let settings = Settings {
        release_is_deployment: true,
        ..Settings::default()
    };
    let headers: Headers = [("x-github-event", "release")].into_iter().collect();
    let state = |action: &str, prerelease| {
        let body = release(action, prerelease).to_string();
        deployed(read(Kind::Github, &settings, &headers, body.as_bytes()).unwrap()).state
    };
    assert_eq!(state("published", false), DeployedState::Succeeded);
    assert_eq!(
        state("published", true),
        DeployedState::Started,
        "it is published to be tried"
    );
    assert_eq!(state("released", false), DeployedState::Succeeded);
    let ping = json!({"zen": "Speak like a human.", "hook_id": 1, "hook": {"type": "Repository", "active": true}});
    assert_eq!(github("ping", &ping), Notice::Ping);
    for event in [
        "push",
        "workflow_run",
        "deployment",
        "registry_package",
        "check_suite",
    ] {
        assert!(
            is_other(&github(event, &json!({"action": "completed"}))),
            "{event}"
        );
    }
}

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

#[test]
fn cloudevents_in_each_form() {
    let data = json!({"service": "shop", "version": "1.5.0", "id": "job-9"});
    let envelope = json!({"specversion": "1.0", "id": "A234-1234-1234", "source": "https://ci.example/jobs/9", "subject": "shop",
        "type": "example.ci.deploy.succeeded", "time": "2026-03-01T10:00:00.5+01:00", "datacontenttype": "application/json",
        "dataschema": "https://ci.example/schema", "comexampleextension1": "value", "traceparent": "00-0af7-b7ad-01", "data": data});
    let structured = [(
        "content-type",
        "Application/CloudEvents+JSON; charset=UTF-8",
    )];
    let whole = deployed(told(Kind::Cloudevents, &structured, &envelope));
    assert_eq!(
        (whole.version.as_deref(), whole.at),
        (Some("1.5.0"), at("2026-03-01T09:00:00.500Z"))
    );
    // A sender that takes its own JSON for bytes.
    let mut bytes = envelope.clone();
    bytes.as_object_mut().unwrap().remove("data");
    bytes["data_base64"] =
        json!("eyJzZXJ2aWNlIjoic2hvcCIsInZlcnNpb24iOiIxLjUuMCIsImlkIjoiam9iLTkifQ==");
    assert_eq!(
        deployed(told(Kind::Cloudevents, &structured, &bytes)),
        whole
    );
    // Several in one, which our answer could not tell apart: refused at the door, and told here.
    let batch: Headers = [("content-type", "application/cloudevents-batch+json")]
        .into_iter()
        .collect();
    let body = json!([envelope]).to_string();
    let why = read(
        Kind::Cloudevents,
        &Settings::default(),
        &batch,
        body.as_bytes(),
    )
    .unwrap_err();
    assert!(why.to_string().contains("batch"), "{why}");
    // Each source counts for itself.
    let id = |source: &str| {
        let mut other = envelope.clone();
        other["source"] = json!(source);
        let headers: Headers = structured.into_iter().collect();
        event_id(
            Kind::Cloudevents,
            &Settings::default(),
            &headers,
            other.to_string().as_bytes(),
        )
    };
    assert_ne!(id("/a"), id("/b"));
}

#[test]
fn standard_webhooks_with_what_others_send_besides() {
    let body = json!({"type": "deploy.succeeded", "timestamp": "2026-03-01T10:00:00.000000Z", "tenant": "acme",
        "data": {"service": "shop", "version": "1.5.0", "object": "deployment", "links": {"self": "x"}, "previous": null}});
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1772359577"),
    ];
    let told_of = deployed(told(Kind::StandardWebhooks, &headers, &body));
    assert_eq!(told_of.key, "msg_p5jXN8AQM9LWM0D4loKWxJek");
    let other = json!({"type": "user.created", "timestamp": "2026-03-01T10:00:00Z", "data": {}});
    assert!(is_other(&told(Kind::StandardWebhooks, &headers, &other)));
}
