//! What Compose itself makes of what we did: the rollback of a project that it started.

use std::process::Command;

use docker::ProjectRequest;
use domain::{
    compose::{PinBy, override_file::Images},
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

/// A project in a folder of its own that stays, with the version in `.env`.
pub(crate) fn project(house: &House, env: &str) -> std::path::PathBuf {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-p", house.prefix));
    std::fs::create_dir_all(&folder).unwrap();
    let repository = image("x").trim_end_matches(":x").to_owned();
    std::fs::write(
        folder.join("docker-compose.yml"),
        FILE.replace("IMAGE", &repository),
    )
    .unwrap();
    std::fs::write(folder.join(".env"), env).unwrap();
    folder
}

/// docker-compose in that folder, as an operator there would call it.
pub(crate) fn compose(house: &House, folder: &std::path::Path, words: &[&str]) -> String {
    let output = Command::new("docker-compose")
        .args(["-p", &house.prefix])
        .args(words)
        .current_dir(folder)
        .output()
        .expect("docker-compose is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn a_project_with_its_version_in_its_environment_file_is_understood() {
    let house = House::new().await;
    let folder = project(&house, "# ours\nVERSION=1\n");
    compose(&house, &folder, &["up", "-d", "--no-build"]);
    let name = house.prefix.parse().unwrap();
    let adoption = house.engine.adopt(&name).await.unwrap();
    let definition = adoption
        .application
        .compose
        .unwrap_or_else(|| panic!("{:?}", adoption.notes));
    assert_eq!(std::path::Path::new(&definition.folder), folder);
    assert_eq!(
        (definition.files.len(), definition.env_file.as_deref()),
        (0, None)
    );
    assert_eq!(
        definition.pin,
        Some(PinBy::Env("VERSION".parse().unwrap())),
        "{:?}",
        adoption.notes
    );
    let after: Vec<String> = adoption
        .application
        .components
        .iter()
        .map(|component| {
            format!(
                "{} after {:?}",
                component.name,
                component
                    .after
                    .iter()
                    .map(|n| n.as_str())
                    .collect::<Vec<_>>()
            )
        })
        .collect();
    assert_eq!(after, ["web after []", "job after [\"web\"]"]);

    let mut request = ProjectRequest {
        name: &name,
        definition: &definition,
        variable: None,
    };
    let read = house.engine.project(&request).await.unwrap();
    let web = &read.services[&"web".parse().unwrap()];
    assert!(
        web.reproduced,
        "what Compose wrote on the container is what it says here"
    );
    assert_eq!(web.image.as_deref(), Some(image("1").as_str()));
    assert_eq!(
        web.image_id,
        house.engine.image_id(&image("1")).await.unwrap()
    );
    let version = "VERSION".parse().unwrap();
    request.variable = Some((&version, "2"));
    let read = house.engine.project(&request).await.unwrap();
    assert!(!read.services[&"web".parse().unwrap()].reproduced);

    std::fs::write(
        folder.join("docker-compose.yml"),
        "services: {web: {image: \"${VERSION\"}}",
    )
    .unwrap();
    let why = house.engine.project(&request).await.unwrap_err();
    assert!(why.contains("docker-compose says"), "{why}");
    std::fs::remove_dir_all(&folder).unwrap();
    let why = house.engine.project(&request).await.unwrap_err();
    assert!(why.contains("is not there"), "{why}");
}

#[tokio::test]
async fn a_project_with_its_version_in_its_compose_file_gets_a_file_beside_it() {
    let house = House::new().await;
    let folder = project(&house, "");
    let file = folder.join("docker-compose.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("${VERSION}", "1")).unwrap();
    compose(&house, &folder, &["up", "-d", "--no-build"]);
    let name = house.prefix.parse().unwrap();
    let adoption = house.engine.adopt(&name).await.unwrap();
    let notes = adoption.notes.join("\n");
    assert!(
        notes.contains("writes the images into docker-compose.override.yml"),
        "{notes}"
    );
    let definition = adoption.application.compose.unwrap();
    assert_eq!(definition.pin, Some(PinBy::Override));

    let web = "web".parse().unwrap();
    let id = |version: &str| {
        let (engine, image) = (house.engine.clone(), image(version));
        async move { engine.image_id(&image).await.unwrap() }
    };
    let (one, two) = (id("1").await, id("2").await);
    let pinned = format!("web={}", two.as_ref().unwrap());
    let ours = Images::parse(&pinned).unwrap().content();
    std::fs::write(folder.join("docker-compose.override.yml"), ours).unwrap();
    let read = house
        .engine
        .project_for_plan(&name, &definition)
        .await
        .unwrap();
    assert_eq!(
        read.services[&web].image_id, one,
        "what the site's own files name"
    );
    assert!(
        !read.services[&web].reproduced,
        "but Compose reads ours as well"
    );
    assert!(read.services[&"job".parse().unwrap()].reproduced);
    let now = house.engine.project_now(&name, &definition).await.unwrap();
    assert_eq!(now.services[&web].image_id, two);
    compose(&house, &folder, &["up", "-d", "--no-build"]);
    let hash = |summary: &str| summary.contains(&now.services[&web].hash);
    let output = Command::new("docker")
        .args(["inspect", &format!("{}_web_1", house.prefix)])
        .output()
        .unwrap();
    assert!(
        hash(&String::from_utf8_lossy(&output.stdout)),
        "Compose takes an image by its identity, and we say what it writes"
    );
    let adoption = house.engine.adopt(&name).await.unwrap();
    assert_eq!(
        adoption.application.compose.unwrap(),
        definition,
        "it is not the site's own"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_version_that_comes_from_a_shell_is_said_to() {
    let house = House::new().await;
    let folder = project(&house, "");
    let output = Command::new("docker-compose")
        .args(["-p", &house.prefix, "up", "-d", "--no-build"])
        .env("VERSION", "1")
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let adoption = house
        .engine
        .adopt(&house.prefix.parse().unwrap())
        .await
        .unwrap();
    let notes = adoption.notes.join("\n");
    assert!(notes.contains("their own shell"), "{notes}");
    let pin = adoption.application.compose.and_then(|compose| compose.pin);
    assert_eq!(pin, Some(PinBy::Env("VERSION".parse().unwrap())));
    let _ = std::fs::remove_dir_all(&folder);
}
