//! The kill switch: whether anything may be rolled back by itself. Off stops what is not asked for yet and calls off what
//! runs, in one transaction.

use domain::{
    guard::{Switch, Switches},
    lifecycle::Run,
    name::{Actor, ApplicationName, RollbackId},
    next,
};
use serde_json::json;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Result, corrupt},
    wake::Topic,
};

/// Held alone by whoever switches and together by whoever lets a rollback through by itself: what is let through before a
/// switch is seen by it, and what comes after sees the switch.
const SWITCH_LOCK: i64 = i64::from_be_bytes(*b"SternOff");

/// A switch that is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchedOff {
    /// For which application; none for every one.
    pub application: Option<ApplicationName>,
    /// By whom, when and why.
    pub switch: Switch,
}

#[derive(sqlx::FromRow)]
struct Row {
    application: Option<String>,
    reason: String,
    set_by: String,
    set_at: OffsetDateTime,
}

/// The switches that are off: of each application, and of all, the newest word counts.
const OFF: &str = "
    select application, reason, set_by, set_at from (
        select distinct on (application) application, automatic, reason, set_by, set_at
        from automatic_switch where $1::text is null or application is null or application = $1
        order by application, id desc
    ) newest where not automatic order by application nulls first";

impl Store {
    /// Lets things be rolled back by themselves, or not any more: of one application, or of all. Off also asks each
    /// rollback that nobody asked for to be called off at its next safe point; says which.
    ///
    /// # Errors
    /// As every store function.
    pub async fn automatic_set(
        &self,
        application: Option<&ApplicationName>,
        automatic: bool,
        reason: &str,
        by: &Actor,
    ) -> Result<Vec<RollbackId>> {
        let stopped = timed(async {
            let mut tx = self.pool.begin().await?;
            sqlx::query("select pg_advisory_xact_lock($1)")
                .bind(SWITCH_LOCK)
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "insert into automatic_switch (application, automatic, reason, set_by) values ($1, $2, $3, $4)",
            )
            .bind(application.map(ApplicationName::as_str))
            .bind(automatic)
            .bind(reason)
            .bind(by.as_str())
            .execute(&mut *tx)
            .await?;
            let stopped = match automatic {
                true => Vec::new(),
                false => call_off(&mut tx, application, by).await?,
            };
            let object = application.map_or_else(
                || "automatic".to_owned(),
                |name| format!("application/{name}/automatic"),
            );
            let action = if automatic { "automatic.on" } else { "automatic.off" };
            let detail = json!({"reason": reason, "stopped": stopped});
            audit::enter(&mut tx, by, action, &object, detail).await?;
            tx.commit().await?;
            Ok(stopped)
        })
        .await?;
        if !stopped.is_empty() {
            self.announce(Topic::Work);
        }
        Ok(stopped)
    }

    /// Every switch that is off, that of all applications first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn automatic_off(&self) -> Result<Vec<SwitchedOff>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(OFF)
                .bind(None::<&str>)
                .fetch_all(&self.pool)
                .await?)
        })
        .await?;
        rows.into_iter().map(switched_off).collect()
    }

    /// The switches that count for an application.
    ///
    /// # Errors
    /// As every store function.
    pub async fn automatic_of(&self, application: &ApplicationName) -> Result<Switches> {
        timed(async {
            let mut session = self.pool.acquire().await?;
            read(&mut session, application).await
        })
        .await
    }
}

/// The switches as they are until the end of this transaction: nobody switches meanwhile.
pub(crate) async fn until_commit(
    tx: &mut PgConnection,
    application: &ApplicationName,
) -> Result<Switches> {
    // In a statement of its own, so that the next one sees what was committed while it waited.
    sqlx::query("select pg_advisory_xact_lock_shared($1)")
        .bind(SWITCH_LOCK)
        .execute(&mut *tx)
        .await?;
    read(tx, application).await
}

async fn read(session: &mut PgConnection, application: &ApplicationName) -> Result<Switches> {
    let rows: Vec<Row> = sqlx::query_as(OFF)
        .bind(application.as_str())
        .fetch_all(session)
        .await?;
    let mut switches = Switches::default();
    for row in rows {
        let off = switched_off(row)?;
        match off.application {
            None => switches.everywhere = Some(off.switch),
            Some(_) => switches.here = Some(off.switch),
        }
    }
    Ok(switches)
}

/// Asks for a cancel of every rollback that acts, that nobody asked for, and that can still be called off.
async fn call_off(
    tx: &mut PgConnection,
    application: Option<&ApplicationName>,
    by: &Actor,
) -> Result<Vec<RollbackId>> {
    // The lock that every write of the run waits for, as with any order.
    let acting: Vec<(Uuid, String, Json<Run>)> = sqlx::query_as(
        "select r.rollback_id, b.requested_by, r.state
         from rollback_run r join rollback b on b.id = r.rollback_id
         where r.acts and ($1::text is null or r.application = $1)
         order by r.rollback_id for share of r",
    )
    .bind(application.map(ApplicationName::as_str))
    .fetch_all(&mut *tx)
    .await?;
    let mut stopped = Vec::new();
    for (rollback, requested_by, Json(run)) in acting {
        let asked_by: Actor = requested_by
            .parse()
            .map_err(|error| corrupt("rollback", error))?;
        if !asked_by.is_automatic() || next::too_late_to_cancel(&run).is_some() {
            continue;
        }
        sqlx::query(
            "insert into rollback_order (rollback_id, kind, actor) values ($1, 'cancel', $2)
             on conflict (rollback_id, kind, actor) where seen_at is null do nothing",
        )
        .bind(rollback)
        .bind(by.as_str())
        .execute(&mut *tx)
        .await?;
        stopped.push(RollbackId(rollback));
    }
    Ok(stopped)
}

fn switched_off(row: Row) -> Result<SwitchedOff> {
    let bad = |error| corrupt("switch", error);
    Ok(SwitchedOff {
        application: row
            .application
            .map(|name| name.parse())
            .transpose()
            .map_err(bad)?,
        switch: Switch {
            by: row.set_by.parse().map_err(bad)?,
            at: row.set_at.into(),
            reason: row.reason,
        },
    })
}
