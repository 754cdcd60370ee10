//! A balancer in memory: where it sends clients, what is under way where it sent them before, and whether it
//! answers. One that comes back may have forgotten.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use domain::{
    front::{Filed, FrontLook, FrontServer},
    name::{ComponentName, ContainerId},
    seen::Seen,
    time::{Millis, Moment},
};

/// How a component is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// By a port of the host.
    Port,
    /// By a front, and two versions may run at once.
    Beside,
    /// By a front, and two versions may not run at once.
    OneAtATime,
}

/// How long requests go on at the address that clients were sent to before.
const UNDER_WAY: Millis = Millis(700);

#[derive(Clone, Debug, Default)]
pub(crate) struct Fronts {
    aims: BTreeMap<ComponentName, BTreeMap<String, SocketAddr>>,
    at_first: BTreeMap<ComponentName, BTreeMap<String, SocketAddr>>,
    before: BTreeMap<SocketAddr, Moment>,
    away_until: Option<Moment>,
    /// Somebody edited its file.
    pub(crate) edited: bool,
    /// It came back as it was at first, and nobody has looked since.
    pub(crate) forgot: bool,
}

/// Where a container is: made of its identity, so that it stays the same.
pub(crate) fn address(id: &ContainerId) -> IpAddr {
    let number = u32::from_str_radix(&id.as_str()[4..12], 16).unwrap();
    IpAddr::V4(Ipv4Addr::from(0x0A00_0000 + number))
}

pub(crate) fn server(replica: u32) -> String {
    format!("s{replica}")
}

fn place(id: &ContainerId) -> SocketAddr {
    SocketAddr::new(address(id), 80)
}

impl Fronts {
    pub(crate) fn put(&mut self, component: &ComponentName, replica: u32, id: &ContainerId) {
        for aims in [&mut self.aims, &mut self.at_first] {
            aims.entry(component.clone())
                .or_default()
                .insert(server(replica), place(id));
        }
    }

    pub(crate) fn answers(&self, now: Moment) -> bool {
        self.away_until.is_none_or(|until| now >= until)
    }

    /// It is killed, and comes back as its file says: with a file that is kept true, as it was.
    pub(crate) fn restart(&mut self, away: Millis, forgets: bool, now: Moment) {
        self.away_until = self.away_until.max(Some(now.after(away)));
        self.before.clear();
        if forgets {
            self.aims.clone_from(&self.at_first);
            self.forgot = true;
        }
    }

    pub(crate) fn aims_at(&self, id: &ContainerId) -> bool {
        self.aims
            .values()
            .flat_map(BTreeMap::values)
            .any(|to| *to == place(id))
    }

    pub(crate) fn has(&self, component: &ComponentName) -> bool {
        self.aims.contains_key(component)
    }

    pub(crate) fn point(
        &mut self,
        component: &ComponentName,
        server: &str,
        to: SocketAddr,
        now: Moment,
    ) -> bool {
        let found = self
            .aims
            .get_mut(component)
            .and_then(|servers| servers.get_mut(server));
        let Some(aim) = found.filter(|_| self.away_until.is_none_or(|until| now >= until)) else {
            return false;
        };
        if *aim != to {
            self.before.insert(*aim, now);
            *aim = to;
        }
        true
    }

    pub(crate) fn look(&self, now: Moment) -> BTreeMap<ComponentName, Seen<FrontLook>> {
        let look = |servers: &BTreeMap<String, SocketAddr>| {
            if !self.answers(now) {
                return Seen::Unknown("the balancer does not answer".to_owned());
            }
            let servers = servers
                .iter()
                .map(|(name, to)| (name.clone(), self.server(*to, now)))
                .collect();
            Seen::Known(FrontLook { servers })
        };
        self.aims
            .iter()
            .map(|(component, servers)| (component.clone(), look(servers)))
            .collect()
    }

    fn server(&self, to: SocketAddr, now: Moment) -> FrontServer {
        let under_way = self
            .before
            .iter()
            .filter(|(_, since)| now.since(**since) < UNDER_WAY)
            .map(|(address, _)| (*address, 1))
            .collect();
        FrontServer {
            address: Some(to),
            takes: true,
            up: true,
            filed: self
                .edited
                .then(|| Filed::Unfit("the file was edited".to_owned())),
            sessions: Seen::Known(under_way),
        }
    }
}
