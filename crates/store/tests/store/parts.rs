//! Messages that say several things, and those that are not decided when their trigger is taken out.

use std::{collections::BTreeMap, time::Duration};

use store::{DecisionOutcome, Desk};

use crate::{
    evidence::{alert, decision, keep, trigger},
    house::{House, ana, now},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_one_part_is_kept_while_the_message_waits_for_another() {
    let house = House::new().await;
    let store = &house.store;
    let name = trigger().name;
    store.trigger_put(&trigger(), &ana(), None).await.unwrap();
    keep(&house, "e1", "{}").await;
    let first = decision(&alert("Q1", "firing", now()), DecisionOutcome::Recorded);
    let second = decision(&alert("Q2", "firing", now()), DecisionOutcome::Recorded);
    let kept = BTreeMap::from([(1, second.clone())]);
    store.decisions_keep(&name, "e1", &kept).await.unwrap();
    assert_eq!(store.decisions_of(&name, "e1").await.unwrap(), kept);
    let due = store.inbox_due(Desk::Intake, 10, Duration::ZERO).await;
    assert_eq!(due.unwrap().len(), 1, "it waits for the rest");
    let all = vec![first.clone(), second.clone()];
    assert!(store.decisions_put(&name, "e1", all.clone()).await.unwrap());
    let whole = BTreeMap::from([(0, first), (1, second)]);
    assert_eq!(store.decisions_of(&name, "e1").await.unwrap(), whole);
    // Whoever comes late, when all of it is decided, writes nothing.
    let late = decision(&alert("Q3", "firing", now()), DecisionOutcome::Recorded);
    let late = BTreeMap::from([(2, late)]);
    store.decisions_keep(&name, "e1", &late).await.unwrap();
    assert_eq!(store.decisions_of(&name, "e1").await.unwrap(), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_trigger_told_is_not_decided_by_another_one_of_its_name() {
    let house = House::new().await;
    let store = &house.store;
    let name = trigger().name;
    store.trigger_put(&trigger(), &ana(), None).await.unwrap();
    keep(&house, "e1", "{}").await;
    keep(&house, "e2", "{}").await;
    let done = decision(&alert("Q1", "firing", now()), DecisionOutcome::Recorded);
    let done = BTreeMap::from([(0, done)]);
    store.decisions_keep(&name, "e2", &done).await.unwrap();
    store.trigger_remove(&name, &ana(), None).await.unwrap();
    // It was verified before the removal, and kept after it.
    keep(&house, "e3", "{}").await;
    store.trigger_put(&trigger(), &ana(), None).await.unwrap();
    let due = store.inbox_due(Desk::Intake, 10, Duration::ZERO).await;
    assert_eq!(due.unwrap().len(), 0);
    for (event, part) in [("e1", 0), ("e2", 1), ("e3", 0)] {
        let of = store.decisions_of(&name, event).await.unwrap();
        assert_eq!(of[&part].code, "trigger_removed", "{event}");
    }
    // What comes from now on is the new one's.
    keep(&house, "e4", "{}").await;
    let due = store.inbox_due(Desk::Intake, 10, Duration::ZERO).await;
    assert_eq!(due.unwrap().len(), 1);
}
