//! Definitions of applications: changed over what was seen, and never two for one container.

use serde_json::json;
use store::{Constraint, Error};

use crate::house::{House, ana, component};

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_changed_only_over_the_revision_that_was_seen() {
    let house = House::new().await;
    let mut shop = crate::house::shop("shop");
    let wrong = house.store.application_put(&shop, &ana(), Some(1)).await;
    assert!(matches!(wrong, Err(Error::Revision { present: None })));
    let put = house
        .store
        .application_put(&shop, &ana(), None)
        .await
        .unwrap();
    assert_eq!((put.revision, put.created), (1, true));
    let put = house
        .store
        .application_put(&shop, &ana(), Some(1))
        .await
        .unwrap();
    assert_eq!(
        (put.revision, put.created),
        (1, false),
        "the same is no change"
    );
    shop.watch_window_s = 60;
    assert_eq!(
        house
            .store
            .application_put(&shop, &ana(), Some(1))
            .await
            .unwrap()
            .revision,
        2
    );
    let stale = house.store.application_put(&shop, &ana(), Some(1)).await;
    assert!(matches!(stale, Err(Error::Revision { present: Some(2) })));
    assert_eq!(
        house.store.application_get(&shop.name).await.unwrap(),
        (shop.clone(), 2)
    );
    let stale = house
        .store
        .application_remove(&shop.name, &ana(), Some(1))
        .await;
    assert!(matches!(stale, Err(Error::Revision { present: Some(2) })));
    house
        .store
        .application_remove(&shop.name, &ana(), Some(2))
        .await
        .unwrap();
    assert!(matches!(
        house.store.application_get(&shop.name).await,
        Err(Error::NotFound("application"))
    ));
    assert!(matches!(
        house
            .store
            .application_remove(&shop.name, &ana(), None)
            .await,
        Err(Error::NotFound(_))
    ));
    let put = house
        .store
        .application_put(&shop, &ana(), None)
        .await
        .unwrap();
    assert_eq!(
        (put.revision, put.created),
        (3, true),
        "revisions are not used twice"
    );
    assert_eq!(
        house
            .count("select count(*) from audit_entry where action like 'application.%'")
            .await,
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_definitions_at_once_that_claim_one_container_one_is_refused() {
    let house = House::new().await;
    let claim = |name: &str| {
        let definition = json!({"name": name, "environment": "production", "project": "shared",
                                "components": [{"name": "api"}]});
        serde_json::from_value::<domain::application::Application>(definition).unwrap()
    };
    for round in 0..10 {
        let (one, other) = (
            claim(&format!("one{round}")),
            claim(&format!("other{round}")),
        );
        let actor = ana();
        let (first, second) = tokio::join!(
            house.store.application_put(&one, &actor, None),
            house.store.application_put(&other, &actor, None)
        );
        let (put, refused) = match (first, second) {
            (Ok(_), Err(refused)) => (one, refused),
            (Err(refused), Ok(_)) => (other, refused),
            both => panic!("{both:?}"),
        };
        let claimed = Constraint::Claimed {
            component: component(),
            by: put.name.clone(),
        };
        assert!(
            matches!(&refused, Error::Conflict(said) if *said == claimed),
            "{refused:?}"
        );
        house
            .store
            .application_remove(&put.name, &actor, None)
            .await
            .unwrap();
    }
}
