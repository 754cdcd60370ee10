//! A container with everything in it is created again, and the difference is only what can be explained.

use domain::{
    effect::{Effect, Outcome},
    engine_look::Container,
    name::ContainerId,
    specification::Specification,
};
use serde_json::{Value, json};

use crate::house::House;

/// A container with about every option that a Compose file has.
fn rich(house: &House) -> ContainerId {
    let (front, back) = (house.named("front"), house.named("back"));
    let range = house.address_range();
    let subnet = format!("{range}.0/24");
    house.docker(&["network", "create", "--subnet", &subnet, &front]);
    house.docker(&["network", "create", &back]);
    let volume = format!("{}:/names", house.named("names"));
    let ip = format!("{range}.77");
    let options = [
        "--network", &front, "--network-alias", "web", "--network-alias", "shop", "--ip", &ip, "-p", "127.0.0.1::8080",
        "-e", "TOKEN=hunter2=x", "-e", "MODE=mine", "-e", "EMPTY=", "--hostname", "shop-web", "--user", "0:0", "--workdir", "/names",
        "-v", &volume, "-v", "/anonymous", "-v", "/etc/hostname:/etc/app:ro", "--mount", "type=volume,dst=/loose", "--tmpfs", "/scratch:size=1m",
        "--read-only", "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE", "--security-opt", "no-new-privileges", "--init",
        "--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", "--ulimit", "nofile=512:1024", "--shm-size", "1m", "--oom-score-adj", "100",
        "--add-host", "db:10.0.0.9", "--dns", "10.0.0.53", "--log-opt", "max-size=1m", "--sysctl", "net.core.somaxconn=128", "--device", "/dev/null:/dev/nothing",
        "--health-cmd", "/app check", "--health-interval", "7s", "--health-retries", "9", "--stop-signal", "SIGINT", "--stop-timeout", "4",
        "--restart", "unless-stopped", "--label", "team=a", "--group-add", "7",
    ];
    let id = house.web_as("create", "web-1", "1", &options, &["api"]);
    house.docker(&["network", "connect", "--alias", "web-back", &back, id.as_str()]);
    house.docker(&["start", id.as_str()]);
    id
}

async fn specification(house: &House, id: &ContainerId) -> Specification {
    house.look().await.specifications.remove(id).expect("a specification can be told")
}

async fn cloned(house: &House, version: &str, from: &ContainerId) -> (Specification, ContainerId) {
    let meant = specification(house, from).await;
    let effect = house.creation(version, from).await;
    let outcome = house.engine.perform(&effect, &house.context(Some(&meant))).await.outcome;
    assert_eq!(outcome, Outcome::Done);
    let look = house.look().await.look;
    let ours = |container: &&Container| container.mark.as_ref().is_some_and(|mark| mark.replaces == *from);
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
    let mounts = inspect["Mounts"].as_array().unwrap().iter().filter(|mount| mount["Type"] == "volume");
    let mut found: Vec<(String, String)> = mounts
        .map(|mount| (mount["Destination"].as_str().unwrap().to_owned(), mount["Name"].as_str().unwrap().to_owned()))
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_rich_container_is_created_again_with_nothing_lost() {
    let house = House::new().await;
    let id = rich(&house);
    let (meant, clone) = cloned(&house, "1", &id).await;
    assert_eq!(meant.env, ["EMPTY=", "MODE=mine", "TOKEN=hunter2=x"]);
    let (mut old, mut new) = (house.inspect(id.as_str()), house.inspect(clone.as_str()));
    for inspect in [&mut old, &mut new] {
        inspect["Config"]["Env"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    }
    // Raw JSON of the engine, so that a field that our client library does not know would show.
    let explained = ["Image", "Labels", "AttachStdout", "AttachStderr"];
    assert_eq!(without(new["Config"].clone(), &explained), without(old["Config"].clone(), &explained));
    let explained = ["Binds", "Mounts", "ConsoleSize", "ContainerIDFile"];
    assert_eq!(without(new["HostConfig"].clone(), &explained), without(old["HostConfig"].clone(), &explained));
    assert_eq!(anonymous(&new), anonymous(&old), "the same volumes, those without a name included");
    let endpoint = |inspect: &Value, network: &str| {
        let endpoint = &inspect["NetworkSettings"]["Networks"][house.named(network)];
        let short = inspect["Id"].as_str().unwrap()[..12].to_owned();
        let aliases: Vec<Value> = endpoint["Aliases"].as_array().unwrap().iter().filter(|alias| **alias != json!(short)).cloned().collect();
        let address = endpoint["IPAMConfig"]["IPv4Address"].clone();
        (aliases, address)
    };
    for network in ["front", "back"] {
        assert_eq!(endpoint(&new, network), endpoint(&old, network));
    }
    let labels = new["Config"]["Labels"].as_object().unwrap();
    for (name, value) in old["Config"]["Labels"].as_object().unwrap() {
        assert_eq!(labels.get(name), Some(value), "{name}");
    }
    assert_eq!(specification(&house, &clone).await, meant, "a clone means what its original meant");
    assert_eq!(new["Image"], old["Image"]);
    house.docker(&["stop", "-t", "1", id.as_str()]);
    assert_eq!(house.perform(&Effect::StartContainer { container: clone.clone(), restart: None }).await, Outcome::Done);
    assert_eq!(house.inspect(clone.as_str())["State"]["Running"], json!(true));
    assert_eq!(specification(&house, &clone).await, meant, "and still does when it runs");
}

#[tokio::test]
async fn another_image_brings_its_own_and_keeps_what_was_meant() {
    let house = House::new().await;
    let id = house.web("web-1", "1", &["-e", "TOKEN=t"], &[]);
    let (_, clone) = cloned(&house, "2", &id).await;
    let config = house.inspect(clone.as_str())["Config"].clone();
    let mut env: Vec<&str> = config["Env"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap()).collect();
    env.retain(|entry| !entry.starts_with("PATH="));
    env.sort_unstable();
    assert_eq!(env, ["APP_VERSION=2", "MODE=image2", "TOKEN=t"]);
    assert_eq!(config["Labels"]["version"], "2");
    assert_eq!(config["Image"].as_str().unwrap(), house.image("2").await.as_str(), "by identity, never by tag");
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
