//! GitHub: deployments and releases.

use domain::trigger::{
    Headers, Kind, Settings,
    alert::{DeployedState, Notice},
    message::read,
};
use serde_json::{Value, json};

use super::{deployed, is_other, told};

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
        DeployedState::Announced,
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
