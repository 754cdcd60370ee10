//! What the ledger learns by looking: deployments that nobody reported, and held releases that came back.

use std::collections::BTreeMap;

use domain::{
    application::{Application, OnReturn},
    drift::{Answer, Detected},
    ledger::{DeploymentKind, Health},
    name::ApplicationName,
};
use store::{
    DeploymentFilter, DeploymentState, NewDeployment, NewHold, NewReturn, Page, ReturnOutcome,
    Store, Watched,
};
use uuid::Uuid;

use crate::house::{Hand, House, actor, ana, component, components, image, key, report, worker};

fn found(version: &str, digit: char) -> Detected {
    Detected {
        version: version.parse().unwrap(),
        commit: Some("c0ffee1".to_owned()),
        notes: "found running; nobody reported it".to_owned(),
        components: BTreeMap::from([(component(), (image(digit), format!("shop:{version}")))]),
    }
}

async fn detect(store: &Store, shop: &Application, version: &str, digit: char) -> Option<Uuid> {
    let standpoint = store.standpoint(&shop.name).await.unwrap();
    store
        .deployment_detected(
            &shop.name,
            &standpoint,
            &found(version, digit),
            &components(digit),
            &actor("sternway"),
        )
        .await
        .unwrap()
}

async fn ledger(house: &House, shop: &Application) -> Vec<(String, DeploymentKind)> {
    let page = Page {
        after: None,
        limit: 50,
    };
    let filter = DeploymentFilter::default();
    let listed = house.store.deployment_list(&shop.name, &filter, &page);
    let rows = listed.await.unwrap().items.into_iter();
    rows.map(|row| (row.version.to_string(), row.kind))
        .collect()
}

fn returned(shop: &Application, deployment: Uuid, policy: OnReturn) -> NewReturn {
    NewReturn {
        application: shop.name.clone(),
        deployment,
        version: "1.5.0".parse().unwrap(),
        reason: "rolled back".to_owned(),
        policy,
    }
}

async fn hold(house: &House, shop: &Application, version: &str) {
    let hold = NewHold {
        application: shop.name.clone(),
        version: version.parse().unwrap(),
        reason: "loses orders".to_owned(),
        insecure: false,
        by: ana(),
    };
    house.store.hold_put(&hold).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_find_the_same_deployment_write_it_once() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let other = house.other_process(key(1)).await;
    let stores = [house.store.clone(), other];
    for version in ["1.5.0", "1.6.0"] {
        let standpoint = house.store.standpoint(&shop.name).await.unwrap();
        let tries = (0..8).map(|at| {
            let (store, shop) = (stores[at % 2].clone(), shop.clone());
            let (standpoint, found) = (standpoint.clone(), found(version, 'b'));
            tokio::spawn(async move {
                let by = actor("sternway");
                let parts = components('b');
                let put = store.deployment_detected(&shop.name, &standpoint, &found, &parts, &by);
                put.await.unwrap()
            })
        });
        let mut written = 0;
        for one in tries.collect::<Vec<_>>() {
            written += usize::from(one.await.unwrap().is_some());
        }
        assert_eq!(written, 1, "{version}");
    }
    assert_eq!(ledger(&house, &shop).await.len(), 2);
    let newest = house.store.standpoint(&shop.name).await.unwrap().newest;
    let newest = newest.unwrap();
    assert_eq!(
        (newest.version.as_str(), newest.kind, newest.seen),
        ("1.6.0", DeploymentKind::Detected, true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_definitions_that_changed_are_read_to_watch_them() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let shop = &plan.application;
    let other = house.application("other").await;
    let of = |watched: &[Watched]| -> BTreeMap<ApplicationName, i32> {
        let each = watched.iter().map(|one| (one.name.clone(), one.revision));
        each.collect()
    };
    let changed = |watched: &[Watched]| -> Vec<(String, bool, bool)> {
        let each = watched.iter();
        each.map(|one| (one.name.to_string(), one.acting, one.changed.is_some()))
            .collect()
    };
    let row = |name: &str, acting, changed| (name.to_owned(), acting, changed);

    let store = &house.store;
    let first = store.applications_watched(&BTreeMap::new()).await.unwrap();
    let all = [row("other", false, true), row("shop", false, true)];
    assert_eq!(changed(&first), all);
    let read: Vec<_> = first.iter().map(|one| one.changed.as_ref()).collect();
    assert_eq!(read, [Some(&other), Some(shop)]);

    house.request(&plan).await;
    let mut edited = other.clone();
    edited.watch_window_s += 1;
    store.application_put(&edited, &ana(), None).await.unwrap();
    let second = store.applications_watched(&of(&first)).await.unwrap();
    let some = [row("other", false, true), row("shop", true, false)];
    assert_eq!(changed(&second), some);
    let third = store.applications_watched(&of(&second)).await.unwrap();
    assert!(third.iter().all(|one| one.changed.is_none()), "{third:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_detected_while_a_rollback_acts_or_after_one_came_between() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let shop = plan.application.clone();
    let (found, by) = (found("9", 'd'), actor("sternway"));
    let before = house.store.standpoint(&shop.name).await.unwrap();
    let id = house.request(&plan).await;
    let during = house.store.standpoint(&shop.name).await.unwrap();
    assert!(during.acting && !before.acting && during.run == Some(id));
    let parts = components('d');
    let put = |standpoint| {
        house
            .store
            .deployment_detected(&shop.name, standpoint, &found, &parts, &by)
    };
    assert_eq!(put(&before).await.unwrap(), None);
    assert_eq!(put(&during).await.unwrap(), None);
    house
        .raw("update rollback_run set acts = false, phase = 'watching'")
        .await;
    let old = put(&before).await.unwrap();
    assert_eq!(old, None, "what was seen before the rollback is old");
    assert!(detect(&house.store, &shop, "9", 'd').await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_takes_the_place_of_what_was_found_and_keeps_its_proof() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let found = detect(&house.store, &shop, "1.5.0", 'b').await.unwrap();
    house.judge(found, Health::Good).await;
    let report = NewDeployment {
        commit: Some("c0ffee1".to_owned()),
        ..report(&shop, "1.5.0")
    };
    let recorded = house.store.deployment_record(&report).await.unwrap();
    assert!(recorded.new, "its author, notes and commit are CI's");
    house
        .store
        .deployment_resolved(recorded.id, &components('b'))
        .await
        .unwrap();
    assert_eq!(
        ledger(&house, &shop).await,
        [("1.5.0".to_owned(), DeploymentKind::Deploy)]
    );
    let one = house.store.deployment_get(recorded.id).await.unwrap();
    assert_eq!(
        (one.state, one.actor),
        (DeploymentState::Good, actor("service:ci"))
    );
    let by_former_id = house.store.deployment_get(found).await.unwrap();
    assert_eq!(by_former_id.id, recorded.id);
    let releases = house.store.releases(&shop.name).await.unwrap();
    assert_eq!(releases.len(), 1);
    assert!(releases[0].good_at.is_some() && releases[0].deployment == recorded.id);
    let standpoint = house.store.standpoint(&shop.name).await.unwrap();
    let (newest, seen) = (standpoint.newest.unwrap(), standpoint.seen.unwrap());
    assert_eq!((newest.id, seen.id), (recorded.id, recorded.id));
    // Said once more it is the same report.
    let again = NewDeployment {
        id: Uuid::now_v7(),
        ..report
    };
    let again = house.store.deployment_record(&again).await.unwrap();
    assert_eq!((again.new, again.id), (false, recorded.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_other_images_or_another_version_is_a_row_of_its_own() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    detect(&house.store, &shop, "1.5.0", 'b').await.unwrap();
    for (version, digit) in [("1.5.0", 'c'), ("1.6.0", 'b')] {
        detect(&house.store, &shop, "1.5.0", 'b').await.unwrap();
        house.deploy(&shop, version, digit).await;
    }
    assert_eq!(ledger(&house, &shop).await.len(), 5);
    // Under the name with its images' digest behind it, it is the same.
    let odd = domain::name::Version::of_images(
        Some(&"1.7.0".parse().unwrap()),
        &domain::name::PlanDigest::of(b"images"),
    );
    detect(&house.store, &shop, odd.as_str(), 'e')
        .await
        .unwrap();
    house.deploy(&shop, "1.7.0", 'e').await;
    assert_eq!(ledger(&house, &shop).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_not_given_up_for_a_report_that_is_still_looked_up() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let found = detect(&house.store, &shop, "1.5.0", 'b').await.unwrap();
    let lease = std::time::Duration::from_secs(20);
    let new = report(&shop, "1.5.0");
    house.store.deployment_record(&new).await.unwrap();
    let due = house.store.deployments_due(10, lease).await.unwrap();
    let work = due.iter().find(|work| work.id == found).unwrap();
    assert!(work.newer.is_none(), "it may be the very same deployment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_is_written_once_and_put_back_once_a_day() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let shop = plan.application.clone();
    hold(&house, &shop, "1.5.0").await;
    let by = actor("sternway");
    let first = detect(&house.store, &shop, "1.5.0", 'b').await.unwrap();
    let new = returned(&shop, first, OnReturn::PutBack);
    let answers = [
        house.store.return_put(&new, &by).await.unwrap(),
        house.store.return_put(&new, &by).await.unwrap(),
    ];
    assert_eq!(answers, [Some(Answer::PutBack), None]);
    // Nothing was requested: it would still be the first time.
    assert!(
        house
            .store
            .return_decided(first, ReturnOutcome::Over, "it went away", None)
            .await
            .unwrap()
    );
    let second = detect(&house.store, &shop, "1.5.0", 'b').await.unwrap();
    let new = returned(&shop, second, OnReturn::PutBack);
    let answer = house.store.return_put(&new, &by).await.unwrap();
    assert_eq!(answer, Some(Answer::PutBack));
    let rollback = house.request(&plan).await;
    let decided = house.store.return_decided(
        second,
        ReturnOutcome::PutBack,
        "it is put back",
        Some(rollback),
    );
    assert!(decided.await.unwrap());
    house
        .raw("update rollback_run set acts = false, phase = 'watching'")
        .await;
    let third = detect(&house.store, &shop, "1.5.0", 'b').await.unwrap();
    let new = returned(&shop, third, OnReturn::PutBack);
    let answer = house.store.return_put(&new, &by).await.unwrap();
    assert_eq!(answer, Some(Answer::AskPerson));
    house
        .raw("update held_return set seen_at = seen_at - interval '25 hours'")
        .await;
    let fourth = detect(&house.store, &shop, "1.5.0", 'b').await.unwrap();
    let new = returned(&shop, fourth, OnReturn::PutBack);
    let answer = house.store.return_put(&new, &by).await.unwrap();
    assert_eq!(
        answer,
        Some(Answer::PutBack),
        "a day later it is news again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_is_open_until_its_hold_is_released_or_something_else_runs() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    house.deploy(&shop, "1.5.0", 'b').await;
    hold(&house, &shop, "1.5.0").await;
    let by = actor("sternway");
    let open = || async { house.store.return_open(&shop.name).await.unwrap() };
    assert_eq!(open().await, None);
    let first = detect(&house.store, &shop, "1.5.0", 'b').await.unwrap();
    let new = returned(&shop, first, OnReturn::Report);
    house.store.return_put(&new, &by).await.unwrap();
    let back = open().await.unwrap();
    assert_eq!(
        (back.deployment, back.outcome),
        (first, ReturnOutcome::Reported)
    );
    assert_eq!(
        house.store.standpoint(&shop.name).await.unwrap().returned,
        Some(back)
    );
    // CI says that it was CI: still the same return.
    house.deploy(&shop, "1.5.0", 'b').await;
    let back = open().await.unwrap();
    assert_ne!(back.deployment, first);
    let newest = house.store.standpoint(&shop.name).await.unwrap().newest;
    assert!(newest.unwrap().returned);
    let version = "1.5.0".parse().unwrap();
    house
        .store
        .hold_release(&shop.name, &version, &ana())
        .await
        .unwrap();
    assert_eq!(open().await, None);
    hold(&house, &shop, "1.5.0").await;
    assert!(open().await.is_some());
    house.deploy(&shop, "1.6.0", 'c').await;
    assert_eq!(open().await, None);
    let page = Page {
        after: None,
        limit: 10,
    };
    let all = house.store.returns_list(&shop.name, &page).await.unwrap();
    assert_eq!(all.items.len(), 1);
    assert!(!all.items[0].open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_goes_with_the_images_under_a_new_name_but_not_to_an_older_release() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    // 1.4.2 and 1.5.0 are the same images: only the settings differ.
    let old = house.deploy(&shop, "1.4.2", 'b').await;
    house.judge(old, Health::Good).await;
    house.deploy(&shop, "1.5.0", 'b').await;
    hold(&house, &shop, "1.5.0").await;
    house.deploy(&shop, "1.5.1", 'b').await;
    house.deploy(&shop, "1.6.0", 'c').await;
    let releases = house.store.releases(&shop.name).await.unwrap();
    let held: BTreeMap<&str, bool> = releases
        .iter()
        .map(|release| (release.version.as_str(), release.hold.is_some()))
        .collect();
    assert_eq!(
        held,
        BTreeMap::from([
            ("1.4.2", false),
            ("1.5.0", true),
            ("1.5.1", true),
            ("1.6.0", false)
        ])
    );
    let holds = house.store.holds_active(&shop.name).await.unwrap();
    assert_eq!(holds.len(), 1);
    assert!(holds[0].images[&component()].contains(&image('b')));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_is_kept_and_a_rollback_was_seen_from_the_start() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    let name = claimed.plan.application.name.clone();
    let before = house.store.standpoint(&name).await.unwrap();
    assert!(before.seen.is_none() && !before.newest.as_ref().unwrap().seen);
    let newest = before.newest.unwrap();
    house.store.deployment_seen(newest.id).await.unwrap();
    let seen = house.store.standpoint(&name).await.unwrap().seen;
    assert_eq!(seen.unwrap().id, newest.id);
    let mut hand = Hand::of(&claimed);
    hand.walk_to_watch(&house.store).await;
    let seen = house.store.standpoint(&name).await.unwrap().seen.unwrap();
    assert_eq!(
        (seen.kind, seen.version.as_str()),
        (DeploymentKind::Rollback, "1.4.2")
    );
    let images = BTreeMap::from([(component(), image('a'))]);
    assert_eq!(seen.images, Some(images));
}
