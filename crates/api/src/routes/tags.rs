//! The tags of the repository that an application is built from, beside what the ledger knows of each.

use axum::Json;
use domain::{
    ledger::Release,
    name::{CommitId, TagName, Version},
    source::{Source, Tag, TagsSeen, same_commit},
};
use serde::{Deserialize, Serialize};
use store::Question;
use utoipa::ToSchema;

use super::applications::{ApplicationPath, find};
use crate::{
    auth::{self, Permit},
    input::At,
    look,
    problem::Problem,
};

/// The tags of an application's repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagsAnswer {
    /// The repository, as the definition names it.
    pub repository: String,
    /// The tags, the highest version first; at most 500.
    pub items: Vec<TagAnswer>,
    /// Whether the repository has more.
    pub more: bool,
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagAnswer {
    /// Its name.
    pub tag: TagName,
    /// The commit that it names now.
    pub commit: CommitId,
    /// The version that it stands for, when it is written as the definition's pattern says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Whether the ledger has a release of that version.
    pub in_ledger: bool,
    /// The commit that the ledger has for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_commit: Option<String>,
    /// Whether the tag names another commit than the ledger has; absent when the ledger has none to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<bool>,
}

/// The tags of the application's repository, as it has them now.
#[utoipa::path(get, path = "/api/v1/applications/{name}/tags", operation_id = "list_tags", tag = "ledger",
    params(ApplicationPath), responses(
        (status = 200, description = "The tags", body = TagsAnswer),
        (status = 409, description = "The definition names no repository", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The repository does not answer", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    permit: Permit<auth::Plan>,
    At(path): At<ApplicationPath>,
) -> Result<Json<TagsAnswer>, Problem> {
    let (application, _) = find(&permit, &path.name).await?;
    let Some(source) = &application.source else {
        return Err(Problem::no_source(&path.name));
    };
    let releases = permit.store().releases(&path.name).await?;
    let question = Question::Tags {
        name: path.name.clone(),
        only: None,
    };
    let seen: TagsSeen = look::ask(&permit, question)
        .await?
        .map_err(|said| Problem::source_unreachable(&said))?;
    let more = seen.more;
    let items = seen
        .tags
        .into_iter()
        .map(|tag| answer(source, &releases, tag));
    Ok(Json(TagsAnswer {
        repository: source.repository.clone(),
        items: items.collect(),
        more,
    }))
}

fn answer(source: &Source, releases: &[Release], tag: Tag) -> TagAnswer {
    let version = source.version_of(&tag.name);
    let release = releases
        .iter()
        .find(|release| Some(&release.version) == version.as_ref());
    let recorded = release.and_then(|release| release.commit.clone());
    let same = recorded
        .as_deref()
        .and_then(|recorded| same_commit(recorded, &tag.commit));
    TagAnswer {
        tag: tag.name,
        commit: tag.commit,
        in_ledger: release.is_some(),
        version,
        ledger_commit: recorded,
        moved: same.map(|same| !same),
    }
}
