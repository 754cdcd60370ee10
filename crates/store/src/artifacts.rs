//! What a rollback captured of the containers before it touched them. Sealed: logs and inspections hold secrets.

use std::collections::BTreeSet;

use domain::{
    name::{ComponentName, ContainerId, RollbackId},
    time::Moment,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    runs::Held,
};

/// Most bytes of one artifact: the last thousand lines of a log fit, and twice as many replicas as an application
/// may have stay below what one rollback may cost.
pub const ARTIFACT_BYTES_MAX: usize = 1 << 20;

/// What kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// The last lines of its log.
    Logs,
    /// What the engine says of it.
    Inspect,
}

impl ArtifactKind {
    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Inspect => "inspect",
        }
    }
}

/// Evidence to store.
#[derive(Clone, Copy, Debug)]
pub struct NewArtifact<'a> {
    /// The component.
    pub component: &'a ComponentName,
    /// The container.
    pub container: &'a ContainerId,
    /// What kind.
    pub kind: ArtifactKind,
    /// The evidence; what is above [`ARTIFACT_BYTES_MAX`] is cut off at the front, as the end of a log tells most.
    pub content: &'a [u8],
}

/// Evidence in the store, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its identity.
    pub id: Uuid,
    /// The rollback.
    pub rollback: RollbackId,
    /// The component.
    pub component: ComponentName,
    /// The container.
    pub container: ContainerId,
    /// What kind.
    pub kind: ArtifactKind,
    /// How long it is.
    pub bytes: u32,
    /// When it was stored.
    pub created_at: Moment,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    rollback_id: Uuid,
    component: String,
    container_id: String,
    kind: String,
    bytes: i32,
    created_at: OffsetDateTime,
}

#[derive(sqlx::FromRow)]
struct Sealed {
    #[sqlx(flatten)]
    row: Row,
    sealed: Vec<u8>,
}

impl Store {
    /// Stores evidence while the claim is ours. What is stored already stays as it is.
    ///
    /// # Errors
    /// [`Error::Fenced`], or as every store function.
    pub async fn artifact_put(&self, held: &Held, new: &NewArtifact<'_>) -> Result<()> {
        let content = &new.content[new.content.len().saturating_sub(ARTIFACT_BYTES_MAX)..];
        let about = about(held.rollback.0, new.container.as_str(), new.kind.word());
        let sealed = self.key.seal(&about, content);
        let claimed: bool = timed(async {
            Ok(sqlx::query_scalar(
                "with held as (
                     select rollback_id from rollback_run
                     where rollback_id = $1 and fence = $2 and lease_until > now()
                 ), stored as (
                     insert into artifact (rollback_id, component, container_id, kind, sealed, bytes)
                     select rollback_id, $3, $4, $5, $6, $7 from held
                     on conflict on constraint artifact_once do nothing
                 )
                 select exists (select from held)",
            )
            .bind(held.rollback.0)
            .bind(held.fence.0)
            .bind(new.component.as_str())
            .bind(new.container.as_str())
            .bind(new.kind.word())
            .bind(sealed)
            .bind(i32::try_from(content.len()).unwrap_or(i32::MAX))
            .fetch_one(&self.pool)
            .await?)
        })
        .await?;
        if claimed { Ok(()) } else { Err(Error::Fenced) }
    }

    /// The containers of which a rollback has stored both log and inspection.
    ///
    /// # Errors
    /// As every store function.
    pub async fn captured(&self, rollback: RollbackId) -> Result<BTreeSet<ContainerId>> {
        let ids: Vec<String> = timed(async {
            Ok(sqlx::query_scalar(
                "select container_id from artifact where rollback_id = $1
                 group by container_id having count(*) = 2",
            )
            .bind(rollback.0)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        ids.into_iter()
            .map(|id| id.parse().map_err(|error| corrupt("artifact", error)))
            .collect()
    }

    /// The evidence of a rollback. There is one of each kind for each container that it touched.
    ///
    /// # Errors
    /// As every store function.
    pub async fn artifacts_list(&self, rollback: RollbackId) -> Result<Vec<Artifact>> {
        // Two for each replica of an application with its 64 components; more are not an answer that is read.
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select id, rollback_id, component, container_id, kind, bytes, created_at from artifact
                 where rollback_id = $1 order by created_at, kind limit 1000",
            )
            .bind(rollback.0)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        rows.into_iter().map(artifact).collect()
    }

    /// One piece of evidence with its content.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::KeyLost`], or as every store function.
    pub async fn artifact_get(&self, id: Uuid) -> Result<(Artifact, Vec<u8>)> {
        let row: Option<Sealed> = timed(async {
            Ok(sqlx::query_as(
                "select id, rollback_id, component, container_id, kind, bytes, created_at, sealed
                 from artifact where id = $1",
            )
            .bind(id)
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        let Sealed { row, sealed } = row.ok_or(Error::NotFound("artifact"))?;
        let about = about(row.rollback_id, &row.container_id, &row.kind);
        let content = self.key.open(&about, &sealed)?;
        Ok((artifact(row)?, content))
    }
}

fn about(rollback: Uuid, container: &str, kind: &str) -> String {
    format!("artifact/{rollback}/{container}/{kind}")
}

fn artifact(row: Row) -> Result<Artifact> {
    let bad = |error| corrupt("artifact", error);
    let kinds = [ArtifactKind::Logs, ArtifactKind::Inspect];
    let kind = kinds.into_iter().find(|kind| kind.word() == row.kind);
    Ok(Artifact {
        id: row.id,
        rollback: RollbackId(row.rollback_id),
        component: row.component.parse().map_err(bad)?,
        container: row.container_id.parse().map_err(bad)?,
        kind: kind.ok_or_else(|| corrupt("artifact", "its kind is not known"))?,
        bytes: row.bytes.max(0).cast_unsigned(),
        created_at: row.created_at.into(),
    })
}
