//! Two servers on one database: the one that was stopped for longer than its lease is the past.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use crate::house::{
    Application, Database, Engine, House, Luck, When, application::name_of, seconds, until,
    wait::throughout,
};

const LEASE_S: u32 = 2;

struct Two {
    first: House,
    second: House,
    shop: Application,
    database: Database,
}

/// Two servers that share a database; the second one is not started yet.
fn two(what: &str) -> Two {
    let (database, engine) = (Database::new(), Engine::of_this_machine());
    let first = House::wish(&engine)
        .lease(LEASE_S)
        .database(&database.url())
        .build();
    let second = House::wish(&engine)
        .lease(LEASE_S)
        .database(&database.url())
        .key_of(&first)
        .empty();
    let mut shop = Application::shop(&engine, what);
    first.broken(&mut shop);
    Two {
        first,
        second,
        shop,
        database,
    }
}

#[test]
fn a_server_that_slept_through_its_lease_changes_nothing_any_more() {
    let Two {
        first,
        mut second,
        shop,
        database,
    } = two("zombie");
    first
        .door
        .trap("POST /containers/{id}/stop", 1, When::After, Luck::Stop);
    let digest = first.plan(&shop, &json!("last_known_good"));
    let id = first.request(&digest).expect(202).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    first
        .door
        .springs("the first server is stopped in the middle");

    second.start();
    second.verdict(&id, "rolled_back");
    let (taken, changed) = (Instant::now(), first.door.changes().len());
    first.signal(Signal::CONT);
    until("the sleeper answers again", seconds(20), || {
        let reply = first
            .socket()
            .ask("GET", "/health/live", &[], &[], seconds(5))
            .ok()?;
        (reply.status == 200).then_some(())
    });
    throughout("the sleeper changes nothing", seconds(4), || {
        first.door.changes().len() == changed
    });
    assert!(
        first.door.changes().iter().all(|call| call.at < taken),
        "{:?}",
        first.door.changes()
    );
    shop.serves_alone("1.4.2");
    let log = database.sql(&format!(
        "select count(distinct fence) from rollback_event where rollback_id = '{id}' and fence > 0"
    ));
    assert!(
        log.parse::<u32>().unwrap() >= 2,
        "two claims wrote this log, each under its own fence"
    );
    assert_eq!(first.rollback(&id)["verdict"], "rolled_back");
}

#[test]
fn a_server_that_wakes_while_another_acts_keeps_its_hands_off() {
    let Two {
        first,
        mut second,
        shop,
        database: _database,
    } = two("waking");
    first
        .door
        .trap("POST /containers/{id}/stop", 1, When::After, Luck::Stop);
    let digest = first.plan(&shop, &json!("last_known_good"));
    let id = first.request(&digest).expect(202).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    first
        .door
        .springs("the first server is stopped in the middle");
    let changed = first.door.changes().len();

    // The second one is held up in the middle of its own act when the first one wakes.
    second.door.trap(
        "POST /containers/{id}/start",
        1,
        When::Before,
        Luck::Delay(seconds(3)),
    );
    second.start();
    second.door.springs("the second server acts");
    first.signal(Signal::CONT);
    second.verdict(&id, "rolled_back");
    assert_eq!(
        first.door.changes().len(),
        changed,
        "{:?}",
        first.door.changes()
    );
    shop.serves_alone("1.4.2");
}

/// Whichever call the first server is stopped at, the second one ends the rollback and the first one, when it goes on,
/// changes nothing.
#[test]
fn a_server_that_is_stopped_at_any_call_of_the_switch_is_the_past_when_it_goes_on() {
    let calls = [
        ("GET /containers/json", 6),
        ("GET /containers/{id}/json", 9),
        ("POST /containers/create", 1),
        ("POST /containers/create", 3),
        ("POST /containers/{id}/update", 1),
        ("POST /containers/{id}/stop", 2),
        ("POST /containers/{id}/start", 1),
        ("POST /containers/{id}/rename", 1),
        ("POST /containers/{id}/rename", 2),
        ("DELETE /containers/{id}", 1),
    ];
    for (round, (call, nth)) in calls.into_iter().enumerate() {
        let when = if round % 2 == 0 {
            When::After
        } else {
            When::Before
        };
        frozen_at(call, nth, when);
    }
}

fn frozen_at(call: &str, nth: usize, when: When) {
    let Two {
        first,
        mut second,
        shop,
        database: _database,
    } = two("frozen");
    let digest = first.plan(&shop, &json!("last_known_good"));
    first.door.trap(call, nth, when, Luck::Stop);
    let id = first.request(&digest).expect(202).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    first
        .door
        .springs(&format!("the first server is stopped at {call}"));
    second.start();
    second.verdict(&id, "rolled_back");
    // A call that was let through before the stop may be answered now; no other may follow.
    let changed = first.door.changes().len();
    first.signal(Signal::CONT);
    throughout("the sleeper changes nothing", seconds(2), || {
        let changes = first.door.changes();
        let more = changes.get(changed..).unwrap_or_default();
        if !more.is_empty() {
            eprintln!("stopped at {call} {nth}, and then: {more:?}");
        }
        more.is_empty()
    });
    shop.serves_alone("1.4.2");
    let left = shop
        .engine
        .containers("")
        .into_iter()
        .map(|found| name_of(&found));
    let ours = |name: &String| {
        let of = |kind: &str| name.starts_with(&format!("sternway-{kind}-{}", shop.name));
        of("lock") || of("fence")
    };
    assert_eq!(
        left.filter(ours).collect::<Vec<_>>(),
        Vec::<String>::new(),
        "{call} {nth}"
    );
}

#[test]
fn the_half_that_faces_the_network_never_touches_the_engine() {
    let (database, engine) = (Database::new(), Engine::of_this_machine());
    let mut api = House::wish(&engine)
        .role("api")
        .lease(LEASE_S)
        .database(&database.url())
        .empty();
    api.launch();
    until("the API half lives", seconds(30), || {
        let reply = api
            .socket()
            .ask("GET", "/health/live", &[], &[], seconds(5))
            .ok()?;
        (reply.status == 200).then_some(())
    });
    // Without the other half it is not ready: it says so, and records what people want.
    let mut worker = House::wish(&engine)
        .role("worker")
        .lease(LEASE_S)
        .database(&database.url())
        .key_of(&api)
        .build();
    api.ready();
    let mut shop = Application::shop(&engine, "halves");
    api.broken(&mut shop);
    worker
        .door
        .trap("POST /containers/{id}/stop", 1, When::After, Luck::Kill);
    let id = api.roll_back(&shop, &json!("last_known_good"));
    until("the worker is killed in the middle", seconds(30), || {
        (!worker.lives()).then_some(())
    });
    assert_eq!(api.rollback(&id)["phase"], "forward");
    worker.start();
    api.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    assert!(api.door.calls().is_empty(), "{:?}", api.door.calls());
}

#[test]
fn an_orderly_stop_hands_the_rollback_over() {
    let Two {
        mut first,
        mut second,
        shop,
        database: _database,
    } = two("handover");
    second.start();
    // Whichever server claimed it: both are asked to stop, one after the other, and started again.
    first.door.trap(
        "POST /containers/{id}/start",
        1,
        When::After,
        Luck::Delay(seconds(1)),
    );
    second.door.trap(
        "POST /containers/{id}/start",
        1,
        When::After,
        Luck::Delay(seconds(1)),
    );
    let id = first.roll_back(&shop, &json!("last_known_good"));
    until("it is in the middle", seconds(30), || {
        (first.door.sprung() + second.door.sprung() > 0).then_some(())
    });
    assert_eq!(first.stop(), Some(0));
    second.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}
