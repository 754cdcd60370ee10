//! Reports of deployments: what is the same one, what is another, and that a late one hides nothing.

use std::collections::BTreeMap;

use domain::{
    specification::Specification,
    target::{Target, choose},
};
use serde_json::json;
use store::{Error, NewDeployment};
use uuid::Uuid;

use crate::{
    house::{House, component, named, report},
    ledger::find,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_report_twice_is_one_deployment() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let first = house
        .store
        .deployment_record(&report(&shop, "1.4.2"))
        .await
        .unwrap();
    let again = house
        .store
        .deployment_record(&report(&shop, "1.4.2"))
        .await
        .unwrap();
    assert_eq!((first.new, again.new, again.id), (true, false, first.id));
    let other = NewDeployment {
        commit: Some("beef".to_owned()),
        ..report(&shop, "1.4.2")
    };
    assert!(house.store.deployment_record(&other).await.unwrap().new);
    assert!(
        house
            .store
            .deployment_record(&report(&shop, "1.5.0"))
            .await
            .unwrap()
            .new
    );
    // Back to what was before is news again.
    assert!(
        house
            .store
            .deployment_record(&report(&shop, "1.4.2"))
            .await
            .unwrap()
            .new
    );
    let nobody = NewDeployment {
        application: named("nobody"),
        ..report(&shop, "1")
    };
    assert!(matches!(
        house.store.deployment_record(&nobody).await,
        Err(Error::NotFound("application"))
    ));
}

#[tokio::test]
async fn a_report_that_was_refused_may_be_repeated_once_its_image_is_there() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let refused = house
        .store
        .deployment_record(&report(&shop, "1.4.2"))
        .await
        .unwrap();
    house
        .store
        .deployment_refused(refused.id, "no such image")
        .await
        .unwrap();
    let again = house
        .store
        .deployment_record(&report(&shop, "1.4.2"))
        .await
        .unwrap();
    assert!(again.new && again.id != refused.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_from_16_clients_at_once_is_one_deployment() {
    let house = std::sync::Arc::new(House::with_connections(16).await);
    let shop = house.application("shop").await;
    let racers: Vec<_> = (0..16)
        .map(|_| {
            let (house, report) = (house.clone(), report(&shop, "1.4.2"));
            tokio::spawn(async move { house.store.deployment_record(&report).await.unwrap().new })
        })
        .collect();
    let mut new = 0;
    for racer in racers {
        new += i32::from(racer.await.unwrap());
    }
    assert_eq!(new, 1);
    assert_eq!(house.count("select count(*) from deployment").await, 1);
}

fn with_key(new: NewDeployment, key: &str, body: u8) -> NewDeployment {
    let idempotency = Some(store::Idempotency {
        principal: "service:ci".to_owned(),
        key: key.to_owned(),
        body_hash: vec![body; 32],
    });
    NewDeployment { idempotency, ..new }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_says_what_is_the_same_report_however_late_it_is_repeated() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let put = async |version: &str, key: &str, body: u8| {
        let new = with_key(report(&shop, version), key, body);
        house.store.deployment_record(&new).await
    };
    let old = put("1.4.2", "job 1", 1).await.unwrap();
    let new = put("1.5.0", "job 2", 2).await.unwrap();
    let late = put("1.4.2", "job 1", 1).await.unwrap();
    assert_eq!((late.id, late.new), (old.id, false));
    let other = put("1.6.0", "job 1", 3).await;
    assert!(
        matches!(other, Err(Error::IdempotencyMismatch)),
        "{other:?}"
    );
    // Another job that deploys the same again is another deployment.
    let again = put("1.5.0", "job 3", 2).await.unwrap();
    assert!(again.new && again.id != new.id);
    // What was refused for its image may be tried again with its key.
    let refused = put("2.0.0", "job 4", 4).await.unwrap();
    house
        .store
        .deployment_refused(refused.id, "no such image")
        .await
        .unwrap();
    let retried = put("2.0.0", "job 4", 4).await.unwrap();
    assert!(retried.new);
    assert_eq!(put("2.0.0", "job 4", 4).await.unwrap().id, retried.id);
    assert_eq!(
        house.count("select count(*) from deployment_request").await,
        4
    );
}

/// Without a key: a late repetition does not hide what runs, and what runs is not reported twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_repetition_does_not_take_the_place_of_what_runs() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let ran = async |id: Uuid| {
        let specification = house.store.key().digest(&Specification {
            body: json!({}),
            env: Vec::new(),
        });
        let seen = BTreeMap::from([(component(), specification)]);
        house
            .store
            .deployment_specifications(id, &seen)
            .await
            .unwrap();
    };
    let old = house.deploy(&shop, "1.4.2", 'a').await;
    ran(old).await;
    let new = house.deploy(&shop, "1.5.0", 'b').await;
    ran(new).await;
    let late = house.deploy(&shop, "1.4.2", 'a').await;
    assert_ne!(
        late, old,
        "it may be a new deployment: only the engine can tell"
    );
    let again = house
        .store
        .deployment_record(&report(&shop, "1.5.0"))
        .await
        .unwrap();
    assert_eq!((again.id, again.new), (new, false));
    let releases = house.store.releases(&shop.name).await.unwrap();
    assert_eq!(find(&releases, "1.4.2").deployment, old);
    let present = "1.5.0".parse().unwrap();
    let previous = choose(&Target::Previous, &releases, Some(&present), None).unwrap();
    assert_eq!(previous.version.as_str(), "1.4.2");
    ran(late).await;
    let releases = house.store.releases(&shop.name).await.unwrap();
    assert_eq!(find(&releases, "1.4.2").deployment, late);
}
