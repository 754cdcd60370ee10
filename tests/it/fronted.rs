//! An application behind a balancer: nobody waits, whatever dies.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    thread::{self, JoinHandle},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    house::{
        Application, Balancer, Client, Engine, House, Luck, When, balancer::Kind, seconds, until,
    },
    kill::{Lane, dealt, in_lanes},
};

/// Nothing is published: clients come through the balancer.
const BEHIND: &str = r#"
services:
  api:
    image: ${IMAGE}
    command: ["api"]
    environment: {EVENTS_MS: "30000"}
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

fn definition(shop: &Application, balancer: &Balancer) -> Value {
    let mut definition = shop.definition();
    definition["components"][0]["front"] = balancer.definition();
    definition["probes"] = json!([{"url": format!("http://127.0.0.1:{}/health", balancer.port)}]);
    definition["timeouts"]["step_s"] = json!(8);
    definition["timeouts"]["proof_s"] = json!(8);
    definition
}

/// A shop behind a balancer that was deployed twice. Its clients are sent to each version by whoever deploys it.
fn deployed(
    kind: Kind,
    what: &str,
    [(first, judged), (second, _)]: [(&str, &str); 2],
    change: impl FnOnce(&mut Value),
) -> (House, Application, Balancer) {
    let (house, engine) = (House::new(), Engine::of_this_machine());
    let mut shop = Application::compose(&engine, what, &["api"], BEHIND);
    let mut balancer = Balancer::new(kind);
    let mut definition = definition(&shop, &balancer);
    change(&mut definition["components"][0]["front"]);
    house.know(&definition);
    shop.up(first);
    balancer.start(place(&shop));
    house.deploy_until(&mut shop, first, judged);
    shop.up(second);
    balancer.kill();
    balancer.start(place(&shop));
    house.deploy(&mut shop, second);
    (house, shop, balancer)
}

/// A shop that runs the bad version behind a balancer.
fn broken(kind: Kind, what: &str) -> (House, Application, Balancer) {
    deployed(kind, what, [("1.4.2", "good"), ("1.5.0", "bad")], |_| ())
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
    thread::sleep(seconds(1));
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
    thread::sleep(seconds(1));
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
fn a_target_that_is_bad_is_found_out_before_any_client_is_sent_there() {
    let versions = [("1.5.0", "bad"), ("1.4.2", "good")];
    let (house, shop, balancer) = deployed(Kind::Haproxy, "found", versions, |_| ());
    let (before, text) = (shop.running(), balancer.text());
    let client = Client::start(balancer.port, "/");
    let id = house.roll_back(&shop, &json!({ "version": "1.5.0" }));
    let ended = house.verdict(&id, "refused");
    let seen = client.end();
    assert!(seen.failed == 0 && seen.answered > 50, "{seen:?}");
    assert_eq!(ended["cause"]["code"], "proof_failed", "{ended}");
    assert_eq!(shop.running(), before, "the very same container");
    assert_eq!(balancer.text(), text);
    shop.serves_alone("1.4.2");
}

#[test]
fn where_two_versions_may_not_run_at_once_the_former_one_stops_first() {
    let versions = [("1.4.2", "good"), ("1.5.0", "bad")];
    let (house, shop, balancer) = deployed(Kind::Haproxy, "alone", versions, |front| {
        front["two_versions"] = json!(false);
    });
    let plan = house.ask_plan(&shop, &good()).expect(200).json();
    let warned = plan["warnings"].to_string();
    assert!(
        warned.contains("api is stopped before its other version starts"),
        "{plan}"
    );
    let id = house.roll_back(&shop, &good());
    house.verdict(&id, "rolled_back");
    shop.serves_alone("1.4.2");
    let client = Client::start(balancer.port, "/");
    thread::sleep(seconds(1));
    assert_eq!(client.end().failed, 0);
}

/// An event stream through the balancer, read until it ends: what it said.
fn events(port: u16) -> JoinHandle<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"GET /events HTTP/1.1\r\nHost: shop\r\n\r\n")
        .unwrap();
    let mut first = [0; 512];
    let read = stream.read(&mut first).unwrap();
    thread::spawn(move || {
        let mut said = first[..read].to_vec();
        // One that is cut has said what it said.
        let _ = stream.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    })
}

#[test]
fn an_event_stream_is_waited_for_and_no_longer_than_agreed() {
    for (drain_s, ends) in [(90, true), (1, false)] {
        let versions = [("1.4.2", "good"), ("1.5.0", "bad")];
        let (house, shop, balancer) = deployed(Kind::Haproxy, "stream", versions, |front| {
            front["drain_s"] = json!(drain_s);
        });
        let (stream, begun) = (events(balancer.port), Instant::now());
        let id = house.roll_back(&shop, &good());
        house.verdict(&id, "rolled_back");
        let said = stream.join().unwrap();
        assert_eq!(said.contains("data: end"), ends, "{drain_s}: {said}");
        assert!(
            said.contains("data: 1.5.0") && !said.contains("1.4.2"),
            "{said}"
        );
        assert!(begun.elapsed() < seconds(80), "it has ended long before");
        shop.serves_alone("1.4.2");
    }
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
    until("the server is cut", seconds(30), || {
        (!house.lives()).then_some(())
    });
    balancer.kill();
    house.start();
    (house, shop, balancer, id)
}

#[test]
fn a_balancer_that_dies_after_the_change_over_is_waited_for() {
    let (house, shop, mut balancer, id) = cut_after_the_change_over(Kind::Haproxy, "wait");
    thread::sleep(seconds(1));
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

const VERSIONS: [&str; 2] = ["1.4.2", "1.4.3"];

/// A shop of two good versions, of which the second one runs.
fn to_and_fro(what: &str) -> (Lane, Balancer) {
    let engine = Engine::of_this_machine();
    let mut lane = Lane {
        house: House::new(),
        shop: Application::compose(&engine, what, &["api"], BEHIND),
        kills: 0,
    };
    let mut balancer = Balancer::new(Kind::Haproxy);
    lane.house.know(&definition(&lane.shop, &balancer));
    for version in VERSIONS {
        lane.shop.release(version, &[]);
        lane.shop.up(version);
        balancer.kill();
        balancer.start(place(&lane.shop));
        lane.house.deploy_until(&mut lane.shop, version, "good");
    }
    (lane, balancer)
}

/// The version that does not run, free to come back.
fn other(lane: &Lane, turn: usize) -> &'static str {
    let to = VERSIONS[turn % 2];
    if lane
        .house
        .ask_plan(&lane.shop, &json!({ "version": to }))
        .status
        == 409
    {
        lane.house.release_hold(&lane.shop, to);
    }
    to
}

/// From the start beside what serves to the end of that: what each phase asks of the engine.
const PHASES: [&str; 5] = [
    "/start",
    "/rename",
    "/stop",
    "/create",
    "DELETE /containers",
];

#[test]
fn killed_in_any_phase_behind_a_balancer_no_client_notices() {
    let kills = in_lanes(|number| {
        let (mut lane, balancer) = to_and_fro("phases");
        let client = Client::start(balancer.port, "/");
        let first = json!({ "version": other(&lane, 0) });
        let mut places = lane.places(&first);
        places.retain(|(call, _)| PHASES.iter().any(|phase| call.contains(phase)));
        assert!(places.len() > 6, "{places:?}");
        for (turn, place) in (1..).zip(dealt(&places, number)) {
            let to = other(&lane, turn);
            lane.cut_at(place, &json!({ "version": to }), "rolled_back", to);
        }
        let seen = client.end();
        assert!(seen.failed == 0 && seen.answered > 200, "{seen:?}");
        lane.kills
    });
    assert!(kills > 10, "only {kills} kills");
}

#[test]
fn a_balancer_that_dies_in_any_phase_is_waited_for_and_sends_clients_to_the_target() {
    let (lane, mut balancer) = to_and_fro("reborn");
    // In the watch window that follows the last one, clients who reach nobody for longer would be a failure.
    let calls = [
        ("POST /containers/create", 2, 3),
        ("POST /containers/{id}/start", 1, 3),
        ("POST /containers/{id}/rename", 1, 3),
        ("POST /containers/{id}/rename", 2, 3),
        ("POST /containers/{id}/stop", 1, 1),
    ];
    for (turn, (call, nth, away_s)) in calls.into_iter().enumerate() {
        let to = other(&lane, turn);
        let sprung = lane.house.door.sprung();
        let luck = Luck::Delay(seconds(2));
        lane.house.door.trap(call, nth, When::Before, luck);
        let id = lane.house.roll_back(&lane.shop, &json!({ "version": to }));
        until("the call is made", seconds(60), || {
            (lane.house.door.sprung() > sprung).then_some(())
        });
        balancer.kill();
        thread::sleep(seconds(away_s));
        balancer.again();
        let ended = lane.house.ended(&id);
        assert_eq!(ended["verdict"], "rolled_back", "{call} {nth}: {ended}");
        lane.shop.serves_alone(to);
        assert!(
            balancer.text().contains(&place(&lane.shop).to_string()),
            "{}",
            balancer.text()
        );
        let client = Client::start(balancer.port, "/");
        thread::sleep(seconds(1));
        assert_eq!(client.end().failed, 0, "{call} {nth}");
    }
}
