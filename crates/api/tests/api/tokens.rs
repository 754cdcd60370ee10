//! The life of a token: the first one, its limits, its end.

use serde_json::json;
use store::{Role, TokenKind};

use crate::{client::Ask, house::House};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_works_until_it_is_revoked() {
    let house = House::new().await;
    let body = json!({"name": "ana's laptop", "kind": "person", "person": "ana", "role": "operator", "expires_in_days": 7});
    let made = house.post("/api/v1/tokens", &body).await.ok(201);
    let token = made["token"].as_str().unwrap();
    assert!(
        token.starts_with("rb_person_") && token.len() == 47,
        "{token}"
    );
    let me = Ask::new("GET", "/api/v1/me")
        .token(token)
        .to(house.address)
        .await
        .ok(200);
    assert_eq!(
        (&me["actor"], &me["role"]),
        (&json!("ana"), &json!("operator"))
    );
    let listed = house.get("/api/v1/tokens").await;
    assert!(!listed.text.contains(token), "a list shows a token");
    assert!(
        listed.ok(200)["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["id"] == made["id"] && row["last_used_at"].is_string())
    );
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    house.send(Ask::new("DELETE", &path)).await.ok(204);
    assert_eq!(
        Ask::new("GET", "/api/v1/me")
            .token(token)
            .to(house.address)
            .await
            .code(),
        "unauthenticated"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_can_not_be_is_said_by_field() {
    let house = House::new().await;
    let base = || json!({"name": "x", "kind": "person", "person": "ana", "role": "viewer"});
    let cases = [
        ("name", json!("")),
        ("person", json!("Ana Ä")),
        ("person", json!("service:ci")),
        ("person", json!(null)),
        ("expires_in_days", json!(91)),
        ("expires_in_days", json!(0)),
        ("applications", json!([])),
        ("role", json!("root")),
    ];
    for (field, value) in cases {
        let mut body = base();
        body[field] = value.clone();
        let reply = house.post("/api/v1/tokens", &body).await;
        assert_eq!(
            (reply.code().as_str(), reply.status),
            ("invalid_fields", 422),
            "{field} {value}"
        );
        assert_eq!(reply.json()["errors"][0]["field"], field, "{}", reply.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_up_token_makes_one_admin_and_nothing_else() {
    let house = House::new().await;
    assert!(
        api::setup_token(&house.store).await.unwrap().is_none(),
        "there are tokens already"
    );
    let setup = api::Token::generate(api::TokenType::Setup).unwrap();
    let until = crate::cardboard::now().after(domain::time::Millis(60_000));
    house
        .store
        .setup_token_put(&setup.hash(), until)
        .await
        .unwrap();
    let ask = |method: &str, path: &str| Ask::new(method, path).token(setup.reveal());
    assert_eq!(
        ask("GET", "/api/v1/applications")
            .to(house.address)
            .await
            .code(),
        "forbidden"
    );
    let viewer = json!({"name": "x", "kind": "person", "person": "ana", "role": "viewer"});
    assert_eq!(
        ask("POST", "/api/v1/tokens")
            .json(&viewer)
            .to(house.address)
            .await
            .code(),
        "invalid_fields"
    );
    let admin = json!({"name": "x", "kind": "person", "person": "ana", "role": "admin"});
    let made = ask("POST", "/api/v1/tokens")
        .json(&admin)
        .to(house.address)
        .await
        .ok(201);
    assert_eq!(made["created_by"], "setup");
    assert_eq!(
        ask("POST", "/api/v1/tokens")
            .json(&admin)
            .to(house.address)
            .await
            .code(),
        "unauthenticated"
    );
    let token = made["token"].as_str().unwrap();
    Ask::new("GET", "/api/v1/tokens")
        .token(token)
        .to(house.address)
        .await
        .ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_applications_names_none_that_may_not_be_seen() {
    let house = House::new().await;
    for name in ["a-hidden", "b-seen", "c-hidden", "d-seen", "e-hidden"] {
        let mut definition = crate::cardboard::shop(name);
        definition["project"] = json!(name);
        house.application(&definition).await.ok(201);
    }
    let token = house
        .token(
            "ana",
            TokenKind::Person,
            Role::Viewer,
            Some(&["b-seen", "d-seen"]),
        )
        .await;
    let mut seen = Vec::new();
    let mut path = "/api/v1/applications?limit=1".to_owned();
    loop {
        let reply = Ask::new("GET", &path).token(&token).to(house.address).await;
        assert!(!reply.text.contains("hidden"), "{}", reply.text);
        let page = reply.ok(200);
        let names = page["items"].as_array().unwrap().iter();
        seen.extend(names.map(|row| row["application"]["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/api/v1/applications?limit=1&after={next}");
    }
    assert_eq!(seen, ["b-seen", "d-seen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_set_up_tokens_are_refused_without_the_database_in_the_end() {
    let house = House::new().await;
    let admin = json!({"name": "x", "kind": "person", "person": "ana", "role": "admin"});
    let ask = async |token: &api::Token| {
        Ask::new("POST", "/api/v1/tokens")
            .token(token.reveal())
            .json(&admin)
            .to(house.address)
            .await
            .code()
    };
    let mut codes = Vec::new();
    for _ in 0..70 {
        let made_up = api::Token::generate(api::TokenType::Setup).unwrap();
        codes.push(ask(&made_up).await);
    }
    assert_eq!(
        (codes[0].as_str(), codes[69].as_str()),
        ("unauthenticated", "too_many_failures")
    );
    assert_eq!(
        codes
            .iter()
            .filter(|code| *code == "unauthenticated")
            .count(),
        60
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_tokens_is_answered_without_the_database_and_others_are_let_in() {
    let house = House::new().await;
    house.get("/api/v1/me").await.ok(200);
    let mut last = 0;
    for _ in 0..70 {
        let unknown = api::Token::generate(api::TokenType::Person).unwrap();
        last = Ask::new("GET", "/api/v1/me")
            .token(unknown.reveal())
            .to(house.address)
            .await
            .status;
    }
    assert_eq!(last, 429);
    house.get("/api/v1/me").await.ok(200);
    let fresh = house
        .token("bob", TokenKind::Person, Role::Viewer, None)
        .await;
    let wait = Ask::new("GET", "/api/v1/me")
        .token(&fresh)
        .to(house.address)
        .await;
    assert_eq!(wait.code(), "too_many_failures");
    assert!(wait.header("retry-after").parse::<u64>().unwrap() > 0);
}
