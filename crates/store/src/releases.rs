//! Releases: what the ledger, the holds and the specifications say together of each version. Read only.

use std::collections::BTreeMap;

use domain::{
    hold::Marks,
    ledger::{RecordedSpecification, Release, ReleaseComponent},
    name::{ApplicationName, ComponentName, ImageId, PullReference, SpecificationDigest, Version},
    specification::Shape,
    supply::ImageSource,
    time::Moment,
};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    connect::{Store, timed},
    error::{Error, Result, corrupt},
    facts::DeployedComponent,
    ledger::{Deployment, DeploymentFilter},
    page::Page,
    seal::SecretKey,
    specifications::whole,
};

/// Most releases that a plan is chosen from: at ten deployments a day, the last three weeks of different versions.
const RELEASES_MAX: i64 = 200;
/// Most deployments shown with one release.
const DEPLOYMENTS_SHOWN: u32 = 20;

/// Everything about one release.
#[derive(Clone, Debug)]
pub struct ReleaseDetails {
    /// The release as the planner sees it.
    pub release: Release,
    /// Its deployments, newest first; the last twenty.
    pub deployments: Vec<Deployment>,
    /// What each component ran with.
    pub specifications: BTreeMap<ComponentName, SpecificationView>,
}

/// A specification without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecificationView {
    /// Its digest.
    pub digest: SpecificationDigest,
    /// The create body, without environment and image. It may hold secrets: see [`Specification::shown`]; without the
    /// key it is no more than that.
    ///
    /// [`Specification::shown`]: domain::specification::Specification::shown
    pub body: Value,
    /// Names of its environment entries; values are never shown.
    pub env_names: Vec<String>,
    /// Whether the environment can be read with the key we have.
    pub readable: bool,
    /// When it was first seen.
    pub created_at: Moment,
}

#[derive(sqlx::FromRow)]
struct Row {
    deployment: Uuid,
    version: String,
    commit_id: Option<String>,
    deployed_at: OffsetDateTime,
    components: Json<BTreeMap<ComponentName, DeployedComponent>>,
    good_at: Option<OffsetDateTime>,
    hold: Option<String>,
    insecure: Option<String>,
}

#[derive(sqlx::FromRow)]
struct SpecificationRow {
    digest: String,
    readable: bool,
    env_fingerprints: Json<BTreeMap<String, String>>,
    body: Value,
    body_sealed: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct ViewRow {
    digest: String,
    body: Value,
    body_sealed: Option<Vec<u8>>,
    readable: bool,
    env_fingerprints: Json<BTreeMap<String, String>>,
    created_at: OffsetDateTime,
}

impl Store {
    /// Why a release is held, and why it is insecure, at this moment.
    ///
    /// # Errors
    /// As every store function.
    pub async fn release_marks(
        &self,
        application: &ApplicationName,
        version: &Version,
    ) -> Result<Marks> {
        timed(async {
            let mut session = self.pool.acquire().await?;
            marks(&mut session, application, version).await
        })
        .await
    }

    /// The releases of an application as the planner sees them: for each version its newest deployment whose images
    /// are known, and when any deployment of it was last proved good, if its images were not judged bad since.
    ///
    /// # Errors
    /// As every store function.
    pub async fn releases(&self, application: &ApplicationName) -> Result<Vec<Release>> {
        self.releases_of(application, None).await
    }

    /// One release with its deployments and what its components ran with.
    ///
    /// # Errors
    /// [`Error::NotFound`], or as every store function.
    pub async fn release_get(
        &self,
        application: &ApplicationName,
        version: &Version,
    ) -> Result<ReleaseDetails> {
        let releases = self.releases_of(application, Some(version)).await?;
        let release = releases
            .into_iter()
            .next()
            .ok_or(Error::NotFound("release"))?;
        let filter = DeploymentFilter {
            version: Some(version.clone()),
            ..DeploymentFilter::default()
        };
        let page = Page {
            after: None,
            limit: DEPLOYMENTS_SHOWN,
        };
        let deployments = self
            .deployment_list(application, &filter, &page)
            .await?
            .items;
        let specifications = self.specification_views(&release).await?;
        Ok(ReleaseDetails {
            release,
            deployments,
            specifications,
        })
    }

    async fn releases_of(
        &self,
        application: &ApplicationName,
        version: Option<&Version>,
    ) -> Result<Vec<Release>> {
        let rows: Vec<Row> = timed(async {
            Ok(sqlx::query_as(RELEASES)
                .bind(application.as_str())
                .bind(version.map(Version::as_str))
                .bind(RELEASES_MAX)
                .fetch_all(&self.pool)
                .await?)
        })
        .await?;
        let known = self.recorded_specifications(&rows).await?;
        let copies = self.copies_by_image(application).await?;
        rows.into_iter()
            .map(|row| release(row, &known, &copies))
            .collect()
    }

    async fn recorded_specifications(
        &self,
        rows: &[Row],
    ) -> Result<BTreeMap<SpecificationDigest, RecordedSpecification>> {
        let parts = rows.iter().flat_map(|row| row.components.values());
        let wanted: Vec<String> = parts
            .filter_map(|part| part.specification.as_ref())
            .map(|digest| digest.as_str().to_owned())
            .collect();
        let rows: Vec<SpecificationRow> = timed(async {
            Ok(sqlx::query_as(
                "select digest, key_id = $2 as readable, env_fingerprints, body, body_sealed
                 from specification where digest = any($1)",
            )
            .bind(wanted)
            .bind(self.key.key_id().to_string())
            .fetch_all(&self.pool)
            .await?)
        })
        .await?;
        let recorded = rows.into_iter().map(|row| {
            let digest: SpecificationDigest = row
                .digest
                .parse()
                .map_err(|error| corrupt("specification", error))?;
            let body = self.body(&row);
            let recorded = RecordedSpecification {
                digest: digest.clone(),
                readable: row.readable,
                shape: body.as_ref().and_then(Shape::of),
                commands: body.as_ref().map(|body| self.key.commands(body)),
                env: row.env_fingerprints.0,
            };
            Ok((digest, recorded))
        });
        recorded.collect()
    }

    /// None when the body can not be read: half of it would say that the rest was not asked for.
    fn body(&self, row: &SpecificationRow) -> Option<Value> {
        let sealed = row.body_sealed.as_deref();
        whole(&self.key, &row.digest, row.body.clone(), sealed).ok()
    }

    async fn specification_views(
        &self,
        release: &Release,
    ) -> Result<BTreeMap<ComponentName, SpecificationView>> {
        let mut views = BTreeMap::new();
        for (component, part) in &release.components {
            let Some(recorded) = &part.specification else {
                continue;
            };
            let row: ViewRow = timed(async {
                Ok(sqlx::query_as(
                    "select digest, body, body_sealed, key_id = $2 as readable, env_fingerprints, created_at
                     from specification where digest = $1",
                )
                .bind(recorded.digest.as_str())
                .bind(self.key.key_id().to_string())
                .fetch_one(&self.pool)
                .await?)
            })
            .await?;
            views.insert(component.clone(), specification_view(&self.key, row)?);
        }
        Ok(views)
    }
}

/// Of each version the newest deployment that was seen to run: a report that came late, or whose containers were never
/// started, says nothing. What it ran with is that of the newest one with the same images that was proved, if any: a version
/// that was put in service again with other settings comes back with those that it was proved with, until it is proved with
/// the new ones. A proof counts only for the images that it was made with: a version that was built again is another release
/// until it is proved itself. It counts until the same images are judged bad, under whatever name: the newest judgement is the
/// one to believe. A hold goes with the images: a name that they were given since is held as well.
const RELEASES: &str = "
    with seen as (
        select d.id as deployment, d.version, d.commit_id, d.deployed_at, f.components, f.state = 'good' as good,
               (select jsonb_object_agg(c.key, c.value -> 'image') from jsonb_each(f.components) c) as images,
               exists (select from jsonb_each(f.components) c where c.value ? 'specification') as specified
        from deployment d join deployment_fact f on f.deployment_id = d.id
        where d.application = $1 and ($2::text is null or d.version = $2)
          and f.state in ('watching', 'good', 'bad', 'unproved') and f.merged_into is null
    ), newest as (
        select distinct on (version) * from seen
        order by version, specified desc, deployed_at desc, deployment desc
    ), usable as (
        select distinct on (n.version) n.deployment, n.version, n.commit_id, n.deployed_at, s.components
        from newest n join seen s on s.version = n.version and s.images is not distinct from n.images
        order by n.version, s.specified desc, s.good desc, s.deployed_at desc, s.deployment desc
    ), judged as (
        select d.version, f.state = 'good' as good, f.judged_at,
               (select jsonb_object_agg(c.key, c.value -> 'image') from jsonb_each(f.components) c) as images
        from deployment d join deployment_fact f on f.deployment_id = d.id
        where d.application = $1 and f.state in ('good', 'bad')
    ), proved as (
        select u.version, max(j.judged_at) filter (where j.good) as good_at
        from usable u
        join judged j on j.images = (select jsonb_object_agg(c.key, c.value -> 'image') from jsonb_each(u.components) c)
        where j.version = u.version or not j.good
        group by u.version
        having max(j.judged_at) filter (where j.good) >
               coalesce(max(j.judged_at) filter (where not j.good), '-infinity')
    ), holding as (
        select h.version, h.reason, h.insecure, h.held_at
        from hold h
        where h.application = $1 and not exists (select from hold_release r where r.hold_id = h.id)
    ), held as (
        select u.version, (array_agg(h.reason order by h.held_at desc))[1] as hold,
               (array_agg(h.reason order by h.held_at desc) filter (where h.insecure))[1] as insecure
        from usable u join holding h on h.version = u.version or (exists (
            select from deployment d join deployment_fact f on f.deployment_id = d.id
            where d.application = $1 and d.version = h.version and d.deployed_at <= h.held_at and (
                select jsonb_object_agg(c.key, c.value -> 'image') from jsonb_each(f.components) c
            ) = (
                select jsonb_object_agg(c.key, c.value -> 'image') from jsonb_each(u.components) c
            )
        ) and not exists (
            select from deployment d
            where d.application = $1 and d.version = u.version and d.deployed_at <= h.held_at
        ))
        group by u.version
    )
    select u.deployment, u.version, u.commit_id, u.deployed_at, u.components, p.good_at, h.hold, h.insecure
    from usable u
    left join proved p on p.version = u.version
    left join held h on h.version = u.version
    order by u.deployed_at desc, u.deployment desc limit $3";

/// Against a release at this moment; nothing against one that there is not.
pub(crate) async fn marks(
    session: &mut PgConnection,
    application: &ApplicationName,
    version: &Version,
) -> Result<Marks> {
    let row: Option<Row> = sqlx::query_as(RELEASES)
        .bind(application.as_str())
        .bind(version.as_str())
        .bind(1_i64)
        .fetch_optional(session)
        .await?;
    Ok(row.map_or_else(Marks::default, |row| Marks {
        hold: row.hold,
        insecure: row.insecure,
    }))
}

fn release(
    row: Row,
    known: &BTreeMap<SpecificationDigest, RecordedSpecification>,
    copies: &BTreeMap<ImageId, Vec<ImageSource>>,
) -> Result<Release> {
    let component = |(name, part): (ComponentName, DeployedComponent)| {
        let specification = part
            .specification
            .and_then(|digest| known.get(&digest).cloned());
        (
            name,
            ReleaseComponent {
                sources: sources(part.digests, copies.get(&part.image)),
                image: part.image,
                reference: part.reference,
                architecture: part.architecture,
                bytes: part.bytes,
                specification,
            },
        )
    };
    Ok(Release {
        deployment: row.deployment,
        version: row
            .version
            .parse()
            .map_err(|error| corrupt("release", error))?,
        commit: row.commit_id,
        deployed_at: row.deployed_at.into(),
        good_at: row.good_at.map(Moment::from),
        hold: row.hold,
        insecure: row.insecure,
        components: row.components.0.into_iter().map(component).collect(),
    })
}

fn sources(digests: Vec<PullReference>, copies: Option<&Vec<ImageSource>>) -> Vec<ImageSource> {
    let noted = digests
        .into_iter()
        .map(|reference| ImageSource::Registry { reference });
    copies.into_iter().flatten().cloned().chain(noted).collect()
}

/// With the part that everybody may see, when the rest can not be read.
fn specification_view(key: &SecretKey, row: ViewRow) -> Result<SpecificationView> {
    let sealed = row.body_sealed.as_deref();
    let body = match whole(key, &row.digest, row.body.clone(), sealed) {
        Err(Error::KeyLost(_)) => row.body,
        whole => whole?,
    };
    Ok(SpecificationView {
        digest: row
            .digest
            .parse()
            .map_err(|error| corrupt("specification", error))?,
        body,
        env_names: row.env_fingerprints.0.into_keys().collect(),
        readable: row.readable,
        created_at: row.created_at.into(),
    })
}
