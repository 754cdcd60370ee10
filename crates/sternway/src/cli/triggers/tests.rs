use std::collections::BTreeMap;

use domain::{
    application::Application,
    guard::{Impact, impact_of},
    trigger::{
        Headers,
        sort::{Matter, Part, sorted},
        verify::{HeldSecret, mac, verify},
    },
};
use serde_json::{Value, json};

use super::*;

const README: &str = include_str!("../../../../../README.md");

/// The definitions of triggers that the README shows.
fn shown() -> BTreeMap<String, Trigger> {
    let blocks = README.split("```toml\n").skip(1);
    let texts = blocks.filter_map(|block| block.split("```").next());
    texts
        .filter(|text| text.lines().any(|line| line.starts_with("kind = ")))
        .map(|text| {
            let trigger: Trigger = toml::from_str(text).unwrap();
            trigger.check().unwrap();
            (trigger.name.to_string(), trigger)
        })
        .collect()
}

fn shop() -> Application {
    serde_json::from_value(json!({"name": "shop", "environment": "production",
        "components": [{"name": "api"}, {"name": "worker"}]}))
    .unwrap()
}

fn only(trigger: &Trigger, headers: &Headers, body: &Value) -> Part {
    let mut parts = sorted(trigger, headers, body.to_string().as_bytes());
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts.remove(0)
}

#[test]
fn every_trigger_that_the_readme_shows_is_one() {
    let names: Vec<String> = shown().into_keys().collect();
    assert_eq!(names, ["ci", "monitor", "slack"]);
}

#[test]
fn the_readme_s_feed_of_deployments_names_an_image_for_each_component() {
    let ci = shown().remove("ci").unwrap();
    let hub = Trigger {
        kind: Kind::Github,
        ..ci.clone()
    };
    let data = json!({"service": "acme/shop", "version": "1.4.2"});
    let told =
        json!({"type": "deploy.succeeded", "timestamp": "2026-01-05T10:00:00Z", "data": data});
    let status = json!({"repository": {"full_name": "acme/shop"},
        "deployment": {"id": 9, "ref": "v1.4.2", "environment": "production"},
        "deployment_status": {"id": 7, "state": "success", "created_at": "2026-01-05T10:00:00Z"}});
    for (trigger, header, body) in [
        (&ci, ("webhook-id", "m"), told),
        (&hub, ("x-github-event", "deployment_status"), status),
    ] {
        let Matter::Deployment(told) = only(trigger, &[header].into_iter().collect(), &body).matter
        else {
            panic!("{body}")
        };
        let images = told.images_of(&shop()).unwrap();
        let images: Vec<&str> = images.values().map(String::as_str).collect();
        assert_eq!(images, ["shop:1.4.2", "shop:1.4.2"], "{body}");
    }
}

#[test]
fn the_readme_s_generic_sender_is_proved_and_read() {
    let monitor = shown().remove("monitor").unwrap();
    let alert = |status: &str| {
        json!({"delivery": 77, "alert": {"id": 12, "status": status, "title": "5xx", "priority": "Blocker",
            "since": 1_767_607_200_000_i64, "tags": {"team": "shop", "env": "production"}}})
    };
    let body = alert("ALARM").to_string();
    let secret = "0123456789abcdef-monitor";
    let signature = mac(secret.as_bytes(), &[b"1767607200", b".", body.as_bytes()]);
    let signature = format!("sha256={}", domain::chain::hex(&signature));
    let headers: Headers = [
        ("x-monitor-time", "1767607200"),
        ("x-monitor-signature", signature.as_str()),
    ]
    .into_iter()
    .collect();
    let held = [HeldSecret {
        text: secret.to_owned(),
        until: None,
    }];
    let now = domain::time::Moment::from_unix_ms(1_767_607_200_000);
    let (kind, settings) = (monitor.kind, &monitor.settings);
    verify(kind, settings, &held, &headers, body.as_bytes(), now).unwrap();
    assert!(monitor.doubt().is_none());
    let part = only(&monitor, &headers, &alert("ALARM"));
    assert_eq!(part.application.unwrap().as_str(), "shop");
    let Matter::Alert(told) = part.matter else {
        panic!("{}", part.said)
    };
    assert_eq!(told.started_at, now);
    assert_eq!(impact_of(&told, &monitor.severities), Some(Impact::Down));
    assert_eq!(only(&monitor, &headers, &alert("OK")).code, "resolved");
}

#[test]
fn what_was_added_says_in_json_too_that_its_secret_is_missing() {
    let stored = |secrets: Value| -> TriggerAnswer {
        serde_json::from_value(json!({"trigger": {"name": "pager", "kind": "pagerduty"}, "revision": 1,
            "updated_at": "2026-01-05T10:00:00Z", "path": "/api/v1/hooks/pager", "secrets": secrets}))
        .unwrap()
    };
    let (with, without) = (
        json!([{"created_at": "2026-01-05T10:00:00Z", "created_by": "ana"}]),
        json!([]),
    );
    let stored_without = stored(without);
    let written = serde_json::to_value(added(&stored_without)).unwrap();
    assert_eq!(written["path"], "/api/v1/hooks/pager");
    let warning = written["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("`sternway triggers rotate pager --secret-file FILE`"),
        "{warning}"
    );
    let stored_with = stored(with);
    let written = serde_json::to_value(added(&stored_with)).unwrap();
    assert!(written.get("warnings").is_none(), "{written}");
}
