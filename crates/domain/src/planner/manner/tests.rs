use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::{
    engine_look::{Attached, ContainerState, EngineFacts, Health, RestartPolicy},
    ledger::RecordedSpecification,
    name::ContainerId,
    seen::Seen,
    specification::MountKind,
    time::Moment,
};

fn id(number: u32) -> ContainerId {
    format!("{number:064x}").parse().unwrap()
}

fn port() -> Published {
    Published {
        port: 80,
        protocol: "tcp".to_owned(),
        host_ip: None,
        host_port: Some(8080),
    }
}

fn attached(network: &str, gateway: bool, internal: bool) -> Attached {
    Attached {
        network: network.to_owned(),
        endpoint: Endpoint {
            aliases: vec!["api".to_owned()],
            ..Endpoint::default()
        },
        address: None,
        gateway,
        internal,
    }
}

fn shape() -> Shape {
    Shape {
        network: NetworkMode::Named("front".to_owned()),
        networks: BTreeMap::from([
            ("back".to_owned(), Endpoint::default()),
            ("front".to_owned(), Endpoint::default()),
            ("aaa-inner".to_owned(), Endpoint::default()),
        ]),
        ports: vec![port()],
        ..Shape::default()
    }
}

fn container(number: u32, component: &str) -> Container {
    Container {
        id: id(number),
        name: format!("shop-{component}-1"),
        component: component.parse().unwrap(),
        replica: 1,
        image: format!("sha256:{number:064x}").parse().unwrap(),
        state: ContainerState::Running,
        health: Health::None,
        started_at: Some(Moment::from_unix_ms(1000)),
        restarts: 0,
        exit_code: 0,
        restart: RestartPolicy {
            name: "no".to_owned(),
            retries_max: 0,
        },
        address: None,
        auto_remove: false,
        joins: Vec::new(),
        stop_grace_s: 10,
        mark: None,
        specification: None,
        env: BTreeMap::new(),
        commands: None,
        shape: Some(shape()),
        live: crate::engine_look::Live {
            networks: vec![
                attached("aaa-inner", false, true),
                attached("front", false, false),
                attached("back", true, false),
            ],
            ports: vec![port()],
            ..crate::engine_look::Live::default()
        },
    }
}

/// One component that may be handed over, and what else is on its engine.
struct Case {
    component: Value,
    former: Container,
    others: Vec<Container>,
    guests: BTreeMap<String, ContainerId>,
    target: Shape,
}

impl Case {
    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self {
            component: json!({"name": "api"}),
            former: container(1, "api"),
            others: Vec::new(),
            guests: BTreeMap::new(),
            target: shape(),
        };
        change(&mut case);
        case
    }

    fn ends(&self) -> Result<Ends, String> {
        let component: Component = serde_json::from_value(self.component.clone()).unwrap();
        let part = ReleaseComponent {
            image: self.former.image.clone(),
            reference: "shop/api:1".to_owned(),
            sources: Vec::new(),
            architecture: None,
            bytes: None,
            specification: Some(RecordedSpecification {
                digest: "5".repeat(64).parse().unwrap(),
                readable: true,
                env: BTreeMap::new(),
                commands: None,
                shape: Some(self.target.clone()),
            }),
        };
        let mut containers = self.others.clone();
        containers.push(self.former.clone());
        let look = EngineLook {
            fronts: BTreeMap::new(),
            at: Moment::from_unix_ms(2000),
            engine: EngineFacts {
                name: "host".to_owned(),
                version: "20.10".to_owned(),
                api_version: "1.41".to_owned(),
                disk_free: Seen::Absent,
            },
            containers,
            images: BTreeMap::new(),
            sources: BTreeMap::new(),
            names: BTreeMap::new(),
            kept: BTreeMap::new(),
            lock: None,
            guests: self.guests.clone(),
            taken: Vec::new(),
            paths: BTreeMap::new(),
            has: None,
            project: None,
            stages: Vec::new(),
            internal: BTreeSet::from(["aaa-inner".to_owned()]),
            neighbours: Vec::new(),
        };
        let place = Place {
            name: &self.former.name,
            replica: &self.former,
            leftovers: Vec::new(),
        };
        ends(&look, &component, &part, &place)
    }
}

fn volume(kind: MountKind, writable: bool) -> Mounted {
    Mounted {
        kind,
        source: Some("data".to_owned()),
        target: "/data".to_owned(),
        writable,
    }
}

#[track_caller]
fn refused(table: impl IntoIterator<Item = (&'static str, Case)>) {
    for (expected, case) in table {
        let why = case.ends().expect_err(expected);
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

#[test]
fn what_must_not_run_twice_is_not_handed_over() {
    refused([
        (
            "`overlap = false`",
            Case::with(|case| case.component["overlap"] = json!(false)),
        ),
        (
            "may be a worker",
            Case::with(|case| case.target.ports.clear()),
        ),
        (
            "would write to /data",
            Case::with(|case| case.target.mounts = vec![volume(MountKind::Volume, true)]),
        ),
        (
            "would write to /data",
            Case::with(|case| case.former.live.mounts = vec![volume(MountKind::Bind, true)]),
        ),
        (
            "`volumes_from`",
            Case::with(|case| case.target.volumes_from = vec!["db".to_owned()]),
        ),
        (
            "it does not run",
            Case::with(|case| case.former.state = ContainerState::Exited),
        ),
        (
            "it does not run",
            Case::with(|case| case.former.live.networks.clear()),
        ),
    ]);
}

#[test]
fn what_has_no_network_of_its_own_or_shares_it_is_not_handed_over() {
    refused([
        (
            "the host's own network",
            Case::with(|case| {
                case.component["overlap"] = json!(true);
                case.target.network = NetworkMode::Host;
            }),
        ),
        (
            "the network of another container",
            Case::with(|case| {
                case.component["overlap"] = json!(true);
                let of = NetworkMode::Container("db".to_owned());
                case.former.shape.as_mut().unwrap().network = of;
            }),
        ),
        (
            "links of the default bridge",
            Case::with(|case| case.target.links = vec!["db:db".to_owned()]),
        ),
        (
            "shares the memory or the processes of another",
            Case::with(|case| case.former.joins = vec![id(9)]),
        ),
        (
            "shop-mirror-1 shares its network, memory or processes",
            Case::with(|case| {
                let mut mirror = container(2, "mirror");
                mirror.joins = vec![id(1)];
                case.others.push(mirror);
            }),
        ),
        (
            "sniffer shares its network",
            Case::with(|case| case.former.live.lodgers = vec!["sniffer".to_owned()]),
        ),
        (
            "guest shares its network",
            Case::with(|case| {
                case.guests.insert("guest".to_owned(), id(1));
            }),
        ),
        (
            "could not be worked out",
            Case::with(|case| case.former.shape = None),
        ),
    ]);
}

#[test]
fn what_is_only_read_or_forgotten_stands_in_nobodys_way() {
    for mount in [
        volume(MountKind::Volume, false),
        volume(MountKind::Tmpfs, true),
    ] {
        let case = Case::with(|case| case.target.mounts = vec![mount.clone()]);
        assert!(case.ends().is_ok(), "{mount:?}");
    }
    // A side-car that does not run has nothing to lose; what it is to the rollback, the swaps say.
    let ended = Case::with(|case| {
        let mut mirror = container(2, "mirror");
        mirror.joins = vec![id(1)];
        mirror.state = ContainerState::Exited;
        case.others.push(mirror);
    });
    assert!(ended.ends().is_ok());
    // The definition knows better than what is guessed from mounts and ports.
    let said = Case::with(|case| {
        case.component["overlap"] = json!(true);
        case.target.ports.clear();
        case.target.mounts = vec![volume(MountKind::Volume, true)];
    });
    assert!(said.ends().is_ok());
}

#[test]
fn the_network_that_gives_the_gateway_is_joined_first() {
    let networks = |case: &Case| -> Vec<Vec<String>> {
        let ends = case.ends().unwrap();
        [ends.former, ends.target]
            .map(|end| end.joints.into_iter().map(|joint| joint.network).collect())
            .to_vec()
    };
    let by_name = Case::with(|_| ());
    let order = ["back", "front", "aaa-inner"];
    assert_eq!(networks(&by_name), [order, order], "never an internal one");
    let by_priority = Case::with(|case| {
        let front = case.target.networks.get_mut("front").unwrap();
        front.gateway_priority = 1;
    });
    assert_eq!(
        networks(&by_priority)[1],
        ["front", "back", "aaa-inner"],
        "what newer engines say"
    );
}

#[test]
fn a_replica_keeps_its_address_and_only_ports_that_it_holds_come_back() {
    let case = Case::with(|case| {
        let front = &mut case.former.live.networks[1];
        front.endpoint.ipv4 = Some("10.9.0.7".to_owned());
        front.endpoint.aliases.push("shop-api-1".to_owned());
        case.former.live.ports.clear();
    });
    let ends = case.ends().unwrap();
    let front = |end: &End| {
        let on = end.joints.iter().find(|joint| joint.network == "front");
        on.unwrap().endpoint.clone()
    };
    for end in [&ends.former, &ends.target] {
        assert_eq!(front(end).ipv4.as_deref(), Some("10.9.0.7"));
        assert!(front(end).aliases.contains(&"shop-api-1".to_owned()));
    }
    assert!(
        ends.former.ports.is_empty(),
        "it never had it: an undo owes it none"
    );
    assert_eq!(ends.target.ports, [port()]);
}
