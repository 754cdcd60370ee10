//! The runbook's own way, and what it must not do.

use serde_json::{Value, json};

use crate::house::{Application, Client, Engine, House, Luck, When, asks::unique, seconds};

fn shop(what: &str) -> (House, Application) {
    (
        House::new(),
        Application::shop(&Engine::of_this_machine(), what),
    )
}

#[test]
fn critical_bug_after_deploy_brings_back_the_last_known_good_version() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (
        House::wish(&engine).fresh().build(),
        Application::shop(&engine, "shop"),
    );
    house.broken(&mut shop);
    let client = Client::start(shop.port, "/health");

    let plan = house
        .ask_plan(&shop, &json!("last_known_good"))
        .expect(200)
        .json();
    assert_eq!(
        (plan["from"].as_str(), plan["to"].as_str()),
        (Some("1.5.0"), Some("1.4.2")),
        "{plan}"
    );
    let id = house.roll_back(&shop, &json!("last_known_good"));
    let ended = house.verdict(&id, "rolled_back");
    assert_eq!(ended["good"], true, "{ended}");

    let seen = client.end();
    assert!(seen.answered > 0 && seen.gap < seconds(5), "{seen:?}");
    shop.serves_alone("1.4.2");
    shop.compose_agrees("1.4.2", &[]);

    // The ledger says who did what, the bad release is held, and the evidence of it is kept.
    let ledger = house.get(&format!("/api/v1/applications/{}/deployments", shop.name));
    let newest = &ledger["items"][0];
    assert_eq!(
        (newest["version"].as_str(), newest["kind"].as_str()),
        (Some("1.4.2"), Some("rollback")),
        "{newest}"
    );
    assert_eq!(newest["rollback_id"], id.as_str());
    let kept = house.get(&format!("/api/v1/rollbacks/{id}/artifacts"));
    assert!(
        kept["items"].as_array().is_some_and(|rows| rows.len() >= 2),
        "{kept}"
    );
    house
        .ask_plan(&shop, &json!({ "version": "1.5.0" }))
        .problem(409, "plan_blocked");
}

#[test]
fn a_release_that_was_never_proved_is_not_last_known_good() {
    let (house, mut shop) = shop("never");
    house.know(&shop.definition());
    shop.release("1.4.1", &["BAD_HEALTH=1"]);
    shop.release("1.4.2", &[]);
    shop.release("1.4.3", &["BAD_HEALTH=1"]);
    shop.release("1.5.0", &["BAD=1"]);
    house.deploy_until(&mut shop, "1.4.1", "bad");
    let problem = house
        .ask_plan(&shop, &json!("last_known_good"))
        .problem(409, "plan_blocked");
    assert_eq!(problem["blockers"][0]["code"], "no_known_good", "{problem}");

    house.deploy_until(&mut shop, "1.4.2", "good");
    house.deploy_until(&mut shop, "1.4.3", "bad");
    house.deploy(&mut shop, "1.5.0");
    let good = house
        .ask_plan(&shop, &json!("last_known_good"))
        .expect(200)
        .json();
    assert_eq!(good["to"], "1.4.2", "{good}");
    let previous = house.ask_plan(&shop, &json!("previous")).expect(200).json();
    assert_eq!(previous["to"], "1.4.3", "{previous}");
}

/// A release of which nothing is well, deployed before the present one.
fn with_a_worse_release_behind(house: &House, shop: &mut Application) {
    // Handed over, it would be found out on the stage: that is `handover.rs`.
    let mut definition = shop.one_at_a_time();
    definition["timeouts"]["proof_s"] = json!(4);
    house.know(&definition);
    shop.release("1.4.3", &["BAD_HEALTH=1", "BAD=1", "REPORT_VERSION=9.9.9"]);
    shop.release("1.5.0", &["BAD=1"]);
    house.deploy_until(shop, "1.4.3", "bad");
    // Judged, so that it is up: what still boots is no better than the worst.
    house.deploy_until(shop, "1.5.0", "bad");
}

#[test]
fn the_target_that_cannot_be_proved_is_taken_back() {
    let (house, mut shop) = shop("back");
    with_a_worse_release_behind(&house, &mut shop);
    let before = shop.running();

    let id = house.roll_back(&shop, &json!("previous"));
    let ended = house.verdict(&id, "restored");
    assert_eq!(ended["cause"]["code"], "proof_failed", "{ended}");
    assert_eq!(
        shop.running(),
        before,
        "the very containers that served before serve again"
    );
    shop.serves_alone("1.5.0");
    shop.compose_agrees("1.5.0", &[]);
}

#[test]
fn a_person_chooses_when_neither_version_is_better() {
    let (house, mut shop) = shop("equal");
    let mut definition = shop.one_at_a_time();
    definition["timeouts"]["proof_s"] = json!(4);
    house.know(&definition);
    shop.release("1.4.3", &["BAD=1"]);
    shop.release("1.5.0", &["BAD=1"]);
    house.deploy_until(&mut shop, "1.4.3", "bad");
    house.deploy_until(&mut shop, "1.5.0", "bad");

    let id = house.roll_back(&shop, &json!("previous"));
    let ended = house.verdict(&id, "needs_human");
    assert!(
        ended["production"]
            .as_str()
            .is_some_and(|text| text.contains("1.4.3 serves")),
        "{ended}"
    );
}

#[test]
fn nothing_is_restarted_when_the_target_is_what_runs() {
    let (house, mut shop) = shop("same");
    house.know(&shop.definition());
    house.deploy_until(&mut shop, "1.4.2", "good");
    let started = |shop: &Application| -> Vec<Value> {
        shop.containers()
            .iter()
            .map(|row| row["State"]["StartedAt"].clone())
            .collect()
    };
    let (running, since) = (shop.running(), started(&shop));

    let plan = house
        .ask_plan(&shop, &json!({ "version": "1.4.2" }))
        .expect(200)
        .json();
    assert_eq!(
        (&plan["changes_nothing"], &plan["steps"]),
        (&json!(true), &json!([])),
        "{plan}"
    );
    let digest = plan["digest"].as_str().unwrap();
    house.request(digest).problem(409, "nothing_to_do");
    assert_eq!((running, since), (shop.running(), started(&shop)));
}

#[test]
fn a_held_release_does_not_come_back_until_a_person_releases_it() {
    let (house, mut shop) = shop("held");
    house.broken(&mut shop);
    let id = house.roll_back(&shop, &json!("previous"));
    house.verdict(&id, "rolled_back");

    let problem = house
        .ask_plan(&shop, &json!({ "version": "1.5.0" }))
        .problem(409, "plan_blocked");
    assert_eq!(problem["blockers"][0]["code"], "held", "{problem}");
    assert!(
        problem["next_actions"][0]
            .as_str()
            .is_some_and(|text| text.contains("release")),
        "{problem}"
    );
    house.release_hold(&shop, "1.5.0");
    house
        .ask_plan(&shop, &json!({ "version": "1.5.0" }))
        .expect(200);
}

#[test]
fn a_second_rollback_while_one_is_active_is_told_which() {
    let (house, mut shop) = shop("second");
    house.broken(&mut shop);
    house.door.trap(
        "POST /containers/{id}/stop",
        1,
        When::After,
        Luck::Delay(seconds(2)),
    );
    let digest = house.plan(&shop, &json!("previous"));
    let id = house.request(&digest).expect(202).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let problem = house.request(&digest).problem(409, "rollback_active");
    assert_eq!(problem["rollback_id"], id.as_str(), "{problem}");
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn the_same_request_is_done_once_and_the_same_key_means_one_request() {
    let (house, mut shop) = shop("once");
    house.broken(&mut shop);
    let (digest, key) = (house.plan(&shop, &json!("previous")), unique());
    let first = house.try_request(&digest, &key).unwrap().expect(202);
    let again = house.try_request(&digest, &key).unwrap().expect(202);
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!(
        (
            first.header("idempotency-replayed"),
            again.header("idempotency-replayed")
        ),
        (None, Some("true"))
    );

    let body = json!({ "plan_digest": digest, "reason": "performance" });
    let headers = [("idempotency-key", key.as_str())];
    let problem = house
        .try_ask("POST", "/api/v1/rollbacks", &headers, &body)
        .unwrap()
        .problem(422, "idempotency_key_reused");
    assert!(
        !problem["errors"].as_array().unwrap().is_empty(),
        "{problem}"
    );
    house.verdict(first.json()["id"].as_str().unwrap(), "rolled_back");
}

#[test]
fn a_stale_plan_is_refused_with_the_difference() {
    let (house, mut shop) = shop("stale");
    house.broken(&mut shop);
    let digest = house.plan(&shop, &json!("previous"));
    // Somebody deploys by hand between the plan and the request.
    shop.compose_run("1.5.0", &[], &["up", "-d", "--force-recreate"]);
    let running = shop.running();

    let problem = house.request(&digest).problem(412, "plan_stale");
    let lines = problem["difference"].as_array().unwrap();
    assert!(
        lines.iter().any(|line| line
            .as_str()
            .unwrap()
            .contains("is no longer to be replaced")),
        "{problem}"
    );
    assert_eq!(shop.running(), running, "nothing was touched");
    let fresh = problem["plan_digest"].as_str().unwrap();
    let id = house.request(fresh).expect(202).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn a_rollback_is_called_off_at_a_safe_point() {
    let (house, mut shop) = shop("cancel");
    house.broken(&mut shop);
    let before = shop.running();
    house.door.trap(
        "POST /containers/{id}/stop",
        1,
        When::After,
        Luck::Delay(seconds(2)),
    );
    let id = house.roll_back(&shop, &json!("previous"));
    house.door.springs("the first container is being stopped");
    house
        .ask(
            "POST",
            &format!("/api/v1/rollbacks/{id}/cancel"),
            &Value::Null,
        )
        .expect(202);
    let ended = house.verdict(&id, "cancelled");
    assert_eq!(ended["cause"]["code"], "cancelled", "{ended}");
    assert_eq!(shop.running(), before);
    shop.serves_alone("1.5.0");
    house
        .ask(
            "POST",
            &format!("/api/v1/rollbacks/{id}/cancel"),
            &Value::Null,
        )
        .problem(409, "rollback_ended");
}

#[test]
fn it_is_too_late_to_call_off_what_is_proved() {
    let (house, mut shop) = shop("late");
    house.broken(&mut shop);
    house.door.trap(
        "DELETE /containers/{id}",
        1,
        When::Before,
        Luck::Delay(seconds(2)),
    );
    let id = house.roll_back(&shop, &json!("previous"));
    house.door.springs("the former container is being removed");
    house
        .ask(
            "POST",
            &format!("/api/v1/rollbacks/{id}/cancel"),
            &Value::Null,
        )
        .problem(409, "cancel_too_late");
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn a_target_that_goes_bad_in_its_watch_window_calls_a_person() {
    let (house, mut shop) = shop("watch");
    house.broken(&mut shop);
    let mut definition = shop.definition();
    definition["watch_window_s"] = json!(120);
    house.correct(&definition);
    let id = house.roll_back(&shop, &json!("previous"));
    let seen = house.until_phase(&id, "watching");
    assert!(
        seen["proved_at"].is_string() && seen["until"].is_string(),
        "{seen}"
    );

    let api = shop.replica("api", 1)["Id"].as_str().unwrap().to_owned();
    shop.engine
        .ask("POST", &format!("/containers/{api}/stop?t=1"), &Value::Null)
        .expect(204);
    let ended = house.verdict(&id, "needs_human");
    assert_eq!(ended["cause"]["code"], "watch_failed", "{ended}");
    assert!(
        ended["production"]
            .as_str()
            .is_some_and(|text| text.contains("1.4.2")),
        "{ended}"
    );
}

#[test]
fn a_new_deployment_ends_the_watch_window_with_what_was_proved() {
    let (house, mut shop) = shop("redeployed");
    house.broken(&mut shop);
    let mut definition = shop.definition();
    definition["watch_window_s"] = json!(120);
    house.correct(&definition);
    let id = house.roll_back(&shop, &json!("previous"));
    house.until_phase(&id, "watching");
    // A late repetition of an old report changes nothing: 1.4.2 is what runs.
    house.record(&shop, "1.5.0");
    shop.release("1.6.0", &[]);
    house.deploy(&mut shop, "1.6.0");
    let ended = house.verdict(&id, "rolled_back");
    assert_eq!(ended["good"], false, "{ended}");
    // Where `up` takes its time, what it made is seen before anybody says what that is.
    let notes = ended["notes"].to_string();
    let told = ["1.6.0", "no deployment of its image"];
    assert!(told.iter().any(|part| notes.contains(part)), "{ended}");
}

#[test]
fn a_new_rollback_ends_the_watch_window_of_the_one_before() {
    let (house, mut shop) = shop("supersede");
    house.broken(&mut shop);
    let mut definition = shop.definition();
    definition["watch_window_s"] = json!(120);
    house.correct(&definition);
    let first = house.roll_back(&shop, &json!("previous"));
    house.until_phase(&first, "watching");
    house.release_hold(&shop, "1.5.0");
    let second = house.roll_back(&shop, &json!({ "version": "1.5.0" }));
    let ended = house.verdict(&first, "rolled_back");
    assert_eq!(ended["good"], false, "{ended}");
    // 1.5.0 does not answer its probes: it is found out on the stage, and nothing that serves was touched.
    house.verdict(&second, "refused");
    shop.serves_alone("1.4.2");
}
