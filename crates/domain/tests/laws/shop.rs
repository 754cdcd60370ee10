//! An application to roll back: how many parts, in which state, with which moods. The real planner plans it.

mod part;

use domain::{
    application::Application,
    engine_look::{Container, ContainerState, Mark},
    ledger::Release,
    name::{ComponentName, ContainerId, Fence, ImageId, RollbackId, Version},
    plan::Plan,
    planner::{self, Rebuild, Snapshot},
    source::{Tag, TagsSeen},
    target::Target,
    time::{Millis, Moment},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    engine::{Built, Engine, File, Mood, container_id, policy},
    front::Behind,
};

pub(crate) use part::{Leftover, Part, State};
use part::{component, container, released};

/// When every simulated day begins.
pub(crate) fn start() -> Moment {
    Moment::from_unix_ms(1_800_000_000_000)
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
