//! The things that a house has: what the parameters of a path stand for.

use serde_json::json;
use uuid::Uuid;

use crate::{cardboard::shop, client::Ask, house::House};

/// One of each, that the parameters of paths can stand for.
pub(crate) struct Things {
    pub(crate) rollback: String,
    pub(crate) deployment: String,
    pub(crate) digest: String,
}

impl Things {
    /// The path with what there is for each of its parameters.
    pub(crate) fn path(&self, path: &str) -> String {
        let id = match path {
            path if path.contains("/rollbacks/") => self.rollback.clone(),
            path if path.contains("/deployments/") => self.deployment.clone(),
            _ => Uuid::nil().to_string(),
        };
        let chat = path.contains("/persons") || path.ends_with("/bot");
        let trigger = if chat { "slack" } else { "alerts" };
        path.replace("{name}", "shop")
            .replace("{trigger}", trigger)
            .replace("{user}", "T0001.U0EVE")
            .replace("{version}", "1.3.0")
            .replace("{digest}", &self.digest)
            .replace("{id}", &id)
    }
}

/// Makes one of each, by the house's own API where there is one.
pub(crate) async fn things(house: &House) -> Things {
    let trigger = json!({"name": "alerts", "kind": "alertmanager"});
    let put = Ask::new("PUT", "/api/v1/triggers/alerts").json(&trigger);
    house.send(put).await.ok(201);
    house
        .post("/api/v1/triggers/alerts/secrets", &json!({}))
        .await
        .ok(201);
    let chat = json!({"name": "slack", "kind": "slack"});
    let put = Ask::new("PUT", "/api/v1/triggers/slack").json(&chat);
    house.send(put).await.ok(201);
    house.application(&shop("shop")).await.ok(201);
    house.deploy("shop", "1.3.0").await;
    let good = house.deploy("shop", "1.4.2").await;
    house
        .worker
        .judge_good(good["id"].as_str().unwrap().parse().unwrap())
        .await;
    let deployment = house.deploy("shop", "1.5.0").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let digest = house.plan("shop").await;
    let rollback = house.rollback("shop").await;
    let mut hand = house.worker.claim(rollback).await;
    hand.walk_to_watch().await;
    hand.end().await;
    Things {
        rollback: rollback.to_string(),
        deployment,
        digest,
    }
}
