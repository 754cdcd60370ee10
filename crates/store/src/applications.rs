//! Definitions of applications, with a revision that a change must name. It does not judge a definition.

use domain::{
    application::Application,
    name::{Actor, ApplicationName, RollbackId},
    time::Moment,
};
use serde_json::json;
use sqlx::{PgConnection, PgTransaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Constraint, Error, Result, corrupt},
    page::{Listed, PAGE_MAX, Page},
};

/// The advisory lock under which definitions are put: the letters `SternPut`.
const PUT_LOCK: i64 = i64::from_be_bytes(*b"SternPut");

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// The revision now; the same as before when the definition was the same.
    pub revision: i32,
    /// Whether there was none before.
    pub created: bool,
}

/// A definition in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredApplication {
    /// The definition.
    pub application: Application,
    /// Its revision.
    pub revision: i32,
    /// When it was last changed.
    pub updated_at: Moment,
}

#[derive(sqlx::FromRow)]
struct Row {
    definition: String,
    revision: i32,
    updated_at: OffsetDateTime,
}

#[derive(sqlx::FromRow)]
struct Present {
    definition: String,
    revision: i32,
    removed: bool,
}

impl Store {
    /// Stores a definition. With `if_match`, only over that revision. Of two definitions that claim one container the
    /// second is refused, at whatever moment they come.
    ///
    /// # Errors
    /// [`Error::Conflict`] with [`Constraint::Claimed`], [`Error::Revision`], or as every store function.
    pub async fn application_put(
        &self,
        application: &Application,
        actor: &Actor,
        if_match: Option<i32>,
    ) -> Result<Put> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            nobody_else_claims(&mut tx, application).await?;
            let put = put(&mut tx, application, if_match).await?;
            if let Some(put) = put.changed {
                let object = format!("application/{}", application.name);
                let detail = json!({"revision": put.revision, "definition": application});
                audit::enter(&mut tx, actor, "application.put", &object, detail).await?;
            }
            tx.commit().await?;
            Ok(put.result)
        })
        .await
    }

    /// A definition and its revision.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn application_get(&self, name: &ApplicationName) -> Result<(Application, i32)> {
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "select definition, revision, updated_at from application
                 where name = $1 and removed_at is null",
            )
            .bind(name.as_str())
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        let stored = stored(row.ok_or(Error::NotFound("application"))?)?;
        Ok((stored.application, stored.revision))
    }

    /// Definitions by name; with `within`, of these applications only, such as those that a token may see.
    ///
    /// # Errors
    /// As every store function.
    pub async fn application_list(
        &self,
        within: Option<&[ApplicationName]>,
        page: &Page<ApplicationName>,
    ) -> Result<Listed<StoredApplication, ApplicationName>> {
        let within: Option<Vec<&str>> =
            within.map(|names| names.iter().map(ApplicationName::as_str).collect());
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select definition, revision, updated_at from application
                 where removed_at is null and ($1::text is null or name > $1)
                   and ($3::text[] is null or name = any($3))
                 order by name limit $2",
            )
            .bind(page.after.as_ref().map(ApplicationName::as_str))
            .bind(page.fetch())
            .bind(within)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let items: Result<Vec<StoredApplication>> = rows.into_iter().map(stored).collect();
        Ok(page.listed(items?, |stored| stored.application.name.clone()))
    }

    /// Takes an application out. Its ledger and its rollbacks stay.
    ///
    /// # Errors
    /// [`Error::Conflict`] while a rollback acts on it, [`Error::Revision`], [`Error::NotFound`],
    /// or as every store function.
    pub async fn application_remove(
        &self,
        name: &ApplicationName,
        actor: &Actor,
        if_match: Option<i32>,
    ) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            let present = present(&mut tx, name)
                .await?
                .filter(|present| !present.removed);
            let present = present.ok_or(Error::NotFound("application"))?;
            if if_match.is_some_and(|revision| revision != present.revision) {
                return Err(Error::Revision {
                    present: Some(present.revision),
                });
            }
            if let Some(active) = acting(&mut tx, name).await? {
                return Err(Error::Conflict(Constraint::OneActing { active }));
            }
            sqlx::query(
                "update application set removed_at = now(), updated_at = now() where name = $1",
            )
            .bind(name.as_str())
            .execute(&mut *tx)
            .await?;
            let object = format!("application/{name}");
            audit::enter(
                &mut tx,
                actor,
                "application.remove",
                &object,
                json!({"revision": present.revision}),
            )
            .await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }
}

struct PutDone {
    result: Put,
    changed: Option<Put>,
}

/// Definitions are put one after the other, so that none comes between the look at the others and the write.
async fn nobody_else_claims(tx: &mut PgTransaction<'_>, application: &Application) -> Result<()> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(PUT_LOCK)
        .execute(&mut **tx)
        .await?;
    let needles = needles(application);
    let mut after: Option<String> = None;
    loop {
        let others: Vec<(String, String)> = sqlx::query_as(
            "select name, definition from application
             where removed_at is null and engine = $1 and name <> $2 and ($3::text is null or name > $3)
               and exists (select from unnest($5::text[]) needle where strpos(definition, needle) > 0)
             order by name limit $4",
        )
        .bind(&application.engine)
        .bind(application.name.as_str())
        .bind(&after)
        .bind(i64::from(PAGE_MAX))
        .bind(&needles)
        .fetch_all(&mut **tx)
        .await?;
        for (_, text) in &others {
            let other = definition(text)?;
            if let Some(component) = application.shared_with(&other).first() {
                return Err(Error::Conflict(Constraint::Claimed {
                    component: (*component).clone(),
                    by: other.name,
                }));
            }
        }
        match others.into_iter().nth(PAGE_MAX as usize - 1) {
            Some((last, _)) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// What stands in every definition that could claim one of these containers: with thousands of applications, only those
/// are read.
fn needles(application: &Application) -> Vec<String> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let project = application
        .project
        .iter()
        .map(|project| format!("\"project\":{}", quoted(project.as_str())));
    let containers = application
        .components
        .iter()
        .flat_map(|component| &component.containers)
        .map(|name| quoted(name.as_str()));
    project.chain(containers).collect()
}

async fn put(
    tx: &mut PgTransaction<'_>,
    application: &Application,
    if_match: Option<i32>,
) -> Result<PutDone> {
    let definition =
        serde_json::to_string(application).map_err(|error| corrupt("application", error))?;
    let present = present(tx, &application.name).await?;
    let living = present.as_ref().filter(|present| !present.removed);
    let revision = living.map(|present| present.revision);
    if if_match.is_some() && if_match != revision {
        return Err(Error::Revision { present: revision });
    }
    if let Some(same) = living.filter(|present| present.definition == definition) {
        let result = Put {
            revision: same.revision,
            created: false,
        };
        return Ok(PutDone {
            result,
            changed: None,
        });
    }
    // Two creations at once: the second waits here, and then changes what the first created.
    let (revision, created): (i32, bool) = sqlx::query_as(
        "insert into application (name, environment, engine, definition, revision) values ($1, $2, $3, $4, 1)
         on conflict on constraint application_key do update
         set environment = excluded.environment, engine = excluded.engine, definition = excluded.definition,
             revision = application.revision + 1, updated_at = now(), removed_at = null
         returning revision, revision = 1",
    )
    .bind(application.name.as_str())
    .bind(application.environment.as_str())
    .bind(&application.engine)
    .bind(&definition)
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query("insert into application_fence (application) values ($1) on conflict do nothing")
        .bind(application.name.as_str())
        .execute(&mut **tx)
        .await?;
    let created = created || (living.is_none() && present.is_some());
    let result = Put { revision, created };
    Ok(PutDone {
        result,
        changed: Some(result),
    })
}

async fn present(session: &mut PgConnection, name: &ApplicationName) -> Result<Option<Present>> {
    Ok(sqlx::query_as(
        "select definition, revision, removed_at is not null as removed from application
         where name = $1 for no key update",
    )
    .bind(name.as_str())
    .fetch_optional(session)
    .await?)
}

/// The rollback that acts on the application.
pub(crate) async fn acting(
    session: &mut PgConnection,
    name: &ApplicationName,
) -> Result<Option<RollbackId>> {
    let active: Option<Uuid> =
        sqlx::query_scalar("select rollback_id from rollback_run where application = $1 and acts")
            .bind(name.as_str())
            .fetch_optional(session)
            .await?;
    Ok(active.map(RollbackId))
}

/// Whether a rollback changes the application now. One that waits for a yes changes nothing yet.
pub(crate) async fn changing(session: &mut PgConnection, name: &ApplicationName) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "select exists (select from rollback_run
                        where application = $1 and acts and phase <> 'awaiting_approval')",
    )
    .bind(name.as_str())
    .fetch_one(session)
    .await?)
}

/// Parses a stored definition.
pub(crate) fn definition(text: &str) -> Result<Application> {
    serde_json::from_str(text).map_err(|error| corrupt("application", error))
}

fn stored(row: Row) -> Result<StoredApplication> {
    Ok(StoredApplication {
        application: definition(&row.definition)?,
        revision: row.revision,
        updated_at: Moment::from(row.updated_at),
    })
}
