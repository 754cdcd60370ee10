//! Alerts whose application, or whose trouble, is another one by the time that they are decided.

use serde_json::{Value, json};

use crate::{
    acting::{bad, came_of, decision, impatient, incident, mode, page, pager},
    house::{Application, Engine, House, seconds, until},
    triggers::{ci, now_ms, say},
};

#[test]
fn an_alert_while_ci_deploys_waits_for_the_end_of_that() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "deploying"));
    bad(&house, &mut shop);
    pager(&house, &shop, "auto");
    ci(&house, "ci", &shop.name);
    let data = json!({"service": "acme/shop", "id": "d1", "version": "1.5.1"});
    assert_eq!(say(&house, "ci", "m1", "deploy.started", &data), 202);
    assert_eq!(decision(&house, "m1")["code"], "deploy_started");
    page(&house, &incident("E1", "Q1", "triggered", 0));
    let asked = decision(&house, "E1");
    came_of(&asked, "proposed", &["deploy_correlation"]);
    let said = asked["said"].as_str().unwrap();
    assert!(
        said.contains("1.5.1 is being put in service since"),
        "{asked}"
    );
    let next = asked["next_action"].as_str().unwrap();
    assert!(next.starts_with("wait until it is done"), "{asked}");
    // What begins in another environment is under way there.
    let mut elsewhere = data.clone();
    (elsewhere["id"], elsewhere["environment"]) = (json!("d2"), json!("elsewhere"));
    assert_eq!(say(&house, "ci", "m2", "deploy.started", &elsewhere), 202);
    assert_eq!(decision(&house, "m2")["code"], "other_environment");
    assert_eq!(say(&house, "ci", "m3", "deploy.failed", &data), 202);
    assert_eq!(decision(&house, "m3")["code"], "deploy_failed");
    page(&house, &incident("E2", "Q2", "triggered", 0));
    let acted = decision(&house, "E2");
    came_of(&acted, "acted", &[]);
    house.verdict(acted["rollback_id"].as_str().unwrap(), "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn what_is_deployed_while_a_proposal_waits_is_seen_and_rolled_back_for_its_own_alert() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "overtaken"));
    for (version, behaviour) in [
        ("1.4.2", &[][..]),
        ("1.5.0", &["BAD=1"]),
        ("1.6.0", &["BAD=1"]),
    ] {
        shop.release(version, behaviour);
    }
    bad(&house, &mut shop);
    pager(&house, &shop, "propose");
    page(&house, &incident("E1", "Q1", "triggered", 0));
    let proposed = decision(&house, "E1");
    let first = proposed["rollback_id"].as_str().unwrap().to_owned();
    assert_eq!(house.rollback(&first)["phase"], "awaiting_approval");
    house.deploy_until(&mut shop, "1.6.0", "bad");
    assert_eq!(house.rollback(&first)["phase"], "awaiting_approval");

    // A yes to the first plan would be refused: it is of what no longer runs.
    page(&house, &incident("E2", "Q2", "triggered", 0));
    let anew = decision(&house, "E2");
    came_of(&anew, "proposed", &["trigger_mode"]);
    let second = anew["rollback_id"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    house.verdict(&first, "cancelled");
    assert_eq!(house.rollback(&second)["phase"], "awaiting_approval");

    mode(&house, "auto");
    page(&house, &incident("E3", "Q3", "triggered", 0));
    let acted = decision(&house, "E3");
    came_of(&acted, "acted", &[]);
    house.verdict(&second, "cancelled");
    house.verdict(acted["rollback_id"].as_str().unwrap(), "rolled_back");
    shop.serves_alone("1.4.2");
}

/// What PagerDuty tells of an incident later on.
fn news(event: &str, of: &str, what: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut body: Value = serde_json::from_str(&incident(event, of, "triggered", 0)).unwrap();
    body["event"]["event_type"] = json!(format!("incident.{what}"));
    change(&mut body["event"]["data"]);
    body.to_string()
}

#[test]
fn an_incident_that_is_moved_or_lowered_while_it_settles_starts_nothing() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "lowered"));
    bad(&house, &mut shop);
    let mut definition = impatient(&shop);
    definition["guards"]["settle_s"] = json!(3);
    house.correct(&definition);
    pager(&house, &shop, "auto");
    for (event, of) in [("E1", "Q1"), ("E2", "Q2"), ("E3", "Q3")] {
        page(&house, &incident(event, of, "triggered", 0));
    }
    let lowered = news("N1", "Q1", "priority_updated", |data| {
        data["priority"] = json!({"summary": "P5"})
    });
    let moved = news("N2", "Q2", "service_updated", |data| {
        data["service"] = json!({"id": "PSVC002"})
    });
    let handed = news("N3", "Q3", "reassigned", |_| ());
    for news in [&lowered, &moved, &handed] {
        page(&house, news);
    }
    came_of(&decision(&house, "E1"), "proposed", &["severity"]);
    let elsewhere = decision(&house, "E2");
    assert_eq!(elsewhere["outcome"], "recorded", "{elsewhere}");
    assert_eq!(elsewhere["code"], "episode", "{elsewhere}");
    came_of(&decision(&house, "E3"), "proposed", &["episode"]);
    // Nothing was started: what a severity alone keeps back is asked for, and waits.
    let phases = house.sql("select count(*) from rollback_run where phase <> 'awaiting_approval'");
    assert_eq!(phases.trim(), "0");
}

#[test]
fn what_one_application_waits_for_keeps_back_nothing_of_another() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "quick"));
    bad(&house, &mut shop);
    let slow = Application::shop(&engine, "slow");
    let mut definition = impatient(&slow);
    definition["guards"]["settle_s"] = json!(3600);
    house.know(&definition);
    let trigger = json!({"name": "prometheus", "kind": "alertmanager", "mode": "propose", "routes": [
        {"application": shop.name, "rule": "labels.job == 'quick'"},
        {"application": slow.name, "rule": "labels.job == 'slow'"}]});
    let path = "/api/v1/triggers/prometheus";
    house.ask("PUT", path, &trigger).expect(201);
    let secret = json!({"secret": "a-secret-of-alertmanager-0123456789"});
    house
        .ask("POST", &format!("{path}/secrets"), &secret)
        .expect(201);
    let at = domain::time::Moment::from_unix_ms(now_ms());
    let alert = |job: &str| {
        json!({"status": "firing", "fingerprint": job, "startsAt": at, "annotations": {},
            "labels": {"alertname": "Down", "severity": "critical", "job": job}})
    };
    let body = json!({"version": "4", "groupKey": "g", "status": "firing", "alerts": [alert("slow"), alert("quick")]});
    let headers = [
        ("content-type", "application/json"),
        (
            "authorization",
            "Bearer a-secret-of-alertmanager-0123456789",
        ),
    ];
    let body = body.to_string();
    let reply = house.tcp().ask(
        "POST",
        "/api/v1/hooks/prometheus",
        &headers,
        body.as_bytes(),
        seconds(20),
    );
    assert_eq!(reply.unwrap().status, 200);
    let quick = until("the quick one is decided", seconds(30), || {
        let listed = house.get("/api/v1/messages?trigger=prometheus")["items"]
            .as_array()?
            .clone();
        listed.into_iter().next()
    });
    assert_eq!(quick["application"], shop.name.as_str(), "{quick}");
    assert_eq!(quick["outcome"], "proposed", "{quick}");
    assert!(quick["rollback_id"].is_string(), "{quick}");
}
