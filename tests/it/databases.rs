//! A Postgres that dies or goes away: nothing that was acknowledged is lost, and a rollback goes on.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::house::{
    Application, Database, Engine, House, Luck, When,
    child::signal_pid,
    dice::{Dice, seed},
    seconds, until,
    wait::throughout,
};

/// Requests that must have been acknowledged before the kill; a few hundred take a second.
const ACKNOWLEDGED_MIN: usize = 60;

/// Makes things known until told to stop; what was acknowledged is noted.
fn keep_asking(house: &House, lane: usize, over: &AtomicBool, acknowledged: &Mutex<Vec<String>>) {
    for count in 0.. {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("noted-{lane}-{count}");
        let definition = json!({ "name": name, "environment": "test", "project": name, "components": [{ "name": "api" }] });
        let path = format!("/api/v1/applications/{name}");
        let Ok(reply) = house.try_ask("PUT", &path, &[], &definition) else {
            continue;
        };
        if reply.status != 201 {
            continue;
        }
        let hold = json!({ "reason": "leaks memory" });
        let mut noted = vec![path.clone()];
        let body = json!({ "version": "1.0.0", "images": { "api": "sternway-demo:1.4.2" } });
        if let Ok(reply) = house.try_ask("POST", &format!("{path}/deployments"), &[], &body)
            && reply.status == 201
        {
            noted.push(format!(
                "/api/v1/deployments/{}",
                reply.json()["id"].as_str().unwrap_or_default()
            ));
            let release = format!("{path}/releases/1.0.0");
            if let Ok(reply) = house.try_ask("PUT", &format!("{release}/hold"), &[], &hold)
                && reply.status == 200
            {
                noted.push(release);
            }
        }
        acknowledged.lock().unwrap().extend(noted);
    }
}

#[test]
fn no_acknowledged_request_is_lost() {
    let mut dice = Dice::new(seed("no acknowledged request is lost"));
    let mut house = House::new();
    let (over, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (server, postgres) = (house.pid(), house.postgres());
    thread::scope(|scope| {
        for lane in 0..4 {
            let (house, over, acknowledged) = (&house, &over, &acknowledged);
            scope.spawn(move || keep_asking(house, lane, over, acknowledged));
        }
        let enough = ACKNOWLEDGED_MIN + usize::try_from(dice.below(40)).unwrap();
        until("enough requests are acknowledged", seconds(60), || {
            (acknowledged.lock().unwrap().len() >= enough).then_some(())
        });
        // Both at once, in the middle of it all.
        signal_pid(postgres, Signal::KILL);
        signal_pid(server, Signal::KILL);
        over.store(true, Ordering::SeqCst);
    });
    until("the server is gone", seconds(30), || {
        (!house.lives()).then_some(())
    });
    house.start();
    let acknowledged = acknowledged.into_inner().unwrap();
    for path in &acknowledged {
        let seen = house.get(path);
        if path.contains("/releases/") {
            assert_eq!(seen["release"]["hold"], "leaks memory", "{path}: {seen}");
        }
    }
    eprintln!("{} acknowledged requests stand", acknowledged.len());
}

#[test]
fn a_rollback_goes_on_when_the_database_is_back() {
    let (mut database, engine) = (Database::new(), Engine::of_this_machine());
    let house = House::wish(&engine)
        .lease(2)
        .database(&database.url())
        .build();
    let mut shop = Application::shop(&engine, "dbgone");
    house.broken(&mut shop);
    house.door.trap(
        "POST /containers/{id}/stop",
        1,
        When::After,
        Luck::Delay(seconds(1)),
    );
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.door.springs("it is in the middle");
    database.stop();

    // Longer than the lease; the default one is 15 s of the runbook's minute, here both are shorter.
    let path = format!("/api/v1/applications/{}/deployments", shop.name);
    let body = json!({ "version": "1.6.0", "images": shop.images("1.4.2") });
    let mut answers = Vec::new();
    throughout(
        "requests are answered, and not with yes",
        seconds(7),
        || {
            let reply = house.ask("POST", &path, &body);
            answers.push(reply.status);
            reply.status == 503
        },
    );
    let reply = house.ask("GET", "/health/ready", &Value::Null);
    assert_eq!(reply.status, 503, "{}", reply.text());
    house.ask("GET", "/health/live", &Value::Null).expect(200);
    house
        .ask("POST", &path, &body)
        .problem(503, "database_unavailable");
    database.start();
    house.ready_again();
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn a_database_killed_in_the_middle_loses_nothing() {
    let (mut database, engine) = (Database::new(), Engine::of_this_machine());
    let house = House::wish(&engine)
        .lease(3)
        .database(&database.url())
        .build();
    let mut shop = Application::shop(&engine, "dbkill");
    house.broken(&mut shop);
    house.door.trap(
        "POST /containers/{id}/start",
        1,
        When::After,
        Luck::Delay(seconds(1)),
    );
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.door.springs("it is in the middle");
    database.kill();
    database.start();
    house.ready_again();
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn the_embedded_database_killed_in_the_middle_loses_nothing() {
    let mut house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "pgkill");
    house.broken(&mut shop);
    house.door.trap(
        "POST /containers/{id}/start",
        1,
        When::After,
        Luck::Delay(seconds(1)),
    );
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.door.springs("it is in the middle");
    signal_pid(house.postgres(), Signal::KILL);
    // It may bring its database back itself, or end so that its supervisor does.
    until("it is ready again", seconds(40), || {
        if !house.lives() {
            house.start();
        }
        let reply = house
            .try_ask("GET", &format!("/api/v1/rollbacks/{id}"), &[], &Value::Null)
            .ok()?;
        (reply.status == 200).then_some(())
    });
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn a_lost_key_is_said_plainly_and_breaks_nothing_else() {
    let mut house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "key");
    house.broken(&mut shop);
    assert_eq!(house.stop(), Some(0));
    std::fs::remove_file(house.state().join("key")).unwrap();
    house.start();
    assert_eq!(
        house.get(&format!("/api/v1/applications/{}/deployments", shop.name))["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let reply = house.ask_plan(&shop, &json!("last_known_good"));
    let text = reply.text();
    assert!(reply.status == 409 || reply.status == 200, "{text}");
    assert!(text.contains("key"), "the loss is not said: {text}");
    // What is deployed from now on is known with the new key.
    let good = house.deploy(&mut shop, "1.4.2");
    house.judged(&good, "good");
    house.deploy(&mut shop, "1.5.0");
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}
