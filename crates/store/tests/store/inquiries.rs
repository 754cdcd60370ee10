//! Questions to the worker, wake-ups, and clearing away.

use std::time::Duration;

use domain::triage::{Advice, facts};
use serde_json::json;
use store::{Answer, NewTriage, Question, Topic};
use tokio::time::timeout;
use uuid::Uuid;

use crate::house::{House, ana, in_ms, key, named, worker};

const PATIENCE: Duration = Duration::from_secs(10);

fn question() -> Question {
    Question::Application {
        name: named("shop"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_taken_once_and_answered_once() {
    let house = House::new().await;
    let store = &house.store;
    let id = store.inquiry_ask(&question(), &ana()).await.unwrap();
    assert_eq!(store.inquiries_open(10).await.unwrap(), [(id, question())]);
    assert!(store.inquiries_open(10).await.unwrap().is_empty());
    store
        .inquiry_answer(id, &Ok(json!({"containers": []})))
        .await
        .unwrap();
    store
        .inquiry_answer(id, &Err("too late".to_owned()))
        .await
        .unwrap();
    store
        .inquiry_answer(Uuid::now_v7(), &Err("nobody asked".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        store.inquiry_wait(id, PATIENCE).await.unwrap(),
        Answer::Found(json!({"containers": []}))
    );
    let other = store.inquiry_ask(&question(), &ana()).await.unwrap();
    store
        .inquiry_answer(other, &Err("the engine does not answer".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        store.inquiry_wait(other, PATIENCE).await.unwrap(),
        Answer::Failed("the engine does not answer".to_owned())
    );
    let unanswered = store.inquiry_ask(&question(), &ana()).await.unwrap();
    assert_eq!(
        store
            .inquiry_wait(unanswered, Duration::from_millis(50))
            .await
            .unwrap(),
        Answer::Late
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_metrics_say_is_asked_and_kept_with_the_decision() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let mut shop = plan.application.clone();
    shop.metrics = serde_json::from_value(
        json!([{"name": "error_share", "url": "http://prometheus:9090",
        "query": "failures\n/ answers", "question": "many_users", "above": 0.1}]),
    )
    .unwrap();
    let store = &house.store;
    let (_, before) = store.application_get(&shop.name).await.unwrap();
    let put = store.application_put(&shop, &ana(), Some(before)).await;
    assert_eq!(put.unwrap().revision, before + 1);
    let (kept, revision) = store.application_get(&shop.name).await.unwrap();
    assert_eq!(kept, shop);
    // The same once more is the same revision: a threshold is read as it was written.
    let again = store.application_put(&kept, &ana(), Some(revision)).await;
    assert_eq!(again.unwrap().revision, revision);
    let question = Question::Facts {
        name: shop.name.clone(),
    };
    let id = store.inquiry_ask(&question, &ana()).await.unwrap();
    assert_eq!(store.inquiries_open(10).await.unwrap(), [(id, question)]);
    let evidence = facts::unasked(&shop, "nobody asked", in_ms(0));
    assert_eq!(evidence.len(), 1 + usize::from(facts::has_probes(&shop)));
    let found = serde_json::to_value(&evidence).unwrap();
    store.inquiry_answer(id, &Ok(found.clone())).await.unwrap();
    let answer = store.inquiry_wait(id, PATIENCE).await.unwrap();
    assert_eq!(answer, Answer::Found(found));
    let decided = NewTriage {
        id: Uuid::now_v7(),
        application: shop.name.clone(),
        answers: evidence,
        advice: Some(Advice::RollBackSoon),
        note: None,
        by: ana(),
        at: in_ms(0),
    };
    store.triage_put(&decided).await.unwrap();
    let kept = store.triage_list(Some(&shop.name), 1).await.unwrap();
    assert_eq!(kept[0].triage, decided);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_a_newer_version_is_left_to_a_newer_worker() {
    let house = House::new().await;
    house
        .raw(
            "insert into inquiry (id, question, asked_by)
             values (gen_random_uuid(), '{\"ask\": \"what nobody knows yet\"}', 'person:ana')",
        )
        .await;
    let id = house.store.inquiry_ask(&question(), &ana()).await.unwrap();
    let open = house.store.inquiries_open(10).await.unwrap();
    assert_eq!(open, [(id, question())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_hears_of_the_answer_at_once_and_from_another_process_too() {
    let house = House::new().await;
    let other = house.other_process(key(1)).await;
    let (mut work, mut elsewhere) = (
        house.store.wake().subscribe(Topic::Work),
        other.wake().subscribe(Topic::Work),
    );
    let listening = tokio::spawn(store::listen(house.options.clone(), other.wake().clone()));
    // Starting to listen tells everyone to look, since what was said before is not known.
    timeout(PATIENCE, elsewhere.woken()).await.unwrap();
    let id = house.store.inquiry_ask(&question(), &ana()).await.unwrap();
    timeout(PATIENCE, work.woken()).await.unwrap();
    timeout(PATIENCE, elsewhere.woken()).await.unwrap();
    let waiting = {
        let store = house.store.clone();
        tokio::spawn(async move { store.inquiry_wait(id, PATIENCE).await.unwrap() })
    };
    other.inquiry_answer(id, &Ok(json!(1))).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Answer::Found(json!(1)));
    listening.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_comes_back_after_its_session_was_ended() {
    let house = House::new().await;
    let other = house.other_process(key(1)).await;
    let listening = tokio::spawn(store::listen(house.options.clone(), other.wake().clone()));
    let mut news = other.wake().subscribe(Topic::Answers);
    timeout(PATIENCE, news.woken()).await.unwrap();
    house.raw("select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' and datname = current_database()").await;
    timeout(PATIENCE, news.woken()).await.unwrap();
    let mut heard = false;
    for _ in 0..20 {
        let id = house.store.inquiry_ask(&question(), &ana()).await.unwrap();
        house.store.inquiry_answer(id, &Ok(json!(1))).await.unwrap();
        heard |= timeout(Duration::from_millis(500), news.woken())
            .await
            .is_ok();
    }
    assert!(heard);
    listening.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_needs_any_more_is_cleared_away() {
    let house = House::new().await;
    let store = &house.store;
    let plan = house.planned("shop").await;
    house.request(&plan).await;
    let mut unused = plan.clone();
    unused.disk_free_min = 1;
    store.plan_put(&unused, &ana()).await.unwrap();
    let id = store.inquiry_ask(&question(), &ana()).await.unwrap();
    store.inquiry_answer(id, &Ok(json!(1))).await.unwrap();
    store.worker_beat(&worker()).await.unwrap();
    assert_eq!(store.prune().await.unwrap(), store::Pruned::default());
    // More than one statement clears at once.
    house
        .raw("insert into inquiry (id, question, asked_by) select gen_random_uuid(), question, asked_by
              from inquiry, generate_series(1, 2500)")
        .await;
    house.raw(
        "update inquiry set asked_at = now() - interval '2 hours'; update plan set made_at = now() - interval '31 days';
         update idempotency set created_at = now() - interval '8 days'; update worker set beat_at = now() - interval '2 days'",
    ).await;
    let pruned = store.prune().await.unwrap();
    assert_eq!(
        (pruned.inquiries, pruned.keys, pruned.plans, pruned.workers),
        (2501, 1, 1, 1)
    );
    assert_eq!(house.count("select count(*) from inquiry_answer").await, 0);
    store.plan_get(&plan.digest()).await.unwrap();
    store
        .inquiry_ask(
            &Question::Images {
                engine: "local".to_owned(),
                references: vec!["shop:1".to_owned()],
            },
            &ana(),
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_store_is_counted() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let id = house.request(&plan).await;
    let me = worker();
    house.store.worker_beat(&me).await.unwrap();
    let standing = house.store.standing().await.unwrap();
    assert_eq!(
        (
            standing.acting,
            standing.unclaimed,
            standing.watching,
            standing.workers
        ),
        (1, 1, 0, 1)
    );
    let claimed = house.claim_one(&me, id, crate::house::LEASE).await;
    assert_eq!(house.store.standing().await.unwrap().unclaimed, 0);
    crate::house::Hand::of(&claimed)
        .walk_to_watch(&house.store)
        .await;
    let standing = house.store.standing().await.unwrap();
    assert_eq!(
        (
            standing.acting,
            standing.watching,
            standing.awaiting_approval
        ),
        (0, 1, 0)
    );
}

#[test]
fn what_the_store_does_can_be_awaited_on_any_thread() {
    fn moves<T: Send>(_: &T) {}
    fn all(store: &store::Store, hand: &crate::house::Hand, ask: &store::NewRollback<'_>) {
        moves(&store.rollback_request(ask));
        moves(&store.append(&hand.held, &[], &hand.run, &store::AppendMeta::default()));
        moves(&store.record(&hand.held, Uuid::nil()));
        moves(&store.verify(hand.held.rollback));
        moves(&store.claim(&worker(), 1, PATIENCE));
        moves(&store.inquiry_wait(Uuid::nil(), PATIENCE));
        moves(&store.prune());
    }
    let _ = all;
}
