//! What cannot work is said at once, in words that help.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn refusal(house: &House, found: &[super::super::Binaries]) -> String {
    EmbeddedPostgres::start_with(&house.folder(), found, false)
        .unwrap_err()
        .to_string()
}

#[test]
fn missing_binaries_name_the_package() {
    let said = refusal(&House::new(), &[]);
    assert!(
        said.contains("install Debian's package `postgresql`, or set DATABASE_URL"),
        "{said}"
    );
}

#[test]
fn data_of_another_major_is_left_alone_and_both_ways_out_are_said() {
    let house = House::new();
    house.start().stop().unwrap();
    let version = house.folder().data().join("PG_VERSION");
    let own = fs::read_to_string(&version).unwrap();
    fs::write(&version, "99\n").unwrap();
    let said = refusal(&house, &installed());
    for part in ["written by PostgreSQL 99", "`postgresql-99`", "pg_upgrade"] {
        assert!(said.contains(part), "{said}");
    }
    fs::write(&version, own).unwrap();
    house.start().stop().unwrap();
}

#[test]
fn a_folder_that_the_account_cannot_reach_names_the_closed_one() {
    if !geteuid().is_root() {
        return;
    }
    let place = TestFolder::new();
    let closed = place.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let lock = StateFolder::open(&closed.join("s"))
        .unwrap()
        .lock()
        .unwrap();
    let house = House { place, lock };
    let said = refusal(&house, &installed());
    assert!(
        said.contains(&format!("because `{}` is closed", closed.display())),
        "{said}"
    );
    assert!(!house.folder().data().exists());
}

#[test]
fn a_path_too_long_for_a_socket_is_said_before_anything_is_made() {
    let place = TestFolder::new();
    let lock = StateFolder::open(&place.path().join("x".repeat(90)))
        .unwrap()
        .lock()
        .unwrap();
    let house = House { place, lock };
    let said = refusal(&house, &installed());
    assert!(
        said.contains("a unix socket's path may have at most 107"),
        "{said}"
    );
    assert!(!house.lock.folder().path().join("postgres").exists());
}

#[test]
fn data_that_belongs_to_root_is_not_run() {
    if !geteuid().is_root() {
        return;
    }
    let house = House::new();
    house.start().stop().unwrap();
    chown(house.folder().data(), Some(0), Some(0)).unwrap();
    let said = refusal(&house, &installed());
    assert!(
        said.contains("run `chown -R postgres ") || said.contains("run `chown -R nobody "),
        "{said}"
    );
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let house = House::new();
    house.start().stop().unwrap();
    fs::remove_file(house.folder().data().join("global/pg_control")).unwrap();
    let error = EmbeddedPostgres::start(&house.folder()).unwrap_err();
    assert!(
        matches!(&error, PostgresError::Ended { said, .. } if said.contains("pg_control")),
        "{error}"
    );
}
