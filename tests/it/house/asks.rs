//! What people and machines ask of a house, in the words of the runbook.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    application::Application,
    server::House,
    wait::{seconds, until},
    wire::Reply,
};

/// The longest way that a rollback of these small applications may take on a loaded machine.
const END_LIMIT: Duration = Duration::from_secs(120);

impl House {
    /// Makes the application known.
    #[track_caller]
    pub(crate) fn know(&self, definition: &Value) {
        let name = definition["name"]
            .as_str()
            .expect("a definition has a name");
        let reply = self.try_ask(
            "PUT",
            &format!("/api/v1/applications/{name}"),
            &[],
            definition,
        );
        let reply = reply.expect("the server answers");
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    }

    /// Changes what is known.
    #[track_caller]
    pub(crate) fn correct(&self, definition: &Value) {
        let name = definition["name"]
            .as_str()
            .expect("a definition has a name");
        let path = format!("/api/v1/applications/{name}");
        self.try_ask("PUT", &path, &[("if-match", "*")], definition)
            .expect("the server answers")
            .expect(200);
    }

    /// Writes a deployment into the ledger; its id.
    #[track_caller]
    pub(crate) fn record(&self, shop: &Application, version: &str) -> String {
        let body = json!({ "version": version, "images": shop.images(version) });
        let reply = self.ask(
            "POST",
            &format!("/api/v1/applications/{}/deployments", shop.name),
            &body,
        );
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
        reply.json()["id"]
            .as_str()
            .expect("a deployment has an id")
            .to_owned()
    }

    /// Deploys a version: puts it in service, and says so.
    #[track_caller]
    pub(crate) fn deploy(&self, shop: &mut Application, version: &str) -> String {
        shop.up(version);
        self.record(shop, version)
    }

    /// Deploys a version and waits until it is judged so.
    #[track_caller]
    pub(crate) fn deploy_until(
        &self,
        shop: &mut Application,
        version: &str,
        state: &str,
    ) -> String {
        let id = self.deploy(shop, version);
        self.judged(&id, state);
        id
    }

    /// Waits until a deployment is judged, and as what.
    #[track_caller]
    pub(crate) fn judged(&self, deployment: &str, state: &str) {
        let last = until(
            &format!("deployment {deployment} is judged"),
            seconds(60),
            || {
                let seen = self.get(&format!("/api/v1/deployments/{deployment}"));
                let open =
                    ["resolving", "watching"].contains(&seen["state"].as_str().unwrap_or_default());
                (!open || seen["state"] == state).then_some(seen)
            },
        );
        assert_eq!(last["state"], state, "{last}");
    }

    /// An application of which 1.4.2 is proved good and 1.5.0 runs, broken.
    #[track_caller]
    pub(crate) fn broken(&self, shop: &mut Application) {
        self.know(&shop.definition());
        self.deploy_until(shop, "1.4.2", "good");
        self.deploy(shop, "1.5.0");
    }

    /// What the server answers to a wish for a plan.
    #[track_caller]
    pub(crate) fn ask_plan(&self, shop: &Application, target: &Value) -> Reply {
        let body = json!({ "target": target });
        self.ask(
            "POST",
            &format!("/api/v1/applications/{}/plans", shop.name),
            &body,
        )
    }

    /// The digest of a plan.
    #[track_caller]
    pub(crate) fn plan(&self, shop: &Application, target: &Value) -> String {
        let plan = self.ask_plan(shop, target).expect(200).json();
        plan["digest"]
            .as_str()
            .expect("a plan has a digest")
            .to_owned()
    }

    /// What the server answers to a request along a plan.
    pub(crate) fn try_request(&self, digest: &str, key: &str) -> std::io::Result<Reply> {
        let body = json!({ "plan_digest": digest, "reason": "critical_bug", "note": "the price list is gone" });
        self.try_ask(
            "POST",
            "/api/v1/rollbacks",
            &[("idempotency-key", key)],
            &body,
        )
    }

    #[track_caller]
    pub(crate) fn request(&self, digest: &str) -> Reply {
        self.try_request(digest, &format!("key-{digest}-{}", unique()))
            .expect("the server answers")
    }

    /// Plans and requests; the rollback's id.
    #[track_caller]
    pub(crate) fn roll_back(&self, shop: &Application, target: &Value) -> String {
        let digest = self.plan(shop, target);
        let accepted = self.request(&digest).expect(202);
        let id = accepted.json()["id"]
            .as_str()
            .expect("a rollback has an id")
            .to_owned();
        assert_eq!(
            accepted.header("location"),
            Some(format!("/api/v1/rollbacks/{id}").as_str())
        );
        id
    }

    #[track_caller]
    pub(crate) fn rollback(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/rollbacks/{id}"))
    }

    /// The rollback once it is in this phase.
    #[track_caller]
    pub(crate) fn until_phase(&self, id: &str, phase: &str) -> Value {
        until(&format!("rollback {id} is {phase}"), END_LIMIT, || {
            let seen = self.rollback(id);
            (seen["phase"] == phase || seen["phase"] == "ended").then_some(seen)
        })
    }

    /// The rollback once it has ended. Its log must be what was written, its replay what is kept.
    #[track_caller]
    pub(crate) fn ended(&self, id: &str) -> Value {
        let seen = self.until_phase(id, "ended");
        let checked = self.get(&format!("/api/v1/rollbacks/{id}?verify=true"));
        assert_eq!(
            checked["log"]["intact"], true,
            "the log of {id} does not verify: {checked}"
        );
        seen
    }

    /// The rollback once it has ended, with this verdict.
    #[track_caller]
    pub(crate) fn verdict(&self, id: &str, verdict: &str) -> Value {
        let seen = self.ended(id);
        assert_eq!(seen["verdict"], verdict, "{seen}");
        seen
    }

    /// The log of a rollback from the database: kind and body of each event.
    pub(crate) fn log_of(&self, id: &str) -> Vec<Value> {
        let rows = self.sql(&format!(
            "select body from rollback_event where rollback_id = '{id}' order by seq"
        ));
        rows.lines()
            .map(|line| serde_json::from_str(line).expect("an event is JSON"))
            .collect()
    }

    /// Waits until the server finds everything that it needs again.
    #[track_caller]
    pub(crate) fn ready_again(&self) {
        until("it is ready again", seconds(20), || {
            (self.ask("GET", "/health/ready", &Value::Null).status == 200).then_some(())
        });
    }

    /// Waits for the second copy of a version's image; its digest.
    #[track_caller]
    pub(crate) fn copied(&self, shop: &Application, version: &str) -> String {
        let digest = shop.digest(version);
        until("a second copy is made", seconds(90), || {
            let copies = self.sql(&format!(
                "select count(*) from image_copy where application = '{}' and image = '{digest}'",
                shop.name
            ));
            (copies == "1").then_some(())
        });
        digest
    }

    /// Lets a held version come back; what was answered.
    #[track_caller]
    pub(crate) fn release_hold(&self, shop: &Application, version: &str) -> Value {
        let path = format!("/api/v1/applications/{}/releases/{version}/hold", shop.name);
        let reply = self.ask("DELETE", &path, &Value::Null);
        reply.expect(200).json()
    }
}

/// A word that was not used before.
pub(crate) fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{}-{count}", std::process::id())
}
