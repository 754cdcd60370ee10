//! A shop as it is planned for, and what can be changed about it.

use std::collections::BTreeMap;

use domain::{
    application::Application,
    engine_look::{
        Container, ContainerState, EngineFacts, EngineLook, Health, ImageFacts, Lock,
        RestartPolicy, holdings::Holdings,
    },
    front::{Filed, FrontLook, FrontServer},
    ledger::{LastRollback, RecordedSpecification, Release, ReleaseComponent},
    name::{ContainerId, ImageId, RollbackId},
    planner::{self, Blocker, BlockerCode, Proposal, Snapshot, WarningCode},
    seen::Seen,
    specification::{Endpoint, MountKind, Mounted, Published, Shape},
    supply::{ImageSource, SourceSeen},
    target::Target,
    time::{Millis, Moment},
};
use serde_json::json;
use uuid::Uuid;

/// A shop with an API of two replicas and a worker, running 1.5.0 after 1.4.2.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) application: Application,
    pub(crate) look: EngineLook,
    pub(crate) releases: Vec<Release>,
    pub(crate) outages: Vec<Millis>,
    pub(crate) last: Option<LastRollback>,
    pub(crate) target: Target,
}

/// The worker needs the API: they do not change over at the same time.
pub(crate) fn one_after_the_other(mut shop: Shop) -> Shop {
    shop.application.components[1].after = vec!["api".parse().unwrap()];
    shop
}

pub(crate) fn hex(number: u32) -> String {
    format!("{number:012x}{:052x}", 0)
}

pub(crate) fn image(number: u32) -> ImageId {
    format!("sha256:{}", hex(number)).parse().unwrap()
}

pub(crate) fn id(number: u32) -> ContainerId {
    hex(number).parse().unwrap()
}

pub(crate) fn version(text: &str) -> Target {
    Target::Version(text.parse().unwrap())
}

pub(crate) const API_BAD: u32 = 0xA2;
pub(crate) const API_GOOD: u32 = 0xA1;
pub(crate) const WORKER_BAD: u32 = 0xB2;
pub(crate) const WORKER_GOOD: u32 = 0xB1;

pub(crate) fn container(
    number: u32,
    name: &str,
    component: &str,
    replica: u32,
    from: u32,
) -> Container {
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

pub(crate) fn release(version: &str, at: i64, good: bool, api: u32, worker: u32) -> Release {
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
    pub(crate) fn new() -> Self {
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

    pub(crate) fn but(change: impl FnOnce(&mut Self)) -> Self {
        let mut shop = Self::new();
        change(&mut shop);
        shop
    }

    pub(crate) fn plan(&self) -> Result<Proposal, Vec<Blocker>> {
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

    pub(crate) fn good(&mut self) -> &mut Release {
        &mut self.releases[0]
    }

    pub(crate) fn part(&mut self) -> &mut ReleaseComponent {
        self.good()
            .components
            .get_mut(&"api".parse().unwrap())
            .unwrap()
    }

    /// One more container on the engine.
    pub(crate) fn add(&mut self, container: Container) {
        self.look
            .names
            .insert(container.name.clone(), container.id.clone());
        self.look.containers.push(container);
    }

    pub(crate) fn rename(&mut self, at: usize, name: &str) {
        let found = &mut self.look.containers[at];
        self.look.names.remove(&found.name);
        name.clone_into(&mut found.name);
        self.look.names.insert(name.to_owned(), found.id.clone());
    }
}

pub(crate) fn codes(shop: &Shop) -> Vec<BlockerCode> {
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

pub(crate) fn planned(shop: &Shop) -> Proposal {
    shop.plan()
        .unwrap_or_else(|blockers| panic!("{blockers:?}"))
}

pub(crate) fn short() -> String {
    RollbackId(Uuid::from_u128(0xEA)).short()
}

pub(crate) fn lock(stale: bool) -> Lock {
    Lock {
        container: id(9),
        rollback: RollbackId(Uuid::from_u128(9)),
        owner: "another house".to_owned(),
        stale,
        fence: None,
        marks: Vec::new(),
    }
}

pub(crate) fn facts(architecture: &str) -> Seen<ImageFacts> {
    Seen::Known(ImageFacts {
        tags: Vec::new(),
        digests: Vec::new(),
        bytes: 1,
        architecture: architecture.to_owned(),
    })
}

pub(crate) fn registry() -> ImageSource {
    let reference = format!("127.0.0.1:5000/shop/api@sha256:{}", hex(7));
    ImageSource::Registry {
        reference: reference.parse().unwrap(),
    }
}

/// The API's image is not on the engine; a registry is asked for it.
pub(crate) fn missing(shop: &mut Shop, there: Seen<()>) {
    shop.look.images.insert(image(API_GOOD), Seen::Absent);
    let source = registry();
    let seen = vec![SourceSeen { source, there }];
    shop.look.sources.insert(image(API_GOOD), seen);
}

/// The target is on a network and mounts a volume, neither of which is on the engine.
pub(crate) fn need(shop: &mut Shop) {
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

pub(crate) fn published(host_port: u16) -> Published {
    Published {
        port: 8080,
        protocol: "tcp".to_owned(),
        host_ip: None,
        host_port: Some(host_port),
    }
}

pub(crate) fn bind(source: &str) -> Mounted {
    Mounted {
        kind: MountKind::Bind,
        source: Some(source.to_owned()),
        target: "/conf".to_owned(),
        writable: false,
    }
}

/// What the API of the target asks for.
pub(crate) fn shape_of(shop: &mut Shop) -> &mut Shape {
    let recorded = shop.part().specification.as_mut().unwrap();
    recorded.shape.get_or_insert_default()
}

pub(crate) fn sentences(proposal: &Proposal) -> String {
    let sentences = proposal.warnings.iter();
    let sentences: Vec<&str> = sentences.map(|warning| warning.sentence.as_str()).collect();
    sentences.join("\n")
}

pub(crate) fn warned(proposal: &Proposal) -> Vec<WarningCode> {
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

/// The shop's API behind a balancer that sends its clients to both replicas.
pub(crate) fn behind_a_front(change: impl FnOnce(&mut Shop, &mut FrontLook)) -> Shop {
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
