//! The answer to a repeated request, found before anything is looked at. It never writes a key.

use domain::name::RollbackId;
use uuid::Uuid;

use crate::{
    connect::{Store, timed},
    error::{Error, Result},
    requests::Idempotency,
};

impl Store {
    /// The rollback that an earlier request with this key made, when there is one.
    ///
    /// # Errors
    /// [`Error::IdempotencyMismatch`] when that request was another, or as every store function.
    pub async fn idempotency_find(&self, key: &Idempotency) -> Result<Option<RollbackId>> {
        let found: Option<(Vec<u8>, Uuid)> = timed(async {
            Ok(sqlx::query_as(
                "select body_hash, rollback_id from idempotency where principal = $1 and key = $2",
            )
            .bind(&key.principal)
            .bind(&key.key)
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        match found {
            None => Ok(None),
            Some((hash, rollback)) if hash == key.body_hash => Ok(Some(RollbackId(rollback))),
            Some(_) => Err(Error::IdempotencyMismatch),
        }
    }
}
