//! The event stream: where it begins, what it says, and what ends it.

use std::time::{Duration, Instant};

use axum::body::Body;
use domain::name::RollbackId;
use futures_util::StreamExt as _;
use store::{Role, TokenKind};

use crate::{client::Ask, house::House};

/// Reads a stream until it ends or the time is up; says whether it ended.
async fn read(
    house: &House,
    token: &str,
    id: RollbackId,
    header: Option<&str>,
    limit: Duration,
) -> (String, bool) {
    let mut ask = Ask::new("GET", &format!("/api/v1/rollbacks/{id}/events")).token(token);
    if let Some(last) = header {
        ask = ask.header("last-event-id", last);
    }
    let response = ask.open(house.address).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut frames = Body::new(response.into_body()).into_data_stream();
    let (mut text, deadline) = (String::new(), tokio::time::Instant::now() + limit);
    loop {
        match tokio::time::timeout_at(deadline, frames.next()).await {
            Err(_) => return (text, false),
            Ok(None | Some(Err(_))) => return (text, true),
            Ok(Some(Ok(bytes))) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
        }
    }
}

fn ids(text: &str) -> Vec<i32> {
    text.lines()
        .filter_map(|line| line.strip_prefix("id: ")?.parse().ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_every_event_once_and_ends_after_the_last() {
    let house = House::new().await;
    house.with_history("shop").await;
    let id = house.rollback("shop").await;
    let mut hand = house.worker.claim(id).await;
    hand.step().await;
    let reading = async {
        let (text, ended) = read(&house, &house.admin, id, None, Duration::from_secs(20)).await;
        assert!(ended, "the stream did not end");
        text
    };
    let walking = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 1..hand.plan.steps.len() {
            hand.step().await;
        }
        hand.end().await;
    };
    let (text, ()) = tokio::join!(reading, walking);
    let all = ids(&text);
    assert_eq!(
        all,
        (1..=i32::try_from(all.len()).unwrap()).collect::<Vec<_>>()
    );
    assert!(
        text.contains("event: requested")
            && text.contains("event: ended")
            && text.contains("\"sentence\":\"stopping shop-api-1"),
        "{text}"
    );
    let (rest, ended) = read(&house, &house.admin, id, Some("5"), Duration::from_secs(5)).await;
    assert!(ended);
    assert_eq!(ids(&rest), all[5..]);
    let bad = house
        .send(
            Ask::new("GET", &format!("/api/v1/rollbacks/{id}/events")).header("last-event-id", "x"),
        )
        .await;
    assert_eq!(bad.code(), "bad_parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_its_stream_soon() {
    let house = House::new().await;
    house.with_history("shop").await;
    let id = house.rollback("shop").await;
    let token = house
        .token("ana", TokenKind::Person, Role::Viewer, None)
        .await;
    let stored = house
        .store
        .token_find(&api::Token::parse(&token).unwrap().hash())
        .await
        .unwrap()
        .unwrap();
    let revoking = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        house
            .send(Ask::new("DELETE", &format!("/api/v1/tokens/{}", stored.id)))
            .await
            .ok(204);
        Instant::now()
    };
    let reading = async {
        let (_, ended) = read(&house, &token, id, None, Duration::from_secs(10)).await;
        (ended, Instant::now())
    };
    let (revoked_at, (ended, ended_at)) = tokio::join!(revoking, reading);
    assert!(ended);
    let after = ended_at.saturating_duration_since(revoked_at);
    assert!(
        after < Duration::from_secs(6),
        "the stream went on for {after:?}"
    );
    assert_eq!(
        Ask::new("GET", "/api/v1/me")
            .token(&token)
            .to(house.address)
            .await
            .code(),
        "unauthenticated"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_ends_its_stream() {
    let house = House::new().await;
    house.with_history("shop").await;
    let id = house.rollback("shop").await;
    let until = crate::cardboard::now().after(domain::time::Millis(1500));
    let token = house
        .token_until("ana", TokenKind::Person, Role::Viewer, None, until)
        .await;
    let began = Instant::now();
    let (_, ended) = read(&house, &token, id, None, Duration::from_secs(10)).await;
    assert!(
        ended && began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
}
