//! A balancer in front of a component: who it is, which of its servers stand for the replicas, and what one look
//! at it shows. Clients reach the component only through it, so two versions can run side by side and the change
//! from one to the other is one call to the balancer.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{application::BadField, seen::Seen};

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
        if !host.is_some_and(|host| is_host(host) && host.len() <= TEXT_CHARS_MAX) {
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

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']'))
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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn haproxy() -> Value {
        json!({"balancer": {"kind": "haproxy", "socket": "/run/haproxy/admin.sock", "backend": "shop",
                            "file": "/etc/haproxy/haproxy.cfg"},
               "servers": ["s1"], "port": 8080})
    }

    fn caddy() -> Value {
        json!({"balancer": {"kind": "caddy", "url": "http://127.0.0.1:2019"},
               "servers": ["/id/shop/upstreams/0"], "port": 8080, "two_versions": true})
    }

    fn bad(front: Value) -> Vec<String> {
        let mut bad = Vec::new();
        let front: Front = serde_json::from_value(front).unwrap();
        front.check("front", &mut bad);
        bad.into_iter().map(|bad| bad.field).collect()
    }

    #[test]
    fn two_versions_at_once_must_be_said() {
        assert_eq!(bad(haproxy()), Vec::<String>::new());
        assert_eq!(bad(caddy()), Vec::<String>::new());
        let front: Front = serde_json::from_value(haproxy()).unwrap();
        assert!(!front.two_versions);
        assert_eq!(front.drain_s, 30);
    }

    #[test]
    fn a_field_of_another_balancer_is_refused() {
        let mut front = caddy();
        front["balancer"]["socket"] = json!("/run/haproxy.sock");
        assert!(serde_json::from_value::<Front>(front).is_err());
        let mut front = haproxy();
        front["drain"] = json!(3);
        assert!(serde_json::from_value::<Front>(front).is_err());
    }

    #[test]
    fn a_name_that_is_a_second_command_is_refused() {
        for name in ["s1;shutdown", "s1 state", "s1\nshow", "", "s/1"] {
            let mut front = haproxy();
            front["servers"] = json!([name]);
            assert_eq!(bad(front), ["front.servers"], "{name:?}");
        }
        let mut front = haproxy();
        front["balancer"]["backend"] = json!("shop;");
        assert_eq!(bad(front), ["front.balancer.backend"]);
    }

    #[test]
    fn a_path_out_of_the_configuration_is_refused() {
        for path in [
            "/id/",
            "/id/../load",
            "/load",
            "/config",
            "/id/a?x",
            "/id/a//b",
            "id/a",
            "/id/%2e",
        ] {
            let mut front = caddy();
            front["servers"] = json!([path]);
            assert_eq!(bad(front), ["front.servers"], "{path:?}");
        }
        for url in [
            "https://127.0.0.1:2019",
            "http://",
            "http://u@h",
            "http://h/p",
            "http://h?x",
        ] {
            let mut front = caddy();
            front["balancer"]["url"] = json!(url);
            assert_eq!(bad(front), ["front.balancer.url"], "{url:?}");
        }
    }

    #[test]
    fn every_other_rule_is_named() {
        let mut front = haproxy();
        front["servers"] = json!(["s1", "s1"]);
        front["port"] = json!(0);
        front["drain_s"] = json!(3601);
        front["balancer"]["socket"] = json!("admin.sock");
        front["balancer"]["file"] = json!("haproxy.cfg");
        assert_eq!(
            bad(front),
            [
                "front.balancer.socket",
                "front.balancer.file",
                "front.servers",
                "front.port",
                "front.drain_s"
            ]
        );
    }

    #[test]
    fn a_server_that_a_reload_would_turn_does_not_point() {
        let address: SocketAddr = "172.17.0.2:8080".parse().unwrap();
        let mut server = FrontServer {
            address: Some(address),
            takes: true,
            up: true,
            filed: None,
            sessions: Seen::Absent,
        };
        assert!(server.points_at(address));
        server.filed = Some(Filed::Says("172.17.0.3:8080".parse().unwrap()));
        assert!(server.sends_to(address) && !server.points_at(address));
        server.filed = Some(Filed::Says(address));
        server.takes = false;
        assert!(!server.points_at(address));
    }
}
