//! Alerts, truly signed, and what comes of them: one rollback where every guard lets it through, and reasons otherwise.

use std::time::{Duration, Instant};

use domain::time::Moment;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    house::{Application, Engine, House, seconds, until},
    triggers::now_ms,
};

const PAGER: &str = "a-secret-of-pagerduty-0123456789";

/// A trigger of PagerDuty whose incidents are about this application.
pub(crate) fn pager(house: &House, shop: &Application, mode: &str) {
    let trigger = json!({"name": "pager", "kind": "pagerduty", "mode": mode,
        "routes": [{"application": shop.name, "service": "PSVC001"}]});
    house
        .ask("PUT", "/api/v1/triggers/pager", &trigger)
        .expect(201);
    let secret = json!({ "secret": PAGER });
    house
        .ask("POST", "/api/v1/triggers/pager/secrets", &secret)
        .expect(201);
}

pub(crate) fn mode(house: &House, mode: &str) {
    let mut trigger = house.get("/api/v1/triggers/pager")["trigger"].clone();
    trigger["mode"] = json!(mode);
    let path = "/api/v1/triggers/pager";
    let put = house.try_ask("PUT", path, &[("if-match", "*")], &trigger);
    put.unwrap().expect(200);
}

fn ago(seconds: i64) -> Moment {
    Moment::from_unix_ms(now_ms() - seconds * 1000)
}

/// An incident as PagerDuty tells of it.
pub(crate) fn incident(event: &str, incident: &str, status: &str, seconds_ago: i64) -> String {
    let at = ago(seconds_ago);
    json!({"event": {"id": event, "event_type": format!("incident.{status}"), "occurred_at": at, "agent": null,
        "data": {"id": incident, "type": "incident", "status": status, "created_at": at, "urgency": "high",
                 "priority": {"summary": "P1"}, "title": "shop: 5xx rate 14%", "incident_key": incident,
                 "service": {"id": "PSVC001", "summary": "shop"}}}})
    .to_string()
}

/// Posts as PagerDuty does; the status.
fn signed(house: &House, secret: &str, body: &str) -> u16 {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = format!("v1={}", domain::chain::hex(&mac.finalize().into_bytes()));
    let headers = [
        ("content-type", "application/json"),
        ("x-pagerduty-signature", signature.as_str()),
    ];
    let path = "/api/v1/hooks/pager";
    let reply = house
        .tcp()
        .ask("POST", path, &headers, body.as_bytes(), seconds(20));
    reply.unwrap().status
}

#[track_caller]
pub(crate) fn page(house: &House, body: &str) {
    assert_eq!(signed(house, PAGER, body), 202);
}

/// The decisions of every trigger once there are so many, newest first.
#[track_caller]
fn decided(house: &House, count: usize) -> Vec<Value> {
    until("it is decided", seconds(90), || {
        let listed = house.get("/api/v1/messages?limit=100")["items"]
            .as_array()?
            .clone();
        (listed.len() >= count).then_some(listed)
    })
}

/// The decision on an event.
#[track_caller]
pub(crate) fn decision(house: &House, event: &str) -> Value {
    until(&format!("{event} is decided"), seconds(90), || {
        let listed = house.get("/api/v1/messages?limit=100");
        let listed = listed["items"].as_array()?.clone();
        listed.into_iter().find(|one| one["event_id"] == event)
    })
}

/// The guards that did not pass.
fn failing(decision: &Value) -> Vec<&str> {
    let guards = decision["guards"].as_array().unwrap().iter();
    guards
        .filter(|guard| guard["answer"] != "pass")
        .map(|guard| guard["guard"].as_str().unwrap())
        .collect()
}

#[track_caller]
pub(crate) fn came_of(decision: &Value, outcome: &str, guards: &[&str]) {
    assert_eq!(decision["outcome"], outcome, "{decision}");
    assert_eq!(failing(decision), guards, "{decision}");
    for guard in decision["guards"].as_array().unwrap() {
        let says = guard["sentence"].as_str().unwrap_or_default();
        assert!(!says.is_empty(), "{guard}");
        let next = guard["next_action"].is_string() || guard["answer"] == "wait";
        assert!(next || guard["answer"] == "pass", "{guard}");
    }
}

fn rollbacks(house: &House, shop: &Application) -> Vec<Value> {
    let listed = house.get(&format!("/api/v1/rollbacks?application={}", shop.name));
    listed["items"].as_array().cloned().unwrap_or_default()
}

/// The definition with guards that do not wait.
pub(crate) fn impatient(shop: &Application) -> Value {
    let mut definition = shop.definition();
    definition["guards"] = json!({"settle_s": 0, "served_min_s": 0, "cooldown_s": 60});
    definition
}

/// A shop of which 1.4.2 is proved good and 1.5.0 fails.
pub(crate) fn bad(house: &House, shop: &mut Application) {
    house.know(&impatient(shop));
    house.deploy_until(shop, "1.4.2", "good");
    house.deploy_until(shop, "1.5.0", "bad");
}

#[test]
fn a_signed_alert_about_a_bad_deployment_is_rolled_back_within_seconds() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "paged"));
    bad(&house, &mut shop);
    pager(&house, &shop, "auto");

    // Forged, and late: nothing.
    let forged = incident("E0", "Q0", "triggered", 0);
    assert_eq!(signed(&house, "another-secret-0123456789", &forged), 403);
    page(&house, &incident("E1", "Q1", "triggered", 660));
    let late = decision(&house, "E1");
    assert_eq!(late["outcome"], "recorded", "{late}");
    assert_eq!(late["code"], "lateness", "{late}");
    assert!(rollbacks(&house, &shop).is_empty());

    // What would be, guard by guard, and nothing is done.
    let explain = json!({"body": incident("E2", "Q2", "triggered", 0)});
    let explained = house.ask("POST", "/api/v1/hooks/pager/explain", &explain);
    let explained = explained.expect(200).json();
    let part = &explained["parts"][0];
    assert_eq!(part["outcome"], "auto", "{part}");
    assert_eq!(failing(part), [] as [&str; 0], "{part}");
    assert_eq!(part["guards"].as_array().unwrap().len(), 21);
    assert!(rollbacks(&house, &shop).is_empty());

    let asked = Instant::now();
    page(&house, &incident("E2", "Q2", "triggered", 0));
    let acted = decision(&house, "E2");
    came_of(&acted, "acted", &[]);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    let id = acted["rollback_id"].as_str().unwrap();
    let ended = house.verdict(id, "rolled_back");
    assert_eq!(ended["requested_by"], "trigger:pager", "{ended}");
    shop.serves_alone("1.4.2");

    // News of another trouble, right after: what the rollback did has to show first.
    page(&house, &incident("E3", "Q3", "triggered", 0));
    let after = decision(&house, "E3");
    assert_eq!(
        (after["outcome"].as_str(), after["code"].as_str()),
        (Some("recorded"), Some("cooldown")),
        "{after}"
    );
    assert_eq!(rollbacks(&house, &shop).len(), 1);
}

#[test]
fn a_storm_of_alerts_is_one_rollback_and_many_reasons() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "storm"));
    bad(&house, &mut shop);
    pager(&house, &shop, "auto");
    // One event fifty times, fifty ids of one incident, and forty incidents, all at once.
    let mut bodies = vec![incident("ONE", "QONE", "triggered", 0); 50];
    bodies.extend((0..50).map(|n| incident(&format!("S{n}"), "QS", "triggered", 0)));
    bodies.extend((0..40).map(|n| incident(&format!("M{n}"), &format!("QM{n}"), "triggered", 0)));
    std::thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(|| {
                // As PagerDuty does: until it is taken.
                until("it is taken", seconds(120), || {
                    match signed(&house, PAGER, body) {
                        202 => Some(()),
                        status => {
                            assert_eq!(status, 503);
                            std::thread::sleep(Duration::from_millis(500));
                            None
                        }
                    }
                });
            });
        }
    });
    until("all are decided", seconds(120), || {
        let open = house.sql("select count(*) from inbox_due");
        (open.trim() == "0").then_some(())
    });
    let counts = house.sql(
        "select outcome || ' ' || count(*) || ' ' || count(distinct event_id) from decision group by outcome order by outcome",
    );
    assert_eq!(counts.trim(), "acted 1 1\nrecorded 90 90");
    let reasons =
        house.sql("select distinct code from decision where outcome = 'recorded' order by code");
    assert!(
        reasons
            .lines()
            .all(|code| ["cooldown", "episode"].contains(&code)),
        "{reasons}"
    );
    let all = rollbacks(&house, &shop);
    assert_eq!(all.len(), 1, "{all:?}");
    house.verdict(all[0]["id"].as_str().unwrap(), "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn a_proposal_waits_for_a_yes_and_stands_in_nobody_s_way() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "proposed"));
    bad(&house, &mut shop);
    pager(&house, &shop, "shadow");
    page(&house, &incident("E1", "Q1", "triggered", 0));
    let shadow = decision(&house, "E1");
    came_of(&shadow, "shadowed", &["trigger_mode"]);
    assert_eq!(shadow["would_be"], "auto", "{shadow}");
    assert_eq!(
        shadow["said"],
        "would have been rolled back: every guard lets it through"
    );
    assert!(rollbacks(&house, &shop).is_empty());

    mode(&house, "propose");
    page(&house, &incident("E2", "Q2", "triggered", 0));
    let proposed = decision(&house, "E2");
    came_of(&proposed, "proposed", &["trigger_mode"]);
    let first = proposed["rollback_id"].as_str().unwrap().to_owned();
    assert_eq!(
        proposed["next_action"],
        format!("sternway approve {first}").as_str()
    );
    assert_eq!(house.rollback(&first)["phase"], "awaiting_approval");
    // Another alert adds nothing to it.
    page(&house, &incident("E3", "Q3", "triggered", 0));
    assert_eq!(decision(&house, "E3")["rollback_id"], first.as_str());
    // A person who knows better does not wait for it.
    let plan = house.plan(&shop, &json!({"version": "1.4.2"}));
    let own = house.request(&plan).expect(202).json();
    house.verdict(own["id"].as_str().unwrap(), "rolled_back");
    house.verdict(&first, "cancelled");

    shop.serves_alone("1.4.2");
}

#[test]
fn a_proposal_is_accepted_by_its_plan_and_by_a_person() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "accepted"));
    bad(&house, &mut shop);
    pager(&house, &shop, "propose");
    page(&house, &incident("E1", "Q1", "triggered", 0));
    let proposed = decision(&house, "E1");
    came_of(&proposed, "proposed", &["trigger_mode"]);
    let id = proposed["rollback_id"].as_str().unwrap().to_owned();
    let waiting = house.rollback(&id);
    let path = format!("/api/v1/rollbacks/{id}/approval");
    let other = json!({"decision": "approve", "plan_digest": "0".repeat(64)});
    house.ask("POST", &path, &other).expect(412);
    let yes = json!({"decision": "approve", "plan_digest": waiting["plan_digest"]});
    house.ask("POST", &path, &yes).expect(202);
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn a_weak_source_proposes_and_a_signed_one_starts() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "tiers"));
    bad(&house, &mut shop);
    pager(&house, &shop, "auto");
    let trigger = json!({"name": "alerts", "kind": "alertmanager", "mode": "auto",
        "routes": [{"application": shop.name, "service": "shop"}]});
    house
        .ask("PUT", "/api/v1/triggers/alerts", &trigger)
        .expect(201);
    let secret = json!({"secret": "a-bearer-token-of-alertmanager-01"});
    house
        .ask("POST", "/api/v1/triggers/alerts/secrets", &secret)
        .expect(201);
    let group = json!({"version": "4", "groupKey": "{}:{service=\"shop\"}", "status": "firing", "alerts": [
        {"status": "firing", "labels": {"service": "shop", "severity": "critical", "alertname": "Down"},
         "annotations": {}, "startsAt": ago(0), "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "f1"}]});
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer a-bearer-token-of-alertmanager-01"),
    ];
    let path = "/api/v1/hooks/alerts";
    let reply = house.tcp().ask(
        "POST",
        path,
        &headers,
        group.to_string().as_bytes(),
        seconds(20),
    );
    assert_eq!(reply.unwrap().status, 200);
    let proposed = decided(&house, 1)[0].clone();
    came_of(&proposed, "proposed", &["trust_tier"]);
    let waits = proposed["rollback_id"].as_str().unwrap().to_owned();
    // What may start does not wait for what may not.
    page(&house, &incident("E1", "Q1", "triggered", 0));
    let acted = decision(&house, "E1");
    came_of(&acted, "acted", &[]);
    house.verdict(&waits, "cancelled");
    house.verdict(acted["rollback_id"].as_str().unwrap(), "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn an_alert_that_no_deployment_or_probe_speaks_for_starts_nothing() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "healthy"));
    house.know(&impatient(&shop));
    house.deploy_until(&mut shop, "1.4.2", "good");
    shop.release("1.4.3", &[]);
    shop.release("1.5.0", &["BAD=1"]);
    house.deploy_until(&mut shop, "1.4.3", "good");
    pager(&house, &shop, "auto");
    // Our own probes are green.
    page(&house, &incident("E1", "Q1", "triggered", 0));
    let healthy = decision(&house, "E1");
    came_of(&healthy, "proposed", &["settle"]);
    assert!(healthy["rollback_id"].is_null(), "{healthy}");
    assert!(healthy["plan_digest"].is_string(), "{healthy}");

    // It fails, and was deployed too long ago to be the cause.
    house.deploy_until(&mut shop, "1.5.0", "bad");
    let mut definition = impatient(&shop);
    definition["guards"]["cause_max_s"] = json!(1);
    house.correct(&definition);
    std::thread::sleep(Duration::from_secs(2));
    page(&house, &incident("E2", "Q2", "triggered", 0));
    let old = decision(&house, "E2");
    came_of(&old, "proposed", &["deploy_correlation"]);
    let next = format!(
        "sternway rollback {} --to 1.4.3 --reason critical_bug",
        shop.name
    );
    assert_eq!(old["next_action"], next.as_str(), "{old}");

    // It was over before it was looked at, whichever word comes first.
    page(&house, &incident("E3", "Q3", "resolved", 0));
    page(&house, &incident("E4", "Q3", "triggered", 5));
    let over = decision(&house, "E4");
    assert_eq!(
        (over["outcome"].as_str(), over["code"].as_str()),
        (Some("recorded"), Some("episode")),
        "{over}"
    );
    assert!(rollbacks(&house, &shop).is_empty());

    // A person knows better than one guard, and says so.
    let path = format!("/api/v1/applications/{}/overrides", shop.name);
    let past =
        json!({"guard": "deploy_correlation", "reason": "it leaks, and needs a while to fail"});
    let made = house.ask("POST", &path, &past).expect(201).json();
    page(&house, &incident("E5", "Q5", "triggered", 0));
    let acted = decision(&house, "E5");
    came_of(&acted, "acted", &[]);
    let guards = acted["guards"].as_array().unwrap();
    let past = guards
        .iter()
        .find(|one| one["guard"] == "deploy_correlation")
        .unwrap();
    assert_eq!(past["overridden_by"], made["person"], "{past}");
    house.verdict(acted["rollback_id"].as_str().unwrap(), "rolled_back");
    shop.serves_alone("1.4.3");
}

#[test]
fn a_switch_a_window_and_a_rollback_under_way_keep_alerts_from_acting() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "stopped"));
    bad(&house, &mut shop);
    pager(&house, &shop, "auto");
    let switch = format!("/api/v1/applications/{}/automatic", shop.name);
    let off = json!({"automatic": false, "reason": "the database is moved"});
    house.ask("PUT", &switch, &off).expect(200);
    page(&house, &incident("E1", "Q1", "triggered", 0));
    let switched = decision(&house, "E1");
    came_of(&switched, "proposed", &["kill_switch"]);
    assert!(
        switched["said"]
            .as_str()
            .unwrap()
            .contains("the database is moved"),
        "{switched}"
    );
    assert!(rollbacks(&house, &shop).is_empty());
    let on = json!({"automatic": true, "reason": "done"});
    house.ask("PUT", &switch, &on).expect(200);

    // Two days from midnight: open, whenever this runs.
    let window = json!({"kind": "deny", "application": shop.name, "cron": "0 0 * * *", "duration_s": 172_800,
        "zone": "UTC", "rollbacks": true});
    let made = house.ask("POST", "/api/v1/freeze-windows", &window);
    let made = made.expect(201).json();
    page(&house, &incident("E2", "Q2", "triggered", 0));
    let frozen = decision(&house, "E2");
    came_of(&frozen, "proposed", &["freeze_window"]);
    let waits = frozen["rollback_id"].as_str().unwrap();
    house
        .ask(
            "POST",
            &format!("/api/v1/rollbacks/{waits}/cancel"),
            &Value::Null,
        )
        .expect(202);
    house.verdict(waits, "cancelled");
    let path = format!("/api/v1/freeze-windows/{}", made["id"].as_str().unwrap());
    house.ask("DELETE", &path, &Value::Null).expect(204);

    // A person's rollback, which waits for another person.
    let mut definition = impatient(&shop);
    definition["approval"] = json!(true);
    house.correct(&definition);
    let plan = house.plan(&shop, &json!({"version": "1.4.2"}));
    let own = house.request(&plan).expect(202).json();
    page(&house, &incident("E3", "Q3", "triggered", 0));
    let busy = decision(&house, "E3");
    assert_eq!(
        (busy["outcome"].as_str(), busy["code"].as_str()),
        (Some("recorded"), Some("cooldown")),
        "{busy}"
    );
    assert_eq!(
        house.rollback(own["id"].as_str().unwrap())["phase"],
        "awaiting_approval"
    );
    assert_eq!(rollbacks(&house, &shop).len(), 2);
}

#[test]
fn a_server_that_is_killed_before_it_decides_decides_once() {
    let engine = Engine::of_this_machine();
    let (mut house, mut shop) = (House::new(), Application::shop(&engine, "killed"));
    bad(&house, &mut shop);
    let mut definition = impatient(&shop);
    definition["guards"]["settle_s"] = json!(3);
    house.correct(&definition);
    pager(&house, &shop, "auto");
    page(&house, &incident("E1", "Q1", "triggered", 0));
    house.kill();
    // Killed again and again while it decides.
    for _ in 0..4 {
        house.launch();
        std::thread::sleep(Duration::from_millis(1500));
        house.kill();
    }
    house.start();
    let acted = decision(&house, "E1");
    assert_eq!(acted["outcome"], "acted", "{acted}");
    house.verdict(acted["rollback_id"].as_str().unwrap(), "rolled_back");
    assert_eq!(rollbacks(&house, &shop).len(), 1);
    let decisions = house.sql("select count(*) from decision");
    assert_eq!(decisions.trim(), "1");
    shop.serves_alone("1.4.2");
}
