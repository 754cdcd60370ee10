//! What is done behind the server's back: it is in the ledger within five seconds, once, and with its right name.

use std::{
    os::unix::net::UnixListener,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::house::{
    Application, Database, Engine, House, Luck, PrivateEngine, When, child::Folder, seconds, until,
    wait::throughout,
};

/// Five seconds are promised, from Compose's own end on; here several stories and engines share the machine.
const KNOWN_WITHIN: u64 = 15;

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
fn a_deployment_by_hand_is_in_the_ledger_within_seconds() {
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

/// 1.5.0 was rolled back by somebody's request, and is held; what it waits for when it comes back is the policy.
pub(crate) fn held(house: &House, shop: &mut Application, on_return: &str) -> Value {
    let mut definition = shop.definition();
    definition["on_return"] = json!(on_return);
    house.know(&definition);
    house.deploy_until(shop, "1.4.2", "good");
    house.deploy(shop, "1.5.0");
    let id = house.roll_back(shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    definition
}

impl House {
    fn returns(&self, shop: &Application) -> Vec<Value> {
        let page = self.get(&format!("/api/v1/applications/{}/returns", shop.name));
        page["items"].as_array().cloned().unwrap_or_default()
    }

    #[track_caller]
    fn returned(&self, shop: &Application, count: usize) -> Value {
        let begun = Instant::now();
        let found = until("the return is told", seconds(20), || {
            let all = self.returns(shop);
            (all.len() == count).then(|| all[0].clone())
        });
        let took = begun.elapsed();
        assert!(took < seconds(KNOWN_WITHIN), "it took {took:?}");
        found
    }

    /// The newest return once it has this outcome.
    #[track_caller]
    fn outcome(&self, shop: &Application, outcome: &str) -> Value {
        until(&format!("the return is {outcome}"), seconds(40), || {
            let newest = self.returns(shop).into_iter().next()?;
            (newest["outcome"] == outcome).then_some(newest)
        })
    }

    fn check(&self, shop: &Application, wish: Value) -> Value {
        let mut body = wish;
        body["application"] = json!(shop.name);
        self.ask("POST", "/api/v1/deployments:check", &body)
            .expect(200)
            .json()
    }
}

#[test]
fn a_held_release_that_comes_back_is_reported_within_seconds_and_left_alone() {
    let (house, mut shop) = shop("report");
    held(&house, &mut shop, "report");
    shop.up("1.5.0");
    let found = house.returned(&shop, 1);
    assert_eq!(
        (
            found["version"].as_str(),
            found["outcome"].as_str(),
            found["open"].as_bool()
        ),
        (Some("1.5.0"), Some("reported"), Some(true)),
        "{found}"
    );
    assert!(
        found["reason"]
            .as_str()
            .is_some_and(|why| why.contains("critical_bug")),
        "{found}"
    );
    let path = format!("/api/v1/applications/{}", shop.name);
    let definition = house.ask("GET", &path, &Value::Null).expect(200);
    assert_eq!(definition.header("sternway-returned"), Some("1.5.0"));
    let said = house.cli(&["status", &shop.name]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("1.5.0 is held and came back"), "{said}");
    throughout("it is told once and left running", seconds(4), || {
        house.returns(&shop).len() == 1 && shop.disorder("1.5.0").is_ok()
    });
    // Its images are held under any name; a release of the hold clears it.
    let no = house.check(
        &shop,
        json!({ "version": "1.5.1", "images": shop.images("1.5.0") }),
    );
    assert_eq!(
        (no["allowed"].as_bool(), no["code"].as_str()),
        (Some(false), Some("held")),
        "{no}"
    );
    house.release_hold(&shop, "1.5.0");
    assert_eq!(house.returns(&shop)[0]["open"], false);
    let definition = house.ask("GET", &path, &Value::Null).expect(200);
    assert_eq!(definition.header("sternway-returned"), None);
}

#[test]
fn a_held_release_is_put_back_once_and_then_a_person_is_asked() {
    let (house, mut shop) = shop("putback");
    held(&house, &mut shop, "put_back");
    shop.up("1.5.0");
    house.returned(&shop, 1);
    let put_back = house.outcome(&shop, "put_back");
    let id = put_back["rollback_id"].as_str().unwrap();
    let ended = house.verdict(id, "rolled_back");
    assert_eq!(
        (ended["requested_by"].as_str(), ended["reason"].as_str()),
        (Some("sternway:watcher"), Some("critical_bug")),
        "{ended}"
    );
    assert!(
        ended["note"]
            .as_str()
            .is_some_and(|note| note.contains("held release 1.5.0")),
        "{ended}"
    );
    shop.serves_alone("1.4.2");
    assert_eq!(house.returns(&shop)[0]["open"], false);

    shop.up("1.5.0");
    let again = house.returned(&shop, 2);
    assert_eq!(again["outcome"], "needs_person", "{again}");
    throughout("nobody fights", seconds(5), || {
        shop.disorder("1.5.0").is_ok()
    });
}

#[test]
fn ci_is_told_yes_or_no_with_the_reason() {
    let (house, mut shop) = shop("maydeploy");
    held(&house, &mut shop, "report");
    let name = shop.name.clone();
    let yes = house.check(&shop, json!({ "version": "1.6.0" }));
    assert_eq!(yes, json!({ "allowed": true }));
    let no = house.check(&shop, json!({ "version": "1.5.0" }));
    assert_eq!(
        (no["code"].as_str(), no["held"].as_str()),
        (Some("held"), Some("1.5.0")),
        "{no}"
    );
    for part in ["reason", "next_action"] {
        assert!(
            no[part].as_str().is_some_and(|text| text.contains("1.5.0")),
            "{no}"
        );
    }
    let image = format!("api={}", shop.image("1.5.0"));
    let asks: [(&[&str], i32, &str); 4] = [
        (&["may-deploy", &name, "--version", "1.4.2"], 0, "yes"),
        (
            &["may-deploy", &name, "--version", "1.5.0"],
            5,
            "no: 1.5.0 is held",
        ),
        (
            &["may-deploy", &name, "--version", "2", "--image", &image],
            5,
            "no: the image of api",
        ),
        (&["may-deploy", &name], 2, ""),
    ];
    for (words, code, begins) in asks {
        let output = house.cli(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.starts_with(begins), "{words:?}: {said}");
    }
    let elsewhere = house.token("operator", None, &["other"]);
    let body = json!({ "application": name, "version": "1.5.0" });
    house
        .ask_with(&elsewhere, "POST", "/api/v1/deployments:check", &body)
        .problem(404, "not_found");
    let nothing = json!({ "application": name });
    house
        .ask("POST", "/api/v1/deployments:check", &nothing)
        .problem(422, "invalid_fields");
}

#[test]
fn a_held_release_that_came_back_while_the_server_was_down_is_found_at_its_start() {
    let (mut house, mut shop) = shop("downheld");
    held(&house, &mut shop, "report");
    house.kill();
    shop.up("1.5.0");
    house.start();
    assert_eq!(house.returned(&shop, 1)["version"], "1.5.0");
}

#[test]
fn an_engine_that_hangs_keeps_nobody_else_waiting() {
    let (house, mut shop) = shop("beside");
    house.know(&shop.definition());
    house.deploy_until(&mut shop, "1.4.2", "good");
    // It takes every call and never answers.
    let folder = Folder::new("deaf");
    let socket = folder.join("engine.sock");
    let _deaf = UnixListener::bind(&socket).unwrap();
    let deaf: Vec<String> = (0..3).map(|n| format!("{}-deaf-{n}", shop.name)).collect();
    for name in &deaf {
        house.know(&json!({
            "name": name, "environment": "test", "engine": format!("unix://{}", socket.display()),
            "components": [{"name": "api", "containers": [name]}],
        }));
    }
    thread::scope(|scope| {
        for name in &deaf {
            let path = format!("/api/v1/applications/{name}/plans");
            let house = &house;
            scope.spawn(move || {
                let target = json!({"target": "last_known_good"});
                assert_ne!(house.ask("POST", &path, &target).status, 200);
            });
        }
        // Long enough that all three are being looked at.
        thread::sleep(Duration::from_secs(3));
        let begun = Instant::now();
        let plan = json!({"version": "1.4.2"});
        assert_eq!(house.ask_plan(&shop, &plan).status, 200);
        shop.up("1.5.0");
        house.found(&shop, "1.5.0");
        let took = begun.elapsed();
        // A look at an engine that hangs takes 15 seconds.
        assert!(took < seconds(12), "it took {took:?}");
    });
}
