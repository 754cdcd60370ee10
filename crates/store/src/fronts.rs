//! Acts on an application beside its rollbacks: none is asked for while one is under way, and none begins while a
//! rollback acts.

use std::time::Duration;

use domain::name::{Actor, ApplicationName, RollbackId};
use serde_json::Value;
use sqlx::PgTransaction;

use crate::{
    applications::acting,
    audit,
    connect::{Store, timed},
    drift::{lock, newest_run},
    error::Result,
};

/// Longest act: requests for a rollback of the same application wait for it.
const AT_REST_MAX: Duration = Duration::from_secs(1);

/// An act beside rollbacks, as it is entered.
#[derive(Clone, Debug)]
pub struct AtRest<'a> {
    /// Who acts.
    pub by: &'a Actor,
    /// That it was asked for: entered before the act, whatever becomes of it.
    pub asked: &'a str,
    /// That it was done.
    pub done: &'a str,
    /// The rest, without secrets.
    pub detail: Value,
}

impl Store {
    /// Does `work` while no rollback acts on the application. That it was asked for is committed before, and that it was
    /// done is entered afterwards. None when one acts, when `run` is not the newest one any more, so that what was looked
    /// at is old, or when it took too long. A rollback can not be asked for while it is done.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], or as every store function.
    pub async fn while_at_rest<E>(
        &self,
        application: &ApplicationName,
        run: Option<RollbackId>,
        act: AtRest<'_>,
        work: impl Future<Output = std::result::Result<(), E>>,
    ) -> Result<Option<std::result::Result<(), E>>> {
        timed(async {
            let object = format!("application/{application}");
            let mut tx = self.pool.begin().await?;
            if !at_rest(&mut tx, application, run).await? {
                return Ok(None);
            }
            audit::enter(&mut tx, act.by, act.asked, &object, act.detail.clone()).await?;
            tx.commit().await?;
            // The commit gave the lock away: what was true is asked again under the one that is held during the act.
            let mut tx = self.pool.begin().await?;
            if !at_rest(&mut tx, application, run).await? {
                return Ok(None);
            }
            let Ok(done) = tokio::time::timeout(AT_REST_MAX, work).await else {
                return Ok(None);
            };
            if done.is_ok() {
                audit::enter(&mut tx, act.by, act.done, &object, act.detail).await?;
            }
            tx.commit().await?;
            Ok(Some(done))
        })
        .await
    }
}

/// Locks the application; whether no rollback acts on it, and `run` is still the newest one.
async fn at_rest(
    tx: &mut PgTransaction<'_>,
    application: &ApplicationName,
    run: Option<RollbackId>,
) -> Result<bool> {
    lock(tx, application).await?;
    let moved = newest_run(tx, application).await? != run;
    Ok(!moved && acting(tx, application).await?.is_none())
}
