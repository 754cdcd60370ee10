//! The write of a step: one commit, few bytes, written once whatever happens to its acknowledgement.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    effect::{Effect, Outcome},
    lifecycle::Event,
};
use store::{AppendMeta, Error};

use crate::{
    cutting_proxy::CuttingProxy,
    databases::{options_of, server},
    house::{Hand, House, LEASE, component, container, image, worker},
    postgres_fixture::Postgres,
};

/// Most WAL of a step.
const WAL_BYTES_MAX: f64 = 1024.0;

/// What the worker writes with a step: the outcome of the last effect and the intent of the next.
fn step(n: usize) -> Vec<Event> {
    vec![
        Event::Performed {
            outcome: Outcome::Done,
        },
        intent(n),
    ]
}

/// The acts of a rollback of one replica, over and over.
fn intent(n: usize) -> Event {
    let (name, specification) = (format!("shop-api-1.next-{n:012}"), "5".repeat(64));
    let acts = [
        Effect::TakeLock { image: image('a') },
        Effect::KeepImage { image: image('a') },
        Effect::Capture {
            component: component(),
            container: container('f'),
        },
        Effect::CreateContainer {
            component: component(),
            name: name.clone(),
            image: image('a'),
            specification: specification.parse().unwrap(),
            replaces: container('f'),
            config_hash: None,
        },
        Effect::StopContainer {
            container: container('f'),
            grace_s: 10,
        },
        Effect::StartContainer {
            container: container('e'),
            restart: None,
        },
        Effect::RenameContainer {
            container: container('f'),
            name: name.clone(),
        },
        Effect::RenameContainer {
            container: container('e'),
            name,
        },
        Effect::Record,
        Effect::RemoveContainer {
            container: container('f'),
        },
    ];
    Event::Intended {
        effect: acts[n % acts.len()].clone(),
    }
}

fn marked(text: &str) -> Vec<Event> {
    vec![
        Event::EngineLost {
            said: text.to_owned(),
        },
        Event::EngineBack,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_one_commit_and_less_than_a_kilobyte_of_wal() {
    const STEPS: usize = 400;
    // A server of its own: WAL is counted for the whole server.
    let server = Postgres::start(&["autovacuum=off"]);
    let options = options_of(&server, "postgres");
    store::migrate(&options).await.unwrap();
    let house = House::at(options, "postgres".to_owned(), 1).await;
    let mut hand = Hand::of(&house.claimed("shop", &worker()).await);
    let meta = AppendMeta {
        lease: LEASE,
        ..AppendMeta::default()
    };
    hand.append_with(&house.store, vec![intent(0)], meta.clone())
        .await
        .unwrap();
    let commits = "select xact_commit from pg_stat_database where datname = current_database()";
    let wal = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    // What a step says is domain's; what it costs beyond that is ours.
    let said = "select sum(octet_length(body))::bigint from rollback_event";
    let before = (
        house.count(commits).await,
        house.count(wal).await,
        house.count(said).await,
    );
    let mut states = 0;
    for n in 1..=STEPS {
        hand.append_with(&house.store, step(n), meta.clone())
            .await
            .unwrap();
        states += i64::try_from(serde_json::to_string(&hand.run).unwrap().len()).unwrap();
    }
    let wal = house.count(wal).await - before.1;
    let said = house.count(said).await - before.2 + states;
    // A session tells its counters at the latest when it ends.
    house.store.close().await;
    let until = Instant::now() + Duration::from_secs(30);
    let mut told = house.count(commits).await - before.0;
    while told < i64::try_from(STEPS).unwrap() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
        told = house.count(commits).await - before.0;
    }
    let commits = told;
    let hot = house
        .count("select n_tup_hot_upd * 100 / n_tup_upd from pg_stat_user_tables where relname = 'rollback_run'")
        .await;
    let each = |count: i64| {
        f64::from(i32::try_from(count).unwrap()) / f64::from(u32::try_from(STEPS).unwrap())
    };
    println!(
        "a step of two events: {:.2} commits, {:.0} bytes of WAL, {:.0} of them its events and state; {hot} % of updates HOT",
        each(commits),
        each(wal),
        each(said)
    );
    assert!(each(commits) >= 0.99, "the counters were read too early");
    assert!(each(commits) <= 1.1 && hot >= 95);
    assert!(
        each(wal - said) <= 550.0,
        "two rows, two index entries, one update and one commit"
    );
    assert!(
        each(wal) <= WAL_BYTES_MAX,
        "{} bytes of WAL per step",
        each(wal)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_workers_step_side_by_side() {
    const STEPS: usize = 60;
    let house = Arc::new(House::with_connections(16).await);
    let mut hands = Vec::new();
    for n in 0..16 {
        hands.push(Hand::of(
            &house.claimed(&format!("shop{n}"), &worker()).await,
        ));
    }
    let began = Instant::now();
    let runs: Vec<_> = hands
        .into_iter()
        .map(|mut hand| {
            let house = house.clone();
            tokio::spawn(async move {
                hand.append(&house.store, vec![intent(0)]).await.unwrap();
                for n in 1..STEPS {
                    hand.append(&house.store, step(n)).await.unwrap();
                }
                hand.held.rollback
            })
        })
        .collect();
    let mut rollbacks = Vec::new();
    for run in runs {
        rollbacks.push(run.await.unwrap());
    }
    let steps = f64::from(u32::try_from(16 * STEPS).unwrap());
    println!(
        "{:.0} steps/s at 16 workers",
        steps / began.elapsed().as_secs_f64()
    );
    for rollback in rollbacks {
        let events = 2 * i32::try_from(STEPS).unwrap();
        assert_eq!(
            house.store.verify(rollback).await.unwrap(),
            store::Verified::Ok { events }
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_acknowledgement_is_lost_is_written_once() {
    let proxy = CuttingProxy::before(server().socket_folder());
    let direct = House::new().await;
    let options = options_of(server(), &direct.database).host(proxy.folder().to_str().unwrap());
    let house = House::at(options, direct.database.clone(), 1).await;
    let mut hand = Hand::of(&house.claimed("shop", &worker()).await);
    for n in 1..=3 {
        let text = format!("the acknowledgement of {n} is lost");
        proxy.lose_the_answer_to(&text);
        let appended = hand.append(&house.store, marked(&text)).await.unwrap();
        assert!(proxy.lost(), "the answer was cut off");
        assert_eq!(appended.seq, 1 + 2 * n);
        assert_eq!(
            direct.count("select count(*) from rollback_event").await,
            i64::from(appended.seq)
        );
    }
    let verified = direct.store.verify(hand.held.rollback).await.unwrap();
    assert_eq!(verified, store::Verified::Ok { events: 7 });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_append_again_is_told_as_done_and_another_is_refused() {
    let house = House::new().await;
    let hand = Hand::of(&house.claimed("shop", &worker()).await);
    let meta = AppendMeta {
        lease: LEASE,
        ..AppendMeta::default()
    };
    let (run, entries) = hand.after(marked("a"));
    let first = house
        .store
        .append(&hand.held, &entries, &run, &meta)
        .await
        .unwrap();
    assert_eq!(
        house
            .store
            .append(&hand.held, &entries, &run, &meta)
            .await
            .unwrap(),
        first
    );
    let (run, entries) = hand.after(marked("b"));
    assert!(matches!(
        house.store.append(&hand.held, &entries, &run, &meta).await,
        Err(Error::Fenced)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_appends_at_once_one_is_written() {
    let house = House::new().await;
    let hand = Hand::of(&house.claimed("shop", &worker()).await);
    let meta = AppendMeta {
        lease: LEASE,
        ..AppendMeta::default()
    };
    let (one, other) = (hand.after(marked("one")), hand.after(marked("other")));
    let (left, right) = tokio::join!(
        house.store.append(&hand.held, &one.1, &one.0, &meta),
        house.store.append(&hand.held, &other.1, &other.0, &meta),
    );
    assert_eq!(usize::from(left.is_ok()) + usize::from(right.is_ok()), 1);
    assert_eq!(house.count("select count(*) from rollback_event").await, 3);
}
