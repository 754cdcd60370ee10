//! Claims: nobody twice, fences that only grow, leases that end, workers that die.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use domain::{
    lifecycle::Event,
    name::{Fence, RollbackId},
};
use store::{AppendMeta, ArtifactKind, Error, NewArtifact, Worker};
use uuid::Uuid;

use crate::house::{Hand, House, LEASE, component, container, in_ms, worker};

/// Long enough for a few statements, short enough to wait for its end.
const SHORT: Duration = Duration::from_millis(300);
/// A lease that is renewed before it ends: a stall of the machine must fit into it.
const RENEWED: Duration = Duration::from_secs(2);

pub(crate) fn note() -> Event {
    Event::StepDone {
        note: "done".to_owned(),
        checks: None,
        built: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_run_is_claimed_twice_and_fences_strictly_grow() {
    let house = Arc::new(House::with_connections(16).await);
    let mut before = BTreeMap::new();
    for n in 0..40 {
        let plan = house.planned(&format!("shop{n}")).await;
        let id = house.request(&plan).await;
        before.insert(id, (plan.application.name.clone(), 0_i64));
    }
    for round in 1..=3_i16 {
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let house = house.clone();
                tokio::spawn(async move {
                    let (me, mut mine) = (worker(), Vec::new());
                    loop {
                        let claims = house.store.claim(&me, 3, LEASE).await.unwrap();
                        if claims.is_empty() {
                            return mine;
                        }
                        mine.extend(
                            claims
                                .into_iter()
                                .map(|claim| (claim.rollback, claim.fence.0, claim.crashes)),
                        );
                    }
                })
            })
            .collect();
        let mut claimed = Vec::new();
        for racer in racers {
            claimed.extend(racer.await.unwrap());
        }
        // A claimer that finds every candidate locked leaves them to the next poll.
        claimed.extend(
            house
                .store
                .claim(&worker(), 64, LEASE)
                .await
                .unwrap()
                .into_iter()
                .map(|c| (c.rollback, c.fence.0, c.crashes)),
        );
        let runs: BTreeSet<RollbackId> = claimed.iter().map(|(id, ..)| *id).collect();
        assert_eq!((claimed.len(), runs.len()), (40, 40), "round {round}");
        for (id, fence, crashes) in claimed {
            let (_, last) = before.get_mut(&id).unwrap();
            assert!(fence > *last, "a fence only grows");
            assert_eq!(crashes, round - 1);
            *last = fence;
        }
        house
            .raw("update rollback_run set lease_until = now()")
            .await;
    }
    let above = house
        .count("select count(*) from application_fence where fence > 1700000000000")
        .await;
    assert_eq!(above, 40, "fences start at the clock");
}

/// A database that was put back from an old copy, and one that was copied and goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn no_fence_is_below_the_time_of_day() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    house.request(&plan).await;
    house.raw("update application_fence set fence = 7").await;
    let claims = house.store.claim(&worker(), 1, LEASE).await.unwrap();
    assert!(
        claims[0].fence.0 > 1_700_000_000_000,
        "{:?}",
        claims[0].fence
    );
    let stored = house
        .count("select count(*) from application_fence where fence > 1700000000000")
        .await;
    assert_eq!(stored, 1, "the next one is above it");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_application_never_share_a_fence() {
    let house = House::new().await;
    let me = worker();
    let claimed = house.claimed("shop", &me).await;
    let mut hand = Hand::of(&claimed);
    hand.walk_to_watch(&house.store).await;
    let rest = AppendMeta {
        release: true,
        wake_at: Some(in_ms(0)),
        lease: LEASE,
        ..AppendMeta::default()
    };
    hand.append_with(&house.store, Vec::new(), rest)
        .await
        .unwrap();
    let newer = house.request(&claimed.plan).await;
    let claims = house.store.claim(&me, 10, LEASE).await.unwrap();
    let fences: BTreeSet<Fence> = claims.iter().map(|claim| claim.fence).collect();
    assert_eq!((claims.len(), fences.len()), (2, 2));
    assert!(claims.iter().any(|claim| claim.rollback == newer));
    assert!(claims.iter().all(|claim| claim.fence > claimed.fence));
}

async fn everything_is_refused(house: &House, hand: &mut Hand) {
    let (store, held) = (&house.store, hand.held.clone());
    let events = house.count("select count(*) from rollback_event").await;
    assert!(matches!(
        hand.append(store, vec![note()]).await,
        Err(Error::Fenced)
    ));
    assert!(matches!(
        hand.append(store, Vec::new()).await,
        Err(Error::Fenced)
    ));
    assert!(matches!(
        store.record(&held, Uuid::now_v7()).await,
        Err(Error::Fenced)
    ));
    assert!(matches!(store.crashed(&held).await, Err(Error::Fenced)));
    assert!(
        store
            .renew(&[(held.rollback, held.fence)], LEASE)
            .await
            .unwrap()
            .is_empty()
    );
    let new = NewArtifact {
        component: &component(),
        container: &container('f'),
        kind: ArtifactKind::Logs,
        content: b"x",
    };
    assert!(matches!(
        store.artifact_put(&held, &new).await,
        Err(Error::Fenced)
    ));
    assert_eq!(
        house.count("select count(*) from rollback_event").await,
        events
    );
    assert_eq!(
        house
            .count("select count(*) from deployment where kind = 'rollback'")
            .await,
        0
    );
    assert_eq!(house.count("select count(*) from artifact").await, 0);
    assert!(!store.recorded(held.rollback).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_fence_changes_nothing() {
    let house = House::new().await;
    let (old, new) = (worker(), worker());
    let plan = house.planned("shop").await;
    let id = house.request(&plan).await;
    let mut zombie = Hand::of(&house.claim_one(&old, id, SHORT).await);
    tokio::time::sleep(SHORT).await;
    let mut living = Hand::of(&house.claim_one(&new, id, LEASE).await);
    assert!(living.held.fence > zombie.held.fence);
    everything_is_refused(&house, &mut zombie).await;
    let taken = Event::TakenOver { crashes: 1 };
    living
        .append(&house.store, vec![taken, note()])
        .await
        .unwrap();
    everything_is_refused(&house, &mut zombie).await;
    assert_eq!(living.held.seq, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_lease_changes_nothing_though_nobody_took_over() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let id = house.request(&plan).await;
    let mut late = Hand::of(&house.claim_one(&worker(), id, SHORT).await);
    tokio::time::sleep(SHORT).await;
    everything_is_refused(&house, &mut late).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_moved_on_refuses_who_has_not_seen_it() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    let (mut one, mut other) = (Hand::of(&claimed), Hand::of(&claimed));
    one.append(&house.store, vec![note()]).await.unwrap();
    let different = Event::EngineLost {
        said: "gone".to_owned(),
    };
    assert!(matches!(
        other.append(&house.store, vec![different]).await,
        Err(Error::Fenced)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn renewing_keeps_a_claim_beyond_its_first_lease() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let id = house.request(&plan).await;
    let mut hand = Hand::of(&house.claim_one(&worker(), id, RENEWED).await);
    let kept = house
        .store
        .renew(
            &[
                (id, hand.held.fence),
                (RollbackId(Uuid::now_v7()), Fence(1)),
            ],
            LEASE,
        )
        .await
        .unwrap();
    assert_eq!(
        (kept.len(), kept[0].rollback, kept[0].orders_pending),
        (1, id, false)
    );
    tokio::time::sleep(RENEWED).await;
    assert!(
        house
            .store
            .claim(&worker(), 10, LEASE)
            .await
            .unwrap()
            .is_empty()
    );
    hand.append(&house.store, vec![note()]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_process_takes_its_hosts_runs_over_at_once() {
    let house = House::new().await;
    let dead = worker();
    let ours = house.claimed("ours", &dead).await;
    let elsewhere = worker();
    let theirs = house.claimed("theirs", &elsewhere).await;
    let me = Worker {
        id: Uuid::now_v7(),
        ..dead.clone()
    };
    assert!(house.store.claim(&me, 10, LEASE).await.unwrap().is_empty());
    assert_eq!(house.store.reclaim_host(&me).await.unwrap(), 1);
    let claims = house.store.claim(&me, 10, LEASE).await.unwrap();
    assert_eq!(
        claims
            .iter()
            .map(|claim| (claim.rollback, claim.crashes))
            .collect::<Vec<_>>(),
        [(ours.rollback, 1)]
    );
    assert_ne!(claims[0].rollback, theirs.rollback);
    assert_eq!(
        house.store.reclaim_host(&me).await.unwrap(),
        0,
        "its own claims are left alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_are_counted_per_step() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let id = house.request(&plan).await;
    let mut crashes = Vec::new();
    for _ in 0..3 {
        crashes.push(house.claim_one(&worker(), id, LEASE).await.crashes);
        house
            .raw("update rollback_run set lease_until = now()")
            .await;
    }
    let me = worker();
    let claimed = house.claim_one(&me, id, LEASE).await;
    crashes.push(claimed.crashes);
    let mut hand = Hand::of(&claimed);
    let same = AppendMeta {
        lease: LEASE,
        ..AppendMeta::default()
    };
    let lost = Event::EngineLost {
        said: "gone".to_owned(),
    };
    hand.append_with(&house.store, vec![lost, Event::EngineBack], same)
        .await
        .unwrap();
    house
        .raw("update rollback_run set lease_until = now()")
        .await;
    let claimed = house.claim_one(&me, id, LEASE).await;
    crashes.push(claimed.crashes);
    let mut hand = Hand::of(&claimed);
    house.store.crashed(&hand.held).await.unwrap();
    let claimed = house.claim_one(&me, id, LEASE).await;
    crashes.push(claimed.crashes);
    hand = Hand::of(&claimed);
    let moved = AppendMeta {
        step_changed: true,
        lease: LEASE,
        ..AppendMeta::default()
    };
    hand.append_with(&house.store, vec![note()], moved)
        .await
        .unwrap();
    house
        .raw("update rollback_run set lease_until = now()")
        .await;
    crashes.push(house.claim_one(&worker(), id, LEASE).await.crashes);
    // Three died; a fourth lost its lease and went on; then it panicked; then the step was done and one more died.
    assert_eq!(crashes, [0, 1, 2, 3, 3, 4, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_given_back_costs_nobody() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    let back = AppendMeta {
        release: true,
        lease: LEASE,
        ..AppendMeta::default()
    };
    let mut hand = Hand::of(&claimed);
    hand.append_with(&house.store, Vec::new(), back.clone())
        .await
        .unwrap();
    // The answer to giving back may be lost as well: doing it again is doing it once.
    hand.append_with(&house.store, Vec::new(), back)
        .await
        .unwrap();
    assert_eq!(
        house
            .claim_one(&worker(), claimed.rollback, LEASE)
            .await
            .crashes,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_a_newer_format_is_left_to_newer_workers() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let id = house.request(&plan).await;
    let old = Worker {
        plan_format_max: plan.format - 1,
        ..worker()
    };
    assert!(house.store.claim(&old, 10, LEASE).await.unwrap().is_empty());
    house.claim_one(&worker(), id, LEASE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_can_not_be_read_does_not_keep_the_others_waiting() {
    let house = House::new().await;
    let broken = house.planned("broken").await;
    house.request(&broken).await;
    house.raw("update rollback_run set state = '{}'").await;
    let plan = house.planned("shop").await;
    let id = house.request(&plan).await;
    let claims = house.store.claim(&worker(), 10, LEASE).await.unwrap();
    assert_eq!(
        claims
            .iter()
            .map(|claim| claim.rollback)
            .collect::<Vec<_>>(),
        [id]
    );
}
