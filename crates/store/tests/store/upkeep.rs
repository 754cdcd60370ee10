//! Whose turn it is to be looked after.

use std::time::Duration;

use store::Store;

use crate::house::House;

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
