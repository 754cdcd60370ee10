//! A port that a balancer of ours holds in a component's place: everything that was decided, and the bytes that follow
//! from it. The override file's head says it all, so an edit by hand shows and the way back needs nothing else.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Balancer, Front};
use crate::{
    compose::{env_file, override_file::difference, place::LIST},
    name::{ComponentName, VariableName},
    specification::Published,
};

/// The folder of ours in a project.
pub const FOLDER: &str = "sternway-front";
/// The balancer's configuration in it, below the component's name.
pub const CONFIGURATION: &str = "haproxy.cfg";
/// The folder of its socket beside that: the only one that it may write to.
pub const RUN: &str = "run";
/// Its socket there.
const SOCKET: &str = "admin.sock";
/// How every override file of ours begins.
const FIRST: &str = "# Written by Sternway: a balancer on the port of a service, so that no rollback keeps clients waiting.\n\
                     # `sternway front release` puts everything back. Do not edit it.\n";
/// Before what it was made from.
const RECORD: &str = "# front ";
/// Connections that it has at a time, two for each client, where the engine allows as many: it takes its memory by that.
const FILES_MAX: u32 = 65_536;
/// How long it waits for clients when it is stopped.
const LEAVE_S: u32 = 5;
/// Requests and event streams under way at a former container are waited for this long.
const DRAIN_S: u32 = 30;

/// What a balancer understands of what it passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// HTTP in clear: each request goes to where its clients are sent at that moment.
    Http,
    /// Anything: each connection does.
    Tcp,
}

/// What was decided when a component's port was given to a balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopted {
    /// The component.
    pub component: ComponentName,
    /// HAProxy's image.
    pub image: String,
    /// The port, as the component published it.
    pub port: Published,
    /// What goes through it.
    pub speaks: Speaks,
    /// The project's networks that the component is on, by their names in its files; none where it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// The project's folder.
    pub folder: String,
    /// Whom the balancer runs as.
    pub user: u32,
    /// The file of the site's own in which the port stood, below the folder.
    pub file: String,
    /// Our override file, below the folder.
    pub name: String,
    /// The list of files that names ours; none where Compose finds it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
}

/// The list of a project's files, as it was and as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// With ours.
    pub with: String,
    /// What it was; none when there was none.
    pub without: Option<String>,
    /// Whether the environment file was not there.
    pub absent: bool,
    /// Whether its last line had no end.
    pub open: bool,
}

impl Adopted {
    /// The service that the balancer is.
    #[must_use]
    pub fn service(&self) -> String {
        format!("{}-front", self.component)
    }

    /// What it calls its one server.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}-1", self.component)
    }

    /// The folder of ours for this component, below the project's.
    #[must_use]
    pub fn below(&self) -> String {
        format!("{FOLDER}/{}", self.component)
    }

    /// Its configuration file.
    #[must_use]
    pub fn configuration_path(&self) -> String {
        format!("{}/{}/{CONFIGURATION}", self.folder, self.below())
    }

    /// Its socket.
    #[must_use]
    pub fn socket_path(&self) -> String {
        format!("{}/{}/{RUN}/{SOCKET}", self.folder, self.below())
    }

    /// What the application's definition says of it.
    #[must_use]
    pub fn front(&self, two_versions: bool) -> Front {
        Front {
            balancer: Balancer::Haproxy {
                socket: self.socket_path(),
                backend: self.component.to_string(),
                file: Some(self.configuration_path()),
            },
            servers: vec![self.server()],
            port: self.port.port,
            two_versions,
            drain_s: DRAIN_S,
            follow: true,
        }
    }

    /// Whether a definition's front is this one.
    #[must_use]
    pub fn is(&self, front: &Front) -> bool {
        let own = self.front(front.two_versions);
        own.balancer == front.balancer && own.servers == front.servers
    }

    /// Its configuration, with clients sent to `to`.
    #[must_use]
    pub fn configuration(&self, to: SocketAddr) -> String {
        let (name, server, port) = (&self.component, self.server(), self.port.port);
        let (mode, more, pool) = match self.speaks {
            Speaks::Http => ("http", "    option forwardfor\n", " pool-max-conn 0"),
            Speaks::Tcp => ("tcp", "", ""),
        };
        format!(
            "# Written by Sternway: the balancer on the port of {name}. The address in its server's line is kept true.\n\
             global\n    stats socket /run/sternway/{SOCKET} mode 600 level admin\n    fd-hard-limit {FILES_MAX}\n    \
             hard-stop-after {LEAVE_S}s\ndefaults\n    mode {mode}\n    timeout connect 5s\n    timeout client 1h\n    \
             timeout server 1h\n    timeout tunnel 1h\n{more}frontend {name}\n    bind :{port}\n    \
             default_backend {name}\nbackend {name}\n    server {server} {to}{pool}\n"
        )
    }

    /// Our override file: a function of what was decided.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let record = serde_json::to_string(self).unwrap_or_default();
        let seal = seal(&record);
        let home = format!("{}/{}", self.folder, self.below());
        let mut text = format!(
            "{FIRST}{RECORD}{record}\n# seal {seal}\nservices:\n  \"{}\":\n    image: \"{}\"\n    user: \"{}:{}\"\n    \
             command: [\"haproxy\", \"-f\", \"/etc/sternway/{CONFIGURATION}\"]\n    volumes:\n      \
             - \"{home}:/etc/sternway:ro\"\n      - \"{home}/{RUN}:/run/sternway\"\n    ports: [\"{}\"]\n",
            self.service(),
            self.image,
            self.user,
            self.user,
            as_compose_writes(&self.port),
        );
        if !self.networks.is_empty() {
            text.push_str("    networks:\n");
            for network in &self.networks {
                text.push_str(&format!("      - \"{network}\"\n"));
            }
        }
        text.push_str(
            "    restart: unless-stopped\n    read_only: true\n    cap_drop: [\"ALL\"]\n    \
             security_opt: [\"no-new-privileges:true\"]\n",
        );
        text.into_bytes()
    }

    /// The environment file with the list that names ours. None when there is no list to change, or it can not be.
    #[must_use]
    pub fn listed(&self, env: Option<&[u8]>) -> Option<Vec<u8>> {
        let listing = self.listing.as_ref()?;
        env_file::with_value(env.unwrap_or_default(), &list()?, &listing.with)
    }

    /// The environment file as it was; the inner none stands for no file. Whatever else was edited stays.
    ///
    /// # Errors
    /// When the list is another one by now, as the rest of a sentence.
    pub fn unlisted(&self, env: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        let (Some(listing), Some(content), Some(list)) = (&self.listing, env, list()) else {
            return Ok(env.map(<[u8]>::to_vec));
        };
        let says = env_file::value(content, &list);
        if says.as_deref() != Some(listing.with.as_bytes()) {
            let as_before = says.as_deref() == listing.without.as_deref().map(str::as_bytes);
            return match as_before {
                true => Ok(Some(content.to_vec())),
                false => Err(format!("{LIST} is not what was written there any more")),
            };
        }
        if let Some(without) = &listing.without {
            return env_file::with_value(content, &list, without)
                .map(Some)
                .ok_or_else(|| format!("{LIST} can not be put back"));
        }
        let own = format!("{LIST}={}", listing.with);
        let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
        let Some(at) = lines
            .iter()
            .rposition(|line| line.trim_ascii_end() == own.as_bytes())
        else {
            return Err(format!("the line of {LIST} was edited by hand"));
        };
        let last = at + 1 == lines.len();
        let mut former: Vec<u8> = [&lines[..at], &lines[at + 1..]].concat().concat();
        if last && listing.open {
            former.truncate(former.trim_ascii_end().len());
        }
        Ok((!(listing.absent && former.is_empty())).then_some(former))
    }
}

/// Whether a file is an override file of this kind, edited since or not.
#[must_use]
pub fn is_ours(content: &[u8]) -> bool {
    let first = FIRST.lines().next().unwrap_or_default().as_bytes();
    content.starts_with(first)
}

/// What a file of ours was made from.
///
/// # Errors
/// When it is not ours, or what was edited by hand since, as the rest of a sentence.
pub fn read(content: &[u8]) -> Result<Adopted, String> {
    if !is_ours(content) {
        return Err("it is not Sternway's".to_owned());
    }
    let text = String::from_utf8_lossy(content);
    let record = text.lines().find_map(|line| line.strip_prefix(RECORD));
    let adopted: Adopted = record
        .and_then(|record| serde_json::from_str(record.trim_end()).ok())
        .ok_or("the line that says what it was made from was edited by hand")?;
    let written = adopted.content();
    if written == content {
        return Ok(adopted);
    }
    let differs = difference(&written, content);
    Err(format!("it was edited by hand: {differs}"))
}

/// `127.0.0.1:8080:80`.
fn as_compose_writes(port: &Published) -> String {
    let host = port.host_port.unwrap_or_default();
    match port.host_ip.as_deref() {
        Some(ip) if ip.contains(':') => format!("[{ip}]:{host}:{}", port.port),
        Some(ip) => format!("{ip}:{host}:{}", port.port),
        None => format!("{host}:{}", port.port),
    }
}

fn list() -> Option<VariableName> {
    LIST.parse().ok()
}

/// An edit of the record shows, whatever of it is in the file besides.
fn seal(record: &str) -> String {
    let digest = Sha256::digest(record.as_bytes());
    let half = digest.iter().take(16);
    half.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adopted(listing: Option<Listing>) -> Adopted {
        Adopted {
            component: "api".parse().unwrap(),
            image: "haproxy:lts".to_owned(),
            port: Published {
                port: 8080,
                protocol: "tcp".to_owned(),
                host_ip: Some("127.0.0.1".to_owned()),
                host_port: Some(18080),
            },
            speaks: Speaks::Http,
            networks: Vec::new(),
            folder: "/srv/shop".to_owned(),
            user: 65532,
            file: "compose.yml".to_owned(),
            name: "docker-compose.override.yml".to_owned(),
            listing,
        }
    }

    #[test]
    fn the_file_says_what_it_was_made_from_and_an_edit_shows() {
        let mut adopted = adopted(None);
        adopted.networks = vec!["back".to_owned()];
        let content = adopted.content();
        assert_eq!(read(&content), Ok(adopted));
        let text = String::from_utf8(content.clone()).unwrap();
        for line in [
            "  \"api-front\":\n    image: \"haproxy:lts\"\n    user: \"65532:65532\"\n",
            "      - \"/srv/shop/sternway-front/api/run:/run/sternway\"\n    ports: [\"127.0.0.1:18080:8080\"]\n    networks:\n      - \"back\"\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let edited = text.replace("restart: unless-stopped", "restart: always");
        let said = read(edited.as_bytes()).unwrap_err();
        assert_eq!(said, "it was edited by hand: api-front.restart differs");
        assert!(read(b"services: {}\n").is_err());
        for at in 0..content.len() {
            let mut other = content.clone();
            other[at] ^= 1;
            assert!(read(&other).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_balancer_is_told_where_clients_go_and_the_definition_how_it_is_reached() {
        let mut adopted = adopted(None);
        let text = adopted.configuration("172.18.0.2:8080".parse().unwrap());
        assert!(
            text.contains("    bind :8080\n    default_backend api\nbackend api\n    server api-1 172.18.0.2:8080 pool-max-conn 0\n"),
            "{text}"
        );
        assert!(
            text.contains("mode http\n") && text.contains("level admin\n"),
            "{text}"
        );
        let front = adopted.front(true);
        assert!(adopted.is(&front) && front.follow && front.two_versions);
        let mut bad = Vec::new();
        front.check("front", &mut bad);
        assert_eq!(bad, []);
        assert!(front.takes_over(&adopted.port));
        adopted.speaks = Speaks::Tcp;
        let text = adopted.configuration("172.18.0.2:8080".parse().unwrap());
        assert!(
            text.contains("mode tcp\n") && !text.contains("forwardfor"),
            "{text}"
        );
        adopted.port.port = 80;
        assert!(!front.takes_over(&adopted.port));
    }

    #[test]
    fn the_list_comes_and_goes_byte_for_byte() {
        for env in [
            None,
            Some(""),
            Some("A=1\n"),
            Some("A=1"),
            Some("COMPOSE_FILE='a.yml:b.yml'\nA=1"),
        ] {
            let has = env.is_some_and(|env| env.contains("COMPOSE_FILE"));
            let adopted = adopted(Some(Listing {
                with: "a.yml:b.yml:ours.yml".to_owned(),
                without: has.then(|| "a.yml:b.yml".to_owned()),
                absent: env.is_none(),
                open: env.is_some_and(|env| !env.is_empty() && !env.ends_with('\n')),
            }));
            let env = env.map(str::as_bytes);
            let listed = adopted.listed(env).unwrap();
            assert_eq!(adopted.listed(Some(&listed)), Some(listed.clone()));
            let former = env.map(<[u8]>::to_vec);
            assert_eq!(adopted.unlisted(Some(&listed)), Ok(former.clone()));
            assert_eq!(adopted.unlisted(env), Ok(former));
            let later = [&listed[..], b"B=2\n"].concat();
            let back = adopted.unlisted(Some(&later)).unwrap().unwrap();
            assert!(!String::from_utf8_lossy(&back).contains("ours.yml"));
            let other = String::from_utf8_lossy(&listed).replace("ours", "mine");
            assert!(adopted.unlisted(Some(other.as_bytes())).is_err());
        }
    }
}
