//! Requests: one acting rollback per application, one rollback per key, orders.

use std::sync::Arc;

use domain::{
    lifecycle::{Event, Phase},
    name::RollbackId,
    next::Order,
    verdict::{Cause, CauseCode, Verdict},
};
use store::{
    AppendMeta, Constraint, Error, NewRollback, OrderPut, Page, Requested, RollbackFilter,
};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::house::{Hand, House, LEASE, actor, ana, ask, image, in_ms, named, now, shop, worker};

#[tokio::test(flavor = "multi_thread")]
async fn of_32_requests_at_once_one_is_accepted_and_31_name_it() {
    let house = Arc::new(House::with_connections(32).await);
    let plan = Arc::new(house.planned("shop").await);
    let start = Arc::new(Barrier::new(32));
    let racers: Vec<_> = (0..32)
        .map(|n| {
            let (house, plan, start) = (house.clone(), plan.clone(), start.clone());
            tokio::spawn(async move {
                let id = RollbackId(Uuid::now_v7());
                let ask = ask(&plan, id, &format!("key {n}"));
                start.wait().await;
                (id, house.store.rollback_request(&ask).await)
            })
        })
        .collect();
    let (mut accepted, mut named) = (Vec::new(), Vec::new());
    for racer in racers {
        match racer.await.unwrap() {
            (id, Ok(Requested::New)) => accepted.push(id),
            (_, Err(Error::Conflict(Constraint::OneActing { active }))) => named.push(active),
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!((accepted.len(), named.len()), (1, 31));
    assert!(named.iter().all(|active| *active == accepted[0]));
    assert_eq!(house.count("select count(*) from rollback").await, 1);
    assert_eq!(house.count("select count(*) from rollback_event").await, 1);
    assert_eq!(house.count("select count(*) from idempotency").await, 1);
    assert_eq!(
        house
            .count("select count(*) from audit_entry where action = 'rollback.request'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_an_accepted_request_without_looking_is_what_is_stored() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    for approval_until in [None, Some(in_ms(60_000))] {
        let id = RollbackId(Uuid::now_v7());
        let ask = NewRollback {
            approval_until,
            ..ask(&plan, id, &id.to_string())
        };
        let said = ask.as_accepted().unwrap();
        house.store.rollback_request(&ask).await.unwrap();
        assert_eq!(said, house.store.rollback_get(id).await.unwrap());
        house
            .raw("update rollback_run set phase = 'ended', acts = false, ended_at = now()")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_is_the_same_rollback_and_another_body_is_refused() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let first = RollbackId(Uuid::now_v7());
    assert_eq!(
        house
            .store
            .rollback_request(&ask(&plan, first, "k"))
            .await
            .unwrap(),
        Requested::New
    );
    let again = ask(&plan, RollbackId(Uuid::now_v7()), "k");
    assert_eq!(
        house.store.rollback_request(&again).await.unwrap(),
        Requested::Replayed(first)
    );
    let mut other = ask(&plan, RollbackId(Uuid::now_v7()), "k");
    other.idempotency.body_hash = vec![2; 32];
    assert!(matches!(
        house.store.rollback_request(&other).await,
        Err(Error::IdempotencyMismatch)
    ));
    let mut somebody = ask(&plan, RollbackId(Uuid::now_v7()), "k");
    somebody.idempotency.principal = "token:2".to_owned();
    let conflict = house.store.rollback_request(&somebody).await;
    assert!(
        matches!(conflict, Err(Error::Conflict(Constraint::OneActing { active })) if active == first)
    );
    assert_eq!(
        house.count("select count(*) from idempotency").await,
        1,
        "a refused request leaves no key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_from_16_clients_at_once_gives_one_rollback() {
    let house = Arc::new(House::with_connections(16).await);
    let plan = Arc::new(house.planned("shop").await);
    let racers: Vec<_> = (0..16)
        .map(|_| {
            let (house, plan) = (house.clone(), plan.clone());
            tokio::spawn(async move {
                let id = RollbackId(Uuid::now_v7());
                match house
                    .store
                    .rollback_request(&ask(&plan, id, "k"))
                    .await
                    .unwrap()
                {
                    Requested::New => id,
                    Requested::Replayed(earlier) => earlier,
                }
            })
        })
        .collect();
    let mut ids = Vec::new();
    for racer in racers {
        ids.push(racer.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_needs_a_stored_plan_and_a_living_application() {
    let house = House::new().await;
    let mut plan = house.planned("shop").await;
    plan.disk_free_min = 1;
    let unknown = house
        .store
        .rollback_request(&ask(&plan, RollbackId(Uuid::now_v7()), "k"))
        .await;
    assert!(matches!(
        unknown,
        Err(Error::Conflict(Constraint::Unknown("plan")))
    ));
    house.store.plan_put(&plan, &ana()).await.unwrap();
    house
        .store
        .application_remove(&named("shop"), &ana(), None)
        .await
        .unwrap();
    let removed = house
        .store
        .rollback_request(&ask(&plan, RollbackId(Uuid::now_v7()), "k"))
        .await;
    assert!(matches!(removed, Err(Error::NotFound("application"))));
    plan.application = shop("other");
    assert!(matches!(
        house.store.plan_put(&plan, &ana()).await,
        Err(Error::Conflict(Constraint::Unknown("application")))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_with_an_acting_rollback_can_not_be_removed() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let id = house.request(&plan).await;
    let refused = house
        .store
        .application_remove(&named("shop"), &ana(), None)
        .await;
    assert!(
        matches!(refused, Err(Error::Conflict(Constraint::OneActing { active })) if active == id)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_rollback_supersedes_one_that_watches() {
    let house = House::new().await;
    let me = worker();
    let claimed = house.claimed("shop", &me).await;
    let mut hand = Hand::of(&claimed);
    hand.walk_to_watch(&house.store).await;
    assert!(matches!(hand.run.phase, Phase::Watching { .. }));
    let newer = house.request(&claimed.plan).await;
    let orders = house.store.orders_unseen(claimed.rollback).await.unwrap();
    assert!(matches!(orders[..], [(_, Order::Supersede { by })] if by == newer));
    let renewed = house
        .store
        .renew(&[(hand.held.rollback, hand.held.fence)], LEASE)
        .await
        .unwrap();
    assert!(renewed[0].orders_pending);
    let view = house.store.rollback_get(newer).await.unwrap();
    assert_eq!(
        (view.seq, view.phase.as_str(), view.verdict),
        (1, "forward", None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_approval_sleeps_until_somebody_says_something() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let id = RollbackId(Uuid::now_v7());
    let ask = NewRollback {
        approval_until: Some(in_ms(600_000)),
        ..ask(&plan, id, "k")
    };
    house.store.rollback_request(&ask).await.unwrap();
    assert!(
        house
            .store
            .claim(&worker(), 10, LEASE)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(house.store.next_due().await.unwrap().unwrap().as_secs() > 590);
    let order = Order::Approve {
        by: actor("ben"),
        at: now(),
    };
    assert_eq!(
        house
            .store
            .order_put(id, &order, &actor("ben"))
            .await
            .unwrap(),
        OrderPut::Accepted
    );
    assert_eq!(
        house
            .store
            .order_put(id, &order, &actor("ben"))
            .await
            .unwrap(),
        OrderPut::Accepted
    );
    let claimed = house.claim_one(&worker(), id, LEASE).await;
    assert_eq!(
        claimed.orders.len(),
        1,
        "asking twice before it was seen is asking once"
    );
    assert_eq!(claimed.orders[0].1, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_an_ended_or_unknown_rollback_is_said_to_be_in_vain() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    let cause = Cause::new(CauseCode::ImageMissing, "gone");
    Hand::of(&claimed)
        .end(&house.store, Verdict::Refused { cause })
        .await;
    let cancel = Order::Cancel { by: ana() };
    assert_eq!(
        house
            .store
            .order_put(claimed.rollback, &cancel, &ana())
            .await
            .unwrap(),
        OrderPut::Ended
    );
    let nobody = house
        .store
        .order_put(RollbackId(Uuid::now_v7()), &cancel, &ana())
        .await;
    assert!(matches!(nobody, Err(Error::NotFound("rollback"))));
    let filter = RollbackFilter {
        active: Some(true),
        ..RollbackFilter::default()
    };
    assert!(
        house
            .store
            .rollback_list(&filter, &Page::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

/// What is accepted is answered: an order that is being written while the run ends is seen by one more turn.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_waits_for_the_order_that_is_being_put_and_is_not_written_over_it() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    let mut tx = house.pool.begin().await.unwrap();
    sqlx::query("select from rollback_run where rollback_id = $1 for share")
        .bind(claimed.rollback.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query(
        "insert into rollback_order (rollback_id, kind, actor) values ($1, 'cancel', 'ben')",
    )
    .bind(claimed.rollback.0)
    .execute(&mut *tx)
    .await
    .unwrap();
    let cause = Cause::new(CauseCode::ImageMissing, "gone");
    let end = vec![Event::Ended {
        verdict: Verdict::Refused { cause },
    }];
    let (mut hand, store) = (Hand::of(&claimed), house.store.clone());
    let ending = tokio::spawn(async move {
        let ended = hand.append(&store, end.clone()).await;
        (hand, end, ended)
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!ending.is_finished(), "the end overtook the order");
    tx.commit().await.unwrap();
    let (mut hand, end, ended) = ending.await.unwrap();
    assert!(matches!(ended, Err(Error::OrdersPending)), "{ended:?}");
    let seen = house.store.orders_unseen(claimed.rollback).await.unwrap();
    assert_eq!(seen.len(), 1);
    let answered = AppendMeta {
        orders_seen: vec![seen[0].0],
        lease: LEASE,
        ..AppendMeta::default()
    };
    hand.append_with(&house.store, end, answered).await.unwrap();
    let cancel = Order::Cancel { by: ana() };
    let late = house
        .store
        .order_put(claimed.rollback, &cancel, &ana())
        .await;
    assert_eq!(late.unwrap(), OrderPut::Ended);
}

/// The same as a race, many times: whoever is told "accepted" is seen.
#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_order_is_lost_to_an_end_that_comes_with_it() {
    let house = House::new().await;
    for round in 0..40 {
        let name = format!("shop{round}");
        let claimed = house.claimed(&name, &worker()).await;
        let rollback = claimed.rollback;
        let cause = Cause::new(CauseCode::ImageMissing, "gone");
        let end = vec![Event::Ended {
            verdict: Verdict::Refused { cause },
        }];
        let (mut hand, store) = (Hand::of(&claimed), house.store.clone());
        let ending = tokio::spawn(async move { hand.append(&store, end).await });
        let cancel = Order::Cancel { by: ana() };
        let put = house
            .store
            .order_put(rollback, &cancel, &ana())
            .await
            .unwrap();
        match (put, ending.await.unwrap()) {
            (OrderPut::Accepted, Err(Error::OrdersPending)) | (OrderPut::Ended, Ok(_)) => {}
            (put, ended) => panic!("round {round}: {put:?} and {ended:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_can_not_be_obeyed_any_more_is_refused_at_once() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    let mut hand = Hand::of(&claimed);
    let ben = actor("ben");
    let approve = Order::Approve {
        by: ben.clone(),
        at: now(),
    };
    let put = house
        .store
        .order_put(claimed.rollback, &approve, &ben)
        .await;
    assert!(matches!(put.unwrap(), OrderPut::TooLate(_)));
    let turned = vec![
        Event::Intended {
            effect: domain::effect::Effect::TakeLock { image: image('a') },
        },
        Event::TurnedBack {
            cause: Cause::new(CauseCode::NameTaken, "taken"),
        },
    ];
    hand.append(&house.store, turned).await.unwrap();
    let cancel = Order::Cancel { by: ana() };
    let put = house
        .store
        .order_put(claimed.rollback, &cancel, &ana())
        .await;
    let OrderPut::TooLate(why) = put.unwrap() else {
        panic!("accepted");
    };
    assert!(why.contains("going back"), "{why}");
}
