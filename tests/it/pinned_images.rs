//! The version where it is no variable: the override file that a rollback writes beside the site's own Compose files,
//! what the site's own docker-compose makes of it, and how it goes.

use std::{os::unix::fs::MetadataExt as _, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::house::{Application, Engine, House, compose::Generation, seconds, until};

/// As most people write it: the version stands in the file.
const SHOP: &str = r#"
version: "2.4"
services:
  api:
    image: REPOSITORY:VERSION
    ports: ["127.0.0.1:PORT:8080"]
    depends_on: [worker]
  worker:
    image: REPOSITORY:VERSION
    command: ["worker"]
"#;
/// What the site has on top.
const PROD: &str = "version: \"2.4\"\nservices:\n  api:\n    environment: {STAGE: prod}\n";
const OURS: &str = "docker-compose.override.yml";
const LISTED: &str = "docker-compose.sternway.yml";

/// A project with its version in `compose.yml`, of which 1.4.2 is proved good and 1.5.0 runs.
struct Site {
    shop: Application,
}

impl Site {
    /// With these files beside `compose.yml`.
    fn new(house: &House, what: &str, target: &[&str], files: &[(&str, &str)]) -> Self {
        Self::made_with(Generation::wished(), house, what, target, files)
    }

    fn made_with(
        generation: Generation,
        house: &House,
        what: &str,
        target: &[&str],
        files: &[(&str, &str)],
    ) -> Self {
        let engine = Engine::of_this_machine();
        let mut shop = Application::compose(&engine, what, &["worker", "api"], "");
        shop.generation = generation;
        shop.release("1.4.2", target);
        shop.release("1.5.0", &[]);
        shop.by_itself = true;
        for (name, content) in files {
            std::fs::write(shop.file(name), content).unwrap();
        }
        let mut definition = shop.definition();
        if !target.is_empty() {
            definition["timeouts"]["proof_s"] = json!(4);
        }
        let folder = shop.file(OURS);
        definition["compose"] = json!({ "folder": folder.parent().unwrap(), "pin": "override" });
        house.know(&definition);
        let mut site = Self { shop };
        let good = site.deploy(house, "1.4.2");
        if target.is_empty() {
            house.judged(&good, "good");
        }
        site.deploy(house, "1.5.0");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.shop.file(name)
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    /// As an operator deploys: the file first, then `up`.
    fn deploy(&mut self, house: &House, version: &str) -> String {
        let text = SHOP.replace("REPOSITORY", &self.shop.repository);
        let text = text.replace("VERSION", version);
        let text = text.replace("PORT", &self.shop.port.to_string());
        std::fs::write(self.path("compose.yml"), text).unwrap();
        house.deploy(&mut self.shop, version)
    }

    /// The ids that run after `docker-compose up -d`.
    fn up(&self) -> Vec<String> {
        let output = self.shop.compose_run("unused", &[], &["up", "-d"]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.shop.running()
    }

    /// A rollback to 1.4.2 that Compose was asked about.
    #[track_caller]
    fn roll_back(&self, house: &House) -> String {
        until("Compose was asked", seconds(60), || {
            let plan = house.ask_plan(&self.shop, &json!({ "version": "1.4.2" }));
            let plan = plan.expect(200).json();
            let late = plan["warnings"]
                .to_string()
                .contains("did not answer within");
            (!late).then_some(())
        });
        let id = house.roll_back(&self.shop, &json!({ "version": "1.4.2" }));
        let ended = house.verdict(&id, "rolled_back");
        assert!(
            ended["notes"].as_array().is_none_or(Vec::is_empty),
            "{ended}"
        );
        self.shop.serves_alone("1.4.2");
        id
    }

    /// `up` leaves what came back; after the release of the hold it deploys what the site's files name.
    fn compose_tells_the_truth(&self, house: &House, id: &str) {
        let serving = self.shop.running();
        assert_eq!(self.up(), serving, "what came back is up to date");
        house.release_hold(&self.shop, "1.5.0");
        settled(house, id);
        let bad = self.up();
        assert!(
            bad.iter().all(|id| !serving.contains(id)) && bad.len() == serving.len(),
            "the bad one is made anew: {bad:?} {serving:?}"
        );
        self.shop.serves_alone("1.5.0");
    }
}

/// What was said of each file once the hold was released.
fn settled(house: &House, id: &str) -> String {
    until("the pins are settled", seconds(40), || {
        let open = format!("select count(*) from pin where rollback_id = '{id}' and said is null");
        (house.sql(&open) == "0").then_some(())
    });
    house.sql(&format!(
        "select string_agg(said, '; ' order by path) from pin where rollback_id = '{id}'"
    ))
}

#[test]
fn a_version_in_the_compose_file_is_pinned_beside_it() {
    let house = House::new();
    let site = Site::new(&house, "tagged", &[], &[]);
    let plan = house.ask_plan(&site.shop, &json!({ "version": "1.4.2" }));
    let plan = plan.expect(200).json();
    assert!(
        plan.to_string()
            .contains("is removed if the rollback turns"),
        "{plan}"
    );
    let id = site.roll_back(&house);
    let ours = site.read(OURS).unwrap();
    let image = site.shop.digest("1.4.2");
    assert!(
        ours.contains(&format!(
            "  \"api\":\n    image: \"{image}\"\n  \"worker\":\n"
        )),
        "{ours}"
    );
    let mode = std::fs::metadata(site.path(OURS)).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o644, "whoever reads the Compose file reads it");
    assert_eq!(site.read(".env"), None);
    let told = house.get(&format!("/api/v1/rollbacks/{id}"));
    assert!(told["next_actions"].to_string().contains(OURS), "{told}");
    site.compose_tells_the_truth(&house, &id);
    assert_eq!(site.read(OURS), None, "it goes with the hold");

    // An undone rollback needs no pin: the file names what comes back.
    let id = site.roll_back(&house);
    let undo = house.roll_back(&site.shop, &json!({ "undo": id }));
    house.verdict(&undo, "rolled_back");
    site.shop.serves_alone("1.5.0");
    assert_eq!(site.read(OURS), None, "nobody would ever take it away");
    let serving = site.shop.running();
    assert_eq!(site.up(), serving, "the site's own Compose agrees");
}

#[test]
fn a_list_of_files_names_ours_last_and_is_put_back() {
    let house = House::new();
    let env = "# ours\nCOMPOSE_FILE=compose.yml:prod.yml\nTOKEN=s3cret-canary";
    let files = [("prod.yml", PROD), (".env", env)];
    let site = Site::made_with(Generation::Two, &house, "listed", &[], &files);
    let id = site.roll_back(&house);
    let with = env.replace("prod.yml", &format!("prod.yml:{LISTED}"));
    assert_eq!(site.read(".env"), Some(with));
    assert!(site.read(LISTED).is_some());
    site.compose_tells_the_truth(&house, &id);
    assert_eq!(
        (site.read(".env").as_deref(), site.read(LISTED)),
        (Some(env), None)
    );

    // Somebody edited `.env` meanwhile: the list goes on to name ours, so ours stays.
    let id = site.roll_back(&house);
    let edited = format!("{}\nMORE=1\n", site.read(".env").unwrap());
    std::fs::write(site.path(".env"), &edited).unwrap();
    house.release_hold(&site.shop, "1.5.0");
    let said = settled(&house, &id);
    assert!(
        said.contains("MORE differs") && said.contains("still names it"),
        "{said}"
    );
    assert_eq!(site.read(".env"), Some(edited));
    let serving = site.shop.running();
    assert_eq!(site.up(), serving, "no `up` fails for a file that is gone");
}

#[test]
fn an_override_file_of_the_sites_own_is_never_touched() {
    let house = House::new();
    let site = Site::new(&house, "own", &[], &[(OURS, PROD)]);
    let id = site.roll_back(&house);
    assert_eq!(site.read(OURS).as_deref(), Some(PROD));
    let list = format!("COMPOSE_FILE=compose.yml:{OURS}:{LISTED}\n");
    assert_eq!(site.read(".env"), Some(list));
    let env = &site.shop.replica("api", 1)["Config"]["Env"];
    assert!(env.to_string().contains("STAGE=prod"), "{env}");
    site.compose_tells_the_truth(&house, &id);
    assert_eq!(site.read(OURS).as_deref(), Some(PROD));
    assert_eq!((site.read(".env"), site.read(LISTED)), (None, None));
}

#[test]
fn what_was_edited_by_hand_is_refused_with_the_difference() {
    let house = House::new();
    let site = Site::new(&house, "edited", &[], &[]);
    let id = site.roll_back(&house);
    // Somebody who brings the bad one back in our file.
    let bad = site.read(OURS).unwrap();
    let bad = bad.replace(
        &format!("    image: \"{}\"", site.shop.digest("1.4.2")),
        &format!("    image: {}", site.shop.image("1.5.0")),
    );
    std::fs::write(site.path(OURS), &bad).unwrap();
    site.up();
    site.shop.serves_alone("1.5.0");

    let plan = until("the plan sees what runs", seconds(60), || {
        let plan = house.ask_plan(&site.shop, &json!({ "version": "1.4.2" }));
        let plan = plan.expect(200).json();
        let known = plan["warnings"].to_string().contains("edited by hand");
        known.then_some(plan)
    });
    let warnings = plan["warnings"].to_string();
    assert!(
        warnings.contains("edited by hand: api.image, worker.image differ"),
        "{warnings}"
    );
    let again = house.roll_back(&site.shop, &json!({ "version": "1.4.2" }));
    let ended = house.verdict(&again, "rolled_back");
    assert!(ended["notes"].to_string().contains("api.image"), "{ended}");
    site.shop.serves_alone("1.4.2");
    assert_eq!(
        site.read(OURS),
        Some(bad.clone()),
        "it is never overwritten"
    );

    house.release_hold(&site.shop, "1.5.0");
    let said = settled(&house, &id);
    assert!(
        said.contains("edited since") && said.contains("api.image, worker.image differ"),
        "{said}"
    );
    assert_eq!(site.read(OURS), Some(bad));
}

#[test]
fn a_rollback_that_turns_takes_its_file_away() {
    let house = House::new();
    let site = Site::made_with(
        Generation::Two,
        &house,
        "back",
        &["BAD_HEALTH=1"],
        &[(OURS, PROD)],
    );
    let id = house.roll_back(&site.shop, &json!({ "version": "1.4.2" }));
    house.verdict(&id, "restored");
    site.shop.serves_alone("1.5.0");
    assert_eq!(site.read(OURS).as_deref(), Some(PROD));
    assert_eq!((site.read(".env"), site.read(LISTED)), (None, None));
    let serving = site.shop.running();
    assert_eq!(site.up(), serving, "it is as if nothing had been");
    let log = house.log_of(&id);
    let wrote = |event: &&Value| event["effect"]["do"] == "write_pin";
    assert_eq!(
        log.iter().filter(wrote).count(),
        2,
        "both were written in between"
    );
}

#[test]
fn a_server_that_is_killed_at_any_moment_writes_once_and_whole() {
    let mut house = House::new();
    let mut site = Site::new(&house, "struck", &[], &[(OURS, PROD)]);
    for round in 0..4_u64 {
        let id = house.roll_back(&site.shop, &json!({ "version": "1.4.2" }));
        for nth in 0..2 {
            std::thread::sleep(Duration::from_millis(60 + 230 * round + 90 * nth));
            house.kill();
            house.start();
        }
        house.verdict(&id, "rolled_back");
        site.shop.serves_alone("1.4.2");
        let ours = site.read(LISTED).unwrap();
        let image = site.shop.digest("1.4.2");
        assert_eq!(
            ours.matches(&format!("image: \"{image}\"")).count(),
            2,
            "{ours}"
        );
        let list = format!("COMPOSE_FILE=compose.yml:{OURS}:{LISTED}\n");
        assert_eq!(site.read(".env"), Some(list), "round {round}");
        let left: Vec<_> = std::fs::read_dir(site.path(".")).unwrap().collect();
        let odd = left.into_iter().map(|entry| entry.unwrap().file_name());
        let odd: Vec<_> = odd
            .filter(|name| name.to_string_lossy().contains("sternway-"))
            .collect();
        assert_eq!(odd.len(), 0, "{odd:?}");
        house.release_hold(&site.shop, "1.5.0");
        settled(&house, &id);
        assert_eq!((site.read(".env"), site.read(LISTED)), (None, None));
        site.deploy(&house, "1.5.0");
    }
}
