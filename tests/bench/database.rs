//! The private Postgres that benchmarks run on: the embedded one, exactly as the server would start it. And its
//! counters.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgConnectOptions};
use sternway::{
    postgres::{self, EmbeddedPostgres, PostgresFolder},
    state_folder::{HostLock, StateFolder},
};

use crate::Outcome;

/// A running server in a folder of its own; it stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Database {
    postgres: EmbeddedPostgres,
    folder: PathBuf,
    _lock: HostLock,
}

impl Database {
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        let lock = StateFolder::open(folder)?.lock()?;
        let postgres = EmbeddedPostgres::start(&PostgresFolder::of(&lock))?;
        Ok(Self {
            postgres,
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// For `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        self.postgres.url()
    }

    /// The folder of its socket.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.postgres.address().socket_folder.clone()
    }

    pub(crate) fn options(&self) -> Outcome<PgConnectOptions> {
        Ok(self.url().parse()?)
    }

    /// pgbench or another of Postgres's own programs, told where this server is.
    pub(crate) fn program(&self, name: &str) -> Outcome<Command> {
        let folder = postgres::check(&self.folder).chosen?.folder;
        let address = self.postgres.address();
        let mut command = Command::new(folder.join(name));
        command
            .env("PGHOST", &address.socket_folder)
            .env("PGPORT", address.port.to_string());
        command
            .env("PGUSER", address.user)
            .env("PGDATABASE", address.database);
        Ok(command)
    }
}

/// What the server has done so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    commits: i64,
    wal_bytes: i64,
}

/// What it did in between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) commits: f64,
    pub(crate) wal_bytes: f64,
}

/// A connection that reads the counters, and knows how many of the commits are its own.
#[derive(Debug)]
pub(crate) struct Counters {
    session: PgConnection,
    own: i64,
}

impl Counters {
    pub(crate) async fn connect(options: &PgConnectOptions) -> Outcome<Self> {
        Ok(Self {
            session: PgConnection::connect_with(options).await?,
            own: 0,
        })
    }

    /// One number. Each query outside a transaction is one commit.
    pub(crate) async fn ask(&mut self, question: &'static str) -> Outcome<i64> {
        self.own += 1;
        Ok(sqlx::query(question)
            .fetch_one(&mut self.session)
            .await?
            .try_get(0)?)
    }

    /// Statements that answer nothing.
    pub(crate) async fn tell(&mut self, statements: &'static str) -> Outcome<()> {
        sqlx::raw_sql(statements).execute(&mut self.session).await?;
        Ok(())
    }

    /// The counters, once they are complete: a session reports what it did when it ends, so all others must have.
    pub(crate) async fn marks(&mut self) -> Outcome<Marks> {
        const OTHERS: &str = "select count(*) from pg_stat_activity
             where backend_type = 'client backend' and pid <> pg_backend_pid()";
        while self.ask(OTHERS).await? > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What this session did is reported when the statement after next begins.
        self.ask("select 1::bigint from (select pg_stat_force_next_flush()) as flushed")
            .await?;
        let own = self.own;
        let commits = self
            .ask("select xact_commit from pg_stat_database where datname = current_database()")
            .await?;
        let wal_bytes = self
            .ask("select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
            .await?;
        Ok(Marks {
            commits: commits - own,
            wal_bytes,
        })
    }
}

impl Marks {
    /// From this mark to a later one.
    pub(crate) fn until(self, later: Self) -> Done {
        Done {
            commits: (later.commits - self.commits) as f64,
            wal_bytes: (later.wal_bytes - self.wal_bytes) as f64,
        }
    }
}
