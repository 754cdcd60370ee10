use super::*;
use crate::test_folder::TestFolder;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_new_folder_is_private_and_its_key_is_made_once() {
    let place = TestFolder::new();
    let state = StateFolder::open(&place.path().join("a/b")).unwrap();
    assert_eq!(mode(state.path()), 0o700);
    let lock = state.lock().unwrap();
    let made = lock.key().unwrap();
    assert!(made.fresh);
    assert_eq!(mode(&state.path().join("key")), 0o600);
    let (host, bytes) = (lock.host_id(), *made.bytes());
    drop(lock);

    let again = StateFolder::open(state.path()).unwrap().lock().unwrap();
    let found = again.key().unwrap();
    assert!(!found.fresh);
    assert_eq!((again.host_id(), *found.bytes()), (host, bytes));
}

#[test]
fn the_key_is_never_printed() {
    let key = SecretKey {
        bytes: [0xab; KEY_BYTES],
        fresh: false,
    };
    assert_eq!(format!("{key:?}"), "SecretKey(fresh: false)");
}

#[test]
fn a_second_server_is_told_the_pid_of_the_first() {
    let place = TestFolder::new();
    let state = StateFolder::open(&place.path().join("s")).unwrap();
    let _held = state.lock().unwrap();
    let refusal = state.lock().unwrap_err().to_string();
    assert!(
        refusal.contains(&format!("(pid {})", std::process::id())),
        "{refusal}"
    );
    assert!(refusal.contains("stop it first"), "{refusal}");
}

#[test]
fn a_copied_folder_is_another_host() {
    let place = TestFolder::new();
    let state = StateFolder::open(&place.path().join("one")).unwrap();
    let first = state.lock().unwrap();
    let copy = place.path().join("two");
    fs::create_dir(&copy).unwrap();
    fs::copy(state.path().join("host_id"), copy.join("host_id")).unwrap();
    let second = StateFolder::open(&copy).unwrap().lock().unwrap();
    assert_ne!(first.host_id(), second.host_id());
}

/// A disk that was cloned has the same inodes.
#[test]
fn a_folder_on_another_machine_is_another_host() {
    let place = TestFolder::new();
    let state = StateFolder::open(&place.path().join("s")).unwrap();
    let here = host_id::of(state.path(), "one").unwrap();
    assert_eq!(host_id::of(state.path(), "one").unwrap(), here);
    let there = host_id::of(state.path(), "two").unwrap();
    assert_ne!(there, here);
    assert_eq!(host_id::of(state.path(), "two").unwrap(), there);
}

#[test]
fn a_host_id_of_before_stays_and_learns_its_machine() {
    let place = TestFolder::new();
    let state = StateFolder::open(&place.path().join("s")).unwrap();
    let path = state.path().join("host_id");
    let id = Uuid::now_v7();
    let file = File::create(&path).unwrap();
    fs::write(&path, format!("{id} {}\n", file.metadata().unwrap().ino())).unwrap();
    assert_eq!(host_id::of(state.path(), "one").unwrap(), id);
    assert_ne!(host_id::of(state.path(), "two").unwrap(), id);
}

#[test]
fn a_damaged_key_is_said_and_left_alone() {
    let place = TestFolder::new();
    let state = StateFolder::open(&place.path().join("s")).unwrap();
    let lock = state.lock().unwrap();
    fs::write(state.path().join("key"), b"short").unwrap();
    let said = lock.key().unwrap_err().to_string();
    assert!(said.contains("it has 5 bytes, not 32"), "{said}");
    assert_eq!(fs::read(state.path().join("key")).unwrap(), b"short");
}

#[test]
fn servers_that_share_a_key_file_agree_on_one_key() {
    let place = TestFolder::new();
    let shared = place.path().join("shared-key");
    let starts: Vec<_> = (0..8)
        .map(|n| {
            let lock = StateFolder::open(&place.path().join(n.to_string()))
                .unwrap()
                .lock()
                .unwrap();
            let shared = shared.clone();
            std::thread::spawn(move || lock.key_at(&shared).unwrap())
        })
        .collect();
    let keys: Vec<SecretKey> = starts
        .into_iter()
        .map(|start| start.join().unwrap())
        .collect();
    assert!(keys.iter().all(|key| key.bytes() == keys[0].bytes()));
    assert_eq!(keys.iter().filter(|key| key.fresh).count(), 1);
    assert_eq!(fs::read(&shared).unwrap(), keys[0].bytes());
}

#[test]
fn a_key_that_others_could_read_is_made_private() {
    let place = TestFolder::new();
    let state = StateFolder::open(&place.path().join("s")).unwrap();
    let lock = state.lock().unwrap();
    lock.key().unwrap();
    let path = state.path().join("key");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert!(!lock.key().unwrap().fresh);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_folder_with_other_things_is_refused_and_keeps_its_mode() {
    let place = TestFolder::new();
    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, Permissions::from_mode(0o755)).unwrap();
    fs::write(home.join("thesis.txt"), "x").unwrap();
    let said = StateFolder::open(&home).unwrap_err().to_string();
    assert!(said.contains("thesis.txt"), "{said}");
    assert_eq!(mode(&home), 0o755);
}

#[test]
fn an_empty_open_folder_such_as_a_volume_becomes_private() {
    let place = TestFolder::new();
    let volume = place.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(&volume, Permissions::from_mode(0o755)).unwrap();
    StateFolder::open(&volume).unwrap();
    assert_eq!(mode(&volume), 0o700);
}

#[test]
fn the_place_follows_the_setting_then_root_then_xdg_then_home() {
    let everything = Surroundings {
        state_dir: Some("/set".into()),
        xdg_state_home: Some("/xdg".into()),
        home: Some("/people/ann".into()),
        root: true,
    };
    assert_eq!(everything.locate().unwrap(), Path::new("/set"));
    let root = Surroundings {
        state_dir: None,
        ..everything
    };
    assert_eq!(root.locate().unwrap(), Path::new("/var/lib/sternway"));
    let person = Surroundings {
        root: false,
        ..root
    };
    assert_eq!(person.locate().unwrap(), Path::new("/xdg/sternway"));
    let plain = Surroundings {
        xdg_state_home: None,
        ..person
    };
    assert_eq!(
        plain.locate().unwrap(),
        Path::new("/people/ann/.local/state/sternway")
    );
    assert!(matches!(
        Surroundings::default().locate(),
        Err(StateFolderError::Homeless)
    ));
}
