//! The connection to our Postgres, and the promises that each session is checked for. It holds no SQL of the domain.

use std::{future::Future, sync::Arc, time::Duration};

use domain::name::TriggerName;

use sqlx::{
    Connection, FromRow, PgConnection, PgPool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};

use crate::{
    decisions::Message,
    error::{Error, Result},
    inbox::NewMessage,
    seal::SecretKey,
    sessions::Sessions,
    together::Together,
    triggers::HookKeys,
    wake::{Topic, Wake},
};

/// Longest that a store function may take: the server gives up at the same time, and a caller waits no longer.
pub(crate) const QUERY_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a free connection, connecting included.
const ACQUIRE_TIME_MAX: Duration = Duration::from_secs(3);
/// A connection that was idle for longer is tried before it is used. A busy one is not: each try is a round trip.
pub(crate) const TRUSTED_IDLE: Duration = Duration::from_millis(100);
/// Connections that only renew leases: load on the others must not starve renewals.
const LEASE_CONNECTIONS: u32 = 1;

/// Connections for messages that are taken in and decided, so that a storm of them takes none that rollbacks need: two for
/// each kind of statement that askers share, four looks at the ledger, one claim, one decision.
const INTAKE_CONNECTIONS: u32 = 12;
/// In a storm the tables of messages grow from nothing to a hundred thousand rows between two looks of Postgres at their
/// statistics, and a plan from when there was nothing reads all of them each time: deciding fell from 2000 messages a second
/// to 30. So nothing but rows by their keys, one after the other, is planned on these connections, whatever the statistics
/// say; then one plan is good for any size, and no statement is planned twice: that took over a quarter of Postgres's time.
const PLANNED_BY_KEYS: &str = "select set_config('plan_cache_mode', 'force_generic_plan', false),
        set_config('jit', 'off', false), set_config('enable_seqscan', 'off', false),
        set_config('enable_bitmapscan', 'off', false), set_config('enable_hashjoin', 'off', false),
        set_config('enable_mergejoin', 'off', false)";

/// How the store connects.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Most connections, besides those for lease renewals and for messages of triggers.
    pub connections: u32,
    /// What Postgres shows for our sessions.
    pub application_name: String,
}

impl Default for StoreSettings {
    fn default() -> Self {
        // No connection is held during an effect or a wait, so a few serve thousands of runs.
        Self {
            connections: 8,
            application_name: "sternway".to_owned(),
        }
    }
}

/// Our Postgres. Clones share the connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    pub(crate) leases: PgPool,
    /// For what comes at the rate of a storm of alerts.
    pub(crate) intake: Sessions,
    pub(crate) key: SecretKey,
    pub(crate) wake: Wake,
    /// Messages that are being kept.
    pub(crate) inbox: Arc<Together<NewMessage, bool>>,
    /// Messages that are decided.
    pub(crate) decided: Arc<Together<Message, bool>>,
    /// What messages are verified with.
    pub(crate) hook_keys: Arc<Together<TriggerName, Option<HookKeys>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Store")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Connects, and refuses a server that does not keep what it acknowledges.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::Unfit`] with what to change.
    pub async fn connect(
        options: PgConnectOptions,
        settings: StoreSettings,
        key: SecretKey,
        wake: Wake,
    ) -> Result<Self> {
        let options = options.application_name(&settings.application_name);
        timed(async { fit(&options).await }).await?;
        let pool = pool(settings.connections).connect_lazy_with(options.clone());
        let leases = pool_of_leases().connect_lazy_with(options.clone());
        let intake = Sessions::of(pool_of_intake().connect_lazy_with(options));
        Ok(Self {
            pool,
            leases,
            intake,
            key,
            wake,
            inbox: Arc::default(),
            decided: Arc::default(),
            hook_keys: Arc::default(),
        })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
        self.leases.close().await;
        self.intake.close().await;
    }

    /// The process's wake-ups.
    #[must_use]
    pub fn wake(&self) -> &Wake {
        &self.wake
    }

    /// The key that secrets are sealed with.
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Tells every process that there is work, and returns when they are told: for one that is about to end and
    /// has given its claims back.
    ///
    /// # Errors
    /// As every store function.
    pub async fn announce_work(&self) -> Result<()> {
        self.wake.notify(Topic::Work);
        timed(self.send(Topic::Work)).await
    }

    async fn send(&self, topic: Topic) -> Result<()> {
        sqlx::query("select pg_notify('sternway', $1)")
            .bind(topic.word())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Wakes this process at once and others soon after. Only for what happens at the rate of people:
    /// committing a `NOTIFY` takes a lock of the whole server.
    pub(crate) fn announce(&self, topic: Topic) {
        self.wake.notify(topic);
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = timed(store.send(topic)).await {
                tracing::debug!(%error, "other processes were not woken; they poll");
            }
        });
    }
}

/// Runs store work under the time limit.
pub(crate) async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(QUERY_TIME_MAX, work).await {
        Ok(result) => result,
        Err(late) => Err(Error::Unavailable(Box::new(late))),
    }
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections.max(1))
        .acquire_timeout(ACQUIRE_TIME_MAX)
        .test_before_acquire(false)
        .before_acquire(|session, about| {
            Box::pin(async move {
                if about.idle_for < TRUSTED_IDLE {
                    return Ok(true);
                }
                // A demoted primary answers reads for days and refuses each write: such a session is dropped.
                let standby: bool = sqlx::query_scalar("select pg_is_in_recovery()")
                    .fetch_one(session)
                    .await?;
                Ok(!standby)
            })
        })
        .after_connect(|session, _| Box::pin(async move { prepare(session).await.map(|_| ()) }))
}

fn pool_of_leases() -> PgPoolOptions {
    pool(LEASE_CONNECTIONS)
}

fn pool_of_intake() -> PgPoolOptions {
    pool(INTAKE_CONNECTIONS).after_connect(|session, _| {
        Box::pin(async move {
            prepare(session).await?;
            sqlx::query(PLANNED_BY_KEYS).execute(session).await?;
            Ok(())
        })
    })
}

/// Sets a session's limits and says what kind of server it is on.
async fn prepare(session: &mut PgConnection) -> Result<Session, sqlx::Error> {
    let found: Session = sqlx::query_as(
        "select set_config('statement_timeout', '5s', false) as statement_timeout,
                set_config('lock_timeout', '2s', false) as lock_timeout,
                set_config('idle_in_transaction_session_timeout', '10s', false) as idle_timeout,
                current_setting('synchronous_commit') as synchronous_commit,
                current_setting('fsync') as fsync,
                current_setting('server_version_num')::int as version,
                pg_is_in_recovery() as standby",
    )
    .fetch_one(session)
    .await?;
    if found.standby {
        return Err(sqlx::Error::Configuration(
            "this server is a standby".into(),
        ));
    }
    Ok(found)
}

#[derive(sqlx::FromRow)]
struct Session {
    synchronous_commit: String,
    fsync: String,
    version: i32,
    standby: bool,
}

async fn fit(options: &PgConnectOptions) -> Result<()> {
    let mut session = PgConnection::connect_with(options).await?;
    let found = match prepare(&mut session).await {
        Ok(found) => found,
        Err(error @ sqlx::Error::Configuration(_)) => {
            return Err(Error::Unavailable(Box::new(error)));
        }
        Err(error) => return Err(error.into()),
    };
    session.close().await?;
    check_version(found.version)?;
    if found.synchronous_commit == "off" || found.fsync == "off" {
        return Err(Error::Unfit(format!(
            "Postgres has fsync={} and synchronous_commit={}: it would acknowledge what it can lose; set both to on",
            found.fsync, found.synchronous_commit
        )));
    }
    Ok(())
}

/// Refuses a server that is too old.
pub(crate) fn check_version(version: i32) -> Result<()> {
    const OLDEST: i32 = 150_000;
    if version < OLDEST {
        let (major, minor) = (version / 10_000, version % 10_000);
        return Err(Error::Unfit(format!(
            "Postgres {major}.{minor} is too old: use 15 or newer"
        )));
    }
    Ok(())
}

/// What can be read of the rows. One that can not is left alone and told of by its `row_key`: it must not blind us to
/// the others.
pub(crate) fn readable<R, T>(
    what: &'static str,
    rows: Vec<PgRow>,
    parse: impl Fn(R) -> Result<T>,
) -> Vec<T>
where
    R: for<'r> FromRow<'r, PgRow>,
{
    let one = |row: PgRow| {
        let key: String = row.try_get("row_key").unwrap_or_default();
        R::from_row(&row)
            .map_err(Error::from)
            .and_then(&parse)
            .inspect_err(|error| {
                tracing::error!(what, key, %error, "a row can not be read and is left alone");
            })
            .ok()
    };
    rows.into_iter().filter_map(one).collect()
}
