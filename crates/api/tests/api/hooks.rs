//! Messages of other systems, from the door to the row.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    cardboard::shop,
    client::{Ask, Reply},
    house::{House, psql},
};

const SECRET: &str = "a-secret-of-pagerduty-0123456789";
const HOOK: &str = "/api/v1/hooks/pager";

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    domain::chain::hex(&mac.finalize().into_bytes())
}

fn event(id: &str) -> String {
    json!({"event": {"id": id, "event_type": "incident.triggered", "occurred_at": "2026-01-05T10:00:01Z",
        "data": {"id": "Q1", "type": "incident", "status": "triggered", "created_at": "2026-01-05T10:00:00Z",
                 "title": "shop: 5xx", "service": {"id": "PSVC001"}}}})
    .to_string()
}

fn signed(body: &str) -> Ask {
    let header = format!("v1={}", signature(SECRET, body.as_bytes()));
    Ask::new("POST", HOOK)
        .text(body)
        .header("x-pagerduty-signature", &header)
}

async fn with_trigger() -> House {
    let house = House::new().await;
    let trigger = json!({"name": "pager", "kind": "pagerduty", "routes": [{"application": "shop", "service": "PSVC001"}]});
    house
        .send(Ask::new("PUT", "/api/v1/triggers/pager").json(&trigger))
        .await
        .ok(201);
    house
        .post("/api/v1/triggers/pager/secrets", &json!({"secret": SECRET}))
        .await
        .ok(201);
    house
}

/// How many messages wait to be decided; each is taken by asking.
async fn kept(house: &House) -> Vec<store::Due> {
    house
        .store
        .inbox_due(store::Desk::Intake, 64, Duration::from_secs(60))
        .await
        .unwrap()
}

fn statuses(replies: &[Reply]) -> Vec<u16> {
    replies.iter().map(|reply| reply.status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_kept_once_however_often_it_comes() {
    let house = with_trigger().await;
    let body = event("E1");
    let asks = (0..50).map(|n| {
        // The header beside the body is not signed: it makes no other event.
        let ask = signed(&body).header("x-webhook-id", &format!("whk-{n}"));
        let address = house.address;
        tokio::spawn(async move { ask.to(address).await })
    });
    let asks: Vec<_> = asks.collect();
    let mut replies = Vec::new();
    for ask in asks {
        replies.push(ask.await.unwrap());
    }
    assert_eq!(statuses(&replies), vec![202; 50]);
    let new = replies
        .iter()
        .filter(|reply| reply.json()["status"] == "kept");
    assert_eq!(new.count(), 1);
    let due = kept(&house).await;
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].body, body.as_bytes());
    assert_eq!(due[0].event_id, "E1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proved_leaves_nothing_behind() {
    let house = with_trigger().await;
    let body = event("E2");
    let send = async |ask: Ask| {
        let reply = ask.to(house.address).await;
        (reply.status, reply.code())
    };
    let refused = |status: u16| (status, "message_refused".to_owned());
    assert_eq!(send(Ask::new("POST", HOOK).text(&body)).await, refused(400));
    let forged = Ask::new("POST", HOOK).text(&body).header(
        "x-pagerduty-signature",
        &format!("v1={}", signature("another", body.as_bytes())),
    );
    assert_eq!(send(forged).await, refused(403));
    // The same value in other bytes is another body.
    let mut rewritten = signed(&body);
    rewritten.body =
        serde_json::to_string_pretty(&serde_json::from_str::<Value>(&body).unwrap()).unwrap();
    assert_eq!(send(rewritten).await, refused(403));
    assert_eq!(send(signed("")).await, refused(400));
    let mut plain = signed(&body);
    plain.headers.retain(|(name, _)| name != "content-type");
    assert_eq!(
        send(plain.header("content-type", "text/plain")).await,
        (415, "media_type".to_owned())
    );
    let batch = "application/cloudevents-batch+json";
    let mut plain = signed(&body);
    plain.headers.retain(|(name, _)| name != "content-type");
    assert_eq!(send(plain.header("content-type", batch)).await.0, 415);
    let nowhere = Ask::new("POST", "/api/v1/hooks/nowhere").text(&body);
    assert_eq!(send(nowhere).await, (404, "not_found".to_owned()));
    assert!(kept(&house).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proved_is_kept_even_if_nobody_can_read_it() {
    let house = with_trigger().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["not json", "{}", "\u{0}", &deep] {
        assert_eq!(
            signed(body).to(house.address).await.status,
            202,
            "{}",
            body.len()
        );
    }
    assert_eq!(kept(&house).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sender_has_its_longest_body() {
    let house = with_trigger().await;
    let pad = |bytes: usize| {
        let rest = event("E3");
        format!("{rest}{}", " ".repeat(bytes - rest.len()))
    };
    assert_eq!(signed(&pad(256 << 10)).to(house.address).await.status, 202);
    let long = signed(&pad((256 << 10) + 1)).to(house.address).await;
    assert_eq!((long.status, long.code().as_str()), (413, "body_too_large"));
    let trigger = json!({"name": "am", "kind": "alertmanager"});
    house
        .send(Ask::new("PUT", "/api/v1/triggers/am").json(&trigger))
        .await
        .ok(201);
    let made = house
        .post("/api/v1/triggers/am/secrets", &json!({}))
        .await
        .ok(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    let send = async |bytes: usize| {
        Ask::new("POST", "/api/v1/hooks/am")
            .text(&pad(bytes))
            .token(&secret)
            .to(house.address)
            .await
            .status
    };
    assert_eq!(send(1 << 20).await, 200);
    assert_eq!(send((1 << 20) + 1).await, 413);
    let wrong = Ask::new("POST", "/api/v1/hooks/am")
        .text("{}")
        .token("wrong");
    assert_eq!(wrong.to(house.address).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_without_a_loss() {
    let house = with_trigger().await;
    let secrets = "/api/v1/triggers/pager/secrets";
    let new = "another-secret-of-pagerduty-0123";
    house
        .post(secrets, &json!({"secret": new, "former_hours": 1}))
        .await
        .ok(201);
    let with = |secret: &str, id: &str| {
        let body = event(id);
        let header = format!("v1={}", signature(secret, body.as_bytes()));
        Ask::new("POST", HOOK)
            .text(&body)
            .header("x-pagerduty-signature", &header)
    };
    assert_eq!(with(SECRET, "A").to(house.address).await.status, 202);
    assert_eq!(with(new, "B").to(house.address).await.status, 202);
    let shown = house.get("/api/v1/triggers/pager").await.ok(200);
    assert_eq!(shown["secrets"].as_array().unwrap().len(), 2);
    assert!(
        shown["secrets"][0].get("ends_at").is_none() && shown["secrets"][1]["ends_at"].is_string()
    );
    assert!(!shown.to_string().contains(new) && !shown.to_string().contains(SECRET));
    let third = "a-third-secret-of-pagerduty-0123";
    house
        .post(secrets, &json!({"secret": third, "former_hours": 0}))
        .await
        .ok(201);
    assert_eq!(with(SECRET, "C").to(house.address).await.status, 403);
    assert_eq!(with(new, "D").to(house.address).await.status, 403);
    assert_eq!(with(third, "E").to(house.address).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_without_a_secret_or_switched_off_keeps_nothing() {
    let house = with_trigger().await;
    let trigger = json!({"name": "new", "kind": "github"});
    house
        .send(Ask::new("PUT", "/api/v1/triggers/new").json(&trigger))
        .await
        .ok(201);
    let reply = Ask::new("POST", "/api/v1/hooks/new")
        .text("{}")
        .to(house.address)
        .await;
    // It will have one in a moment: the sender shall come again.
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (503, "message_refused")
    );
    let off = json!({"name": "pager", "kind": "pagerduty", "mode": "off"});
    house
        .send(
            Ask::new("PUT", "/api/v1/triggers/pager")
                .json(&off)
                .header("if-match", "*"),
        )
        .await
        .ok(200);
    let reply = signed(&event("E4")).to(house.address).await;
    assert_eq!(
        (reply.status, reply.json()["status"].as_str()),
        (202, Some("off"))
    );
    assert!(kept(&house).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer_is_a_503_within_a_second() {
    let house = with_trigger().await;
    signed(&event("E5")).to(house.address).await.ok(202);
    let mut holder = psql(
        &house.database,
        "begin; lock table inbox; select pg_sleep(2); commit;",
    );
    let locked = Instant::now();
    // Until the lock is there, what is known is still answered.
    let reply = loop {
        let asked = Instant::now();
        let reply = signed(&event("E6")).to(house.address).await;
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
        if reply.status != 202 || locked.elapsed() > Duration::from_secs(2) {
            break reply;
        }
    };
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (503, "message_not_kept")
    );
    assert!(!reply.header("retry-after").is_empty());
    holder.wait().unwrap();
    assert_eq!(signed(&event("E6")).to(house.address).await.status, 202);
    house.store.close().await;
    let asked = Instant::now();
    let reply = signed(&event("E7")).to(house.address).await;
    assert_eq!(reply.status, 503);
    assert!(asked.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_slow_for_a_moment_is_waited_for() {
    let house = with_trigger().await;
    signed(&event("E5")).to(house.address).await.ok(202);
    let slow = "begin; lock table inbox; select pg_sleep(0.5); commit;";
    let mut holder = psql(&house.database, slow);
    let waited = loop {
        let asked = Instant::now();
        signed(&event("E5")).to(house.address).await.ok(202);
        if asked.elapsed() > Duration::from_millis(380) || holder.try_wait().unwrap().is_some() {
            break asked.elapsed();
        }
    };
    // One of them came right after the lock was there.
    assert!(waited > Duration::from_millis(380), "{waited:?}");
    holder.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_says_what_is_wrong_with_it() {
    let house = House::new().await;
    let put = async |body: &Value| {
        let path = format!("/api/v1/triggers/{}", body["name"].as_str().unwrap());
        house.send(Ask::new("PUT", &path).json(body)).await
    };
    let wrong = [
        (
            json!({"name": "t", "kind": "alertmanager", "trust": "signed"}),
            "trust",
        ),
        (
            json!({"name": "t", "kind": "pagerduty", "routes": [{"application": "shop", "rule": "labels.all(x, true)"}]}),
            "routes[0].rule",
        ),
        (
            json!({"name": "t", "kind": "generic"}),
            "settings.fields.state",
        ),
        (
            json!({"name": "t", "kind": "pagerduty", "settings": {"timestamp_header": "x-time"}}),
            "settings.timestamp_header",
        ),
    ];
    for (body, field) in wrong {
        let reply = put(&body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (422, "invalid_fields"),
            "{body}"
        );
        assert_eq!(reply.json()["errors"][0]["field"], field, "{}", reply.text);
    }
    put(&json!({"name": "t", "kind": "pagerduty"}))
        .await
        .ok(201);
    assert_eq!(
        put(&json!({"name": "t", "kind": "pagerduty"})).await.status,
        428
    );
    let secrets = "/api/v1/triggers/t/secrets";
    // PagerDuty makes its own.
    assert_eq!(house.post(secrets, &json!({})).await.status, 422);
    assert_eq!(
        house
            .post(secrets, &json!({"secret": "short"}))
            .await
            .status,
        422
    );
    let other = Ask::new("PUT", "/api/v1/triggers/t")
        .json(&json!({"name": "t", "kind": "github"}))
        .header("if-match", "*");
    assert_eq!(house.send(other).await.json()["errors"][0]["field"], "kind");
    let remove = Ask::new("DELETE", "/api/v1/triggers/t").header("if-match", "\"1\"");
    house.send(remove).await.ok(204);
    assert_eq!(house.get("/api/v1/triggers/t").await.status, 404);
    put(&json!({"name": "t", "kind": "pagerduty"}))
        .await
        .ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_explained_and_nothing_is_done() {
    let house = with_trigger().await;
    let body = event("E8");
    let header = format!("v1={}", signature(SECRET, body.as_bytes()));
    let explain = async |headers: Value, body: &str| {
        let ask = json!({"headers": headers, "body": body});
        house
            .post("/api/v1/hooks/pager/explain", &ask)
            .await
            .ok(200)
    };
    let answer = explain(json!({"X-PagerDuty-Signature": header}), &body).await;
    assert_eq!(
        (&answer["proved"], &answer["known"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(answer["parts"][0]["application"], "shop");
    assert_eq!(answer["parts"][0]["code"], "record_mode");
    let answer = explain(json!({}), &body.replace("PSVC001", "PSVC002")).await;
    assert_eq!(answer["refusal"], "signature_missing");
    assert_eq!(answer["parts"][0]["code"], "unknown_application");
    let answer = explain(json!({}), "{").await;
    assert_eq!(answer["parts"][0]["code"], "unreadable");
    assert!(kept(&house).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_another_environment_is_explained_as_one() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let trigger = json!({"name": "hub", "kind": "github",
        "routes": [{"application": "shop", "images": {"api": "shop-api:{version}"}}]});
    let path = "/api/v1/triggers/hub";
    house
        .send(Ask::new("PUT", path).json(&trigger))
        .await
        .ok(201);
    let explain = async |environment: &str, reference: &str| {
        let body = json!({"repository": {"full_name": "acme/shop"},
            "deployment": {"id": 9, "ref": reference, "environment": environment},
            "deployment_status": {"id": 7, "state": "success", "created_at": "2026-01-05T10:00:00Z"}});
        let ask =
            json!({"headers": {"x-github-event": "deployment_status"}, "body": body.to_string()});
        let answer = house.post("/api/v1/hooks/hub/explain", &ask).await.ok(200);
        let part = &answer["parts"][0];
        (
            part["code"].as_str().unwrap().to_owned(),
            part["said"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(explain("production", "v1.5.0").await.0, "deployed");
    let (code, said) = explain("staging", "v1.5.0").await;
    assert_eq!(code, "other_environment");
    assert!(
        said.contains("`staging`") && said.contains("`production`"),
        "{said}"
    );
    assert_eq!(explain("staging", "main").await.0, "no_version");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_of_cloudevents_may_ask_before_it_sends() {
    let house = with_trigger().await;
    let trigger = json!({"name": "ce", "kind": "cloudevents"});
    house
        .send(Ask::new("PUT", "/api/v1/triggers/ce").json(&trigger))
        .await
        .ok(201);
    let ask = async |trigger: &str, origin: &str| {
        Ask::new("OPTIONS", &format!("/api/v1/hooks/{trigger}"))
            .header("webhook-request-origin", origin)
            .header("webhook-request-rate", "120")
            .to(house.address)
            .await
    };
    let agreed = ask("ce", "eventemitter.example.com").await;
    assert_eq!(agreed.status, 200);
    assert_eq!(
        agreed.header("webhook-allowed-origin"),
        "eventemitter.example.com"
    );
    assert_eq!(agreed.header("webhook-allowed-rate"), "*");
    assert_eq!(ask("ce", "").await.status, 422);
    assert_eq!(ask("ce", &"x".repeat(256)).await.status, 422);
    assert_eq!(ask("pager", "x.example.com").await.status, 404);
    assert_eq!(ask("nowhere", "x.example.com").await.status, 404);
    // What was agreed proves nobody.
    let sent = Ask::new("POST", "/api/v1/hooks/ce")
        .text("{}")
        .header("webhook-request-origin", "eventemitter.example.com")
        .to(house.address)
        .await;
    assert!(sent.status >= 400, "{}", sent.status);
}
