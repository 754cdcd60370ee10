//! The runbook's own way, from end to end.

use serde_json::json;

use crate::house::{Application, Client, Engine, House, seconds};

#[test]
fn critical_bug_after_deploy_brings_back_the_last_known_good_version() {
    let house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "shop");
    house.broken(&mut shop);
    let client = Client::start(shop.port, "/health");

    let plan = house.ask_plan(&shop, &json!("last_known_good")).expect(200).json();
    assert_eq!((plan["from"].as_str(), plan["to"].as_str()), (Some("1.5.0"), Some("1.4.2")), "{plan}");
    let id = house.roll_back(&shop, &json!("last_known_good"));
    let ended = house.verdict(&id, "rolled_back");
    assert_eq!(ended["good"], true, "{ended}");

    let seen = client.end();
    assert!(seen.answered > 0 && seen.gap < seconds(5), "{seen:?}");
    shop.serves_alone("1.4.2");
    shop.compose_agrees("1.4.2", &[]);
}
