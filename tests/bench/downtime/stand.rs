//! One application under measurement: put in service by docker-compose, known to a server.

use std::path::Path;

use domain::time::Moment;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Compose, Shape, Way, wait};
use crate::{
    Outcome,
    engine::{Engine, GOOD, image},
    http::Api,
    shop::Shop,
};

/// An application with everything that it takes to switch it over.
#[derive(Debug)]
pub(crate) struct Stand<'a> {
    engine: &'a Engine,
    shop: Shop<'a>,
    pub(crate) compose: Compose,
    /// What the application is, but for how it may change over.
    definition: Value,
}

impl<'a> Stand<'a> {
    /// Makes the application known: its definition, and its good version.
    pub(crate) fn new(
        engine: &'a Engine,
        api: &'a Api,
        shape: Shape,
        scratch: &Path,
    ) -> Outcome<Self> {
        let compose = Compose::find(shape, scratch)?;
        compose.up(GOOD)?;
        let mut definition = definition(api, shape, compose.port)?;
        definition["watch_window_s"] = json!(0);
        let names = definition["components"].as_array().into_iter().flatten();
        let components = names.filter_map(|part| part["name"].as_str().map(str::to_owned));
        let shop = Shop {
            api,
            name: shape.project(),
            components: components.collect(),
        };
        shop.define(&definition)?;
        shop.record(GOOD)?;
        Ok(Self {
            engine,
            shop,
            compose,
            definition,
        })
    }

    pub(crate) fn deploy(&self, version: &str) -> Outcome<()> {
        self.compose.up(version)?;
        self.shop.record(version)?;
        Ok(())
    }

    /// What is done before anything is touched: the plan's digest, or the container that is to be started.
    pub(crate) fn prepare(&self, way: Way) -> Outcome<String> {
        match way {
            Way::Handover | Way::HandoverSlowBoot => self.plan(true),
            Way::StopStart | Way::HostNetwork => self.plan(false),
            Way::Floor => self.spare(),
            Way::ComposeUp | Way::ComposeDownUp => Ok(String::new()),
        }
    }

    /// A plan in which the front is handed over, or is not.
    fn plan(&self, handed_over: bool) -> Outcome<String> {
        let mut definition = self.definition.clone();
        for part in definition["components"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if part["name"] == "api" {
                part["overlap"] = json!(handed_over);
            }
        }
        let path = format!("/applications/{}", self.shop.name);
        let header = "if-match: *\r\n";
        self.shop.api.ask("PUT", &path, header, Some(&definition))?;
        let plan = self.shop.api.post(
            &format!("{path}/plans"),
            &json!({"target": {"version": GOOD}}),
        )?;
        if plan["steps"].to_string().contains("Hand over api") != handed_over {
            return Err(format!("not the way that is measured: {plan:#}").into());
        }
        Ok(plan["digest"].as_str().unwrap_or_default().to_owned())
    }

    /// The good version as the engine alone would bring it back: created, and only to be started.
    fn spare(&self) -> Outcome<String> {
        let old = self.engine.inspect(&self.compose.front())?;
        let mut configuration = json!({
            "Image": image(GOOD), "Cmd": old["Config"]["Cmd"], "Labels": old["Config"]["Labels"],
            "Healthcheck": old["Config"]["Healthcheck"], "HostConfig": old["HostConfig"],
        });
        let networks = old["NetworkSettings"]["Networks"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        for name in networks.keys() {
            configuration["NetworkingConfig"]["EndpointsConfig"][name] =
                json!({"Aliases": ["api"]});
        }
        self.engine.create("sternway-bench-floor", &configuration)
    }

    pub(crate) fn switch(&self, way: Way, prepared: &str) -> Outcome<Option<f64>> {
        match way {
            Way::Handover | Way::HandoverSlowBoot | Way::StopStart | Way::HostNetwork => {
                return self.roll_back(prepared).map(Some);
            }
            Way::Floor => {
                self.engine.stop(&self.compose.front())?;
                self.engine.start(prepared)?;
            }
            Way::ComposeUp => self.compose.up(GOOD)?,
            Way::ComposeDownUp => {
                self.compose.down()?;
                self.compose.up(GOOD)?;
            }
        }
        Ok(None)
    }

    /// Requests the rollback, and says how long it took from there to the proof.
    fn roll_back(&self, digest: &str) -> Outcome<f64> {
        let api = self.shop.api;
        let ask = json!({"plan_digest": digest, "reason": "critical_bug", "note": "a benchmark"});
        let key = format!("idempotency-key: {}\r\n", Uuid::now_v7());
        let accepted = api.ask("POST", "/rollbacks", &key, Some(&ask))?;
        let path = format!("/rollbacks/{}", accepted["id"].as_str().unwrap_or_default());
        let proved = api.get(&format!("{path}?wait=60"))?;
        let moment = |field: &str| -> Outcome<Moment> {
            serde_json::from_value(proved[field].clone())
                .map_err(|_| format!("no {field} in {proved:#}").into())
        };
        let proof = moment("proved_at")?.since(moment("requested_at")?).0 as f64;
        wait("the rollback ends", || {
            Ok(api.get(&path)?["phase"] == "ended")
        })?;
        let ended = api.get(&path)?;
        if ended["verdict"] != "rolled_back" {
            return Err(format!("it was not rolled back: {ended:#}").into());
        }
        Ok(proof)
    }

    pub(crate) fn tidy(&self, way: Way, prepared: &str) -> Outcome<()> {
        if way == Way::Floor {
            self.engine.remove(prepared)?;
            self.engine.remove(&self.compose.front())?;
        }
        Ok(())
    }
}

/// As adopted where that finds everything by itself.
pub(super) fn definition(api: &Api, shape: Shape, port: u16) -> Outcome<Value> {
    let port = match shape {
        Shape::Demo => {
            let asked = json!({"project": shape.project()});
            return Ok(api.post("/adoptions", &asked)?["application"].take());
        }
        Shape::SlowBoot | Shape::Haproxy | Shape::Caddy => 8080,
        Shape::HostNetwork => port,
    };
    Ok(json!({
        "name": shape.project(), "environment": "test", "project": shape.project(),
        "components": [{
            "name": "api", "probes": [{"kind": "http", "port": port, "path": "/health"}],
            "version_endpoint": {"port": port, "path": "/api/version", "field": "version"},
        }],
    }))
}
