//! Acts beside rollbacks: never while one acts, never on a look of before one, and none is asked for meanwhile.

use std::time::Duration;

use domain::{
    name::Actor,
    verdict::{Cause, CauseCode, Verdict},
};
use serde_json::json;
use store::AtRest;

use crate::house::{Hand, House, actor, worker};

fn asked_by(by: &Actor) -> AtRest<'_> {
    AtRest {
        by,
        asked: "front.follow_asked",
        done: "front.follow",
        detail: json!({"to": "172.18.0.2:8080"}),
    }
}

/// How often it was asked for, and how often it was done.
async fn entered(house: &House) -> (i64, i64) {
    let asked = "select count(*) from audit_entry where action = 'front.follow_asked'";
    let done = "select count(*) from audit_entry where action = 'front.follow'";
    (house.count(asked).await, house.count(done).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_act_is_without_its_entry_whenever_it_breaks_off() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let (store, name) = (&house.store, plan.application.name.clone());
    let by = actor("sternway");
    let fine = async {
        assert_eq!(entered(&house).await, (1, 0), "the entry comes first");
        Ok::<(), ()>(())
    };
    let done = store.while_at_rest(&name, None, asked_by(&by), fine).await;
    assert_eq!(done.unwrap(), Some(Ok(())));
    assert_eq!(entered(&house).await, (1, 1));
    let failed = async { Err::<(), ()>(()) };
    let done = store
        .while_at_rest(&name, None, asked_by(&by), failed)
        .await;
    assert_eq!(done.unwrap(), Some(Err(())));
    assert_eq!(entered(&house).await, (2, 1), "it was only asked for");
    let endless = std::future::pending::<Result<(), ()>>();
    let done = store
        .while_at_rest(&name, None, asked_by(&by), endless)
        .await;
    assert_eq!(done.unwrap(), None, "nobody waits for it for ever");
    // Whoever dies in the middle of it leaves what they were about to do.
    let endless = std::future::pending::<Result<(), ()>>();
    let killed = tokio::time::timeout(
        Duration::from_millis(500),
        store.while_at_rest(&name, None, asked_by(&by), endless),
    )
    .await;
    assert!(killed.is_err());
    assert_eq!(entered(&house).await, (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_waits_for_no_rollback_and_no_rollback_begins_beside_it() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let (store, name) = (&house.store, plan.application.name.clone());
    let by = actor("sternway");
    let entry = || asked_by(&by);
    // Whoever asks for a rollback meanwhile waits until the act is over.
    let asked = async {
        let begun = std::time::Instant::now();
        let id = house.request(&plan).await;
        (id, begun.elapsed())
    };
    let slow = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        Ok::<(), ()>(())
    };
    let act = store.while_at_rest(&name, None, entry(), slow);
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        asked.await
    };
    let (act, (id, waited)) = tokio::join!(act, later);
    assert_eq!(act.unwrap(), Some(Ok(())));
    assert!(waited > Duration::from_millis(200), "{waited:?}");

    let acts = async { Ok::<(), ()>(()) };
    let done = store.while_at_rest(&name, Some(id), entry(), acts).await;
    assert_eq!(done.unwrap(), None, "it acts");
    assert_eq!(entered(&house).await, (1, 1), "nor is it asked for");
    let claim = house
        .claim_one(&worker(), id, Duration::from_secs(15))
        .await;
    let mut hand = Hand::of(&claim);
    let cause = Cause::new(CauseCode::Drifted, "because");
    hand.end(store, Verdict::Refused { cause }).await;
    let old = async { Ok::<(), ()>(()) };
    let done = store.while_at_rest(&name, None, entry(), old).await;
    assert_eq!(done.unwrap(), None, "what was looked at was before it");
    let now = async { Ok::<(), ()>(()) };
    let done = store.while_at_rest(&name, Some(id), entry(), now).await;
    assert_eq!(done.unwrap(), Some(Ok(())));
}
