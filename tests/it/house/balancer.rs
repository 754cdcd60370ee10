//! A balancer of a test's own, HAProxy or Caddy, with one server.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{
    child::{Folder, Process, bound},
    server::free_port,
    wait::until,
};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Haproxy,
    Caddy,
}

/// It goes with its owner.
pub(crate) struct Balancer {
    pub(crate) port: u16,
    kind: Kind,
    admin: u16,
    folder: Folder,
    process: Option<Process>,
}

impl Balancer {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            port: free_port(),
            kind,
            admin: free_port(),
            folder: Folder::new("front"),
            process: None,
        }
    }

    /// The component's part of the application's definition.
    pub(crate) fn definition(&self) -> Value {
        match self.kind {
            Kind::Haproxy => json!({
                "balancer": {"kind": "haproxy", "socket": self.folder.join("h.sock"), "backend": "shop", "file": self.file()},
                "servers": ["s1"], "port": 8080, "two_versions": true, "drain_s": 1,
            }),
            Kind::Caddy => json!({
                "balancer": {"kind": "caddy", "url": format!("http://127.0.0.1:{}", self.admin)},
                "servers": ["/id/shop/upstreams/0"], "port": 8080, "two_versions": true, "drain_s": 1,
            }),
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join(match self.kind {
            Kind::Haproxy => "haproxy.cfg",
            Kind::Caddy => "caddy.json",
        })
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.file()).expect("it was written")
    }

    /// Starts it for the first time, its clients sent to `to`.
    pub(crate) fn start(&mut self, to: SocketAddr) {
        let text = match self.kind {
            Kind::Haproxy => format!(
                "global\n    stats socket {} mode 600 level admin\ndefaults\n    mode http\n    timeout connect 1s\n    \
                 timeout client 60s\n    timeout server 60s\nfrontend shop\n    bind 127.0.0.1:{}\n    \
                 default_backend shop\nbackend shop\n    server s1 {to}\n",
                self.folder.join("h.sock").display(),
                self.port,
            ),
            Kind::Caddy => {
                let proxy = json!({"@id": "shop", "handler": "reverse_proxy", "upstreams": [{"dial": to.to_string()}]});
                let server = json!({"listen": [format!("127.0.0.1:{}", self.port)],
                                    "automatic_https": {"disable": true}, "routes": [{"handle": [proxy]}]});
                json!({"admin": {"listen": format!("127.0.0.1:{}", self.admin)},
                       "apps": {"http": {"servers": {"shop": server}}}})
                .to_string()
            }
        };
        std::fs::write(self.file(), text).expect("our own folder");
        self.again();
    }

    /// Starts it with the file as it is now.
    pub(crate) fn again(&mut self) {
        let mut command = match self.kind {
            Kind::Haproxy => {
                let mut command = bound("haproxy");
                command.args(["-db", "-f"]).arg(self.file());
                command
            }
            Kind::Caddy => {
                let mut command = bound("caddy");
                command.args(["run", "--config"]).arg(self.file());
                command
            }
        };
        command
            .env("HOME", self.folder.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        self.process = Some(Process::start(command));
        until("the balancer listens", Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }
}
