//! What the ledger learns by looking: which deployment was seen, and which nobody reported. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    application::Application,
    drift::{Detected, Recorded},
    hold::Hold,
    name::{Actor, ApplicationName, ComponentName, ImageId, RollbackId, Version},
    reason::Reason,
    time::Moment,
};
use serde_json::json;
use sqlx::{PgConnection, PgTransaction, postgres::PgRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    applications::{changing, definition},
    audit,
    connect::{Store, readable, timed},
    error::{Error, Result, corrupt},
    facts::DeployedComponent,
    ledger::kind,
    returns::{HeldReturn, newest_return},
    wake::Topic,
};

/// Most applications that are watched: their definitions are in the worker's memory, two kilobytes each.
const WATCHED_MAX: i64 = 1000;

/// What the ledger knows of an application, for one decision about what runs.
#[derive(Clone, Debug)]
pub struct Standpoint {
    /// The newest deployment that counts.
    pub newest: Option<Recorded>,
    /// The newest one that was seen running.
    pub seen: Option<Recorded>,
    /// The newest rollback, whatever became of it.
    pub run: Option<RollbackId>,
    /// Whether a rollback changes the application; one that waits for a yes does not.
    pub acting: bool,
    /// The newest return of a held release, open or not.
    pub returned: Option<HeldReturn>,
}

/// An application to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub name: ApplicationName,
    /// The revision of its definition.
    pub revision: i32,
    /// Whether a rollback changes it; one that waits for a yes does not.
    pub acting: bool,
    /// The definition, when the revision is not the one that was known.
    pub changed: Option<Application>,
}

#[derive(sqlx::FromRow)]
struct WatchedRow {
    name: String,
    revision: i32,
    acting: bool,
    definition: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    version: String,
    kind: String,
    deployed_at: OffsetDateTime,
    state: String,
    components: Json<BTreeMap<ComponentName, DeployedComponent>>,
    seen: bool,
    returned: bool,
}

#[derive(sqlx::FromRow)]
struct HoldRow {
    version: String,
    reason: String,
    insecure: bool,
    cause: Option<String>,
    held_at: OffsetDateTime,
    images: Json<Vec<(ComponentName, ImageId)>>,
}

impl Store {
    /// The applications that are defined, by name: the worker watches them all. Definitions only of those whose
    /// revision is not the one that is known.
    ///
    /// # Errors
    /// As every store function.
    pub async fn applications_watched(
        &self,
        known: &BTreeMap<ApplicationName, i32>,
    ) -> Result<Vec<Watched>> {
        let names: Vec<&str> = known.keys().map(ApplicationName::as_str).collect();
        let revisions: Vec<i32> = known.values().copied().collect();
        let rows: Vec<PgRow> = timed(async {
            Ok(sqlx::query(
                "select a.name, a.name as row_key, a.revision,
                        exists (select from rollback_run r where r.application = a.name and r.acts
                                  and r.phase <> 'awaiting_approval') as acting,
                        case when k.revision is distinct from a.revision then a.definition end as definition
                 from application a left join unnest($2::text[], $3::int[]) k (name, revision) on k.name = a.name
                 where a.removed_at is null order by a.name limit $1",
            )
            .bind(WATCHED_MAX + 1)
            .bind(&names)
            .bind(&revisions)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let most = usize::try_from(WATCHED_MAX).unwrap_or(usize::MAX);
        if rows.len() > most {
            tracing::error!(
                "more than {most} applications are defined: the last by name are not watched"
            );
        }
        let rows = rows.into_iter().take(most).collect();
        Ok(readable("application", rows, watched))
    }

    /// What the ledger knows of an application now.
    ///
    /// # Errors
    /// As every store function.
    pub async fn standpoint(&self, application: &ApplicationName) -> Result<Standpoint> {
        timed(async {
            let mut session = self.pool.acquire().await?;
            Ok(Standpoint {
                newest: counted(&mut session, application, false).await?,
                seen: counted(&mut session, application, true).await?,
                run: newest_run(&mut session, application).await?,
                acting: changing(&mut session, application).await?,
                returned: newest_return(&mut session, application).await?,
            })
        })
        .await
    }

    /// The holds of an application that nobody has released, with the images that they are known by.
    ///
    /// # Errors
    /// As every store function.
    pub async fn holds_active(&self, application: &ApplicationName) -> Result<Vec<Hold>> {
        let rows: Vec<HoldRow> = timed(async {
            Ok(sqlx::query_as(
                "select h.version, h.reason, h.insecure, q.reason as cause, h.held_at, coalesce((
                     select jsonb_agg(distinct jsonb_build_array(c.key, c.value -> 'image'))
                     from deployment d join deployment_fact f on f.deployment_id = d.id, jsonb_each(f.components) c
                     where d.application = h.application and d.version = h.version and d.deployed_at <= h.held_at
                 ), '[]') as images
                 from hold h left join rollback q on q.id = h.rollback_id
                 where h.application = $1 and not exists (select from hold_release r where r.hold_id = h.id)
                 order by h.held_at desc",
            )
            .bind(application.as_str())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        rows.into_iter().map(hold).collect()
    }

    /// A deployment was seen running for the first time.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployment_seen(&self, id: Uuid) -> Result<()> {
        timed(async {
            sqlx::query(
                "update deployment_fact set seen_at = now() where deployment_id = $1 and seen_at is null",
            )
            .bind(id)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Writes a deployment that nobody reported, with what is known of its images, watched from now on. None when the ledger has moved on since the
    /// standpoint was taken, or a rollback acts: look again.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the application is not there, or as every store function.
    pub async fn deployment_detected(
        &self,
        application: &ApplicationName,
        standpoint: &Standpoint,
        detected: &Detected,
        components: &BTreeMap<ComponentName, DeployedComponent>,
        by: &Actor,
    ) -> Result<Option<Uuid>> {
        let id = timed(async {
            let mut tx = self.pool.begin().await?;
            lock(&mut tx, application).await?;
            let newest = counted(&mut tx, application, false).await?;
            let run = newest_run(&mut tx, application).await?;
            let moved = newest.map(|newest| newest.id)
                != standpoint.newest.as_ref().map(|newest| newest.id)
                || run != standpoint.run
                || changing(&mut tx, application).await?;
            if moved {
                return Ok(None);
            }
            let id = Uuid::now_v7();
            insert(&mut tx, id, application, detected, components, by).await?;
            tx.commit().await?;
            Ok(Some(id))
        })
        .await?;
        if id.is_some() {
            self.announce(Topic::Work);
        }
        Ok(id)
    }
}

/// Whoever writes the ledger of one application takes turns.
pub(crate) async fn lock(tx: &mut PgTransaction<'_>, application: &ApplicationName) -> Result<()> {
    let there: Option<i32> = sqlx::query_scalar(
        "select 1 from application where name = $1 and removed_at is null for no key update",
    )
    .bind(application.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    there.map(|_| ()).ok_or(Error::NotFound("application"))
}

async fn counted(
    session: &mut PgConnection,
    application: &ApplicationName,
    seen: bool,
) -> Result<Option<Recorded>> {
    let row: Option<Row> = sqlx::query_as(
        "select d.id, d.version, d.kind, d.deployed_at, f.state, f.components, f.seen_at is not null as seen,
                exists (select from held_return r where r.deployment_id = d.id) as returned
         from deployment d join deployment_fact f on f.deployment_id = d.id
         where d.application = $1 and f.state <> 'refused' and f.merged_into is null
           and (f.seen_at is not null or not $2)
         order by d.deployed_at desc, d.id desc limit 1",
    )
    .bind(application.as_str())
    .bind(seen)
    .fetch_optional(session)
    .await?;
    row.map(recorded).transpose()
}

/// The newest rollback of an application, whatever became of it.
pub(crate) async fn newest_run(
    session: &mut PgConnection,
    application: &ApplicationName,
) -> Result<Option<RollbackId>> {
    let run: Option<Uuid> = sqlx::query_scalar(
        "select rollback_id from rollback_run where application = $1 order by rollback_id desc limit 1",
    )
    .bind(application.as_str())
    .fetch_optional(session)
    .await?;
    Ok(run.map(RollbackId))
}

async fn insert(
    tx: &mut PgTransaction<'_>,
    id: Uuid,
    application: &ApplicationName,
    detected: &Detected,
    components: &BTreeMap<ComponentName, DeployedComponent>,
    by: &Actor,
) -> Result<()> {
    let images: BTreeMap<&ComponentName, &String> = components
        .iter()
        .map(|(name, part)| (name, &part.reference))
        .collect();
    // Its hash is no report's: CI's own report of it is news, and takes its place once its images are known.
    sqlx::query(
        "with entry as (
             insert into deployment (id, application, version, commit_id, notes, kind, actor, images, deployed_at,
                                     request_hash)
             values ($1, $2, $3, $4, $5, 'detected', $6, $7, date_trunc('milliseconds', clock_timestamp()), '')
             returning id
         )
         insert into deployment_fact (deployment_id, state, components, seen_at, wake_at)
         select id, 'watching', $8, now(), now() from entry",
    )
    .bind(id)
    .bind(application.as_str())
    .bind(detected.version.as_str())
    .bind(&detected.commit)
    .bind(&detected.notes)
    .bind(by.as_str())
    .bind(Json(&images))
    .bind(Json(components))
    .execute(&mut **tx)
    .await?;
    let object = format!("application/{application}");
    let detail = json!({"deployment": id, "version": detected.version, "commit": detected.commit, "images": images});
    audit::enter(tx, by, "deployment.detect", &object, detail).await
}

fn recorded(row: Row) -> Result<Recorded> {
    let images = row
        .components
        .0
        .into_iter()
        .map(|(name, part)| (name, part.image))
        .collect();
    Ok(Recorded {
        id: row.id,
        version: row
            .version
            .parse()
            .map_err(|error| corrupt("deployment", error))?,
        kind: kind(&row.kind)?,
        deployed_at: row.deployed_at.into(),
        images: (row.state != "resolving").then_some(images),
        seen: row.seen,
        returned: row.returned,
    })
}

fn hold(row: HoldRow) -> Result<Hold> {
    let version: Version = row
        .version
        .parse()
        .map_err(|error| corrupt("hold", error))?;
    let mut images: BTreeMap<ComponentName, BTreeSet<ImageId>> = BTreeMap::new();
    for (component, image) in row.images.0 {
        images.entry(component).or_default().insert(image);
    }
    let cause = match row.cause {
        Some(word) => word.parse().map_err(|error| corrupt("hold", error))?,
        None if row.insecure => Reason::Security,
        None => Reason::CriticalBug,
    };
    Ok(Hold {
        version,
        reason: row.reason,
        cause,
        held_at: Moment::from(row.held_at),
        images,
    })
}

fn watched(row: WatchedRow) -> Result<Watched> {
    let changed = row.definition.as_deref().map(definition).transpose()?;
    Ok(Watched {
        name: row
            .name
            .parse()
            .map_err(|error| corrupt("application", error))?,
        revision: row.revision,
        acting: row.acting,
        changed,
    })
}
