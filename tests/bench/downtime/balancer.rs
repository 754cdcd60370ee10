//! A balancer in front of one container, HAProxy or Caddy, ended with its owner.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::{Shape, wait};
use crate::{Outcome, server::free_port};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Haproxy,
    Caddy,
}

impl Kind {
    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Haproxy => Shape::Haproxy,
            Self::Caddy => Shape::Caddy,
        }
    }
}

/// A balancer that listens on a port of this machine.
#[derive(Debug)]
pub(crate) struct Balancer {
    process: Child,
    /// The component's part of a definition.
    pub(crate) front: Value,
}

impl Balancer {
    pub(crate) fn start(kind: Kind, port: u16, to: SocketAddr, folder: &Path) -> Outcome<Self> {
        let (file, mut command, front) = match kind {
            Kind::Haproxy => haproxy(port, to, folder)?,
            Kind::Caddy => caddy(port, to, folder)?,
        };
        let process = command
            .arg(file)
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let balancer = Self { process, front };
        wait("the balancer listens", || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        Ok(balancer)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// If this program is killed, the balancer is too.
fn bound(words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).args(words);
    command
}

fn haproxy(port: u16, to: SocketAddr, folder: &Path) -> Outcome<(PathBuf, Command, Value)> {
    let (file, socket) = (folder.join("haproxy.cfg"), folder.join("haproxy.sock"));
    let text = format!(
        "global\n    stats socket {} mode 600 level admin\ndefaults\n    mode http\n    timeout connect 1s\n    \
         timeout client 60s\n    timeout server 60s\nfrontend shop\n    bind 127.0.0.1:{port}\n    \
         default_backend shop\nbackend shop\n    server s1 {to}\n",
        socket.display(),
    );
    std::fs::write(&file, text)?;
    let front = json!({
        "balancer": {"kind": "haproxy", "socket": socket, "backend": "shop", "file": file},
        "servers": ["s1"], "port": 8080, "two_versions": true, "drain_s": 30,
    });
    Ok((file, bound(&["haproxy", "-db", "-f"]), front))
}

fn caddy(port: u16, to: SocketAddr, folder: &Path) -> Outcome<(PathBuf, Command, Value)> {
    let (file, admin) = (folder.join("caddy.json"), free_port()?);
    let proxy =
        json!({"@id": "shop", "handler": "reverse_proxy", "upstreams": [{"dial": to.to_string()}]});
    let server = json!({"listen": [format!("127.0.0.1:{port}")], "automatic_https": {"disable": true},
                        "routes": [{"handle": [proxy]}]});
    let text = json!({"admin": {"listen": format!("127.0.0.1:{admin}")},
                      "apps": {"http": {"servers": {"shop": server}}}});
    std::fs::write(&file, text.to_string())?;
    // It does not tell what is under way, so the whole time is waited for.
    let front = json!({
        "balancer": {"kind": "caddy", "url": format!("http://127.0.0.1:{admin}")},
        "servers": ["/id/shop/upstreams/0"], "port": 8080, "two_versions": true, "drain_s": 1,
    });
    Ok((file, bound(&["caddy", "run", "--config"]), front))
}
