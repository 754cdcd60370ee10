//! Looks at the Docker Engine: does it answer, has its disk room, and who else may command it.

use std::{
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
    time::Duration,
};

use domain::{engine_look::EngineFacts, seen::Seen};
use tokio::net::TcpStream;

use super::Finding;

/// Creating containers needs little; an engine with less than this is about to fill up.
const DISK_WARN: u64 = 1 << 30;
/// The planner refuses below this.
const DISK_FAIL: u64 = 64 << 20;
/// The engine's port without any protection.
const OPEN_PORT: u16 = 2375;
/// Our own machine answers at once.
const KNOCK: Duration = Duration::from_millis(300);

/// Looks at the engine.
pub async fn look(docker_host: Option<&str>) -> Vec<Finding> {
    let endpoint = docker::default_endpoint(docker_host);
    let mut findings = vec![];
    let facts = match docker::Engine::connect(&endpoint) {
        Ok(engine) => engine.facts(true).await,
        Err(error) => Err(error),
    };
    match facts {
        Ok(facts) => {
            findings.push(answers(&endpoint, &facts));
            findings.push(disk(&facts.disk_free));
        }
        Err(error) => findings.push(Finding::fail("engine", error.to_string(), fix(&endpoint))),
    }
    if let Some(socket) = endpoint.strip_prefix("unix://") {
        findings.extend(rights(Path::new(socket)));
    }
    findings.extend(open_port(&endpoint).await);
    findings
}

fn answers(endpoint: &str, facts: &EngineFacts) -> Finding {
    let found = format!(
        "{} at {endpoint} answers: version {}, API {}",
        facts.name, facts.version, facts.api_version
    );
    Finding::ok("engine", found)
}

fn fix(endpoint: &str) -> String {
    if endpoint.starts_with("tcp://") {
        return "use the engine's unix socket (DOCKER_HOST=unix:///...): over plain TCP everybody who reaches the port is root".to_owned();
    }
    "start the engine (`systemctl start docker`), or set DOCKER_HOST to where it listens, and run as a user who may use its socket".to_owned()
}

fn disk(free: &Seen<u64>) -> Finding {
    let room = "free some disk where the engine keeps its data; the images of versions to go back to must stay";
    match free {
        Seen::Known(free) if *free < DISK_FAIL => {
            Finding::fail("engine disk", format!("{} MiB free", free >> 20), room)
        }
        Seen::Known(free) if *free < DISK_WARN => {
            Finding::warn("engine disk", format!("{} MiB free", free >> 20), room)
        }
        Seen::Known(free) => Finding::ok("engine disk", format!("{} GiB free", free >> 30)),
        Seen::Absent => Finding::warn(
            "engine disk",
            "not there",
            "look at the engine's data folder",
        ),
        Seen::Unknown(why) => Finding::warn(
            "engine disk",
            format!("can not be seen: {why}"),
            "run it where the engine runs, or watch that disk by other means",
        ),
    }
}

/// Whoever may write to the socket is root on this machine.
fn rights(socket: &Path) -> Option<Finding> {
    let facts = std::fs::metadata(socket)
        .ok()
        .filter(|facts| facts.file_type().is_socket())?;
    let mode = facts.mode() & 0o777;
    let found = format!(
        "{} has mode {mode:o}, owner {}:{}",
        socket.display(),
        facts.uid(),
        facts.gid()
    );
    if mode & 0o002 != 0 {
        let fix = format!(
            "chmod 660 {}: every user of this machine can be root through it",
            socket.display()
        );
        return Some(Finding::warn("engine socket", found, fix));
    }
    Some(Finding::ok("engine socket", found))
}

async fn open_port(endpoint: &str) -> Option<Finding> {
    let open = tokio::time::timeout(KNOCK, TcpStream::connect(("127.0.0.1", OPEN_PORT))).await;
    let fix = "take `tcp://` out of the engine's hosts, or protect it with TLS: who reaches this port is root";
    if matches!(open, Ok(Ok(_))) {
        return Some(Finding::warn(
            "engine port",
            format!("something listens on port {OPEN_PORT}, the engine's unprotected port"),
            fix,
        ));
    }
    endpoint
        .starts_with("tcp://")
        .then(|| Finding::warn("engine port", format!("DOCKER_HOST is {endpoint}"), fix))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_disk_is_judged_by_its_room() {
        let states = [1, 100 << 20, 5 << 30].map(|free| disk(&Seen::Known(free)).state);
        assert_eq!(states, [State::Fail, State::Warn, State::Ok]);
        assert_eq!(disk(&Seen::Unknown("remote".to_owned())).state, State::Warn);
    }

    #[tokio::test]
    async fn an_engine_over_tcp_is_refused_with_the_reason() {
        let findings = look(Some("tcp://127.0.0.1:1")).await;
        assert_eq!(findings[0].state, State::Fail);
        assert!(
            findings
                .iter()
                .any(|finding| finding.check == "engine port" && finding.state == State::Warn)
        );
    }

    #[test]
    fn a_socket_open_to_everybody_is_said() {
        let path =
            std::env::temp_dir().join(format!("sternway-doctor-{}.sock", std::process::id()));
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        for (mode, state) in [(0o666, State::Warn), (0o660, State::Ok)] {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))
                .unwrap();
            assert_eq!(rights(&path).unwrap().state, state);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(rights(&path).is_none());
    }
}
