//! An application to roll back: how many parts, in which state, with which moods. The real planner plans it.

use std::collections::BTreeMap;

use domain::{
    application::Application,
    engine_look::{Container, ContainerState, Health, Live, Mark},
    ledger::{RecordedSpecification, Release, ReleaseComponent},
    name::{ComponentName, ContainerId, Fence, ImageId, RollbackId, SpecificationDigest, Version},
    plan::Plan,
    planner::{self, Rebuild, Snapshot},
    source::{Tag, TagsSeen},
    specification::{Endpoint, NetworkMode, Published, Shape},
    target::Target,
    time::{Millis, Moment},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    engine::{Built, Engine, File, Mood, container_id, policy},
    front::{Behind, server},
    networks::{attached, published},
};

/// When every simulated day begins.
pub(crate) fn start() -> Moment {
    Moment::from_unix_ms(1_800_000_000_000)
}

/// What one component is like before the rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Runs the bad release.
    Bad,
    /// Runs the target already.
    Settled,
    /// Its containers of the bad release have ended.
    Stopped,
}

/// What an earlier rollback left of the first replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftover {
    None,
    /// A stopped container that was set aside.
    Aside,
    /// The replica itself goes by an interim name, and a stopped one has the replica's name.
    Interim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) replicas: u32,
    pub(crate) state: State,
    pub(crate) bad: Mood,
    pub(crate) good: Mood,
    pub(crate) probed: bool,
    pub(crate) health_check: bool,
    pub(crate) port: bool,
    pub(crate) restart: &'static str,
    pub(crate) leftover: Leftover,
    /// The target's image is not on the engine and has to be brought.
    pub(crate) missing: bool,
    /// The engine can not remove what its first replica is now.
    pub(crate) stubborn: bool,
    /// Its replicas share the network of the replicas of this part.
    pub(crate) side_car_of: Option<usize>,
    /// It has networks of its own, so that its port can be handed over while it runs.
    pub(crate) networked: bool,
    pub(crate) behind: Behind,
    /// It needs the part before it.
    pub(crate) after: bool,
    /// Two versions of it must not run at once.
    pub(crate) alone: bool,
}

impl Part {
    pub(crate) fn usual() -> Self {
        Self {
            replicas: 1,
            state: State::Bad,
            bad: Mood::Sick,
            good: Mood::Healthy,
            probed: true,
            health_check: false,
            port: true,
            restart: "unless-stopped",
            leftover: Leftover::None,
            missing: false,
            stubborn: false,
            side_car_of: None,
            networked: false,
            behind: Behind::Port,
            after: false,
            alone: false,
        }
    }

    /// A part whose replicas share the network of another part's.
    pub(crate) fn side_car_of(parent: usize) -> Self {
        Self {
            side_car_of: Some(parent),
            port: false,
            bad: Mood::Healthy,
            ..Self::usual()
        }
    }

    /// One that is handed over.
    pub(crate) fn networked() -> Self {
        Self {
            networked: true,
            ..Self::usual()
        }
    }
}

/// Whether the target's images are gone and built again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rebuilt {
    /// They are there.
    No,
    /// Each build gives another image than the ledger has.
    Other,
    /// The first component's build fails.
    Fails,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) parts: Vec<Part>,
    pub(crate) rebuild: Rebuilt,
    pub(crate) approval: bool,
    pub(crate) front: bool,
    pub(crate) pin: Pin,
}

/// Whether the version is pinned in a file of the site's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    None,
    /// In one that can be written.
    File,
    /// In one that can not.
    ReadOnly,
    /// In an override file that Compose finds by itself.
    Override,
    /// In one that a list has to name.
    Listed,
}

impl Recipe {
    pub(crate) fn of(parts: Vec<Part>) -> Self {
        Self {
            parts,
            rebuild: Rebuilt::No,
            approval: false,
            front: false,
            pin: Pin::None,
        }
    }

    /// One API and one worker, both of the bad release.
    pub(crate) fn usual() -> Self {
        let silent = Part {
            probed: false,
            port: false,
            bad: Mood::Healthy,
            ..Part::usual()
        };
        Self::of(vec![
            Part {
                replicas: 2,
                ..Part::usual()
            },
            silent,
        ])
    }

    /// Two replicas behind a front, and a component that is reached by a port.
    pub(crate) fn behind(behind: Behind, good: Mood) -> Self {
        let mut recipe = Self::with_target(good).with_bad(Mood::Healthy);
        recipe.parts[0].behind = behind;
        recipe.front = true;
        recipe
    }

    /// Two components of which the target is like this.
    pub(crate) fn with_target(good: Mood) -> Self {
        let mut recipe = Self::usual();
        recipe.parts[0].good = good;
        recipe
    }

    pub(crate) fn with_bad(mut self, bad: Mood) -> Self {
        self.parts[0].bad = bad;
        self
    }

    fn name(at: usize) -> ComponentName {
        format!("c{at}").parse().unwrap()
    }

    fn image(at: usize, good: bool) -> ImageId {
        format!("sha256:{:010x}{:02x}{:052x}", at + 1, u8::from(good), 0)
            .parse()
            .unwrap()
    }

    /// The same with the target's images gone.
    pub(crate) fn rebuilt(self, rebuild: Rebuilt) -> Self {
        Self { rebuild, ..self }
    }

    /// Whether a component is built: what can be brought is brought, but for the first one.
    fn is_built(&self, at: usize) -> bool {
        self.rebuild != Rebuilt::No && (at == 0 || !self.parts[at].missing)
    }

    /// What building a component gives.
    fn built(&self, at: usize) -> Option<Built> {
        (self.rebuild == Rebuilt::Other || at > 0).then(|| Built {
            image: format!("sha256:{:010x}bb{:052x}", at + 1, 0)
                .parse()
                .unwrap(),
            mood: self.parts[at].good,
            version: "1.4.2".to_owned(),
        })
    }

    fn application(&self) -> Application {
        let mut components: Vec<_> = self
            .parts
            .iter()
            .enumerate()
            .map(|(at, part)| component(at, part))
            .collect();
        if self.rebuild != Rebuilt::No {
            for (at, component) in components.iter_mut().enumerate() {
                if self.is_built(at) {
                    component["build"] = json!({});
                }
            }
        }
        let source = (self.rebuild != Rebuilt::No).then(|| json!({"repository": "/srv/shop.git"}));
        let front = json!([{"url": "http://shop.test/"}]);
        let compose = match self.pin {
            Pin::None => json!(null),
            Pin::File | Pin::ReadOnly => json!({"folder": "/srv/shop", "pin": {"env": "VERSION"}}),
            Pin::Override | Pin::Listed => json!({"folder": "/srv/shop", "pin": "override"}),
        };
        serde_json::from_value(json!({
            "name": "shop", "environment": "test", "project": "shop", "approval": self.approval, "source": source,
            "compose": compose, "watch_window_s": 12, "components": components, "probes": if self.front { front } else { json!([]) },
            "timeouts": {"proof_s": 2, "engine_s": 20, "step_s": 10, "approval_s": 60, "red_s": 6},
        }))
        .unwrap()
    }

    fn releases(&self) -> Vec<Release> {
        let release = |version: &str, at: i64, good: bool| Release {
            deployment: Uuid::from_u128(u128::from(good)),
            version: version.parse().unwrap(),
            commit: Some("12".repeat(20)),
            deployed_at: Moment::from_unix_ms(at),
            good_at: good.then(|| Moment::from_unix_ms(at + 1)),
            hold: None,
            insecure: None,
            components: (0..self.parts.len())
                .map(|at| (Self::name(at), released(at, good, &self.parts[at])))
                .collect(),
        };
        vec![release("1.4.2", 1, true), release("1.5.0", 2, false)]
    }

    fn engine(&self) -> Engine {
        let mut engine = Engine::new();
        let mut number = 0;
        let mut side_cars: Vec<(ContainerId, ComponentName)> = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let name = Self::name(at);
            if self.is_built(at) {
                engine.builds.insert(name.clone(), self.built(at));
            }
            for (good, mood, version) in [(false, part.bad, "1.5.0"), (true, part.good, "1.4.2")] {
                if good && self.is_built(at) && part.state != State::Settled {
                    continue;
                }
                engine.moods.insert(Self::image(at, good), mood);
                engine
                    .versions
                    .insert(Self::image(at, good), version.to_owned());
            }
            if part.missing && !self.is_built(at) && part.state != State::Settled {
                let image = Self::image(at, true);
                let mood = engine.moods.remove(&image).unwrap();
                engine.elsewhere.insert(image, mood);
            }
            if part.health_check {
                engine.health_checks.insert(name.clone());
            }
            for replica in 1..=part.replicas {
                number += 1;
                let port = part.port && part.behind == Behind::Port;
                engine.put(container(number, at, replica, part), port);
                let parent = part.side_car_of.filter(|parent| *parent != at);
                side_cars.extend(parent.map(|parent| (container_id(number), Self::name(parent))));
                if part.behind != Behind::Port {
                    engine.fronts.put(&name, replica, &container_id(number));
                }
                if replica == 1 {
                    engine
                        .stubborn
                        .extend(part.stubborn.then(|| container_id(number)));
                    number += 1;
                    leave(&mut engine, number, part);
                }
            }
        }
        for (side_car, parent) in side_cars {
            join(&mut engine, &side_car, &parent);
        }
        engine
    }

    /// The application as it is before anybody acts, and the plan for it.
    pub(crate) fn morning(&self) -> Morning {
        let mut engine = self.engine();
        self.lay_out_files(&mut engine);
        Morning {
            plan: self.plan(&engine),
            engine,
            approval: self.approval,
        }
    }

    fn lay_out_files(&self, engine: &mut Engine) {
        let file = |path: &str, value: Option<&str>, wanted: &str| File {
            path: path.to_owned(),
            value: value.map(str::to_owned),
            first: value.map(str::to_owned),
            wanted: Some(wanted.to_owned()),
            rest: 0,
            read_only: self.pin == Pin::ReadOnly,
            images: (0..self.parts.len())
                .map(|at| (Self::name(at), Self::image(at, true)))
                .collect(),
            kept: None,
        };
        let named = "/srv/shop/docker-compose.sternway.yml";
        engine.file = match self.pin {
            Pin::None => None,
            Pin::File | Pin::ReadOnly => Some(file("/srv/shop/.env", Some("1.5.0"), "1.4.2")),
            Pin::Override | Pin::Listed => Some(file(named, None, "what the plan says")),
        };
        let list = "compose.yml:docker-compose.sternway.yml";
        engine.list = (self.pin == Pin::Listed).then(|| file("/srv/shop/.env", None, list));
    }

    fn plan(&self, engine: &Engine) -> Plan {
        let (application, releases) = (self.application(), self.releases());
        let images = engine.moods.keys().chain(engine.elsewhere.keys());
        let images: Vec<ImageId> = images.cloned().collect();
        let look = engine.look(&images, start());
        let snapshot = Snapshot {
            application: &application,
            look: &look,
            releases: &releases,
            outages: &[],
            last: None,
        };
        let target: Target = Target::Version("1.4.2".parse::<Version>().unwrap());
        let tags = TagsSeen {
            tags: vec![Tag {
                name: "v1.4.2".parse().unwrap(),
                commit: "12".repeat(20).parse().unwrap(),
            }],
            more: false,
        };
        let planned = match self.rebuild {
            Rebuilt::No => planner::plan(&snapshot, &target),
            Rebuilt::Other | Rebuilt::Fails => planner::rebuild(
                &snapshot,
                &target,
                &Rebuild {
                    strategy: domain::plan::Strategy::Rebuild,
                    tags: &tags,
                    confirm_moved_tag: false,
                },
            ),
        };
        planned
            .unwrap_or_else(|blockers| panic!("{self:?}: {blockers:?}"))
            .plan
    }
}

/// Where a day begins; made once for the many days that begin alike.
#[derive(Clone, Debug)]
pub(crate) struct Morning {
    pub(crate) engine: Engine,
    pub(crate) plan: Plan,
    pub(crate) approval: bool,
}

fn component(at: usize, part: &Part) -> serde_json::Value {
    if part.networked && part.replicas > 1 && part.behind == Behind::Port {
        return hand_made(at, part);
    }
    let mut component = json!({"name": Recipe::name(at), "after": needs(at, part)});
    if part.probed {
        component["probes"] = json!([{"kind": "http", "port": 80, "path": "/health"}]);
        component["version_endpoint"] = json!({"port": 80, "path": "/version"});
    }
    let servers: Vec<String> = (1..=part.replicas).map(server).collect();
    let front = |two_versions: bool| {
        json!({"balancer": {"kind": "haproxy", "socket": "/run/h.sock", "backend": "shop"}, "servers": servers,
               "port": 80, "two_versions": two_versions, "drain_s": 2})
    };
    match part.behind {
        Behind::Port if part.alone => component["overlap"] = json!(false),
        Behind::Port => {}
        Behind::Beside => component["front"] = front(true),
        Behind::OneAtATime => component["front"] = front(false),
    }
    component
}

fn needs(at: usize, part: &Part) -> Vec<ComponentName> {
    let before = at.checked_sub(1).filter(|_| part.after);
    before.map(Recipe::name).into_iter().collect()
}

fn released(at: usize, good: bool, part: &Part) -> ReleaseComponent {
    let digest: SpecificationDigest = format!("{at:064x}").parse().unwrap();
    ReleaseComponent {
        image: Recipe::image(at, good),
        reference: "shop".to_owned(),
        sources: Vec::new(),
        architecture: None,
        bytes: Some(1),
        specification: Some(RecordedSpecification {
            digest,
            readable: true,
            env: BTreeMap::new(),
            commands: None,
            shape: shape(at, part, 1),
        }),
    }
}

/// Replicas that differ in their ports are no Compose service's.
fn hand_made(at: usize, part: &Part) -> serde_json::Value {
    let one = Part {
        replicas: 1,
        ..*part
    };
    let mut component = component(at, &one);
    let names = (1..=part.replicas).map(|replica| format!("shop-c{at}-{replica}"));
    component["containers"] = names.collect();
    component
}

/// Two networks, of which the first gives the gateway and the second has no way out.
fn shape(at: usize, part: &Part, replica: u32) -> Option<Shape> {
    if !part.networked {
        // What a balancer is in front of has nothing that only one of two can have.
        return (part.behind != Behind::Port).then(Shape::default);
    }
    Some(Shape {
        network: NetworkMode::Named("front".to_owned()),
        networks: ["front", "inner"]
            .map(|network| (network.to_owned(), Endpoint::default()))
            .into(),
        ports: ports(at, part, replica),
        ..Shape::default()
    })
}

fn live(at: usize, part: &Part, replica: u32) -> Live {
    if !part.networked {
        return Live::default();
    }
    Live {
        networks: vec![
            attached("front", true, false),
            attached("inner", false, true),
        ],
        ports: ports(at, part, replica),
        ..Live::default()
    }
}

fn ports(at: usize, part: &Part, replica: u32) -> Vec<Published> {
    let port = published(&Recipe::name(at), replica);
    if part.port { vec![port] } else { Vec::new() }
}

fn container(number: u64, at: usize, replica: u32, part: &Part) -> Container {
    let runs = part.state != State::Stopped;
    Container {
        id: container_id(number),
        name: format!("shop-c{at}-{replica}"),
        component: Recipe::name(at),
        replica,
        image: Recipe::image(at, part.state == State::Settled),
        state: if runs {
            ContainerState::Running
        } else {
            ContainerState::Exited
        },
        health: Health::None,
        started_at: Some(Moment::from_unix_ms(start().unix_ms() - 60_000)),
        restarts: 0,
        exit_code: 0,
        restart: policy(part.restart),
        address: None,
        auto_remove: false,
        joins: Vec::new(),
        stop_grace_s: 1,
        mark: None,
        specification: Some(format!("{number:064x}").parse().unwrap()),
        env: BTreeMap::new(),
        commands: None,
        shape: shape(at, part, replica),
        live: live(at, part, replica),
    }
}

/// Lets a container share with a replica of that component which runs if it does itself.
fn join(engine: &mut Engine, side_car: &ContainerId, parent: &ComponentName) {
    let runs = engine.boxes[side_car].seen.runs();
    let parent = engine.boxes.values().find(|found| {
        found.seen.component == *parent && found.seen.runs() && found.seen.joins.is_empty()
    });
    if let Some(parent) = parent.filter(|_| runs).map(|found| found.seen.id.clone())
        && let Some(found) = engine.boxes.get_mut(side_car)
    {
        found.seen.joins = vec![parent];
    }
}

/// What a rollback that needed a person had left of the container before `number`.
fn leave(engine: &mut Engine, number: u64, part: &Part) {
    let replica = engine.boxes[&container_id(number - 1)].seen.clone();
    let earlier = RollbackId(Uuid::from_u128(0xEA));
    let (base, short) = (replica.name.clone(), earlier.short());
    let stopped = Container {
        id: container_id(number),
        state: ContainerState::Exited,
        restart: policy("no"),
        started_at: None,
        ..replica.clone()
    };
    match part.leftover {
        Leftover::None => {}
        Leftover::Aside => engine.put(
            Container {
                name: format!("{base}.former-{short}"),
                ..stopped
            },
            part.port,
        ),
        Leftover::Interim => {
            let mark = Mark {
                rollback: earlier,
                fence: Fence(1),
                replaces: container_id(number),
            };
            let name = format!("{base}.next-{short}");
            engine.put(
                Container {
                    name,
                    mark: Some(mark),
                    ..replica
                },
                part.port,
            );
            engine.put(stopped, part.port);
        }
    }
}

/// How long a whole rollback may take in the simulated world before it is called stuck.
pub(crate) const PATIENCE: Millis = Millis(20 * 60 * 1000);
