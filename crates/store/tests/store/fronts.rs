//! Acts beside rollbacks: never while one acts, never on a look of before one, and none is asked for meanwhile.

use std::time::Duration;

use domain::verdict::{Cause, CauseCode, Verdict};
use serde_json::json;

use crate::house::{Hand, House, actor, worker};

#[tokio::test(flavor = "multi_thread")]
async fn an_act_waits_for_no_rollback_and_no_rollback_begins_beside_it() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let (store, name) = (&house.store, plan.application.name.clone());
    let by = actor("sternway");
    let entry = || (&by, "front.follow", json!({"to": "172.18.0.2:8080"}));
    let entries = "select count(*) from audit_entry where action = 'front.follow'";
    let fine = async { Ok::<(), ()>(()) };
    let done = store.while_at_rest(&name, None, entry(), fine).await;
    assert_eq!(done.unwrap(), Some(Ok(())));
    assert_eq!(house.count(entries).await, 1);
    let failed = async { Err::<(), ()>(()) };
    let done = store.while_at_rest(&name, None, entry(), failed).await;
    assert_eq!(
        done.unwrap(),
        Some(Err(())),
        "what was not done has no entry"
    );
    let endless = std::future::pending::<Result<(), ()>>();
    let done = store.while_at_rest(&name, None, entry(), endless).await;
    assert_eq!(done.unwrap(), None, "nobody waits for it for ever");
    assert_eq!(house.count(entries).await, 1);

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
