//! Projects that are deployed with Compose 2: what its `up` makes of what a rollback left, with what only it counts into the
//! hash of a service. Every other story of Compose is one of Compose 1; `STERNWAY_COMPOSE=2` has them all done with 2.

use serde_json::json;

use crate::house::{Application, Engine, House, compose::Generation, seconds, until};

/// As people write it today: no version, environment files, conditions, side-cars, a file of its own found by itself.
const SHOP: &str = r#"
name: NAME
services:
  api:
    image: REPOSITORY:${VERSION:-1.4.2}
    ports: ["127.0.0.1:${PORT}:8080"]
    env_file: [api.env]
    environment: {PRICE: "a$$b"}
    ipc: shareable
    stop_grace_period: 1s
    depends_on:
      worker: {condition: service_started, restart: true}
  side:
    image: REPOSITORY:${VERSION:-1.4.2}
    command: ["worker"]
    network_mode: "service:api"
    ipc: "service:api"
    stop_grace_period: 1s
  worker:
    image: REPOSITORY:${VERSION:-1.4.2}
    command: ["worker"]
    env_file: [api.env]
    deploy: {replicas: 2}
    volumes: [/data]
    stop_grace_period: 1s
  tools:
    image: REPOSITORY:${VERSION:-1.4.2}
    profiles: [never]
"#;

struct Site {
    shop: Application,
}

impl Site {
    fn new(house: &House, what: &str, target: &[&str]) -> Self {
        let engine = Engine::of_this_machine();
        let mut shop = Application::compose(&engine, what, &["worker", "api", "side"], "");
        shop.generation = Generation::Two;
        shop.release("1.4.2", target);
        shop.release("1.5.0", &[]);
        let text = SHOP.replace("REPOSITORY", &shop.repository);
        let text = text.replace("NAME", &shop.name);
        std::fs::write(shop.file("compose.yml"), text).unwrap();
        std::fs::write(shop.file("api.env"), "STAGE=production\nCOST=$$5\n").unwrap();
        let site = Self { shop };
        site.write("1.4.2");
        let mut definition = site.shop.definition();
        let folder = site.shop.file("compose.yml");
        definition["compose"] =
            json!({ "folder": folder.parent().unwrap(), "pin": { "env": "VERSION" } });
        for part in definition["components"].as_array_mut().unwrap() {
            if part["name"] == "side" {
                *part = json!({ "name": "side", "after": ["api"] });
            }
        }
        house.know(&definition);
        site
    }

    fn write(&self, version: &str) {
        let text = format!("PORT={}\nVERSION={version}\n", self.shop.port);
        std::fs::write(self.shop.file(".env"), text).unwrap();
    }

    /// As an operator deploys: the file first, then `up`.
    fn deploy(&mut self, house: &House, version: &str) -> String {
        self.write(version);
        house.deploy(&mut self.shop, version)
    }

    /// The ids that run after `docker compose up -d`, with what the file says.
    fn up(&self) -> Vec<String> {
        let output = self.shop.compose_run("unused", &[], &["up", "-d"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        self.shop.running()
    }
}

#[test]
fn up_leaves_what_came_back_and_makes_the_bad_version_anew() {
    let house = House::new();
    let mut site = Site::new(&house, "second", &[]);
    let good = site.deploy(&house, "1.4.2");
    let version =
        site.shop.replica("api", 1)["Config"]["Labels"]["com.docker.compose.version"].clone();
    assert!(
        version.as_str().is_some_and(|made| made.starts_with("2.")),
        "{version}"
    );
    let before = site.shop.running();
    assert_eq!(
        site.up(),
        before,
        "Compose leaves alone what it made itself"
    );
    house.judged(&good, "good");
    site.deploy(&house, "1.5.0");

    let plan = house
        .ask_plan(&site.shop, &json!("last_known_good"))
        .expect(200)
        .json();
    let warnings = plan["warnings"].to_string();
    assert!(
        !warnings.contains("does not give"),
        "its files were read as they were: {warnings}"
    );
    let id = house.roll_back(&site.shop, &json!("last_known_good"));
    let ended = house.verdict(&id, "rolled_back");
    assert!(
        ended["notes"].as_array().is_none_or(Vec::is_empty),
        "{ended}"
    );
    site.shop.serves_alone("1.4.2");
    let serving = site.shop.running();
    assert_eq!(
        site.up(),
        serving,
        "what came back is up to date, and who shares with it"
    );

    // Undone, and rolled back once more: what Compose made and what we made are told apart by nobody.
    house.release_hold(&site.shop, "1.5.0");
    until("the file names what it named", seconds(40), || {
        let text = std::fs::read_to_string(site.shop.file(".env")).unwrap();
        text.contains("VERSION=1.5.0").then_some(())
    });
    let bad = site.up();
    assert!(
        bad.len() == 4 && bad.iter().all(|id| !serving.contains(id)),
        "{bad:?} {serving:?}"
    );
    site.shop.serves_alone("1.5.0");
}
