//! A storm of messages: what it costs others, and what is decided together.

use std::time::Duration;

use serde_json::json;
use store::{DecidedMessage, DecisionOutcome, Desk, NewDecision, NewMessage, Store, Topic};
use tokio::time::timeout;

use crate::house::{House, ana};

const LEASE: Duration = Duration::from_secs(15);

async fn with_trigger() -> House {
    let house = House::new().await;
    let trigger = serde_json::from_value(json!({"name": "pager", "kind": "pagerduty"})).unwrap();
    let ana = ana();
    let put = house.store.trigger_put(&trigger, &ana, None);
    put.await.unwrap();
    house
}

async fn put(store: &Store, event_id: &str) -> bool {
    let message = NewMessage {
        trigger: "pager".parse().unwrap(),
        event_id: event_id.to_owned(),
        headers: [("x-webhook-id", "w")].into_iter().collect(),
        body: b"any bytes".to_vec(),
        settle: Duration::ZERO,
        desk: Desk::Intake,
    };
    store.inbox_put(message).await.unwrap()
}

fn decided(event_id: &str, code: &str) -> DecidedMessage {
    DecidedMessage {
        trigger: "pager".parse().unwrap(),
        event_id: event_id.to_owned(),
        decisions: vec![NewDecision {
            application: None,
            outcome: DecisionOutcome::Recorded,
            code: code.to_owned(),
            said: "x".to_owned(),
            notice: json!({}),
            deployment: None,
            episode: None,
            would_be: None,
            guards: None,
            next_action: None,
            plan: None,
            rollback: None,
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_wakes_whoever_decides_and_nobody_else() {
    let house = with_trigger().await;
    let wake = house.store.wake();
    let (mut deciding, mut working) =
        (wake.subscribe(Topic::Messages), wake.subscribe(Topic::Work));
    assert!(put(&house.store, "e1").await);
    let patience = Duration::from_secs(5);
    timeout(patience, deciding.woken()).await.unwrap();
    let woken = timeout(Duration::from_millis(300), working.woken()).await;
    assert!(
        woken.is_err(),
        "others would ask for their work as often as alerts come"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_decided_together_are_each_decided_once() {
    let house = with_trigger().await;
    let store = &house.store;
    for event in ["e1", "e2", "e3"] {
        assert!(put(store, event).await);
    }
    assert_eq!(
        store.inbox_due(Desk::Intake, 3, LEASE).await.unwrap().len(),
        3
    );
    // Another worker was before us with one of them.
    let before = store.decisions_put_all(vec![decided("e2", "first")]).await;
    assert!(before.into_iter().all(|new| new.unwrap()));
    let all = ["e1", "e2", "e3"].map(|event| decided(event, "second"));
    let new: Vec<bool> = store
        .decisions_put_all(all.to_vec())
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(new, [true, false, true]);
    assert_eq!(house.count("select count(*) from inbox_due").await, 0);
    assert_eq!(house.count("select count(*) from decision").await, 3);
    let first = "select count(*) from decision where event_id = 'e2' and code = 'first'";
    assert_eq!(house.count(first).await, 1);
}

/// One of them can not be written; the others are, and it stays to be decided.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_can_not_be_written_takes_no_other_along() {
    let house = with_trigger().await;
    let store = &house.store;
    for event in ["e1", "e2"] {
        assert!(put(store, event).await);
    }
    let bad = decided("e1", "a\0b");
    let written = store
        .decisions_put_all(vec![bad, decided("e2", "fine")])
        .await;
    assert!(
        matches!(written.as_slice(), [Err(_), Ok(true)]),
        "{written:?}"
    );
    assert_eq!(house.count("select count(*) from inbox_due").await, 1);
    assert_eq!(house.count("select count(*) from decision").await, 1);
}

/// Connections that are kept beside the pool are closed with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_closed_leaves_no_session() {
    let house = with_trigger().await;
    let all: Vec<_> = (0..40)
        .map(|number| {
            let store = house.store.clone();
            tokio::spawn(async move { put(&store, &format!("e{number}")).await })
        })
        .collect();
    for one in all {
        assert!(one.await.unwrap());
    }
    timeout(Duration::from_secs(5), house.store.close())
        .await
        .unwrap();
    let left = "select count(*) from pg_stat_activity
         where datname = current_database() and application_name = 'sternway'";
    while house.count(left).await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
