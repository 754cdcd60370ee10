//! An application behind a balancer: nobody waits, whatever dies.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use crate::house::{
    Application, Balancer, Client, Engine, House, Luck, When, balancer::Kind, seconds,
};

/// Nothing is published: clients come through the balancer.
const BEHIND: &str = r#"
services:
  api:
    image: ${IMAGE}
    command: ["api"]
    restart: unless-stopped
    stop_grace_period: 2s
"#;

/// Where the balancer reaches the one replica.
fn place(shop: &Application) -> SocketAddr {
    let container = shop.replica("api", 1);
    let networks = container["NetworkSettings"]["Networks"]
        .as_object()
        .unwrap();
    let address = networks.values().next().unwrap()["IPAddress"].as_str();
    SocketAddr::new(address.unwrap().parse::<IpAddr>().unwrap(), 8080)
}

/// A shop that runs the bad version behind a balancer.
fn broken(kind: Kind, what: &str) -> (House, Application, Balancer) {
    let (house, engine) = (House::new(), Engine::of_this_machine());
    let mut shop = Application::compose(&engine, what, &["api"], BEHIND);
    let mut balancer = Balancer::new(kind);
    let mut definition = shop.definition();
    definition["components"][0]["front"] = balancer.definition();
    definition["probes"] = json!([{"url": format!("http://127.0.0.1:{}/health", balancer.port)}]);
    definition["timeouts"]["step_s"] = json!(8);
    definition["timeouts"]["proof_s"] = json!(8);
    house.know(&definition);
    // Its clients are sent to each version by whoever deploys it.
    shop.up("1.4.2");
    balancer.start(place(&shop));
    house.deploy_until(&mut shop, "1.4.2", "good");
    shop.up("1.5.0");
    balancer.kill();
    balancer.start(place(&shop));
    house.deploy(&mut shop, "1.5.0");
    (house, shop, balancer)
}

fn good() -> Value {
    json!({ "version": "1.4.2" })
}

fn nobody_waits(kind: Kind, what: &str) {
    let (house, shop, mut balancer) = broken(kind, what);
    let former = place(&shop);
    let client = Client::start(balancer.port, "/health");
    let id = house.roll_back(&shop, &good());
    house.verdict(&id, "rolled_back");
    std::thread::sleep(seconds(1));
    let seen = client.end();
    assert!(seen.failed == 0 && seen.answered > 50, "{kind:?}: {seen:?}");
    shop.serves_alone("1.4.2");
    assert_ne!(place(&shop), former);
    if kind == Kind::Haproxy {
        assert!(
            balancer.text().contains(&place(&shop).to_string()),
            "{}",
            balancer.text()
        );
        // A reload changes nothing.
        balancer.kill();
        balancer.again();
    }
    let client = Client::start(balancer.port, "/");
    std::thread::sleep(seconds(1));
    assert_eq!(client.end().failed, 0);
}

#[test]
fn behind_haproxy_nobody_waits() {
    nobody_waits(Kind::Haproxy, "hap");
}

#[test]
fn behind_caddy_nobody_waits() {
    nobody_waits(Kind::Caddy, "cad");
}

#[test]
fn a_balancer_that_does_not_answer_blocks_the_plan_and_nothing_is_touched() {
    for kind in [Kind::Haproxy, Kind::Caddy] {
        let (house, shop, mut balancer) = broken(kind, "gone");
        let (digest, before) = (house.plan(&shop, &good()), shop.running());
        balancer.kill();
        let problem = house.ask_plan(&shop, &good()).problem(409, "plan_blocked");
        assert_eq!(
            problem["blockers"][0]["code"], "balancer_unreachable",
            "{problem}"
        );
        house
            .try_request(&digest, "a-plan-of-before")
            .unwrap()
            .problem(409, "plan_blocked");
        assert_eq!(shop.running(), before);
    }
}

#[test]
fn an_edited_file_blocks_the_plan_with_what_was_found() {
    let (house, shop, balancer) = broken(Kind::Haproxy, "edit");
    let edited = balancer.text().replace("server s1 ", "server web ");
    std::fs::write(balancer.file(), &edited).unwrap();
    let problem = house.ask_plan(&shop, &good()).problem(409, "plan_blocked");
    assert_eq!(
        problem["blockers"][0]["code"], "balancer_unfit",
        "{problem}"
    );
    let said = problem["blockers"][0]["sentence"].as_str().unwrap();
    assert!(
        said.contains("server s1 ADDRESS:PORT") && said.contains("there is web"),
        "{said}"
    );
    assert_eq!(balancer.text(), edited);
}

/// The server is killed right after it pointed the balancer, and the balancer with it.
fn cut_after_the_change_over(kind: Kind, what: &str) -> (House, Application, Balancer, String) {
    let (mut house, shop, mut balancer) = broken(kind, what);
    house
        .door
        .trap("POST /containers/{id}/rename", 1, When::Before, Luck::Kill);
    let digest = house.plan(&shop, &good());
    let id = house.request(&digest).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    crate::house::until("the server is cut", seconds(30), || {
        (!house.lives()).then_some(())
    });
    balancer.kill();
    house.start();
    (house, shop, balancer, id)
}

#[test]
fn a_balancer_that_dies_after_the_change_over_is_waited_for() {
    let (house, shop, mut balancer, id) = cut_after_the_change_over(Kind::Haproxy, "wait");
    std::thread::sleep(seconds(1));
    assert_eq!(shop.running().len(), 2, "both go on while nothing is known");
    balancer.again();
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    assert!(balancer.text().contains(&place(&shop).to_string()));
}

#[test]
fn a_balancer_that_stays_dead_after_the_change_over_is_for_a_person() {
    let (house, shop, _balancer, id) = cut_after_the_change_over(Kind::Caddy, "dead");
    let ended = house.verdict(&id, "needs_human");
    assert_eq!(ended["cause"]["code"], "balancer_unreachable", "{ended}");
    assert_eq!(shop.running().len(), 2, "neither version was stopped");
}
