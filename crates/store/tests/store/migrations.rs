//! The schema: brought up to date once, in turn, never back; and a server that is not fit is refused.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use store::{Error, PgConnectOptions, Store, StoreSettings, Wake, migrate, migrate_within};

use crate::{
    databases::{empty_database, options_of},
    house::{House, key},
    postgres_fixture::Postgres,
};

/// The number of the newest file.
fn newest() -> i64 {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let number = |name: String| name.split_once('_')?.0.parse().ok();
    let files = std::fs::read_dir(folder).unwrap();
    files
        .filter_map(|file| number(file.unwrap().file_name().into_string().unwrap()))
        .max()
        .unwrap()
}

async fn connect(options: &PgConnectOptions) -> Result<Store, Error> {
    Store::connect(
        options.clone(),
        StoreSettings::default(),
        key(1),
        Wake::default(),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_again_changes_nothing() {
    let options = empty_database().await;
    let store = connect(&options).await.unwrap();
    assert!(
        matches!(store.ready().await, Err(Error::Unfit(said)) if said.contains(&format!("has to be brought to {}", newest())))
    );
    let first = migrate(&options).await.unwrap();
    assert_eq!((first.from, first.to), (None, newest()));
    let again = migrate(&options).await.unwrap();
    assert_eq!((again.from, again.to), (Some(newest()), newest()));
    assert_eq!(store.ready().await.unwrap().schema, newest());
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_instances_that_start_at_once_take_turns() {
    let options = empty_database().await;
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let options = options.clone();
            tokio::spawn(async move { migrate(&options).await.unwrap().from })
        })
        .collect();
    let mut first = 0;
    for start in starts {
        first += i32::from(start.await.unwrap().is_none());
    }
    assert_eq!(first, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instance_that_migrates_for_too_long_is_named() {
    let options = empty_database().await;
    let mut other = PgConnection::connect_with(&options).await.unwrap();
    sqlx::query("select pg_advisory_lock($1)")
        .bind(0x7374_6572_6e77_6179_i64)
        .execute(&mut other)
        .await
        .unwrap();
    let refused = migrate_within(&options, "200ms").await;
    assert!(
        matches!(&refused, Err(Error::Unfit(said)) if said.contains("another instance")),
        "{refused:?}"
    );
    other.close().await.unwrap();
    migrate(&options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_newer_than_the_binary_is_refused_with_both_versions() {
    let house = House::new().await;
    house
        .raw("insert into _sqlx_migrations values (9999, 'the future', now(), true, '', 0)")
        .await;
    let refused = migrate(&house.options).await.unwrap_err();
    assert!(matches!(
        refused,
        Error::NewerDatabase {
            database: 9999,
            binary
        } if binary == newest()
    ));
    assert!(
        refused.to_string().contains("schema 9999")
            && refused.to_string().contains(&format!("knows {}", newest())),
        "{refused}"
    );
    assert!(matches!(
        house.store.ready().await,
        Err(Error::NewerDatabase { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_another_binary_made_is_refused() {
    let house = House::new().await;
    house
        .raw("update _sqlx_migrations set checksum = 'x' where version = 2")
        .await;
    let refused = migrate(&house.options).await;
    assert!(
        matches!(&refused, Err(Error::Unfit(said)) if said.contains("schema change 2")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_can_not_get_its_lock_says_so_and_changes_nothing() {
    let house = House::new().await;
    house.raw("delete from _sqlx_migrations where version = 5; drop table inquiry_answer, inquiry, worker").await;
    // Postgres has no table lock in the way of `create table`; a lock on the catalogue stands for one.
    let mut other = PgConnection::connect_with(&house.options).await.unwrap();
    sqlx::raw_sql("begin; lock pg_class in exclusive mode")
        .execute(&mut other)
        .await
        .unwrap();
    let refused = migrate(&house.options).await;
    assert!(
        matches!(&refused, Err(Error::Unfit(said)) if said.contains("schema change 5")),
        "{refused:?}"
    );
    other.close().await.unwrap();
    migrate(&house.options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_acknowledges_what_it_can_lose_is_refused() {
    let house = House::new().await;
    let careless = house
        .options
        .clone()
        .options([("synchronous_commit", "off")]);
    let refused = connect(&careless).await.unwrap_err();
    assert!(
        refused.to_string().contains("synchronous_commit=off"),
        "{refused}"
    );
    let local = house
        .options
        .clone()
        .options([("synchronous_commit", "local")]);
    connect(&local).await.unwrap();
    let no_fsync = Postgres::start(&["fsync=off"]);
    let refused = connect(&options_of(&no_fsync, "postgres"))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Error::Unfit(said) if said.contains("fsync=off")),
        "{refused}"
    );
}

/// How long a busy machine may take to show what is.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn sessions_have_their_limits() {
    let house = House::new().await;
    house.store.ready().await.unwrap();
    let shown = || async {
        let states: Vec<String> = sqlx::query_scalar(
            "select state || ' ' || application_name from pg_stat_activity
             where datname = current_database() and application_name = 'sternway'",
        )
        .fetch_all(&house.pool)
        .await
        .unwrap();
        states
    };
    // The server shows it as idle a moment after it has answered.
    let began = std::time::Instant::now();
    while shown().await != ["idle sternway"] {
        assert!(began.elapsed() < PATIENCE, "{:?}", shown().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.application("shop").await;
    // Somebody holds a row for longer than we wait: nothing was written, and that is said.
    let mut other = house.pool.begin().await.unwrap();
    sqlx::query("select from application for update")
        .execute(&mut *other)
        .await
        .unwrap();
    let began = std::time::Instant::now();
    let busy = house
        .store
        .application_remove(&"shop".parse().unwrap(), &crate::house::ana(), None)
        .await;
    assert!(matches!(busy, Err(Error::Busy(_))), "{busy:?}");
    assert!((1.5..20.0).contains(&began.elapsed().as_secs_f64()));
}
