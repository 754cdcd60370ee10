//! Bad input of every kind: refused with the field's name and what to do, and never with a stack.

use serde_json::json;

use crate::{cardboard::shop, client::Ask, house::House};

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_wrong_say_how() {
    let house = House::new().await;
    let ask = || Ask::new("POST", "/api/v1/tokens");
    let cases = [
        (ask().text("{"), "malformed_json", 400),
        (ask().text(""), "malformed_json", 400),
        (ask().text("{\"name\":1e999}"), "malformed_json", 400),
        (ask().text("[]"), "invalid_fields", 422),
        (
            ask().text("{\"name\":\"x\",\"nmae\":1}"),
            "invalid_fields",
            422,
        ),
        (
            ask().text("{\"name\":\"x\",\"name\":\"y\"}"),
            "invalid_fields",
            422,
        ),
        (ask().text("{\"name\":7}"), "invalid_fields", 422),
        (ask(), "media_type", 415),
        (
            ask().header("content-type", "text/plain"),
            "media_type",
            415,
        ),
        (
            ask().text(&format!("\"{}\"", "x".repeat(70_000))),
            "body_too_large",
            413,
        ),
    ];
    for (ask, code, status) in cases {
        let said = format!("{:.60} {:?}", ask.body, ask.headers);
        let reply = house.send(ask).await;
        assert_eq!(
            (reply.code().as_str(), reply.status),
            (code, status),
            "{said}"
        );
    }
    let unknown = house.send(ask().text("{\"nmae\":1}")).await.json();
    assert_eq!(unknown["errors"][0]["field"], "nmae");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_methods_and_queries_that_are_wrong_say_how() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let cases = [
        ("GET", "/nothing", "not_found", 404),
        ("GET", "/api/v1", "not_found", 404),
        (
            "PATCH",
            "/api/v1/applications/shop",
            "method_not_allowed",
            405,
        ),
        ("DELETE", "/health/live", "method_not_allowed", 405),
        ("GET", "/api/v1//me", "path_not_canonical", 400),
        ("GET", "/api/v1/me/", "path_not_canonical", 400),
        (
            "GET",
            "/api/v1/applications/%2e%2e/me",
            "path_not_canonical",
            400,
        ),
        (
            "GET",
            "/api/v1/applications/shop;x",
            "path_not_canonical",
            400,
        ),
        ("GET", "/api/v1/applications/Shop", "bad_parameter", 400),
        ("GET", "/api/v1/applications/-rf", "bad_parameter", 400),
        ("GET", "/api/v1/applications/%00", "path_not_canonical", 400),
        ("GET", "/api/v1/rollbacks/7", "bad_parameter", 400),
        ("GET", "/api/v1/plans/7", "bad_parameter", 400),
        ("GET", "/api/v1/rollbacks?wait=1", "bad_parameter", 400),
        ("GET", "/api/v1/rollbacks?phase=done", "bad_parameter", 400),
        ("GET", "/health/live?x=1", "bad_parameter", 400),
    ];
    for (method, path, code, status) in cases {
        let reply = house.send(Ask::new(method, path)).await;
        assert_eq!(
            (reply.code().as_str(), reply.status),
            (code, status),
            "{method} {path}: {}",
            reply.text
        );
    }
    let allow = house
        .send(Ask::new("PATCH", "/api/v1/applications/shop"))
        .await;
    assert!(allow.header("allow").contains("PUT"), "{:?}", allow.headers);
    let named = house
        .get("/api/v1/applications/shop/deployments?limt=3")
        .await
        .json();
    assert_eq!(named["errors"][0]["field"], "limt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_its_id_when_it_is_plain() {
    let house = House::new().await;
    let kept = house
        .send(Ask::new("GET", "/health/live").header("x-request-id", "abc-1.2_3"))
        .await;
    assert_eq!(kept.header("x-request-id"), "abc-1.2_3");
    let replaced = house
        .send(Ask::new("GET", "/health/live").header("x-request-id", "a b"))
        .await;
    assert_eq!(replaced.header("x-request-id").len(), 36);
    assert_eq!(kept.header("x-content-type-options"), "nosniff");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_version_and_metrics_are_open() {
    let house = House::new().await;
    for path in [
        "/health/live",
        "/health/ready",
        "/version",
        "/metrics",
        "/openapi.json",
    ] {
        assert_eq!(
            Ask::new("GET", path).to(house.address).await.status,
            200,
            "{path}"
        );
    }
    let version = Ask::new("GET", "/version").to(house.address).await.json();
    assert_eq!(
        version,
        json!({"name": "sternway", "version": "0.1.0-test", "plan_format": domain::plan::PLAN_FORMAT})
    );
    house.store.close().await;
    let ready = Ask::new("GET", "/health/ready").to(house.address).await;
    assert_eq!(
        (ready.status, &ready.json()["reasons"][0]["what"]),
        (503, &json!("database"))
    );
    let away = house.get("/api/v1/me").await;
    assert_eq!(
        (away.code().as_str(), away.status),
        ("database_unavailable", 503)
    );
    assert_eq!(away.header("retry-after"), "2");
}
