//! What the engine's host has or lacks for the target is found while everything still serves.

use serde_json::{Value, json};

use crate::house::{Application, Engine, House, server::free_port};

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
