//! Runs that wait: what wakes them, who watches over them, and what they cost.

use std::time::{Duration, Instant};

use domain::{lifecycle::Event, name::RollbackId, next::Order};
use store::AppendMeta;
use uuid::Uuid;

use crate::{
    claims::note,
    house::{Hand, House, LEASE, ana, in_ms, worker},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_wakes_a_resting_run_and_is_answered_once() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    let mut hand = Hand::of(&claimed);
    let rest = AppendMeta {
        release: true,
        wake_at: Some(in_ms(600_000)),
        lease: LEASE,
        ..AppendMeta::default()
    };
    hand.append_with(&house.store, Vec::new(), rest)
        .await
        .unwrap();
    assert!(
        house
            .store
            .claim(&worker(), 10, LEASE)
            .await
            .unwrap()
            .is_empty()
    );
    house
        .store
        .order_put(claimed.rollback, &Order::Cancel { by: ana() }, &ana())
        .await
        .unwrap();
    let claimed = house.claim_one(&worker(), claimed.rollback, LEASE).await;
    let mut hand = Hand::of(&claimed);
    assert!(
        hand.append(&house.store, vec![note()])
            .await
            .unwrap()
            .orders_pending
    );
    let answer = Event::CancelRefused {
        by: ana(),
        why: "too late".to_owned(),
    };
    let seen = AppendMeta {
        orders_seen: vec![claimed.orders[0].0],
        release: true,
        wake_at: Some(in_ms(600_000)),
        ..AppendMeta::default()
    };
    assert!(
        !hand
            .append_with(&house.store, vec![answer], seen)
            .await
            .unwrap()
            .orders_pending
    );
    assert!(
        house
            .store
            .orders_unseen(claimed.rollback)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        house
            .store
            .claim(&worker(), 10, LEASE)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_window_that_can_not_be_read_hides_no_other() {
    let house = House::new().await;
    for (name, damage) in [
        ("unreadable", "state = '{}'"),
        ("newer", "plan_format = plan_format + 1"),
    ] {
        let other = house.claimed(name, &worker()).await;
        Hand::of(&other).walk_to_watch(&house.store).await;
        house
            .raw(format!(
                "update rollback_run set {damage} where rollback_id = '{}'",
                other.rollback
            ))
            .await;
    }
    let claimed = house.claimed("shop", &worker()).await;
    Hand::of(&claimed).walk_to_watch(&house.store).await;
    for limit in [1, 10] {
        let watching = house.store.watching_runs(None, limit).await.unwrap();
        let watching: Vec<_> = watching.iter().map(|run| run.rollback).collect();
        assert_eq!(watching, [claimed.rollback], "in pages of {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_an_engine_is_stale_when_its_rollback_has_ended() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    assert_eq!(
        house.store.lock_stale(claimed.rollback).await.unwrap(),
        Some(false)
    );
    let mut hand = Hand::of(&claimed);
    hand.walk_to_watch(&house.store).await;
    let watching = house.store.watching_runs(None, 10).await.unwrap();
    assert_eq!((watching.len(), &watching[0].run), (1, &hand.run));
    assert!(
        house
            .store
            .watching_runs(Some(claimed.rollback), 10)
            .await
            .unwrap()
            .is_empty()
    );
    let verdict = domain::verdict::Verdict::RolledBack {
        good: true,
        notes: Vec::new(),
    };
    hand.end(&house.store, verdict).await;
    assert_eq!(
        house.store.lock_stale(claimed.rollback).await.unwrap(),
        Some(true)
    );
    assert_eq!(
        house
            .store
            .lock_stale(RollbackId(Uuid::now_v7()))
            .await
            .unwrap(),
        None
    );
    assert!(
        house
            .store
            .watching_runs(None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resting_run_can_be_woken() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    let rest = AppendMeta {
        release: true,
        wake_at: Some(in_ms(600_000)),
        lease: LEASE,
        ..AppendMeta::default()
    };
    Hand::of(&claimed)
        .append_with(&house.store, Vec::new(), rest)
        .await
        .unwrap();
    house.store.wake_run(claimed.rollback).await.unwrap();
    house.claim_one(&worker(), claimed.rollback, LEASE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_waiting_runs_cost_a_poll_next_to_nothing() {
    let house = House::new().await;
    house.application("shop").await;
    house.raw(WAITING).await;
    let plan = house.planned("due").await;
    let id = house.request(&plan).await;
    let me = worker();
    assert_eq!(house.claim_one(&me, id, LEASE).await.rollback, id);
    let began = Instant::now();
    for _ in 0..20 {
        assert!(house.store.claim(&me, 10, LEASE).await.unwrap().is_empty());
        assert!(house.store.next_due().await.unwrap().unwrap().as_secs() > 3000);
    }
    let each = began.elapsed() / 20;
    println!("a poll beside 10 000 waiting runs takes {each:?}");
    assert!(each < Duration::from_millis(500), "{each:?}");
}

/// Runs that wait, and a past of as many that have ended.
const WAITING: &str = "
    insert into plan values ('d0', 'shop', '{}', 'ana');
    insert into rollback select gen_random_uuid(), 'shop', 'd0', 'ana', 'performance', null, now()
        from generate_series(1, 20000);
    insert into rollback_run (rollback_id, application, phase, acts, state, seq, head, wake_at, plan_format, ended_at)
        select id, 'shop', case when row_number() over () % 2 = 0 then 'watching' else 'ended' end, false, '{}', 1,
               decode(repeat('00', 32), 'hex'), now() + interval '1 hour', 1,
               case when row_number() over () % 2 = 0 then null else now() end
        from rollback;
    insert into rollback_order (rollback_id, kind, actor, seen_at)
        select rollback_id, 'cancel', 'ana', now() from rollback_run;
    analyze;
";
