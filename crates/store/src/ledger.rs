//! The version history as people and CI write and read it. What was seen of a deployment is in `facts.rs`.

use std::collections::BTreeMap;

use domain::{
    ledger::{DeploymentKind, Health},
    name::{Actor, ApplicationName, ComponentName, RollbackId, Version},
    time::Moment,
};
use serde_json::json;
use sqlx::{PgConnection, PgTransaction, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    facts::DeployedComponent,
    page::{Listed, Page},
    requests::Idempotency,
    wake::Topic,
};

/// A report that a release was put in service.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    /// Its identity, UUIDv7, when it is new.
    pub id: Uuid,
    /// Of which application.
    pub application: ApplicationName,
    /// Which version.
    pub version: Version,
    /// From which commit.
    pub commit: Option<String>,
    /// What is worth knowing about it.
    pub notes: Option<String>,
    /// The image reference of each component.
    pub images: BTreeMap<ComponentName, String>,
    /// Who says so.
    pub actor: Actor,
    /// The client's key, when it gave one: then that alone says whether the report is a repetition.
    pub idempotency: Option<Idempotency>,
}

/// What came of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The entry.
    pub id: Uuid,
    /// Whether it is new; else it is the entry of an earlier report.
    pub new: bool,
}

/// What is known of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// Its images are being looked up.
    Resolving,
    /// Its probes must stay green for a watch window.
    Watching,
    /// Proved healthy for its watch window.
    Good,
    /// Its probes turned red and stayed red.
    Bad,
    /// Replaced before its watch window passed, or never seen running.
    Unproved,
    /// What was reported is not on the engine.
    Refused,
}

impl DeploymentState {
    const ALL: [Self; 6] = [
        Self::Resolving,
        Self::Watching,
        Self::Good,
        Self::Bad,
        Self::Unproved,
        Self::Refused,
    ];

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Watching => "watching",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unproved => "unproved",
            Self::Refused => "refused",
        }
    }
}

impl DeploymentState {
    /// What is known of its health; none before or without a look at it.
    #[must_use]
    pub fn health(self) -> Option<Health> {
        match self {
            Self::Watching => Some(Health::Watching),
            Self::Good => Some(Health::Good),
            Self::Bad => Some(Health::Bad),
            Self::Unproved => Some(Health::Unproved),
            Self::Resolving | Self::Refused => None,
        }
    }
}

impl std::str::FromStr for DeploymentState {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.word() == word)
            .ok_or_else(|| format!("state `{word}` is not known"))
    }
}

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Its identity.
    pub id: Uuid,
    /// Of which application.
    pub application: ApplicationName,
    /// Which version.
    pub version: Version,
    /// From which commit.
    pub commit: Option<String>,
    /// What is worth knowing about it.
    pub notes: Option<String>,
    /// How it was put in service.
    pub kind: DeploymentKind,
    /// By whom.
    pub actor: Actor,
    /// By which rollback.
    pub rollback: Option<RollbackId>,
    /// The image reference of each component, as given.
    pub images: BTreeMap<ComponentName, String>,
    /// When.
    pub deployed_at: Moment,
    /// What is known of it.
    pub state: DeploymentState,
    /// What each component runs, once it is known.
    pub components: BTreeMap<ComponentName, DeployedComponent>,
    /// The last thing that was said about its state.
    pub said: Option<String>,
    /// Since when its probes are green.
    pub green_since: Option<Moment>,
    /// When its watch window ends.
    pub watch_until: Option<Moment>,
    /// When its state became final.
    pub judged_at: Option<Moment>,
}

/// Which entries to list.
#[derive(Clone, Debug, Default)]
pub struct DeploymentFilter {
    /// Of this version only.
    pub version: Option<Version>,
    /// Of this kind only.
    pub kind: Option<DeploymentKind>,
    /// In this state only.
    pub state: Option<DeploymentState>,
}

#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    id: Uuid,
    application: String,
    version: String,
    commit_id: Option<String>,
    notes: Option<String>,
    kind: String,
    actor: String,
    rollback_id: Option<Uuid>,
    images: Json<BTreeMap<ComponentName, String>>,
    deployed_at: OffsetDateTime,
    state: String,
    components: Json<BTreeMap<ComponentName, DeployedComponent>>,
    said: Option<String>,
    green_since: Option<OffsetDateTime>,
    watch_until: Option<OffsetDateTime>,
    judged_at: Option<OffsetDateTime>,
}

impl Store {
    /// Records that a release was put in service. A report with a known key gives the entry of that key back. One
    /// without a key is a repetition when it says the same as the newest entry of the application, or as the newest
    /// one that was seen to run.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the application is not there, [`Error::IdempotencyMismatch`] when the key was used for
    /// another report, or as every store function.
    pub async fn deployment_record(&self, new: &NewDeployment) -> Result<Recorded> {
        let recorded = timed(async {
            let mut tx = self.pool.begin().await?;
            let recorded = record(&mut tx, new).await?;
            tx.commit().await?;
            Ok(recorded)
        })
        .await?;
        if recorded.new {
            self.announce(Topic::Work);
        }
        Ok(recorded)
    }

    /// An entry; one that a report has taken the place of is that report's.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn deployment_get(&self, id: Uuid) -> Result<Deployment> {
        let row: Option<Row> = timed(async {
            Ok(sqlx::query_as(
                "select d.id, d.application, d.version, d.commit_id, d.notes, d.kind, d.actor, d.rollback_id, d.images,
                        d.deployed_at, f.state, f.components, f.said, f.green_since, f.watch_until, f.judged_at
                 from deployment d join deployment_fact f on f.deployment_id = d.id
                 where d.id = (select coalesce(merged_into, deployment_id) from deployment_fact where deployment_id = $1)",
            )
            .bind(id)
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        deployment(row.ok_or(Error::NotFound("deployment"))?)
    }

    /// What is known of some entries, by their ids, and the last thing that was said about it.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployment_words(
        &self,
        ids: &[Uuid],
    ) -> Result<BTreeMap<Uuid, (DeploymentState, Option<String>)>> {
        let rows: Vec<(Uuid, String, Option<String>)> = timed(async {
            Ok(sqlx::query_as(
                "select deployment_id, state, said from deployment_fact where deployment_id = any($1)",
            )
            .bind(ids)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let word = |(id, state, said): (Uuid, String, Option<String>)| {
            let state = state
                .parse()
                .map_err(|error: String| corrupt("deployment", error))?;
            Ok((id, (state, said)))
        };
        rows.into_iter().map(word).collect()
    }

    /// Entries of an application, newest first.
    ///
    /// # Errors
    /// As every store function.
    pub async fn deployment_list(
        &self,
        application: &ApplicationName,
        filter: &DeploymentFilter,
        page: &Page<Uuid>,
    ) -> Result<Listed<Deployment, Uuid>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select d.id, d.application, d.version, d.commit_id, d.notes, d.kind, d.actor, d.rollback_id, d.images,
                        d.deployed_at, f.state, f.components, f.said, f.green_since, f.watch_until, f.judged_at
                 from deployment d join deployment_fact f on f.deployment_id = d.id
                 where d.application = $1 and ($2::uuid is null or d.id < $2) and f.merged_into is null
                   and ($3::text is null or d.version = $3)
                   and ($4::text is null or d.kind = $4)
                   and ($5::text is null or f.state = $5)
                 order by d.id desc limit $6",
            )
            .bind(application.as_str())
            .bind(page.after)
            .bind(filter.version.as_ref().map(Version::as_str))
            .bind(filter.kind.map(kind_word))
            .bind(filter.state.map(DeploymentState::word))
            .bind(page.fetch())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let items: Result<Vec<Deployment>> = rows.into_iter().map(deployment).collect();
        Ok(page.listed(items?, |deployment| deployment.id))
    }
}

async fn record(tx: &mut PgTransaction<'_>, new: &NewDeployment) -> Result<Recorded> {
    // Reports of one application take turns, so that a repeated one meets the first.
    let there: Option<i32> = sqlx::query_scalar(
        "select 1 from application where name = $1 and removed_at is null for no key update",
    )
    .bind(new.application.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    there.ok_or(Error::NotFound("application"))?;
    let hash = request_hash(&new.version, new.commit.as_deref(), &new.images);
    let earlier = match &new.idempotency {
        Some(key) => keyed(tx, key, new.id).await?,
        None => said_before(tx, &new.application, &hash).await?,
    };
    if let Some(id) = earlier {
        return Ok(Recorded { id, new: false });
    }
    sqlx::query(
        "with entry as (
             insert into deployment (id, application, version, commit_id, notes, kind, actor, images, deployed_at,
                                     request_hash)
             values ($1, $2, $3, $4, $5, 'deploy', $6, $7, date_trunc('milliseconds', clock_timestamp()), $8)
             returning id
         )
         insert into deployment_fact (deployment_id, state, wake_at) select id, 'resolving', now() from entry",
    )
    .bind(new.id)
    .bind(new.application.as_str())
    .bind(new.version.as_str())
    .bind(&new.commit)
    .bind(&new.notes)
    .bind(new.actor.as_str())
    .bind(Json(&new.images))
    .bind(&hash)
    .execute(&mut **tx)
    .await?;
    let object = format!("application/{}", new.application);
    let detail = json!({"deployment": new.id, "version": new.version, "commit": new.commit, "images": new.images});
    audit::enter(tx, &new.actor, "deployment.record", &object, detail).await?;
    Ok(Recorded {
        id: new.id,
        new: true,
    })
}

/// The entry that an earlier report with this key made; the key is this report's when it is the first. The key of a
/// report that was refused may be used again once its image is there.
async fn keyed(tx: &mut PgTransaction<'_>, key: &Idempotency, id: Uuid) -> Result<Option<Uuid>> {
    let earlier: Option<(Vec<u8>, Uuid, bool)> = sqlx::query_as(
        "select r.body_hash, r.deployment_id, f.state = 'refused'
         from deployment_request r join deployment_fact f on f.deployment_id = r.deployment_id
         where r.principal = $1 and r.key = $2",
    )
    .bind(&key.principal)
    .bind(&key.key)
    .fetch_optional(&mut **tx)
    .await?;
    match earlier {
        Some((hash, _, _)) if hash != key.body_hash => return Err(Error::IdempotencyMismatch),
        Some((_, earlier, false)) => return Ok(Some(earlier)),
        Some((_, _, true)) | None => {}
    }
    sqlx::query(
        "insert into deployment_request (principal, key, body_hash, deployment_id) values ($1, $2, $3, $4)
         on conflict on constraint deployment_request_key do update set deployment_id = excluded.deployment_id",
    )
    .bind(&key.principal)
    .bind(&key.key)
    .bind(&key.body_hash)
    .bind(id)
    .execute(&mut **tx)
    .await?;
    Ok(None)
}

/// The newest entry that counts, or the newest one that was seen to run, if it says the same. A report that was
/// refused may be repeated once its image is there.
async fn said_before(
    session: &mut PgConnection,
    application: &ApplicationName,
    hash: &[u8],
) -> Result<Option<Uuid>> {
    Ok(sqlx::query_scalar(
        "with counts as (
             select d.id, d.request_hash, d.deployed_at,
                    exists (select from jsonb_each(f.components) c where c.value ? 'specification') as ran
             from deployment d join deployment_fact f on f.deployment_id = d.id
             where d.application = $1 and f.state <> 'refused' and f.merged_into is null
         )
         select id from (
             (select * from counts order by deployed_at desc, id desc limit 1)
             union
             (select * from counts where ran order by deployed_at desc, id desc limit 1)
         ) newest
         where request_hash = $2 order by deployed_at desc limit 1",
    )
    .bind(application.as_str())
    .bind(hash)
    .fetch_optional(session)
    .await?)
}

/// What makes two reports the same: version, commit and images. Notes may be told better the second time.
pub(crate) fn request_hash(
    version: &Version,
    commit: Option<&str>,
    images: &BTreeMap<ComponentName, String>,
) -> Vec<u8> {
    use sha2::Digest as _;
    let said = json!([version, commit, images]).to_string();
    sha2::Sha256::digest(said.as_bytes()).to_vec()
}

fn kind_word(kind: DeploymentKind) -> &'static str {
    match kind {
        DeploymentKind::Deploy => "deploy",
        DeploymentKind::Rollback => "rollback",
        DeploymentKind::Detected => "detected",
    }
}

pub(crate) fn kind(word: &str) -> Result<DeploymentKind> {
    match word {
        "deploy" => Ok(DeploymentKind::Deploy),
        "rollback" => Ok(DeploymentKind::Rollback),
        "detected" => Ok(DeploymentKind::Detected),
        other => Err(corrupt(
            "deployment",
            format!("kind `{other}` is not known"),
        )),
    }
}

pub(crate) fn deployment(row: Row) -> Result<Deployment> {
    let bad = |error| corrupt("deployment", error);
    Ok(Deployment {
        id: row.id,
        application: row.application.parse().map_err(bad)?,
        version: row.version.parse().map_err(bad)?,
        commit: row.commit_id,
        notes: row.notes,
        kind: kind(&row.kind)?,
        actor: row.actor.parse().map_err(bad)?,
        rollback: row.rollback_id.map(RollbackId),
        images: row.images.0,
        deployed_at: row.deployed_at.into(),
        state: row
            .state
            .parse()
            .map_err(|error: String| corrupt("deployment", error))?,
        components: row.components.0,
        said: row.said,
        green_since: row.green_since.map(Moment::from),
        watch_until: row.watch_until.map(Moment::from),
        judged_at: row.judged_at.map(Moment::from),
    })
}
