//! What each sender's messages say, with what tells them apart.

use domain::{
    time::Moment,
    trigger::{
        Headers, Kind, Settings,
        alert::{Alert, AlertState, Deployed, DeployedState, Notice},
        answer::{Situation, body_bytes_max, status},
        message::{event_id, headers_read, read},
        sort::sorted,
        verify::Refusal,
    },
};
use serde_json::{Value, json};

fn vector(id: &str) -> (Headers, Vec<u8>) {
    let file: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    let found = vectors.iter().find(|vector| vector["id"] == id).unwrap();
    let headers = found["headers"].as_object().unwrap();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    (headers, found["body"].as_str().unwrap().as_bytes().to_vec())
}

fn said(kind: Kind, headers: &Headers, body: &[u8]) -> Notice {
    // Only what is kept beside the body may be needed to read it.
    let kept = headers.only(headers_read(kind));
    read(kind, &Settings::default(), &kept, body).unwrap()
}

fn alert(notice: Notice) -> Alert {
    match notice {
        Notice::Alerts(mut alerts) if alerts.len() == 1 => alerts.remove(0),
        other => panic!("{other:?}"),
    }
}

fn deployed(notice: Notice) -> Deployed {
    match notice {
        Notice::Deployed(told) => *told,
        other => panic!("{other:?}"),
    }
}

fn at(text: &str) -> Moment {
    serde_json::from_value(json!(text)).unwrap()
}

fn pagerduty(kind: &str, change: impl FnOnce(&mut Value)) -> Notice {
    let (headers, body) = vector("pagerduty-v3/triggered");
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["event"]["event_type"] = json!(kind);
    change(&mut body["event"]["data"]);
    said(Kind::Pagerduty, &headers, body.to_string().as_bytes())
}

#[test]
fn pagerduty_tells_of_an_incident() {
    let (headers, body) = vector("pagerduty-v3/triggered");
    let alert = alert(said(Kind::Pagerduty, &headers, &body));
    assert_eq!(alert.episode, "Q1TESTINCIDENT");
    assert_eq!(alert.state, AlertState::Firing);
    assert_eq!(alert.service.as_deref(), Some("PSVC001"));
    assert_eq!(alert.severity.as_deref(), Some("high"));
    assert_eq!(alert.labels["service_name"], "checkout");
    assert_eq!(alert.started_at, at("2026-01-05T10:00:00Z"));
    assert_eq!(alert.occurred_at, at("2026-01-05T10:00:01.250Z"));
    assert!(!alert.repeated && !alert.ours);
    let id = event_id(Kind::Pagerduty, &Settings::default(), &headers, &body);
    assert_eq!(id, "01RBKEVENT0000000000000001");
    // The header beside it is not signed and makes no other event.
    let other: Headers = [("x-webhook-id", "another")].into_iter().collect();
    assert_eq!(
        event_id(Kind::Pagerduty, &Settings::default(), &other, &body),
        id
    );
}

#[test]
fn pagerduty_tells_merged_from_over_and_news_from_what_was_known() {
    let state = |notice| alert(notice).state;
    let resolved = |data: &mut Value| data["status"] = json!("resolved");
    assert_eq!(
        state(pagerduty("incident.resolved", resolved)),
        AlertState::Resolved
    );
    let merged = pagerduty("incident.resolved", |data| {
        data["status"] = json!("resolved");
        data["resolve_reason"] = json!({"type": "merge_resolve_reason", "incident": {"id": "Q2"}});
    });
    assert_eq!(state(merged), AlertState::Merged);
    let acknowledged = pagerduty("incident.acknowledged", |data| {
        data["status"] = json!("acknowledged")
    });
    assert_eq!(state(acknowledged), AlertState::Acknowledged);
    assert!(alert(pagerduty("incident.escalated", |_| {})).repeated);
    let reopened = alert(pagerduty("incident.reopened", |data| {
        data["reopened_at"] = json!("2026-01-05T10:00:00.500Z");
    }));
    assert!(!reopened.repeated);
    assert_eq!(reopened.started_at, at("2026-01-05T10:00:00.500Z"));
    let ours = pagerduty("incident.triggered", |data| {
        data["incident_key"] = json!("rbk:shop:1")
    });
    assert!(alert(ours).ours);
    for id in ["annotated", "pagey_ping"] {
        let (headers, body) = vector(&format!("pagerduty-v3/{id}"));
        let notice = said(Kind::Pagerduty, &headers, &body);
        assert!(
            matches!(notice, Notice::Other { .. } | Notice::Ping),
            "{id}: {notice:?}"
        );
    }
    let unknown = pagerduty("incident.invented", |data| {
        data["status"] = json!("invented")
    });
    assert!(matches!(unknown, Notice::Other { .. }));
}

#[test]
fn a_priority_that_is_set_later_tells_of_no_new_trouble() {
    let (headers, body) = vector("pagerduty-v3/triggered");
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["event"]["event_type"] = json!("incident.priority_updated");
    let trigger = json!({"name": "pager", "kind": "pagerduty", "mode": "auto", "routes": [{"application": "shop"}]});
    let trigger = serde_json::from_value(trigger).unwrap();
    let parts = sorted(&trigger, &headers, body.to_string().as_bytes());
    // Whether or not anything was heard of it before.
    let said = (parts[0].code, parts[0].said.as_str());
    assert_eq!(said, ("repeated", "it tells of no new trouble"));
}

fn group(reason: &str, status: &str) -> Value {
    json!({"version": "4", "groupKey": "{}:{alertname=\"Down\"}", "truncatedAlerts": 0, "status": status,
        "receiver": "sternway", "notification_reason": reason, "alerts": [
            {"status": status, "labels": {"alertname": "Down", "job": "shop", "severity": "page"},
             "annotations": {"summary": "shop is down"}, "startsAt": "2026-01-05T10:00:00.123456789Z",
             "endsAt": if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-01-05T10:09:00Z" },
             "generatorURL": "http://p/", "fingerprint": "aa"},
            {"status": "firing", "labels": {"alertname": "Slow"}, "annotations": {},
             "startsAt": "2026-01-05T10:01:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "bb"}]})
}

#[test]
fn alertmanager_tells_of_each_alert_of_a_group() {
    let none = Headers::default();
    let read_group =
        |value: &Value| match said(Kind::Alertmanager, &none, value.to_string().as_bytes()) {
            Notice::Alerts(alerts) => alerts,
            other => panic!("{other:?}"),
        };
    let alerts = read_group(&group("new alerts", "firing"));
    assert_eq!(alerts.len(), 2);
    assert_eq!(alerts[0].episode, "aa|2026-01-05T10:00:00.123456789Z");
    assert_eq!(alerts[0].title, "shop is down");
    assert_eq!(alerts[0].occurred_at, alerts[0].started_at);
    assert_eq!(alerts[0].service.as_deref(), Some("shop"));
    assert_eq!(alerts[1].title, "Slow");
    assert!(!alerts[0].repeated);
    assert!(read_group(&group("repeat interval elapsed", "firing"))[0].repeated);
    let over = read_group(&group("", "resolved"));
    assert_eq!(over[0].state, AlertState::Resolved);
    assert_eq!(over[0].occurred_at, at("2026-01-05T10:09:00Z"));
    assert_eq!(over[1].state, AlertState::Firing);
    let mut other = group("", "firing");
    other["version"] = json!("3");
    let body = other.to_string();
    assert!(
        read(
            Kind::Alertmanager,
            &Settings::default(),
            &none,
            body.as_bytes()
        )
        .is_err()
    );
}

#[test]
fn one_group_is_one_event_whoever_sends_it_and_in_whatever_order() {
    let none = Headers::default();
    let id = |value: &Value| {
        event_id(
            Kind::Alertmanager,
            &Settings::default(),
            &none,
            value.to_string().as_bytes(),
        )
    };
    let first = group("new alerts", "firing");
    let mut twin = group("repeat interval elapsed", "firing");
    twin["alerts"].as_array_mut().unwrap().reverse();
    assert_eq!(id(&first), id(&twin));
    assert_ne!(id(&first), id(&group("", "resolved")));
    let mut again = first.clone();
    again["alerts"][0]["startsAt"] = json!("2026-01-05T11:00:00Z");
    assert_ne!(id(&first), id(&again));
}

#[test]
fn more_alerts_than_are_read_are_told_of() {
    let mut many = group("", "firing");
    let one = many["alerts"][0].clone();
    many["alerts"] = (0..1000)
        .map(|n| {
            let mut one = one.clone();
            one["fingerprint"] = json!(n.to_string());
            one
        })
        .collect();
    let Notice::Alerts(read) = said(
        Kind::Alertmanager,
        &Headers::default(),
        many.to_string().as_bytes(),
    ) else {
        panic!("no alerts")
    };
    assert_eq!(read.len(), 256);
    assert!(
        read[255].title.contains("744 alerts"),
        "{}",
        read[255].title
    );
}

#[test]
fn grafana_is_read_like_alertmanager() {
    let (headers, body) = vector("grafana-hmac/with-timestamp");
    let alert = alert(said(Kind::Grafana, &headers, &body));
    assert_eq!(alert.service.as_deref(), Some("checkout"));
    assert_eq!(alert.severity.as_deref(), Some("critical"));
    assert_eq!(alert.title, "5xx 14%");
}

#[test]
fn github_feeds_the_ledger() {
    let (headers, body) = vector("github-sha256/deployment_status-success");
    let told = deployed(said(Kind::Github, &headers, &body));
    assert_eq!(told.state, DeployedState::Succeeded);
    assert_eq!(told.service, "acme/checkout");
    assert_eq!(told.version.as_deref(), Some("1.42.0"));
    assert_eq!(
        told.commit.as_deref(),
        Some("4b1f0c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b")
    );
    assert_eq!(told.environment.as_deref(), Some("production"));
    let id = event_id(Kind::Github, &Settings::default(), &headers, &body);
    assert_eq!(id, "deployment_status/acme/checkout/9001/77");
    let release = json!({"action": "published", "repository": {"full_name": "acme/checkout"},
        "release": {"id": 5, "tag_name": "v1.43.0", "published_at": "2026-01-05T09:00:00Z", "target_commitish": "main"}});
    let headers: Headers = [("x-github-event", "release")].into_iter().collect();
    let body = release.to_string();
    // A release that is published runs nowhere yet, unless somebody says that it does.
    let told = deployed(said(Kind::Github, &headers, body.as_bytes()));
    assert_eq!(
        (told.state, told.version.as_deref()),
        (DeployedState::Announced, Some("1.43.0"))
    );
    assert_eq!(told.commit, None);
    let settings = Settings {
        release_is_deployment: true,
        ..Settings::default()
    };
    let told = deployed(read(Kind::Github, &settings, &headers, body.as_bytes()).unwrap());
    assert_eq!(told.state, DeployedState::Succeeded);
    let ping: Headers = [("x-github-event", "ping")].into_iter().collect();
    assert_eq!(said(Kind::Github, &ping, b"{}"), Notice::Ping);
}

#[test]
fn sentry_names_the_version() {
    let body = json!({"action": "triggered", "data": {"triggered_rule": "5xx burst", "event": {
        "event_id": "e1", "issue_id": "117", "release": "checkout@1.42.0", "level": "error", "project": 42,
        "title": "KeyError", "datetime": "2026-01-05T09:59:58.5Z", "environment": "production",
        "tags": [["server", "a"]], "web_url": "https://sentry.example/e1"}}});
    let headers: Headers = [("sentry-hook-resource", "event_alert")]
        .into_iter()
        .collect();
    let alert = alert(said(Kind::Sentry, &headers, body.to_string().as_bytes()));
    assert_eq!(
        (alert.episode.as_str(), alert.version.as_deref()),
        ("117", Some("1.42.0"))
    );
    assert_eq!(alert.service.as_deref(), Some("42"));
    assert_eq!(alert.labels["server"], "a");
    assert_eq!(alert.labels["triggered_rule"], "5xx burst");
    let metric = json!({"action": "resolved", "data": {"description_title": "Resolved: 5xx", "web_url": "x",
        "metric_alert": {"id": "9", "date_started": "2026-01-05T09:00:00Z", "date_closed": "2026-01-05T10:00:00Z",
                         "projects": ["checkout"]}}});
    let headers: Headers = [("sentry-hook-resource", "metric_alert")]
        .into_iter()
        .collect();
    let Notice::Alerts(alerts) = said(Kind::Sentry, &headers, metric.to_string().as_bytes()) else {
        panic!("no alert")
    };
    assert_eq!(alerts[0].state, AlertState::Resolved);
    assert_eq!(alerts[0].service.as_deref(), Some("checkout"));
    assert_eq!(alerts[0].occurred_at, at("2026-01-05T10:00:00Z"));
}

#[test]
fn our_own_kinds_come_in_three_envelopes() {
    let data = json!({"service": "shop", "version": "1.5.0", "commit": "9f1c2ab", "actor": "ci",
        "images": {"api": "shop-api:1.5.0"}, "id": "job-7"});
    let webhook =
        json!({"type": "deploy.succeeded", "timestamp": "2026-01-05T10:00:00Z", "data": data});
    let headers: Headers = [("webhook-id", "msg_1"), ("webhook-timestamp", "1")]
        .into_iter()
        .collect();
    let told = deployed(said(
        Kind::StandardWebhooks,
        &headers,
        webhook.to_string().as_bytes(),
    ));
    assert_eq!(told.images["api"], "shop-api:1.5.0");
    assert_eq!(
        (told.key.as_str(), told.at),
        ("job-7", at("2026-01-05T10:00:00Z"))
    );
    let id = event_id(
        Kind::StandardWebhooks,
        &Settings::default(),
        &headers,
        b"{}",
    );
    assert_eq!(id, "msg_1");

    let envelope = json!({"specversion": "1.0", "id": "7", "source": "/ci", "time": "2026-01-05T10:00:00Z",
        "type": "com.example.deploy.succeeded", "data": data});
    let structured: Headers = [(
        "content-type",
        "application/cloudevents+json; charset=utf-8",
    )]
    .into_iter()
    .collect();
    let whole = envelope.to_string();
    assert_eq!(
        deployed(said(Kind::Cloudevents, &structured, whole.as_bytes())),
        told
    );
    let binary: Headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/ci"),
        ("ce-type", "com.example.deploy.succeeded"),
        ("ce-time", "2026-01-05T10:00:00Z"),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        deployed(said(
            Kind::Cloudevents,
            &binary,
            data.to_string().as_bytes()
        )),
        told
    );
    let ids = [(&structured, whole), (&binary, data.to_string())].map(|(headers, body)| {
        event_id(
            Kind::Cloudevents,
            &Settings::default(),
            headers,
            body.as_bytes(),
        )
    });
    assert_eq!(ids[0], ids[1]);

    let firing = json!({"type": "alert.firing", "timestamp": "2026-01-05T10:00:00Z",
        "data": {"key": "k", "service": "shop", "severity": "critical", "labels": {"a": "b"}}});
    let alert = alert(said(
        Kind::StandardWebhooks,
        &headers,
        firing.to_string().as_bytes(),
    ));
    assert_eq!(
        (alert.episode.as_str(), alert.labels["a"].as_str()),
        ("k", "b")
    );
}

#[test]
fn a_generic_sender_is_read_as_its_settings_say() {
    let pointers = |fields: &[(&str, &str)]| {
        let own = |(name, pointer): &(&str, &str)| ((*name).to_owned(), (*pointer).to_owned());
        fields.iter().map(own).collect()
    };
    let settings = Settings {
        fields: pointers(&[
            ("state", "/alert/status"),
            ("key", "/alert/id"),
            ("service", "/alert/source"),
            ("started_at", "/alert/created"),
            ("labels", "/alert/tags"),
            ("id", "/delivery"),
        ]),
        states: [("firing".to_owned(), vec!["ALARM".to_owned()])].into(),
        ..Settings::default()
    };
    let body = json!({"delivery": 7, "alert": {"status": "alarm", "id": 12, "source": "shop", "created": 1_767_607_200,
        "tags": {"team": "shop", "count": 3}}}).to_string();
    let none = Headers::default();
    let alert = alert(read(Kind::Generic, &settings, &none, body.as_bytes()).unwrap());
    assert_eq!(
        (alert.state, alert.episode.as_str()),
        (AlertState::Firing, "12")
    );
    assert_eq!(alert.started_at, Moment::from_unix_ms(1_767_607_200_000));
    assert_eq!(alert.labels["count"], "3");
    let id = event_id(Kind::Generic, &settings, &none, body.as_bytes());
    assert!(id.starts_with("id:"), "{id}");
    let other = body.replace("alarm", "strange");
    let notice = read(Kind::Generic, &settings, &none, other.as_bytes()).unwrap();
    assert!(matches!(notice, Notice::Other { .. }));
}

#[test]
fn each_sender_is_answered_by_its_own_rules() {
    use Situation::{Accepted, Away, Refused, TooLarge};
    let table = [
        (Kind::Pagerduty, [202, 400, 403, 503]),
        (Kind::Alertmanager, [200, 401, 401, 503]),
        (Kind::Grafana, [200, 401, 401, 503]),
        (Kind::Github, [202, 401, 401, 503]),
        (Kind::Sentry, [200, 401, 401, 503]),
        (Kind::StandardWebhooks, [202, 401, 401, 503]),
        (Kind::Cloudevents, [202, 401, 401, 503]),
        (Kind::Generic, [202, 401, 401, 503]),
        (Kind::Slack, [200, 401, 401, 503]),
        (Kind::Mattermost, [200, 401, 401, 503]),
    ];
    assert_eq!(table.map(|(kind, _)| kind), Kind::ALL);
    for (kind, expected) in table {
        let got = [
            Accepted,
            Refused(Refusal::Missing),
            Refused(Refusal::Wrong),
            Away,
        ]
        .map(|situation| status(kind, situation));
        assert_eq!(got, expected, "{kind:?}");
        assert_eq!(status(kind, Refused(Refusal::Empty)), 400);
        assert_eq!(status(kind, TooLarge), 413);
        // What could be tried again must be: the secret is put in a moment later.
        assert_eq!(status(kind, Refused(Refusal::NoSecret)), 503);
        assert!((256 << 10..=1 << 20).contains(&body_bytes_max(kind)));
    }
}
