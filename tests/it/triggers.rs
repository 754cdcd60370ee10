//! What other systems tell, truly signed, over the real server's port.

use std::time::{Duration, Instant, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::house::{Application, Client, Database, Engine, House, Watchmen, seconds, until};

const KEY: [u8; 32] = [7; 32];

/// A trigger of Standard Webhooks whose messages are about this application.
pub(crate) fn ci(house: &House, name: &str, application: &str) {
    let path = format!("/api/v1/triggers/{name}");
    let trigger = json!({"name": name, "kind": "standard_webhooks",
        "routes": [{"application": application, "service": "acme/shop"}]});
    house.ask("PUT", &path, &trigger).expect(201);
    let secret = json!({"secret": format!("whsec_{}", STANDARD.encode(KEY))});
    house
        .ask("POST", &format!("{path}/secrets"), &secret)
        .expect(201);
}

/// Now, by the clock of this machine.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).unwrap()
}

fn now_s() -> i64 {
    now_ms() / 1000
}

fn told(data: &Value) -> String {
    worded("deploy.succeeded", data)
}

fn worded(kind: &str, data: &Value) -> String {
    let at = domain::time::Moment::from_unix_ms(now_s() * 1000);
    json!({"type": kind, "timestamp": at, "data": data}).to_string()
}

/// Tells of a deployment, as a CI does; the status.
pub(crate) fn say(house: &House, trigger: &str, id: &str, kind: &str, data: &Value) -> u16 {
    post(house, trigger, id, &KEY, &worded(kind, data)).unwrap()
}

/// Posts a message as its sender does; the status.
fn post(house: &House, trigger: &str, id: &str, key: &[u8], body: &str) -> std::io::Result<u16> {
    let time = now_s().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{id}.{time}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", &time),
        ("webhook-signature", &signature),
    ];
    let path = format!("/api/v1/hooks/{trigger}");
    let reply = house
        .tcp()
        .ask("POST", &path, &headers, body.as_bytes(), seconds(20))?;
    Ok(reply.status)
}

/// The decisions of a trigger once there are so many.
fn decided(house: &House, trigger: &str, count: usize) -> Vec<Value> {
    until("it is decided", seconds(60), || {
        let path = format!("/api/v1/messages?trigger={trigger}");
        let listed = house.get(&path)["items"].as_array()?.clone();
        (listed.len() >= count).then_some(listed)
    })
}

fn ledger(house: &House, shop: &Application) -> Vec<Value> {
    let listed = house.get(&format!("/api/v1/applications/{}/deployments", shop.name));
    listed["items"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_deployment_that_ci_tells_of_is_in_the_ledger_once() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "told"));
    house.know(&shop.definition());
    ci(&house, "ci", &shop.name);
    shop.up("1.4.2");
    let data = json!({"service": "acme/shop", "version": "1.4.2", "commit": "9f1c2abd", "actor": "ana",
        "images": shop.images("1.4.2"), "id": "job-1"});
    let body = told(&data);
    assert_eq!(
        post(&house, "ci", "msg_1", b"another key", &body).unwrap(),
        401
    );
    for _ in 0..5 {
        assert_eq!(post(&house, "ci", "msg_1", &KEY, &body).unwrap(), 202);
    }
    // Another message about the same deployment.
    assert_eq!(post(&house, "ci", "msg_2", &KEY, &body).unwrap(), 202);
    let decisions = decided(&house, "ci", 2);
    assert_eq!(decisions.len(), 2, "{decisions:?}");
    assert!(
        decisions.iter().all(|one| one["outcome"] == "deployed"),
        "{decisions:?}"
    );
    assert_eq!(decisions[0]["deployment_id"], decisions[1]["deployment_id"]);
    let id = decisions[0]["deployment_id"].as_str().unwrap();
    house.judged(id, "good");
    let entries = ledger(&house, &shop);
    let reported: Vec<_> = entries
        .iter()
        .filter(|one| one["kind"] == "deploy")
        .collect();
    assert_eq!(reported.len(), 1, "{entries:?}");
    assert_eq!(reported[0]["actor"], "trigger:ci");
    assert_eq!(reported[0]["commit"], "9f1c2abd");

    // What comes late turns nothing round, what is about nobody is recorded, and what began is only noted.
    house.deploy(&mut shop, "1.5.0");
    assert_eq!(
        post(&house, "ci", "msg_3", &KEY, &body.replace("job-1", "job-0")).unwrap(),
        202
    );
    let other = told(&json!({"service": "acme/other", "version": "2.0.0"}));
    assert_eq!(post(&house, "ci", "msg_4", &KEY, &other).unwrap(), 202);
    let began = body
        .replace("deploy.succeeded", "deploy.started")
        .replace("1.4.2", "1.6.0");
    assert_eq!(post(&house, "ci", "msg_5", &KEY, &began).unwrap(), 202);
    let staged = body
        .replace("\"service\"", "\"environment\":\"staging\",\"service\"")
        .replace("1.4.2", "1.6.0");
    assert_eq!(post(&house, "ci", "msg_6", &KEY, &staged).unwrap(), 202);
    let decisions = decided(&house, "ci", 6);
    let code = |event: &str| {
        let found = decisions.iter().find(|one| one["event_id"] == event);
        found.unwrap()["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code("msg_3"), "late");
    assert_eq!(code("msg_4"), "unknown_application");
    assert_eq!(code("msg_5"), "deploy_started");
    assert_eq!(code("msg_6"), "other_environment");
    assert_eq!(ledger(&house, &shop)[0]["version"], "1.5.0");
}

#[test]
fn a_message_that_was_kept_is_decided_once_whatever_is_killed() {
    let engine = Engine::of_this_machine();
    let mut database = Database::new();
    let mut api = House::wish(&engine)
        .role("api")
        .database(&database.url())
        .empty();
    api.launch();
    // Without a worker it is not ready, and takes messages all the same.
    until("the API half lives", seconds(30), || {
        let reply = api
            .socket()
            .ask("GET", "/health/live", &[], &[], seconds(5));
        reply.ok().filter(|reply| reply.status == 200).map(|_| ())
    });
    ci(&api, "ci", "nobody");
    for n in 0..20 {
        let body = told(&json!({"service": "acme/shop", "version": format!("1.0.{n}")}));
        assert_eq!(
            post(&api, "ci", &format!("msg_{n}"), &KEY, &body).unwrap(),
            202
        );
    }
    // Kept, and undecided: nobody works. What was answered stands when all of it dies.
    api.kill();
    database.kill();
    database.start();
    let mut worker = House::wish(&engine)
        .database(&database.url())
        .key_of(&api)
        .empty();
    for _ in 0..4 {
        worker.launch();
        std::thread::sleep(Duration::from_millis(700));
        worker.kill();
    }
    worker.start();
    let decisions = until("all are decided", seconds(60), || {
        let listed = worker.get("/api/v1/messages?trigger=ci&limit=100");
        let listed = listed["items"].as_array()?.clone();
        (listed.len() >= 20).then_some(listed)
    });
    assert_eq!(decisions.len(), 20);
    let open = database.sql("select count(*) from inbox_due");
    assert_eq!(open.trim(), "0");
}

#[test]
fn a_sender_hears_within_a_second_that_it_has_to_come_again() {
    let mut database = Database::new();
    let house = House::wish(&Engine::of_this_machine())
        .database(&database.url())
        .build();
    ci(&house, "ci", "nobody");
    let body = told(&json!({"service": "acme/shop", "version": "1.0.0"}));
    let ask = |id: &str| {
        let asked = Instant::now();
        let status = post(&house, "ci", id, &KEY, &body).unwrap();
        (status, asked.elapsed())
    };
    assert_eq!(ask("before").0, 202);
    database.kill();
    for n in 0..10 {
        let (status, took) = ask(&format!("away-{n}"));
        assert_eq!(status, 503);
        assert!(took < Duration::from_secs(1), "it took {took:?}");
    }
    database.start();
    // As their senders do: until it is taken.
    for n in 0..10 {
        let id = format!("away-{n}");
        until("it is taken", seconds(30), || {
            (ask(&id).0 == 202).then_some(())
        });
    }
    let decisions = decided(&house, "ci", 11);
    assert_eq!(decisions.len(), 11, "{decisions:?}");
}

#[test]
fn an_alert_of_a_real_prometheus_is_rolled_back_with_one_yes_and_is_over() {
    let (house, mut shop) = (
        House::new(),
        Application::shop(&Engine::of_this_machine(), "prom"),
    );
    let mut definition = shop.definition();
    definition["guards"] = json!({"settle_s": 1, "served_min_s": 0});
    house.know(&definition);
    house.deploy_until(&mut shop, "1.4.2", "good");
    house.deploy_until(&mut shop, "1.5.0", "bad");
    let trigger = json!({"name": "am", "kind": "alertmanager", "mode": "auto",
        "routes": [{"application": shop.name, "labels": {"job": shop.name}}]});
    house
        .ask("PUT", "/api/v1/triggers/am", &trigger)
        .expect(201);
    let token = "a-bearer-token-of-the-story-0123456789";
    let secret = json!({ "secret": token });
    house
        .ask("POST", "/api/v1/triggers/am/secrets", &secret)
        .expect(201);
    let hook = format!("{}/api/v1/hooks/am", house.url());
    let watchmen = Watchmen::new(&shop.name, shop.port, &hook, token);
    let customers = Client::start(shop.port, "/");
    let decided = |what: &str, is: &dyn Fn(&Value) -> bool| {
        until(what, seconds(90), || {
            let listed = house.get("/api/v1/messages?trigger=am");
            let found = listed["items"].as_array()?.iter().find(|one| is(one))?;
            Some(found.clone())
        })
    };
    // Alertmanager signs nothing: what it tells is proposed, whatever the mode.
    let fired = decided("it is proposed", &|one| one["rollback_id"].is_string());
    let said = watchmen.said();
    assert_eq!(fired["application"], shop.name.as_str(), "{fired} {said}");
    assert_eq!(fired["outcome"], "proposed", "{fired}");
    assert_eq!(fired["code"], "trust_tier", "{fired}");
    let id = fired["rollback_id"].as_str().unwrap();
    let waiting = house.rollback(id);
    assert_eq!(waiting["requested_by"], "trigger:am", "{waiting}");
    let yes = json!({"decision": "approve", "plan_digest": waiting["plan_digest"]});
    house
        .ask("POST", &format!("/api/v1/rollbacks/{id}/approval"), &yes)
        .expect(202);
    house.verdict(id, "rolled_back");
    // The rule falls silent because the application really answers again.
    let over = decided("it is over", &|one| one["code"] == "resolved");
    assert_eq!(over["application"], shop.name.as_str(), "{over}");
    shop.serves_alone("1.4.2");
    let seen = customers.end();
    assert!(seen.answered > 0, "{seen:?}");
}
