//! Files that a rollback wrote a version into, as it is told of them later.

use std::time::Duration;

use domain::{
    compose::PlannedProject,
    lifecycle::Event,
    name::RollbackId,
    verdict::{Cause, CauseCode, Verdict},
};
use serde_json::json;
use store::NewPin;

use crate::house::{Hand, House, ana, plan, worker};

const PATH: &str = "/srv/shop/.env";

/// A rollback that wrote its version into a file, and ended like this.
async fn ended(house: &House, name: &str, verdict: Verdict) -> RollbackId {
    let application = house.application(name).await;
    let target = house.deploy(&application, "1.4.2", 'a').await;
    house.deploy(&application, "1.5.0", 'b').await;
    let mut plan = plan(application, target);
    let project = json!({"pin": {"path": PATH, "variable": "VERSION", "from": "1.5.0", "to": "1.4.2"},
                         "understood": []});
    plan.project = serde_json::from_value::<Option<PlannedProject>>(project).unwrap();
    house.store.plan_put(&plan, &ana()).await.unwrap();
    let id = house.request(&plan).await;
    let claimed = house
        .claim_one(&worker(), id, Duration::from_secs(60))
        .await;
    let mut hand = Hand::of(&claimed);
    let new = NewPin {
        path: PATH,
        folder: "/srv/shop",
        name: ".env",
        former: Some(b"VERSION=1.5.0\n"),
        written: Some(b"VERSION=1.4.2\n"),
    };
    house.store.pin_keep(&hand.held, &new).await.unwrap();
    match verdict {
        Verdict::NeedsHuman { .. } => {
            let turned = Event::TurnedBack { cause: cause() };
            hand.append(&house.store, vec![turned]).await.unwrap();
        }
        Verdict::RolledBack { .. }
        | Verdict::Restored { .. }
        | Verdict::Refused { .. }
        | Verdict::Cancelled { .. } => hand.walk_to_watch(&house.store).await,
    }
    hand.end(&house.store, verdict).await;
    id
}

fn cause() -> Cause {
    Cause::new(CauseCode::Drifted, "somebody was there")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_a_file_is_told_of_a_rollback_that_was_left_to_a_person_until_it_is_back() {
    let house = House::new().await;
    let left = Verdict::NeedsHuman {
        cause: cause(),
        production: "half of it".to_owned(),
    };
    let id = Box::pin(ended(&house, "left", left)).await;
    let pins = house.store.pins_of(id).await.unwrap();
    assert_eq!(pins.len(), 1);
    assert_eq!((pins[0].held, pins[0].settled_at), (false, None));
    assert_eq!(pins[0].pin.to.as_deref(), Some("1.4.2"));
    let said = "it is what it was before the rollback";
    house.store.pin_settle(id, PATH, said).await.unwrap();
    let pins = house.store.pins_of(id).await.unwrap();
    assert_eq!(pins[0].said.as_deref(), Some(said));

    // It goes back with the hold, which is told of it.
    let proved = Verdict::RolledBack {
        good: true,
        notes: Vec::new(),
    };
    let back = Box::pin(ended(&house, "back", proved)).await;
    let pins = house.store.pins_of(back).await.unwrap();
    assert_eq!((pins.len(), pins[0].held), (1, true));
}
