//! On the real thing: each test has its own state folder and its own server.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Signal, geteuid};

use super::{
    EmbeddedPostgres, PostgresError, PostgresFolder, account, binaries,
    launch::{Handle, Launcher},
    postmaster::{self, Found},
    settings,
};
use crate::{
    state_folder::{HostLock, StateFolder},
    test_folder::TestFolder,
};

mod killed;
mod refused;

/// Far beyond what anything here takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A state folder under a lock.
struct House {
    place: TestFolder,
    lock: HostLock,
}

impl House {
    fn new() -> Self {
        let place = TestFolder::new();
        let lock = StateFolder::open(&place.path().join("s"))
            .unwrap()
            .lock()
            .unwrap();
        Self { place, lock }
    }

    fn folder(&self) -> PostgresFolder {
        PostgresFolder::of(&self.lock)
    }

    fn start(&self) -> EmbeddedPostgres {
        EmbeddedPostgres::start(&self.folder()).unwrap()
    }
}

fn installed() -> Vec<super::Binaries> {
    binaries::find(&binaries::search_folders())
}

fn program(name: &str) -> PathBuf {
    installed()
        .first()
        .expect("the tests need Debian's package `postgresql`")
        .folder
        .join(name)
}

fn query(url: &str, sql: &str) -> Result<String, String> {
    let answer = Command::new(program("psql"))
        .args(["-X", "-tA", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .output()
        .unwrap();
    if answer.status.success() {
        Ok(String::from_utf8(answer.stdout).unwrap().trim().to_owned())
    } else {
        Err(String::from_utf8(answer.stderr).unwrap())
    }
}

/// `shut down` only after a clean stop.
fn cluster_state(folder: &PostgresFolder) -> String {
    let answer = Command::new(program("pg_controldata"))
        .arg(folder.data())
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let text = String::from_utf8(answer.stdout).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Database cluster state:"));
    line.expect("pg_controldata says the state")
        .trim()
        .to_owned()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "never saw: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_first_start_makes_a_durable_private_database() {
    let house = House::new();
    let postgres = house.start();
    let url = postgres.url();
    assert!(!postgres.adopted());
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(
            query(&url, &format!("show {setting}")).unwrap(),
            "on",
            "{setting}"
        );
    }
    assert_eq!(query(&url, "show listen_addresses").unwrap(), "");
    assert_eq!(query(&url, "show server_encoding").unwrap(), "UTF8");
    assert_eq!(
        query(
            &url,
            "select datcollate from pg_database where datname = current_database()"
        )
        .unwrap(),
        "C"
    );
    let who = "select current_user, current_database(), rolsuper, pg_get_userbyid(datdba) from pg_roles, pg_database \
               where rolname = current_user and datname = current_database()";
    assert_eq!(query(&url, who).unwrap(), "sternway|sternway|f|sternway");
    postgres.stop().unwrap();
    assert_eq!(cluster_state(&house.folder()), "shut down");
}

#[test]
fn only_its_own_folders_belong_to_the_account() {
    let house = House::new();
    let postgres = house.start();
    let look = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.uid(), found.mode() & 0o777)
    };
    let own = geteuid().as_raw();
    let account = account::choose(&house.folder().data()).unwrap();
    let (owner, passage) = account.map_or((own, 0o700), |account| (account.uid, 0o710));
    assert_eq!(look(house.lock.folder().path()), (own, passage));
    assert_eq!(
        look(&house.lock.folder().path().join("postgres")),
        (own, passage)
    );
    assert_eq!(look(&house.folder().data()), (owner, 0o700));
    assert_eq!(look(&house.folder().sockets()), (owner, 0o700));
    postgres.stop().unwrap();
}

#[test]
fn the_environment_with_its_secrets_stays_with_us() {
    let house = House::new();
    let postgres = house.start();
    let pid = postgres.pid().unwrap();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(
        environment.contains("LC_ALL=C") && !environment.contains("CARGO"),
        "{environment}"
    );
    postgres.stop().unwrap();
}

#[test]
fn data_survives_and_open_connections_do_not_delay_the_stop() {
    let house = House::new();
    let postgres = house.start();
    let url = postgres.url();
    query(&url, "create table kept as select 42 as n").unwrap();
    let mut idle = Command::new(program("psql"))
        .args(["-X", "-d", &url])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the idle connection", || {
        (query(
            &url,
            "select count(*) from pg_stat_activity where application_name = 'psql'",
        )
        .unwrap()
            == "2")
            .then_some(())
    });
    let since = Instant::now();
    postgres.stop().unwrap();
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
    drop(idle.stdin.take());
    idle.wait().unwrap();

    let again = house.start();
    assert_eq!(query(&again.url(), "select n from kept").unwrap(), "42");
    again.stop().unwrap();
}

#[test]
fn without_root_it_runs_as_ourselves() {
    if !geteuid().is_root() {
        // Then all the other tests show it.
        return;
    }
    let place = TestFolder::new();
    let nobody = 65534;
    chown(place.path(), Some(nobody), Some(nobody)).unwrap();
    let mut helper = killed::helper(
        place.path(),
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ],
        "set",
    );
    let pid = killed::ready(place.path(), &mut helper);
    let owner = fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    assert_eq!(owner, nobody);
    let server = Handle::of_pid(pid).unwrap().unwrap();
    helper.kill().unwrap();
    helper.wait().unwrap();
    assert!(server.ended_within(Some(PATIENCE)));
}

#[test]
fn the_url_is_for_any_path() {
    let address = super::Address {
        socket_folder: "/tmp/a b&c/run".into(),
        port: 5432,
        user: "sternway",
        database: "sternway",
    };
    assert_eq!(
        address.url(),
        "postgres://sternway@localhost:5432/sternway?host=%2Ftmp%2Fa%20b%26c%2Frun&sslmode=disable"
    );
}

#[test]
fn the_check_for_doctor_needs_no_state_folder() {
    let check = super::check(Path::new("/nonexistent"));
    assert_eq!(check.chosen.unwrap(), check.found[0]);
    assert!(!check.runs_as.unwrap().is_empty());
}

/// Not a test: `cargo test -p sternway measure -- --ignored --nocapture` prints what a start costs.
#[test]
#[ignore = "prints figures; proves nothing"]
fn measure() {
    let house = House::new();
    for round in ["first", "again", "again", "again"] {
        let postgres = house.start();
        let pid = postgres.pid().unwrap();
        let pss: u64 = family(pid).iter().map(|pid| pss_kb(*pid)).sum();
        let ready = postgres.ready_after();
        let since = Instant::now();
        postgres.stop().unwrap();
        eprintln!(
            "{round}: ready after {ready:?}, {pss} kB Pss, stopped after {:?}",
            since.elapsed()
        );
    }
}

fn family(pid: i32) -> Vec<i32> {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children
        .split_whitespace()
        .map(|child| child.parse().unwrap());
    std::iter::once(pid).chain(children).collect()
}

fn pss_kb(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
