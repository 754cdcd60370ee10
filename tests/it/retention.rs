//! The past is kept: clean-ups at the worst moments, releases that nobody needs any more, and a way back that broke.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::house::{
    Application, Engine, House, PrivateEngine, Registry, child::Folder, seconds, until,
};

/// Images of an application that a keeper protects.
fn kept(shop: &Application) -> BTreeSet<String> {
    let keepers = shop.engine.labelled("sternway.keep");
    let ours = keepers
        .iter()
        .filter(|keeper| keeper["Labels"]["sternway.keep"] == shop.name.as_str());
    ours.filter_map(|keeper| keeper["ImageID"].as_str())
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn docker(shop: &Application, words: &[&str]) {
    let output = shop.engine.docker(words);
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn release_of(house: &House, shop: &Application, version: &str) -> Value {
    let list = house.get(&format!("/api/v1/applications/{}/releases", shop.name));
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let found = items.into_iter().find(|item| item["version"] == version);
    found.unwrap_or(Value::Null)
}

#[test]
fn clean_ups_at_the_worst_moment_take_no_way_back() {
    let private = PrivateEngine::new(None, &[]);
    let house = House::inside(&private).build();
    let mut shop = Application::shop(&private.engine, "pruned");
    house.broken(&mut shop);
    let good = shop.digest("1.4.2");
    // Nothing is waited for: whoever cleans up after a deployment does not wait either.
    assert!(
        kept(&shop).contains(&good),
        "what is recorded is kept at once"
    );
    docker(&shop, &["image", "prune", "-af"]);
    assert!(shop.engine.has_image(&good), "a keeper protects its image");
    for version in ["1.4.2", "1.5.0"] {
        let name = shop.image(version);
        assert!(shop.engine.has_image(&name), "and the site's name of it");
    }

    docker(&shop, &["container", "prune", "-f"]);
    until("the keeper is put back", seconds(60), || {
        kept(&shop).contains(&good).then_some(())
    });
    docker(&shop, &["image", "prune", "-af"]);
    assert!(shop.engine.has_image(&good), "it was protected again");

    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    until(
        "what served before can come back as well",
        seconds(90),
        || kept(&shop).contains(&shop.digest("1.5.0")).then_some(()),
    );
}

#[test]
fn what_retention_does_not_name_is_let_go() {
    let private = PrivateEngine::new(None, &[]);
    let house = House::inside(&private).build();
    let mut shop = Application::shop(&private.engine, "surplus");
    let mut definition = shop.definition();
    definition["retain"] = json!({ "releases": 1 });
    house.know(&definition);
    for version in ["1.4.0", "1.4.1", "1.4.3"] {
        shop.release(version, &[]);
        house.deploy_until(&mut shop, version, "good");
    }
    let digests = ["1.4.0", "1.4.1", "1.4.3"].map(|version| shop.digest(version));
    let due = BTreeSet::from([digests[1].clone(), digests[2].clone()]);
    until("only what is named is kept", seconds(90), || {
        (kept(&shop) == due).then_some(())
    });
    let oldest = until("readiness is known", seconds(90), || {
        let found = release_of(&house, &shop, "1.4.0");
        (!found["readiness"].is_null()).then_some(found)
    });
    assert_eq!(oldest["readiness"]["retained"], json!([]), "{oldest}");
    definition["retain"] = json!({ "releases": 1, "pinned": ["1.4.0"] });
    house.correct(&definition);
    until("a pinned one is kept", seconds(90), || {
        kept(&shop).contains(&digests[0]).then_some(())
    });
    // A tag that moves on leaves an image without a name, for every clean-up of such to take.
    docker(&shop, &["tag", &shop.image("1.4.3"), &shop.image("1.4.0")]);
    let own = |version: &str| format!("sternway/{}/api:{version}", shop.name);
    until("what lost its name has one of ours", seconds(90), || {
        shop.engine.has_image(&own("1.4.0")).then_some(())
    });
    assert_eq!(shop.engine.image(&own("1.4.0")), digests[0]);
    assert!(!shop.engine.has_image(&own("1.4.3")), "it has the site's");
}

#[test]
fn a_way_back_that_broke_raises_the_alarm_before_the_night() {
    let private = PrivateEngine::new(None, &[]);
    let house = House::inside(&private).build();
    let mut shop = Application::shop(&private.engine, "alarm");
    house.broken(&mut shop);
    let ready = until("it is known to be ready", seconds(90), || {
        let found = release_of(&house, &shop, "1.4.2");
        // Looked at once it was no longer what runs.
        let behind = found["readiness"]["retained"] == json!(["good"]);
        (behind && found["readiness"]["code"] == "ready").then_some(found)
    });
    assert_eq!(ready["readiness"]["broken"], false, "{ready}");

    // By force and by identity: no keeper stands against that.
    shop.engine.remove_image(&shop.digest("1.4.2"));
    let broken = until("the alarm is raised", seconds(90), || {
        let found = release_of(&house, &shop, "1.4.2");
        (found["readiness"]["broken"] == true).then_some(found)
    });
    assert_eq!(broken["readiness"]["code"], "gone", "{broken}");
    let action = broken["readiness"]["next_action"].as_str();
    assert!(action.is_some_and(|action| !action.is_empty()), "{broken}");
    // A sum over all applications: whoever scrapes has no token.
    until("the metric tells of it", seconds(90), || {
        let metrics = house.ask("GET", "/metrics", &Value::Null).text();
        assert!(!metrics.contains(&shop.name), "{metrics}");
        metrics
            .contains("sternway_releases_broken 1\n")
            .then_some(())
    });
    let log = std::fs::read_to_string(house.log()).unwrap_or_default();
    let told = log
        .lines()
        .filter(|line| line.contains("\"ERROR\"") && line.contains("the way back is broken"));
    assert_eq!(told.count(), 1, "it is told once");
    let doctor = house.cli(&["doctor", "--json"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        !doctor.status.success() && said.contains("way back"),
        "{said}"
    );
}

#[test]
fn a_second_copy_brings_the_past_back_when_the_engine_lost_it() {
    for registry in [false, true] {
        let house = House::new();
        let (elsewhere, folder) = (Registry::new(), Folder::new("copies"));
        let mut shop = Application::shop(&Engine::of_this_machine(), "copied");
        let prefix = elsewhere.repository("backup");
        let place = if registry {
            json!({ "registry": prefix })
        } else {
            json!({ "archive": folder.path() })
        };
        let mut definition = shop.definition();
        definition["retain"] = json!({ "copy": place });
        shop.release("1.4.2", &[]);
        shop.release("1.5.0", &["BAD=1"]);
        house.know(&definition);
        house.deploy_until(&mut shop, "1.4.2", "good");
        let digest = house.copied(&shop, "1.4.2");
        house.deploy(&mut shop, "1.5.0");
        shop.engine.remove_image(&digest);
        let found = until("it is seen to be elsewhere", seconds(90), || {
            let found = release_of(&house, &shop, "1.4.2");
            (found["readiness"]["code"] != "ready" && !found["readiness"].is_null())
                .then_some(found)
        });
        let due = if registry { "pullable" } else { "second_copy" };
        assert_eq!(found["readiness"]["code"], due, "{found}");
        assert_eq!(found["readiness"]["broken"], false, "{found}");
        let id = house.roll_back(&shop, &json!("last_known_good"));
        house.verdict(&id, "rolled_back");
        shop.serves_alone("1.4.2");
    }
}
