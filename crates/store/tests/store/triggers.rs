//! Triggers, what they told, and what came of it.

use std::time::Duration;

use domain::trigger::{Headers, Kind, Mode, Trigger};
use serde_json::json;
use store::{
    Constraint, DecisionFilter, DecisionOutcome, Desk, Error, NewDecision, NewMessage, Page, Store,
};

use crate::house::{House, ana, key};

const LEASE: Duration = Duration::from_secs(60);

fn trigger(name: &str) -> Trigger {
    serde_json::from_value(json!({"name": name, "kind": "pagerduty"})).unwrap()
}

async fn with_trigger() -> House {
    let house = House::new().await;
    house
        .store
        .trigger_put(&trigger("pager"), &ana(), None)
        .await
        .unwrap();
    house
}

async fn put(store: &Store, event_id: &str) -> bool {
    let message = NewMessage {
        trigger: "pager".parse().unwrap(),
        event_id: event_id.to_owned(),
        headers: [("x-webhook-id", "w")].into_iter().collect(),
        body: b"\xff\x00 any bytes".to_vec(),
        settle: Duration::ZERO,
        desk: Desk::Intake,
    };
    store.inbox_put(message).await.unwrap()
}

fn recorded() -> NewDecision {
    NewDecision {
        application: None,
        outcome: DecisionOutcome::Recorded,
        code: "unknown_application".to_owned(),
        said: "x".to_owned(),
        notice: json!({}),
        deployment: None,
        episode: None,
        would_be: None,
        guards: None,
        next_action: None,
        plan: None,
        rollback: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_kept_once_and_decided_once() {
    let house = with_trigger().await;
    let store = &house.store;
    let mut both = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        both.spawn(async move { put(&store, "e1").await });
    }
    let new = both.join_all().await.into_iter().filter(|new| *new).count();
    assert_eq!(new, 1);
    let due = store.inbox_due(Desk::Intake, 10, LEASE).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].body, b"\xff\x00 any bytes");
    let kept: Headers = [("x-webhook-id", "w")].into_iter().collect();
    assert_eq!(
        (due[0].event_id.as_str(), &due[0].headers, due[0].tries),
        ("e1", &kept, 1)
    );
    assert!(
        store
            .inbox_due(Desk::Intake, 10, LEASE)
            .await
            .unwrap()
            .is_empty(),
        "it is somebody's"
    );
    let name = &due[0].trigger.name;
    let parts = [recorded(), recorded()];
    assert!(
        store
            .decisions_put(name, "e1", parts.to_vec())
            .await
            .unwrap()
    );
    assert!(
        !store
            .decisions_put(name, "e1", parts.to_vec())
            .await
            .unwrap(),
        "a stale worker writes nothing"
    );
    let listed = store
        .decision_list(&DecisionFilter::default(), &Page::default())
        .await
        .unwrap();
    let parts: Vec<i32> = listed.items.iter().map(|one| one.part).collect();
    assert_eq!(parts, [1, 0]);
    assert!(!put(store, "e1").await, "what is decided is still known");
    assert!(
        store
            .inbox_due(Desk::Intake, 10, LEASE)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_took_and_never_decided_comes_again() {
    let house = with_trigger().await;
    let store = &house.store;
    put(store, "e1").await;
    assert_eq!(
        store
            .inbox_due(Desk::Intake, 10, Duration::ZERO)
            .await
            .unwrap()[0]
            .tries,
        1
    );
    let again = store.inbox_due(Desk::Intake, 10, LEASE).await.unwrap();
    assert_eq!(again[0].tries, 2);
    assert!(
        store
            .decisions_put(&again[0].trigger.name, "e1", vec![recorded()])
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_settles_is_due_later() {
    let house = with_trigger().await;
    let message = NewMessage {
        trigger: "pager".parse().unwrap(),
        event_id: "e1".to_owned(),
        headers: Headers::default(),
        body: b"{}".to_vec(),
        settle: Duration::from_secs(30),
        desk: Desk::Intake,
    };
    assert!(house.store.inbox_put(message).await.unwrap());
    assert!(
        house
            .store
            .inbox_due(Desk::Intake, 10, LEASE)
            .await
            .unwrap()
            .is_empty()
    );
    house
        .raw("update inbox_due set decide_at = decide_at - interval '30 s'")
        .await;
    assert_eq!(
        house
            .store
            .inbox_due(Desk::Intake, 10, LEASE)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_opens_with_the_key_of_the_house_only_and_ends() {
    let house = with_trigger().await;
    let (store, name) = (&house.store, "pager".parse().unwrap());
    assert_eq!(
        store
            .trigger_keys(&"none".parse().unwrap())
            .await
            .unwrap()
            .map(|_| ()),
        None
    );
    assert!(
        store
            .trigger_keys(&name)
            .await
            .unwrap()
            .unwrap()
            .secrets
            .is_empty()
    );
    let texts = async |store: &Store| -> Vec<String> {
        let keys = store.trigger_keys(&name).await.unwrap().unwrap();
        keys.secrets.into_iter().map(|secret| secret.text).collect()
    };
    store
        .trigger_secret_put(&name, "the first secret", None, &ana())
        .await
        .unwrap();
    let soon = crate::house::now().after(domain::time::Millis::from_secs(60));
    store
        .trigger_secret_put(&name, "the second secret", Some(soon), &ana())
        .await
        .unwrap();
    assert_eq!(
        texts(store).await,
        ["the second secret", "the first secret"]
    );
    store
        .trigger_secret_put(&name, "the third secret", Some(soon), &ana())
        .await
        .unwrap();
    assert_eq!(
        texts(store).await,
        ["the third secret", "the second secret"]
    );
    let dump: Vec<Vec<u8>> = sqlx::query_scalar("select sealed from trigger_secret")
        .fetch_all(&house.pool)
        .await
        .unwrap();
    assert_eq!(dump.len(), 2);
    assert!(
        dump.iter()
            .all(|sealed| !sealed.windows(6).any(|part| part == b"secret"))
    );
    let other = house.other_process(key(9)).await;
    assert!(matches!(
        other.trigger_keys(&name).await,
        Err(Error::KeyLost(_))
    ));
    house
        .raw("update trigger_secret set ends_at = now() where ends_at is not null")
        .await;
    assert_eq!(texts(store).await, ["the third secret"]);
    // A secret of one trigger is none of another's.
    store
        .trigger_put(&trigger("other"), &ana(), None)
        .await
        .unwrap();
    house
        .raw("update trigger_secret set trigger_name = 'other'")
        .await;
    assert!(matches!(
        store.trigger_keys(&"other".parse().unwrap()).await,
        Err(Error::Corrupt(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_changed_against_its_revision() {
    let house = with_trigger().await;
    let store = &house.store;
    let mut changed = trigger("pager");
    changed.mode = Mode::Off;
    let stale = store.trigger_put(&changed, &ana(), None).await;
    assert!(matches!(stale, Err(Error::Revision { present: Some(1) })));
    let put = store.trigger_put(&changed, &ana(), Some(1)).await.unwrap();
    assert_eq!((put.revision, put.created), (2, false));
    assert_eq!(
        store
            .trigger_put(&changed, &ana(), Some(2))
            .await
            .unwrap()
            .revision,
        2
    );
    let name = &changed.name;
    store
        .trigger_secret_put(name, "a secret", None, &ana())
        .await
        .unwrap();
    store.trigger_remove(name, &ana(), Some(2)).await.unwrap();
    assert!(matches!(
        store.trigger_get(name).await,
        Err(Error::NotFound("trigger"))
    ));
    assert!(store.trigger_keys(name).await.unwrap().is_none());
    let gone = store
        .trigger_secret_put(name, "a secret", None, &ana())
        .await;
    assert!(matches!(gone, Err(Error::NotFound("trigger"))));
    let again = store.trigger_put(&changed, &ana(), None).await.unwrap();
    assert_eq!((again.revision, again.created), (3, true));
    assert!(
        store
            .trigger_keys(name)
            .await
            .unwrap()
            .unwrap()
            .secrets
            .is_empty(),
        "its secrets are gone"
    );
    let unknown = NewMessage {
        trigger: "none".parse().unwrap(),
        event_id: "e".to_owned(),
        headers: Headers::default(),
        body: b"{}".to_vec(),
        settle: Duration::ZERO,
        desk: Desk::Intake,
    };
    let error = store.inbox_put(unknown).await.unwrap_err();
    assert!(
        matches!(error, Error::Conflict(Constraint::Unknown("trigger"))),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn old_messages_are_cleared_away_once_they_are_decided() {
    let house = with_trigger().await;
    let store = &house.store;
    for event in ["old", "waiting", "new"] {
        put(store, event).await;
    }
    for event in ["old", "new"] {
        store
            .decisions_put(&"pager".parse().unwrap(), event, vec![recorded()])
            .await
            .unwrap();
    }
    let days = store::INBOX_DAYS;
    house
        .raw(&format!(
            "update inbox set received_at = now() - interval '{days} days' - interval '1 s' where event_id <> 'new'"
        ))
        .await;
    assert_eq!(store.prune().await.unwrap().messages, 1);
    let name = "pager".parse().unwrap();
    assert!(!store.inbox_knows(&name, "old").await.unwrap());
    assert!(store.inbox_knows(&name, "waiting").await.unwrap());
    assert!(store.inbox_knows(&name, "new").await.unwrap());
    // An alert that fires for weeks, or a replay: what was decided once is not decided again.
    assert!(!put(store, "old").await);
    assert!(!store.inbox_knows(&name, "old").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_make_a_trigger_at_once_one_is_told() {
    let house = House::new().await;
    for round in 0..8 {
        let one = trigger(&format!("pager-{round}"));
        let mut other = one.clone();
        other.mode = Mode::Off;
        let by = ana();
        let (first, second) = tokio::join!(
            house.store.trigger_put(&one, &by, None),
            house.store.trigger_put(&other, &by, None),
        );
        let made = [&first, &second].into_iter().filter(|put| put.is_ok());
        assert_eq!(made.count(), 1, "{first:?} {second:?}");
        let refused = first.err().or(second.err()).unwrap();
        assert!(matches!(refused, Error::Revision { .. }), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_keeps_its_kind_also_when_it_was_taken_out() {
    let house = with_trigger().await;
    let name = "pager".parse().unwrap();
    house
        .store
        .trigger_remove(&name, &ana(), None)
        .await
        .unwrap();
    let mut other = trigger("pager");
    other.kind = Kind::Alertmanager;
    let refused = house.store.trigger_put(&other, &ana(), None).await;
    assert!(
        matches!(
            refused,
            Err(Error::Conflict(Constraint::KindChanged {
                kind: "pagerduty"
            }))
        ),
        "{refused:?}"
    );
    assert!(
        house
            .store
            .trigger_put(&trigger("pager"), &ana(), None)
            .await
            .unwrap()
            .created
    );
}

/// A worker takes longer than its lease, and whoever claims the message anew is not done with that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_claimed_anew_at_that_moment_is_decided_all_the_same() {
    let house = with_trigger().await;
    let store = house.store.clone();
    assert!(put(&store, "e1").await);
    let due = store.inbox_due(Desk::Intake, 1, LEASE).await.unwrap();
    let mut other = house.pool.begin().await.unwrap();
    sqlx::query("update inbox_due set decide_at = now() + interval '15 s'")
        .execute(&mut *other)
        .await
        .unwrap();
    let name = due[0].trigger.name.clone();
    let deciding =
        tokio::spawn(async move { store.decisions_put(&name, "e1", vec![recorded()]).await });
    let waits = "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'";
    while house.count(waits).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    other.commit().await.unwrap();
    assert!(deciding.await.unwrap().unwrap());
    assert_eq!(house.count("select count(*) from inbox_due").await, 0);
    assert_eq!(house.count("select count(*) from decision").await, 1);
}

/// Postgres keeps a plan for as long as it knows nothing better, and looks at a table's size once a minute.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_costs_more_because_many_came() {
    let house = with_trigger().await;
    let store = &house.store;
    let round = async |which: &str| {
        for number in 0..12 {
            let event = format!("{which}-{number}");
            assert!(put(store, &event).await);
            let due = store.inbox_due(Desk::Intake, 1, LEASE).await.unwrap();
            assert_eq!(due.len(), 1);
            let name = &due[0].trigger.name;
            let put = store.decisions_put(name, &due[0].event_id, vec![recorded()]);
            assert!(put.await.unwrap());
        }
    };
    // As Postgres finds the tables on a quiet evening, with its plans made then.
    for table in ["inbox", "inbox_due", "decision"] {
        house.raw(format!("vacuum analyze {table}")).await;
    }
    round("before").await;
    house
        .raw(format!(
            "insert into inbox (trigger_name, event_id, headers, body)
                 select 'pager', 'storm-' || n, '{{}}', 'x' from generate_series(1, {STORM}) n;
             insert into inbox_due (trigger_name, event_id)
                 select 'pager', 'storm-' || n from generate_series(1, {STORM} / 2) n;
             insert into decision (id, trigger_name, event_id, part, outcome, code, said, notice)
                 select gen_random_uuid(), 'pager', 'storm-' || n, 0, 'recorded', 'x', 'x', 'null'
                 from generate_series({STORM} / 2 + 1, {STORM}) n"
        ))
        .await;
    round("after").await;
    // A session tells what it read when it ends.
    store.close().await;
    let others = "select count(*) from pg_stat_activity
         where datname = current_database() and application_name = 'sternway'";
    while house.count(others).await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let read = "select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint from pg_stat_user_tables
         where relname in ('inbox', 'inbox_due', 'decision')";
    let read = house.count(read).await;
    // The constraints of what was inserted above read each row once.
    assert!(read < 2 * STORM, "{read} rows were read for 24 messages");
}

const STORM: i64 = 20_000;
