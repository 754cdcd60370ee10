//! A balancer in front of a component: who it is, which of its servers stand for the replicas, and what one look
//! at it shows. Clients reach the component only through it, so two versions can run side by side and the change
//! from one to the other is one call to the balancer.

pub mod adopted;
pub mod adoption;
mod follow;
pub mod port_line;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use follow::{Aim, follow};

use crate::{address, application::BadField, seen::Seen, specification::Published};

/// Most servers of one front: one for each replica.
pub const SERVERS_MAX: usize = 64;
/// Longest path, URL or name of a balancer.
const TEXT_CHARS_MAX: usize = 512;
/// Longest socket path that the system takes.
const SOCKET_CHARS_MAX: usize = 107;

/// The balancer in front of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Which balancer, and how it is spoken to.
    pub balancer: Balancer,
    /// What the balancer calls the servers, one for each replica, in the order of their numbers: a server's name
    /// in HAProxy; in Caddy the path of an upstream in its admin API, such as `/id/shop/upstreams/0`.
    #[schema(min_items = 1, max_items = 64)]
    pub servers: Vec<String>,
    /// The port inside the container that the balancer sends clients to.
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// Whether two versions of the component may run at once: no exclusive lock, no second worker that does the
    /// same job twice. If not, the present one is stopped first, and clients wait for the other to boot. Off by
    /// default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub two_versions: bool,
    /// How long requests, event streams and WebSockets that are under way at the former container are waited for,
    /// in seconds, before it is stopped.
    #[serde(default = "drain_default")]
    #[schema(maximum = 3600)]
    pub drain_s: u32,
    /// Whether the balancer holds the component's published port in its place, as `sternway front adopt` arranges it.
    /// Then its servers are pointed at the running containers whenever those get other addresses, and a release that
    /// published that port itself comes back without it. Off by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}

/// A balancer that we can speak to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Balancer {
    /// HAProxy, by its runtime API.
    Haproxy {
        /// Path of its stats socket, of level `admin`.
        socket: String,
        /// The backend (or `listen` section) that the servers are in.
        backend: String,
        /// Its configuration file, whose server lines are kept true so that a reload changes nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// Caddy, by its admin API.
    Caddy {
        /// Address of the admin API, such as `http://127.0.0.1:2019`.
        url: String,
    },
}

impl Balancer {
    /// Its name, for people.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Haproxy { .. } => "HAProxy",
            Self::Caddy { .. } => "Caddy",
        }
    }
}

/// One look at a front.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontLook {
    /// The servers of the definition that the balancer has, by name.
    pub servers: BTreeMap<String, FrontServer>,
}

/// What a balancer says of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontServer {
    /// Where it sends clients; none when that is no address and port, such as a name.
    pub address: Option<SocketAddr>,
    /// Whether new clients are sent there: neither in maintenance nor draining.
    pub takes: bool,
    /// Whether the balancer believes that it answers.
    pub up: bool,
    /// What the configuration file says, where one is kept true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed: Option<Filed>,
    /// Requests and connections under way, by the address where they are; unknown when the balancer does not tell.
    pub sessions: Seen<BTreeMap<SocketAddr, u32>>,
}

/// What a balancer's configuration file says of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filed {
    /// This address.
    Says(SocketAddr),
    /// The server's line can not be kept true: what was found instead.
    Unfit(String),
}

impl FrontServer {
    /// Whether clients are sent to `address`, now and after a reload.
    #[must_use]
    pub fn points_at(&self, address: SocketAddr) -> bool {
        self.sends_to(address)
            && self
                .filed
                .as_ref()
                .is_none_or(|filed| *filed == Filed::Says(address))
    }

    /// Whether new clients are sent to `address` now.
    #[must_use]
    pub fn sends_to(&self, address: SocketAddr) -> bool {
        self.aims_at(address) && self.up
    }

    /// Whether new clients are sent to `address` as soon as it answers.
    #[must_use]
    pub fn aims_at(&self, address: SocketAddr) -> bool {
        self.address == Some(address) && self.takes
    }

    /// Whether a reload leaves it at `address`, as far as a file can be kept true.
    #[must_use]
    pub fn files(&self, address: SocketAddr) -> bool {
        match &self.filed {
            Some(Filed::Says(says)) => *says == address,
            Some(Filed::Unfit(_)) | None => true,
        }
    }

    /// Why the configuration file can not be kept true.
    #[must_use]
    pub fn unfit(&self) -> Option<&str> {
        match self.filed.as_ref()? {
            Filed::Unfit(why) => Some(why),
            Filed::Says(_) => None,
        }
    }

    /// How many requests and connections are under way at `address`; none when it is not known.
    #[must_use]
    pub fn sessions_at(&self, address: SocketAddr) -> Option<u32> {
        let sessions = self.sessions.known()?;
        Some(sessions.get(&address).copied().unwrap_or(0))
    }
}

impl Front {
    /// Whether the balancer holds that port of the component's in its place.
    #[must_use]
    pub fn takes_over(&self, port: &Published) -> bool {
        self.follow && port.port == self.port && port.protocol == "tcp" && port.host_port.is_some()
    }

    /// The server that stands for a replica, counted from 1.
    #[must_use]
    pub fn server_of(&self, replica: u32) -> Option<&str> {
        let at = usize::try_from(replica).ok()?.checked_sub(1)?;
        self.servers.get(at).map(String::as_str)
    }

    /// Every rule that types alone do not hold.
    pub(crate) fn check(&self, field: &str, bad: &mut Vec<BadField>) {
        match &self.balancer {
            Balancer::Haproxy {
                socket,
                backend,
                file,
            } => self.check_haproxy(field, socket, backend, file.as_deref(), bad),
            Balancer::Caddy { url } => self.check_caddy(field, url, bad),
        }
        let distinct: BTreeSet<_> = self.servers.iter().collect();
        if self.servers.is_empty()
            || self.servers.len() > SERVERS_MAX
            || distinct.len() != self.servers.len()
        {
            let what =
                format!("give 1 to {SERVERS_MAX} different servers, one for each replica in order");
            bad.push(BadField::new(format!("{field}.servers"), what));
        }
        if self.port == 0 {
            bad.push(BadField::new(format!("{field}.port"), "use 1 to 65535"));
        }
        if self.drain_s > 3600 {
            bad.push(BadField::new(
                format!("{field}.drain_s"),
                "use at most 3600 seconds",
            ));
        }
    }

    fn check_haproxy(
        &self,
        field: &str,
        socket: &str,
        backend: &str,
        file: Option<&str>,
        bad: &mut Vec<BadField>,
    ) {
        if !is_path(socket) || socket.len() > SOCKET_CHARS_MAX {
            let what = format!(
                "use the absolute path of HAProxy's stats socket, at most {SOCKET_CHARS_MAX} bytes"
            );
            bad.push(BadField::new(format!("{field}.balancer.socket"), what));
        }
        if file.is_some_and(|file| !is_path(file)) {
            let what = "use the absolute path of HAProxy's configuration file, or leave it out";
            bad.push(BadField::new(format!("{field}.balancer.file"), what));
        }
        let rule = "use letters, digits, `-`, `_`, `.` and `:`, as HAProxy does";
        if !is_proxy_name(backend) {
            bad.push(BadField::new(format!("{field}.balancer.backend"), rule));
        }
        if self.servers.iter().any(|server| !is_proxy_name(server)) {
            bad.push(BadField::new(format!("{field}.servers"), rule));
        }
    }

    fn check_caddy(&self, field: &str, url: &str, bad: &mut Vec<BadField>) {
        let host = url
            .strip_prefix("http://")
            .map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        if !host.is_some_and(|host| address::is_host(host) && host.len() <= TEXT_CHARS_MAX) {
            let what = "use `http://host:port` of Caddy's admin API, without a path";
            bad.push(BadField::new(format!("{field}.balancer.url"), what));
        }
        if self.servers.iter().any(|server| !is_upstream(server)) {
            let what = "use the path of an upstream in Caddy's admin API, such as `/id/shop/upstreams/0` \
                        or `/config/apps/http/servers/...`";
            bad.push(BadField::new(format!("{field}.servers"), what));
        }
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= TEXT_CHARS_MAX
        && !text.ends_with('/')
        && !text.chars().any(char::is_control)
}

/// What HAProxy takes for a name. A space, a semicolon or a line end would begin another command.
fn is_proxy_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

fn is_upstream(text: &str) -> bool {
    let parts = text
        .strip_prefix("/id/")
        .or_else(|| text.strip_prefix("/config/"));
    text.len() <= TEXT_CHARS_MAX
        && parts.is_some_and(|parts| {
            parts.split('/').all(|part| {
                !part.is_empty()
                    && !part.bytes().all(|b| b == b'.')
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            })
        })
}

/// The drain deadline that kamal-proxy and most deployment tools use.
fn drain_default() -> u32 {
    30
}

#[cfg(test)]
mod tests;
