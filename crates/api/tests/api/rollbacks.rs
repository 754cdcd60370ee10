//! From a plan to a proof, and everything that can stand in the way of a request.

use std::time::{Duration, Instant};

use domain::name::RollbackId;
use serde_json::json;

use store::{Role, TokenKind};

use crate::{cardboard::shop, client::Ask, house::House};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_would_be_done_and_can_be_read_again() {
    let house = House::new().await;
    house.with_history("shop").await;
    let plan = house
        .post(
            "/api/v1/applications/shop/plans",
            &json!({"target": "last_known_good"}),
        )
        .await
        .ok(200);
    assert_eq!(
        (&plan["from"], &plan["to"]),
        (&json!("1.5.0"), &json!("1.4.2"))
    );
    assert_eq!(
        (&plan["changes_nothing"], &plan["approval_required"]),
        (&json!(false), &json!(false))
    );
    assert!(
        plan["steps"].as_array().unwrap().len() >= 7
            && plan["downtime"]["expected_ms"].as_u64().unwrap() > 0
    );
    assert_eq!(plan["engine"]["name"], "here");
    let digest = plan["digest"].as_str().unwrap();
    let again = house.get(&format!("/api/v1/plans/{digest}")).await.ok(200);
    assert_eq!(again["steps"], plan["steps"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_requested_watched_and_proved() {
    let house = House::new().await;
    house.with_history("shop").await;
    let digest = house.plan("shop").await;
    let asked = House::ask_rollback(&house.admin, &digest, "key-1")
        .to(house.address)
        .await;
    let location = asked.header("location").to_owned();
    let rollback = asked.ok(202);
    assert_eq!(
        location,
        format!("/api/v1/rollbacks/{}", rollback["id"].as_str().unwrap())
    );
    assert_eq!(
        (&rollback["phase"], &rollback["step"]["number"]),
        (&json!("forward"), &json!(1))
    );

    let mut hand = house
        .worker
        .claim(RollbackId(
            rollback["id"].as_str().unwrap().parse().unwrap(),
        ))
        .await;
    hand.step().await;
    let steps = house.get(&format!("{location}/steps")).await.ok(200);
    let states: Vec<&str> = steps["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["state"].as_str().unwrap())
        .collect();
    assert_eq!(states[..3], ["done", "running", "pending"]);

    let waiting = {
        let (address, admin, location) = (house.address, house.admin.clone(), location.clone());
        tokio::spawn(async move {
            let began = Instant::now();
            let reply = Ask::new("GET", &format!("{location}?wait=30"))
                .token(&admin)
                .to(address)
                .await;
            (reply.ok(200), began.elapsed())
        })
    };
    for _ in 1..hand.plan.steps.len() {
        hand.step().await;
    }
    let (proved, took) = waiting.await.unwrap();
    assert_eq!(proved["phase"], "watching");
    assert!(
        took < Duration::from_secs(5),
        "the wait went on for {took:?}"
    );
    hand.end().await;
    let ended = house.get(&format!("{location}?verify=true")).await.ok(200);
    assert_eq!(
        (&ended["verdict"], &ended["good"]),
        (&json!("rolled_back"), &json!(true))
    );
    assert_eq!(ended["log"]["intact"], true);
    let listed = house
        .get("/api/v1/rollbacks?application=shop&active=false")
        .await
        .ok(200);
    assert_eq!(listed["items"][0]["verdict"], "rolled_back");
    assert_eq!(
        house
            .send(Ask::new("POST", &format!("{location}/cancel")))
            .await
            .code(),
        "rollback_ended"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_done_once_and_another_body_is_refused() {
    let house = House::new().await;
    house.with_history("shop").await;
    let digest = house.plan("shop").await;
    let ask = House::ask_rollback(&house.admin, &digest, "once");
    let first = ask.to(house.address).await.ok(202);
    // What runs has changed by now, as it does when a rollback is under way: a repeated request must not care.
    house.worker.engine.lock().unwrap().runs = "1.6.0".parse().unwrap();
    let again = ask.to(house.address).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.ok(202)["id"], first["id"]);
    let other = json!({"plan_digest": digest, "reason": "security"});
    let other = Ask::new("POST", "/api/v1/rollbacks")
        .header("idempotency-key", "once")
        .json(&other);
    let reused = house.send(other).await;
    assert_eq!(
        (reused.code().as_str(), reused.status),
        ("idempotency_key_reused", 422)
    );
    let missing = house
        .send(
            Ask::new("POST", "/api/v1/rollbacks")
                .json(&json!({"plan_digest": digest, "reason": "security"})),
        )
        .await;
    assert_eq!(
        (missing.code().as_str(), missing.status),
        ("idempotency_key", 400)
    );
    for bad in ["", "a b", &"x".repeat(256)] {
        let reply = House::ask_rollback(&house.admin, &digest, bad)
            .to(house.address)
            .await;
        assert_eq!(reply.code(), "idempotency_key", "{bad:?}");
    }
}

/// It was accepted and goes on: that the token ended meanwhile is no reason to say otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_was_accepted_is_said_to_be_when_the_wait_for_it_breaks_off() {
    let house = House::new().await;
    house.with_history("shop").await;
    let digest = house.plan("shop").await;
    let until = crate::cardboard::now().after(domain::time::Millis(5000));
    let (kind, role) = (TokenKind::Person, Role::Operator);
    let token = house.token_until("ana", kind, role, None, until).await;
    let body = json!({"plan_digest": digest, "reason": "critical_bug"});
    let asked = Ask::new("POST", "/api/v1/rollbacks?wait=60")
        .token(&token)
        .header("idempotency-key", "k")
        .json(&body)
        .to(house.address)
        .await;
    let location = asked.header("location").to_owned();
    let accepted = asked.ok(202);
    let now = house.get(&location).await.ok(200);
    assert_eq!(
        (&accepted["id"], &accepted["log"]),
        (&now["id"], &now["log"])
    );
    let refused = Ask::new("GET", &location)
        .token(&token)
        .to(house.address)
        .await;
    assert_eq!(refused.code(), "unauthenticated");
}

/// The key belongs to a person, the scope to a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_key_shows_nothing_to_a_token_that_may_not_see_the_application() {
    let house = House::new().await;
    house.with_history("shop").await;
    let digest = house.plan("shop").await;
    House::ask_rollback(&house.admin, &digest, "once")
        .to(house.address)
        .await
        .ok(202);
    let (kind, role) = (TokenKind::Person, Role::Operator);
    let elsewhere = house.token("admin", kind, role, Some(&["blog"])).await;
    let replayed = House::ask_rollback(&elsewhere, &digest, "once")
        .to(house.address)
        .await;
    assert_eq!(
        (replayed.code().as_str(), replayed.status),
        ("not_found", 404)
    );
    let here = house.token("admin", kind, role, Some(&["shop"])).await;
    House::ask_rollback(&here, &digest, "once")
        .to(house.address)
        .await
        .ok(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rollback_is_refused_by_the_name_of_the_first() {
    let house = House::new().await;
    house.with_history("shop").await;
    let digest = house.plan("shop").await;
    let first = House::ask_rollback(&house.admin, &digest, "a")
        .to(house.address)
        .await
        .ok(202);
    let second = House::ask_rollback(&house.admin, &digest, "b")
        .to(house.address)
        .await;
    assert_eq!(
        (second.code().as_str(), second.status),
        ("rollback_active", 409)
    );
    assert_eq!(second.json()["rollback_id"], first["id"]);
    let removal = house
        .send(Ask::new("DELETE", "/api/v1/applications/shop").header("if-match", "*"))
        .await;
    assert_eq!(
        (removal.code().as_str(), &removal.json()["rollback_id"]),
        ("rollback_active", &first["id"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_requests_make_one_rollback() {
    let house = House::new().await;
    house.with_history("shop").await;
    let digest = house.plan("shop").await;
    let asks = (0..12).map(|n| {
        let (ask, address) = (
            House::ask_rollback(&house.admin, &digest, &format!("race-{n}")),
            house.address,
        );
        tokio::spawn(async move { ask.to(address).await.status })
    });
    let mut statuses = Vec::new();
    for ask in asks.collect::<Vec<_>>() {
        statuses.push(ask.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 202);
    assert!(
        statuses[1..].iter().all(|status| *status == 409),
        "{statuses:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_no_longer_true_is_refused_with_the_difference() {
    let house = House::new().await;
    house.with_history("shop").await;
    let digest = house.plan("shop").await;
    house.worker.engine.lock().unwrap().runs = "1.6.0".parse().unwrap();
    let stale = House::ask_rollback(&house.admin, &digest, "k")
        .to(house.address)
        .await;
    assert_eq!((stale.code().as_str(), stale.status), ("plan_stale", 412));
    let body = stale.json();
    assert!(!body["difference"].as_array().unwrap().is_empty(), "{body}");
    let fresh = body["plan_digest"].as_str().unwrap();
    assert_ne!(fresh, digest);
    house.get(&format!("/api/v1/plans/{fresh}")).await.ok(200);
    let unknown = House::ask_rollback(&house.admin, &"0".repeat(64), "u")
        .to(house.address)
        .await;
    assert_eq!(
        (unknown.code().as_str(), unknown.status),
        ("plan_unknown", 412)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_said_with_what_to_do() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let blocked = house
        .post(
            "/api/v1/applications/shop/plans",
            &json!({"target": {"version": "9.9.9"}}),
        )
        .await;
    assert_eq!(
        (blocked.code().as_str(), blocked.status),
        ("plan_blocked", 409)
    );
    assert_eq!(blocked.json()["blockers"][0]["code"], "unknown_version");
    house.deploy("shop", "1.5.0").await;
    let digest = house
        .post(
            "/api/v1/applications/shop/plans",
            &json!({"target": {"version": "1.5.0"}}),
        )
        .await
        .ok(200);
    assert_eq!(digest["changes_nothing"], true);
    let nothing = House::ask_rollback(&house.admin, digest["digest"].as_str().unwrap(), "k")
        .to(house.address)
        .await;
    assert_eq!(
        (nothing.code().as_str(), nothing.status),
        ("nothing_to_do", 409)
    );
    assert!(
        nothing.json()["production_state"]
            .as_str()
            .unwrap()
            .contains("Nothing")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_said_with_the_reason() {
    let house = House::new().await;
    house.with_history("shop").await;
    let digest = house.plan("shop").await;
    house.worker.engine.lock().unwrap().away =
        Some("connect /var/run/docker.sock: refused".to_owned());
    for reply in [
        house
            .post("/api/v1/applications/shop/plans", &json!({}))
            .await,
        House::ask_rollback(&house.admin, &digest, "k")
            .to(house.address)
            .await,
        house
            .get("/api/v1/applications/shop/releases?readiness=true")
            .await,
    ] {
        assert_eq!(
            (reply.code().as_str(), reply.status),
            ("engine_unreachable", 503)
        );
        assert!(reply.json()["detail"].as_str().unwrap().contains("refused"));
        assert_eq!(reply.header("retry-after"), "2");
    }
    house.worker.goes_deaf().await;
    let began = Instant::now();
    let deaf = house
        .post("/api/v1/applications/shop/plans", &json!({}))
        .await;
    assert_eq!(deaf.code(), "engine_unreachable");
    assert!(
        (9..25).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
}
