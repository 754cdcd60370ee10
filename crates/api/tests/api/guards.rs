//! What people set against rollbacks that nobody asked for.

use serde_json::json;
use store::{Role, TokenKind};

use crate::{cardboard::shop, client::Ask, house::House};

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_says_who_and_why_and_only_to_whom_it_concerns() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let state = house.get("/api/v1/automatic").await.ok(200);
    assert_eq!(state, json!({"automatic": true, "off": []}));
    let path = "/api/v1/applications/shop/automatic";
    for reason in ["", "  ", &"x".repeat(501)] {
        let ask = Ask::new("PUT", path).json(&json!({"automatic": false, "reason": reason}));
        assert_eq!(house.send(ask).await.code(), "invalid_fields");
    }
    let off = json!({"automatic": false, "reason": "we move"});
    let answer = house.send(Ask::new("PUT", path).json(&off)).await.ok(200);
    assert_eq!(
        answer,
        json!({"application": "shop", "automatic": false, "stopping": []})
    );
    let state = house.get("/api/v1/automatic").await.ok(200);
    assert_eq!(state["automatic"], true);
    assert_eq!(state["off"][0]["reason"], "we move");
    let other = house
        .token("bob", TokenKind::Person, Role::Viewer, Some(&["blog"]))
        .await;
    let seen = Ask::new("GET", "/api/v1/automatic")
        .token(&other)
        .to(house.address)
        .await
        .ok(200);
    assert_eq!(seen["off"], json!([]));
    house
        .send(Ask::new("PUT", "/api/v1/automatic").json(&off))
        .await
        .ok(200);
    let seen = Ask::new("GET", "/api/v1/automatic")
        .token(&other)
        .to(house.address)
        .await
        .ok(200);
    assert_eq!(
        (&seen["automatic"], seen["off"].as_array().unwrap().len()),
        (&json!(false), 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_checked_field_by_field_and_says_when_it_opens() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let path = "/api/v1/freeze-windows";
    let bad = json!({"kind": "deny", "cron": "0 0 30 2 *", "duration_s": 59, "zone": "Mars/Olympus", "note": ""});
    let refused = house.post(path, &bad).await;
    assert_eq!(refused.code(), "invalid_fields");
    let errors = refused.json()["errors"].as_array().unwrap().clone();
    let fields: Vec<&str> = errors
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["cron", "zone", "duration_s", "note"]);
    let unknown = json!({"kind": "deny", "application": "nobody", "cron": "0 0 * * *", "duration_s": 60, "zone": "UTC"});
    assert_eq!(house.post(path, &unknown).await.code(), "not_found");
    let always = json!({"kind": "deny", "application": "shop", "cron": "0 0 * * *", "duration_s": 86400, "zone": "UTC"});
    let made = house.post(path, &always).await.ok(201);
    assert!(made["open_until"].is_string() && made["next_at"].is_string());
    let items = house.get(path).await.ok(200)["items"].clone();
    assert_eq!(items[0], made);
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let other = house
        .token("bob", TokenKind::Person, Role::Operator, Some(&["blog"]))
        .await;
    assert_eq!(
        Ask::new("DELETE", &one)
            .token(&other)
            .to(house.address)
            .await
            .code(),
        "not_found"
    );
    house.send(Ask::new("DELETE", &one)).await.ok(204);
    assert_eq!(
        house.send(Ask::new("DELETE", &one)).await.code(),
        "not_found"
    );
}
