//! Somebody is killed: we, the server, or both; at any time.

use super::*;

const HELPER: &str = "postgres::tests::killed::a_server_process_that_is_killed_from_outside";
const PLACE: &str = "STERNWAY_TEST_PLACE";
const SIGNAL: &str = "STERNWAY_TEST_DEATH_SIGNAL";

/// Not a test: the process that the tests here kill.
#[test]
#[ignore = "run by the other tests of this file"]
fn a_server_process_that_is_killed_from_outside() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return;
    };
    let bare = std::env::var(SIGNAL).is_ok_and(|signal| signal == "none");
    let lock = StateFolder::open(&place.join("s")).unwrap().lock().unwrap();
    let postgres =
        EmbeddedPostgres::start_with(&PostgresFolder::of(&lock), &installed(), bare).unwrap();
    fs::write(place.join("ready.new"), postgres.pid().unwrap().to_string()).unwrap();
    fs::rename(place.join("ready.new"), place.join("ready")).unwrap();
    loop {
        std::thread::park();
    }
}

pub(super) fn helper(place: &Path, through: &[&str], signal: &str) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut words = through
        .iter()
        .map(std::ffi::OsString::from)
        .chain([own.into()]);
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .args(["--exact", HELPER, "--ignored", "--nocapture"]);
    command
        .env(PLACE, place)
        .env(SIGNAL, signal)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The postmaster's pid, when it answers.
pub(super) fn ready(place: &Path, helper: &mut Child) -> i32 {
    until("the helper's server", || {
        assert_eq!(helper.try_wait().unwrap(), None, "the helper ended");
        fs::read_to_string(place.join("ready")).ok()
    })
    .parse()
    .unwrap()
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn house_after(place: TestFolder) -> House {
    let lock = until("the dead helper's lock", || {
        StateFolder::open(&place.path().join("s"))
            .unwrap()
            .lock()
            .ok()
    });
    House { place, lock }
}

#[test]
fn kill_9_of_the_parent_stops_the_server_cleanly() {
    let place = TestFolder::new();
    let mut helper = helper(place.path(), &[], "set");
    let server = Handle::of_pid(ready(place.path(), &mut helper))
        .unwrap()
        .unwrap();
    let since = Instant::now();
    kill(&mut helper);
    assert!(server.ended_within(Some(PATIENCE)));
    eprintln!("stopped {:?} after its parent was killed", since.elapsed());
    let house = house_after(place);
    assert_eq!(cluster_state(&house.folder()), "shut down");
}

#[test]
fn a_strict_umask_does_not_lock_the_server_out() {
    let place = TestFolder::new();
    let mut helper = helper(
        place.path(),
        &["sh", "-c", "umask 077; exec \"$0\" \"$@\""],
        "set",
    );
    let server = Handle::of_pid(ready(place.path(), &mut helper))
        .unwrap()
        .unwrap();
    kill(&mut helper);
    assert!(server.ended_within(Some(PATIENCE)));
}

#[test]
fn a_start_right_after_the_kill_waits_for_the_stopping_server() {
    let place = TestFolder::new();
    let mut helper = helper(place.path(), &[], "set");
    ready(place.path(), &mut helper);
    kill(&mut helper);
    let house = house_after(place);
    let postgres = house.start();
    // Adopted on its last breath or started anew: it answers, or is replaced until it does.
    until("an answer", || query(&postgres.url(), "select 1").ok());
    postgres.stop().unwrap();
}

#[test]
fn a_server_that_outlived_us_is_adopted_and_stops_with_us() {
    let place = TestFolder::new();
    let mut helper = helper(place.path(), &[], "none");
    let pid = ready(place.path(), &mut helper);
    kill(&mut helper);
    let house = house_after(place);
    let postgres = house.start();
    assert!(postgres.adopted());
    assert_eq!(postgres.pid(), Some(pid));
    assert_eq!(query(&postgres.url(), "select 1").unwrap(), "1");
    postgres.stop().unwrap();
    assert_eq!(cluster_state(&house.folder()), "shut down");
}

#[test]
fn an_adopted_server_is_watched_over_too() {
    let place = TestFolder::new();
    let mut helper = helper(place.path(), &[], "none");
    let pid = ready(place.path(), &mut helper);
    kill(&mut helper);
    let house = house_after(place);
    let postgres = house.start();
    assert!(postgres.adopted());
    Handle::of_pid(pid).unwrap().unwrap().signal(Signal::KILL);
    until("another server", || {
        (postgres.pid() != Some(pid)).then_some(())
    });
    until("its answer", || query(&postgres.url(), "select 1").ok());
    postgres.stop().unwrap();
}

#[test]
fn a_live_server_with_unsafe_settings_is_not_adopted() {
    let house = House::new();
    house.start().stop().unwrap();
    let folder = house.folder();
    let launcher = Launcher {
        setpriv: None,
        account: account::choose(&folder.data()).unwrap(),
    };
    let mut command = launcher.command(&program("postgres"));
    let mut other = command
        .args(settings::server_arguments(&folder))
        .args(["-c", "fsync=off"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the other server", || {
        matches!(postmaster::find(&folder.data()), Ok(Found::Alive(..))).then_some(())
    });
    let reaper = std::thread::spawn(move || other.wait().unwrap());
    let postgres = house.start();
    assert!(!postgres.adopted());
    assert_eq!(query(&postgres.url(), "show fsync").unwrap(), "on");
    postgres.stop().unwrap();
    reaper.join().unwrap();
}

#[test]
fn a_killed_server_comes_back_with_its_data() {
    let house = House::new();
    let postgres = house.start();
    let url = postgres.url();
    query(&url, "create table kept as select 42 as n").unwrap();
    for _ in 0..3 {
        let pid = postgres.pid().unwrap();
        let since = Instant::now();
        Handle::of_pid(pid).unwrap().unwrap().signal(Signal::KILL);
        until("another server", || {
            (postgres.pid() != Some(pid)).then_some(())
        });
        let kept = until("its answer", || query(&url, "select n from kept").ok());
        eprintln!("answered again {:?} after the kill", since.elapsed());
        assert_eq!(kept, "42");
    }
    postgres.stop().unwrap();
    assert_eq!(cluster_state(&house.folder()), "shut down");
}

#[test]
fn a_stop_right_after_the_kill_leaves_nothing_running() {
    let house = House::new();
    let postgres = house.start();
    Handle::of_pid(postgres.pid().unwrap())
        .unwrap()
        .unwrap()
        .signal(Signal::KILL);
    postgres.stop().unwrap();
    assert!(matches!(
        postmaster::find(&house.folder().data()),
        Ok(Found::Nobody)
    ));
    let again = house.start();
    assert_eq!(query(&again.url(), "select 1").unwrap(), "1");
    again.stop().unwrap();
}

#[test]
fn a_kill_in_the_middle_of_the_first_start_leaves_no_half_database() {
    let place = TestFolder::new();
    let mut helper = helper(place.path(), &[], "set");
    let unfinished = |root: &Path| {
        let names = fs::read_dir(root.join("s/postgres"))
            .ok()?
            .flatten()
            .map(|entry| entry.path());
        names.into_iter().find(|path| path.join("base/1").is_dir())
    };
    until("a database being made", || unfinished(place.path()));
    kill(&mut helper);
    let house = house_after(place);
    assert!(!house.folder().data().exists());
    let postgres = house.start();
    assert_eq!(query(&postgres.url(), "select 1").unwrap(), "1");
    postgres.stop().unwrap();
    assert!(house.place.path().join("s/postgres/data").is_dir());
}

#[test]
fn a_pid_that_somebody_else_has_now_does_not_hinder_the_start() {
    let house = House::new();
    house.start().stop().unwrap();
    let folder = house.folder();
    let launcher = Launcher {
        setpriv: None,
        account: account::choose(&folder.data()).unwrap(),
    };
    let mut stranger = launcher
        .command(Path::new("/bin/sleep"))
        .arg("600")
        .spawn()
        .unwrap();
    // The file of a killed server, but with the stranger's pid, as after a container's restart.
    let shared_memory = "12345 99999";
    let text = format!(
        "{}\n{}\n1\n5432\n{}\n\n{shared_memory}\nready   \n",
        stranger.id(),
        folder.data().display(),
        folder.sockets().display()
    );
    fs::write(folder.data().join("postmaster.pid"), text).unwrap();
    let postgres = house.start();
    assert_eq!(query(&postgres.url(), "select 1").unwrap(), "1");
    assert_eq!(
        stranger.try_wait().unwrap(),
        None,
        "the stranger is left alone"
    );
    postgres.stop().unwrap();
    kill(&mut stranger);
}
