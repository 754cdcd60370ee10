//! Engines that go away, come back, lose images or have no room: a rollback waits, goes on, or says what it left.

use serde_json::{Value, json};

use crate::house::{
    Application, Engine, House, Luck, PrivateEngine, When, application::name_of, seconds, until,
    wait::throughout,
};

fn shop(what: &str) -> (House, Application) {
    (
        House::new(),
        Application::shop(&Engine::of_this_machine(), what),
    )
}

#[test]
fn an_image_that_is_gone_stands_in_the_way_and_nothing_is_stopped() {
    let (house, mut shop) = shop("gone");
    shop.release("1.4.2", &[]);
    shop.release("1.5.0", &["BAD=1"]);
    house.broken(&mut shop);
    let digest = house.plan(&shop, &json!("last_known_good"));
    let before = shop.running();
    // By identity and by force: that takes it from its keeper as well.
    shop.engine.remove_image(&shop.digest("1.4.2"));

    for reply in [
        house.ask_plan(&shop, &json!("last_known_good")),
        house.request(&digest),
    ] {
        let problem = reply.problem(409, "plan_blocked");
        assert_eq!(problem["blockers"][0]["code"], "image_missing", "{problem}");
        let action = problem["blockers"][0]["next_action"]
            .as_str()
            .unwrap_or_default();
        assert!(!action.is_empty(), "{problem}");
    }
    assert_eq!(shop.running(), before);
    let body = json!({ "version": "1.4.2", "images": shop.images("1.4.2") });
    let path = format!("/api/v1/applications/{}/deployments", shop.name);
    house
        .ask("POST", &path, &body)
        .problem(422, "image_unknown");
}

#[test]
fn without_an_engine_a_plan_says_so() {
    let (house, mut shop) = shop("nodaemon");
    house.broken(&mut shop);
    house.door.close();
    let reply = house.ask_plan(&shop, &json!("last_known_good"));
    assert!(reply.header("retry-after").is_some());
    let problem = reply.problem(503, "engine_unreachable");
    assert!(
        problem["production_state"].is_string() && problem["next_actions"].is_array(),
        "{problem}"
    );
    house.door.open();
    house.ask_plan(&shop, &json!("last_known_good")).expect(200);
}

#[test]
fn a_rollback_waits_for_an_engine_that_is_away_and_goes_on() {
    let (house, mut shop) = shop("away");
    house.broken(&mut shop);
    house
        .door
        .trap("POST /containers/{id}/stop", 1, When::After, Luck::Cut);
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.door.springs("the stop is cut off");
    house.door.close();
    until(
        "it is written down that the engine is lost",
        seconds(20),
        || {
            house
                .log_of(&id)
                .iter()
                .any(|event| event["event"] == "engine_lost")
                .then_some(())
        },
    );
    throughout("it waits", seconds(1), || {
        house.rollback(&id)["phase"] == "forward"
    });
    house.door.open();
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn an_engine_that_stays_away_calls_a_person() {
    let (house, mut shop) = shop("staysaway");
    house.broken(&mut shop);
    let mut definition = shop.definition();
    definition["timeouts"]["engine_s"] = json!(1);
    house.correct(&definition);
    house
        .door
        .trap("POST /containers/{id}/stop", 1, When::After, Luck::Cut);
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.door.springs("the stop is cut off");
    house.door.close();
    let ended = house.verdict(&id, "needs_human");
    assert_eq!(ended["cause"]["code"], "engine_unreachable", "{ended}");
    assert!(
        ended["production"]
            .as_str()
            .is_some_and(|text| text.contains("look at the engine")),
        "{ended}"
    );
    house.door.open();
}

#[test]
fn a_cut_connection_at_any_change_does_no_harm() {
    let (house, mut shop) = shop("cut");
    house.broken(&mut shop);
    for (at, when) in [
        (1, When::After),
        (4, When::Before),
        (6, When::After),
        (8, When::After),
        (11, When::Before),
    ] {
        house.door.trap("change", at, when, Luck::Cut);
    }
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    assert!(house.door.sprung() >= 4);
    shop.serves_alone("1.4.2");
}

#[test]
fn a_name_that_somebody_took_turns_it_back() {
    let (house, mut shop) = shop("taken");
    house.broken(&mut shop);
    let before = shop.running();
    let api = name_of(&shop.replica("api", 1));
    // Everything is looked at before the lock is taken: the name is taken after that.
    house.door.trap(
        "POST /containers/create",
        1,
        When::After,
        Luck::Delay(seconds(2)),
    );
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.door.springs("the lock is being taken");
    let short = &id.replace('-', "")[20..];
    let stranger = shop.engine.create(
        &format!("{api}.former-{short}"),
        &json!({ "Image": "sternway-demo:1.4.2" }),
    );
    let ended = house.ended(&id);
    assert!(
        ["restored", "refused"].contains(&ended["verdict"].as_str().unwrap_or_default()),
        "{ended}"
    );
    assert_eq!(ended["cause"]["code"], "name_taken", "{ended}");
    assert!(
        ended["cause"]["sentence"]
            .as_str()
            .is_some_and(|text| text.contains("remove or rename")),
        "{ended}"
    );
    assert!(
        shop.engine.inspect(&stranger).is_some(),
        "what is not ours is not touched"
    );
    shop.engine.remove(&stranger);
    assert_eq!(shop.running(), before);
    shop.serves_alone("1.5.0");
}

#[test]
fn an_engine_that_says_no_for_good_is_believed() {
    let (house, mut shop) = shop("refuses");
    house.broken(&mut shop);
    let before = shop.running();
    let refuse = |count: usize| {
        for nth in 1..=count {
            let start = "POST /containers/{id}/start";
            house.door.trap(start, nth, When::Before, Luck::Refuse(500));
        }
    };
    // What the engine can not start on the stage is refused with nothing touched.
    refuse(3);
    let id = house.roll_back(&shop, &json!("last_known_good"));
    let ended = house.verdict(&id, "refused");
    assert_eq!(ended["cause"]["code"], "engine_refused", "{ended}");
    assert_eq!(shop.running(), before);

    house.door.disarm();
    house.correct(&shop.one_at_a_time());
    // Each trap counts from the start, so the first five starts are refused: three of the target, then of the former.
    refuse(5);
    let id = house.roll_back(&shop, &json!("last_known_good"));
    let ended = house.verdict(&id, "restored");
    assert_eq!(ended["cause"]["code"], "engine_refused", "{ended}");
    assert_eq!(shop.running(), before);
}

#[test]
fn a_full_disk_is_seen_before_anything_is_stopped() {
    let private = PrivateEngine::new(Some(240), &[]);
    let house = House::inside(&private).build();
    let mut shop = Application::shop(&private.engine, "full");
    house.broken(&mut shop);
    let before = shop.running();
    let digest = house.plan(&shop, &json!("last_known_good"));
    private.fill_up();
    for reply in [
        house.ask_plan(&shop, &json!("last_known_good")),
        house.request(&digest),
    ] {
        let problem = reply.problem(409, "plan_blocked");
        assert_eq!(problem["blockers"][0]["code"], "disk_full", "{problem}");
    }
    assert_eq!(shop.running(), before);

    // And one that fills while a rollback runs: it turns back before it has touched what serves.
    private.free();
    house.door.trap(
        "POST /containers/create",
        1,
        When::Before,
        Luck::Delay(seconds(2)),
    );
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.door.springs("the first container is being created");
    private.fill_up();
    let ended = house.verdict(&id, "refused");
    assert_eq!(ended["cause"]["code"], "disk_full", "{ended}");
    assert_eq!(shop.running(), before);
    private.free();
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

/// A call of each phase, counted from the request.
const PHASES: [(&str, &str, usize); 7] = [
    ("the lock is taken", "POST /containers/create", 1),
    ("a target is created", "POST /containers/create", 2),
    ("the stage is made", "POST /networks/create", 1),
    (
        "the target boots on the stage",
        "POST /containers/{id}/start",
        1,
    ),
    ("the port moves", "POST /networks/{id}/disconnect", 2),
    (
        "what has no port is stopped",
        "POST /containers/{id}/stop",
        1,
    ),
    (
        "what served before is removed",
        "DELETE /containers/{id}",
        1,
    ),
];

/// Rolls back once for each phase, with something done to the engine in its middle.
fn in_each(
    phases: &[(&str, &str, usize)],
    what: &str,
    options: &[&str],
    blow: impl Fn(&mut PrivateEngine),
) {
    let mut private = PrivateEngine::new(None, options);
    let house = House::inside(&private).build();
    let mut shop = Application::shop(&private.engine, what);
    house.know(&shop.definition());
    house.deploy_until(&mut shop, "1.4.2", "good");
    for (phase, call, nth) in phases.iter().copied() {
        house.deploy(&mut shop, "1.5.0");
        let sprung = house.door.sprung();
        house
            .door
            .trap(call, nth, When::After, Luck::Delay(seconds(1)));
        let id = house.roll_back(&shop, &json!("last_known_good"));
        until(phase, seconds(30), || {
            (house.door.sprung() > sprung).then_some(())
        });
        blow(&mut private);
        let ended = house.ended(&id);
        assert_eq!(ended["verdict"], "rolled_back", "{phase}: {ended}");
        shop.serves_alone("1.4.2");
        house.release_hold(&shop, "1.5.0");
    }
}

#[test]
fn an_engine_killed_in_any_phase_is_waited_for() {
    in_each(&PHASES, "dockerd", &["--live-restore"], |private| {
        private.kill();
        private.start();
    });
}

/// Every container is stopped and started with it, which takes half a minute: only where something is in between.
#[test]
fn an_engine_restarted_in_the_middle_is_waited_for() {
    in_each(&PHASES[4..6], "restart", &[], |private| {
        private.stop();
        private.start();
    });
}

#[test]
fn another_control_plane_on_the_same_engine_is_respected() {
    let (house, mut shop) = shop("other");
    house.broken(&mut shop);
    let other = House::new();
    other.know(&shop.definition());
    let good = other.record(&shop, "1.5.0");
    other.judged(&good, "bad");
    house.door.trap(
        "POST /containers/{id}/stop",
        1,
        When::After,
        Luck::Delay(seconds(4)),
    );
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.door.springs("the first one is in the middle");
    let reply = other.ask_plan(&shop, &json!({ "version": "1.5.0" }));
    let problem = reply.problem(409, "plan_blocked");
    let codes: Vec<&Value> = problem["blockers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| &row["code"])
        .collect();
    assert!(codes.contains(&&json!("locked_elsewhere")), "{problem}");
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn a_container_that_can_not_be_removed_keeps_nothing_else_and_changes_no_verdict() {
    let (house, mut shop) = shop("stays");
    house.broken(&mut shop);
    // The first one is refused, then the other one goes, then the first one is tried twice more.
    for nth in [1, 3, 4] {
        house.door.trap(
            "DELETE /containers/{id}",
            nth,
            When::Before,
            Luck::Refuse(500),
        );
    }
    let id = house.roll_back(&shop, &json!("last_known_good"));
    let ended = house.verdict(&id, "rolled_back");
    assert_eq!(house.door.sprung(), 3);
    let left: Vec<String> = shop
        .containers()
        .iter()
        .map(name_of)
        .filter(|name| name.contains(".former-"))
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(
        ended["notes"].to_string().contains(&left[0])
            && ended["notes"].to_string().contains("the door says no"),
        "{ended}"
    );
    let disorder = shop.disorder("1.4.2").unwrap_err();
    assert!(disorder.starts_with("containers are"), "{disorder}");
    shop.engine.remove(&left[0]);
    // Nothing else is left: not the other one, and not the lock.
    shop.serves_alone("1.4.2");
}
