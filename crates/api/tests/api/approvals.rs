//! The two-person rule: by person, not by token, and never by a service.

use std::time::Duration;

use domain::name::RollbackId;
use serde_json::{Value, json};
use store::{Role, TokenKind};

use crate::{
    cardboard::shop,
    client::{Ask, Reply},
    house::House,
};

async fn waiting(house: &House, token: &str) -> (String, String) {
    waiting_for(house, token, 900).await
}

/// A rollback that waits for so many seconds, and its plan.
async fn waiting_for(house: &House, token: &str, seconds: u32) -> (String, String) {
    let mut definition = shop("shop");
    definition["approval"] = json!(true);
    definition["timeouts"] = json!({"approval_s": seconds});
    house.application(&definition).await.ok(201);
    let good = house.deploy("shop", "1.4.2").await;
    house
        .worker
        .judge_good(good["id"].as_str().unwrap().parse().unwrap())
        .await;
    house.deploy("shop", "1.5.0").await;
    let digest = house.plan("shop").await;
    let rollback = House::ask_rollback(token, &digest, "k")
        .to(house.address)
        .await
        .ok(202);
    assert_eq!(rollback["phase"], "awaiting_approval");
    assert!(rollback["until"].is_string());
    (rollback["id"].as_str().unwrap().to_owned(), digest)
}

async fn decide(house: &House, token: &str, id: &str, body: Value) -> Reply {
    Ask::new("POST", &format!("/api/v1/rollbacks/{id}/approval"))
        .token(token)
        .json(&body)
        .to(house.address)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_can_not_approve_with_another_token_either() {
    let house = House::new().await;
    let ana = house
        .token("ana", TokenKind::Person, Role::Operator, None)
        .await;
    let (id, digest) = waiting(&house, &ana).await;
    let yes = json!({"decision": "approve", "plan_digest": digest});
    let second_token = house
        .token("ana", TokenKind::Person, Role::Admin, None)
        .await;
    assert_eq!(
        decide(&house, &second_token, &id, yes.clone()).await.code(),
        "self_approval"
    );
    let service = house
        .token("service:bot", TokenKind::Service, Role::Admin, None)
        .await;
    assert_eq!(
        decide(&house, &service, &id, yes.clone()).await.code(),
        "forbidden"
    );
    let bob = house
        .token("bob", TokenKind::Person, Role::Approver, None)
        .await;
    let other = json!({"decision": "approve", "plan_digest": "0".repeat(64)});
    assert_eq!(decide(&house, &bob, &id, other).await.status, 412);
    decide(&house, &bob, &id, yes).await.ok(202);
    let hand = house.worker.claim(RollbackId(id.parse().unwrap())).await;
    drop(hand);
    let orders = house
        .store
        .orders_unseen(RollbackId(id.parse().unwrap()))
        .await
        .unwrap();
    assert!(
        matches!(&orders[..], [(_, domain::next::Order::Approve { by, .. })] if by.as_str() == "bob"),
        "{orders:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_nobody_can_not_be_approved() {
    let house = House::new().await;
    house.with_history("shop").await;
    let id = house.rollback("shop").await.to_string();
    let digest = house.get(&format!("/api/v1/rollbacks/{id}")).await.ok(200)["plan_digest"].clone();
    let bob = house
        .token("bob", TokenKind::Person, Role::Approver, None)
        .await;
    let reply = decide(
        &house,
        &bob,
        &id,
        json!({"decision": "reject", "plan_digest": digest}),
    )
    .await;
    assert_eq!(
        (reply.code().as_str(), reply.status),
        ("approval_not_awaited", 409)
    );
}

/// The worker is made of cardboard and ends nothing by itself: the server alone has to know that the time is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_yes_that_comes_after_its_time_is_refused_although_no_worker_has_ended_it() {
    let house = House::new().await;
    let ana = house
        .token("ana", TokenKind::Person, Role::Operator, None)
        .await;
    let (id, digest) = waiting_for(&house, &ana, 1).await;
    let bob = house
        .token("bob", TokenKind::Person, Role::Approver, None)
        .await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let seen = house.get(&format!("/api/v1/rollbacks/{id}")).await.ok(200);
    assert_eq!(seen["phase"], "awaiting_approval");
    let yes = json!({"decision": "approve", "plan_digest": digest});
    let late = decide(&house, &bob, &id, yes).await;
    assert_eq!(
        (late.code().as_str(), late.status),
        ("approval_not_awaited", 409)
    );
    let problem = late.json();
    let until = seen["until"].as_str().unwrap();
    let said = format!("rollback {id} could be approved until {until}: that time is over");
    assert_eq!(problem["detail"], said);
    assert_eq!(problem["rollback_id"], id);
    let rollback = RollbackId(id.parse().unwrap());
    let unseen = house.store.orders_unseen(rollback).await.unwrap();
    assert!(unseen.is_empty(), "{unseen:?}");
    // A no is as good as before.
    let no = json!({"decision": "reject", "plan_digest": digest});
    decide(&house, &bob, &id, no).await.ok(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_or_marked_while_it_waited_is_not_approved() {
    let house = House::new().await;
    let ana = house
        .token("ana", TokenKind::Person, Role::Operator, None)
        .await;
    let (id, digest) = waiting(&house, &ana).await;
    let bob = house
        .token("bob", TokenKind::Person, Role::Approver, None)
        .await;
    let path = "/api/v1/applications/shop/releases/1.4.2/hold";
    let marked = json!({"reason": "CVE-2026-1", "insecure": true});
    house
        .send(Ask::new("PUT", path).json(&marked))
        .await
        .ok(200);
    let yes = json!({"decision": "approve", "plan_digest": digest});
    let refused = decide(&house, &bob, &id, yes.clone()).await;
    assert_eq!(
        (refused.code().as_str(), refused.status),
        ("plan_blocked", 409)
    );
    let problem = refused.json();
    let codes = [
        &problem["blockers"][0]["code"],
        &problem["blockers"][1]["code"],
    ];
    assert_eq!(codes, [&json!("held"), &json!("insecure")], "{problem}");
    let next = problem["next_actions"][0].as_str().unwrap();
    assert!(next.contains("release the hold of shop 1.4.2"), "{next}");
    let rollback = RollbackId(id.parse().unwrap());
    let unseen = house.store.orders_unseen(rollback).await.unwrap();
    assert!(unseen.is_empty(), "{unseen:?}");
    house.send(Ask::new("DELETE", path)).await.ok(200);
    decide(&house, &bob, &id, yes).await.ok(202);
}
