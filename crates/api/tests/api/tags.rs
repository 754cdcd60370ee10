//! The tags of a repository, as the API tells them.

use serde_json::json;

use crate::{cardboard::shop, client::Ask, house::House};

const TAGS: &str = "/api/v1/applications/shop/tags";

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_told_beside_what_the_ledger_knows() {
    let house = House::new().await;
    let mut definition = shop("shop");
    definition["source"] = json!({"repository": "/srv/git/shop.git"});
    definition["components"][0]["build"] = json!({});
    house.application(&definition).await.ok(201);
    let commit = "12".repeat(20);
    for (version, commit) in [("1.4.2", &commit[..10]), ("1.3.0", "abcdef012345")] {
        let images = json!({"api": format!("shop-api:{version}")});
        let body = json!({"version": version, "commit": commit, "images": images});
        let path = "/api/v1/applications/shop/deployments";
        house.send(Ask::new("POST", path).json(&body)).await.ok(201);
    }
    let tag = |name: &str| serde_json::from_value(json!({"name": name, "commit": commit})).unwrap();
    house.worker.engine.lock().unwrap().tags = vec![tag("v1.4.2"), tag("v1.3.0"), tag("nightly")];
    let answer = house.send(Ask::new("GET", TAGS)).await.ok(200);
    assert_eq!(
        answer["items"],
        json!([
            {"tag": "v1.4.2", "commit": commit, "version": "1.4.2", "in_ledger": true,
             "ledger_commit": commit[..10], "moved": false},
            {"tag": "v1.3.0", "commit": commit, "version": "1.3.0", "in_ledger": true,
             "ledger_commit": "abcdef012345", "moved": true},
            {"tag": "nightly", "commit": commit, "in_ledger": false},
        ])
    );
    house.worker.engine.lock().unwrap().away = Some("git was not done after 8 s".to_owned());
    let reply = house.send(Ask::new("GET", TAGS)).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (503, "source_unreachable")
    );
}
