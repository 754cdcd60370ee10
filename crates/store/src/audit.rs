//! Who did what. An entry is written in the transaction of the act: an act without its entry does not happen.

use domain::{name::Actor, time::Moment};
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    connect::{Store, timed},
    error::{Result, corrupt},
    page::{Listed, Page},
};

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Position.
    pub id: i64,
    /// When.
    pub at: Moment,
    /// Who.
    pub actor: Actor,
    /// What was done, such as `rollback.request`.
    pub action: String,
    /// To what, such as `application/shop`.
    pub object: String,
    /// The rest, without secrets.
    pub detail: Value,
}

/// Writes an entry into the transaction of the act.
pub(crate) async fn enter(
    session: &mut PgConnection,
    actor: &Actor,
    action: &str,
    object: &str,
    detail: Value,
) -> Result<()> {
    sqlx::query("insert into audit_entry (actor, action, object, detail) values ($1, $2, $3, $4)")
        .bind(actor.as_str())
        .bind(action)
        .bind(object)
        .bind(detail)
        .execute(session)
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    at: OffsetDateTime,
    actor: String,
    action: String,
    object: String,
    detail: Value,
}

impl Store {
    /// Records an act that writes nothing else here.
    ///
    /// # Errors
    /// As every store function.
    pub async fn audit_put(
        &self,
        actor: &Actor,
        action: &str,
        object: &str,
        detail: Value,
    ) -> Result<()> {
        timed(async {
            let mut session = self.pool.acquire().await?;
            enter(&mut session, actor, action, object, detail).await
        })
        .await
    }

    /// Entries, newest first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn audit_list(&self, page: &Page<i64>) -> Result<Listed<AuditEntry, i64>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select id, at, actor, action, object, detail from audit_entry
                 where $1::bigint is null or id < $1
                 order by id desc limit $2",
            )
            .bind(page.after)
            .bind(page.fetch())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let entries: Result<Vec<AuditEntry>> = rows.into_iter().map(entry).collect();
        Ok(page.listed(entries?, |entry| entry.id))
    }
}

fn entry(row: Row) -> Result<AuditEntry> {
    Ok(AuditEntry {
        id: row.id,
        at: Moment::from(row.at),
        actor: row
            .actor
            .parse()
            .map_err(|error| corrupt("audit entry", error))?,
        action: row.action,
        object: row.object,
        detail: row.detail,
    })
}
