//! A Postgres that dies, is gone, or takes no writes.

use std::{sync::Arc, time::Duration};

use domain::{lifecycle::Event, name::RollbackId};
use sqlx::PgPool;
use store::{AppendMeta, Error, Store, StoreSettings, Verified, Wake};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    databases::options_of,
    house::{Hand, House, LEASE, ana, ask, key, named, shop, worker},
    postgres_fixture::Postgres,
};

async fn house_on(server: &Postgres) -> House {
    let options = options_of(server, "postgres");
    store::migrate(&options).await.unwrap();
    House::at(options, "postgres".to_owned(), 4).await
}

fn lost(n: usize) -> Vec<Event> {
    vec![
        Event::EngineLost {
            said: format!("loss {n}"),
        },
        Event::EngineBack,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_of_postgres_the_next_call_works_and_nothing_acknowledged_is_lost() {
    let server = Postgres::start(&[]);
    let house = house_on(&server).await;
    let mut hand = Hand::of(&house.claimed("shop", &worker()).await);
    for n in 0..5 {
        for m in 0..4 {
            hand.append(&house.store, lost(n * 4 + m)).await.unwrap();
        }
        server.kill();
        server.start_again();
        // Not a word of what happened in between: the very next calls work, reads and writes alike.
        let view = house.store.rollback_get(hand.held.rollback).await.unwrap();
        assert_eq!(view.seq, hand.held.seq, "what was acknowledged is there");
        assert_eq!(view.run, hand.run);
        assert_eq!(
            house
                .store
                .renew(&[(hand.held.rollback, hand.held.fence)], LEASE)
                .await
                .unwrap()
                .len(),
            1
        );
    }
    assert!(matches!(
        house.store.verify(hand.held.rollback).await.unwrap(),
        Verified::Ok { events: 41 }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_killed_in_the_middle_of_appends_keeps_each_once() {
    let server = Arc::new(Postgres::start(&[]));
    let house = house_on(&server).await;
    let mut hand = Hand::of(&house.claimed("shop", &worker()).await);
    let killer = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            for _ in 0..4 {
                std::thread::sleep(Duration::from_millis(150));
                server.kill();
                server.start_again();
            }
        })
    };
    let (mut written, mut refused) = (0, 0);
    while !killer.is_finished() || written < 50 {
        let (run, entries) = hand.after(lost(written));
        let meta = AppendMeta {
            lease: LEASE,
            ..AppendMeta::default()
        };
        // The same arguments until it is told: that is what the worker does.
        let appended = loop {
            match house.store.append(&hand.held, &entries, &run, &meta).await {
                Ok(appended) => break appended,
                Err(Error::Unavailable(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        };
        hand.run = run;
        (hand.held.seq, hand.held.head) = (appended.seq, appended.head);
        written += 1;
    }
    killer.await.unwrap();
    println!("{written} appends over 4 kills; {refused} were told as unavailable first");
    let expected = 1 + 2 * i32::try_from(written).unwrap();
    assert_eq!(
        house.store.verify(hand.held.rollback).await.unwrap(),
        Verified::Ok { events: expected }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_gone_is_said_in_time_and_again_there_without_a_word() {
    let server = Postgres::start(&[]);
    let house = house_on(&server).await;
    let plan = house.planned("shop").await;
    server.kill();
    let began = Instant::now();
    let id = RollbackId(Uuid::now_v7());
    let gone = house.store.rollback_request(&ask(&plan, id, "k")).await;
    assert!(matches!(gone, Err(Error::Unavailable(_))), "{gone:?}");
    assert!(matches!(
        house.store.ready().await,
        Err(Error::Unavailable(_))
    ));
    assert!(matches!(
        house.store.application_put(&shop("b"), &ana(), None).await,
        Err(Error::Unavailable(_))
    ));
    assert!(began.elapsed() < Duration::from_secs(15));
    server.start_again();
    house.store.ready().await.unwrap();
    assert!(
        house.store.rollback_get(id).await.is_err(),
        "what was refused did not happen"
    );
    house
        .store
        .rollback_request(&ask(&plan, id, "k"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_given_up_in_time() {
    let server = Postgres::start(&[]);
    let house = house_on(&server).await;
    house.application("shop").await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(&house.pool)
        .await
        .unwrap();
    assert!(pid > 0);
    // Every process of the server stops: connections stay open and nothing answers.
    let frozen = server.frozen();
    let began = Instant::now();
    let late = house.store.application_get(&named("shop")).await;
    assert!(matches!(late, Err(Error::Unavailable(_))), "{late:?}");
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    drop(frozen);
    house.store.application_get(&named("shop")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_sessions_cost_nobody_a_call() {
    let house = House::new().await;
    house.application("shop").await;
    for _ in 0..8 {
        house.store.ready().await.unwrap();
    }
    house.raw("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sternway' and datname = current_database()").await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    for _ in 0..32 {
        house.store.application_get(&named("shop")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_is_unavailable_and_not_a_defect() {
    let house = House::new().await;
    house.application("shop").await;
    let options = house
        .options
        .clone()
        .options([("default_transaction_read_only", "on")]);
    let store = Store::connect(options, StoreSettings::default(), key(1), Wake::default())
        .await
        .unwrap();
    store.application_get(&named("shop")).await.unwrap();
    let refused = store.application_put(&shop("b"), &ana(), None).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(matches!(store.ready().await, Err(Error::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fixtures_sessions_end_with_its_pool() {
    let house = House::new().await;
    let pool: &PgPool = &house.pool;
    house.store.ready().await.unwrap();
    house.store.close().await;
    let mut left = i64::MAX;
    for _ in 0..50 {
        left = sqlx::query_scalar("select count(*) from pg_stat_activity where application_name = 'sternway' and datname = current_database()")
            .fetch_one(pool)
            .await
            .unwrap();
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left, 0, "closing a store closes its sessions");
}
