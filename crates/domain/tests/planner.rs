//! The planner: each blocker is met, a no-op is said, plans are stable to the byte.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::BTreeMap;

use domain::{
    application::Application,
    compose::{Listing, PinFile, PinState, ProjectLook, ProjectRead, Service},
    engine_look::{
        Container, ContainerState, EngineFacts, EngineLook, Health, ImageFacts, Lock, Mark,
        RestartPolicy, TakenPort, holdings::Holdings,
    },
    front::{Filed, FrontLook, FrontServer},
    ledger::{LastRollback, RecordedSpecification, Release, ReleaseComponent},
    lifecycle::{Event, Phase, Run},
    name::{ComponentName, ContainerId, Fence, ImageId, RollbackId, Version},
    plan::{self, Plan, Strategy},
    planner::{self, Blocker, BlockerCode, Proposal, Rebuild, Snapshot, Warning, WarningCode},
    seen::Seen,
    source::{Tag, TagsSeen},
    specification::{Endpoint, MountKind, Mounted, NetworkMode, Published, Shape},
    steps::{Act, Step},
    supply::{ImageSource, SourceSeen},
    target::Target,
    time::{Millis, Moment},
};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

/// A shop with an API of two replicas and a worker, running 1.5.0 after 1.4.2.
#[derive(Clone, Debug)]
struct Shop {
    application: Application,
    look: EngineLook,
    releases: Vec<Release>,
    outages: Vec<Millis>,
    last: Option<LastRollback>,
    target: Target,
}

/// The worker needs the API: they do not change over at the same time.
fn one_after_the_other(mut shop: Shop) -> Shop {
    shop.application.components[1].after = vec!["api".parse().unwrap()];
    shop
}

fn hex(number: u32) -> String {
    format!("{number:012x}{:052x}", 0)
}

fn image(number: u32) -> ImageId {
    format!("sha256:{}", hex(number)).parse().unwrap()
}

fn id(number: u32) -> ContainerId {
    hex(number).parse().unwrap()
}

fn version(text: &str) -> Target {
    Target::Version(text.parse().unwrap())
}

const API_BAD: u32 = 0xA2;
const API_GOOD: u32 = 0xA1;
const WORKER_BAD: u32 = 0xB2;
const WORKER_GOOD: u32 = 0xB1;

fn container(number: u32, name: &str, component: &str, replica: u32, from: u32) -> Container {
    Container {
        id: id(number),
        name: name.to_owned(),
        component: component.parse().unwrap(),
        replica,
        image: image(from),
        state: ContainerState::Running,
        health: Health::None,
        started_at: Some(Moment::from_unix_ms(1000)),
        restarts: 0,
        exit_code: 0,
        restart: RestartPolicy {
            name: "unless-stopped".to_owned(),
            retries_max: 0,
        },
        address: None,
        auto_remove: false,
        joins: Vec::new(),
        stop_grace_s: 10,
        mark: None,
        specification: Some(hex(number).parse().unwrap()),
        env: BTreeMap::new(),
        commands: None,
        shape: None,
        live: domain::engine_look::Live::default(),
    }
}

fn release(version: &str, at: i64, good: bool, api: u32, worker: u32) -> Release {
    let part = |from: u32| ReleaseComponent {
        image: image(from),
        reference: format!("shop:{version}"),
        sources: Vec::new(),
        architecture: None,
        bytes: None,
        specification: Some(RecordedSpecification {
            digest: hex(from).parse().unwrap(),
            readable: true,
            env: BTreeMap::new(),
            commands: None,
            shape: None,
        }),
    };
    Release {
        deployment: Uuid::from_u128(u128::try_from(at).unwrap()),
        version: version.parse().unwrap(),
        commit: None,
        deployed_at: Moment::from_unix_ms(at),
        good_at: good.then(|| Moment::from_unix_ms(at + 1)),
        hold: None,
        insecure: None,
        components: [
            ("api".parse().unwrap(), part(api)),
            ("worker".parse().unwrap(), part(worker)),
        ]
        .into(),
    }
}

impl Shop {
    fn new() -> Self {
        let application = serde_json::from_value(json!({
            "name": "shop", "environment": "production", "project": "shop",
            "components": [
                {"name": "api", "probes": [{"kind": "http", "port": 8080, "path": "/health"}]},
                {"name": "worker"},
            ],
        }));
        let containers = vec![
            container(1, "shop-api-1", "api", 1, API_BAD),
            container(2, "shop-api-2", "api", 2, API_BAD),
            container(3, "shop-worker-1", "worker", 1, WORKER_BAD),
        ];
        let facts = || ImageFacts {
            tags: Vec::new(),
            digests: Vec::new(),
            bytes: 1,
            architecture: "amd64".to_owned(),
        };
        let images = [API_BAD, API_GOOD, WORKER_BAD, WORKER_GOOD]
            .map(|number| (image(number), Seen::Known(facts())));
        let look = EngineLook {
            at: Moment::from_unix_ms(2000),
            engine: EngineFacts {
                name: "host".to_owned(),
                version: "20.10.24".to_owned(),
                api_version: "1.41".to_owned(),
                disk_free: Seen::Known(1 << 30),
            },
            names: containers
                .iter()
                .map(|container| (container.name.clone(), container.id.clone()))
                .collect(),
            containers,
            images: images.into(),
            sources: BTreeMap::new(),
            kept: BTreeMap::new(),
            lock: None,
            guests: BTreeMap::new(),
            taken: Vec::new(),
            paths: BTreeMap::new(),
            has: None,
            project: None,
            stages: Vec::new(),
            internal: std::collections::BTreeSet::new(),
            neighbours: Vec::new(),
            fronts: BTreeMap::new(),
        };
        Self {
            application: application.unwrap(),
            look,
            releases: vec![
                release("1.4.2", 1, true, API_GOOD, WORKER_GOOD),
                release("1.5.0", 2, false, API_BAD, WORKER_BAD),
            ],
            outages: Vec::new(),
            last: None,
            target: version("1.4.2"),
        }
    }

    fn but(change: impl FnOnce(&mut Self)) -> Self {
        let mut shop = Self::new();
        change(&mut shop);
        shop
    }

    fn plan(&self) -> Result<Proposal, Vec<Blocker>> {
        let Self {
            application,
            look,
            releases,
            outages,
            last,
            target,
        } = self;
        planner::plan(
            &Snapshot {
                application,
                look,
                releases,
                outages,
                last: last.as_ref(),
            },
            target,
        )
    }

    fn good(&mut self) -> &mut Release {
        &mut self.releases[0]
    }

    fn part(&mut self) -> &mut ReleaseComponent {
        self.good()
            .components
            .get_mut(&"api".parse().unwrap())
            .unwrap()
    }

    /// One more container on the engine.
    fn add(&mut self, container: Container) {
        self.look
            .names
            .insert(container.name.clone(), container.id.clone());
        self.look.containers.push(container);
    }

    fn rename(&mut self, at: usize, name: &str) {
        let found = &mut self.look.containers[at];
        self.look.names.remove(&found.name);
        name.clone_into(&mut found.name);
        self.look.names.insert(name.to_owned(), found.id.clone());
    }
}

fn codes(shop: &Shop) -> Vec<BlockerCode> {
    match shop.plan() {
        Ok(_) => Vec::new(),
        Err(blockers) => {
            for blocker in &blockers {
                assert!(
                    !blocker.sentence.is_empty() && !blocker.next_action.is_empty(),
                    "{blocker:?}"
                );
            }
            blockers.into_iter().map(|blocker| blocker.code).collect()
        }
    }
}

fn planned(shop: &Shop) -> Proposal {
    shop.plan()
        .unwrap_or_else(|blockers| panic!("{blockers:?}"))
}

fn short() -> String {
    RollbackId(Uuid::from_u128(0xEA)).short()
}

fn lock(stale: bool) -> Lock {
    Lock {
        container: id(9),
        rollback: RollbackId(Uuid::from_u128(9)),
        owner: "another house".to_owned(),
        stale,
        fence: None,
        marks: Vec::new(),
    }
}

fn facts(architecture: &str) -> Seen<ImageFacts> {
    Seen::Known(ImageFacts {
        tags: Vec::new(),
        digests: Vec::new(),
        bytes: 1,
        architecture: architecture.to_owned(),
    })
}

fn registry() -> ImageSource {
    let reference = format!("127.0.0.1:5000/shop/api@sha256:{}", hex(7));
    ImageSource::Registry {
        reference: reference.parse().unwrap(),
    }
}

/// The API's image is not on the engine; a registry is asked for it.
fn missing(shop: &mut Shop, there: Seen<()>) {
    shop.look.images.insert(image(API_GOOD), Seen::Absent);
    let source = registry();
    let seen = vec![SourceSeen { source, there }];
    shop.look.sources.insert(image(API_GOOD), seen);
}

type Met = (Shop, BlockerCode);

fn met_in_the_ledger() -> Vec<Met> {
    let never_good = |shop: &mut Shop| {
        shop.target = Target::LastKnownGood;
        shop.good().good_at = None;
    };
    let first = |shop: &mut Shop| {
        shop.target = Target::Previous;
        shop.releases.remove(0);
    };
    let held = |shop: &mut Shop| shop.good().hold = Some("it was bad".to_owned());
    let insecure = |shop: &mut Shop| shop.good().insecure = Some("CVE".to_owned());
    vec![
        (
            Shop::but(|shop| shop.target = version("9.9.9")),
            BlockerCode::UnknownVersion,
        ),
        (Shop::but(never_good), BlockerCode::NoKnownGood),
        (Shop::but(first), BlockerCode::NoPrevious),
        (
            Shop::but(|shop| shop.target = Target::Undo(RollbackId(Uuid::nil()))),
            BlockerCode::NotUndoable,
        ),
        (Shop::but(held), BlockerCode::Held),
        (Shop::but(insecure), BlockerCode::Insecure),
        (
            Shop::but(|shop| shop.good().components.clear()),
            BlockerCode::ComponentUnknown,
        ),
    ]
}

fn met_on_the_engine() -> Vec<Met> {
    let image_is = |seen: Seen<ImageFacts>| {
        Shop::but(|shop| drop(shop.look.images.insert(image(API_GOOD), seen)))
    };
    vec![
        (image_is(Seen::Absent), BlockerCode::ImageMissing),
        (
            image_is(Seen::Unknown("time-out".to_owned())),
            BlockerCode::ImageMissing,
        ),
        (image_is(facts("arm64")), BlockerCode::Architecture),
        (
            Shop::but(|shop| missing(shop, Seen::Unknown("connection refused".to_owned()))),
            BlockerCode::ImageMissing,
        ),
        (
            Shop::but(|shop| missing(shop, Seen::Absent)),
            BlockerCode::ImageMissing,
        ),
        (
            Shop::but(|shop| {
                missing(shop, Seen::Known(()));
                let api = "api".parse().unwrap();
                shop.good().components.get_mut(&api).unwrap().architecture =
                    Some("arm64".to_owned());
            }),
            BlockerCode::Architecture,
        ),
        (
            Shop::but(|shop| {
                missing(shop, Seen::Known(()));
                let api = "api".parse().unwrap();
                shop.good().components.get_mut(&api).unwrap().bytes = Some(1 << 40);
            }),
            BlockerCode::DiskFull,
        ),
        (
            Shop::but(|shop| shop.look.engine.disk_free = Seen::Known(1 << 20)),
            BlockerCode::DiskFull,
        ),
        (
            Shop::but(|shop| shop.look.lock = Some(lock(false))),
            BlockerCode::LockedElsewhere,
        ),
    ]
}

/// What the engine's host does not have for the target.
fn met_on_the_host() -> Vec<Met> {
    let stays = |shop: &mut Shop| {
        shape_of(shop).ports = vec![published(9000)];
        let worker = &mut shop.look.containers[2];
        worker.image = image(WORKER_GOOD);
        worker.live.ports = vec![published(9000)];
    };
    let gone = |shop: &mut Shop| {
        shape_of(shop).mounts = vec![bind("/srv/shop/conf")];
        shop.look
            .paths
            .insert("/srv/shop/conf".to_owned(), Seen::Absent);
    };
    vec![
        (
            Shop::but(|shop| somebody_has(shop, published(18080))),
            BlockerCode::PortTaken,
        ),
        (Shop::but(stays), BlockerCode::PortTaken),
        (Shop::but(gone), BlockerCode::BindSourceMissing),
        (Shop::but(need), BlockerCode::NetworkMissing),
        (
            Shop::but(|shop| {
                need(shop);
                let has = shop.look.has.as_mut().unwrap();
                has.networks.insert("shop_back".to_owned());
            }),
            BlockerCode::VolumeMissing,
        ),
    ]
}

/// The target is on a network and mounts a volume, neither of which is on the engine.
fn need(shop: &mut Shop) {
    let shape = shape_of(shop);
    shape.networks = [("shop_back".to_owned(), Endpoint::default())].into();
    shape.mounts = vec![
        Mounted {
            kind: MountKind::Volume,
            ..bind("shop_data")
        },
        // The engine makes it with the container, as it did before.
        Mounted {
            kind: MountKind::Anonymous,
            ..bind("of-its-own")
        },
    ];
    shop.look.has = Some(Holdings::default());
}

fn published(host_port: u16) -> Published {
    Published {
        port: 8080,
        protocol: "tcp".to_owned(),
        host_ip: None,
        host_port: Some(host_port),
    }
}

fn bind(source: &str) -> Mounted {
    Mounted {
        kind: MountKind::Bind,
        source: Some(source.to_owned()),
        target: "/conf".to_owned(),
        writable: false,
    }
}

/// What the API of the target asks for.
fn shape_of(shop: &mut Shop) -> &mut Shape {
    let recorded = shop.part().specification.as_mut().unwrap();
    recorded.shape.get_or_insert_default()
}

/// The target publishes 18080, and a container of somebody else holds that port.
fn somebody_has(shop: &mut Shop, port: Published) {
    shape_of(shop).ports = vec![published(18080)];
    shop.look.taken = vec![TakenPort {
        container: "grafana".to_owned(),
        port,
    }];
}

fn sentences(proposal: &Proposal) -> String {
    let sentences = proposal.warnings.iter();
    let sentences: Vec<&str> = sentences.map(|warning| warning.sentence.as_str()).collect();
    sentences.join("\n")
}

fn warned(proposal: &Proposal) -> Vec<WarningCode> {
    for warning in &proposal.warnings {
        assert!(
            !warning.sentence.is_empty() && !warning.next_action.is_empty(),
            "{warning:?}"
        );
    }
    proposal
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect()
}

fn met_at_a_container() -> Vec<Met> {
    let no_specification = |shop: &mut Shop| {
        shop.part().specification = None;
        shop.look.containers[0].specification = None;
    };
    let name_taken = |shop: &mut Shop| {
        shop.rename(0, &format!("shop-api-1.next-{}", short()));
        shop.look.names.insert("shop-api-1".to_owned(), id(77));
    };
    let paused = |shop: &mut Shop| shop.look.containers[0].state = ContainerState::Paused;
    vec![
        (
            Shop::but(|shop| shop.look.containers.truncate(2)),
            BlockerCode::ComponentAbsent,
        ),
        (
            Shop::but(no_specification),
            BlockerCode::SpecificationMissing,
        ),
        (
            Shop::but(|shop| shop.look.containers[0].auto_remove = true),
            BlockerCode::AutoRemove,
        ),
        (Shop::but(paused), BlockerCode::ContainerState),
        (Shop::but(name_taken), BlockerCode::NameTaken),
    ]
}

/// The shop's API behind a balancer that sends its clients to both replicas.
fn behind_a_front(change: impl FnOnce(&mut Shop, &mut FrontLook)) -> Shop {
    let mut shop = Shop::new();
    let front = json!({
        "balancer": {"kind": "haproxy", "socket": "/run/h.sock", "backend": "shop", "file": "/etc/h.cfg"},
        "servers": ["s1", "s2"], "port": 8080, "two_versions": true,
    });
    shop.application.components[0].front = Some(serde_json::from_value(front).unwrap());
    let server = |last: u8| FrontServer {
        address: Some(format!("10.0.0.{last}:8080").parse().unwrap()),
        takes: true,
        up: true,
        filed: Some(Filed::Says(format!("10.0.0.{last}:8080").parse().unwrap())),
        sessions: Seen::Absent,
    };
    shape_of(&mut shop);
    for (container, last) in shop.look.containers.iter_mut().zip(1..) {
        container.shape = Some(Shape::default());
        container.address = Some(format!("10.0.0.{last}").parse().unwrap());
    }
    let servers = [("s1".to_owned(), server(1)), ("s2".to_owned(), server(2))];
    let mut look = FrontLook {
        servers: servers.into(),
    };
    change(&mut shop, &mut look);
    let component = shop.application.components[0].name.clone();
    shop.look
        .fronts
        .entry(component)
        .or_insert(Seen::Known(look));
    shop
}

fn met_at_a_balancer() -> Vec<(Shop, BlockerCode)> {
    let away = behind_a_front(|shop, _| {
        let component = shop.application.components[0].name.clone();
        let seen = Seen::Unknown("HAProxy does not answer".to_owned());
        shop.look.fronts.insert(component, seen);
    });
    let unfit = |change: fn(&mut FrontServer)| {
        let shop = behind_a_front(|_, look| change(look.servers.get_mut("s2").unwrap()));
        (shop, BlockerCode::BalancerUnfit)
    };
    let gone = behind_a_front(|_, look| {
        look.servers.remove("s1");
    });
    let unnamed = behind_a_front(|shop, _| {
        let front = shop.application.components[0].front.as_mut().unwrap();
        front.servers.truncate(1);
    });
    vec![
        (away, BlockerCode::BalancerUnreachable),
        unfit(|server| server.address = Some("10.0.0.77:8080".parse().unwrap())),
        unfit(|server| server.address = None),
        unfit(|server| server.filed = Some(Filed::Unfit("edited".to_owned()))),
        (gone, BlockerCode::BalancerUnfit),
        (unnamed, BlockerCode::BalancerUnfit),
    ]
}

#[test]
fn behind_a_balancer_each_replica_has_its_server_and_nobody_waits() {
    let mut shop = behind_a_front(|_, _| {});
    shop.application.components.truncate(1);
    let proposal = planned(&shop);
    let servers: Vec<_> = proposal
        .plan
        .swaps
        .iter()
        .map(|swap| swap.server.as_deref())
        .collect();
    assert_eq!(servers, [Some("s1"), Some("s2")]);
    assert_eq!(
        proposal.plan.format,
        plan::PLAN_FORMAT_FRONT,
        "an older binary knows none of its steps"
    );
    assert_eq!(proposal.downtime.expected_ms, Millis(0));
    assert!(
        !proposal
            .plan
            .steps
            .iter()
            .any(|step| matches!(step, Step::Switch { .. }))
    );
}

/// What stands in the way of running two versions at once is said, and what serves stops first.
#[test]
fn behind_a_balancer_what_only_one_can_have_stops_first() {
    type Case = (fn(&mut Shop), &'static str);
    let cases: [Case; 5] = [
        (
            |shop| {
                let front = shop.application.components[0].front.as_mut();
                front.unwrap().two_versions = false;
            },
            "does not say that two versions",
        ),
        (
            |shop| shop.application.components[0].overlap = Some(false),
            "`overlap = false`",
        ),
        (
            |shop| shape_of(shop).ports = vec![published(18080)],
            "18080",
        ),
        (
            |shop| {
                let endpoint = Endpoint {
                    ipv4: Some("10.0.0.9".to_owned()),
                    ..Endpoint::default()
                };
                let shape = shape_of(shop);
                shape.networks.insert("shop".to_owned(), endpoint);
            },
            "fixed address 10.0.0.9",
        ),
        (
            |shop| shop.look.containers[0].shape = None,
            "could not be worked out",
        ),
    ];
    for (change, why) in cases {
        let mut shop = behind_a_front(|_, _| {});
        shop.application.components.truncate(1);
        change(&mut shop);
        let proposal = planned(&shop);
        assert!(proposal.downtime.expected_ms > Millis(0), "{why}");
        let said = |warning: &&Warning| warning.code == WarningCode::StoppedAndStarted;
        let warning = proposal.warnings.iter().find(said).unwrap();
        assert!(warning.sentence.contains(why), "{warning:?}");
    }
}

#[test]
fn two_versions_that_write_to_one_place_are_told() {
    let mut shop = behind_a_front(|_, _| {});
    shop.look.containers[0].shape.as_mut().unwrap().mounts = vec![Mounted {
        writable: true,
        ..bind("/srv/shop/data")
    }];
    let proposal = planned(&shop);
    let told = |warning: &Warning| warning.code == WarningCode::SharedWrites;
    assert!(
        proposal.warnings.iter().any(told),
        "{:?}",
        proposal.warnings
    );
}

#[test]
fn a_balancer_that_takes_the_bad_version_for_down_is_in_nobodys_way() {
    let shop = behind_a_front(|_, look| {
        for server in look.servers.values_mut() {
            server.up = false;
        }
    });
    assert_eq!(codes(&shop), []);
}

/// Every code has its place here: a new one does not compile until it is put after another one.
fn next_code(code: BlockerCode) -> Option<BlockerCode> {
    use BlockerCode as Code;
    match code {
        Code::UnknownVersion => Some(Code::NoKnownGood),
        Code::NoKnownGood => Some(Code::NoPrevious),
        Code::NoPrevious => Some(Code::NotUndoable),
        Code::NotUndoable => Some(Code::Held),
        Code::Held => Some(Code::Insecure),
        Code::Insecure => Some(Code::ImageMissing),
        Code::ImageMissing => Some(Code::ComponentUnknown),
        Code::ComponentUnknown => Some(Code::ComponentAbsent),
        Code::ComponentAbsent => Some(Code::SpecificationMissing),
        Code::SpecificationMissing => Some(Code::AutoRemove),
        Code::AutoRemove => Some(Code::ContainerState),
        Code::ContainerState => Some(Code::DiskFull),
        Code::DiskFull => Some(Code::LockedElsewhere),
        Code::LockedElsewhere => Some(Code::Architecture),
        Code::Architecture => Some(Code::BalancerUnreachable),
        Code::BalancerUnreachable => Some(Code::BalancerUnfit),
        Code::BalancerUnfit => Some(Code::NameTaken),
        Code::NameTaken => Some(Code::PortTaken),
        Code::PortTaken => Some(Code::BindSourceMissing),
        Code::BindSourceMissing => Some(Code::NetworkMissing),
        Code::NetworkMissing => Some(Code::VolumeMissing),
        // Those of a rebuild have a test of their own.
        Code::VolumeMissing | Code::NoSource | Code::TagMissing | Code::TagMoved => None,
    }
}

#[test]
fn each_blocker_is_met() {
    let table = [
        met_in_the_ledger(),
        met_on_the_engine(),
        met_on_the_host(),
        met_at_a_container(),
        met_at_a_balancer(),
    ]
    .concat();
    for (shop, code) in &table {
        let found = codes(shop);
        assert!(found.contains(code), "{code:?} was not met: {found:?}");
    }
    let every = std::iter::successors(Some(BlockerCode::UnknownVersion), |code| next_code(*code));
    for code in every {
        assert!(
            table.iter().any(|(_, met)| *met == code),
            "no line meets {code:?}"
        );
    }
}

#[test]
fn a_stale_lock_is_in_nobodys_way() {
    assert_eq!(
        codes(&Shop::but(|shop| shop.look.lock = Some(lock(true)))),
        []
    );
}

#[test]
fn two_persons_say_yes_each_counted_once() {
    let plan = Shop::but(|shop| {
        shop.application.approval = true;
        shop.application.approvers = 2;
    })
    .plan()
    .unwrap()
    .plan;
    assert!(
        plan.format >= plan::PLAN_FORMAT_TWO,
        "no older binary starts with one"
    );
    let at = Moment::from_unix_ms(1_000);
    let first = Event::Requested {
        approval_until: Some(at.after(Millis::from_secs(900))),
        break_glass: None,
    };
    let yes = |by: &str| Event::Approved {
        by: by.parse().unwrap(),
    };
    let run = Run::requested(&first, at).unwrap();
    let run = run.evolve(&plan, &yes("ben"), at).unwrap();
    assert_eq!(run.phase.word(), "awaiting_approval");
    assert!(run.clone().evolve(&plan, &yes("ben"), at).is_err());
    let run = run.evolve(&plan, &yes("eva"), at).unwrap();
    assert_eq!(run.phase, Phase::Forward { at: 0 });
}

#[test]
fn an_undone_rollbacks_own_hold_stands_in_nobodys_way_and_a_persons_does() {
    let undone = |hold_of_others: Option<&str>| {
        Shop::but(|shop| {
            let id = RollbackId(Uuid::from_u128(7));
            shop.good().hold = Some("rolled back: critical_bug".to_owned());
            shop.last = Some(LastRollback {
                id,
                from: Some("1.4.2".parse().unwrap()),
                to: "1.5.0".parse().unwrap(),
                hold_of_others: hold_of_others.map(str::to_owned),
            });
            shop.target = Target::Undo(id);
        })
    };
    let proposal = undone(None).plan().unwrap();
    assert_eq!(proposal.plan.to.as_str(), "1.4.2");
    assert!(proposal.plan.format >= plan::PLAN_FORMAT_UNDO);
    let warned = |code| proposal.warnings.iter().any(|warning| warning.code == code);
    assert!(warned(WarningCode::HoldReleased), "{:?}", proposal.warnings);
    let record = proposal
        .plan
        .steps
        .iter()
        .find(|step| **step == Step::Record);
    let said = record.unwrap().explain(&proposal.plan);
    assert!(said.contains("release the hold"), "{said}");

    let blockers = undone(Some("loses orders")).plan().unwrap_err();
    assert_eq!(blockers[0].code, BlockerCode::Held);
    assert!(
        blockers[0].sentence.contains("loses orders"),
        "{blockers:?}"
    );
}

#[test]
fn every_blocker_is_told_at_once() {
    let shop = Shop::but(|shop| {
        shop.good().hold = Some("bad".to_owned());
        shop.look.containers[0].auto_remove = true;
        shop.look.engine.disk_free = Seen::Known(0);
    });
    assert_eq!(
        codes(&shop),
        [
            BlockerCode::Held,
            BlockerCode::AutoRemove,
            BlockerCode::DiskFull
        ]
    );
}

#[test]
fn a_target_that_runs_is_a_no_op() {
    let shop = Shop::but(|shop| shop.target = version("1.5.0"));
    let proposal = planned(&shop);
    assert!(proposal.plan.changes_nothing() && proposal.plan.swaps.is_empty());
    assert_eq!(proposal.plan.settled.len(), 3);
    assert_eq!(proposal.downtime.expected_ms, Millis(0));
}

#[test]
fn every_switch_comes_after_every_creation_and_the_proof_after_all() {
    let steps = planned(&Shop::new()).plan.steps;
    let both = |act| Step::Wave {
        act,
        components: vec!["api".parse().unwrap(), "worker".parse().unwrap()],
    };
    let due = vec![
        Step::Check,
        Step::Lock,
        Step::Keep,
        Step::Capture,
        both(Act::Create),
        both(Act::Switch),
        Step::Prove,
        Step::Record,
        Step::Retire,
    ];
    assert_eq!(steps, due);
}

/// What waits for another through a third, which stays as it is, waits all the same.
#[test]
fn who_needs_another_through_a_third_comes_after_it() {
    let name = |name: &str| -> ComponentName { name.parse().unwrap() };
    let mut shop = Shop::new();
    let mut third = shop.application.components[0].clone();
    third.name = name("cache");
    third.after = vec![name("api")];
    shop.application.components[1].after = vec![name("cache")];
    shop.application.components.push(third);
    let part = shop.good().components[&name("api")].clone();
    for release in &mut shop.releases {
        release.components.insert(name("cache"), part.clone());
    }
    shop.look
        .containers
        .push(container(0x77, "shop-cache-1", "cache", 1, API_GOOD));
    let plan = shop.plan().unwrap().plan;
    assert!(plan.settled.iter().any(|at| at.component == name("cache")));
    let switched: Vec<&Step> = plan
        .steps
        .iter()
        .filter(|step| step.title().starts_with("switch"))
        .collect();
    let due = ["api", "worker"].map(|one| Act::Switch.of(name(one)));
    assert_eq!(switched, due.iter().collect::<Vec<_>>());
}

/// An older binary executes what it can and never claims what it can not.
#[test]
fn a_plans_format_is_the_oldest_that_can_execute_it() {
    let format = |change: &dyn Fn(&mut Shop)| {
        let shop = Shop::but(|shop| {
            change(shop);
            shop.application.components.truncate(1);
        });
        planned(&shop).plan.format
    };
    assert_eq!(format(&|_| {}), plan::PLAN_FORMAT_QUICK);
    let two = |shop: &mut Shop| {
        shop.application.approval = true;
        shop.application.approvers = 2;
    };
    assert_eq!(format(&two), plan::PLAN_FORMAT_TWO);
    let undo = |shop: &mut Shop| {
        let id = RollbackId(Uuid::from_u128(7));
        shop.last = Some(LastRollback {
            id,
            from: Some("1.4.2".parse().unwrap()),
            to: "1.5.0".parse().unwrap(),
            hold_of_others: None,
        });
        shop.target = Target::Undo(id);
    };
    assert_eq!(format(&undo), plan::PLAN_FORMAT_UNDO);
    let overridden = |shop: &mut Shop| {
        let compose = json!({"folder": "/srv/shop", "pin": "override"});
        shop.application.compose = serde_json::from_value(compose).unwrap();
        shop.look.project = Some(unnamed(None));
    };
    assert_eq!(format(&overridden), plan::PLAN_FORMAT_OVERRIDE);
    let follows = |shop: &mut Shop| {
        *shop = behind_a_front(|_, _| {});
        let front = shop.application.components[0].front.as_mut().unwrap();
        front.follow = true;
    };
    assert_eq!(format(&follows), plan::PLAN_FORMAT_FOLLOW);
    let mut shop = rebuildable(Some("1212121"));
    shop.application.components.truncate(1);
    let tag = format!("v{}", shop.releases[0].version);
    let built = rebuild(&shop, &tag, false).unwrap().plan;
    assert_eq!(built.format, plan::PLAN_FORMAT_REBUILD);
}

/// Five warnings of the same hide the sixth: components of one reason are told in one sentence.
#[test]
fn components_that_are_stopped_for_one_reason_are_told_together() {
    let proposal = planned(&Shop::but(|shop| {
        let all = shop.look.containers.iter_mut();
        for container in all {
            container.env = [("affinity:container".to_owned(), "=1".to_owned())].into();
        }
    }));
    let told: Vec<&str> = proposal
        .warnings
        .iter()
        .filter(|warning| warning.code == WarningCode::StoppedAndStarted)
        .map(|warning| warning.sentence.as_str())
        .collect();
    let due = "api and worker are each stopped and started, not handed over: what it asks for could not be worked out";
    assert_eq!(told, [due]);
    let of_compose = proposal
        .warnings
        .iter()
        .any(|warning| warning.code == WarningCode::EnvironmentDiffers);
    assert!(!of_compose, "{:?}", proposal.warnings);
}

/// Who needs another component changes over after it, and is created with it all the same.
#[test]
fn who_comes_after_another_waits_for_its_wave() {
    let plan = one_after_the_other(Shop::new()).plan().unwrap().plan;
    assert_eq!(
        plan.format,
        plan::PLAN_FORMAT_WAVES,
        "an older binary knows no waves"
    );
    let alone = |act: Act, name: &str| act.of(name.parse().unwrap());
    let due = [
        Act::Create
            .of_all(vec!["api".parse().unwrap(), "worker".parse().unwrap()])
            .unwrap(),
        alone(Act::Switch, "api"),
        alone(Act::Switch, "worker"),
    ];
    assert_eq!(plan.steps[4..7], due);
    // A circle, which no checked definition has, is walked one by one.
    let mut circle = one_after_the_other(Shop::new());
    circle.application.components[0].after = vec!["worker".parse().unwrap()];
    let steps = circle.plan().unwrap().plan.steps;
    assert_eq!(steps[5..7], due[1..]);
}

#[test]
fn an_image_that_can_be_had_is_brought_before_anything_is_created() {
    let shop = Shop::but(|shop| missing(shop, Seen::Known(())));
    let proposal = planned(&shop);
    let plan = &proposal.plan;
    assert_eq!(
        plan.steps[..4],
        [Step::Check, Step::Lock, Step::Supply, Step::Keep]
    );
    let supply = &plan.supplies[0];
    assert_eq!((&supply.image, plan.supplies.len()), (&image(API_GOOD), 1));
    assert_eq!(supply.sources, [registry()]);
    assert_eq!(supply.architecture.as_deref(), Some("amd64"));
    assert!(
        proposal
            .warnings
            .iter()
            .any(|warning| warning.sentence.contains("is brought from the registry")),
        "{:?}",
        proposal.warnings
    );
    assert!(plan.steps[2].explain(plan).contains("goes on serving"));
    let stored: Plan = serde_json::from_str(&plan.bytes()).unwrap();
    assert_eq!(stored, *plan);
}

#[test]
fn a_held_release_is_never_the_last_known_good() {
    let shop = Shop::but(|shop| {
        shop.target = Target::LastKnownGood;
        shop.releases.push(release("1.3.0", 0, true, 0xC1, 0xC2));
        shop.good().hold = Some("bad".to_owned());
        for number in [0xC1, 0xC2] {
            let facts = ImageFacts {
                tags: Vec::new(),
                digests: Vec::new(),
                bytes: 1,
                architecture: "amd64".to_owned(),
            };
            shop.look.images.insert(image(number), Seen::Known(facts));
        }
    });
    assert_eq!(planned(&shop).plan.to, "1.3.0".parse::<Version>().unwrap());
}

/// (name, running) of the containers of one place, and which of them is taken for the replica.
#[test]
fn what_an_earlier_rollback_left_does_not_hide_the_replica() {
    let (own, next, former) = (
        "shop-worker-1".to_owned(),
        format!("shop-worker-1.next-{}", short()),
        format!("shop-worker-1.former-{}", short()),
    );
    let table = [
        (vec![(&own, true), (&next, true)], &own),
        (vec![(&own, false), (&next, true)], &next),
        (vec![(&own, false), (&next, false)], &own),
        (vec![(&next, false), (&former, false)], &former),
        (vec![(&former, true), (&next, false)], &former),
    ];
    for (found, replica) in table {
        let shop = Shop::but(|shop| {
            let worker = shop.look.containers.pop().unwrap();
            shop.look.names.remove(&worker.name);
            for (number, (name, runs)) in (50..).zip(&found) {
                let state = if *runs {
                    ContainerState::Running
                } else {
                    ContainerState::Exited
                };
                let mark = Some(Mark {
                    rollback: RollbackId(Uuid::from_u128(0xEA)),
                    fence: Fence(1),
                    replaces: id(3),
                });
                shop.add(Container {
                    id: id(number),
                    name: (*name).clone(),
                    state,
                    mark,
                    ..worker.clone()
                });
            }
        });
        let proposal = planned(&shop);
        let swap = proposal
            .plan
            .swaps
            .iter()
            .find(|swap| swap.component.as_str() == "worker")
            .unwrap();
        let chosen = shop
            .look
            .containers
            .iter()
            .find(|container| container.id == swap.former)
            .unwrap();
        assert_eq!(&chosen.name, replica, "{found:?}");
        assert_eq!(
            (swap.name.as_str(), swap.leftovers.len()),
            ("shop-worker-1", 1),
            "{found:?}"
        );
        let told = proposal.warnings.iter();
        let told = told.filter(|warning| warning.code == WarningCode::Leftover);
        assert_eq!(told.count(), 1, "{:?}", proposal.warnings);
    }
}

#[test]
fn a_replica_of_the_target_under_an_interim_name_is_not_settled() {
    let shop = Shop::but(|shop| {
        shop.look.containers[2].image = image(WORKER_GOOD);
        shop.rename(2, &format!("shop-worker-1.next-{}", short()));
    });
    let plan = planned(&shop).plan;
    assert!(plan.settled.is_empty());
    assert_eq!(plan.swaps[2].name, "shop-worker-1");
}

#[test]
fn a_name_that_only_looks_interim_is_a_name() {
    for name in [
        "shop.next-door",
        "x.former-0123456789a",
        "x.next-0123456789AB",
        ".next-0123456789ab",
    ] {
        assert_eq!(plan::base_of_interim(name), None, "{name}");
    }
    assert_eq!(
        plan::base_of_interim("a.next-b.former-0123456789ab"),
        Some("a.next-b")
    );
}

#[test]
fn with_a_mixture_running_nothing_is_previous() {
    let shop = Shop::but(|shop| {
        shop.target = Target::Previous;
        shop.look.containers[0].image = image(API_GOOD);
    });
    assert_eq!(codes(&shop), [BlockerCode::NoPrevious]);
}

/// The shop with side-cars: the worker shares with the first API, and a mirror of the target's own image with the
/// worker; both stand before the API in the definition.
fn with_side_cars() -> Shop {
    Shop::but(|shop| {
        shop.application = serde_json::from_value(json!({
            "name": "shop", "environment": "production", "project": "shop",
            "components": [{"name": "mirror"}, {"name": "worker"}, {"name": "api"}],
        }))
        .unwrap();
        let mut mirror = container(4, "shop-mirror-1", "mirror", 1, WORKER_GOOD);
        mirror.joins = vec![id(3)];
        shop.add(mirror);
        shop.look.containers[2].joins = vec![id(1)];
        let part = shop.good().components[&"worker".parse().unwrap()].clone();
        shop.good()
            .components
            .insert("mirror".parse().unwrap(), part);
    })
}

#[test]
fn a_side_car_moves_with_what_it_shares_with_and_after_it() {
    let plan = planned(&with_side_cars()).plan;
    let moved: Vec<&str> = plan.swaps.iter().map(|swap| swap.name.as_str()).collect();
    assert_eq!(
        moved,
        ["shop-api-1", "shop-api-2", "shop-worker-1", "shop-mirror-1"]
    );
    assert!(
        plan.settled.is_empty(),
        "the mirror's image is right and its network would be dead"
    );
    let mirror = plan.swaps.last().unwrap();
    assert_eq!(
        (&mirror.joins, &mirror.image),
        (&vec![id(3)], &mirror.former_image)
    );
    let order: Vec<String> = plan.steps.iter().map(Step::title).collect();
    let words = [
        "create api",
        "create worker",
        "create mirror",
        "switch api",
        "switch worker",
        "switch mirror",
    ];
    assert_eq!(order[4..10], words, "{order:?}");
    let side_cars: Vec<&str> = plan
        .side_cars_of(&plan.swaps[0])
        .iter()
        .map(|swap| swap.name.as_str())
        .collect();
    assert_eq!(
        side_cars,
        ["shop-mirror-1", "shop-worker-1"],
        "the outermost stops first"
    );
    assert!(plan.side_cars_of(&plan.swaps[1]).is_empty());
}

#[test]
fn a_side_car_whose_parent_stays_is_not_touched() {
    let shop = Shop::but(|shop| {
        shop.look.containers[2].joins = vec![id(1)];
        for container in &mut shop.look.containers {
            container.image = image(if container.component.as_str() == "api" {
                API_GOOD
            } else {
                WORKER_BAD
            });
        }
    });
    let plan = planned(&shop).plan;
    let moved: Vec<&str> = plan.swaps.iter().map(|swap| swap.name.as_str()).collect();
    assert_eq!(moved, ["shop-worker-1"]);
    assert!(plan.swaps[0].joins.is_empty());
}

#[test]
fn a_stranger_on_a_replaced_network_is_told_of() {
    let shop = Shop::but(|shop| {
        shop.look.guests.insert("sniffer".to_owned(), id(1));
        shop.look.guests.insert("elsewhere".to_owned(), id(77));
    });
    let warnings = planned(&shop).warnings;
    assert!(
        warnings.iter().any(|said| said
            .sentence
            .starts_with("sniffer shares the network of shop-api-1")),
        "{warnings:?}"
    );
    assert!(
        !warnings
            .iter()
            .any(|said| said.sentence.contains("elsewhere"))
    );
}

#[test]
fn a_difference_is_said_in_sentences() {
    let old = planned(&Shop::new()).plan;
    let table: [(Shop, &str); 5] = [
        (
            Shop::but(|shop| shop.target = version("1.5.0")),
            "the target was 1.4.2, now it is 1.5.0",
        ),
        (
            Shop::but(|shop| shop.releases[1].version = "1.5.1".parse().unwrap()),
            "1.5.0 ran, now 1.5.1 runs",
        ),
        (
            Shop::but(|shop| shop.application.watch_window_s = 60),
            "the application's definition was changed",
        ),
        (
            Shop::but(|shop| shop.add(container(4, "shop-api-3", "api", 3, API_BAD))),
            "container shop-api-3 (000000000004) is to be replaced as well",
        ),
        (
            Shop::but(|shop| shop.good().deployment = Uuid::nil()),
            "the ledger or the images on the engine were changed",
        ),
    ];
    for (shop, line) in table {
        let lines = plan::difference(&old, &planned(&shop).plan);
        assert!(lines.iter().any(|said| said == line), "{line}: {lines:?}");
    }
    assert_eq!(plan::difference(&old, &old), Vec::<String>::new());
}

/// Approvals are bound to these bytes: when they change, the plan format must.
#[test]
fn the_digest_of_a_plan_is_stable() {
    let two = planned(&Shop::new()).plan;
    assert_eq!(two.format, plan::PLAN_FORMAT_WAVES);
    let one = planned(&Shop::but(|shop| shop.application.components.truncate(1))).plan;
    assert_eq!(one.format, plan::PLAN_FORMAT_QUICK);
    let digests = [two.digest(), one.digest()];
    assert_eq!(
        digests.each_ref().map(|digest| digest.as_str()),
        [
            "6ce59f7aa5c01235608d9f1674d6bc7024204582fd8a95de14da722f9fbdac8c",
            "8177cf5d28465c179ea2573c4385408e102f4b7f8ba550d39ddc398ab37025ba",
        ]
    );
}

proptest! {
    #[test]
    fn a_plan_is_the_same_whatever_the_order_of_what_is_known(seed in any::<[u8; 8]>()) {
        let mut shop = Shop::new();
        let due = planned(&shop).plan.digest();
        let turn = usize::from(seed[0]);
        shop.look.containers.rotate_left(turn % 3);
        shop.releases.rotate_left(usize::from(seed[1]) % 2);
        prop_assert_eq!(planned(&shop).plan.digest(), due);
    }

    #[test]
    fn each_replica_is_swapped_or_settled_once(states in proptest::collection::vec((any::<bool>(), any::<bool>()), 3)) {
        let shop = Shop::but(|shop| {
            for (found, (good, runs)) in shop.look.containers.iter_mut().zip(&states) {
                let worker = found.component.as_str() == "worker";
                found.image = image(match (worker, good) {
                    (false, true) => API_GOOD,
                    (false, false) => API_BAD,
                    (true, true) => WORKER_GOOD,
                    (true, false) => WORKER_BAD,
                });
                found.state = if *runs { ContainerState::Running } else { ContainerState::Exited };
            }
        });
        let plan: Plan = planned(&shop).plan;
        prop_assert_eq!(plan.swaps.len() + plan.settled.len(), 3);
        let settled = states.iter().filter(|(good, runs)| *good && *runs).count();
        prop_assert_eq!(plan.settled.len(), settled);
        let text = plan.bytes();
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}

/// A project that Compose reads, with the version in a file; `reproduced` and the images are a test's to choose.
fn project(value: Option<&str>, images: [&str; 2], reproduced: bool) -> ProjectLook {
    let service = |image: &str| Service {
        hash: "h".to_owned(),
        image: Some(image.to_owned()),
        image_id: None,
        needs: Vec::new(),
        reproduced,
    };
    let names = ["api", "worker"].map(|name| name.parse().unwrap());
    let read = ProjectRead {
        compose: "docker-compose 1.29.2".to_owned(),
        services: names.into_iter().zip(images.map(service)).collect(),
    };
    let file = PinFile {
        path: "/srv/shop/.env".to_owned(),
        value: value.map(str::to_owned),
        state: PinState::Free,
    };
    ProjectLook {
        read: Seen::Known(read),
        file: Seen::Known(file),
        listing: None,
    }
}

fn pinning(look: ProjectLook) -> Proposal {
    planned(&Shop::but(|shop| {
        let compose = json!({"folder": "/srv/shop", "pin": {"env": "VERSION"}});
        shop.application.compose = serde_json::from_value(compose).unwrap();
        shop.look.project = Some(look);
        for (name, part) in &mut shop.releases[0].components {
            part.reference = format!("registry:5000/{name}:1.4.2-alpine");
        }
    }))
}

const IMAGES: [&str; 2] = [
    "registry:5000/api:sternway-asks-alpine",
    "registry:5000/worker:sternway-asks-alpine",
];

#[test]
fn the_value_that_is_pinned_gives_the_ledgers_images() {
    let proposal = pinning(project(Some("1.5.0"), IMAGES, true));
    let planned = proposal.plan.project.clone().unwrap();
    let pin = planned.pin.unwrap();
    assert_eq!(
        (pin.path.as_str(), pin.from.as_deref(), pin.to.as_deref()),
        ("/srv/shop/.env", Some("1.5.0"), Some("1.4.2"))
    );
    assert_eq!((planned.understood.len(), planned.drift.len()), (2, 0));
    let at = |step: &Step| {
        proposal
            .plan
            .steps
            .iter()
            .position(|own| own == step)
            .unwrap()
    };
    let creates = |step: &Step| {
        matches!(
            step,
            Step::Wave {
                act: Act::Create,
                ..
            }
        )
    };
    let first = proposal.plan.steps.iter().position(creates).unwrap();
    assert_eq!(at(&Step::Pin) + 1, first);
    assert!(at(&Step::Lock) < at(&Step::Pin));
    let said = Step::Pin.explain(&proposal.plan);
    assert!(said.contains("VERSION=1.4.2 into /srv/shop/.env"), "{said}");
}

#[test]
fn what_can_not_be_pinned_is_said_and_blocks_nothing() {
    let other = [
        "registry:5000/api:sternway-asks-alpine",
        "other/worker:sternway-asks",
    ];
    let mut looks = vec![
        (
            project(Some("1.5.0"), other, true),
            "the image registry:5000/worker:1.4.2-alpine",
        ),
        (
            project(Some("x"), ["api:1", "worker:1"], true),
            "no image that goes back is named by it",
        ),
        (
            project(Some("1.5.0"), IMAGES, false),
            "set variables in their own shell",
        ),
    ];
    let mut unreadable = project(None, IMAGES, true);
    unreadable.file = Seen::Unknown("/srv/shop/.env: permission denied".to_owned());
    looks.push((unreadable, "permission denied"));
    let mut moved = project(Some("1.5.0"), IMAGES, true);
    moved.read = Seen::Unknown("the project's folder /srv/shop is not there".to_owned());
    looks.push((moved, "is not there"));
    for (look, expected) in looks {
        let proposal = pinning(look);
        let warnings = sentences(&proposal);
        assert!(warnings.contains(expected), "{expected}: {warnings}");
        assert!(
            proposal.plan.steps.contains(&Step::Pin),
            "it is noted at the end as well"
        );
    }
}

fn overriding(look: ProjectLook, digests: &[&str]) -> Proposal {
    planned(&Shop::but(|shop| {
        let compose = json!({"folder": "/srv/shop", "pin": "override"});
        shop.application.compose = serde_json::from_value(compose).unwrap();
        shop.look.project = Some(look);
        for (name, part) in &mut shop.releases[0].components {
            part.reference = format!("registry:5000/{name}:1.4.2");
        }
        let api = shop.releases[0].components[&"api".parse().unwrap()]
            .image
            .clone();
        if let Some(Seen::Known(facts)) = shop.look.images.get_mut(&api) {
            facts.digests = digests
                .iter()
                .map(|digest| digest.parse().unwrap())
                .collect();
        }
    }))
}

/// The same without a variable: images of the site's own files, and an override file that says `value`.
fn unnamed(value: Option<&str>) -> ProjectLook {
    let mut look = project(
        value,
        ["registry:5000/api:1.5.0", "registry:5000/worker:1.5.0"],
        true,
    );
    let Seen::Known(file) = &mut look.file else {
        panic!("the file is known")
    };
    file.path = "/srv/shop/docker-compose.override.yml".to_owned();
    look
}

#[test]
fn images_are_pinned_by_digest_where_the_version_is_no_variable() {
    let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let (other, own) = (
        format!("elsewhere/api@{}", digest("b")),
        format!("registry:5000/api@{}", digest("a")),
    );
    let proposal = overriding(unnamed(None), &[&other, &own]);
    assert!(proposal.plan.format >= plan::PLAN_FORMAT_OVERRIDE);
    let project = proposal.plan.project.clone().unwrap();
    assert_eq!((project.listing.as_ref(), project.drift.len()), (None, 0));
    let pin = project.pin.unwrap();
    let to = pin.to.clone().unwrap();
    let worker = &proposal
        .plan
        .swaps
        .iter()
        .find(|swap| swap.component.as_str() == "worker");
    let worker = &worker.unwrap().image;
    assert_eq!(
        to,
        format!("api={own}, worker={worker}"),
        "its identity without a digest"
    );
    assert_eq!((pin.variable.as_ref(), pin.from.as_ref()), (None, None));
    let said = Step::Pin.explain(&proposal.plan);
    assert!(said.contains("is removed if the rollback turns"), "{said}");
    let unchanged = proposal.unchanged.join("\n");
    assert!(unchanged.contains("`-f`"), "{unchanged}");

    let built = BTreeMap::from([("api".parse().unwrap(), worker.clone())]);
    let built = proposal.plan.as_built(&built).into_owned();
    let pin = built.project.unwrap().pin.unwrap();
    assert_eq!(pin.to, Some(format!("api={worker}, worker={worker}")));
}

#[test]
fn what_an_earlier_rollback_pinned_stays_pinned_while_it_is_not_touched() {
    let digest = format!("registry:5000/api@sha256:{}", "a".repeat(64));
    let look = unnamed(Some("api=sha256:00, front=sha256:11, worker=sha256:22"));
    let pin = overriding(look, &[&digest])
        .plan
        .project
        .unwrap()
        .pin
        .unwrap();
    let to = pin.to.unwrap();
    assert!(
        to.starts_with(&format!("api={digest}, front=sha256:11, worker=")),
        "{to}"
    );
    assert!(!to.contains("worker=sha256:22"), "{to}");
}

#[test]
fn what_the_sites_own_files_name_needs_no_pin_and_loses_ours() {
    let mut look = unnamed(Some("api=sha256:00, worker=sha256:11"));
    let plain = planned(&Shop::new()).plan;
    if let Seen::Known(read) = &mut look.read {
        for swap in &plain.swaps {
            read.services.get_mut(&swap.component).unwrap().image_id = Some(swap.image.clone());
        }
    }
    let list = |value: &str| PinFile {
        path: "/srv/shop/.env".to_owned(),
        value: Some(value.to_owned()),
        state: PinState::Free,
    };
    let (with, without) = ("a.yml:docker-compose.sternway.yml", "a.yml");
    look.listing = Some(Listing {
        file: list(with),
        with: Some(with.to_owned()),
        without: Some(without.to_owned()),
    });
    let project = overriding(look.clone(), &[]).plan.project.unwrap();
    let order: Vec<(&str, Option<&str>)> = project
        .pins()
        .into_iter()
        .map(|pin| (pin.path.as_str(), pin.to.as_deref()))
        .collect();
    assert_eq!(
        order,
        [
            ("/srv/shop/.env", Some(without)),
            ("/srv/shop/docker-compose.override.yml", None)
        ],
        "no list ever names a file that is not there"
    );

    look.read = unnamed(None).read;
    look.listing.as_mut().unwrap().file = list(without);
    let project = overriding(look, &[]).plan.project.unwrap();
    let order: Vec<&str> = project
        .pins()
        .into_iter()
        .map(|pin| pin.path.as_str())
        .collect();
    assert_eq!(
        order,
        ["/srv/shop/docker-compose.override.yml", "/srv/shop/.env"]
    );
}

#[test]
fn an_override_file_that_somebody_edited_is_said_and_blocks_nothing() {
    let mut look = unnamed(None);
    if let Seen::Known(file) = &mut look.file {
        file.state = PinState::Edited {
            difference: "it was edited by hand: worker.image differs".to_owned(),
        };
    }
    let proposal = overriding(look, &[]);
    assert_eq!(proposal.plan.project.as_ref().unwrap().pin, None);
    let warnings = sentences(&proposal);
    assert!(warnings.contains("worker.image differs"), "{warnings}");
    assert!(proposal.plan.steps.contains(&Step::Pin));
}

#[test]
fn a_compose_that_is_slow_for_one_plan_makes_it_no_other() {
    let mut late = project(Some("1.5.0"), IMAGES, true);
    late.read = Seen::Unknown("Compose did not answer within 8s".to_owned());
    let slow = pinning(late).plan;
    let known = pinning(project(Some("1.5.0"), IMAGES, true)).plan;
    assert!(slow.still_holds(&known) && known.still_holds(&slow));
    assert!(slow.still_holds(&slow) && known.still_holds(&known));

    let edited = pinning(project(Some("1.5.0"), IMAGES, false)).plan;
    assert!(
        !known.still_holds(&edited),
        "both were read, and the project is another"
    );
    let elsewhere = pinning(project(Some("1.6.0"), IMAGES, true)).plan;
    assert!(
        !slow.still_holds(&elsewhere),
        "what is written is a part of what is done"
    );
    let other = planned(&Shop::new()).plan;
    assert!(!slow.still_holds(&other) && !other.still_holds(&slow));
}

#[test]
fn without_a_pin_the_plan_says_what_the_next_up_may_do() {
    let proposal = planned(&Shop::new());
    assert_eq!(proposal.plan.project, None);
    assert!(!proposal.plan.steps.contains(&Step::Pin));
    let said = proposal.unchanged.join("\n");
    assert!(said.contains("the next `up` may bring it back"), "{said}");
}

#[test]
fn a_port_that_is_free_or_given_up_by_the_rollback_is_in_nobodys_way() {
    let udp = Published {
        protocol: "udp".to_owned(),
        ..published(18080)
    };
    let elsewhere = Published {
        host_ip: Some("127.0.0.2".to_owned()),
        ..published(18080)
    };
    for other in [published(18081), udp] {
        assert_eq!(codes(&Shop::but(|shop| somebody_has(shop, other))), []);
    }
    let local = |shop: &mut Shop| {
        somebody_has(shop, elsewhere.clone());
        shape_of(shop).ports[0].host_ip = Some("127.0.0.1".to_owned());
    };
    assert_eq!(codes(&Shop::but(local)), []);
    // Its own container holds the port now, and gives it up.
    let own = Shop::but(|shop| {
        shape_of(shop).ports = vec![published(18080)];
        shop.look.containers[0].live.ports = vec![published(18080)];
    });
    let plan = planned(&own).plan;
    assert_eq!(plan.swaps[0].ports, [published(18080)]);
    let stored: Plan = serde_json::from_str(&plan.bytes()).unwrap();
    assert_eq!(stored, plan);
}

#[test]
fn a_path_that_is_there_or_not_known_of_is_in_nobodys_way() {
    for seen in [Seen::Known(()), Seen::Unknown("no answer".to_owned())] {
        let shop = Shop::but(|shop| {
            shape_of(shop).mounts = vec![bind("/srv/shop/conf")];
            shop.look.paths.insert("/srv/shop/conf".to_owned(), seen);
        });
        assert_eq!(planned(&shop).plan.swaps[0].binds, ["/srv/shop/conf"]);
    }
}

#[test]
fn what_is_not_known_of_the_disk_and_the_version_is_said() {
    let shop = Shop::but(|shop| {
        shop.look.engine.disk_free = Seen::Unknown("it is another host's".to_owned());
    });
    // Nothing here publishes a port that could be handed over.
    let told = |shop: &Shop| {
        let mut told = warned(&planned(shop));
        told.retain(|code| *code != WarningCode::StoppedAndStarted);
        told
    };
    assert_eq!(
        told(&shop),
        [WarningCode::DiskUnknown, WarningCode::VersionNotAsked]
    );
    let asked = Shop::but(|shop| {
        let endpoint = json!({"port": 8080, "path": "/version"});
        shop.application.components[0].version_endpoint = serde_json::from_value(endpoint).unwrap();
    });
    assert_eq!(told(&asked), []);
}

/// Settings that differ are named with both sides, commands only by what they are for.
#[test]
fn settings_that_differ_are_named_once() {
    let shop = Shop::but(|shop| {
        let now = Shape {
            network: NetworkMode::Named("shop_default".to_owned()),
            ports: vec![published(18080)],
            mounts: vec![bind("/srv/new")],
            own_command: true,
            ..Shape::default()
        };
        let then = Shape {
            network: NetworkMode::Named("shop_default".to_owned()),
            networks: [("metrics".to_owned(), Endpoint::default())].into(),
            ports: vec![published(18081)],
            mounts: vec![bind("/srv/old")],
            own_command: true,
            user: Some("1000".to_owned()),
            ..Shape::default()
        };
        *shape_of(shop) = then;
        let print = |print: &str| Some([("command".to_owned(), print.to_owned())].into());
        shop.part().specification.as_mut().unwrap().commands = print("aa");
        for container in &mut shop.look.containers[..2] {
            container.shape = Some(now.clone());
            container.commands = print("bb");
        }
    });
    let proposal = planned(&shop);
    let told = proposal.warnings.iter();
    let told: Vec<&str> = told
        .filter(|warning| warning.code == WarningCode::SettingsDiffer)
        .map(|warning| warning.sentence.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "api goes back to the settings that 1.4.2 ran with, which are not those of now: \
          ports 18081→8080/tcp then, 18080→8080/tcp now; mounts /srv/old:/conf:ro then, /srv/new:/conf:ro now; \
          networks metrics, shop_default then, shop_default now; user 1000 then, the default now; another command"
        ]
    );
}

#[test]
fn settings_that_are_the_same_or_not_known_are_not_named() {
    let same = Shop::but(|shop| {
        *shape_of(shop) = Shape {
            ports: vec![published(18080)],
            ..Shape::default()
        };
        let shape = shape_of(shop).clone();
        shop.part().specification.as_mut().unwrap().commands = Some(BTreeMap::new());
        shop.look.containers[0].shape = Some(shape.clone());
        shop.look.containers[1].shape = Some(shape);
    });
    assert!(!warned(&planned(&same)).contains(&WarningCode::SettingsDiffer));
}

/// Two containers by name, each with a port of its own: the record is of one of them, and each keeps its place.
#[test]
fn a_replica_with_a_name_keeps_its_port() {
    let shop = Shop::but(|shop| {
        shop.application.project = None;
        for (component, names) in shop
            .application
            .components
            .iter_mut()
            .zip([&["shop-api-1", "shop-api-2"][..], &["shop-worker-1"]])
        {
            component.containers = names.iter().map(|name| (*name).to_owned()).collect();
        }
        shape_of(shop).ports = vec![published(18080)];
        for (at, port) in [(0, 18080), (1, 18081)] {
            let ports = vec![published(port)];
            shop.look.containers[at].live.ports = ports.clone();
            shop.look.containers[at].shape = Some(Shape {
                ports,
                ..Shape::default()
            });
        }
    });
    let proposal = planned(&shop);
    assert!(!warned(&proposal).contains(&WarningCode::SettingsDiffer));
    let ports = proposal.plan.swaps.iter().map(|swap| swap.ports.clone());
    let ports: Vec<_> = ports.collect();
    assert_eq!(
        ports,
        [vec![published(18080)], vec![published(18081)], vec![]]
    );
}

/// The shop with a source, its good images gone, and the commit that the ledger has.
fn rebuildable(commit: Option<&str>) -> Shop {
    let mut shop = Shop::new();
    let mut definition = serde_json::to_value(&shop.application).unwrap();
    definition["source"] = json!({"repository": "/srv/git/shop.git"});
    definition["components"][0]["build"] = json!({});
    definition["components"][1]["build"] = json!({"context": "worker"});
    shop.application = serde_json::from_value(definition).unwrap();
    shop.look.images.insert(image(API_GOOD), Seen::Absent);
    shop.look.images.insert(image(WORKER_GOOD), Seen::Absent);
    shop.good().commit = commit.map(str::to_owned);
    shop
}

fn rebuild(shop: &Shop, tag: &str, confirm_moved_tag: bool) -> Result<Proposal, Vec<Blocker>> {
    build(shop, Strategy::Rebuild, tag, confirm_moved_tag)
}

fn build(
    shop: &Shop,
    strategy: Strategy,
    tag: &str,
    confirm_moved_tag: bool,
) -> Result<Proposal, Vec<Blocker>> {
    let tags = TagsSeen {
        tags: vec![Tag {
            name: tag.parse().unwrap(),
            commit: "12".repeat(20).parse().unwrap(),
        }],
        more: false,
    };
    let snapshot = Snapshot {
        application: &shop.application,
        look: &shop.look,
        releases: &shop.releases,
        outages: &shop.outages,
        last: None,
    };
    let wish = Rebuild {
        strategy,
        tags: &tags,
        confirm_moved_tag,
    };
    planner::rebuild(&snapshot, &Target::LastKnownGood, &wish)
}

#[test]
fn a_rebuild_builds_what_it_can_before_anything_else_and_checks_again() {
    let shop = rebuildable(Some("1212121"));
    let version = shop.releases[0].version.clone();
    let plan = rebuild(&shop, &format!("v{version}"), false).unwrap().plan;
    let titles: Vec<String> = plan.steps.iter().map(Step::title).collect();
    assert_eq!(
        titles[..6],
        [
            "check",
            "build api",
            "build worker",
            "check",
            "lock",
            "keep images"
        ]
    );
    assert_eq!(plan.strategy, Strategy::Rebuild);
    assert!(plan.format >= plan::PLAN_FORMAT_REBUILD);
    let source = plan.source.clone().unwrap();
    assert_eq!(source.moved_from, None);
    assert!(
        plan.steps[1]
            .explain(&plan)
            .contains(&format!("from tag v{version} (commit 121212121212)")),
        "{}",
        plan.steps[1].explain(&plan)
    );
    // What was built takes the ledger's place, in the swaps and among the images that are kept.
    let built = [("api".parse().unwrap(), image(77))].into();
    let as_built = plan.as_built(&built);
    assert!(
        as_built
            .swaps_of(&"api".parse().unwrap())
            .all(|swap| swap.image == image(77))
    );
    assert!(as_built.keep.contains(&image(77)) && !as_built.keep.contains(&image(API_GOOD)));
    assert_ne!(as_built.digest(), plan.digest());
    assert_eq!(*plan.as_built(&BTreeMap::new()), plan);
}

#[test]
fn a_missing_image_is_answered_with_the_way_to_build_it() {
    let shop = rebuildable(None);
    let blockers = shop.plan().unwrap_err();
    assert!(
        blockers[0]
            .next_action
            .contains("sternway rollback shop --rebuild --to "),
        "{blockers:?}"
    );
}

/// Building is the last source of a missing image: only of what can not be had in any other way.
#[test]
fn a_quick_plan_builds_only_what_is_nowhere() {
    let mut shop = rebuildable(Some("1212121"));
    let facts = shop.look.images[&image(API_BAD)].clone();
    shop.look.images.insert(image(API_GOOD), facts);
    let tag = format!("v{}", shop.releases[0].version);
    let blockers = shop.plan().unwrap_err();
    assert!(
        planner::may_build(&shop.application, &blockers),
        "{blockers:?}"
    );
    assert!(!planner::may_build(&Shop::new().application, &blockers));
    let proposal = build(&shop, Strategy::Quick, &tag, false).unwrap();
    let plan = &proposal.plan;
    let titles: Vec<String> = plan.steps.iter().map(Step::title).collect();
    assert_eq!(titles[..3], ["check", "build worker", "check"]);
    assert_eq!(plan.strategy, Strategy::Quick);
    assert!(plan.format >= plan::PLAN_FORMAT_REBUILD);
    assert!(plan.supplies.is_empty());
    let codes: Vec<_> = proposal
        .warnings
        .iter()
        .map(|warning| warning.code)
        .collect();
    assert!(codes.contains(&WarningCode::ImageBuilt), "{codes:?}");
    // Without its tag the image is missing as before, and both are said.
    let refused = build(&shop, Strategy::Quick, "v9.9.9", false).unwrap_err();
    let codes: Vec<_> = refused.iter().map(|blocker| blocker.code).collect();
    assert!(codes.contains(&BlockerCode::TagMissing) && codes.contains(&BlockerCode::ImageMissing));
    // What somebody else has is brought, and nothing is built.
    let source = SourceSeen {
        source: ImageSource::Registry {
            reference: format!("r/worker@{}", image(WORKER_GOOD)).parse().unwrap(),
        },
        there: Seen::Known(()),
    };
    shop.look.sources.insert(image(WORKER_GOOD), vec![source]);
    let brought = build(&shop, Strategy::Quick, &tag, false).unwrap().plan;
    assert_eq!((brought.source, brought.supplies.len()), (None, 1));
}

#[test]
fn a_moved_tag_is_built_only_when_somebody_confirms_it() {
    let shop = rebuildable(Some("abcdef0123"));
    let tag = format!("v{}", shop.releases[0].version);
    let refused = rebuild(&shop, &tag, false).unwrap_err();
    assert_eq!(refused[0].code, BlockerCode::TagMoved, "{refused:?}");
    let confirmed = rebuild(&shop, &tag, true).unwrap();
    let source = confirmed.plan.source.clone().unwrap();
    assert_eq!(source.moved_from.as_deref(), Some("abcdef0123"));
    assert!(
        confirmed
            .warnings
            .iter()
            .any(|warning| warning.sentence.contains("was moved"))
    );
    // The confirmation is part of what is approved.
    let unmoved = rebuild(&rebuildable(Some("1212121")), &tag, true).unwrap();
    assert_ne!(confirmed.plan.digest(), unmoved.plan.digest());
    let unknown = rebuild(&rebuildable(None), &tag, false).unwrap();
    assert!(
        unknown
            .warnings
            .iter()
            .any(|warning| warning.sentence.contains("is not known"))
    );
}

#[test]
fn a_rebuild_without_a_tag_or_a_source_says_so() {
    let missing = rebuild(&rebuildable(None), "v9.9.9", false).unwrap_err();
    assert_eq!(missing[0].code, BlockerCode::TagMissing);
    let nowhere = rebuild(&Shop::new(), "v9.9.9", false).unwrap_err();
    assert_eq!(nowhere[0].code, BlockerCode::NoSource);
}
