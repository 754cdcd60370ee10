//! An application in the ledger of a server under measurement: made known, deployed, rolled back.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Outcome, downtime::wait, engine::image, http::Api};

/// An application that a server knows.
#[derive(Debug)]
pub(crate) struct Shop<'a> {
    pub(crate) api: &'a Api,
    pub(crate) name: &'a str,
    pub(crate) components: Vec<String>,
}

impl Shop<'_> {
    pub(crate) fn define(&self, definition: &Value) -> Outcome<()> {
        self.api
            .ask(
                "PUT",
                &format!("/applications/{}", self.name),
                "",
                Some(definition),
            )
            .map(|_| ())
    }

    /// Tells that a version was deployed, as CI does, and waits until it is known what it runs with; the deployment's path.
    pub(crate) fn record(&self, version: &str) -> Outcome<String> {
        let images: serde_json::Map<String, Value> = self
            .components
            .iter()
            .map(|name| (name.clone(), json!(image(version))))
            .collect();
        let made = self.api.post(
            &format!("/applications/{}/deployments", self.name),
            &json!({"version": version, "images": images}),
        )?;
        let path = format!("/deployments/{}", made["id"].as_str().unwrap_or_default());
        wait("the deployment's specifications are recorded", || {
            let seen = self.api.get(&path)?;
            let parts = seen["components"].as_object();
            Ok(parts.is_some_and(|parts| {
                !parts.is_empty() && parts.values().all(|part| part["specification"] == true)
            }))
        })?;
        Ok(path)
    }

    /// Lets a version that was rolled back run again.
    pub(crate) fn release_hold(&self, version: &str) -> Outcome<()> {
        let path = format!("/applications/{}/releases/{version}/hold", self.name);
        self.api.ask("DELETE", &path, "", None).map(|_| ())
    }

    /// The digest of a plan to go back to a version.
    pub(crate) fn plan(&self, version: &str) -> Outcome<String> {
        let plan = self.api.post(
            &format!("/applications/{}/plans", self.name),
            &json!({"target": {"version": version}}),
        )?;
        Ok(plan["digest"].as_str().unwrap_or_default().to_owned())
    }

    /// Requests the rollback, waits for its end, and gives it with its steps.
    pub(crate) fn roll_back(&self, digest: &str) -> Outcome<(Value, Vec<Value>)> {
        let ask = json!({"plan_digest": digest, "reason": "critical_bug", "note": "a benchmark"});
        let key = format!("idempotency-key: {}\r\n", Uuid::now_v7());
        let accepted = self.api.ask("POST", "/rollbacks", &key, Some(&ask))?;
        let path = format!("/rollbacks/{}", accepted["id"].as_str().unwrap_or_default());
        wait("the rollback ends", || {
            Ok(self.api.get(&path)?["phase"] == "ended")
        })?;
        let ended = self.api.get(&path)?;
        if ended["verdict"] != "rolled_back" {
            return Err(format!("it was not rolled back: {ended:#}").into());
        }
        let steps = self.api.get(&format!("{path}/steps"))?["items"].take();
        Ok((ended, steps.as_array().cloned().unwrap_or_default()))
    }
}
