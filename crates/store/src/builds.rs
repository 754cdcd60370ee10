//! The builds of rollbacks: what each said, and what it made on the engine, so that it can be removed again.

use std::str::FromStr;

use domain::{
    name::{ComponentName, ImageId, RollbackId},
    time::Moment,
};
use time::OffsetDateTime;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    runs::Held,
};

/// Where a build is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildState {
    /// It goes on, or its worker died.
    #[default]
    Building,
    /// Its image is there.
    Built,
    /// It failed.
    Failed,
    /// What it left was removed.
    Dropped,
}

impl BuildState {
    const ALL: [Self; 4] = [Self::Building, Self::Built, Self::Failed, Self::Dropped];

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Built => "built",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl FromStr for BuildState {
    type Err = String;
    fn from_str(word: &str) -> std::result::Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.word() == word)
            .ok_or_else(|| format!("state `{word}` is not known"))
    }
}

/// What is known of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildFacts {
    /// Where it is.
    pub state: BuildState,
    /// The image that it gave.
    pub image: Option<ImageId>,
    /// The images below it.
    pub layers: Vec<String>,
    /// The containers that its instructions ran in.
    pub containers: Vec<String>,
    /// The last lines of its log.
    pub tail: String,
    /// How many lines its log has.
    pub lines: u32,
}

/// One build of a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildView {
    /// The component.
    pub component: ComponentName,
    /// What is known of it.
    pub facts: BuildFacts,
    /// When it began.
    pub begun_at: Moment,
    /// When it was last heard of.
    pub told_at: Moment,
}

#[derive(sqlx::FromRow)]
struct Row {
    component: String,
    state: String,
    image: Option<String>,
    layers: Vec<String>,
    containers: Vec<String>,
    tail: String,
    lines: i32,
    begun_at: OffsetDateTime,
    told_at: OffsetDateTime,
}

impl Store {
    /// Writes what is known of a build while the claim is ours. What an earlier worker's build of the same component
    /// made stays in the list: it is removed together.
    ///
    /// # Errors
    /// [`Error::Fenced`], or as every store function.
    pub async fn build_put(
        &self,
        held: &Held,
        component: &ComponentName,
        facts: &BuildFacts,
    ) -> Result<()> {
        let claimed: bool = timed(async {
            Ok(sqlx::query_scalar(
                "with held as (
                     select rollback_id from rollback_run
                     where rollback_id = $1 and fence = $2 and lease_until > now()
                 ), stored as (
                     insert into build as b (rollback_id, component, state, image, layers, containers, tail, lines)
                     select rollback_id, $3, $4, $5, $6, $7, $8, $9 from held
                     on conflict on constraint build_key do update
                     set state = excluded.state, image = coalesce(excluded.image, b.image),
                         layers = b.layers || array(select unnest(excluded.layers) except select unnest(b.layers)),
                         containers = b.containers
                             || array(select unnest(excluded.containers) except select unnest(b.containers)),
                         tail = excluded.tail, lines = excluded.lines, told_at = now()
                 )
                 select exists (select from held)",
            )
            .bind(held.rollback.0)
            .bind(held.fence.0)
            .bind(component.as_str())
            .bind(facts.state.word())
            .bind(facts.image.as_ref().map(ImageId::as_str))
            .bind(&facts.layers)
            .bind(&facts.containers)
            .bind(facts.tail.replace('\0', ""))
            .bind(i32::try_from(facts.lines).unwrap_or(i32::MAX))
            .fetch_one(&self.pool)
            .await?)
        })
        .await?;
        if claimed { Ok(()) } else { Err(Error::Fenced) }
    }

    /// The builds of a rollback, in the order in which they began.
    ///
    /// # Errors
    /// As every store function.
    pub async fn builds(&self, rollback: RollbackId) -> Result<Vec<BuildView>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(
                "select component, state, image, layers, containers, tail, lines, begun_at, told_at
                 from build where rollback_id = $1 order by begun_at, component",
            )
            .bind(rollback.0)
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        rows.into_iter().map(view).collect()
    }
}

fn view(row: Row) -> Result<BuildView> {
    let bad = |error| corrupt("build", error);
    let image = row
        .image
        .map(|image| image.parse().map_err(bad))
        .transpose()?;
    let facts = BuildFacts {
        state: row
            .state
            .parse()
            .map_err(|error: String| corrupt("build", error))?,
        image,
        layers: row.layers,
        containers: row.containers,
        tail: row.tail,
        lines: u32::try_from(row.lines).unwrap_or(0),
    };
    Ok(BuildView {
        component: row.component.parse().map_err(bad)?,
        facts,
        begun_at: row.begun_at.into(),
        told_at: row.told_at.into(),
    })
}
