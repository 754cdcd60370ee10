//! What is done behind the server's back: it is in the ledger within five seconds, once, and with its right name.

use std::time::Instant;

use serde_json::{Value, json};

use crate::house::{
    Application, Database, Engine, House, Luck, PrivateEngine, When, seconds, until,
    wait::throughout,
};

/// What the issue promises; compose's own end is the start of the clock.
const KNOWN_WITHIN: u64 = 5;

fn shop(what: &str) -> (House, Application) {
    (
        House::new(),
        Application::shop(&Engine::of_this_machine(), what),
    )
}

impl House {
    fn ledger(&self, shop: &Application) -> Vec<Value> {
        let page = self.get(&format!("/api/v1/applications/{}/deployments", shop.name));
        page["items"].as_array().cloned().unwrap_or_default()
    }

    /// The newest row, once it is of this version; within the time that is promised.
    #[track_caller]
    fn found(&self, shop: &Application, version: &str) -> Value {
        let begun = Instant::now();
        let row = until(&format!("{version} is found running"), seconds(20), || {
            let newest = self.ledger(shop).into_iter().next()?;
            (newest["version"] == version).then_some(newest)
        });
        let took = begun.elapsed();
        assert!(took < seconds(KNOWN_WITHIN), "it took {took:?}");
        row
    }
}

/// Labels as a build in CI sets them.
fn labels(version: &str, revision: &str) -> String {
    format!(
        "BUILT=1%0ALABEL%20org.opencontainers.image.version={version}%0ALABEL%20org.opencontainers.image.revision={revision}"
    )
}

#[test]
fn a_deployment_by_hand_is_in_the_ledger_within_five_seconds() {
    let (house, mut shop) = shop("byhand");
    house.know(&shop.definition());
    shop.up("1.4.2");
    let first = house.found(&shop, "1.4.2");
    assert_eq!(first["kind"], "detected", "{first}");
    house.judged(first["id"].as_str().unwrap(), "good");

    shop.release("build-77", &[&labels("1.5.0", "9f1c2ab00")]);
    shop.up("build-77");
    let row = house.found(&shop, "1.5.0");
    assert_eq!(
        (
            row["kind"].as_str(),
            row["commit"].as_str(),
            row["actor"].as_str()
        ),
        (
            Some("detected"),
            Some("9f1c2ab00"),
            Some("sternway:watcher")
        ),
        "{row}"
    );
    let digest = shop.engine.image(&shop.image("build-77"));
    for component in ["api", "worker"] {
        assert_eq!(row["components"][component]["image"], digest, "{row}");
        let reference = &row["components"][component]["reference"];
        assert_eq!(*reference, shop.image("build-77"), "{row}");
    }
    // What was found is proved like what is reported, and is a way back.
    let plan = house.ask_plan(&shop, &json!("last_known_good")).expect(200);
    assert_eq!(plan.json()["to"], "1.4.2");
    throughout("it is written down once", seconds(4), || {
        house.ledger(&shop).len() == 2
    });
}

#[test]
fn ci_that_reports_a_moment_later_or_before_makes_the_same_row() {
    let (house, mut shop) = shop("merge");
    house.know(&shop.definition());
    shop.up("1.4.2");
    let found = house.found(&shop, "1.4.2");
    let body = json!({ "version": "1.4.2", "commit": "abcdef0", "images": shop.images("1.4.2") });
    let path = format!("/api/v1/applications/{}/deployments", shop.name);
    let told = house.ask("POST", &path, &body).expect(201).json();
    assert_ne!(told["id"], found["id"]);
    let rows = house.ledger(&shop);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (rows[0]["kind"].as_str(), rows[0]["commit"].as_str()),
        (Some("deploy"), Some("abcdef0"))
    );
    house.judged(told["id"].as_str().unwrap(), "good");

    // Reported before it is made: nothing is found in between, nor afterwards.
    house.record(&shop, "1.5.0");
    shop.up("1.5.0");
    throughout("there are two deployments", seconds(4), || {
        house.ledger(&shop).len() == 2
    });
    house.roll_back(&shop, &json!("last_known_good"));
    until("it is rolled back", seconds(30), || {
        let newest = house.ledger(&shop).into_iter().next()?;
        (newest["kind"] == "rollback").then_some(())
    });
    throughout("a rollback is no deployment by hand", seconds(4), || {
        house.ledger(&shop).len() == 3
    });
}

#[test]
fn what_was_deployed_while_the_server_was_down_is_found_at_its_start() {
    let (mut house, mut shop) = shop("down");
    house.know(&shop.definition());
    house.deploy_until(&mut shop, "1.4.2", "good");
    house.kill();
    shop.up("1.5.0");
    house.start();
    let row = house.found(&shop, "1.5.0");
    assert_eq!(row["kind"], "detected", "{row}");
}

#[test]
fn a_cut_event_stream_and_an_engine_that_was_away_lose_nothing() {
    let (house, mut shop) = shop("cutstream");
    house.know(&shop.definition());
    house.deploy_until(&mut shop, "1.4.2", "good");
    house.door.close();
    shop.up("1.5.0");
    house.door.open();
    house.found(&shop, "1.5.0");
    house
        .door
        .trap("GET /events", 1, When::Before, Luck::Refuse(500));
    house.door.close();
    house.door.open();
    shop.up("1.4.2");
    house.found(&shop, "1.4.2");
    assert_eq!(house.ledger(&shop).len(), 3);
}

#[test]
fn an_engine_that_restarts_is_heard_again() {
    let mut private = PrivateEngine::new(None, &[]);
    let house = House::inside(&private).build();
    let mut shop = Application::shop(&private.engine, "reborn");
    house.know(&shop.definition());
    house.deploy_until(&mut shop, "1.4.2", "good");
    private.stop();
    private.start();
    shop.up("1.5.0");
    let row = house.found(&shop, "1.5.0");
    assert_eq!(row["kind"], "detected", "{row}");
    assert_eq!(house.ledger(&shop).len(), 2, "its restart is no deployment");
}

#[test]
fn two_servers_on_one_database_write_it_down_once() {
    let (database, engine) = (Database::new(), Engine::of_this_machine());
    let first = House::wish(&engine).database(&database.url()).build();
    let _second = House::wish(&engine)
        .database(&database.url())
        .key_of(&first)
        .build();
    let mut shop = Application::shop(&engine, "twice");
    first.know(&shop.definition());
    for (count, version) in ["1.4.2", "1.5.0"].into_iter().enumerate() {
        shop.up(version);
        first.found(&shop, version);
        throughout("there is one row of it", seconds(3), || {
            first.ledger(&shop).len() == count + 1
        });
    }
}
