//! The old image was cleaned away: it is brought from where it can be had, or production stays as it is.

use serde_json::{Value, json};

use crate::house::{
    Application, Engine, House, Luck, PrivateEngine, Registry, When, child::Folder, seconds, until,
};

/// 1.4.2 was pushed and proved good, 1.5.0 is broken, and somebody cleaned the engine.
fn cleaned(house: &House, shop: &mut Application, registry: &Registry) {
    shop.release("1.4.2", &[]);
    registry.push(shop, "1.4.2");
    // A release of the same layers, as the next one usually is.
    shop.release("1.5.0", &["BAD=1"]);
    house.broken(shop);
    // By identity and by force: that takes all its names, and takes it from its keeper.
    let digest = shop.digest("1.4.2");
    shop.engine.remove_image(&digest);
    assert!(!shop.engine.has_image(&digest));
}

fn rollback_of(house: &House, shop: &Application) -> (Value, String) {
    let reply = house.ask_plan(shop, &json!("last_known_good")).expect(200);
    let plan = reply.json();
    let digest = plan["digest"].as_str().unwrap_or_default().to_owned();
    (plan, digest)
}

fn accepted(house: &House, digest: &str) -> String {
    let accepted = house.request(digest).expect(202).json();
    accepted["id"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_image_that_was_cleaned_away_is_pulled_before_anything_stops() {
    let house = House::new();
    let (registry, mut shop) = (
        Registry::new(),
        Application::shop(&Engine::of_this_machine(), "pulled"),
    );
    cleaned(&house, &mut shop, &registry);
    let (plan, digest) = rollback_of(&house, &shop);
    let titles: Vec<&Value> = plan["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| &step["title"])
        .collect();
    assert_eq!(titles[..3], ["check", "lock", "supply images"], "{plan}");
    let warned = plan["warnings"].to_string();
    assert!(warned.contains("is brought from the registry"), "{plan}");
    let id = accepted(&house, &digest);
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    let did: Vec<Value> = house
        .log_of(&id)
        .into_iter()
        .filter(|event| event["event"] == "intended")
        .map(|event| event["effect"]["do"].clone())
        .collect();
    assert_eq!(
        did[..2],
        [json!("take_lock"), json!("pull_image")],
        "{did:?}"
    );
}

#[test]
fn a_registry_that_is_away_leaves_production_as_it_is() {
    let house = House::new();
    let (mut registry, mut shop) = (
        Registry::new(),
        Application::shop(&Engine::of_this_machine(), "nosource"),
    );
    cleaned(&house, &mut shop, &registry);
    let before = shop.running();
    registry.down();
    let reply = house.ask_plan(&shop, &json!("last_known_good"));
    let problem = reply.problem(409, "plan_blocked");
    let blocker = &problem["blockers"][0];
    assert_eq!(blocker["code"], "image_missing", "{problem}");
    let sentence = blocker["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("connection refused"), "{sentence}");

    // And one that goes away once the rollback runs.
    registry.up();
    let (_, digest) = rollback_of(&house, &shop);
    house.door.trap(
        "POST /containers/create",
        1,
        When::After,
        Luck::Delay(seconds(2)),
    );
    let id = accepted(&house, &digest);
    house.door.springs("the lock is being taken");
    registry.down();
    let ended = house.verdict(&id, "refused");
    assert_eq!(ended["cause"]["code"], "image_missing", "{ended}");
    let sentence = ended["cause"]["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("connection refused"), "{ended}");
    assert_eq!(shop.running(), before);
    shop.serves_alone("1.5.0");
}

#[test]
fn a_long_pull_is_called_off_at_once() {
    let house = House::new();
    let (registry, mut shop) = (
        Registry::new(),
        Application::shop(&Engine::of_this_machine(), "longpull"),
    );
    cleaned(&house, &mut shop, &registry);
    let before = shop.running();
    let (_, digest) = rollback_of(&house, &shop);
    house.door.trap(
        "POST /images/create",
        1,
        When::Before,
        Luck::Delay(seconds(45)),
    );
    let id = accepted(&house, &digest);
    house.door.springs("the pull is under way");
    let began = std::time::Instant::now();
    let reply = house.ask(
        "POST",
        &format!("/api/v1/rollbacks/{id}/cancel"),
        &json!({}),
    );
    assert!(reply.status < 300, "{}", reply.text());
    house.verdict(&id, "cancelled");
    assert!(began.elapsed() < seconds(25), "{:?}", began.elapsed());
    assert_eq!(shop.running(), before);
}

/// Gives the engine an image of nothing that says it is for a processor that this machine has not.
fn load_for_another_processor(engine: &Engine, reference: &str) {
    const EMPTY_TAR: [u8; 1024] = [0; 1024];
    const ITS_DIGEST: &str =
        "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    let foreign = if cfg!(target_arch = "aarch64") {
        "amd64"
    } else {
        "arm64"
    };
    let config = json!({
        "architecture": foreign, "os": "linux", "config": {"Cmd": ["/nothing"]},
        "rootfs": {"type": "layers", "diff_ids": [ITS_DIGEST]},
    });
    let manifest =
        json!([{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]);
    let folder = Folder::new("processor");
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(name), bytes).expect("our own folder");
    };
    put("layer.tar", &EMPTY_TAR);
    put("config.json", config.to_string().as_bytes());
    put("manifest.json", manifest.to_string().as_bytes());
    let archive = folder.join("image.tar");
    let packed = std::process::Command::new("tar")
        .arg("--create")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(folder.path())
        .args(["layer.tar", "config.json", "manifest.json"])
        .status()
        .expect("tar is there");
    assert!(packed.success());
    let loaded = engine.docker(&["load", "--input", &archive.display().to_string()]);
    assert!(loaded.status.success(), "{loaded:?}");
}

/// The daemon of another host built it, and somebody told the ledger of it all the same.
#[test]
fn an_image_for_another_processor_is_no_way_back() {
    let (house, engine) = (House::new(), Engine::of_this_machine());
    let mut shop = Application::shop(&engine, "processor");
    shop.release("1.4.2", &[]);
    shop.release("1.5.0", &["BAD=1"]);
    load_for_another_processor(&engine, &shop.image("1.3.9"));
    house.know(&shop.definition());
    house.record(&shop, "1.3.9");
    house.deploy_until(&mut shop, "1.4.2", "good");
    house.deploy(&mut shop, "1.5.0");
    let before = shop.running();
    let reply = house.ask_plan(&shop, &json!({ "version": "1.3.9" }));
    let problem = reply.problem(409, "plan_blocked");
    let found = problem["blockers"].as_array().into_iter().flatten();
    let codes: Vec<&Value> = found.map(|blocker| &blocker["code"]).collect();
    assert!(codes.contains(&&json!("architecture")), "{problem}");
    assert_eq!(shop.running(), before);
    // The way back to the one that fits stays open.
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn a_disk_that_fills_while_an_image_is_loaded_leaves_production_as_it_is() {
    let private = PrivateEngine::new(Some(240), &[]);
    let (house, folder) = (House::inside(&private).build(), Folder::new("copies"));
    let mut shop = Application::shop(&private.engine, "loading");
    shop.release("1.4.2", &[]);
    shop.release("1.5.0", &["BAD=1"]);
    let mut definition = shop.definition();
    definition["retain"] = json!({ "copy": { "archive": folder.path() } });
    house.know(&definition);
    house.deploy_until(&mut shop, "1.4.2", "good");
    let digest = house.copied(&shop, "1.4.2");
    house.deploy(&mut shop, "1.5.0");
    until("the image is cleaned away", seconds(30), || {
        shop.engine.remove_image(&digest);
        (!shop.engine.has_image(&digest)).then_some(())
    });
    let before = shop.running();
    house.door.trap(
        "POST /images/load",
        1,
        When::Before,
        Luck::Delay(seconds(2)),
    );
    let id = house.roll_back(&shop, &json!("last_known_good"));
    until("the image is being loaded", seconds(30), || {
        let ended = house.rollback(&id);
        assert_ne!(ended["phase"], "ended", "{ended}");
        (house.door.sprung() == 1).then_some(())
    });
    private.fill_up();
    let ended = house.verdict(&id, "refused");
    assert_eq!(ended["cause"]["code"], "disk_full", "{ended}");
    assert_eq!(shop.running(), before);
    private.free();
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}
