//! What Compose itself makes of what we did: the rollback of a project that it started.

use std::process::Command;

use domain::{
    effect::{Effect, Outcome},
    engine_look::{Container, ContainerState},
    name::ContainerId,
    specification::Specification,
};

use crate::house::{House, image};

const FILE: &str = r#"
version: "2.4"
services:
  web:
    image: IMAGE:${VERSION}
    command: ["api"]
    environment: {TOKEN: "v${VERSION}"}
    networks: {front: {aliases: [shop]}, back: {}}
    volumes: ["data:/data", "/anonymous"]
    ports: ["127.0.0.1::8080"]
    restart: unless-stopped
  job:
    image: IMAGE:${VERSION}
    depends_on: [web]
networks: {front: {}, back: {}}
volumes: {data: {}}
"#;

/// `docker-compose up -d` of that version, as an operator would type it. What it says.
fn up(house: &House, version: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(&house.prefix);
    std::fs::create_dir_all(&folder).unwrap();
    let repository = image("x").trim_end_matches(":x").to_owned();
    std::fs::write(
        folder.join("docker-compose.yml"),
        FILE.replace("IMAGE", &repository),
    )
    .unwrap();
    let output = Command::new("docker-compose")
        .args(["-p", &house.prefix, "up", "-d", "--no-build"])
        .current_dir(&folder)
        .env("VERSION", version)
        .output()
        .expect("docker-compose is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let _ = std::fs::remove_dir_all(&folder);
    said
}

async fn web(house: &House) -> Container {
    let containers = house.look().await.look.containers;
    let [web] = &containers[..] else {
        panic!("one replica: {containers:?}")
    };
    web.clone()
}

async fn done(house: &House, effect: Effect) {
    assert_eq!(house.perform(&effect).await, Outcome::Done, "{effect:?}");
}

/// Every effect of a switch, in order. The container that serves afterwards.
async fn roll_back(house: &House, from: &Container, recorded: &Specification) -> ContainerId {
    let creation = house.creation("1", &from.id).await;
    let context = house.context(Some(recorded));
    assert_eq!(
        house.engine.perform(&creation, &context).await.outcome,
        Outcome::Done
    );
    let both = house.look().await.look.containers;
    let next = both
        .iter()
        .find(|container| container.mark.is_some())
        .unwrap()
        .id
        .clone();
    let (container, grace_s) = (from.id.clone(), from.stop_grace_s);
    done(house, Effect::StopContainer { container, grace_s }).await;
    done(
        house,
        Effect::StartContainer {
            container: next.clone(),
            restart: None,
        },
    )
    .await;
    let name = format!("{}.former-0123456789ab", from.name);
    done(
        house,
        Effect::RenameContainer {
            container: from.id.clone(),
            name,
        },
    )
    .await;
    let name = from.name.clone();
    done(
        house,
        Effect::RenameContainer {
            container: next.clone(),
            name,
        },
    )
    .await;
    done(
        house,
        Effect::RemoveContainer {
            container: from.id.clone(),
        },
    )
    .await;
    next
}

fn mounts(house: &House, container: &ContainerId) -> usize {
    house.inspect(container.as_str())["Mounts"]
        .as_array()
        .unwrap()
        .len()
}

#[tokio::test]
async fn compose_takes_a_rolled_back_replica_for_its_own() {
    let house = House::new().await;
    up(&house, "1");
    let first = web(&house).await;
    let recorded = house.look().await.specifications.remove(&first.id).unwrap();
    up(&house, "2");
    let second = web(&house).await;
    assert_ne!(second.id, first.id);
    let volumes = mounts(&house, &second.id);

    let next = roll_back(&house, &second, &recorded).await;
    let back = web(&house).await;
    assert_eq!((&back.id, &back.image), (&next, &first.image));
    assert_eq!((&back.name, back.replica), (&first.name, 1));
    assert_eq!(
        (back.state, back.restart.name.as_str()),
        (ContainerState::Running, "unless-stopped")
    );
    assert_eq!(mounts(&house, &next), volumes);

    let said = up(&house, "1");
    assert!(said.contains("is up-to-date"), "{said}");
    assert_eq!(
        web(&house).await.id,
        next,
        "what it was rolled back to is what Compose wants"
    );
    up(&house, "2");
    assert_ne!(
        web(&house).await.id,
        next,
        "a redeploy is not mistaken for done"
    );
}

#[tokio::test]
async fn a_project_that_compose_started_is_understood_in_its_order() {
    let house = House::new().await;
    up(&house, "1");
    let adoption = house
        .engine
        .adopt(&house.prefix.parse().unwrap())
        .await
        .unwrap();
    let components = &adoption.application.components;
    let services: Vec<&str> = components
        .iter()
        .map(|component| component.name.as_str())
        .collect();
    assert_eq!(services, ["web", "job"], "{:?}", adoption.notes);
}
