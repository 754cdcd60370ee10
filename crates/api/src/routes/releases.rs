//! Releases: the versions that can be gone back to, and what is known of each.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use domain::{
    ledger::{Release, ReleaseComponent},
    name::{ApplicationName, ComponentName, ImageId, SpecificationDigest, Version},
    planner::{self, Blocker},
    readiness::ReadinessCode,
    retention::Why,
    source::TagsSeen,
    specification::Specification,
    target::{self, Target},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{SpecificationView, StoredReadiness};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    applications::{ApplicationPath, find},
    deployments::{DeploymentAnswer, StateWord},
};
use crate::{
    auth::{Act, Permit, Read},
    input::{At, Params},
    look::Sight,
    problem::Problem,
};

/// Names one release.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ReleasePath {
    /// Name of the application.
    #[param(inline, example = "shop")]
    pub name: ApplicationName,
    /// Version of the release.
    #[param(inline, example = "1.4.2")]
    pub version: Version,
}

/// How to list releases.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReleaseParams {
    /// Whether to look at the engine and say of each release whether it could come back now.
    pub readiness: Option<bool>,
}

/// The releases of an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleasesAnswer {
    /// The releases, newest deployment first.
    pub items: Vec<ReleaseAnswer>,
}

/// One release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseAnswer {
    /// Its version.
    pub version: Version,
    /// Its newest deployment.
    pub deployment: Uuid,
    /// When that was made.
    #[schema(value_type = String, format = DateTime)]
    pub deployed_at: Moment,
    /// What is known of that deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateWord>,
    /// Why, as a sentence: what was red, or what runs instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// When a deployment of it was last proved healthy for its whole watch window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub good_at: Option<Moment>,
    /// Why it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Why it is marked insecure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure: Option<String>,
    /// What each component runs, by name.
    #[schema(value_type = BTreeMap<String, ReleasePart>)]
    pub components: BTreeMap<ComponentName, ReleasePart>,
    /// Whether it is what runs; only with `readiness=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
    /// Whether it is the last known good release, given what runs; only with `readiness=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_known_good: Option<bool>,
    /// Whether it could come back, as it was last looked at; looked at every few minutes, and without being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ReadinessAnswer>,
    /// What stands in the way of it, nothing when it is ready; only with `readiness=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blockers: Option<Vec<Blocker>>,
}

/// Whether a release could come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadinessAnswer {
    /// Stable code.
    pub code: ReadinessCode,
    /// What was found.
    pub sentence: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_action: Option<String>,
    /// Why its images are kept; nothing when they are not.
    pub retained: BTreeSet<Why>,
    /// Whether it is kept as a way back and could not come back: somebody should act now.
    pub broken: bool,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Moment,
    /// When it was last looked at.
    #[schema(value_type = String, format = DateTime)]
    pub checked_at: Moment,
}

/// One component of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleasePart {
    /// The image.
    pub image: ImageId,
    /// The reference that it was deployed by.
    pub reference: String,
    /// The specification that it ran with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specification: Option<SpecificationDigest>,
}

/// One release with its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseDetailsAnswer {
    /// The release.
    pub release: ReleaseAnswer,
    /// Its deployments, newest first; the last twenty.
    pub deployments: Vec<DeploymentAnswer>,
    /// What each component ran with, by name.
    #[schema(value_type = BTreeMap<String, SpecificationAnswer>)]
    pub specifications: BTreeMap<ComponentName, SpecificationAnswer>,
}

/// What a component ran with. Environment values are never shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpecificationAnswer {
    /// Its digest.
    pub digest: SpecificationDigest,
    /// The engine's create body, without image and environment. Command lines, labels, health commands and options of
    /// drivers can hold secrets: they are sealed at rest, and only who may operate sees them.
    #[schema(value_type = Object)]
    pub body: Value,
    /// Names of its environment entries.
    pub env_names: Vec<String>,
    /// Whether the values can be read with the key that is here.
    pub readable: bool,
    /// When it was first seen.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Moment,
}

/// The releases of an application, newest first.
#[utoipa::path(get, path = "/api/v1/applications/{name}/releases", operation_id = "list_releases", tag = "ledger",
    params(ApplicationPath, ReleaseParams), responses(
        (status = 200, description = "The releases", body = ReleasesAnswer),
        (status = 503, description = "The engine does not answer; ask without `readiness`", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    permit: Permit<Read>,
    At(path): At<ApplicationPath>,
    Params(params): Params<ReleaseParams>,
) -> Result<Json<ReleasesAnswer>, Problem> {
    let mut items = if params.readiness == Some(true) {
        let sight = Sight::take(&permit, &path.name).await?;
        let tags = sight.tags_if_missing(&permit).await?;
        ready(&sight, tags.as_ref())
    } else {
        find(&permit, &path.name).await?;
        let releases = permit.store().releases(&path.name).await?;
        releases.into_iter().map(ReleaseAnswer::from).collect()
    };
    add_words(&permit, &path.name, &mut items).await?;
    Ok(Json(ReleasesAnswer {
        items: newest_first(items),
    }))
}

/// One release: its deployments, and what its components ran with.
#[utoipa::path(get, path = "/api/v1/applications/{name}/releases/{version}", operation_id = "get_release", tag = "ledger",
    params(ReleasePath), responses((status = 200, description = "The release", body = ReleaseDetailsAnswer)))]
pub(crate) async fn get(
    permit: Permit<Read>,
    At(path): At<ReleasePath>,
) -> Result<Json<ReleaseDetailsAnswer>, Problem> {
    find(&permit, &path.name).await?;
    let operates = permit.principal().role.may(Act::Operate);
    match permit.store().release_get(&path.name, &path.version).await {
        Ok(details) => {
            let mut release = [ReleaseAnswer::from(details.release)];
            add_words(&permit, &path.name, &mut release).await?;
            let [release] = release;
            Ok(Json(ReleaseDetailsAnswer {
                release,
                deployments: details.deployments.into_iter().map(Into::into).collect(),
                specifications: details
                    .specifications
                    .into_iter()
                    .map(|(name, view)| (name, shown(view.into(), operates)))
                    .collect(),
            }))
        }
        Err(store::Error::NotFound(_)) => Err(Problem::not_found("release", path.version.as_str())),
        Err(error) => Err(error.into()),
    }
}

/// How ready each was when it was last looked at, and what is known of its newest deployment.
async fn add_words(
    permit: &Permit<Read>,
    application: &ApplicationName,
    items: &mut [ReleaseAnswer],
) -> Result<(), Problem> {
    let mut stored = permit.store().readiness_list(application).await?;
    let ids: Vec<Uuid> = items.iter().map(|item| item.deployment).collect();
    let mut words = permit.store().deployment_words(&ids).await?;
    for item in items {
        item.readiness = stored.remove(&item.version).map(ReadinessAnswer::from);
        let (state, said) = words.remove(&item.deployment).unzip();
        item.state = state.map(StateWord::from);
        item.said = said.flatten();
    }
    Ok(())
}

fn shown(mut specification: SpecificationAnswer, operates: bool) -> SpecificationAnswer {
    if !operates {
        specification.body = Specification::shown(&specification.body);
    }
    specification
}

fn newest_first(mut items: Vec<ReleaseAnswer>) -> Vec<ReleaseAnswer> {
    items.sort_by(|left, right| {
        (right.deployed_at, &right.version).cmp(&(left.deployed_at, &left.version))
    });
    items
}

/// Each release with what a plan for it would say now.
fn ready(sight: &Sight, tags: Option<&TagsSeen>) -> Vec<ReleaseAnswer> {
    let present = planner::present(&sight.snapshot());
    let known_good = target::choose(
        &Target::LastKnownGood,
        &sight.releases,
        present.as_ref(),
        None,
    );
    let known_good = known_good.ok().map(|release| release.version.clone());
    let answer = |release: &Release| {
        let planned = sight.plan(&Target::Version(release.version.clone()), tags);
        ReleaseAnswer {
            present: Some(present.as_ref() == Some(&release.version)),
            last_known_good: Some(known_good.as_ref() == Some(&release.version)),
            blockers: Some(planned.err().unwrap_or_default()),
            ..ReleaseAnswer::from(release.clone())
        }
    };
    sight.releases.iter().map(answer).collect()
}

impl From<Release> for ReleaseAnswer {
    fn from(release: Release) -> Self {
        let components = release
            .components
            .into_iter()
            .map(|(name, part)| (name, part.into()));
        Self {
            components: components.collect(),
            version: release.version,
            deployment: release.deployment,
            deployed_at: release.deployed_at,
            state: None,
            said: None,
            good_at: release.good_at,
            hold: release.hold,
            insecure: release.insecure,
            present: None,
            last_known_good: None,
            readiness: None,
            blockers: None,
        }
    }
}

impl From<StoredReadiness> for ReadinessAnswer {
    fn from(stored: StoredReadiness) -> Self {
        Self {
            code: stored.readiness.code,
            sentence: stored.readiness.sentence,
            next_action: stored.readiness.next_action,
            retained: stored.retained,
            broken: stored.broken,
            since: stored.since,
            checked_at: stored.checked_at,
        }
    }
}

impl From<ReleaseComponent> for ReleasePart {
    fn from(part: ReleaseComponent) -> Self {
        let specification = part.specification.map(|recorded| recorded.digest);
        Self {
            image: part.image,
            reference: part.reference,
            specification,
        }
    }
}

impl From<SpecificationView> for SpecificationAnswer {
    fn from(view: SpecificationView) -> Self {
        Self {
            digest: view.digest,
            body: view.body,
            env_names: view.env_names,
            readable: view.readable,
            created_at: view.created_at,
        }
    }
}
