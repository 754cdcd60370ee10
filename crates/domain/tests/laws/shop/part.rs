//! One component of the shop: how it is defined, what the ledger and the engine know of it, and its moods.

use std::collections::BTreeMap;

use domain::{
    engine_look::{Container, ContainerState, Health, Live},
    ledger::{RecordedSpecification, ReleaseComponent},
    name::{ComponentName, SpecificationDigest},
    specification::{Endpoint, NetworkMode, Published, Shape},
    time::Moment,
};
use serde_json::json;

use super::{Recipe, start};
use crate::{
    engine::{Mood, container_id, policy},
    front::{Behind, server},
    networks::{attached, published},
};

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

pub(super) fn component(at: usize, part: &Part) -> serde_json::Value {
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

pub(super) fn released(at: usize, good: bool, part: &Part) -> ReleaseComponent {
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

pub(super) fn container(number: u64, at: usize, replica: u32, part: &Part) -> Container {
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
