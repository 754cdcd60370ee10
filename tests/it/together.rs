//! Applications of several components: side-cars that can not live without their parent, and parts that go back
//! together or not at all.

use serde_json::{Value, json};

use crate::house::{Application, Engine, House, Luck, When, seconds};

/// `envoy` stands on the network of `api`, and so does `agent`, whose image is no release of the shop's own.
const SIDE_CARS: &str = r#"
version: "2.4"
services:
  envoy:
    image: ${IMAGE}
    command: ["worker"]
    network_mode: "service:api"
    restart: always
    stop_grace_period: 2s
  api:
    image: ${IMAGE}
    command: ["api"]
    ports: ["127.0.0.1:${PORT}:8080"]
    restart: unless-stopped
    stop_grace_period: 2s
  agent:
    image: ${IMAGE}
    command: ["worker"]
    network_mode: "service:api"
    pid: "service:api"
    stop_grace_period: 2s
"#;

fn with_side_cars(what: &str) -> Application {
    let engine = Engine::of_this_machine();
    Application::compose(&engine, what, &["envoy", "api", "agent"], SIDE_CARS)
}

/// The definition, with nothing asked of the side-cars: only the parent answers.
fn definition(shop: &Application) -> Value {
    let mut definition = shop.definition();
    for part in definition["components"].as_array_mut().unwrap() {
        if part["name"] != "api" {
            *part = json!({ "name": part["name"] });
        }
    }
    definition
}

fn deployed(house: &House, shop: &mut Application) {
    house.know(&definition(shop));
    house.deploy_until(shop, "1.4.2", "good");
    house.deploy(shop, "1.5.0");
}

/// Fails unless both side-cars run on the network of the present parent.
#[track_caller]
fn share_with_their_parent(shop: &Application) {
    let parent = shop.replica("api", 1)["Id"].as_str().unwrap().to_owned();
    for side_car in ["envoy", "agent"] {
        let seen = shop.replica(side_car, 1);
        assert_eq!(
            seen["HostConfig"]["NetworkMode"],
            format!("container:{parent}"),
            "{side_car}"
        );
        assert_eq!(seen["State"]["Running"], true, "{side_car}");
    }
    let pid = shop.replica("agent", 1)["HostConfig"]["PidMode"].clone();
    assert_eq!(pid, format!("container:{parent}"));
}

/// Which container each act of this kind was about, in order.
fn acts(house: &House, id: &str, kind: &str) -> Vec<String> {
    let log = house.log_of(id);
    let intended = log.iter().filter(|event| event["event"] == "intended");
    // What is done together is one intent of several parts.
    let parts = |event: &Value| {
        let effect: &Value = &event["effect"];
        let together = effect["effects"].as_array().cloned();
        together.unwrap_or_else(|| vec![effect.clone()])
    };
    intended
        .flat_map(parts)
        .filter(|effect| effect["do"] == kind)
        .filter_map(|effect| effect["container"].as_str().map(str::to_owned))
        .collect()
}

/// The default bridge knows no names: an engine writes where the linked container is when the other one starts.
const LINKED: &str = r#"
version: "2.4"
services:
  api:
    image: ${IMAGE}
    command: ["api"]
    network_mode: bridge
    ports: ["127.0.0.1:${PORT}:8080"]
    links: ["db:database"]
    stop_grace_period: 2s
  db:
    image: ${IMAGE}
    command: ["worker"]
    network_mode: bridge
    stop_grace_period: 2s
"#;

/// Fails unless the API finds the present database.
#[track_caller]
fn is_linked(shop: &Application) {
    let (api, db) = (shop.replica("api", 1), shop.replica("db", 1));
    let link = format!(
        "{}:{}/database",
        db["Name"].as_str().unwrap(),
        api["Name"].as_str().unwrap()
    );
    let links = api["HostConfig"]["Links"].as_array().unwrap();
    assert!(links.contains(&json!(link)), "{link}: {links:?}");
    let address = db["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        .as_str()
        .unwrap();
    let hosts = shop.engine.read(api["Id"].as_str().unwrap(), "/etc/hosts");
    let line = hosts.lines().find(|line| line.contains("database"));
    let found = line.and_then(|line| line.split_whitespace().next());
    assert_eq!(found, Some(address), "{hosts}");
}

#[test]
fn who_is_linked_on_the_default_bridge_goes_back_with_what_it_is_linked_to() {
    let (house, engine) = (House::new(), Engine::of_this_machine());
    let mut shop = Application::compose(&engine, "linked", &["api", "db"], LINKED);
    deployed(&house, &mut shop);
    is_linked(&shop);
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    is_linked(&shop);
    shop.compose_agrees("1.4.2", &[]);
    // Called off once the other database runs: the former ones find each other again.
    house.release_hold(&shop, "1.5.0");
    let former = ["api", "db"].map(|name| id_of(&shop, name));
    house.door.trap(
        "POST /containers/{id}/start",
        1,
        When::After,
        Luck::Delay(seconds(1)),
    );
    let id = house.roll_back(&shop, &json!({ "version": "1.5.0" }));
    house.door.springs("the database is being started");
    house
        .ask(
            "POST",
            &format!("/api/v1/rollbacks/{id}/cancel"),
            &Value::Null,
        )
        .expect(202);
    house.verdict(&id, "cancelled");
    assert_eq!(["api", "db"].map(|name| id_of(&shop, name)), former);
    is_linked(&shop);
    shop.serves_alone("1.4.2");
}

fn id_of(shop: &Application, component: &str) -> String {
    shop.replica(component, 1)["Id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn side_cars_stop_before_their_parent_and_come_after_it() {
    let house = House::new();
    let mut shop = with_side_cars("side");
    deployed(&house, &mut shop);
    let former = ["envoy", "agent", "api"].map(|name| id_of(&shop, name));
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    share_with_their_parent(&shop);

    let stopped = acts(&house, &id, "stop_container");
    let at = |id: &String| stopped.iter().position(|other| other == id);
    assert!(
        at(&former[0]) < at(&former[2]) && at(&former[1]) < at(&former[2]),
        "{stopped:?}"
    );
    let started = acts(&house, &id, "start_container");
    assert_eq!(started.first(), Some(&id_of(&shop, "api")), "{started:?}");
    assert_eq!(started.len(), 3);
    assert_eq!(
        shop.replica("envoy", 1)["HostConfig"]["RestartPolicy"]["Name"],
        "always"
    );
}

#[test]
fn side_cars_of_a_failed_target_go_back_to_the_parent_that_serves_again() {
    let house = House::new();
    let mut shop = with_side_cars("sideback");
    house.know(&definition(&shop));
    shop.release("1.4.2", &["BAD=1"]);
    shop.release("1.5.0", &[]);
    house.deploy_until(&mut shop, "1.4.2", "bad");
    house.deploy_until(&mut shop, "1.5.0", "good");
    let before = shop.running();
    let id = house.roll_back(&shop, &json!({ "version": "1.4.2" }));
    house.verdict(&id, "restored");
    assert_eq!(shop.running(), before);
    shop.serves_alone("1.5.0");
    share_with_their_parent(&shop);
}

#[test]
fn somebody_elses_side_car_is_told_of_in_the_plan() {
    let house = House::new();
    let engine = Engine::of_this_machine();
    let mut shop = Application::shop(&engine, "guest");
    house.broken(&mut shop);
    let host = id_of(&shop, "api");
    let name = format!("{}-guest", shop.name);
    engine.run(
        &name,
        &json!({ "Image": "sternway-demo:1.4.2", "Cmd": ["worker"], "HostConfig": { "NetworkMode": format!("container:{host}") } }),
    );
    let plan = house
        .ask_plan(&shop, &json!("last_known_good"))
        .expect(200)
        .json();
    engine.remove(&name);
    let warnings = plan["warnings"].to_string();
    assert!(
        warnings.contains(&name) && warnings.contains("cut off"),
        "{plan}"
    );
}

/// Three parts of one version, each with a behaviour of its own.
const THREE: &str = r#"
version: "2.4"
services:
  one: {image: "${IMAGE}", command: ["api"], environment: {BAD: "${BAD_ONE:-0}"}, stop_grace_period: 2s}
  two: {image: "${IMAGE}", command: ["api"], environment: {BAD: "${BAD_TWO:-0}"}, stop_grace_period: 2s}
  three: {image: "${IMAGE}", command: ["api"], environment: {BAD: "${BAD_THREE:-0}"}, stop_grace_period: 2s}
"#;

/// An application of three parts of which 1.4.2 ran with these settings, and 1.5.0 runs with those.
fn three(house: &House, what: &str, then: &[(&str, &str)], now: &[(&str, &str)]) -> Application {
    let engine = Engine::of_this_machine();
    let mut shop = Application::compose(&engine, what, &["one", "two", "three"], THREE);
    house.know(&shop.definition());
    shop.release("1.4.2", &[]);
    shop.release("1.5.0", &[]);
    shop.up_with("1.4.2", then);
    let id = house.record(&shop, "1.4.2");
    house.judged(&id, if then.is_empty() { "good" } else { "bad" });
    shop.up_with("1.5.0", now);
    let id = house.record(&shop, "1.5.0");
    house.judged(&id, if now.is_empty() { "good" } else { "bad" });
    shop
}

#[test]
fn when_one_part_fails_its_proof_all_return() {
    let house = House::new();
    let shop = three(&house, "oneof", &[("BAD_TWO", "1")], &[]);
    let before = shop.running();
    let id = house.roll_back(&shop, &json!({ "version": "1.4.2" }));
    let ended = house.verdict(&id, "restored");
    assert_eq!(ended["cause"]["code"], "proof_failed", "{ended}");
    assert!(
        ended["cause"]["sentence"]
            .as_str()
            .is_some_and(|said| said.contains("two")),
        "the part that failed is named: {ended}"
    );
    assert_eq!(
        shop.running(),
        before,
        "every part is the very container that served before"
    );
    shop.serves_alone("1.5.0");
}

#[test]
fn a_person_is_told_where_each_part_stands() {
    let house = House::new();
    let bad = [("BAD_TWO", "1")];
    let shop = three(&house, "eachof", &bad, &bad);
    let id = house.roll_back(&shop, &json!({ "version": "1.4.2" }));
    let ended = house.verdict(&id, "needs_human");
    let production = ended["production"].as_str().unwrap_or_default();
    for part in [
        "one: 1.4.2 runs as",
        "two: 1.4.2 runs as",
        "three: 1.4.2 runs as",
    ] {
        assert!(production.contains(part), "{part}: {production}");
    }
}

#[test]
fn a_port_that_somebody_else_took_turns_it_back() {
    let house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "porttaken");
    house.know(&shop.definition());
    house.deploy_until(&mut shop, "1.4.2", "good");
    // The bad version came with another port; the good one's is somebody else's by now.
    let other = crate::house::server::free_port().to_string();
    shop.up_with("1.5.0", &[("PORT", &other)]);
    house.record(&shop, "1.5.0");
    let before = shop.running();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", shop.port)).unwrap();
    let id = house.roll_back(&shop, &json!("last_known_good"));
    let ended = house.verdict(&id, "restored");
    let said = ended["cause"]["sentence"].as_str().unwrap_or_default();
    assert!(said.contains("address already in use"), "{ended}");
    assert_eq!(shop.running(), before);
    shop.serves_alone("1.5.0");
}

#[test]
fn a_container_that_its_engine_would_remove_is_refused_with_the_reason() {
    let house = House::new();
    let engine = Engine::of_this_machine();
    let fleeting = json!({ "HostConfig": { "AutoRemove": true } });
    let mut shop = Application::plain(&engine, "fleeting", "api", &[fleeting]);
    house.know(&shop.definition());
    house.deploy_until(&mut shop, "1.4.2", "good");
    house.deploy(&mut shop, "1.5.0");
    let before = shop.running();
    let reply = house.ask_plan(&shop, &json!("last_known_good"));
    let problem = reply.problem(409, "plan_blocked");
    assert_eq!(problem["blockers"][0]["code"], "auto_remove", "{problem}");
    assert_eq!(shop.running(), before);
}

/// One name for ever, and each restart policy.
const POLICIES: &str = r#"
version: "2.4"
services:
  named: {image: "${IMAGE}", command: ["worker"], container_name: "${NAME}-worker_named_1", restart: "no", stop_grace_period: 2s}
  always: {image: "${IMAGE}", command: ["worker"], restart: always, stop_grace_period: 2s}
  unless: {image: "${IMAGE}", command: ["worker"], restart: unless-stopped, stop_grace_period: 2s}
  failing: {image: "${IMAGE}", command: ["worker"], restart: "on-failure:3", stop_grace_period: 2s}
"#;

#[test]
fn a_fixed_name_and_every_restart_policy_are_kept() {
    let house = House::new();
    let engine = Engine::of_this_machine();
    let parts = ["named", "always", "unless", "failing"];
    let mut shop = Application::compose(&engine, "policies", &parts, POLICIES);
    let mut definition = shop.definition();
    definition["components"] = parts.iter().map(|name| json!({ "name": name })).collect();
    house.know(&definition);
    let name = shop.name.clone();
    let up = |shop: &mut Application, version: &str| {
        shop.up_with(version, &[("NAME", &name)]);
        house.record(shop, version)
    };
    let good = up(&mut shop, "1.4.2");
    // Nothing can be asked of these: that they ran for the whole window is all that there is.
    house.judged(&good, "good");
    up(&mut shop, "1.5.0");
    let id = house.roll_back(&shop, &json!({ "version": "1.4.2" }));
    house.verdict(&id, "rolled_back");
    assert_eq!(shop.disorder("1.4.2"), Ok(()));
    let policy = |part: &str| shop.replica(part, 1)["HostConfig"]["RestartPolicy"].clone();
    assert_eq!(policy("named")["Name"], "no");
    assert_eq!(policy("always")["Name"], "always");
    assert_eq!(policy("unless")["Name"], "unless-stopped");
    assert_eq!(
        policy("failing"),
        json!({ "Name": "on-failure", "MaximumRetryCount": 3 })
    );
}
