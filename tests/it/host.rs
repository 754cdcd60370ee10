//! What the engine's host has or lacks for the target is found while everything still serves.

use serde_json::{Value, json};

use crate::{
    chat::chat,
    house::{Application, Engine, House, Slack, seconds, server::free_port, until},
};

const MOVED: &str = r#"
services:
  api:
    image: ${IMAGE}
    command: ["api", "--token=${TOKEN:-none}"]
    ports: ["127.0.0.1:${AT:-0}:8080"]
    volumes: ["${CONF:-/tmp}:/conf:ro"]
    stop_grace_period: 2s
"#;

fn warning<'a>(plan: &'a Value, code: &str) -> &'a str {
    let warnings = plan["warnings"].as_array().unwrap();
    let found = warnings.iter().find(|warning| warning["code"] == code);
    let found = found.unwrap_or_else(|| panic!("no {code} in {plan}"));
    assert!(
        found["next_action"]
            .as_str()
            .is_some_and(|action| !action.is_empty()),
        "{plan}"
    );
    found["sentence"].as_str().unwrap()
}

/// As 1.4.2 was deployed; 1.5.0 has neither the network nor the volume.
const ROOMY: &str = r#"
services:
  api:
    image: ${IMAGE}
    ports: ["127.0.0.1:${PORT}:8080"]
    networks: [default, back]
    volumes: ["data:/data"]
networks: {back: {}}
volumes: {data: {}}
"#;

#[test]
fn a_network_or_a_volume_that_is_gone_is_known_before_the_night() {
    let house = House::new();
    let mut shop = Application::compose(&Engine::of_this_machine(), "gone", &["api"], ROOMY);
    house.know(&shop.definition());
    let good = house.deploy(&mut shop, "1.4.2");
    house.judged(&good, "good");
    let bare = "services:\n  api:\n    image: ${IMAGE}\n    ports: [\"127.0.0.1:${PORT}:8080\"]\n";
    std::fs::write(shop.file("compose.yml"), bare).unwrap();
    house.deploy(&mut shop, "1.5.0");
    let before = shop.running();
    let slack = Slack::new();
    chat(&house, &slack);
    let docker = |words: &[&str]| {
        let ran = std::process::Command::new("docker").args(words).output();
        let ran = ran.expect("docker is installed");
        assert!(ran.status.success(), "{ran:?}");
    };
    let (network, volume) = (format!("{}_back", shop.name), format!("{}_data", shop.name));
    docker(&["network", "rm", &network]);
    docker(&["volume", "rm", &volume]);

    let plan = house.ask_plan(&shop, &json!("last_known_good"));
    let problem = plan.problem(409, "plan_blocked");
    let codes: Vec<&Value> = problem["blockers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["code"])
        .collect();
    assert_eq!(codes, ["network_missing", "volume_missing"], "{problem}");
    assert!(
        problem["blockers"][0]["sentence"]
            .to_string()
            .contains(&network),
        "{problem}"
    );
    let action = problem["blockers"][1]["next_action"].to_string();
    assert!(
        action.contains(&format!("docker volume create {volume}")),
        "{problem}"
    );
    assert_eq!(shop.running(), before);
    let broken = until("its way back is known to be broken", seconds(90), || {
        let all = house.get(&format!("/api/v1/applications/{}/releases", shop.name));
        let releases = all["items"].as_array()?.clone();
        let found = releases
            .into_iter()
            .find(|release| release["version"] == "1.4.2")?;
        (found["readiness"]["broken"] == true).then_some(found)
    });
    assert_eq!(broken["readiness"]["code"], "surroundings_gone", "{broken}");

    // So it is in the chat, where nobody is woken for it: what serves is well.
    let message = slack.shows(0, "The way back of ").text();
    for part in [
        &format!("*The way back of {} is broken*", shop.name),
        "1.4.2: ",
        &format!("Next: `sternway versions {}`", shop.name),
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("<!"), "{message}");

    docker(&["network", "create", &network]);
    docker(&["volume", "create", &volume]);
    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    let told = slack.messages();
    assert_eq!((told.len(), told[0].versions.len()), (1, 1));
    slack.is_content();
}

/// 1.4.2 had another port, another mount and another command than 1.5.0 has.
#[test]
fn what_the_host_has_not_for_the_target_is_found_while_everything_serves() {
    let house = House::new();
    let mut shop = Application::compose(&Engine::of_this_machine(), "host", &["api"], MOVED);
    let (then, now) = (free_port().to_string(), free_port().to_string());
    let [old, new] = ["old", "new"].map(|name| shop.file(name));
    for folder in [&old, &new] {
        std::fs::create_dir(folder).unwrap();
    }
    let [was, is] = [&old, &new].map(|path| path.to_str().unwrap());
    house.know(&shop.definition());
    shop.up_with(
        "1.4.2",
        &[("AT", &then), ("CONF", was), ("TOKEN", "s3cret-then")],
    );
    let good = house.record(&shop, "1.4.2");
    house.judged(&good, "good");
    shop.up_with(
        "1.5.0",
        &[("AT", &now), ("CONF", is), ("TOKEN", "s3cret-now")],
    );
    house.record(&shop, "1.5.0");
    let before = shop.running();

    let plan = house.ask_plan(&shop, &json!("last_known_good")).expect(200);
    let text = plan.text();
    assert!(!text.contains("s3cret"), "{text}");
    let plan = plan.json();
    let said = warning(&plan, "settings_differ");
    for part in [
        format!("ports 127.0.0.1:{then}→8080/tcp then, 127.0.0.1:{now}→8080/tcp now"),
        format!("mounts {was}:/conf:ro then, {is}:/conf:ro now"),
        "another command".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }

    let blocked = |code: &str, names: &str| {
        let reply = house.ask_plan(&shop, &json!("last_known_good"));
        let problem = reply.problem(409, "plan_blocked");
        let blocker = &problem["blockers"][0];
        assert_eq!(blocker["code"], code, "{problem}");
        assert!(blocker["sentence"].to_string().contains(names), "{problem}");
        assert_eq!(shop.running(), before);
    };
    let holder = format!("holder-of-{then}");
    let config = json!({
        "Image": "sternway-demo:1.4.2", "Cmd": ["worker"], "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": then}]}},
    });
    shop.engine.run(&holder, &config);
    blocked("port_taken", &holder);
    shop.engine.remove(&holder);

    std::fs::rename(&old, shop.file("aside")).unwrap();
    blocked("bind_source_missing", was);
    assert!(!old.exists(), "to look for it makes nothing");
    std::fs::rename(shop.file("aside"), &old).unwrap();

    let id = house.roll_back(&shop, &json!("last_known_good"));
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
}
