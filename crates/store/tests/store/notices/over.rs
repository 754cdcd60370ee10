//! What is over before it was posted is not told, and those who change many notices at once keep nobody from theirs.

use super::*;

/// What is due, and why it is no news any more, if it is not.
async fn over(house: &House) -> Vec<Option<&'static str>> {
    house.raw("update chat_notice set due_at = now()").await;
    let mut all = Vec::new();
    for due in due(house).await {
        all.push(house.store.chat_notice_over(&due).await.unwrap());
    }
    all
}

async fn told_of_all(house: &House) {
    house.raw("update chat_notice set ended_at = now()").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_before_it_was_posted_is_no_news() {
    let house = House::new().await;
    let store = &house.store;
    chat(&house, "slack").await;
    let pager = json!({"name": "pager", "kind": "pagerduty", "mode": "auto", "routes": []});
    trigger(&house, pager).await;
    let plan = house.planned("shop").await;
    let shop = &plan.application;

    advised(&house, shop).await;
    store.triage_pass(&actor("worker")).await.unwrap();
    assert_eq!(over(&house).await, [None]);
    let anew = NewTriage {
        id: Uuid::now_v7(),
        application: shop.name.clone(),
        answers: Vec::new(),
        advice: None,
        note: None,
        by: ana(),
        at: in_ms(0),
    };
    store.triage_put(&anew).await.unwrap();
    assert!(over(&house).await[0].is_some_and(|why| why.starts_with("somebody decided anew")));
    told_of_all(&house).await;

    assert!(store.upkeep_due(9, LEASE).await.unwrap().len() == 1);
    let put = async |broken: &[&str]| store.readiness_put(&shop.name, &found(broken)).await;
    put(&["1.4.1", "1.4.2"]).await.unwrap();
    put(&["1.4.1"]).await.unwrap();
    assert_eq!(over(&house).await, [None], "one of them is still broken");
    put(&[]).await.unwrap();
    assert_eq!(over(&house).await, [Some("the way back is whole again")]);
    told_of_all(&house).await;

    // A rollback of before the alert is not about it, and neither is one that came before the last that is counted.
    house.request(&plan).await;
    let proposed = || left(shop, "kill_switch", DecisionOutcome::Proposed);
    assert!(decided(&house, "e1", vec![proposed()]).await);
    house
        .raw("update rollback set requested_at = now() - interval '1 minute'")
        .await;
    assert_eq!(over(&house).await, [None]);
    house
        .raw("update rollback set requested_at = now() + interval '1 ms'")
        .await;
    let why = "a rollback was asked for since, or something was deployed";
    assert_eq!(over(&house).await, [Some(why)]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(decided(&house, "e2", vec![proposed()]).await);
    assert_eq!(over(&house).await, [None], "that alert came after it");
    house.deploy(shop, "1.5.1", 'c').await;
    house
        .raw("update deployment set deployed_at = now() + interval '1 ms'")
        .await;
    assert_eq!(over(&house).await, [Some(why)]);
    told_of_all(&house).await;

    let returned = NewReturn {
        application: shop.name.clone(),
        deployment: house.deploy(shop, "1.5.2", 'd').await,
        version: "1.5.0".parse().unwrap(),
        reason: "loses orders".to_owned(),
        policy: OnReturn::Report,
    };
    store
        .return_put(&returned, &actor("sternway:watcher"))
        .await
        .unwrap();
    let why = "it went away since, or its hold was released";
    assert_eq!(over(&house).await, [Some(why)], "it is not held");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_count_and_those_who_wait_never_lock_each_other_out() {
    let house = House::new().await;
    let (store, slack) = (&house.store, chat(&house, "slack").await);
    for name in ["team", "other"] {
        chat(&house, name).await;
    }
    let pager = json!({"name": "pager", "kind": "pagerduty", "mode": "auto", "routes": []});
    trigger(&house, pager).await;
    let shop = house.application("shop").await;
    let codes = [
        "settle",
        "flap",
        "cooldown",
        "severity",
        "kill_switch",
        "episode",
    ];
    let count = async |which: &str| {
        for number in 0..15 {
            let each = codes.map(|code| left(&shop, code, DecisionOutcome::Proposed));
            assert!(decided(&house, &format!("{which}{number}"), each.into()).await);
        }
    };
    let rest = async || {
        for _ in 0..40 {
            store.chat_rest(&slack, Duration::ZERO).await.unwrap();
            store.chat_notices_behind("too many").await.unwrap();
        }
    };
    let bot = async || {
        for _ in 0..40 {
            store
                .chat_bot_put(&slack, "xoxb-secret-1", &ana())
                .await
                .unwrap();
        }
    };
    tokio::join!(count("a"), count("b"), rest(), rest(), bot());
    let counted =
        house.count("select sum(more + 1)::bigint from chat_notice where trigger_name = 'slack'");
    assert_eq!(counted.await, 2 * 15 * 6);
}
