//! What the worker saw of a deployment: its images, its containers' specifications, its health.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    application::Application,
    ledger::{DeploymentKind, Health},
    name::{ComponentName, ImageId, PullReference, SpecificationDigest, Version},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgTransaction, postgres::PgRow, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    applications,
    connect::{Store, readable, timed},
    error::{Result, corrupt},
    ledger::{DeploymentState, kind},
};

/// Most deployments that one look takes.
const DUE_MAX: u32 = 64;

/// What one component of a deployment runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployedComponent {
    /// The image.
    pub image: ImageId,
    /// The reference that it was deployed by.
    pub reference: String,
    /// What registries knew the image by when it was deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<PullReference>,
    /// The processor that it is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What its containers were created from, once they were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specification: Option<SpecificationDigest>,
}

/// A deployment that the worker has to look at.
#[derive(Clone, Debug)]
pub struct DeploymentWork {
    /// Its identity.
    pub id: Uuid,
    /// The application's present definition.
    pub application: Application,
    /// Its version.
    pub version: Version,
    /// How it was put in service.
    pub kind: DeploymentKind,
    /// The image reference of each component, as given.
    pub images: BTreeMap<ComponentName, String>,
    /// When.
    pub deployed_at: Moment,
    /// What is known of it.
    pub state: DeploymentState,
    /// What each component runs, once it is known.
    pub components: BTreeMap<ComponentName, DeployedComponent>,
    /// Since when its probes are green, without a red between.
    pub green_since: Option<Moment>,
    /// Since when something is red, when it is.
    pub red_since: Option<Moment>,
    /// When its watch window ends.
    pub watch_until: Option<Moment>,
    /// What the newest deployment runs that is newer in the ledger than this one, once its images are known.
    pub newer: Option<BTreeMap<ComponentName, DeployedComponent>>,
    /// Whether a rollback changes the application now; one that waits for a yes does not.
    pub rolling_back: bool,
}

/// What is known now of a deployment that was being watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthUpdate {
    /// Its health; anything but watching is final.
    pub health: Health,
    /// Since when its probes are green, without a red between.
    pub green_since: Option<Moment>,
    /// Since when something is red, when it is.
    pub red_since: Option<Moment>,
    /// When its watch window ends.
    pub watch_until: Option<Moment>,
    /// The last thing that was said about it.
    pub said: Option<String>,
    /// When to look again; only while watching.
    pub wake_at: Option<Moment>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    definition: String,
    version: String,
    kind: String,
    images: Json<BTreeMap<ComponentName, String>>,
    deployed_at: OffsetDateTime,
    state: String,
    components: Json<BTreeMap<ComponentName, DeployedComponent>>,
    green_since: Option<OffsetDateTime>,
    red_since: Option<OffsetDateTime>,
    watch_until: Option<OffsetDateTime>,
    newer: Option<Json<BTreeMap<ComponentName, DeployedComponent>>>,
    rolling_back: bool,
}

impl Store {
    /// Deployments that are due to be looked at. Each is due again after `lease` unless something is said of it.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployments_due(
        &self,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<DeploymentWork>> {
        let rows: Vec<PgRow> = timed(async {
            Ok(sqlx::query(
                "with due as (
                     select w.deployment_id from deployment_fact w
                     join deployment d on d.id = w.deployment_id
                     join application a on a.name = d.application and a.removed_at is null
                     where w.wake_at <= now()
                     order by w.wake_at limit $1 for update of w skip locked
                 )
                 update deployment_fact f set wake_at = now() + make_interval(secs => $2)
                 from due join deployment d on d.id = due.deployment_id join application a on a.name = d.application
                 where f.deployment_id = due.deployment_id
                 returning d.id, d.id::text as row_key, a.definition, d.version, d.kind, d.images, d.deployed_at, f.state, f.components,
                     f.green_since, f.red_since, f.watch_until,
                     (select nf.components from deployment n join deployment_fact nf on nf.deployment_id = n.id
                      where n.application = d.application and nf.state not in ('refused', 'resolving') and nf.merged_into is null
                        and (n.deployed_at, n.id) > (d.deployed_at, d.id)
                      order by n.deployed_at desc, n.id desc limit 1) as newer,
                     exists (select from rollback_run r where r.application = d.application and r.acts
                               and r.phase <> 'awaiting_approval') as rolling_back",
            )
            .bind(i64::from(limit.min(DUE_MAX)))
            .bind(lease.as_secs_f64())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        Ok(readable("deployment", rows, work))
    }

    /// Its images are known: it is watched from now on. If it was found running before anybody reported it, the report
    /// takes the place of what was found, and keeps what is known of it.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployment_resolved(
        &self,
        id: Uuid,
        components: &BTreeMap<ComponentName, DeployedComponent>,
    ) -> Result<()> {
        timed(async {
            let mut tx = self.pool.begin().await?;
            // The ledger of one application is written in turns.
            sqlx::query(
                "select 1 from application a join deployment d on d.application = a.name where d.id = $1
                 for no key update of a",
            )
            .bind(id)
            .execute(&mut *tx)
            .await?;
            let resolved = sqlx::query(
                "update deployment_fact set state = 'watching', components = $2, said = null, wake_at = now()
                 where deployment_id = $1 and state = 'resolving'",
            )
            .bind(id)
            .bind(Json(components))
            .execute(&mut *tx)
            .await?;
            if resolved.rows_affected() == 1 {
                take_place_of_detected(&mut tx, id).await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await?;
        self.wake.notify(crate::wake::Topic::Work);
        Ok(())
    }

    /// What was reported is not on the engine; final.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployment_refused(&self, id: Uuid, said: &str) -> Result<()> {
        timed(async {
            sqlx::query(
                "update deployment_fact set state = 'refused', said = $2, judged_at = now(), wake_at = null
                 where deployment_id = $1 and state = 'resolving'",
            )
            .bind(id)
            .bind(said)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await?;
        self.wake.notify(crate::wake::Topic::Answers);
        Ok(())
    }

    /// It could not be looked at; try again at `wake_at`.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployment_later(&self, id: Uuid, said: &str, wake_at: Moment) -> Result<()> {
        timed(async {
            sqlx::query(
                "update deployment_fact set said = $2, wake_at = $3
                 where deployment_id = $1 and state in ('resolving', 'watching')",
            )
            .bind(id)
            .bind(said)
            .bind(OffsetDateTime::from(wake_at))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// What its containers were created from. Components that it does not have are left out.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployment_specifications(
        &self,
        id: Uuid,
        specifications: &BTreeMap<ComponentName, SpecificationDigest>,
    ) -> Result<()> {
        timed(async {
            sqlx::query(
                "update deployment_fact set components = (
                     select coalesce(jsonb_object_agg(c.key, case
                         when $2::jsonb ? c.key
                         then c.value || jsonb_build_object('specification', $2::jsonb -> c.key)
                         else c.value end), '{}')
                     from jsonb_each(components) c)
                 where deployment_id = $1",
            )
            .bind(id)
            .bind(Json(specifications))
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// What is known of a watched deployment now. False when it is no longer watched: its state is final.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployment_health(&self, id: Uuid, update: &HealthUpdate) -> Result<bool> {
        timed(async {
            let written = sqlx::query(
                "update deployment_fact
                 set state = $2, green_since = $3, watch_until = $4, said = $5,
                     judged_at = case when $2 = 'watching' then null else now() end,
                     wake_at = case when $2 = 'watching' then coalesce($6, now()) end, red_since = $7,
                     -- whatever is green or sick runs
                     seen_at = coalesce(seen_at, case when $2 in ('good', 'bad') or $3 is not null or $7 is not null
                                                 then now() end)
                 where deployment_id = $1 and state = 'watching'",
            )
            .bind(id)
            .bind(health_word(update.health))
            .bind(update.green_since.map(OffsetDateTime::from))
            .bind(update.watch_until.map(OffsetDateTime::from))
            .bind(&update.said)
            .bind(update.wake_at.map(OffsetDateTime::from))
            .bind(update.red_since.map(OffsetDateTime::from))
            .execute(&self.pool)
            .await?;
            Ok(written.rows_affected() == 1)
        })
        .await
    }
}

/// The newest entry before a report, when it was found running with the same images under the same name.
const DETECTED_BEFORE: &str = "
    select o.id, o.version, d.version as reported
    from deployment d join deployment_fact f on f.deployment_id = d.id, lateral (
        select e.id, e.version, e.kind, ef.components from deployment e join deployment_fact ef on ef.deployment_id = e.id
        where e.application = d.application and e.id <> d.id and (e.deployed_at, e.id) < (d.deployed_at, d.id)
          and ef.state <> 'refused' and ef.merged_into is null
        order by e.deployed_at desc, e.id desc limit 1
    ) o
    where d.id = $1 and o.kind = 'detected' and (
        select jsonb_object_agg(c.key, c.value -> 'image') from jsonb_each(o.components) c
    ) = (
        select jsonb_object_agg(c.key, c.value -> 'image') from jsonb_each(f.components) c
    )";

async fn take_place_of_detected(tx: &mut PgTransaction<'_>, id: Uuid) -> Result<()> {
    let found: Option<(Uuid, String, String)> = sqlx::query_as(DETECTED_BEFORE)
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    let Some((detected, version, reported)) = found else {
        return Ok(());
    };
    let version: Version = version
        .parse()
        .map_err(|error| corrupt("deployment", error))?;
    if version.as_str() != reported && version.name() != reported {
        return Ok(());
    }
    sqlx::query(
        "update deployment_fact f
         set components = (select jsonb_object_agg(c.key, (o.components -> c.key) || c.value) from jsonb_each(f.components) c),
             seen_at = o.seen_at, green_since = o.green_since, red_since = o.red_since, watch_until = o.watch_until,
             said = o.said, judged_at = o.judged_at, state = o.state, wake_at = o.wake_at
         from deployment_fact o where f.deployment_id = $1 and o.deployment_id = $2",
    )
    .bind(id)
    .bind(detected)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "update deployment_fact set merged_into = $1, wake_at = null where deployment_id = $2",
    )
    .bind(id)
    .bind(detected)
    .execute(&mut **tx)
    .await?;
    sqlx::query("update held_return set deployment_id = $1 where deployment_id = $2")
        .bind(id)
        .bind(detected)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn health_word(health: Health) -> &'static str {
    match health {
        Health::Watching => "watching",
        Health::Good => "good",
        Health::Bad => "bad",
        Health::Unproved => "unproved",
    }
}

fn work(row: Row) -> Result<DeploymentWork> {
    Ok(DeploymentWork {
        id: row.id,
        application: applications::definition(&row.definition)?,
        version: row
            .version
            .parse()
            .map_err(|error| corrupt("deployment", error))?,
        kind: kind(&row.kind)?,
        images: row.images.0,
        deployed_at: row.deployed_at.into(),
        state: row
            .state
            .parse()
            .map_err(|error: String| corrupt("deployment", error))?,
        components: row.components.0,
        green_since: row.green_since.map(Moment::from),
        red_since: row.red_since.map(Moment::from),
        watch_until: row.watch_until.map(Moment::from),
        newer: row.newer.map(|newer| newer.0),
        rolling_back: row.rolling_back,
    })
}
