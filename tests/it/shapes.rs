//! Applications that are not the demo: other networks, volumes, replicas and manners.

use serde_json::{Value, json};

use crate::house::{Application, Client, Engine, House, seconds};

/// Deploys good, then bad, and rolls back.
fn there_and_back(house: &House, shop: &mut Application) -> Value {
    house.broken(shop);
    let id = house.roll_back(shop, &json!("previous"));
    let ended = house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    ended
}

const TWO_REPLICAS: &str = r#"
services:
  api:
    image: ${IMAGE}
    expose: ["8080"]
    scale: 2
"#;

#[test]
fn every_replica_is_brought_back() {
    let house = House::new();
    let mut shop = Application::compose(
        &Engine::of_this_machine(),
        "two",
        &["api"],
        &format!("version: '2.4'\n{TWO_REPLICAS}"),
    );
    there_and_back(&house, &mut shop);
    assert_eq!(shop.running().len(), 2);
    shop.compose_agrees("1.4.2", &[]);
}

const IGNORES_TERM: &str = r#"
services:
  api:
    image: ${IMAGE}
    environment: {IGNORE_TERM: "1"}
    ports: ["127.0.0.1:${PORT}:8080"]
    stop_grace_period: 1s
"#;

#[test]
fn a_process_that_ignores_sigterm_is_waited_for_and_then_killed() {
    let house = House::new();
    let mut shop = Application::compose(&Engine::of_this_machine(), "deaf", &["api"], IGNORES_TERM);
    there_and_back(&house, &mut shop);
    shop.compose_agrees("1.4.2", &[]);
}

const NETWORKS_AND_VOLUMES: &str = r#"
version: "2.4"
services:
  api:
    image: ${IMAGE}
    user: "0:0"
    ports: ["127.0.0.1:${PORT}:8080"]
    networks:
      front: {aliases: [shop-front, www]}
      back: {aliases: [shop-back]}
    volumes:
      - named:/data/named
      - /data/anonymous
      - ./bind:/data/bind
    environment: {SECRET: "s3cret-canary"}
    mem_limit: 64m
    labels: {owner: "ana"}
    hostname: front-1
    extra_hosts: ["legacy:10.1.2.3"]
    ulimits: {nofile: 512}
    depends_on: [worker]
  worker:
    image: ${IMAGE}
    command: ["worker"]
    networks: [back]
networks: {front: {}, back: {internal: true}}
volumes: {named: {}}
"#;

#[test]
fn networks_aliases_volumes_and_their_data_are_kept() {
    let engine = Engine::of_this_machine();
    let house = House::new();
    let mut shop = Application::compose(&engine, "whole", &["worker", "api"], NETWORKS_AND_VOLUMES);
    house.broken(&mut shop);
    let before = shop.replica("api", 1);
    let old = before["Id"].as_str().unwrap();
    for place in ["named", "anonymous", "bind"] {
        engine.write(old, &format!("/data/{place}/order"), "42 apples");
    }
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");

    let after = shop.replica("api", 1);
    let new = after["Id"].as_str().unwrap();
    assert_ne!(old, new);
    for place in ["named", "anonymous", "bind"] {
        assert_eq!(
            engine.read(new, &format!("/data/{place}/order")),
            "42 apples",
            "{place}"
        );
    }
    for network in ["front", "back"] {
        let aliases = |row: &Value| -> Vec<String> {
            let list =
                row["NetworkSettings"]["Networks"][format!("{}_{network}", shop.name)]["Aliases"]
                    .clone();
            let names = list.as_array().cloned().unwrap_or_default();
            // The engine adds the container's own short id, which must differ.
            let short = &row["Id"].as_str().unwrap()[..12];
            let mut names: Vec<String> = names
                .iter()
                .filter_map(|name| name.as_str())
                .filter(|name| *name != short)
                .map(str::to_owned)
                .collect();
            names.sort();
            names.dedup();
            names
        };
        assert_eq!(aliases(&before), aliases(&after), "{network}");
        assert!(
            aliases(&after)
                .iter()
                .any(|alias| alias.starts_with("shop-")),
            "{network}"
        );
    }
    for path in [
        "/HostConfig/Memory",
        "/HostConfig/ExtraHosts",
        "/HostConfig/Ulimits",
        "/Config/Hostname",
        "/Config/User",
        "/HostConfig/RestartPolicy",
        "/HostConfig/PortBindings",
    ] {
        assert_eq!(before.pointer(path), after.pointer(path), "{path}");
    }
    assert_eq!(after["Config"]["Labels"]["owner"], "ana");
    shop.compose_agrees("1.4.2", &[]);
    assert!(
        !std::fs::read_to_string(house.log())
            .unwrap()
            .contains("s3cret-canary"),
        "an environment value is in the log"
    );
    let dump = house.sql("select count(*) from rollback_event where body like '%s3cret-canary%'");
    assert_eq!(dump, "0", "an environment value is in the events");
}

const HEALTH_CHECK: &str = r#"
services:
  api:
    image: ${IMAGE}
    ports: ["127.0.0.1:${PORT}:8080"]
    healthcheck: {test: ["CMD", "/app", "check"], interval: 1s, timeout: 1s, retries: 2}
    environment: {START_MS: "800", DRAIN_MS: "300"}
"#;

#[test]
fn dockers_own_health_check_is_waited_for() {
    let house = House::new();
    let mut shop =
        Application::compose(&Engine::of_this_machine(), "health", &["api"], HEALTH_CHECK);
    let ended = there_and_back(&house, &mut shop);
    assert_eq!(ended["good"], true, "{ended}");
    assert_eq!(
        shop.replica("api", 1)["State"]["Health"]["Status"],
        "healthy"
    );
}

#[test]
fn containers_without_compose_are_brought_back() {
    let engine = Engine::of_this_machine();
    let house = House::new();
    let restart = json!({ "Name": "always" });
    let mut shop = Application::plain(
        &engine,
        "plain",
        "api",
        &[
            json!({ "HostConfig": { "RestartPolicy": restart } }),
            json!({ "HostConfig": { "RestartPolicy": restart } }),
        ],
    );
    there_and_back(&house, &mut shop);
    for number in 1..=2 {
        assert_eq!(
            shop.replica("api", number)["HostConfig"]["RestartPolicy"]["Name"],
            "always",
            "the policy is put back"
        );
    }
    // And forward again, and back: what a rollback made is as good as what people made.
    house.release_hold(&shop, "1.5.0");
    house.deploy(&mut shop, "1.5.0");
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn an_application_on_the_hosts_own_network_is_brought_back() {
    let engine = Engine::of_this_machine();
    let house = House::new();
    let port = crate::house::server::free_port();
    let mut shop = Application::plain(
        &engine,
        "hostnet",
        "api",
        &[json!({
            "HostConfig": { "NetworkMode": "host" }, "Cmd": ["api"], "Labels": { "port": port.to_string() },
        })],
    );
    let mut definition = shop.definition();
    for part in definition["components"].as_array_mut().unwrap() {
        part["version_endpoint"]["port"] = json!(port);
        for probe in part["probes"].as_array_mut().unwrap() {
            probe["port"] = json!(port);
        }
    }
    definition["probes"] =
        json!([{ "url": format!("http://127.0.0.1:{port}/"), "contains": "all prices known" }]);
    house.know(&definition);
    let on_port = port.to_string();
    shop.up_with("1.4.2", &[("PORT", &on_port)]);
    let good = house.record(&shop, "1.4.2");
    house.judged(&good, "good");
    shop.up_with("1.5.0", &[("PORT", &on_port)]);
    house.record(&shop, "1.5.0");
    let client = Client::start(port, "/health");
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    let seen = client.end();
    assert!(seen.gap < seconds(5), "{seen:?}");
    shop.serves_alone("1.4.2");
}

const DEPENDENT: &str = r#"
version: "2.4"
services:
  db:
    image: sternway-demo:1.4.2
    command: ["worker"]
    volumes: ["db:/data"]
  api:
    image: ${IMAGE}
    ports: ["127.0.0.1:${PORT}:8080"]
    depends_on: [db]
    links: ["db:database"]
volumes: {db: {}}
"#;

#[test]
fn what_does_not_belong_to_the_application_is_left_alone() {
    let engine = Engine::of_this_machine();
    let house = House::new();
    let mut shop = Application::compose(&engine, "part", &["api"], DEPENDENT);
    house.broken(&mut shop);
    let database = shop.replica("db", 1);
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    let still = shop.replica("db", 1);
    assert_eq!(
        (&database["Id"], &database["State"]["StartedAt"]),
        (&still["Id"], &still["State"]["StartedAt"])
    );
    assert_eq!(
        shop.replica("api", 1)["Image"],
        engine.image("sternway-demo:1.4.2").as_str()
    );
    shop.compose_agrees("1.4.2", &[]);
}
