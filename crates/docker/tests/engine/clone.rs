//! A container with everything in it is created again, and the difference is only what can be explained.

use domain::{
    effect::{Effect, Outcome},
    engine_look::Container,
    name::ContainerId,
    specification::Specification,
};
use serde_json::{Value, json};

use crate::house::House;

/// About every option that a Compose file has.
const OPTIONS: &str = "--network FRONT --network-alias web --network-alias shop --ip RANGE.77 -p 127.0.0.1::8080 \
    -e TOKEN=hunter2=x -e MODE=mine -e EMPTY= --hostname shop-web --user 0:0 --workdir /names \
    -v NAMES:/names -v /anonymous -v /etc/hostname:/etc/app:ro --mount type=volume,dst=/loose \
    --tmpfs /scratch:size=1m --read-only --cap-drop ALL --cap-add NET_BIND_SERVICE \
    --security-opt no-new-privileges --init --memory 64m --cpus 0.5 --pids-limit 50 \
    --ulimit nofile=512:1024 --shm-size 1m --oom-score-adj 100 --add-host db:10.0.0.9 \
    --dns 10.0.0.53 --log-opt max-size=1m --sysctl net.core.somaxconn=128 \
    --device /dev/null:/dev/nothing --health-cmd /app --health-interval 7s --health-retries 9 \
    --stop-signal SIGINT --stop-timeout 4 --restart unless-stopped --label team=a --group-add 7";

/// A running container with all of them, on two networks.
fn rich(house: &House) -> ContainerId {
    let (front, back) = (house.named("front"), house.named("back"));
    let range = house.address_range();
    house.docker(&[
        "network",
        "create",
        "--subnet",
        &format!("{range}.0/24"),
        &front,
    ]);
    house.docker(&["network", "create", &back]);
    let options = OPTIONS
        .replace("FRONT", &front)
        .replace("RANGE", &range)
        .replace("NAMES", &house.named("names"));
    let options: Vec<&str> = options.split_whitespace().collect();
    let id = house.web_as("create", "web-1", "1", &options, &["api"]);
    house.docker(&[
        "network",
        "connect",
        "--alias",
        "web-back",
        &back,
        id.as_str(),
    ]);
    house.docker(&["start", id.as_str()]);
    id
}

async fn specification(house: &House, id: &ContainerId) -> Specification {
    house
        .look()
        .await
        .specifications
        .remove(id)
        .expect("a specification can be told")
}

async fn cloned(house: &House, version: &str, from: &ContainerId) -> (Specification, ContainerId) {
    let meant = specification(house, from).await;
    let effect = house.creation(version, from).await;
    let outcome = house
        .engine
        .perform(&effect, &house.context(Some(&meant)))
        .await
        .outcome;
    assert_eq!(outcome, Outcome::Done);
    let look = house.look().await.look;
    let ours = |container: &&Container| {
        container
            .mark
            .as_ref()
            .is_some_and(|mark| mark.replaces == *from)
    };
    let clone = look.containers.iter().find(ours).expect("our mark is seen");
    (meant, clone.id.clone())
}

fn without(mut value: Value, keys: &[&str]) -> Value {
    for key in keys {
        value.as_object_mut().unwrap().remove(*key);
    }
    value
}

fn anonymous(inspect: &Value) -> Vec<(String, String)> {
    let mounts = inspect["Mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mount| mount["Type"] == "volume");
    let mut found: Vec<(String, String)> = mounts
        .map(|mount| {
            (
                mount["Destination"].as_str().unwrap().to_owned(),
                mount["Name"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    found.sort();
    found
}

/// The wishes of a container on a network: aliases and address.
fn endpoint(inspect: &Value, network: &str) -> (Vec<Value>, Value) {
    let endpoint = &inspect["NetworkSettings"]["Networks"][network];
    let short = inspect["Id"].as_str().unwrap()[..12].to_owned();
    // The engine adds the host name by itself when it starts a container.
    let added = [json!(short), inspect["Config"]["Hostname"].clone()];
    let aliases = endpoint["Aliases"].as_array().unwrap();
    let own = aliases.iter().filter(|alias| !added.contains(alias));
    (
        own.cloned().collect(),
        endpoint["IPAMConfig"]["IPv4Address"].clone(),
    )
}

/// Raw JSON of the engine, so that a field that our client library does not know would show.
fn assert_same_but_for_what_is_explained(house: &House, old: &Value, new: &Value) {
    let explained = ["Image", "Labels", "AttachStdout", "AttachStderr"];
    let config = |inspect: &Value| without(inspect["Config"].clone(), &explained);
    assert_eq!(config(new), config(old));
    let explained = ["Binds", "Mounts", "ConsoleSize", "ContainerIDFile"];
    let host = |inspect: &Value| without(inspect["HostConfig"].clone(), &explained);
    assert_eq!(host(new), host(old));
    assert_eq!(
        anonymous(new),
        anonymous(old),
        "the same volumes, those without a name included"
    );
    for network in [house.named("front"), house.named("back")] {
        assert_eq!(endpoint(new, &network), endpoint(old, &network));
    }
    let labels = new["Config"]["Labels"].as_object().unwrap();
    for (name, value) in old["Config"]["Labels"].as_object().unwrap() {
        assert_eq!(labels.get(name), Some(value), "{name}");
    }
    assert_eq!(new["Image"], old["Image"]);
}

#[tokio::test]
async fn a_rich_container_is_created_again_with_nothing_lost() {
    let house = House::new().await;
    let id = rich(&house);
    let (meant, clone) = cloned(&house, "1", &id).await;
    assert_eq!(meant.env, ["EMPTY=", "MODE=mine", "TOKEN=hunter2=x"]);
    let (mut old, mut new) = (house.inspect(id.as_str()), house.inspect(clone.as_str()));
    for inspect in [&mut old, &mut new] {
        inspect["Config"]["Env"]
            .as_array_mut()
            .unwrap()
            .sort_by_key(Value::to_string);
    }
    assert_same_but_for_what_is_explained(&house, &old, &new);
    assert_eq!(
        specification(&house, &clone).await,
        meant,
        "a clone means what its original meant"
    );
    house.docker(&["stop", "-t", "1", id.as_str()]);
    let start = Effect::StartContainer {
        container: clone.clone(),
        restart: None,
    };
    assert_eq!(house.perform(&start).await, Outcome::Done);
    assert_eq!(
        house.inspect(clone.as_str())["State"]["Running"],
        json!(true)
    );
    assert_eq!(
        specification(&house, &clone).await,
        meant,
        "and still does when it runs"
    );
}

#[tokio::test]
async fn another_image_brings_its_own_and_keeps_what_was_meant() {
    let house = House::new().await;
    let id = house.web("web-1", "1", &["-e", "TOKEN=t"], &[]);
    let (_, clone) = cloned(&house, "2", &id).await;
    let config = house.inspect(clone.as_str())["Config"].clone();
    let mut env: Vec<&str> = config["Env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry.as_str().unwrap())
        .collect();
    env.retain(|entry| !entry.starts_with("PATH="));
    env.sort_unstable();
    assert_eq!(env, ["APP_VERSION=2", "MODE=image2", "TOKEN=t"]);
    assert_eq!(config["Labels"]["version"], "2");
    assert_eq!(
        config["Image"].as_str().unwrap(),
        house.image("2").await.as_str(),
        "by identity, never by tag"
    );
}

#[tokio::test]
async fn a_clone_of_a_clone_of_a_clone_is_the_same() {
    let mut house = House::new().await;
    let mut id = rich(&house);
    let first = specification(&house, &id).await;
    for _ in 0..3 {
        let (meant, clone) = cloned(&house, "1", &id).await;
        assert_eq!(meant, first);
        house.docker(&["rm", "-f", id.as_str()]);
        house.docker(&["rename", clone.as_str(), &house.named("web-1")]);
        house.rollback = crate::house::new_rollback();
        id = clone;
    }
    let volumes = anonymous(&house.inspect(id.as_str()));
    assert_eq!(volumes.len(), 3, "named, anonymous and loose: {volumes:?}");
}

#[tokio::test]
async fn a_container_whose_image_is_gone_is_understood_by_what_was_kept_of_it() {
    let house = House::new().await;
    let tag = format!("{}-gone:1", house.prefix);
    house.build(&tag, "ENV OWN=1\nWORKDIR /own\n");
    let name = house.named("web-1");
    let project = format!("com.docker.compose.project={}", house.prefix);
    let id: ContainerId = house
        .docker(&[
            "create",
            "--name",
            &name,
            "--label",
            &project,
            "--label",
            "com.docker.compose.service=web",
            "-e",
            "TOKEN=t",
            &tag,
        ])
        .parse()
        .unwrap();
    let mut before = house.look().await;
    let (meant, whole) = (
        before.specifications.remove(&id).unwrap(),
        before.wholes.remove(&id).unwrap(),
    );
    assert_eq!(meant.env, ["TOKEN=t"]);
    assert_eq!(whole.inspection["Id"], json!(id.as_str()));
    assert!(
        !format!("{whole:?}").contains("TOKEN"),
        "it holds secrets and is not printed"
    );

    house.docker(&["rmi", "-f", &tag]);
    // Another process, that never saw the image.
    let fresh = docker::Engine::connect(house.engine.endpoint()).unwrap();
    let request = docker::LookRequest {
        application: &house.application,
        images: &[],
        disk: false,
        paths: &[],
        specifications: true,
    };
    let blind = fresh.look(&request).await.unwrap();
    let image = blind.look.containers[0].image.clone();
    assert!(blind.specifications.is_empty());
    assert_eq!(blind.images_gone.iter().collect::<Vec<_>>(), [&image]);
    fresh.remember_image(&image, whole.image).unwrap();
    let seeing = fresh.look(&request).await.unwrap();
    assert_eq!(seeing.specifications.get(&id), Some(&meant));
    assert!(seeing.images_gone.is_empty());
}
