//! Stop, start, rename and remove: repeated, refused, fenced.

use std::time::{Duration, Instant};

use docker::PerformContext;
use domain::{
    effect::{Effect, Failure, Outcome},
    engine_look::{ContainerState, RestartPolicy},
    name::{ContainerId, Fence},
};

use crate::house::{Dying, FENCE, House, assert_failed, image};

fn stop(container: &ContainerId, grace_s: u32) -> Effect {
    Effect::StopContainer {
        container: container.clone(),
        grace_s,
    }
}

fn start(container: &ContainerId, restart: Option<RestartPolicy>) -> Effect {
    Effect::StartContainer {
        container: container.clone(),
        restart,
    }
}

fn rename(container: &ContainerId, name: &str) -> Effect {
    Effect::RenameContainer {
        container: container.clone(),
        name: name.to_owned(),
    }
}

fn remove(container: &ContainerId) -> Effect {
    Effect::RemoveContainer {
        container: container.clone(),
    }
}

#[tokio::test]
async fn every_change_may_be_repeated() {
    let house = House::new().await;
    let id = house.web("web-1", "1", &["--restart", "on-failure:4"], &[]);
    let policy = RestartPolicy {
        name: "on-failure".to_owned(),
        retries_max: 4,
    };
    for _ in 0..2 {
        assert_eq!(house.perform(&stop(&id, 5)).await, Outcome::Done);
        let seen = house.seen(&id).await.unwrap();
        assert_eq!(
            (seen.state, seen.restart.name.as_str()),
            (ContainerState::Exited, "no")
        );
    }
    for _ in 0..2 {
        assert_eq!(
            house.perform(&start(&id, Some(policy.clone()))).await,
            Outcome::Done
        );
        let seen = house.seen(&id).await.unwrap();
        assert_eq!(
            (seen.state, &seen.restart),
            (ContainerState::Running, &policy)
        );
    }
    let name = house.named("web-1.former-0123456789ab");
    for _ in 0..2 {
        assert_eq!(house.perform(&rename(&id, &name)).await, Outcome::Done);
        assert_eq!(house.seen(&id).await.unwrap().name, name);
    }
    assert_failed(&house.perform(&remove(&id)).await, Failure::Refused);
    assert!(
        house.seen(&id).await.is_some(),
        "a running container is never removed"
    );
    house.perform(&stop(&id, 5)).await;
    for _ in 0..2 {
        assert_eq!(house.perform(&remove(&id)).await, Outcome::Done);
        assert!(house.seen(&id).await.is_none());
    }
}

#[tokio::test]
async fn what_is_gone_is_missing() {
    let house = House::new().await;
    let id: ContainerId = "ab".repeat(32).parse().unwrap();
    assert_failed(&house.perform(&stop(&id, 1)).await, Failure::Missing);
    assert_failed(&house.perform(&start(&id, None)).await, Failure::Missing);
    assert_failed(&house.perform(&rename(&id, "x1")).await, Failure::Missing);
    let capture = Effect::Capture {
        component: "web".parse().unwrap(),
        container: id,
    };
    assert_failed(&house.perform(&capture).await, Failure::Missing);
    assert_failed(&house.perform(&Effect::Record).await, Failure::Refused);
}

#[tokio::test]
async fn a_name_that_is_taken_stays_where_it_is() {
    let house = House::new().await;
    let id = house.web_as("create", "web-1", "1", &[], &[]);
    house.docker(&["create", "--name", &house.named("other"), &image("1")]);
    assert_failed(
        &house.perform(&rename(&id, &house.named("other"))).await,
        Failure::NameTaken,
    );
    assert_eq!(house.seen(&id).await.unwrap().name, house.named("web-1"));
}

#[tokio::test]
async fn an_application_that_ignores_the_signal_costs_its_grace_and_no_more() {
    let house = House::new().await;
    let id = house.web("web-1", "1", &["-e", "IGNORE_TERM=1"], &[]);
    let began = Instant::now();
    assert_eq!(house.perform(&stop(&id, 2)).await, Outcome::Done);
    let took = began.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(10)).contains(&took),
        "{took:?}"
    );
    assert_eq!(house.seen(&id).await.unwrap().exit_code, 137);
}

#[tokio::test]
async fn the_policy_is_gone_before_the_container_stops() {
    let house = House::new().await;
    let id = house.web(
        "web-1",
        "1",
        &["--restart", "always", "-e", "DRAIN_MS=1500"],
        &[],
    );
    let effect = stop(&id, 10);
    let (outcome, during) = tokio::join!(house.perform(&effect), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        house.seen(&id).await.unwrap()
    });
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(
        (during.state, during.restart.name.as_str()),
        (ContainerState::Running, "no")
    );
}

#[tokio::test]
async fn volumes_outlive_their_container() {
    let house = House::new().await;
    let volume = house.named("data");
    let id = house.web_as(
        "create",
        "web-1",
        "1",
        &["-v", &format!("{volume}:/data"), "-v", "/anonymous"],
        &[],
    );
    let mounts = house.inspect(id.as_str())["Mounts"].clone();
    assert_eq!(house.perform(&remove(&id)).await, Outcome::Done);
    for mount in mounts.as_array().unwrap() {
        let name = mount["Name"].as_str().unwrap();
        house.docker(&["volume", "inspect", name]);
        house.docker(&["volume", "rm", name]);
    }
}

/// Everything that an engine could be asked to change, under a claim that is no longer the living one.
async fn assert_nothing_changes(house: &House, id: &ContainerId) {
    let meant = house.look().await.specifications.remove(id).unwrap();
    let effects = [
        stop(id, 1),
        remove(id),
        rename(id, &house.named("x")),
        start(id, None),
        house.creation("2", id).await,
    ];
    for effect in effects {
        let outcome = house
            .engine
            .perform(&effect, &house.context(Some(&meant)))
            .await
            .outcome;
        assert_failed(&outcome, Failure::Fenced);
    }
    let seen = house.seen(id).await.unwrap();
    assert_eq!(
        (seen.state, seen.name),
        (ContainerState::Running, house.named("web-1"))
    );
}

#[tokio::test]
async fn the_past_changes_nothing() {
    let house = House::new().await;
    let id = house.web("web-1", "1", &[], &[]);
    let rollback = house.context(None).rollback;
    let (newer, own) = (
        format!("sternway.fence={}", FENCE.0 + 1),
        format!("sternway.rollback={rollback}"),
    );
    let application = format!("sternway.application={}", house.prefix);
    let (name, image) = (house.named("newer"), image("1"));
    let labels = ["--label", &application, "--label", &newer, "--label", &own];
    house.docker(
        &[
            &["create", "--name", &name],
            labels.as_slice(),
            &[image.as_str()],
        ]
        .concat(),
    );
    assert_nothing_changes(&house, &id).await;
    let later = PerformContext {
        fence: Fence(FENCE.0 + 1),
        ..house.context(None)
    };
    assert_eq!(
        house.engine.perform(&stop(&id, 1), &later).await.outcome,
        Outcome::Done
    );
}

#[tokio::test]
async fn whoever_has_not_the_lock_changes_nothing() {
    let house = House::new().await;
    let id = house.web("web-1", "1", &[], &[]);
    let application = format!("sternway.application={}", house.prefix);
    let lock = format!("sternway.lock={}", house.prefix);
    let other = "sternway.rollback=0190f5a0-0000-7000-8000-0000000000ff";
    let name = format!("sternway-lock-{}", house.prefix);
    house.docker(&[
        "create",
        "--name",
        &name,
        "--label",
        &application,
        "--label",
        &lock,
        "--label",
        other,
        &image("1"),
    ]);
    assert_nothing_changes(&house, &id).await;
    let holder = house.look().await.look.lock.unwrap().container;
    assert_eq!(
        house
            .engine
            .perform(&remove(&holder), &house.context(None))
            .await
            .outcome,
        Outcome::Done
    );
    assert_eq!(
        house
            .engine
            .perform(&stop(&id, 1), &house.context(None))
            .await
            .outcome,
        Outcome::Done
    );
}

/// A process that is stopped in the middle of an effect and wakes up when its claim is over.
#[tokio::test]
async fn a_claim_that_ends_between_two_calls_of_an_effect_stops_nothing() {
    let house = House::new().await;
    let id = house.web("web-1", "1", &[], &[]);
    for asked in 0..3 {
        let dying = Dying(asked.into());
        let context = PerformContext {
            claim: &dying,
            ..house.context(None)
        };
        assert_failed(
            &house.engine.perform(&stop(&id, 1), &context).await.outcome,
            Failure::Fenced,
        );
        assert_eq!(
            house.seen(&id).await.unwrap().state,
            ContainerState::Running
        );
    }
}

#[tokio::test]
async fn last_words_are_captured_without_secrets() {
    let house = House::new().await;
    let options = [
        "-e",
        "TOKEN=hunter2",
        "-e",
        "LOG=a line of the log",
        "-e",
        "LOG_LINES=600",
    ];
    let id = house.web("web-1", "1", &options, &[]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let effect = Effect::Capture {
        component: "web".parse().unwrap(),
        container: id.clone(),
    };
    let performed = house.engine.perform(&effect, &house.context(None)).await;
    assert_eq!(performed.outcome, Outcome::Done);
    let capture = performed.capture.unwrap();
    let lines = capture.logs.lines().count();
    assert_eq!(lines, 500, "the last 500 of more than 600");
    assert!(capture.logs.contains("a line of the log"));
    assert!(
        capture.inspection.contains("TOKEN=(hidden)") && !capture.inspection.contains("hunter2")
    );
    house.docker(&["rm", "-f", id.as_str()]);
    let mute = house.web("web-1", "1", &["--log-driver", "none"], &[]);
    let effect = Effect::Capture {
        component: "web".parse().unwrap(),
        container: mute,
    };
    let capture = house
        .engine
        .perform(&effect, &house.context(None))
        .await
        .capture
        .unwrap();
    assert!(
        capture.logs.starts_with("[sternway: ") && !capture.inspection.is_empty(),
        "{}",
        capture.logs
    );
}
