//! Plans, stored once by their digest and never edited.

use domain::{
    name::{Actor, PlanDigest},
    plan::Plan,
};
use serde_json::json;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Error, Result, corrupt},
};

impl Store {
    /// Stores a plan; the same plan gives the same digest.
    ///
    /// # Errors
    /// [`Error::Conflict`] when its application is not known, or as every store function.
    pub async fn plan_put(&self, plan: &Plan, actor: &Actor) -> Result<PlanDigest> {
        let body = plan.bytes();
        let digest = PlanDigest::of(body.as_bytes());
        timed(async {
            let mut tx = self.pool.begin().await?;
            let stored = sqlx::query(
                "insert into plan (digest, application, body, made_by) values ($1, $2, $3, $4)
                 on conflict on constraint plan_key do nothing",
            )
            .bind(digest.as_str())
            .bind(plan.application.name.as_str())
            .bind(&body)
            .bind(actor.as_str())
            .execute(&mut *tx)
            .await?;
            if stored.rows_affected() == 1 {
                let object = format!("application/{}", plan.application.name);
                audit::enter(
                    &mut tx,
                    actor,
                    "plan.make",
                    &object,
                    json!({"plan": digest, "to": plan.to}),
                )
                .await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await?;
        Ok(digest)
    }

    /// A plan by its digest.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn plan_get(&self, digest: &PlanDigest) -> Result<Plan> {
        let body: Option<String> = timed(async {
            Ok(
                sqlx::query_scalar("select body from plan where digest = $1")
                    .bind(digest.as_str())
                    .fetch_optional(&self.pool)
                    .await?,
            )
        })
        .await?;
        parse(digest.as_str(), &body.ok_or(Error::NotFound("plan"))?)
    }
}

/// Parses a stored plan, if it still is the one that was approved.
pub(crate) fn parse(digest: &str, body: &str) -> Result<Plan> {
    if PlanDigest::of(body.as_bytes()).as_str() != digest {
        return Err(corrupt(
            "plan",
            format!("its bytes are not those of digest {digest}"),
        ));
    }
    serde_json::from_str(body).map_err(|error| corrupt("plan", error))
}
