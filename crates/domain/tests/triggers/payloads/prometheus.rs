//! Alertmanager, and Grafana, which writes its alerts as Alertmanager does.

use domain::trigger::{
    Headers, Kind, Settings,
    alert::{AlertState, Notice},
    message::read,
};
use serde_json::{Value, json};

use super::{alerts, at, one, told};

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
