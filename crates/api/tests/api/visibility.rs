//! What somebody may not see is answered like what is not there.

use serde_json::{Value, json};
use store::{Role, TokenKind};
use uuid::Uuid;

use crate::{client::Ask, house::House, things::things};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_visible_is_answered_like_what_is_not_there() {
    let house = House::new().await;
    let things = things(&house).await;
    let elsewhere = house
        .token("bob", TokenKind::Person, Role::Admin, Some(&["other"]))
        .await;
    let nothing = Uuid::now_v7().to_string();
    let pairs = [
        (
            "/api/v1/applications/shop".to_owned(),
            "/api/v1/applications/shap".to_owned(),
        ),
        (
            "/api/v1/applications/shop/releases".to_owned(),
            "/api/v1/applications/shap/releases".to_owned(),
        ),
        (
            format!("/api/v1/rollbacks/{}", things.rollback),
            format!("/api/v1/rollbacks/{nothing}"),
        ),
        (
            format!("/api/v1/rollbacks/{}/events", things.rollback),
            format!("/api/v1/rollbacks/{nothing}/events"),
        ),
        (
            format!("/api/v1/deployments/{}", things.deployment),
            format!("/api/v1/deployments/{nothing}"),
        ),
        (
            format!("/api/v1/plans/{}", things.digest),
            format!("/api/v1/plans/{}", "0".repeat(64)),
        ),
    ];
    for (hidden, absent) in pairs {
        let shape = async |path: &str| {
            let reply = Ask::new("GET", path)
                .token(&elsewhere)
                .to(house.address)
                .await;
            let mut body = reply.json();
            let name = path.split('/').nth(4).unwrap().to_owned();
            body["detail"] = json!(body["detail"].as_str().unwrap().replace(&name, "X"));
            body["instance"] = Value::Null;
            (reply.status, body)
        };
        assert_eq!(shape(&hidden).await, shape(&absent).await, "{hidden}");
    }
    let lists = ["/api/v1/applications", "/api/v1/rollbacks"];
    for path in lists {
        let listed = Ask::new("GET", path)
            .token(&elsewhere)
            .to(house.address)
            .await
            .ok(200);
        assert_eq!(listed["items"], json!([]), "{path}");
    }
}
