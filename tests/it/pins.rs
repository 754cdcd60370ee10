//! The version where the site keeps it: what a rollback writes into `.env`, what the site's own docker-compose then
//! makes of it, and how it comes back.

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::house::{Application, Engine, House, seconds, until};

const SHOP: &str = r#"
services:
  api:
    image: REPOSITORY:${VERSION}
    ports: ["127.0.0.1:${PORT}:8080"]
    environment: {STAGE: "${STAGE:-none}"}
    depends_on: [worker]
  worker:
    image: REPOSITORY:${VERSION}
    command: ["worker"]
"#;

/// A project with its version in `.env`, of which 1.4.2 is proved good and 1.5.0 runs.
struct Site {
    shop: Application,
    env: PathBuf,
}

impl Site {
    fn new(house: &House, what: &str, target: &[&str]) -> Self {
        let engine = Engine::of_this_machine();
        let mut shop = Application::compose(&engine, what, &["worker", "api"], "");
        shop.release("1.4.2", target);
        shop.release("1.5.0", &[]);
        let env = shop.file(".env");
        std::fs::write(
            shop.file("compose.yml"),
            SHOP.replace("REPOSITORY", &shop.repository),
        )
        .unwrap();
        let site = Self { shop, env };
        site.write("1.4.2");
        let mut permissions = std::fs::metadata(&site.env).unwrap().permissions();
        permissions.set_mode(0o640);
        std::fs::set_permissions(&site.env, permissions).unwrap();
        let mut definition = site.shop.definition();
        if !target.is_empty() {
            definition["timeouts"]["proof_s"] = json!(4);
        }
        let folder = site.env.parent().unwrap();
        definition["compose"] =
            json!({ "folder": folder, "files": ["compose.yml"], "pin": { "env": "VERSION" } });
        house.know(&definition);
        site
    }

    /// `.env` as a person keeps it.
    fn text(&self, version: &str) -> String {
        let port = self.shop.port;
        format!(
            "# ours: s3cret-canary\r\nPORT={port}\n\nVERSION='{version}'  # set by deploy.sh\nSTAGE=\"pro\"\nTOKEN=s3cret-canary"
        )
    }

    fn write(&self, version: &str) {
        std::fs::write(&self.env, self.text(version)).unwrap();
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.env).unwrap()
    }

    /// As an operator deploys: the file first, then `up`.
    fn deploy(&mut self, house: &House, version: &str) -> String {
        self.write(version);
        house.deploy(&mut self.shop, version)
    }

    /// The ids that run after `docker-compose up -d`, with what the file says.
    fn up(&self) -> Vec<String> {
        let output = self.shop.compose_run("unused", &[], &["up", "-d"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.shop.running()
    }
}

#[test]
fn after_a_rollback_the_sites_own_compose_tells_the_truth() {
    let house = House::new();
    let mut site = Site::new(&house, "truth", &[]);
    let good = site.deploy(&house, "1.4.2");
    house.judged(&good, "good");
    site.deploy(&house, "1.5.0");

    // On a busy machine Compose may need longer than a plan waits for it; it goes on reading for the next one. The
    // worker publishes no port that could be handed over; there is nothing else to warn of.
    let plan = until("Compose was asked", seconds(60), || {
        let plan = house
            .ask_plan(&site.shop, &json!("last_known_good"))
            .expect(200)
            .json();
        let warnings = plan["warnings"].as_array()?;
        let said = |said: &Value| said.as_str().map(str::to_owned);
        let known = warnings
            .iter()
            .filter_map(said)
            .all(|warning| warning.starts_with("worker is stopped and started"));
        (known && warnings.len() == 1).then_some(plan)
    });
    assert!(plan.to_string().contains("VERSION=1.4.2"), "{plan}");
    let id = house.roll_back(&site.shop, &json!("last_known_good"));
    let ended = house.verdict(&id, "rolled_back");
    assert!(
        ended["notes"].as_array().is_none_or(Vec::is_empty),
        "{ended}"
    );
    site.shop.serves_alone("1.4.2");

    assert_eq!(site.read(), site.text("1.4.2"), "nothing else was changed");
    assert_eq!(std::fs::metadata(&site.env).unwrap().mode() & 0o7777, 0o640);
    let serving = site.shop.running();
    assert_eq!(
        site.up(),
        serving,
        "the version that came back is up to date"
    );
    site.write("1.5.0");
    let bad = site.up();
    assert!(
        bad.iter().all(|id| !serving.contains(id)),
        "the bad one is made anew: {bad:?} {serving:?}"
    );

    let log = std::fs::read_to_string(house.log()).unwrap();
    assert!(
        !log.contains("s3cret-canary"),
        "what stands in .env is in the log"
    );
    let told = house.sql("select count(*) from rollback_event where body like '%s3cret-canary%'");
    assert_eq!(told, "0");
}

#[test]
fn a_released_hold_puts_the_version_back_unless_it_was_edited() {
    let house = House::new();
    let mut site = Site::new(&house, "release", &[]);
    let good = site.deploy(&house, "1.4.2");
    house.judged(&good, "good");
    for edited in [false, true] {
        site.deploy(&house, "1.5.0");
        let id = house.roll_back(&site.shop, &json!({ "version": "1.4.2" }));
        house.verdict(&id, "rolled_back");
        assert_eq!(site.read(), site.text("1.4.2"));
        let by_hand = format!("{}\nMORE=1\n", site.text("1.4.2"));
        if edited {
            std::fs::write(&site.env, &by_hand).unwrap();
        }
        let released = house.release_hold(&site.shop, "1.5.0");
        let pin = &released["pins"][0];
        assert_eq!(
            (&pin["former"], &pin["written"], &pin["rollback_id"]),
            (&json!("1.5.0"), &json!("1.4.2"), &json!(id)),
            "which file will say what is told: {released}"
        );
        let said = until("the pin is settled", seconds(40), || {
            let said = house.sql(&format!(
                "select said from pin where rollback_id = '{id}' and said is not null"
            ));
            (!said.is_empty()).then_some(said)
        });
        let read = house
            .ask("GET", &format!("/api/v1/rollbacks/{id}"), &json!(null))
            .expect(200)
            .json();
        assert_eq!(read["pins"][0]["said"], json!(said), "{read}");
        if edited {
            assert!(
                said.contains("edited since") && said.contains("MORE differs"),
                "{said}"
            );
            assert_eq!(site.read(), by_hand, "it is never overwritten");
        } else {
            assert_eq!(site.read(), site.text("1.5.0"), "{said}");
        }
    }
}

#[test]
fn an_undone_rollback_leaves_the_site_as_it_was_before() {
    let house = House::new();
    let mut site = Site::new(&house, "undo", &[]);
    let good = site.deploy(&house, "1.4.2");
    house.judged(&good, "good");
    site.deploy(&house, "1.5.0");
    let id = house.roll_back(&site.shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    let stranger = json!({ "undo": "0199c0de-7a11-7000-8000-000000000001" });
    let refused = house
        .ask_plan(&site.shop, &stranger)
        .problem(409, "plan_blocked");
    assert!(refused.to_string().contains("not_undoable"), "{refused}");
    house
        .ask_plan(&site.shop, &json!({ "version": "1.5.0" }))
        .problem(409, "plan_blocked");

    let undo = house.roll_back(&site.shop, &json!({ "undo": id }));
    house.verdict(&undo, "rolled_back");
    site.shop.serves_alone("1.5.0");
    assert_eq!(site.read(), site.text("1.5.0"));
    let pin = format!("select said from pin where rollback_id = '{id}' and said is not null");
    until("the first pin is settled", seconds(40), || {
        (!house.sql(&pin).is_empty()).then_some(())
    });
    assert_eq!(
        site.read(),
        site.text("1.5.0"),
        "what was undone writes nothing more"
    );
    let serving = site.shop.running();
    assert_eq!(site.up(), serving, "the site's own Compose agrees");
    // Neither of the two is held now: what was undone was no verdict on what it brought back.
    let free = house.sql("select count(*) from hold h where not exists (select from hold_release r where r.hold_id = h.id)");
    assert_eq!(free, "0");
    house
        .ask_plan(&site.shop, &json!({ "undo": id }))
        .problem(409, "plan_blocked");
}

#[test]
fn a_rollback_that_turns_puts_the_version_back() {
    let house = House::new();
    let mut site = Site::new(&house, "turns", &["BAD_HEALTH=1"]);
    site.deploy(&house, "1.4.2");
    let present = site.deploy(&house, "1.5.0");
    house.judged(&present, "good");
    let id = house.roll_back(&site.shop, &json!({ "version": "1.4.2" }));
    // 503 is what an application without its surroundings says: it gets its chance in its place, and is bad there too.
    house.verdict(&id, "restored");
    site.shop.serves_alone("1.5.0");
    assert_eq!(site.read(), site.text("1.5.0"));
    let serving = site.shop.running();
    assert_eq!(site.up(), serving, "it is as if nothing had been");
    let pinned = house
        .log_of(&id)
        .iter()
        .any(|event| event["effect"]["do"] == "write_pin");
    assert!(pinned, "it was written in between");
}

#[test]
fn what_can_not_be_pinned_is_said_and_the_rollback_goes_on() {
    let house = House::new();
    let mut site = Site::new(&house, "readonly", &[]);
    let good = site.deploy(&house, "1.4.2");
    house.judged(&good, "good");
    site.deploy(&house, "1.5.0");
    // A link that leads out of the folder is not followed; root could write anything else.
    let outside = site.env.with_file_name("../outside.env");
    std::fs::rename(&site.env, &outside).unwrap();
    std::os::unix::fs::symlink("../outside.env", &site.env).unwrap();

    let plan = house
        .ask_plan(&site.shop, &json!("last_known_good"))
        .expect(200)
        .json();
    assert!(
        plan["warnings"]
            .to_string()
            .contains("leads out of the project's folder"),
        "{plan}"
    );
    let id = house.roll_back(&site.shop, &json!("last_known_good"));
    let ended = house.verdict(&id, "rolled_back");
    assert!(
        ended["notes"].to_string().contains("leads out of"),
        "{ended}"
    );
    assert_eq!(site.read(), site.text("1.5.0"), "it was left as it is");
    std::fs::remove_file(outside).unwrap();
}

#[test]
fn a_server_that_is_killed_at_any_moment_pins_once_and_whole() {
    let mut house = House::new();
    let mut site = Site::new(&house, "killed", &[]);
    let good = site.deploy(&house, "1.4.2");
    house.judged(&good, "good");
    for round in 0..6_u64 {
        site.deploy(&house, "1.5.0");
        let id = house.roll_back(&site.shop, &json!({ "version": "1.4.2" }));
        for nth in 0..2 {
            std::thread::sleep(std::time::Duration::from_millis(
                60 + 170 * round + 90 * nth,
            ));
            house.kill();
            house.start();
        }
        house.verdict(&id, "rolled_back");
        site.shop.serves_alone("1.4.2");
        assert_eq!(site.read(), site.text("1.4.2"), "round {round}");
        let folder = site.env.parent().unwrap();
        let left: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(
            left.iter()
                .all(|name| !name.to_string_lossy().contains("sternway-")),
            "{left:?}"
        );
    }
}
