//! Freeze windows, as people set them.

use domain::{
    name::{Actor, ApplicationName},
    time::{Millis, Moment},
    window::Window,
};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Error, Result, corrupt},
};

/// Most windows: each is looked at for every decision.
pub const WINDOWS_MAX: i64 = 200;
/// Windows are added one after the other, so that their number is right.
const WINDOW_LOCK: i64 = i64::from_be_bytes(*b"SternWin");

/// A window and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWindow {
    /// The window.
    pub window: Window,
    /// What it is for.
    pub note: Option<String>,
    /// Who made it.
    pub made_by: Actor,
    /// When.
    pub made_at: Moment,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    application: Option<String>,
    cron: String,
    duration_s: i32,
    zone: String,
    rollbacks: bool,
    note: Option<String>,
    made_by: String,
    made_at: OffsetDateTime,
}

impl Store {
    /// Adds a window; false when there are [`WINDOWS_MAX`] already.
    ///
    /// # Errors
    /// As every store function.
    pub async fn window_add(&self, new: &StoredWindow) -> Result<bool> {
        let (window, note, by) = (&new.window, new.note.as_deref(), &new.made_by);
        timed(async {
            let mut tx = self.pool.begin().await?;
            sqlx::query("select pg_advisory_xact_lock($1)")
                .bind(WINDOW_LOCK)
                .execute(&mut *tx)
                .await?;
            let added = sqlx::query(
                "insert into freeze_window (id, kind, application, cron, duration_s, zone, rollbacks, note, made_by, made_at)
                 select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
                 where (select count(*) from freeze_window where removed_at is null) < $11",
            )
            .bind(window.id)
            .bind(window.kind.word())
            .bind(window.application.as_ref().map(ApplicationName::as_str))
            .bind(window.cron.as_str())
            .bind(i32::try_from(window.duration.0 / 1000).unwrap_or(i32::MAX))
            .bind(window.zone.as_str())
            .bind(window.rollbacks)
            .bind(note)
            .bind(by.as_str())
            .bind(OffsetDateTime::from(new.made_at))
            .bind(WINDOWS_MAX)
            .execute(&mut *tx)
            .await?;
            if added.rows_affected() == 0 {
                return Ok(false);
            }
            let detail = json!({"window": window, "note": note});
            let object = format!("window/{}", window.id);
            audit::enter(&mut tx, by, "window.add", &object, detail).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Removes a window.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn window_remove(&self, id: Uuid, by: &Actor) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let removed = sqlx::query(
                "update freeze_window set removed_at = now() where id = $1 and removed_at is null",
            )
            .bind(id)
            .execute(&mut *tx)
            .await?;
            if removed.rows_affected() == 0 {
                return Err(Error::NotFound("window"));
            }
            audit::enter(
                &mut tx,
                by,
                "window.remove",
                &format!("window/{id}"),
                json!({}),
            )
            .await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Every window, oldest first; with an application, those that count for it.
    ///
    /// # Errors
    /// As every store function.
    pub async fn windows(
        &self,
        application: Option<&ApplicationName>,
    ) -> Result<Vec<StoredWindow>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select id, kind, application, cron, duration_s, zone, rollbacks, note, made_by, made_at
                 from freeze_window
                 where removed_at is null and ($1::text is null or application is null or application = $1)
                 order by id limit $2",
            )
            .bind(application.map(ApplicationName::as_str))
            .bind(WINDOWS_MAX)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        rows.into_iter().map(stored).collect()
    }
}

fn stored(row: Row) -> Result<StoredWindow> {
    let bad = |error: String| corrupt("window", error);
    let name = |error: domain::name::BadName| corrupt("window", error);
    Ok(StoredWindow {
        window: Window {
            id: row.id,
            kind: row.kind.parse().map_err(bad)?,
            application: row
                .application
                .map(|name| name.parse())
                .transpose()
                .map_err(name)?,
            cron: row.cron.parse().map_err(bad)?,
            duration: Millis::from_secs(row.duration_s.max(0).cast_unsigned()),
            zone: row.zone.parse().map_err(bad)?,
            rollbacks: row.rollbacks,
        },
        note: row.note,
        made_by: row.made_by.parse().map_err(name)?,
        made_at: row.made_at.into(),
    })
}
