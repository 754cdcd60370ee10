//! Which containers are an application's, and what is read of them.

use super::*;
use domain::engine_look::{ContainerState, Health};
use serde_json::json;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn shop(definition: Value) -> Application {
    serde_json::from_value(definition).unwrap()
}

fn compose_shop() -> Application {
    shop(
        json!({"name": "shop", "environment": "production", "project": "shop", "components": [{"name": "web"}]}),
    )
}

fn summary(name: &str, labels: Value) -> ContainerSummary {
    let image = format!("sha256:{ID}");
    serde_json::from_value(
        json!({"Id": ID, "Names": [format!("/{name}")], "ImageID": image, "Labels": labels}),
    )
    .unwrap()
}

fn read(changes: &Value) -> Container {
    let mut inspect = json!({
        "Id": ID, "Name": "/shop_web_1", "Image": format!("sha256:{ID}"), "RestartCount": 2,
        "State": {"Status": "running", "StartedAt": "2026-11-22T08:00:00.5Z", "ExitCode": 0},
        "Config": {"StopTimeout": 3}, "HostConfig": {"NetworkMode": "front", "RestartPolicy": {"Name": "", "MaximumRetryCount": 0}},
        "NetworkSettings": {"Networks": {"admin": {"IPAddress": "10.1.0.2"}, "front": {"IPAddress": "10.2.0.2"}}},
    });
    for (pointer, value) in changes.as_object().unwrap() {
        *inspect.pointer_mut(pointer).unwrap() = value.clone();
    }
    let found = Found {
        id: ID.to_owned(),
        component: "web".parse().unwrap(),
        replica: 1,
    };
    let application = "shop".parse().unwrap();
    container::read(
        &found,
        &serde_json::from_value(inspect).unwrap(),
        &application,
        None,
    )
    .unwrap()
}

#[test]
fn a_containers_facts_are_read() {
    let container = read(&json!({}));
    assert_eq!(
        (
            container.name.as_str(),
            container.restarts,
            container.stop_grace_s
        ),
        ("shop_web_1", 2, 3)
    );
    assert_eq!(
        (container.state, container.health),
        (ContainerState::Running, Health::None)
    );
    assert_eq!(
        container.started_at.unwrap().to_string(),
        "2026-11-22T08:00:00.5Z"
    );
    assert_eq!(container.restart.name, "no");
    assert_eq!(
        container.address.unwrap().to_string(),
        "10.2.0.2",
        "the network of its mode comes first"
    );
}

#[test]
fn a_container_that_never_ran_was_never_started_and_has_no_address() {
    let never = json!({"/State/Status": "created", "/State/StartedAt": "0001-01-01T00:00:00Z",
                       "/NetworkSettings/Networks": {"front": {"IPAddress": ""}}});
    let container = read(&never);
    assert_eq!((container.started_at, container.address), (None, None));
    assert_eq!(read(&json!({"/Config/StopTimeout": -1})).stop_grace_s, 3600);
}

#[test]
fn a_projects_containers_are_found_by_label_and_those_of_others_are_not() {
    let of = |labels| {
        found(&summary("x", labels), &compose_shop())
            .map(|found| (found.component.to_string(), found.replica))
    };
    let (project, service) = ("com.docker.compose.project", "com.docker.compose.service");
    let number = "com.docker.compose.container-number";
    assert_eq!(
        of(json!({project: "shop", service: "web", number: "2"})),
        Some(("web".to_owned(), 2))
    );
    assert_eq!(of(json!({project: "blog", service: "web"})), None);
    assert_eq!(
        of(json!({project: "shop", service: "db"})),
        None,
        "a service that is no component is left alone"
    );
    assert_eq!(
        of(json!({project: "shop", service: "web", "com.docker.compose.oneoff": "True"})),
        None
    );
    assert_eq!(
        of(json!({project: "shop", service: "web", "sternway.keep": "shop"})),
        None
    );
}

#[test]
fn plain_containers_are_found_by_name_while_a_rollback_renames_them_too() {
    let plain = shop(
        json!({"name": "shop", "environment": "p", "components": [{"name": "web", "containers": ["web-a", "web-b"]}]}),
    );
    let of = |name: &str| found(&summary(name, json!({})), &plain).map(|found| found.replica);
    assert_eq!(
        (of("web-a"), of("web-b"), of("web-c")),
        (Some(1), Some(2), None)
    );
    assert_eq!(
        (
            of("web-b.next-0123456789ab"),
            of("web-b.former-0123456789ab")
        ),
        (Some(2), Some(2))
    );
    let marked = json!({"sternway.application": "shop", "sternway.component": "web", "sternway.fence": "1", "sternway.replaces": ID,
                        "sternway.rollback": "0190f5a0-0000-7000-8000-000000000001"});
    assert!(found(&summary("renamed-by-hand", marked), &plain).is_some());
}

#[test]
fn keepers_and_the_lock_are_seen_in_the_list() {
    let application = "shop".parse().unwrap();
    let keeper = summary(
        "sternway-keep-shop-0123456789ab",
        json!({"sternway.keep": "shop"}),
    );
    let other = summary(
        "sternway-keep-blog-0123456789ab",
        json!({"sternway.keep": "blog"}),
    );
    assert_eq!(kept(&[keeper, other], &application).len(), 1);
    let rollback = "0190f5a0-0000-7000-8000-000000000001";
    let ours = summary(
        "sternway-lock-shop",
        json!({"sternway.rollback": rollback, "sternway.owner": "ctl-1"}),
    );
    let seen = lock(&[ours], &application).unwrap();
    assert_eq!(
        (
            seen.rollback.to_string().as_str(),
            seen.owner.as_str(),
            seen.stale
        ),
        (rollback, "ctl-1", false)
    );
    let strangers = lock(&[summary("sternway-lock-shop", json!({}))], &application).unwrap();
    assert_eq!(strangers.rollback, nobody());
    assert_eq!(
        lock(&[summary("sternway-lock-blog", json!({}))], &application),
        None
    );
}
