//! Acts on an application beside its rollbacks: none is asked for while one is under way, and none begins while a
//! rollback acts.

use std::time::Duration;

use domain::name::{Actor, ApplicationName, RollbackId};
use serde_json::Value;

use crate::{
    applications::acting,
    audit,
    connect::{Store, timed},
    drift::{lock, newest_run},
    error::Result,
};

/// Longest act: requests for a rollback of the same application wait for it.
const AT_REST_MAX: Duration = Duration::from_secs(1);

impl Store {
    /// Does `work` while no rollback acts on the application, and enters it as `action` when it was done. None when one
    /// acts, when `run` is not the newest one any more, so that what was looked at is old, or when it took too long. A
    /// rollback can not be asked for meanwhile.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], or as every store function.
    pub async fn while_at_rest<E>(
        &self,
        application: &ApplicationName,
        run: Option<RollbackId>,
        (by, action, detail): (&Actor, &str, Value),
        work: impl Future<Output = std::result::Result<(), E>>,
    ) -> Result<Option<std::result::Result<(), E>>> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            lock(&mut tx, application).await?;
            let moved = newest_run(&mut tx, application).await? != run;
            if moved || acting(&mut tx, application).await?.is_some() {
                return Ok(None);
            }
            let Ok(done) = tokio::time::timeout(AT_REST_MAX, work).await else {
                return Ok(None);
            };
            if done.is_ok() {
                let object = format!("application/{application}");
                audit::enter(&mut tx, by, action, &object, detail).await?;
            }
            tx.commit().await?;
            Ok(Some(done))
        })
        .await
    }
}
