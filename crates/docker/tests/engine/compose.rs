//! What Compose itself makes of what we did: the rollback of a project that it started.

use std::process::Command;

use domain::{
    effect::{Effect, Outcome},
    engine_look::{Container, ContainerState},
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
    std::fs::write(folder.join("docker-compose.yml"), FILE.replace("IMAGE", &repository)).unwrap();
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
    let [web] = &containers[..] else { panic!("one replica: {containers:?}") };
    web.clone()
}

async fn done(house: &House, effect: Effect) {
    assert_eq!(house.perform(&effect).await, Outcome::Done, "{effect:?}");
}

#[tokio::test]
async fn compose_takes_a_rolled_back_replica_for_its_own() {
    let house = House::new().await;
    up(&house, "1");
    let first = web(&house).await;
    let recorded = house.look().await.specifications.remove(&first.id).unwrap();
    let adopted = house.engine.adopt(&house.prefix.parse().unwrap()).await.unwrap();
    let services: Vec<&str> = adopted.application.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(services, ["web", "job"], "{:?}", adopted.notes);
    up(&house, "2");
    let second = web(&house).await;
    assert_ne!(second.id, first.id);
    let volumes = house.inspect(second.id.as_str())["Mounts"].as_array().unwrap().len();

    let creation = house.creation("1", &second.id).await;
    assert_eq!(house.engine.perform(&creation, &house.context(Some(&recorded))).await.outcome, Outcome::Done);
    let both = house.look().await.look.containers;
    let next = both.iter().find(|container| container.mark.is_some()).unwrap().id.clone();
    done(&house, Effect::StopContainer { container: second.id.clone(), grace_s: second.stop_grace_s }).await;
    done(&house, Effect::StartContainer { container: next.clone(), restart: None }).await;
    done(&house, Effect::RenameContainer { container: second.id.clone(), name: format!("{}.former-0123456789ab", second.name) }).await;
    done(&house, Effect::RenameContainer { container: next.clone(), name: second.name.clone() }).await;
    done(&house, Effect::RemoveContainer { container: second.id }).await;
    let back = web(&house).await;
    assert_eq!((&back.id, &back.image, back.state), (&next, &first.image, ContainerState::Running));
    assert_eq!((back.name.as_str(), back.replica, back.restart.name.as_str()), (first.name.as_str(), 1, "unless-stopped"));
    assert_eq!(house.inspect(next.as_str())["Mounts"].as_array().unwrap().len(), volumes);

    let said = up(&house, "1");
    assert!(said.contains("is up-to-date"), "{said}");
    assert_eq!(web(&house).await.id, next, "the version that it was rolled back to is what Compose wants: nothing to do");
    up(&house, "2");
    assert_ne!(web(&house).await.id, next, "a redeploy of the other version is not mistaken for done");
}
