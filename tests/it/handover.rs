//! Port handover, seen from outside: the target is proved beside what serves, then the port moves.

use serde_json::{Value, json};

use crate::{
    house::{Application, Client, Engine, House, load::Experience, seconds},
    kill::{Lane, dealt, in_lanes},
};

fn steps(plan: &Value) -> Vec<String> {
    let steps = plan["steps"].as_array().into_iter().flatten();
    steps.map(|step| step.to_string()).collect()
}

fn log_text(house: &House, id: &str) -> String {
    house.log_of(id).iter().map(Value::to_string).collect()
}

fn networks(engine: &Engine) -> Vec<String> {
    let list = engine.ask("GET", "/networks", &Value::Null).json();
    let names = list.as_array().into_iter().flatten();
    names
        .filter_map(|row| row["Name"].as_str().map(str::to_owned))
        .collect()
}

/// Nothing of this application's stages is left on the engine.
#[track_caller]
fn no_stage_is_left(shop: &Application) {
    let left: Vec<String> = networks(&shop.engine)
        .into_iter()
        .filter(|name| name.starts_with(&format!("sternway-stage-{}-", shop.name)))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A rollback under the eyes of a client.
fn watched(house: &House, shop: &Application, target: &Value) -> (Value, Experience) {
    let client = Client::start(shop.port, "/health");
    let id = house.roll_back(shop, target);
    let ended = house.ended(&id);
    (ended, client.end())
}

#[test]
fn an_application_that_boots_for_two_seconds_is_gone_for_much_less() {
    let (house, engine) = (House::new(), Engine::of_this_machine());
    let mut shop = Application::shop(&engine, "boots");
    shop.release("1.4.2", &["START_MS=2000"]);
    shop.release("1.5.0", &["START_MS=2000", "BAD=1"]);
    house.broken(&mut shop);
    let plan = house.ask_plan(&shop, &json!("previous")).expect(200).json();
    let text = steps(&plan).join("\n");
    assert!(
        text.contains("Hand over api") && text.contains("Switch worker"),
        "{text}"
    );
    let warned = plan["warnings"].to_string();
    assert!(warned.contains("worker is stopped and started"), "{plan}");
    let (ended, seen) = watched(&house, &shop, &json!("previous"));
    assert_eq!(ended["verdict"], "rolled_back", "{ended}");
    assert!(seen.answered > 100 && seen.gap < seconds(2), "{seen:?}");
    shop.serves_alone("1.4.2");
    shop.compose_agrees("1.4.2", &[]);
    no_stage_is_left(&shop);
}

#[test]
fn a_bad_target_is_found_out_on_the_stage_and_nobody_notices() {
    let (house, engine) = (House::new(), Engine::of_this_machine());
    let mut shop = Application::shop(&engine, "found");
    shop.release("1.4.2", &["BAD=1"]);
    shop.release("1.5.0", &[]);
    let mut definition = shop.definition();
    definition["timeouts"]["proof_s"] = json!(3);
    house.know(&definition);
    house.deploy_until(&mut shop, "1.4.2", "bad");
    house.deploy_until(&mut shop, "1.5.0", "good");
    let before = shop.running();
    let (ended, seen) = watched(&house, &shop, &json!({ "version": "1.4.2" }));
    assert_eq!(ended["verdict"], "refused", "{ended}");
    assert_eq!(seen.failed, 0, "{seen:?}");
    assert_eq!(shop.running(), before, "the very same containers");
    shop.serves_alone("1.5.0");
    no_stage_is_left(&shop);
}

const NEEDS: &str = r#"
version: "2.4"
services:
  api:
    image: ${IMAGE}
    command: ["api"]
    environment: {NEEDS: "${NEEDS}"}
    ports: ["127.0.0.1:${PORT}:8080"]
    stop_grace_period: 1s
  db:
    image: ${IMAGE}
    command: ["api"]
"#;

/// A shop whose API needs something at boot.
fn needy(house: &House, what: &str, needs: &str) -> (Application, Vec<(&'static str, String)>) {
    let shop = Application::compose(&house.engine, what, &["api"], NEEDS);
    house.know(&shop.definition());
    (shop, vec![("NEEDS", needs.to_owned())])
}

fn deploy(house: &House, shop: &mut Application, version: &str, settings: &[(&str, String)]) {
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    shop.up_with(version, &settings);
    let id = house.record(shop, version);
    house.judged(&id, "good");
}

#[test]
fn a_database_that_is_no_part_of_the_application_is_brought_to_the_stage() {
    let house = House::new();
    let (mut shop, needs) = needy(&house, "needs", "db:8080");
    for version in ["1.4.2", "1.4.3"] {
        shop.release(version, &[]);
        deploy(&house, &mut shop, version, &needs);
    }
    let (ended, seen) = watched(&house, &shop, &json!({ "version": "1.4.2" }));
    assert_eq!(ended["verdict"], "rolled_back", "{ended}");
    let id = ended["id"].as_str().unwrap_or_default().to_owned();
    assert!(
        !log_text(&house, &id).contains("skipped"),
        "{}",
        log_text(&house, &id)
    );
    assert!(seen.gap < seconds(2), "{seen:?}");
    no_stage_is_left(&shop);
}

#[test]
fn what_can_not_come_up_on_the_stage_is_stopped_and_started_instead() {
    let house = House::new();
    let (mut shop, needs) = needy(&house, "outside", "elsewhere:8080");
    for version in ["1.4.1", "1.4.2", "1.4.3"] {
        shop.release(version, &[]);
    }
    // Its network exists once Compose has made it; then the outside is put on it, which no stage brings along. A
    // version of its own: this deployment is found by the server, and what ran then is that version's specification.
    shop.up_with("1.4.1", &[("NEEDS", "db:8080")]);
    let config = json!({"Image": shop.image("1.4.1"), "Cmd": ["api"]});
    let outside = house
        .engine
        .run(&format!("{}-elsewhere", shop.name), &config);
    let network = format!("/networks/{}_default/connect", shop.name);
    let connect = json!({"Container": outside, "EndpointConfig": {"Aliases": ["elsewhere"]}});
    house.engine.ask("POST", &network, &connect);
    for version in ["1.4.2", "1.4.3"] {
        deploy(&house, &mut shop, version, &needs);
    }
    let (ended, _) = watched(&house, &shop, &json!({ "version": "1.4.2" }));
    assert_eq!(ended["verdict"], "rolled_back", "{ended}");
    let id = ended["id"].as_str().unwrap_or_default().to_owned();
    let log = log_text(&house, &id);
    assert!(
        log.contains("stopped and started in its place instead"),
        "{log}"
    );
    assert_eq!(shop.replica("api", 1)["State"]["Running"], true);
    no_stage_is_left(&shop);
    house.engine.remove(&outside);
}

/// What is proved on the stage and red through the front goes back by the same move, wherever it is killed.
#[test]
fn killed_at_any_call_of_the_way_back_the_former_has_the_port_again() {
    let kills = in_lanes(way_back);
    eprintln!("handed back: {kills} kills");
    assert!(kills >= 8, "only {kills} kills");
}

fn way_back(number: usize) -> usize {
    let mut lane = Lane::new("handback");
    let mut definition = lane.shop.definition();
    // A stage on a busy machine needs longer than on an idle one; a target that is red takes all of it each time.
    definition["timeouts"]["proof_s"] = json!(6);
    let front = format!("http://127.0.0.1:{}/api/version", lane.shop.port);
    definition["probes"] = json!([{ "url": front, "contains": "1.5.0" }]);
    lane.house.know(&definition);
    for version in ["1.4.3", "1.5.0"] {
        lane.shop.release(version, &[]);
    }
    lane.house.deploy_until(&mut lane.shop, "1.4.3", "bad");
    lane.house.deploy_until(&mut lane.shop, "1.5.0", "good");
    let target = json!({ "version": "1.4.3" });
    lane.roll_back(&target);
    let before = lane.shop.running();
    let places = lane.places(&target);
    // The first thing that the move does: what gives its port away must not come back by itself.
    let moved = places
        .iter()
        .position(|(call, _)| call.ends_with("/update"))
        .expect("the port moved");
    for place in dealt(&places[moved..], number) {
        lane.cut_at(place, &target, "restored", "1.5.0");
        assert_eq!(
            lane.shop.running(),
            before,
            "the very containers that served before"
        );
    }
    lane.shop.serves_alone("1.5.0");
    no_stage_is_left(&lane.shop);
    lane.kills
}
