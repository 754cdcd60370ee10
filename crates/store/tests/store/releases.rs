//! Releases: which deployment of a version tells how it ran.

use std::collections::BTreeMap;

use domain::{ledger::Health, name::Version, specification::Specification};
use serde_json::json;
use uuid::Uuid;

use crate::house::{House, component};

/// Somebody puts the good version in service again with settings that do not work.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_comes_back_with_the_settings_that_it_was_proved_with() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let ran = async |id: Uuid, mode: &str| {
        let specification = Specification {
            body: json!({"Labels": {"mode": mode}}),
            env: Vec::new(),
        };
        let put = house.store.specification_put(&specification);
        let specification = put.await.unwrap();
        let seen = BTreeMap::from([(component(), specification.clone())]);
        let put = house.store.deployment_specifications(id, &seen);
        put.await.unwrap();
        specification
    };
    let good: Version = "1.4.2".parse().unwrap();
    let found = async || {
        let releases = house.store.releases(&shop.name).await.unwrap();
        let release = releases.into_iter().find(|release| release.version == good);
        let mut release = release.unwrap();
        let part = release.components.remove(&component()).unwrap();
        (release.deployment, part.specification.unwrap().digest)
    };
    let first = house.deploy(&shop, "1.4.2", 'a').await;
    let proved = ran(first, "one").await;
    house.judge(first, Health::Good).await;
    let bad = house.deploy(&shop, "1.5.0", 'b').await;
    ran(bad, "bad").await;
    let again = house.deploy(&shop, "1.4.2", 'a').await;
    let other = ran(again, "two").await;
    assert_ne!(proved, other);
    assert_eq!(found().await, (again, proved.clone()));
    house.judge(again, Health::Unproved).await;
    // It is as new as it was last put in service: what ran before it is told by that.
    assert_eq!(found().await, (again, proved));
    // Once it is proved with the new ones, they count.
    let bad = house.deploy(&shop, "1.5.0", 'c').await;
    ran(bad, "bad").await;
    let third = house.deploy(&shop, "1.4.2", 'a').await;
    let newest = ran(third, "three").await;
    house.judge(third, Health::Good).await;
    assert_eq!(found().await, (third, newest));
    // Built again, it is another release, and nothing of the former one counts.
    let bad = house.deploy(&shop, "1.5.0", 'd').await;
    ran(bad, "bad").await;
    let built = house.deploy(&shop, "1.4.2", 'e').await;
    let of_it = ran(built, "four").await;
    assert_eq!(found().await, (built, of_it));
}
