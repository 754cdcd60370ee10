//! A fixed port that is given to HAProxy: what that costs once, that later rollbacks cost nothing, and that everything
//! comes back byte for byte.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, TcpListener},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::house::{
    Application, Client, Engine, House,
    child::Folder,
    compose::Generation,
    dice::{Dice, seed},
    seconds, until,
};

/// As most people write it: version and port stand in the file.
const SHOP: &str = "version: \"2.4\"\nservices:\n  # what clients reach\n  api:\n    image: REPOSITORY:VERSION\n    \
    ports:\n      - \"127.0.0.1:PORT:8080\" # clients\n    restart: unless-stopped\n    stop_grace_period: 2s\n  worker:\n    \
    image: REPOSITORY:VERSION\n    command: [\"worker\"]\n    stop_grace_period: 2s\n";
const OVERRIDE: &str = "docker-compose.override.yml";
const LISTED: &str = "docker-compose.sternway-front.yml";
const HAPROXY: &str = "sternway-haproxy:debian";

/// HAProxy as this machine has it, as an image: the binary and its libraries.
fn haproxy(engine: &Engine) {
    let libraries = Command::new("ldd")
        .arg("/usr/sbin/haproxy")
        .output()
        .unwrap();
    let text = String::from_utf8(libraries.stdout).unwrap();
    let folder = Folder::new("haproxy");
    let tar = folder.join("image.tar");
    let mut pack = Command::new("tar");
    pack.arg("-chf")
        .arg(&tar)
        .args(["-C", "/", "usr/sbin/haproxy"]);
    pack.args(
        text.split_whitespace()
            .filter_map(|word| word.strip_prefix('/')),
    );
    assert!(pack.status().unwrap().success());
    let mut import = Command::new("docker");
    import
        .env("DOCKER_HOST", engine.host())
        .arg("import")
        .arg(&tar)
        .arg(HAPROXY);
    let output = import.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

fn said(output: &Output) -> String {
    let parts = [&output.stdout, &output.stderr];
    parts
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .concat()
}

/// A shop of which 1.4.2 is proved good and 1.5.0 runs.
struct Site {
    house: House,
    shop: Application,
}

impl Site {
    fn new(what: &str, files: &[(&str, &str)]) -> Self {
        Self::made_with(Generation::wished(), what, files)
    }

    fn made_with(generation: Generation, what: &str, files: &[(&str, &str)]) -> Self {
        let (house, engine) = (House::new(), Engine::of_this_machine());
        haproxy(&engine);
        let mut shop = Application::compose(&engine, what, &["worker", "api"], "");
        shop.generation = generation;
        for version in ["1.4.2", "1.5.0", "1.6.0"] {
            shop.release(version, &[]);
        }
        shop.by_itself = true;
        let text = SHOP.replace("REPOSITORY", &shop.repository);
        let text = text.replace("PORT", &shop.port.to_string());
        std::fs::write(shop.file("compose.yml"), text).unwrap();
        for (name, content) in files {
            std::fs::write(shop.file(name), content).unwrap();
        }
        let mut definition = shop.definition();
        let folder = shop.file("compose.yml");
        definition["compose"] = json!({ "folder": folder.parent().unwrap(), "pin": "override" });
        house.know(&definition);
        let mut site = Self { house, shop };
        let good = site.deploy("VERSION", "1.4.2");
        site.house.judged(&good, "good");
        site.deploy("1.4.2", "1.5.0");
        site
    }

    /// As an operator deploys: the file first, then `up`.
    fn deploy(&mut self, from: &str, to: &str) -> String {
        let path = self.shop.file("compose.yml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(
            path,
            text.replace(&format!(":{from}\n"), &format!(":{to}\n")),
        )
        .unwrap();
        self.house.deploy(&mut self.shop, to)
    }

    /// Every file of the project that a person or Compose reads.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.shop.file(".")).unwrap();
        let entries = entries.map(|entry| entry.unwrap());
        let read = |path| std::fs::read(path).unwrap_or_default();
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), read(entry.path())))
            .collect()
    }

    fn front(&self, verb: &str, more: &[&str]) -> Output {
        let words = [&["front", verb, &self.shop.name], more].concat();
        self.house.cli(&words)
    }

    /// With an exit code.
    #[track_caller]
    fn must(&self, verb: &str, more: &[&str], code: i32) -> String {
        let output = self.front(verb, more);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        said(&output)
    }

    fn adopt(&self, code: i32) -> String {
        self.must("adopt", &ADOPT, code)
    }

    fn definition(&self) -> Value {
        self.house
            .get(&format!("/api/v1/applications/{}", self.shop.name))
    }

    fn bindings(&self) -> Value {
        self.shop.replica("api", 1)["HostConfig"]["PortBindings"].clone()
    }

    fn place(&self) -> SocketAddr {
        let container = self.shop.replica("api", 1);
        let networks = container["NetworkSettings"]["Networks"]
            .as_object()
            .unwrap();
        let address = networks.values().next().unwrap()["IPAddress"].as_str();
        SocketAddr::new(address.unwrap().parse::<IpAddr>().unwrap(), 8080)
    }

    /// What clients are told of the version.
    fn serves(&self) -> Option<String> {
        let place = crate::house::wire::Place::Tcp(([127, 0, 0, 1], self.shop.port).into());
        let reply = place
            .ask("GET", "/api/version", &[], &[], seconds(1))
            .ok()?;
        Some(reply.json()["version"].as_str()?.to_owned())
    }

    #[track_caller]
    fn is_adopted(&self) {
        assert_eq!(self.bindings(), json!({}));
        assert_eq!(self.definition()["components"][1]["front"]["follow"], true);
        assert_eq!(self.serves().as_deref(), Some("1.5.0"));
    }

    /// Everything as it was, and a client is served by the container itself.
    #[track_caller]
    fn is_as_before(&self, files: &BTreeMap<String, Vec<u8>>) {
        assert_eq!(self.files(), *files);
        assert_eq!(self.definition()["components"][1]["front"], Value::Null);
        assert_ne!(self.bindings(), json!({}));
        self.shop.serves_alone("1.5.0");
        until("it serves", seconds(10), || self.serves());
    }
}

const ADOPT: [&str; 4] = ["--image", HAPROXY, "--two-versions", "--yes"];

#[test]
fn a_fixed_port_is_adopted_rolled_back_without_a_loss_followed_and_released() {
    let mut site = Site::new("adopt", &[]);
    let before = site.files();
    let shown = site.must("adopt", &ADOPT[..3], 2);
    assert!(
        shown.contains("- \"127.0.0.1") && shown.contains("no answer") && shown.contains("--yes"),
        "{shown}"
    );
    site.is_as_before(&before);
    let client = Client::start(site.shop.port, "/health");
    site.adopt(0);
    let adoption = client.end();
    assert!(adoption.gap < seconds(15), "{adoption:?}");
    eprintln!("adopted: {adoption:?}");
    site.is_adopted();
    assert!(site.adopt(0).contains("already"), "twice is once");

    // A release that had the port itself comes back behind the balancer, and nobody waits.
    let client = Client::start(site.shop.port, "/health");
    let to = json!({ "version": "1.4.2" });
    let id = site.house.roll_back(&site.shop, &to);
    site.house.verdict(&id, "rolled_back");
    thread::sleep(seconds(1));
    let seen = client.end();
    assert!(seen.failed == 0 && seen.answered > 50, "{seen:?}");
    assert_eq!(site.serves().as_deref(), Some("1.4.2"));
    assert_eq!(site.bindings(), json!({}));

    let pinned = site.must("release", &["--yes"], 5);
    assert!(pinned.contains("sternway release"), "{pinned}");
    site.house.release_hold(&site.shop, "1.5.0");
    until("the pin is taken away", seconds(30), || {
        (!site.files().contains_key(".env")).then_some(())
    });

    // A plain deployment gives the container another address.
    let former = site.place();
    site.deploy("1.5.0", "1.6.0");
    let begun = Instant::now();
    until("1.6.0 is followed", seconds(10), || {
        (site.serves()? == "1.6.0").then_some(())
    });
    eprintln!(
        "{former} to {}: followed {:?} after `up`",
        site.place(),
        begun.elapsed()
    );
    assert!(begun.elapsed() < seconds(5), "{:?}", begun.elapsed());
    let audited = "select count(*) from audit_entry where action = 'front.follow'";
    assert_ne!(
        (former == site.place()).to_string() + &site.house.sql(audited),
        "false0"
    );

    // What was deployed meanwhile stays; the port comes back.
    let client = Client::start(site.shop.port, "/health");
    site.must("release", &["--yes"], 0);
    eprintln!("released: {:?}", client.end());
    let later = |text: &[u8]| {
        String::from_utf8_lossy(text)
            .replace("1.5.0", "1.6.0")
            .into_bytes()
    };
    let wanted: BTreeMap<_, _> = before
        .iter()
        .map(|(name, text)| (name.clone(), later(text)))
        .collect();
    assert_eq!(site.files(), wanted);
    assert_ne!(site.bindings(), json!({}));
    assert_eq!(site.serves().as_deref(), Some("1.6.0"));
    assert_eq!(site.shop.containers().len(), 2, "the balancer has gone");
    assert_eq!(site.definition()["components"][1]["front"], Value::Null);
}

#[test]
fn a_restart_of_the_container_elsewhere_is_followed_and_a_restarted_balancer_is_right() {
    let site = Site::new("moved", &[]);
    site.adopt(0);
    let id = site.shop.replica("api", 1)["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (engine, former) = (&site.shop.engine, site.place());
    // As after a restart of the host: somebody else has its address before it is up again.
    let network = format!("{}_default", site.shop.name);
    engine.ask("POST", &format!("/containers/{id}/stop?t=1"), &Value::Null);
    let squatter = json!({"Image": "sternway-demo:1.4.2", "Cmd": ["worker"], "HostConfig": {"NetworkMode": network},
        "NetworkingConfig": {"EndpointsConfig": {(network.clone()): {}}}});
    let name = format!("{}-squatter", site.shop.name);
    engine.run(&name, &squatter);
    engine.ask("POST", &format!("/containers/{id}/start"), &Value::Null);
    let begun = Instant::now();
    assert_ne!(site.place(), former);
    until("it is followed", seconds(10), || site.serves());
    eprintln!("followed {:?} after the start", begun.elapsed());
    assert!(begun.elapsed() < seconds(5), "{:?}", begun.elapsed());
    engine.remove(&name);
    let balancer = site.shop.replica("api-front", 1)["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    engine.ask(
        "POST",
        &format!("/containers/{balancer}/restart?t=1"),
        &Value::Null,
    );
    until("its file says so too", seconds(10), || site.serves());
    assert_eq!(site.serves().as_deref(), Some("1.5.0"));
}

#[test]
fn killed_at_any_moment_the_same_command_goes_on_and_the_other_one_goes_back() {
    let env = "# ours\nCOMPOSE_FILE=compose.yml:more.yml\nTOKEN=s3cret-canary";
    let more = "version: \"2.4\"\nservices:\n  api:\n    environment: {STAGE: prod}\n";
    let site = Site::made_with(
        Generation::Two,
        "struck",
        &[(".env", env), ("more.yml", more)],
    );
    let (before, mut dice) = (site.files(), Dice::new(seed("adopted_front")));
    let strike = |verb: &str, more: &[&str], dice: &mut Dice| {
        let words = [&["front", verb, &site.shop.name], more].concat();
        let mut child = site.house.cli_command(&words).spawn().unwrap();
        thread::sleep(Duration::from_millis(200 + dice.below(5000)));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    for round in 0..3 {
        strike("adopt", &ADOPT, &mut dice);
        if round == 1 {
            // Nothing may have been begun; then there is nothing to release.
            let output = site.front("release", &["--yes"]);
            assert!(
                matches!(output.status.code(), Some(0 | 5)),
                "{}",
                said(&output)
            );
            site.is_as_before(&before);
            strike("adopt", &ADOPT, &mut dice);
        }
        site.adopt(0);
        site.is_adopted();
        assert!(site.files().contains_key(LISTED) && !site.files().contains_key(OVERRIDE));
        strike("release", &["--yes"], &mut dice);
        let output = site.front("release", &["--yes"]);
        assert!(
            matches!(output.status.code(), Some(0 | 5)),
            "{}",
            said(&output)
        );
        site.is_as_before(&before);
    }
}

#[test]
fn what_can_not_be_proved_is_put_back_and_what_was_edited_is_left() {
    let site = Site::new("refused", &[]);
    let before = site.files();
    let other = ["--image", "sternway-demo:1.4.2", "--two-versions", "--yes"];
    let text = site.must("adopt", &other, 7);
    assert!(text.contains("everything is as it was"), "{text}");
    site.is_as_before(&before);
    let missing = [
        "--image",
        "127.0.0.1:9/no/haproxy:1",
        "--two-versions",
        "--yes",
    ];
    let text = site.must("adopt", &missing, 5);
    assert!(text.contains("can not be had"), "{text}");
    site.is_as_before(&before);
    let component = ["--component", "worker", "--yes"];
    assert!(site.must("adopt", &component, 5).contains("no fixed port"));

    site.adopt(0);
    let path = site.shop.file(OVERRIDE);
    let ours = std::fs::read_to_string(&path).unwrap();
    let edited = ours.replace("restart: unless-stopped", "restart: always");
    std::fs::write(&path, &edited).unwrap();
    for (verb, more) in [("adopt", &ADOPT[..]), ("release", &["--yes"])] {
        let text = site.must(verb, more, 5);
        assert!(text.contains("api-front.restart differs"), "{text}");
    }
    std::fs::write(&path, &ours).unwrap();
    let path = site.shop.file("compose.yml");
    let ours = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        ours.replace("has this: - \"127", "has this: - \"128"),
    )
    .unwrap();
    assert!(
        site.must("release", &["--yes"], 5)
            .contains("edited by hand")
    );
    std::fs::write(&path, &ours).unwrap();
    site.must("release", &["--yes"], 0);
    site.is_as_before(&before);
}

#[test]
fn what_was_adopted_is_repaired_by_the_same_command_and_never_taken_down_by_it() {
    let site = Site::new("stands", &[]);
    site.adopt(0);
    let files = site.files();
    let balancer = site.shop.replica("api-front", 1)["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    site.shop.engine.remove(&balancer);
    // Somebody else has the port by now, so it can not serve.
    let squatter = TcpListener::bind(("127.0.0.1", site.shop.port)).unwrap();
    let text = site.adopt(6);
    assert!(text.contains("nothing was taken away"), "{text}");
    assert_eq!(site.files(), files);
    assert_eq!(site.bindings(), json!({}));
    drop(squatter);
    site.adopt(0);
    site.is_adopted();
}
