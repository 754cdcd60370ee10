//! The engine's networks: a container's ports are its own while it is up on the network that gives it its gateway,
//! and an internal network never does.

use domain::{
    effect::{Effect, Failure},
    engine_look::{Attached, StageSeen},
    name::{ComponentName, ContainerId},
    plan::Joint,
    specification::{Endpoint, Published},
    time::Moment,
};

use crate::engine::{Box_, By, Engine, policy};

type Done = Result<(), (Failure, String)>;

pub(crate) fn attached(network: &str, gateway: bool, internal: bool) -> Attached {
    Attached {
        network: network.to_owned(),
        endpoint: Endpoint::default(),
        address: None,
        gateway,
        internal,
    }
}

/// Each replica of each component has a port of its own.
pub(crate) fn published(component: &ComponentName, replica: u32) -> Published {
    let at: u16 = component.as_str().trim_start_matches('c').parse().unwrap();
    Published {
        port: 80,
        protocol: "tcp".to_owned(),
        host_ip: None,
        host_port: Some(8000 + 100 * at + u16::try_from(replica).unwrap()),
    }
}

impl Box_ {
    /// The port that it publishes where it can.
    pub(crate) fn ports(&self) -> Vec<Published> {
        let port = published(&self.seen.component, self.seen.replica);
        if self.port && !self.home.is_empty() {
            vec![port]
        } else {
            Vec::new()
        }
    }
}

impl Engine {
    pub(crate) fn stages(&self) -> Vec<StageSeen> {
        let stage = self.stage.iter().map(|(name, rollback)| {
            let on_it = |found: &&Box_| found.seen.live.on(name).is_some();
            StageSeen {
                id: name.clone(),
                name: name.clone(),
                rollback: Some(*rollback),
                members: self
                    .boxes
                    .values()
                    .filter(on_it)
                    .map(|found| found.seen.id.clone())
                    .collect(),
            }
        });
        stage.collect()
    }

    pub(crate) fn port_is_held(
        &self,
        component: &ComponentName,
        replica: u32,
        by_another_than: &ContainerId,
    ) -> bool {
        self.boxes.values().any(|other| {
            other.holds_port()
                && other.seen.id != *by_another_than
                && (&other.seen.component, other.seen.replica) == (component, replica)
        })
    }

    pub(crate) fn on_networks(&mut self, effect: &Effect, by: By, now: Moment) -> Done {
        match effect {
            Effect::SetStage { name, company } => {
                self.stage.get_or_insert((name.clone(), by.rollback));
                for companion in company {
                    if let Some(found) = self.boxes.get_mut(&companion.container)
                        && found.seen.live.on(name).is_none()
                    {
                        found.seen.live.networks.push(attached(name, false, true));
                    }
                }
                Ok(())
            }
            Effect::EnterStage {
                container, stage, ..
            } => {
                let there = self.stage.as_ref().is_some_and(|(name, _)| name == stage);
                let found = self.found(container)?;
                if found.seen.started_at.is_some() {
                    return Ok(());
                }
                if !there {
                    return Err((Failure::Missing, "no such network".to_owned()));
                }
                found.seen.live.networks = vec![attached(stage, false, true)];
                self.start(container, None, now)
            }
            Effect::LeaveStage { container, .. } => self.stop(container),
            Effect::ClearStage { network } => {
                for found in self.boxes.values_mut() {
                    found.seen.live.networks.retain(|on| on.network != *network);
                }
                self.stage = None;
                Ok(())
            }
            Effect::HandOver {
                from,
                to,
                joints,
                restart,
            } => {
                if let Some(from) = from.as_ref().and_then(|from| self.boxes.get_mut(from)) {
                    from.seen.restart = policy("no");
                    from.seen.live.networks.clear();
                }
                self.join(to, joints)?;
                if let Some(restart) = restart {
                    self.found(to)?.seen.restart = restart.clone();
                }
                Ok(())
            }
            other => panic!("{other:?} is not about networks"),
        }
    }

    fn join(&mut self, to: &ContainerId, joints: &[Joint]) -> Done {
        let found = self.found(to)?;
        let (component, replica) = (found.seen.component.clone(), found.seen.replica);
        let publishes = found.port && found.seen.is_up();
        if publishes && self.port_is_held(&component, replica, to) {
            return Err((Failure::Refused, "port is already allocated".to_owned()));
        }
        let found = self.found(to)?;
        let home = found.home.clone();
        let joined = joints
            .iter()
            .filter_map(|joint| home.iter().find(|on| on.network == joint.network).cloned());
        let joined: Vec<Attached> = joined.collect();
        found.seen.live.networks = joined;
        Ok(())
    }
}
