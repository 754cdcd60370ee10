//! The stage and the move of a published port, on a real engine: who has the port at each moment, what happens when
//! a call is repeated, cut off or made by somebody whose claim is over.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::AtomicI32,
    time::{Duration, Instant},
};

use docker::PerformContext;
use domain::{
    effect::{Effect, Failure, Outcome},
    engine_look::{Container, ContainerState},
    name::ContainerId,
    plan::{Companion, Joint},
    specification::Endpoint,
};

use crate::{
    house::{Dying, FENCE, House, assert_failed},
    registry::free_port,
};

/// Two containers of one replica: version 1 serves on a port, version 2 is created for the same one.
struct Pair {
    house: House,
    former: ContainerId,
    target: ContainerId,
    port: u16,
    front: String,
}

impl Pair {
    /// `others` are more networks of both; the engine's gateway is the first by name of those with a way out.
    async fn new(options: &[&str], others: &[&str]) -> Self {
        let house = House::new().await;
        let (port, front) = (free_port(), house.named("front"));
        house.docker(&["network", "create", &front]);
        let published = format!("127.0.0.1:{port}:8080");
        let network = [
            "--network",
            &front,
            "--network-alias",
            "web",
            "-p",
            &published,
        ];
        let former = house.web("web-1", "1", &[&network[..], options].concat(), &["api"]);
        let name = format!("web-1.next-{}", house.rollback.short());
        let rollback = format!("sternway.rollback={}", house.rollback);
        let marks = ["--label", &rollback, "-e", "APP_VERSION=2"];
        let all = [&network[..], &marks[..], options].concat();
        let target = house.web_as("create", &name, "1", &all, &["api"]);
        for other in others {
            let named = house.named(other);
            let internal = other.starts_with("inner");
            let flag: &[&str] = if internal { &["--internal"] } else { &[] };
            house.docker(&[&["network", "create"], flag, &[&named]].concat());
            for container in [&former, &target] {
                house.docker(&["network", "connect", &named, container.as_str()]);
            }
        }
        Self {
            house,
            former,
            target,
            port,
            front,
        }
    }

    fn stage(&self) -> String {
        format!(
            "sternway-stage-{}-{}",
            self.house.prefix,
            self.house.rollback.short()
        )
    }

    async fn enter(&self, company: Vec<Companion>) {
        let name = self.stage();
        self.done(Effect::SetStage { name, company }).await;
        let enter = Effect::EnterStage {
            container: self.target.clone(),
            stage: self.stage(),
            aliases: vec!["web".to_owned()],
        };
        self.done(enter).await;
    }

    async fn done(&self, effect: Effect) {
        assert_eq!(
            self.house.perform(&effect).await,
            Outcome::Done,
            "{effect:?}"
        );
    }

    async fn seen(&self, id: &ContainerId) -> Container {
        self.house.seen(id).await.expect("it is there")
    }

    /// The move as a plan has it: from what the former container's networks were.
    async fn hand_over(&self) -> Effect {
        let former = self.seen(&self.former).await;
        let mut networks = former.live.networks.clone();
        networks.sort_by_key(|on| !on.gateway);
        Effect::HandOver {
            from: Some(self.former.clone()),
            to: self.target.clone(),
            joints: networks
                .into_iter()
                .map(|on| Joint {
                    network: on.network,
                    endpoint: on.endpoint,
                })
                .collect(),
            restart: None,
        }
    }

    /// The same move the other way.
    fn back(&self, there: &Effect) -> Effect {
        let Effect::HandOver { joints, .. } = there else {
            panic!("{there:?}")
        };
        Effect::HandOver {
            from: Some(self.target.clone()),
            to: self.former.clone(),
            joints: joints.clone(),
            restart: Some(domain::engine_look::RestartPolicy {
                name: "unless-stopped".to_owned(),
                retries_max: 0,
            }),
        }
    }

    /// Which version answers at the published port; none when nothing does.
    fn answers(&self) -> Option<String> {
        said(self.port, "/api/version")
    }

    #[track_caller]
    fn serves(&self, version: &str) {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            match self.answers() {
                Some(said) if said.contains(&format!("\"{version}\"")) => return,
                other => assert!(Instant::now() < until, "{version} should serve: {other:?}"),
            }
        }
    }
}

fn said(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    (!text.is_empty()).then_some(text)
}

#[tokio::test]
async fn the_target_is_proved_on_the_stage_while_the_other_serves() {
    let pair = Pair::new(&[], &["inner"]).await;
    pair.serves("1");
    pair.enter(Vec::new()).await;
    let target = pair.seen(&pair.target).await;
    let on: Vec<_> = target
        .live
        .networks
        .iter()
        .map(|on| (on.is_stage(), on.internal))
        .collect();
    assert_eq!(on, [(true, true)]);
    assert_eq!(
        target.live.ports,
        [],
        "an internal network publishes nothing"
    );
    let address = target.address.expect("it has an address on the stage");
    let until = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect((address, 8080)).is_err() {
        assert!(Instant::now() < until, "it never listened on the stage");
    }
    pair.serves("1");
    let look = pair.house.look().await.look;
    let [stage] = &look.stages[..] else {
        panic!("{:?}", look.stages)
    };
    assert_eq!(stage.rollback, Some(pair.house.rollback));
    assert!(stage.members.contains(&pair.target));
    let mode = pair.house.inspect(pair.target.as_str())["HostConfig"]["NetworkMode"].clone();
    assert_eq!(mode, pair.front, "what Compose would write stays");
}

#[tokio::test]
async fn the_port_moves_and_moves_back_with_everything_that_was_meant() {
    let pair = Pair::new(&["--restart", "unless-stopped"], &["back", "inner", "zone"]).await;
    pair.enter(Vec::new()).await;
    let before = pair.seen(&pair.former).await.live;
    let there = pair.hand_over().await;
    // Twice is once.
    for _ in 0..2 {
        pair.done(there.clone()).await;
        pair.serves("2");
        let (former, target) = (pair.seen(&pair.former).await, pair.seen(&pair.target).await);
        assert!(former.runs(), "it is the way back");
        assert_eq!(
            (former.live.networks.len(), former.live.ports.len()),
            (0, 0)
        );
        assert_eq!(
            former.restart.name, "no",
            "a restart of the engine must not bring it back"
        );
        assert_eq!(target.live.ports, before.ports);
        assert!(!target.live.networks.iter().any(|on| on.is_stage()));
    }
    let back = pair.back(&there);
    for _ in 0..2 {
        pair.done(back.clone()).await;
        pair.serves("1");
        let (former, target) = (pair.seen(&pair.former).await, pair.seen(&pair.target).await);
        assert_eq!(former.live.ports, before.ports);
        assert_eq!(former.restart.name, "unless-stopped");
        assert_eq!(
            (target.live.networks.len(), target.live.ports.len()),
            (0, 0)
        );
        let meant = |live: &domain::engine_look::Live| -> Vec<(String, bool, Endpoint)> {
            let networks = live.networks.iter();
            networks
                .map(|on| (on.network.clone(), on.gateway, on.endpoint.clone()))
                .collect()
        };
        assert_eq!(
            meant(&former.live),
            meant(&before),
            "aliases and addresses as they were"
        );
    }
}

#[tokio::test]
async fn a_static_address_and_aliases_move_with_the_port() {
    let house = House::new().await;
    let (range, port, front) = (house.address_range(), free_port(), house.named("front"));
    house.docker(&[
        "network",
        "create",
        "--subnet",
        &format!("{range}.0/24"),
        &front,
    ]);
    let (published, address) = (format!("127.0.0.1:{port}:8080"), format!("{range}.9"));
    let network = [
        "--network",
        &front,
        "--ip",
        &address,
        "--network-alias",
        "web",
        "--network-alias",
        "shop",
        "-p",
        &published,
    ];
    let former = house.web("web-1", "1", &network, &["api"]);
    let target = house.web_as("create", "web-1.next-x", "1", &network, &["api"]);
    let pair = Pair {
        house,
        former,
        target,
        port,
        front,
    };
    pair.enter(Vec::new()).await;
    let there = pair.hand_over().await;
    pair.done(there).await;
    let target = pair.seen(&pair.target).await;
    let on = target.live.on(&pair.front).unwrap();
    assert_eq!(on.address.unwrap().to_string(), address);
    let mut aliases = on.endpoint.aliases.clone();
    aliases.sort();
    assert_eq!(aliases, ["shop", "web"]);
    // A restart afterwards keeps all of it.
    pair.house
        .docker(&["restart", "-t", "1", pair.target.as_str()]);
    let restarted = pair.seen(&pair.target).await;
    assert_eq!(restarted.live.ports.len(), 1);
    assert_eq!(
        restarted
            .live
            .on(&pair.front)
            .unwrap()
            .address
            .unwrap()
            .to_string(),
        address
    );
    pair.serves("1");
}

#[tokio::test]
async fn company_is_found_on_the_stage_by_its_names_and_loses_nothing() {
    let pair = Pair::new(&[], &[]).await;
    let port = free_port();
    let published = format!("127.0.0.1:{port}:8080");
    let options = [
        "--network",
        &pair.front,
        "--network-alias",
        "db",
        "-p",
        &published,
    ];
    let database = pair.house.web("db-1", "9", &options, &["api"]);
    let gone: ContainerId = "ab".repeat(32).parse().unwrap();
    let companion = |container: &ContainerId| Companion {
        container: container.clone(),
        name: "db".to_owned(),
        aliases: vec!["db".to_owned()],
    };
    let served = std::thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs(4);
        let (mut asked, mut failed) = (0, 0);
        while Instant::now() < until {
            asked += 1;
            failed += u32::from(said(port, "/api/version").is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        (asked, failed)
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    pair.enter(vec![companion(&database), companion(&gone)])
        .await;
    let look = pair.house.look().await.look;
    assert!(look.stages[0].members.contains(&database));
    let joined = pair.seen(&database).await;
    let stage = joined
        .live
        .networks
        .iter()
        .find(|on| on.is_stage())
        .unwrap();
    assert_eq!(stage.endpoint.aliases, ["db"]);
    // One that is stopped meanwhile must be able to start again when the stage is gone.
    pair.house
        .docker(&["stop", "-t", "1", pair.target.as_str()]);
    let network = look.stages[0].id.clone();
    for _ in 0..2 {
        pair.done(Effect::ClearStage {
            network: network.clone(),
        })
        .await;
    }
    assert_eq!(pair.house.look().await.look.stages, []);
    let left = pair.seen(&database).await;
    assert!(!left.live.networks.iter().any(|on| on.is_stage()));
    let (asked, failed) = served.join().unwrap();
    assert!(asked > 100 && failed == 0, "{failed} of {asked} failed");
}

#[tokio::test]
async fn a_port_that_a_stranger_took_is_said_and_the_way_back_works() {
    let pair = Pair::new(&[], &[]).await;
    pair.enter(Vec::new()).await;
    let there = pair.hand_over().await;
    pair.house
        .docker(&["network", "disconnect", &pair.front, pair.former.as_str()]);
    let published = format!("127.0.0.1:{}:8080", pair.port);
    let stranger = pair
        .house
        .web("stranger", "7", &["-p", &published], &["api"]);
    let outcome = pair.house.perform(&there).await;
    assert_failed(&outcome, Failure::Refused);
    let said = format!("{outcome:?}");
    assert!(said.contains("still held"), "{said}");
    pair.house.docker(&["rm", "-f", stranger.as_str()]);
    pair.done(pair.back(&there)).await;
    pair.serves("1");
}

/// A process that is killed between any two calls is the same, to the engine, as one whose claim is over there.
#[tokio::test]
async fn cut_off_between_any_two_calls_it_is_finished_or_undone() {
    let pair = Pair::new(&[], &["back"]).await;
    pair.enter(Vec::new()).await;
    let there = pair.hand_over().await;
    let back = pair.back(&there);
    let mut moments = 0;
    for calls in 0..12 {
        let dying = Dying(AtomicI32::new(calls));
        let context = PerformContext {
            claim: &dying,
            ..pair.house.context(None)
        };
        let outcome = pair.house.engine.perform(&there, &context).await.outcome;
        let cut = outcome != Outcome::Done;
        if cut {
            assert_failed(&outcome, Failure::Fenced);
            moments += 1;
        }
        // Finished, and then undone for the next moment; every second one is undone at once.
        if calls % 2 == 0 {
            pair.done(there.clone()).await;
            pair.serves("2");
        }
        pair.done(back.clone()).await;
        pair.serves("1");
        let target = pair.seen(&pair.target).await;
        assert_eq!(target.live.networks.len(), 0);
        if !cut {
            break;
        }
    }
    assert!(moments >= 6, "it was cut off at {moments} moments only");
}

#[tokio::test]
async fn somebody_elses_claim_moves_nothing() {
    let pair = Pair::new(&[], &[]).await;
    pair.enter(Vec::new()).await;
    let there = pair.hand_over().await;
    let newer = pair.house.web_as(
        "create",
        "newer",
        "8",
        &[
            "--label",
            &format!("sternway.rollback={}", pair.house.rollback),
            "--label",
            &format!("sternway.application={}", pair.house.prefix),
            "--label",
            &format!("sternway.fence={}", FENCE.0 + 1),
        ],
        &["api"],
    );
    for effect in [
        there,
        Effect::SetStage {
            name: pair.stage(),
            company: Vec::new(),
        },
        Effect::LeaveStage {
            container: pair.target.clone(),
            grace_s: 1,
        },
    ] {
        assert_failed(&pair.house.perform(&effect).await, Failure::Fenced);
    }
    pair.serves("1");
    assert_eq!(pair.seen(&pair.target).await.state, ContainerState::Running);
    pair.house.docker(&["rm", newer.as_str()]);
}

#[tokio::test]
async fn an_internal_network_has_no_way_out() {
    let pair = Pair::new(&[], &[]).await;
    pair.enter(Vec::new()).await;
    let stage = pair
        .house
        .api("GET", &format!("/networks/{}", pair.stage()), None);
    assert_eq!(stage.unwrap()["Internal"], true);
    let target = pair.house.inspect(pair.target.as_str());
    let on = &target["NetworkSettings"]["Networks"][pair.stage()];
    assert!(on.is_object(), "{target}");
    assert_eq!(target["NetworkSettings"]["Gateway"], "");
}
