//! Guards that persons let alerts past, each for a while. A row is never changed: who let what past, and why, stays.

use domain::{
    guard::{Guard, Override},
    name::{Actor, ApplicationName},
    time::Moment,
};
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Result, corrupt},
};

/// Most overrides of one application at a time: more of them is no longer an exception.
pub const OVERRIDES_MAX: i64 = 20;

/// An override and how long it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOverride {
    /// Its identity.
    pub id: Uuid,
    /// For which application.
    pub application: ApplicationName,
    /// What is let past, by whom, why and when.
    pub given: Override,
    /// Until when it counts.
    pub until: Moment,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    application: String,
    guard: String,
    person: String,
    reason: String,
    made_at: OffsetDateTime,
    ends_at: OffsetDateTime,
}

impl Store {
    /// Keeps an override; false when there are [`OVERRIDES_MAX`] already.
    ///
    /// # Errors
    /// As every store function.
    pub async fn override_add(&self, new: &StoredOverride) -> Result<bool> {
        let (name, given) = (&new.application, &new.given);
        timed(async {
            let mut tx = self.pool.begin().await?;
            // One after the other, so that their number is right.
            sqlx::query("select from application where name = $1 for no key update")
                .bind(name.as_str())
                .execute(&mut *tx)
                .await?;
            let added = sqlx::query(
                "insert into guard_override (id, application, guard, person, reason, made_at, ends_at)
                 select $1, $2, $3, $4, $5, $6, $7
                 where (select count(*) from guard_override where application = $2 and ends_at > now()) < $8",
            )
            .bind(new.id)
            .bind(name.as_str())
            .bind(given.guard.word())
            .bind(given.person.as_str())
            .bind(&given.reason)
            .bind(OffsetDateTime::from(given.at))
            .bind(OffsetDateTime::from(new.until))
            .bind(OVERRIDES_MAX)
            .execute(&mut *tx)
            .await?;
            if added.rows_affected() == 0 {
                return Ok(false);
            }
            let object = format!("application/{name}/override/{}", new.id);
            let detail = json!({"guard": given.guard, "reason": given.reason, "until": new.until});
            audit::enter(&mut tx, &given.person, "override.add", &object, detail).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Ends an override now; whether there was one that counted.
    ///
    /// # Errors
    /// As every store function.
    pub async fn override_end(
        &self,
        application: &ApplicationName,
        id: Uuid,
        by: &Actor,
    ) -> Result<bool> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let ended = sqlx::query(
                "update guard_override set ends_at = now() where id = $1 and application = $2 and ends_at > now()",
            )
            .bind(id)
            .bind(application.as_str())
            .execute(&mut *tx)
            .await?;
            if ended.rows_affected() == 0 {
                return Ok(false);
            }
            let object = format!("application/{application}/override/{id}");
            audit::enter(&mut tx, by, "override.end", &object, json!({})).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// The overrides of an application that count now, oldest first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn overrides(&self, application: &ApplicationName) -> Result<Vec<StoredOverride>> {
        timed(async {
            let mut session = self.pool.acquire().await?;
            of(&mut session, application).await
        })
        .await
    }
}

/// See [`Store::overrides`].
pub(crate) async fn of(
    session: &mut PgConnection,
    application: &ApplicationName,
) -> Result<Vec<StoredOverride>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, application, guard, person, reason, made_at, ends_at from guard_override
         where application = $1 and ends_at > now() order by id limit $2",
    )
    .bind(application.as_str())
    .bind(OVERRIDES_MAX)
    .fetch_all(session)
    .await?;
    // A guard that this program does not know is one that it does not ask either.
    let known = rows
        .into_iter()
        .filter(|row| row.guard.parse::<Guard>().is_ok());
    known.map(stored).collect()
}

fn stored(row: Row) -> Result<StoredOverride> {
    let bad = |error| corrupt("override", error);
    let guard: std::result::Result<Guard, String> = row.guard.parse();
    Ok(StoredOverride {
        id: row.id,
        application: row.application.parse().map_err(bad)?,
        given: Override {
            guard: guard.map_err(|error| corrupt("override", error))?,
            person: row.person.parse().map_err(bad)?,
            reason: row.reason,
            at: row.made_at.into(),
        },
        until: row.ends_at.into(),
    })
}
