//! The runbook's full rollback: the image is gone, so it is built again from the git tag, and then it is as quick.

use std::{path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::house::{Application, Engine, House, seconds, server::repository, until};

/// The repository of an application, in a folder that goes with it.
struct Source {
    folder: PathBuf,
}

impl Source {
    fn new(shop: &Application) -> Self {
        let folder = repository()
            .join("target/tmp")
            .join(format!("source-{}", shop.name));
        std::fs::create_dir_all(&folder).unwrap();
        let source = Self { folder };
        source.git(&["init", "--quiet", "--initial-branch=main"]);
        source
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ana", "-c", "user.email=ana@example.org"])
            .args(args)
            .current_dir(&self.folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Commits a Dockerfile with these lines after its first ones and puts the tag on it; the commit.
    fn tag(&self, version: &str, lines: &str) -> String {
        let text = format!(
            "FROM sternway-demo:1.4.2\nENV SHOP={:?}\nENV APP_VERSION={version}\n{lines}",
            self.folder.file_name()
        );
        std::fs::write(self.folder.join("Dockerfile"), text).unwrap();
        std::fs::write(self.folder.join(".dockerignore"), "private\n").unwrap();
        std::fs::write(self.folder.join("private"), "not for an image").unwrap();
        std::fs::write(self.folder.join("source"), version).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", version]);
        self.git(&["tag", "--force", &format!("v{version}")]);
        self.git(&["rev-parse", "HEAD"])
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A shop whose 1.4.2 was proved, whose 1.5.0 is bad, and of whose 1.4.2 no image is left.
fn pruned(house: &House, what: &str, lines: &str) -> (Application, Source, String) {
    let engine = Engine::of_this_machine();
    let mut shop = Application::shop(&engine, what);
    let source = Source::new(&shop);
    let commit = source.tag("1.4.2", lines);
    let mut definition = shop.definition();
    definition["source"] = json!({ "repository": source.folder });
    for component in definition["components"].as_array_mut().unwrap() {
        component["build"] = json!({});
    }
    house.know(&definition);
    shop.release("1.4.2", &[]);
    shop.release("1.5.0", &["BAD=1"]);
    shop.up("1.4.2");
    let report = json!({ "version": "1.4.2", "commit": commit, "images": shop.images("1.4.2") });
    let path = format!("/api/v1/applications/{}/deployments", shop.name);
    let recorded = house.ask("POST", &path, &report).expect(201).json();
    house.judged(recorded["id"].as_str().unwrap(), "good");
    house.deploy(&mut shop, "1.5.0");
    // By identity and by force: that takes all its names, and takes it from its keeper.
    let digest = shop.digest("1.4.2");
    engine.remove_image(&digest);
    assert!(!engine.has_image(&digest));
    (shop, source, commit)
}

fn rebuild(house: &House, shop: &Application, confirm_moved_tag: bool) -> Value {
    let body = json!({ "target": { "version": "1.4.2" }, "strategy": "rebuild", "confirm_moved_tag": confirm_moved_tag });
    let path = format!("/api/v1/applications/{}/plans", shop.name);
    let reply = house.ask("POST", &path, &body);
    reply.expect(200).json()
}

fn request(house: &House, plan: &Value) -> String {
    let accepted = house.request(plan["digest"].as_str().unwrap()).expect(202);
    accepted.json()["id"].as_str().unwrap().to_owned()
}

fn builds(house: &House, id: &str) -> Vec<Value> {
    let answer = house.get(&format!("/api/v1/rollbacks/{id}/builds"));
    answer["items"].as_array().cloned().unwrap_or_default()
}

/// The containers that the builders of a rollback made and that are still there.
fn builders_left(house: &House, id: &str) -> Vec<String> {
    let listed = house.sql(&format!(
        "select unnest(containers) from build where rollback_id = '{id}'"
    ));
    let made = listed.split_whitespace().map(str::to_owned);
    made.filter(|container| house.engine.inspect(container).is_some())
        .collect()
}

/// Waits until an instruction that never ends runs in a builder's container.
fn until_it_builds(house: &House, id: &str) {
    until("a builder's container runs", seconds(60), || {
        let runs = builders_left(house, id).into_iter().any(|container| {
            house
                .engine
                .inspect(&container)
                .is_some_and(|found| found["State"]["Running"] == true)
        });
        runs.then_some(())
    });
}

#[test]
fn an_image_that_was_pruned_is_built_again_from_its_tag_and_proved() {
    let house = House::new();
    let (shop, source, commit) = pruned(&house, "rebuild", "COPY . /src\n");
    // What lies about in the repository's folder and was not committed is not built.
    std::fs::write(source.folder.join("Dockerfile"), "FROM no-such-image\n").unwrap();
    std::fs::write(source.folder.join("source"), "dirty").unwrap();

    let listed = house.cli(&["tags", &shop.name]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        text.contains("v1.4.2") && text.contains("the same commit"),
        "{text}"
    );

    let plan = rebuild(&house, &shop, false);
    assert_eq!(
        (plan["strategy"].as_str(), plan["source"]["commit"].as_str()),
        (Some("rebuild"), Some(&*commit)),
        "{plan}"
    );
    let id = request(&house, &plan);
    house.verdict(&id, "rolled_back");

    let builds = builds(&house, &id);
    assert_eq!(builds.len(), 2, "{builds:?}");
    for build in &builds {
        assert_eq!(
            (build["state"].as_str(), build["same_as_ledger"].as_bool()),
            (Some("built"), Some(false)),
            "{build}"
        );
        assert!(
            build["tail"]
                .as_str()
                .unwrap()
                .contains("Successfully built"),
            "{build}"
        );
        let image = house.engine.ask(
            "GET",
            &format!("/images/{}/json", build["image"].as_str().unwrap()),
            &Value::Null,
        );
        let labels = image.json()["Config"]["Labels"].clone();
        assert_eq!(
            labels["org.opencontainers.image.revision"],
            commit.as_str(),
            "{labels}"
        );
    }
    let replica = shop.replica("api", 1)["Id"].as_str().unwrap().to_owned();
    assert_eq!(house.engine.read(&replica, "/src/source"), "1.4.2");
    let ignored = house.engine.ask(
        "GET",
        &format!("/containers/{replica}/archive?path=/src/private"),
        &Value::Null,
    );
    assert_eq!(ignored.status, 404, ".dockerignore names it");
    let image = |component: &str| shop.replica(component, 1)["Image"].clone();
    assert_eq!(
        [image("api"), image("worker")],
        [builds[0]["image"].clone(), builds[1]["image"].clone()]
    );
    let said: Vec<String> = house.log_of(&id).iter().map(Value::to_string).collect();
    assert!(
        said.iter()
            .any(|line| line.contains("because builds are not reproducible")),
        "{said:?}"
    );
    let newest =
        house.get(&format!("/api/v1/applications/{}/deployments", shop.name))["items"][0].clone();
    assert_eq!(
        (newest["version"].as_str(), newest["commit"].as_str()),
        (Some("1.4.2"), Some(&*commit)),
        "{newest}"
    );
    drop(source);
}

/// Building is the last source of an image that is missing: a quick plan goes that way by itself, and says so.
#[test]
fn a_quick_plan_builds_what_nobody_has_and_versions_tell_it_long_before() {
    let house = House::new();
    let (shop, source, commit) = pruned(&house, "nowhere", "");
    let releases = format!("/api/v1/applications/{}/releases", shop.name);
    let found = until("1.4.2 is said to be rebuildable", seconds(90), || {
        let listed = house.get(&releases);
        let mut items = listed["items"].as_array()?.iter();
        let found = items.find(|item| item["version"] == "1.4.2")?.clone();
        (found["readiness"]["code"] == "rebuildable").then_some(found)
    });
    assert_eq!(found["readiness"]["broken"], false, "{found}");
    let sentence = found["readiness"]["sentence"].as_str().unwrap();
    assert!(sentence.contains("from tag v1.4.2"), "{sentence}");
    let now = house.get(&format!("{releases}?readiness=true"));
    let mut items = now["items"].as_array().unwrap().iter();
    let listed = items.find(|item| item["version"] == "1.4.2").unwrap();
    assert_eq!(listed["blockers"], json!([]), "{listed}");

    let plan = house
        .ask_plan(&shop, &json!({ "version": "1.4.2" }))
        .expect(200)
        .json();
    assert_eq!(
        (plan["strategy"].as_str(), plan["source"]["commit"].as_str()),
        (Some("quick"), Some(&*commit)),
        "{plan}"
    );
    let steps = plan["steps"].as_array().unwrap();
    let titles: Vec<&str> = steps
        .iter()
        .filter_map(|step| step["title"].as_str())
        .collect();
    assert_eq!(titles[..4], ["check", "build api", "build worker", "check"]);
    assert!(
        plan["warnings"].to_string().contains("image_built"),
        "{plan}"
    );
    let id = request(&house, &plan);
    house.verdict(&id, "rolled_back");
    assert_eq!(builds(&house, &id).len(), 2);
    assert_eq!(
        shop.replica("api", 1)["Image"],
        builds(&house, &id)[0]["image"]
    );
    drop(source);
}

#[test]
fn a_build_that_fails_leaves_production_as_it_was_and_says_its_last_lines() {
    let house = House::new();
    let (shop, _source, _) = pruned(&house, "fails", "RUN [\"/app\", \"no-such-command\"]\n");
    let before = shop.running();
    let id = request(&house, &rebuild(&house, &shop, false));
    let ended = house.verdict(&id, "refused");
    assert_eq!(ended["cause"]["code"], "build_failed", "{ended}");
    let sentence = ended["cause"]["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("unknown role \"no-such-command\""),
        "{sentence}"
    );
    assert_eq!(shop.running(), before);
    assert_eq!(builds(&house, &id)[0]["state"], "dropped");
    assert_eq!(builders_left(&house, &id), Vec::<String>::new());
}

#[test]
fn a_tag_that_was_moved_is_built_only_when_that_is_confirmed() {
    let house = House::new();
    let (shop, source, commit) = pruned(&house, "moved", "");
    let now = source.tag("1.4.2", "ENV MOVED=1\n");
    let body = json!({ "target": { "version": "1.4.2" }, "strategy": "rebuild" });
    let path = format!("/api/v1/applications/{}/plans", shop.name);
    let blocked = house.ask("POST", &path, &body).problem(409, "plan_blocked");
    assert_eq!(blocked["blockers"][0]["code"], "tag_moved", "{blocked}");
    let plan = rebuild(&house, &shop, true);
    assert_eq!(
        (
            plan["source"]["commit"].as_str(),
            plan["source"]["moved_from"].as_str()
        ),
        (Some(&*now), Some(&*commit))
    );
    // It moves once more between the plan and the request: what was approved is no longer what would be built.
    source.tag("1.4.2", "ENV MOVED=2\n");
    house
        .request(plan["digest"].as_str().unwrap())
        .problem(412, "plan_stale");
    source.git(&["tag", "--delete", "v1.4.2"]);
    let blocked = house.ask("POST", &path, &body).problem(409, "plan_blocked");
    assert_eq!(blocked["blockers"][0]["code"], "tag_missing", "{blocked}");
    // A quick plan says both: the image is missing, and it can not be built.
    let quick = || {
        let reply = house.ask_plan(&shop, &json!({ "version": "1.4.2" }));
        let blocked = reply.problem(409, "plan_blocked");
        let blockers = blocked["blockers"].as_array().unwrap().iter();
        let codes = blockers.map(|blocker| blocker["code"].as_str().unwrap().to_owned());
        (codes.collect::<Vec<_>>(), blocked)
    };
    let (codes, blocked) = quick();
    assert_eq!(codes, ["tag_missing", "image_missing"], "{blocked}");
    // The repository is not where it was.
    std::fs::rename(&source.folder, source.folder.with_extension("away")).unwrap();
    house
        .ask("POST", &path, &body)
        .problem(503, "source_unreachable");
    let (codes, blocked) = quick();
    assert_eq!(codes, ["image_missing"], "{blocked}");
    let next = blocked["next_actions"][0].as_str().unwrap();
    assert!(next.contains("--rebuild --to 1.4.2"), "{blocked}");
    std::fs::rename(source.folder.with_extension("away"), &source.folder).unwrap();
}

#[test]
fn a_server_killed_in_the_middle_of_a_build_takes_it_up_again_and_a_cancel_removes_it() {
    let mut house = House::new();
    let (shop, _source, _) = pruned(&house, "endless", "RUN [\"/app\", \"worker\"]\n");
    let before = shop.running();
    let id = request(&house, &rebuild(&house, &shop, false));
    until_it_builds(&house, &id);
    let first = builders_left(&house, &id);
    house.kill();
    house.start();
    until(
        "the first builder is gone and another one runs",
        seconds(60),
        || {
            let left = builders_left(&house, &id);
            (!left.is_empty() && left.iter().all(|container| !first.contains(container)))
                .then_some(())
        },
    );
    house
        .ask(
            "POST",
            &format!("/api/v1/rollbacks/{id}/cancel"),
            &Value::Null,
        )
        .expect(202);
    let ended = house.verdict(&id, "cancelled");
    assert_eq!(shop.running(), before, "{ended}");
    until("nothing of the builds is left", seconds(20), || {
        builders_left(&house, &id).is_empty().then_some(())
    });
    let layers = house.sql(&format!(
        "select unnest(layers) from build where rollback_id = '{id}'"
    ));
    for layer in layers.split_whitespace() {
        let found = house
            .engine
            .ask("GET", &format!("/images/{layer}/json"), &Value::Null);
        assert_eq!(found.status, 404, "layer {layer} is left");
    }
    let work = house.state().join("sources/work");
    assert_eq!(
        std::fs::read_dir(work).unwrap().count(),
        0,
        "the checkout is left"
    );
}
