//! What people set against rollbacks that nobody asked for.

use domain::{
    name::{Actor, RollbackId},
    triage::Advice,
};
use serde_json::json;
use store::{Constraint, Error, NewRollback, NewTriage, Requested, StoredWindow, WINDOWS_MAX};
use uuid::Uuid;

use crate::house::{House, actor, ask, in_ms};

fn by_itself<'a>(plan: &'a domain::plan::Plan, key: &str, who: Actor) -> NewRollback<'a> {
    NewRollback {
        requested_by: who,
        ..ask(plan, RollbackId(Uuid::now_v7()), key)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_off_stops_what_nobody_asked_for_and_nobody_else() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let shop = plan.application.name.clone();
    let ana = actor("ana");
    let pager = Actor::of_trigger("pager").unwrap();
    let store = &house.store;
    assert_eq!(store.automatic_off().await.unwrap(), []);
    for here in [None, Some(&shop)] {
        store
            .automatic_set(here, false, "we move", &ana)
            .await
            .unwrap();
        let off = store.automatic_off().await.unwrap();
        assert_eq!(off.len(), 1);
        assert_eq!(
            (off[0].application.as_ref(), off[0].switch.reason.as_str()),
            (here, "we move")
        );
        let switches = store.automatic_of(&shop).await.unwrap();
        assert_eq!(
            (switches.everywhere.is_some(), switches.here.is_some()),
            (here.is_none(), here.is_some())
        );
        for who in [pager.clone(), Actor::watcher()] {
            let refused = store.rollback_request(&by_itself(&plan, "k", who)).await;
            let Err(Error::Conflict(Constraint::AutomaticOff { by, .. })) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(by, ana);
        }
        store.automatic_set(here, true, "done", &ana).await.unwrap();
        assert_eq!(store.automatic_off().await.unwrap(), []);
    }
    assert_eq!(house.count("select count(*) from rollback").await, 0);
    store
        .automatic_set(None, false, "we move", &ana)
        .await
        .unwrap();
    let asked = store
        .rollback_request(&by_itself(&plan, "ana", ana.clone()))
        .await;
    assert_eq!(asked.unwrap(), Requested::New);
    assert_eq!(
        house
            .count("select count(*) from audit_entry where action like 'automatic.%'")
            .await,
        5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_off_calls_off_what_runs_by_itself() {
    let house = House::new().await;
    let ana = actor("ana");
    let shop = house.planned("shop").await;
    let blog = house.planned("blog").await;
    let pager = Actor::of_trigger("pager").unwrap();
    let mine = by_itself(&shop, "shop", pager.clone());
    house.store.rollback_request(&mine).await.unwrap();
    let other = by_itself(&blog, "blog", ana.clone());
    house.store.rollback_request(&other).await.unwrap();
    let elsewhere = Some(&blog.application.name);
    let none = house
        .store
        .automatic_set(elsewhere, false, "x", &ana)
        .await
        .unwrap();
    assert_eq!(none, [], "a person asked for it");
    for _ in 0..2 {
        let stopped = house
            .store
            .automatic_set(None, false, "x", &ana)
            .await
            .unwrap();
        assert_eq!(stopped, [mine.id]);
    }
    let orders = house.store.orders_unseen(mine.id).await.unwrap();
    assert_eq!(
        orders.len(),
        1,
        "asked twice before it was seen is asked once"
    );
    assert_eq!(house.store.orders_unseen(other.id).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_and_requests_at_once_leave_nothing_running() {
    let house = House::with_connections(16).await;
    let ana = actor("ana");
    for round in 0..8 {
        let plan = house.planned(&format!("shop-{round}")).await;
        let pager = Actor::of_trigger("pager").unwrap();
        let wish = by_itself(&plan, &format!("k{round}"), pager);
        let here = Some(&plan.application.name);
        let (asked, stopped) = tokio::join!(
            house.store.rollback_request(&wish),
            house.store.automatic_set(here, false, "x", &ana),
        );
        let stopped = stopped.unwrap();
        match asked {
            Ok(Requested::New) => assert_eq!(stopped, [wish.id]),
            Err(Error::Conflict(Constraint::AutomaticOff { .. })) => assert_eq!(stopped, []),
            other => panic!("{other:?}"),
        }
    }
}

fn window(application: Option<&str>) -> StoredWindow {
    let window = serde_json::from_value(json!({
        "id": Uuid::now_v7(), "kind": "deny", "application": application, "cron": "0 18 * * fri",
        "duration": 3_600_000, "zone": "Europe/Berlin", "rollbacks": true,
    }));
    StoredWindow {
        window: window.unwrap(),
        note: Some("weekend".to_owned()),
        made_by: actor("ana"),
        made_at: in_ms(0),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_are_kept_as_they_were_given() {
    let house = House::new().await;
    let shop = house.application("shop").await.name;
    house.application("blog").await;
    let ana = actor("ana");
    let all = [window(None), window(Some("shop")), window(Some("blog"))];
    for window in &all {
        assert!(house.store.window_add(window).await.unwrap());
    }
    let kept = house.store.windows(None).await.unwrap();
    assert_eq!(kept, all);
    let mine = house.store.windows(Some(&shop)).await.unwrap();
    assert_eq!(mine.len(), 2);
    house
        .store
        .window_remove(all[1].window.id, &ana)
        .await
        .unwrap();
    let again = house.store.window_remove(all[1].window.id, &ana).await;
    assert!(matches!(again, Err(Error::NotFound("window"))));
    assert_eq!(house.store.windows(Some(&shop)).await.unwrap().len(), 1);
    let unknown = house.store.window_add(&window(Some("nobody"))).await;
    assert!(matches!(
        unknown,
        Err(Error::Conflict(Constraint::Unknown("application")))
    ));
    house
        .raw(&format!(
            "insert into freeze_window select gen_random_uuid(), 'deny', null, '0 0 * * *', 60, 'UTC', true, null, 'ana'
             from generate_series(3, {WINDOWS_MAX})"
        ))
        .await;
    assert!(!house.store.window_add(&window(None)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_passes_once_unless_something_was_done() {
    let house = House::new().await;
    let shop = house.planned("shop").await;
    let blog = house.planned("blog").await;
    let wiki = house.planned("wiki").await;
    let (ana, worker) = (actor("ana"), actor("worker"));
    let decide = |plan: &domain::plan::Plan, advice: Option<Advice>| NewTriage {
        id: Uuid::now_v7(),
        application: plan.application.name.clone(),
        answers: Vec::new(),
        advice,
        note: None,
        by: ana.clone(),
        at: in_ms(0),
    };
    for plan in [&shop, &blog, &wiki] {
        let new = decide(plan, Some(Advice::RollBackSoon));
        house.store.triage_put(&new).await.unwrap();
    }
    assert_eq!(
        house.store.triage_pass(&worker).await.unwrap(),
        [],
        "there is time"
    );
    // Of the blog somebody says that it is over; of the wiki a rollback is asked for.
    house.store.triage_put(&decide(&blog, None)).await.unwrap();
    house.request(&wiki).await;
    house
        .raw("update triage set deadline = now() - interval '1 second' where deadline is not null")
        .await;
    let (one, other) = tokio::join!(
        house.store.triage_pass(&worker),
        house.store.triage_pass(&worker)
    );
    let passed: Vec<_> = one.unwrap().into_iter().chain(other.unwrap()).collect();
    assert_eq!(passed.len(), 1);
    assert_eq!(passed[0].triage.application, shop.application.name);
    assert!(passed[0].passed_at.is_some() && passed[0].open);
    assert_eq!(house.store.triage_pass(&worker).await.unwrap(), []);
    let open = house.store.triage_list(None, 10).await.unwrap();
    assert_eq!(open.iter().filter(|stored| stored.open).count(), 1);
    assert_eq!(
        house
            .count("select count(*) from audit_entry where action = 'triage.deadline_passed'")
            .await,
        1
    );
}
