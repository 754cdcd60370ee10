//! HAProxy, by its runtime API on a unix socket: one connection for each command. The address of a server changes
//! at once for new requests; those under way finish at the former one, and are counted there.

mod file;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use domain::{
    front::{FrontLook, FrontServer},
    seen::Seen,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{Driver, Holds, LIMIT, Trouble};
use crate::fetch::plain;

/// Most of an answer that is read: a thousand servers take 100 KiB.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Most of a list of sessions that is read, about 5 000 of them.
const SESSIONS_BYTES_MAX: u64 = 8 << 20;
/// Longest answer that is repeated to people.
const SAID_CHARS_MAX: usize = 160;
/// `srv_op_state` of a server that takes no traffic because its checks fail.
const STOPPED: u32 = 0;
/// How often the connections to a former address are let go of, and the pause before each time: only those that no
/// request is on at that moment go.
const RELEASES: u32 = 8;
const RELEASE_PAUSE: Duration = Duration::from_millis(10);
/// Without it no socket can be made for an IPv4 address that is written as an IPv6 one.
const IPV6_OF_THE_KERNEL: &str = "/proc/net/if_inet6";
/// What HAProxy says of an address that it took, or already had.
const TAKEN: [&str; 2] = ["changed from", "no need to change"];
/// The line that `show servers state` and its columns begin with.
const COLUMNS: &str = "# be_id ";

pub(super) struct Haproxy<'a> {
    socket: &'a str,
    backend: &'a str,
    file: Option<&'a str>,
}

/// One line of `show servers state`.
#[derive(Debug, PartialEq, Eq)]
struct State {
    address: Option<SocketAddr>,
    op: u32,
    admin: u32,
}

impl<'a> Haproxy<'a> {
    pub(super) fn new(socket: &'a str, backend: &'a str, file: Option<&'a str>) -> Self {
        Self {
            socket,
            backend,
            file,
        }
    }

    /// The answer to one command.
    async fn ask(&self, command: &str, bytes_max: u64) -> Result<String, Trouble> {
        let unreachable = |why: &str| {
            Trouble::Unreachable(format!("HAProxy does not answer at {}: {why}", self.socket))
        };
        let answer = tokio::time::timeout(LIMIT, self.converse(command, bytes_max + 1)).await;
        let answer = answer
            .map_err(|_| unreachable(&format!("nothing within {} s", LIMIT.as_secs())))?
            .map_err(|error| unreachable(&error.kind().to_string()))?;
        if answer.len() as u64 > bytes_max {
            let words: String = command.chars().take(40).collect();
            let said = format!(
                "HAProxy answers `{words}` with more than {} MiB",
                bytes_max >> 20
            );
            return Err(Trouble::Refused(said));
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    async fn converse(&self, command: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(self.socket).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(bytes_max).read_to_end(&mut answer).await?;
        if answer.is_empty() {
            // Even a command without an answer ends with an empty line.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }

    async fn states(&self) -> Result<BTreeMap<String, State>, Trouble> {
        let command = format!("show servers state {}", self.backend);
        let answer = self.ask(&command, ANSWER_BYTES_MAX).await?;
        states(&answer, self.backend).map_err(Trouble::Refused)
    }

    /// A user of a lower level may look and not change: better known before anything is touched.
    async fn must_be_admin(&self) -> Result<(), Trouble> {
        let level = self.ask("show cli level", ANSWER_BYTES_MAX).await?;
        if level.trim() == "admin" {
            return Ok(());
        }
        Err(Trouble::Refused(format!(
            "the socket {} is of level `{}`; HAProxy's `stats socket` line needs `level admin`",
            self.socket,
            plain(level.trim(), SAID_CHARS_MAX)
        )))
    }

    async fn sessions(&self) -> Seen<BTreeMap<SocketAddr, u32>> {
        match self.ask("show sess all", SESSIONS_BYTES_MAX).await {
            Ok(answer) => Seen::Known(sessions(&answer, self.backend)),
            Err(trouble) => Seen::Unknown(trouble.to_string()),
        }
    }

    /// Connections to a former address that a request was on at the change go back to HAProxy's pool when it is done,
    /// and clients that keep theirs are sent over them for as long as they last: to the former container. Each change
    /// of the address empties the pool, so the same address is written in its other form and back.
    async fn release(&self, name: &str, to: SocketAddr, holds: Holds<'_>) -> Result<(), Trouble> {
        let speaks_it = tokio::fs::try_exists(IPV6_OF_THE_KERNEL).await;
        let (IpAddr::V4(address), Ok(true)) = (to.ip(), speaks_it) else {
            return Ok(());
        };
        let other = SocketAddr::new(address.to_ipv6_mapped().into(), to.port());
        let there_and_back = format!("{}; {}", set_address(name, other), set_address(name, to));
        for _ in 0..RELEASES {
            tokio::time::sleep(RELEASE_PAUSE).await;
            self.order(&there_and_back, &TAKEN, holds).await?;
        }
        Ok(())
    }

    /// A command whose answer is empty or one of `fine` when it was obeyed.
    async fn order(&self, command: &str, fine: &[&str], holds: Holds<'_>) -> Result<(), Trouble> {
        if !holds() {
            return Err(Trouble::Fenced);
        }
        let answer = self.ask(command, ANSWER_BYTES_MAX).await?;
        let answer = answer.trim();
        if answer.is_empty() || fine.iter().any(|fine| answer.contains(fine)) {
            return Ok(());
        }
        Err(Trouble::Refused(format!(
            "HAProxy refuses `{command}`: {}",
            plain(answer, SAID_CHARS_MAX)
        )))
    }
}

impl Driver for Haproxy<'_> {
    async fn look(&self, servers: &[String], sessions: bool) -> Result<FrontLook, Trouble> {
        self.must_be_admin().await?;
        let states = self.states().await?;
        let sessions = if sessions {
            self.sessions().await
        } else {
            Seen::Unknown("they were not asked for".to_owned())
        };
        let filed = match self.file {
            Some(file) => {
                let found = file::read(Path::new(file), self.backend, servers).await;
                Some(found.map_err(|error| Trouble::File(error.to_string()))?)
            }
            None => None,
        };
        let server = |name: &String| {
            let state = states.get(name)?;
            let server = FrontServer {
                address: state.address,
                takes: state.admin == 0,
                up: state.op != STOPPED,
                filed: filed.as_ref().and_then(|filed| filed.get(name)).cloned(),
                sessions: sessions.clone(),
            };
            Some((name.clone(), server))
        };
        Ok(FrontLook {
            servers: servers.iter().filter_map(server).collect(),
        })
    }

    async fn point(&self, server: &str, to: SocketAddr, holds: Holds<'_>) -> Result<(), Trouble> {
        let name = format!("{}/{server}", self.backend);
        let before = self.states().await?.get(server).and_then(|now| now.address);
        self.order(&set_address(&name, to), &TAKEN, holds).await?;
        self.order(&format!("set server {name} state ready"), &[], holds)
            .await?;
        // Its checks were of the former address and may have failed; ours were of this one and are green.
        let states = self.states().await?;
        if states.get(server).is_some_and(|state| state.op == STOPPED) {
            self.order(&format!("set server {name} health up"), &[], holds)
                .await?;
        }
        if before != Some(to) {
            self.release(&name, to, holds).await?;
        }
        match self.file {
            Some(file) => file::rewrite(Path::new(file), self.backend, server, to, holds).await,
            None => Ok(()),
        }
    }
}

fn set_address(name: &str, to: SocketAddr) -> String {
    format!("set server {name} addr {} port {}", to.ip(), to.port())
}

/// The servers of a backend, by name. Columns are found by their titles: newer versions add some.
fn states(answer: &str, backend: &str) -> Result<BTreeMap<String, State>, String> {
    let Some(titles) = answer.lines().find(|line| line.starts_with(COLUMNS)) else {
        let said = plain(answer.trim(), SAID_CHARS_MAX);
        return Err(format!(
            "HAProxy does not show the servers of backend `{backend}`: {said}"
        ));
    };
    let titles: Vec<&str> = titles.trim_start_matches("# ").split(' ').collect();
    let mut found = BTreeMap::new();
    for line in answer.lines() {
        let cells: Vec<&str> = line.split(' ').collect();
        let cell = |title: &str| {
            let at = titles.iter().position(|known| *known == title)?;
            cells.get(at).copied()
        };
        if line.starts_with('#') || cell("be_name") != Some(backend) {
            continue;
        }
        let numbers = cell("srv_op_state")
            .and_then(|op| op.parse().ok())
            .zip(cell("srv_admin_state").and_then(|admin| admin.parse().ok()));
        let (Some(name), Some((op, admin))) = (cell("srv_name"), numbers) else {
            return Err(format!(
                "a line of HAProxy's servers can not be read: {}",
                plain(line, SAID_CHARS_MAX)
            ));
        };
        let address = cell("srv_addr")
            .and_then(|address| address.parse::<IpAddr>().ok())
            .zip(cell("srv_port").and_then(|port| port.parse().ok()))
            .map(|(address, port)| SocketAddr::new(address, port));
        found.insert(name.to_owned(), State { address, op, admin });
    }
    Ok(found)
}

/// How many sessions of a backend there are at each address.
fn sessions(answer: &str, backend: &str) -> BTreeMap<SocketAddr, u32> {
    let (mut found, mut ours) = (BTreeMap::new(), false);
    for line in answer.lines() {
        let line = line.trim_start();
        if let Some(rest) = line.strip_prefix("backend=") {
            ours = rest.split(' ').next() == Some(backend);
        } else if line.starts_with("server=") && ours {
            let address = line.split(' ').find_map(|word| word.strip_prefix("addr="));
            if let Some(address) = address.and_then(address_of) {
                *found.entry(address).or_insert(0) += 1;
            }
            ours = false;
        }
    }
    found
}

/// `::1:8080` is how HAProxy writes an IPv6 address and its port.
fn address_of(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATES: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
        srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
        srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord\n\
        3 be 1 s1 127.0.0.1 2 0 1 1 1 6 3 4 6 0 0 0 - 9001 -\n\
        3 be 2 s2 ::1 0 8 1 1 1 6 3 4 6 0 0 0 - 9002 -\n\
        3 be 3 s3 - 2 0 1 1 1 6 3 4 6 0 0 0 name.local 9002 -\n\n";

    #[test]
    fn servers_are_read_by_the_titles_of_their_columns() {
        let found = states(STATES, "be").unwrap();
        let state = |address: Option<&str>, op, admin| State {
            address: address.map(|address| address.parse().unwrap()),
            op,
            admin,
        };
        assert_eq!(found["s1"], state(Some("127.0.0.1:9001"), 2, 0));
        assert_eq!(found["s2"], state(Some("[::1]:9002"), 0, 8));
        assert_eq!(found["s3"], state(None, 2, 0));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn what_is_no_list_of_servers_is_said() {
        let said = states("Can't find backend.\n", "be").unwrap_err();
        assert!(said.contains("backend `be`: Can't find backend."), "{said}");
        let torn = STATES.replace("127.0.0.1 2 0", "127.0.0.1 x 0");
        assert!(states(&torn, "be").is_err());
        assert!(states("", "be").is_err());
    }

    #[test]
    fn sessions_are_counted_where_they_are() {
        let answer = "0x55: [22/Nov/2026] id=3 proto=tcpv4 source=127.0.0.1:51016\n  \
            frontend=fe (id=2 mode=http), listener=? (id=1) addr=127.0.0.1:8000\n  \
            backend=be (id=3 mode=http) addr=127.0.0.1:53948\n  server=s1 (id=1) addr=127.0.0.1:9001\n\
            0x56: [22/Nov/2026] id=4\n  backend=be (id=3 mode=http)\n  server=s1 (id=1) addr=::1:9001\n\
            0x57: [22/Nov/2026] id=5\n  backend=other (id=4 mode=http)\n  server=s1 (id=1) addr=127.0.0.1:9001\n\
            0x58: [22/Nov/2026] id=6\n  backend=<NONE> (id=-1 mode=-)\n  server=<NONE> (id=-1)\n\
            0x59: [22/Nov/2026] id=7\n  backend=be (id=3 mode=http)\n  server=<NONE> (id=-1)\n";
        let expected = [("127.0.0.1:9001", 1), ("[::1]:9001", 1)];
        let expected = expected.map(|(address, count)| (address.parse().unwrap(), count));
        assert_eq!(sessions(answer, "be"), BTreeMap::from(expected));
    }

    proptest! {
        #![proptest_config(crate::tries())]

        #[test]
        fn whatever_haproxy_answers_is_read_or_told(
            pieces in prop::collection::vec(prop::sample::select(vec![
                STATES, COLUMNS, "# ", "be_name srv_name", "\n", " ", "3 be 1 s1 127.0.0.1 2 0", "-", "\0", "backend=be ", "server=s1 ",
                "addr=::1:8080", "addr=1.2.3.4:", "addr=:", "addr=[::1", "99999999999", "\r\n", "é",
            ]), 0..10),
            noise in "\\PC{0,20}",
        ) {
            let answer = pieces.concat() + &noise;
            match states(&answer, "be") {
                Ok(found) => prop_assert!(found.len() <= answer.lines().count()),
                Err(said) => prop_assert!(!said.is_empty() && said.chars().count() < 1000),
            }
            let counted: u32 = sessions(&answer, "be").values().sum();
            prop_assert!(counted as usize <= answer.lines().count());
        }
    }
}
