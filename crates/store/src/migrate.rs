//! Brings the schema up to what this binary knows, one instance at a time. It never goes back.

use std::time::Duration;

use sqlx::{
    Connection, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use crate::{
    connect::check_version,
    error::{Error, Result},
};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Key of the advisory lock under which instances migrate in turn: `sternway` in ASCII, read as a number.
const LOCK: i64 = 0x7374_6572_6e77_6179;
/// Longest wait for another instance that migrates: its longest file takes seconds.
const LOCK_TIME_MAX: &str = "30s";
/// Longest that everything may take, waiting included.
const MIGRATE_TIME_MAX: Duration = Duration::from_secs(120);

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema version before; none for a new database.
    pub from: Option<i64>,
    /// The schema version now.
    pub to: i64,
}

/// The newest schema version that this binary knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

/// Applies what is missing. The connection must be a direct one: an advisory lock does not survive a pooler.
///
/// # Errors
/// [`Error::NewerDatabase`], [`Error::Unfit`] with what to do, or [`Error::Unavailable`].
pub async fn migrate(options: &PgConnectOptions) -> Result<Migrated> {
    migrate_within(options, LOCK_TIME_MAX).await
}

/// [`migrate`] with another limit for the wait.
///
/// # Errors
/// As [`migrate`].
#[doc(hidden)]
pub async fn migrate_within(options: &PgConnectOptions, lock_time_max: &str) -> Result<Migrated> {
    let work = async {
        let mut session = PgConnection::connect_with(options).await?;
        let result = migrate_alone(&mut session, lock_time_max).await;
        // Closing gives the advisory lock back, whatever happened.
        let _ = session.close().await;
        result
    };
    match tokio::time::timeout(MIGRATE_TIME_MAX, work).await {
        Ok(result) => result,
        Err(late) => Err(Error::Unavailable(Box::new(late))),
    }
}

async fn migrate_alone(session: &mut PgConnection, lock_time_max: &str) -> Result<Migrated> {
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int")
        .fetch_one(&mut *session)
        .await?;
    check_version(version)?;
    lock(session, lock_time_max).await?;
    let from = applied(session).await?;
    if let Some(database) = from.filter(|database| *database > newest()) {
        return Err(Error::NewerDatabase {
            database,
            binary: newest(),
        });
    }
    // Waiting longer for a table would queue every other query on it behind us.
    sqlx::query("set lock_timeout = '2s'")
        .execute(&mut *session)
        .await?;
    let migrator = Migrator {
        migrations: MIGRATIONS.migrations.clone(),
        locking: false,
        ..Migrator::DEFAULT
    };
    migrator
        .run_direct(None, session, false)
        .await
        .map_err(failed)?;
    Ok(Migrated { from, to: newest() })
}

async fn lock(session: &mut PgConnection, lock_time_max: &str) -> Result<()> {
    sqlx::query("select set_config('lock_timeout', $1, false)")
        .bind(lock_time_max)
        .execute(&mut *session)
        .await?;
    let locked = sqlx::query("select pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(session)
        .await;
    locked.map(|_| ()).map_err(|error| {
        Error::from(error).or_if_busy(|| {
            format!(
                "another instance has been migrating this database for {lock_time_max}; \
                 see who holds an advisory lock in pg_locks, end it, and start again"
            )
        })
    })
}

/// The newest schema version in the database; none when it was never migrated.
pub(crate) async fn applied(session: &mut PgConnection) -> Result<Option<i64>> {
    let there: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *session)
        .await?;
    if !there {
        return Ok(None);
    }
    Ok(
        sqlx::query_scalar("select max(version) from _sqlx_migrations")
            .fetch_one(session)
            .await?,
    )
}

fn failed(error: MigrateError) -> Error {
    if let MigrateError::ExecuteMigration(inner, version) = error {
        return Error::from(inner).or_if_busy(|| {
            format!(
                "schema change {version} could not get its table lock within 2 s; \
                 nothing was changed, start again"
            )
        });
    }
    if let MigrateError::VersionMismatch(version) = error {
        return Error::Unfit(format!(
            "schema change {version} of this database is not the one that this binary has; \
             use the binary that made it"
        ));
    }
    if let MigrateError::Execute(inner) = error {
        return Error::from(inner);
    }
    // What is left is about the list of files itself.
    Error::Unfit(format!(
        "the schema could not be brought up to date: {error}"
    ))
}
