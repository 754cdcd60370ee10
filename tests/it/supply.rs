//! The old image was cleaned away: it is brought from where it can be had, or production stays as it is.

use serde_json::{Value, json};

use crate::house::{Application, Engine, House, Luck, Registry, When, seconds, until};

/// 1.4.2 was pushed and proved good, 1.5.0 is broken, and somebody cleaned the engine.
fn cleaned(house: &House, shop: &mut Application, registry: &Registry) {
    shop.release("1.4.2", &[]);
    registry.push(shop, "1.4.2");
    // A release of the same layers, as the next one usually is.
    shop.release("1.5.0", &["BAD=1"]);
    house.broken(shop);
    // By identity and by force: that takes all its names, and takes it from its keeper.
    let digest = shop.digest("1.4.2");
    shop.engine.remove_image(&digest);
    assert!(!shop.engine.has_image(&digest));
}

fn rollback_of(house: &House, shop: &Application) -> (Value, String) {
    let reply = house.ask_plan(shop, &json!("last_known_good")).expect(200);
    let plan = reply.json();
    let digest = plan["digest"].as_str().unwrap_or_default().to_owned();
    (plan, digest)
}

fn accepted(house: &House, digest: &str) -> String {
    let accepted = house.request(digest).expect(202).json();
    accepted["id"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_image_that_was_cleaned_away_is_pulled_before_anything_stops() {
    let house = House::new();
    let (registry, mut shop) = (
        Registry::new(),
        Application::shop(&Engine::of_this_machine(), "pulled"),
    );
    cleaned(&house, &mut shop, &registry);
    let (plan, digest) = rollback_of(&house, &shop);
    let titles: Vec<&Value> = plan["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| &step["title"])
        .collect();
    assert_eq!(titles[..3], ["check", "lock", "supply images"], "{plan}");
    let warned = plan["warnings"].to_string();
    assert!(warned.contains("is brought from the registry"), "{plan}");
    let id = accepted(&house, &digest);
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    let did: Vec<Value> = house
        .log_of(&id)
        .into_iter()
        .filter(|event| event["event"] == "intended")
        .map(|event| event["effect"]["do"].clone())
        .collect();
    assert_eq!(
        did[..2],
        [json!("take_lock"), json!("pull_image")],
        "{did:?}"
    );
}

#[test]
fn a_registry_that_is_away_leaves_production_as_it_is() {
    let house = House::new();
    let (mut registry, mut shop) = (
        Registry::new(),
        Application::shop(&Engine::of_this_machine(), "nosource"),
    );
    cleaned(&house, &mut shop, &registry);
    let before = shop.running();
    registry.down();
    let reply = house.ask_plan(&shop, &json!("last_known_good"));
    let problem = reply.problem(409, "plan_blocked");
    let blocker = &problem["blockers"][0];
    assert_eq!(blocker["code"], "image_missing", "{problem}");
    let sentence = blocker["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("connection refused"), "{sentence}");

    // And one that goes away once the rollback runs.
    registry.up();
    let (_, digest) = rollback_of(&house, &shop);
    house.door.trap(
        "POST /containers/create",
        1,
        When::After,
        Luck::Delay(seconds(2)),
    );
    let id = accepted(&house, &digest);
    until("the lock is being taken", seconds(20), || {
        (house.door.sprung() == 1).then_some(())
    });
    registry.down();
    let ended = house.verdict(&id, "refused");
    assert_eq!(ended["cause"]["code"], "image_missing", "{ended}");
    let sentence = ended["cause"]["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("connection refused"), "{ended}");
    assert_eq!(shop.running(), before);
    shop.serves_alone("1.5.0");
}

#[test]
fn a_long_pull_is_called_off_at_once() {
    let house = House::new();
    let (registry, mut shop) = (
        Registry::new(),
        Application::shop(&Engine::of_this_machine(), "longpull"),
    );
    cleaned(&house, &mut shop, &registry);
    let before = shop.running();
    let (_, digest) = rollback_of(&house, &shop);
    house.door.trap(
        "POST /images/create",
        1,
        When::Before,
        Luck::Delay(seconds(45)),
    );
    let id = accepted(&house, &digest);
    until("the pull is under way", seconds(20), || {
        (house.door.sprung() == 1).then_some(())
    });
    let began = std::time::Instant::now();
    let reply = house.ask(
        "POST",
        &format!("/api/v1/rollbacks/{id}/cancel"),
        &json!({}),
    );
    assert!(reply.status < 300, "{}", reply.text());
    house.verdict(&id, "cancelled");
    assert!(began.elapsed() < seconds(25), "{:?}", began.elapsed());
    assert_eq!(shop.running(), before);
}
