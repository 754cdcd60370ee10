//! Holds: releases that may not come back until a person releases them.

use domain::name::{Actor, ApplicationName, RollbackId, Version};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Error, Result},
};

/// A hold by a person.
#[derive(Clone, Debug)]
pub struct NewHold {
    /// Of which application.
    pub application: ApplicationName,
    /// Which version.
    pub version: Version,
    /// Why.
    pub reason: String,
    /// Whether it is insecure.
    pub insecure: bool,
    /// Who holds it.
    pub by: Actor,
}

impl Store {
    /// Holds a release. The same hold again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the ledger has no such release, or as every store function.
    pub async fn hold_put(&self, hold: &NewHold) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let known: bool = sqlx::query_scalar(
                "select exists (select from deployment where application = $1 and version = $2)",
            )
            .bind(hold.application.as_str())
            .bind(hold.version.as_str())
            .fetch_one(&mut *tx)
            .await?;
            if !known {
                return Err(Error::NotFound("release"));
            }
            let held = sqlx::query(
                "insert into hold (application, version, reason, insecure, held_by)
                 select $1, $2, $3, $4, $5 where not exists (
                     select from hold h where h.application = $1 and h.version = $2 and h.reason = $3
                     and h.insecure = $4 and not exists (select from hold_release r where r.hold_id = h.id))",
            )
            .bind(hold.application.as_str())
            .bind(hold.version.as_str())
            .bind(&hold.reason)
            .bind(hold.insecure)
            .bind(hold.by.as_str())
            .execute(&mut *tx)
            .await?;
            if held.rows_affected() == 1 {
                let object = format!("application/{}/release/{}", hold.application, hold.version);
                let detail = json!({"reason": hold.reason, "insecure": hold.insecure});
                audit::enter(&mut tx, &hold.by, "release.hold", &object, detail).await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Releases every hold of a release; says how many there were.
    ///
    /// # Errors
    /// As every store function.
    pub async fn hold_release(
        &self,
        application: &ApplicationName,
        version: &Version,
        by: &Actor,
    ) -> Result<u64> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let released = sqlx::query(
                "insert into hold_release (hold_id, released_by)
                 select h.id, $3 from hold h
                 where h.application = $1 and h.version = $2
                   and not exists (select from hold_release r where r.hold_id = h.id)
                 on conflict on constraint hold_release_key do nothing",
            )
            .bind(application.as_str())
            .bind(version.as_str())
            .bind(by.as_str())
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if released > 0 {
                let object = format!("application/{application}/release/{version}");
                audit::enter(
                    &mut tx,
                    by,
                    "release.release",
                    &object,
                    json!({"holds": released}),
                )
                .await?;
            }
            tx.commit().await?;
            Ok(released)
        })
        .await
    }
}

/// Why somebody else than a rollback holds a release, when somebody does.
pub(crate) async fn of_others(
    session: &mut PgConnection,
    application: &ApplicationName,
    version: &Version,
    rollback: RollbackId,
) -> Result<Option<String>> {
    Ok(sqlx::query_scalar(
        "select h.reason from hold h
         where h.application = $1 and h.version = $2 and h.rollback_id is distinct from $3
           and not exists (select from hold_release r where r.hold_id = h.id)
         order by h.held_at desc limit 1",
    )
    .bind(application.as_str())
    .bind(version.as_str())
    .bind(rollback.0)
    .fetch_optional(session)
    .await?)
}
