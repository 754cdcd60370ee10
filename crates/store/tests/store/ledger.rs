//! The ledger: from report to verdict, proved health, holds, what a rollback writes.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    ledger::{DeploymentKind, Health, Release},
    reason::Reason,
    specification::Specification,
    target::{NoTarget, Target, choose},
};
use serde_json::json;
use store::{DeploymentFilter, DeploymentState, Error, HealthUpdate, NewHold, Page};
use uuid::Uuid;

use crate::house::{
    Hand, House, ana, ask, component, components, image, in_ms, named, report, worker,
};

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_goes_from_report_to_verdict() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let id = house
        .store
        .deployment_record(&report(&shop, "1.4.2"))
        .await
        .unwrap()
        .id;
    let due = house.store.deployments_due(10, LEASE).await.unwrap();
    assert_eq!(
        (due.len(), due[0].id, due[0].state, due[0].newer.is_none()),
        (1, id, DeploymentState::Resolving, true)
    );
    assert!(
        house
            .store
            .deployments_due(10, LEASE)
            .await
            .unwrap()
            .is_empty(),
        "somebody looks at it"
    );
    house
        .store
        .deployment_later(id, "the engine does not answer", in_ms(0))
        .await
        .unwrap();
    assert_eq!(
        house.store.deployments_due(10, LEASE).await.unwrap().len(),
        1
    );
    house
        .store
        .deployment_resolved(id, &components('a'))
        .await
        .unwrap();
    house
        .store
        .deployment_refused(id, "too late to be refused")
        .await
        .unwrap();
    let specification = house.store.key().digest(&Specification {
        body: json!({}),
        env: Vec::new(),
    });
    let seen = BTreeMap::from([
        (component(), specification.clone()),
        ("other".parse().unwrap(), specification.clone()),
    ]);
    house
        .store
        .deployment_specifications(id, &seen)
        .await
        .unwrap();
    let green = HealthUpdate {
        health: Health::Watching,
        green_since: Some(in_ms(0)),
        red_since: None,
        watch_until: Some(in_ms(900_000)),
        said: None,
        wake_at: Some(in_ms(900_000)),
    };
    assert!(house.store.deployment_health(id, &green).await.unwrap());
    let stored = house.store.deployment_get(id).await.unwrap();
    assert_eq!(
        (stored.state, stored.watch_until),
        (DeploymentState::Watching, green.watch_until)
    );
    assert_eq!(stored.components.len(), 1);
    assert_eq!(
        stored.components[&component()].specification,
        Some(specification)
    );
    assert_eq!(stored.components[&component()].image, image('a'));
    assert!(
        house
            .store
            .deployments_due(10, LEASE)
            .await
            .unwrap()
            .is_empty()
    );
    house.judge(id, Health::Good).await;
    assert!(
        !house.store.deployment_health(id, &green).await.unwrap(),
        "a verdict is final"
    );
    let stored = house.store.deployment_get(id).await.unwrap();
    assert!(stored.state == DeploymentState::Good && stored.judged_at.is_some());
    house.deploy(&shop, "1.5.0", 'b').await;
    let refused = house
        .store
        .deployment_record(&report(&shop, "1.6.0"))
        .await
        .unwrap()
        .id;
    let due = house.store.deployments_due(10, LEASE).await.unwrap();
    let of_one_five = |due: &[store::DeploymentWork]| {
        let work = due.iter().find(|work| work.version.as_str() == "1.5.0");
        work.unwrap().newer.clone()
    };
    assert_eq!(
        of_one_five(&due),
        None,
        "a report whose images are not known takes nobody's place"
    );
    let newest = house.deploy(&shop, "1.7.0", 'c').await;
    house
        .raw("update deployment_fact set wake_at = now() where state = 'watching'")
        .await;
    let due = house.store.deployments_due(10, LEASE).await.unwrap();
    assert_eq!(of_one_five(&due), Some(components('c')));
    assert!(
        due.iter()
            .any(|work| work.id == newest && work.newer.is_none())
    );
    house
        .store
        .deployment_refused(refused, "no such image")
        .await
        .unwrap();
    assert_eq!(
        house.store.deployment_get(refused).await.unwrap().state,
        DeploymentState::Refused
    );
}

pub(crate) fn find<'a>(releases: &'a [Release], version: &str) -> &'a Release {
    releases
        .iter()
        .find(|release| release.version.as_str() == version)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn last_known_good_is_what_was_proved_and_is_not_held() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    for (version, digit, health) in [
        ("1", '1', Health::Good),
        ("2", '2', Health::Good),
        ("3", '3', Health::Unproved),
        ("4", '4', Health::Bad),
    ] {
        let id = house.deploy(&shop, version, digit).await;
        house.judge(id, health).await;
    }
    // Deployed again and not proved this time: a proof stands for the images that it was made with.
    house.deploy(&shop, "1", '9').await;
    house.deploy(&shop, "2", '2').await;
    house
        .store
        .deployment_record(&report(&shop, "5"))
        .await
        .unwrap();
    let present = "1".parse().unwrap();
    let releases = house.store.releases(&shop.name).await.unwrap();
    assert_eq!(releases.len(), 4, "what is not resolved is no release yet");
    assert!(
        !find(&releases, "1").eligible()
            && find(&releases, "2").eligible()
            && !find(&releases, "3").eligible()
            && !find(&releases, "4").eligible()
    );
    assert_eq!(
        find(&releases, "1").components[&component()].image,
        image('9')
    );
    let good = |releases: &[Release]| {
        choose(&Target::LastKnownGood, releases, Some(&present), None)
            .map(|release| release.version.to_string())
    };
    assert_eq!(good(&releases).unwrap(), "2");
    let hold = NewHold {
        application: shop.name.clone(),
        version: "2".parse().unwrap(),
        reason: "leaks".to_owned(),
        insecure: true,
        by: ana(),
    };
    house.store.hold_put(&hold).await.unwrap();
    house.store.hold_put(&hold).await.unwrap();
    let releases = house.store.releases(&shop.name).await.unwrap();
    assert_eq!(
        (
            find(&releases, "2").hold.as_deref(),
            find(&releases, "2").insecure.as_deref()
        ),
        (Some("leaks"), Some("leaks"))
    );
    assert_eq!(good(&releases), Err(NoTarget::NoKnownGood));
    assert_eq!(
        house
            .store
            .hold_release(&shop.name, &hold.version, &ana())
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        house
            .store
            .hold_release(&shop.name, &hold.version, &ana())
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        good(&house.store.releases(&shop.name).await.unwrap()).unwrap(),
        "2"
    );
    house.store.hold_put(&hold).await.unwrap();
    assert_eq!(
        good(&house.store.releases(&shop.name).await.unwrap()),
        Err(NoTarget::NoKnownGood)
    );
    let unknown = NewHold {
        version: "77".parse().unwrap(),
        ..hold
    };
    assert!(matches!(
        house.store.hold_put(&unknown).await,
        Err(Error::NotFound("release"))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_a_rollback_writes_the_ledger_and_holds_what_was_rolled_back_once() {
    let house = House::new().await;
    let mut hand = Hand::of(&house.claimed("shop", &worker()).await);
    assert!(!house.store.recorded(hand.held.rollback).await.unwrap());
    let entry = Uuid::now_v7();
    house.store.record(&hand.held, entry).await.unwrap();
    house
        .store
        .record(&hand.held, Uuid::now_v7())
        .await
        .unwrap();
    assert!(house.store.recorded(hand.held.rollback).await.unwrap());
    let filter = DeploymentFilter {
        kind: Some(DeploymentKind::Rollback),
        ..DeploymentFilter::default()
    };
    let entries = house
        .store
        .deployment_list(&named("shop"), &filter, &Page::default())
        .await
        .unwrap()
        .items;
    assert_eq!((entries.len(), entries[0].id), (1, entry));
    assert_eq!(
        (entries[0].version.as_str(), entries[0].state),
        ("1.4.2", DeploymentState::Watching)
    );
    assert_eq!(
        (&entries[0].commit, &entries[0].actor),
        (&Some("c0ffee".to_owned()), &ana())
    );
    let ran = &entries[0].components[&component()];
    assert_eq!(
        (&ran.image, ran.specification.is_some()),
        (&image('a'), true)
    );
    let releases = house.store.releases(&named("shop")).await.unwrap();
    let former = find(&releases, "1.5.0");
    assert_eq!(
        former.hold.as_deref(),
        Some("rolled back: health_checks: the front page answers 500")
    );
    assert_eq!(
        (
            former.insecure.as_ref(),
            find(&releases, "1.4.2").deployment
        ),
        (None, entry)
    );
    assert!(
        house
            .store
            .deployments_due(10, LEASE)
            .await
            .unwrap()
            .iter()
            .all(|work| work.id != entry)
    );
    // The held release stays what it is when the hold is released and the rollback recorded once more.
    house
        .store
        .hold_release(&named("shop"), &former.version, &ana())
        .await
        .unwrap();
    house
        .store
        .record(&hand.held, Uuid::now_v7())
        .await
        .unwrap();
    assert_eq!(
        find(
            &house.store.releases(&named("shop")).await.unwrap(),
            "1.5.0"
        )
        .hold,
        None
    );
    hand.append(&house.store, Vec::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_looks_at_deployments_of_a_removed_application() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    house.deploy(&shop, "1.4.2", 'a').await;
    house
        .store
        .application_remove(&shop.name, &ana(), None)
        .await
        .unwrap();
    assert!(
        house
            .store
            .deployments_due(10, LEASE)
            .await
            .unwrap()
            .is_empty()
    );
    house.application("shop").await;
    assert_eq!(
        house.store.deployments_due(10, LEASE).await.unwrap().len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_for_security_marks_what_was_rolled_back_as_insecure() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let id = domain::name::RollbackId(Uuid::now_v7());
    let ask = store::NewRollback {
        reason: Reason::Security,
        note: None,
        ..ask(&plan, id, "k")
    };
    house.store.rollback_request(&ask).await.unwrap();
    let claimed = house.claim_one(&worker(), id, LEASE).await;
    house
        .store
        .record(&claimed.held(), Uuid::now_v7())
        .await
        .unwrap();
    let releases = house.store.releases(&named("shop")).await.unwrap();
    assert_eq!(
        find(&releases, "1.5.0").insecure.as_deref(),
        Some("rolled back: security")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_are_the_last_twenty_newest_first() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    for ms in 0..25 {
        let id = house.request(&plan).await;
        house.raw(format!(
            "update rollback_run set phase = 'ended', acts = false, ended_at = now(), outage_ms = {ms} where rollback_id = '{id}'"
        )).await;
    }
    let outages = house.store.outages(&named("shop")).await.unwrap();
    assert_eq!(
        outages.iter().map(|outage| outage.0).collect::<Vec<_>>(),
        (5..25).rev().collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_judged_bad_since_is_no_longer_known_good() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let good_at = async |version: &str| {
        let releases = house.store.releases(&shop.name).await.unwrap();
        find(&releases, version).good_at
    };
    let old = house.deploy(&shop, "1.3.0", 'c').await;
    house.judge(old, Health::Good).await;
    let first = house.deploy(&shop, "1.4.2", 'a').await;
    house.judge(first, Health::Good).await;
    let proved_at = good_at("1.4.2").await;
    assert!(proved_at.is_some());
    let between = house.deploy(&shop, "1.5.0", 'b').await;
    house.judge(between, Health::Unproved).await;
    let again = house.deploy(&shop, "1.4.2", 'a').await;
    assert_eq!(good_at("1.4.2").await, proved_at, "watched is not judged");
    house.judge(again, Health::Bad).await;
    assert_eq!(good_at("1.4.2").await, None);
    let broken = house.deploy(&shop, "1.6.0", 'd').await;
    house.judge(broken, Health::Bad).await;
    let releases = house.store.releases(&shop.name).await.unwrap();
    let present = "1.6.0".parse().unwrap();
    let target = choose(&Target::LastKnownGood, &releases, Some(&present), None).unwrap();
    assert_eq!(target.version.as_str(), "1.3.0");
    // The newest judgement counts: it may be proved again.
    let healed = house.deploy(&shop, "1.4.2", 'a').await;
    house.judge(healed, Health::Good).await;
    assert!(good_at("1.4.2").await > proved_at);
    // Under another name they are the same images; other images of that version are not.
    let renamed = house.deploy(&shop, "1.4.2-hotfix", 'a').await;
    house.judge(renamed, Health::Bad).await;
    assert_eq!(good_at("1.4.2").await, None);
    let rebuilt = house.deploy(&shop, "1.3.0", 'e').await;
    house.judge(rebuilt, Health::Good).await;
    assert!(good_at("1.3.0").await.is_some());
}

/// What a newer version or a damaged disk left must not blind the worker to everything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_can_not_be_read_hides_no_other() {
    let house = House::new().await;
    let broken = house.application("broken").await;
    let well = house.application("well").await;
    for application in [&broken, &well] {
        house.deploy(application, "1.4.2", 'a').await;
    }
    house
        .raw("update application set definition = '{}' where name = 'broken'")
        .await;
    let known = BTreeMap::new();
    let watched = house.store.applications_watched(&known).await.unwrap();
    let watched: Vec<_> = watched.iter().map(|one| one.changed.as_ref()).collect();
    assert_eq!(watched, [Some(&well)]);
    let due = house.store.upkeep_due(10, LEASE).await.unwrap();
    let due: Vec<_> = due.iter().map(|due| &due.application).collect();
    assert_eq!(due, [&well]);
    let due = house.store.deployments_due(10, LEASE).await.unwrap();
    let due: Vec<_> = due.iter().map(|due| &due.application).collect();
    assert_eq!(due, [&well]);
}
