//! What both halves stand on: the state folder with its lock and key, and a Postgres that is migrated.

use std::str::FromStr as _;

use anyhow::Context as _;
use store::{PgConnectOptions, SecretKey, Store, StoreSettings, Wake};

use crate::{
    cli::args::ServeArgs,
    postgres::{EmbeddedPostgres, PostgresFolder},
    state_folder::{HostLock, StateFolder, Surroundings},
};

/// Everything that is there before the first half starts, and goes after the last has ended.
pub(super) struct Foundation {
    pub(super) lock: HostLock,
    pub(super) database: PgConnectOptions,
    key: SecretKey,
    embedded: Option<EmbeddedPostgres>,
}

/// Lays it, in the order in which each part needs the former.
pub(super) async fn lay(args: &ServeArgs) -> anyhow::Result<Foundation> {
    let lock = state_folder(args)?;
    let key = key(args, &lock)?;
    let (database, embedded) = postgres(args, &lock).await?;
    let migrated = store::migrate(&database).await.map_err(with_sources)?;
    if migrated.from != Some(migrated.to) {
        tracing::info!(
            from = migrated.from,
            to = migrated.to,
            "the database was migrated"
        );
    }
    Ok(Foundation {
        lock,
        database,
        key,
        embedded,
    })
}

impl Foundation {
    /// A store with connections of its own: load on one half must not starve the other.
    pub(super) async fn store(&self, name: &str, wake: Wake) -> anyhow::Result<Store> {
        let settings = StoreSettings {
            application_name: name.to_owned(),
            ..StoreSettings::default()
        };
        Store::connect(self.database.clone(), settings, self.key.clone(), wake)
            .await
            .map_err(with_sources)
    }

    /// Stops the embedded Postgres; the lock goes last.
    pub(super) async fn clear(self) {
        let Some(embedded) = self.embedded else {
            return;
        };
        match tokio::task::spawn_blocking(|| embedded.stop()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the embedded Postgres did not stop cleanly"),
            Err(error) => tracing::warn!(%error, "stopping the embedded Postgres failed"),
        }
    }
}

fn state_folder(args: &ServeArgs) -> anyhow::Result<HostLock> {
    let mut surroundings = Surroundings::of_process();
    if let Some(folder) = &args.state_dir {
        surroundings.state_dir = Some(folder.clone().into_os_string());
    }
    Ok(StateFolder::open(&surroundings.locate()?)?.lock()?)
}

fn key(args: &ServeArgs, lock: &HostLock) -> anyhow::Result<SecretKey> {
    let key = match &args.key_file {
        Some(path) => lock.key_at(path)?,
        None => lock.key()?,
    };
    if key.fresh {
        tracing::info!(
            "a new key was made; environment values that were sealed with another one can not be read"
        );
    }
    Ok(SecretKey::from_bytes(*key.bytes()))
}

async fn postgres(
    args: &ServeArgs,
    lock: &HostLock,
) -> anyhow::Result<(PgConnectOptions, Option<EmbeddedPostgres>)> {
    if let Some(url) = &args.database_url {
        let options = PgConnectOptions::from_str(url)
            .context("DATABASE_URL is not an address such as `postgres://user@host/database`")?;
        return Ok((options, None));
    }
    let folder = PostgresFolder::of(lock);
    let embedded = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(&folder))
        .await
        .context("starting the embedded Postgres failed")??;
    let options = PgConnectOptions::from_str(&embedded.url())
        .context("the embedded Postgres has no usable address")?;
    Ok((options, Some(embedded)))
}

/// The chain of causes in one line: whoever starts a server reads one line.
fn with_sources(error: store::Error) -> anyhow::Error {
    anyhow::Error::new(error)
}
