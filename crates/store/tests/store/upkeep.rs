//! Whose turn it is to be looked after.

use std::time::Duration;

use domain::{application::Application, supply::ImageSource};
use serde_json::json;
use store::Store;

use crate::house::{House, ana, image};

const LEASE: Duration = Duration::from_secs(120);
const LATER: Duration = Duration::from_secs(30);

async fn due(store: &Store) -> Vec<(String, bool)> {
    let due = store.upkeep_due(10, LEASE).await.unwrap();
    due.into_iter()
        .map(|due| (due.application.name.to_string(), due.ready_due))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_looked_after_is_due_later_and_who_was_hastened_at_once() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let store = &house.store;
    let now = [("shop".to_owned(), true)];
    assert_eq!(due(store).await, now, "a new one is due at once");
    assert_eq!(due(store).await, [], "and then another worker's");
    store
        .upkeep_done(&shop.name, LATER, Some(LATER))
        .await
        .unwrap();
    assert_eq!(due(store).await, []);
    store.upkeep_hasten().await.unwrap();
    assert_eq!(due(store).await, now);
    store
        .upkeep_done(&shop.name, Duration::ZERO, Some(LATER))
        .await
        .unwrap();
    let again = [("shop".to_owned(), false)];
    assert_eq!(due(store).await, again, "a turn that failed comes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_during_a_look_is_looked_at_again() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let store = &house.store;
    let now = [("shop".to_owned(), true)];
    assert_eq!(due(store).await, now);
    store.upkeep_hasten().await.unwrap();
    store
        .upkeep_done(&shop.name, LATER, Some(LATER))
        .await
        .unwrap();
    assert_eq!(due(store).await, now, "the look is older than the event");
}

/// Whose second copies are due now.
async fn copies_due(house: &House) -> Option<String> {
    house
        .raw("update application_upkeep set copy_at = now()")
        .await;
    let due = house.store.copies_due(LEASE).await.unwrap();
    due.map(|application| application.name.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn second_copies_are_looked_after_where_they_are_wanted_or_left() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    house.application("other").await;
    assert_eq!(due(&house.store).await.len(), 2);
    assert_eq!(copies_due(&house).await, None, "nobody wants any");

    let with = |copy: serde_json::Value| -> Application {
        let mut definition = serde_json::to_value(&shop).unwrap();
        definition["retain"] = json!({ "copy": copy });
        serde_json::from_value(definition).unwrap()
    };
    let wanting = with(json!({ "archive": "/var/backups/sternway" }));
    let put = house.store.application_put(&wanting, &ana(), None).await;
    put.unwrap();
    assert_eq!(copies_due(&house).await.as_deref(), Some("shop"));

    let source: ImageSource = serde_json::from_value(json!({
        "from": "archive", "path": "/var/backups/sternway/a.tar", "sha256": "a".repeat(64), "bytes": 1
    }))
    .unwrap();
    let copied = house.store.copy_put(&shop.name, &image('a'), &source).await;
    copied.unwrap();
    let put = house.store.application_put(&shop, &ana(), None).await;
    put.unwrap();
    assert_eq!(
        copies_due(&house).await.as_deref(),
        Some("shop"),
        "what was made before is let go of in time"
    );
}
