//! One server for all tests, and a database of its own for each.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

use sqlx::{Connection as _, PgConnection};
use store::PgConnectOptions;
use tokio::sync::{Mutex, OnceCell};

use crate::postgres_fixture::Postgres;

static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static CLONING: Mutex<()> = Mutex::const_new(());
static CLONES: AtomicU32 = AtomicU32::new(0);

pub(crate) fn server() -> &'static Postgres {
    &SERVER
}

pub(crate) fn options_of(server: &Postgres, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(server.socket_folder().to_str().unwrap())
        .username("postgres")
        .database(database)
}

async fn statement(options: &PgConnectOptions, sql: String) {
    let mut session = PgConnection::connect_with(options).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut session)
        .await
        .unwrap();
    session.close().await.unwrap();
}

/// A database that nothing has been done to.
pub(crate) async fn empty_database() -> PgConnectOptions {
    let _turn = CLONING.lock().await;
    let name = format!("empty_{}", CLONES.fetch_add(1, Ordering::Relaxed));
    statement(
        &options_of(server(), "postgres"),
        format!("create database {name}"),
    )
    .await;
    options_of(server(), &name)
}

/// A database with the whole schema and nothing in it. Its name.
pub(crate) async fn clone_of_template() -> String {
    let home = options_of(server(), "postgres");
    TEMPLATE
        .get_or_init(|| async {
            statement(&home, "create database house".to_owned()).await;
            store::migrate(&options_of(server(), "house"))
                .await
                .unwrap();
        })
        .await;
    let _turn = CLONING.lock().await;
    let name = format!("house_{}", CLONES.fetch_add(1, Ordering::Relaxed));
    statement(&home, format!("create database {name} template house")).await;
    name
}
