//! May this be deployed? CI asks before it deploys; nothing is changed and nothing is recorded.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use domain::{
    hold::{self, By, Hold},
    ledger::Release,
    name::{ApplicationName, ComponentName, ImageId, Version},
    reason::Reason,
};
use serde::{Deserialize, Serialize};
use store::Question;
use utoipa::ToSchema;

use super::{applications::find, deployments::bad_images};
use crate::{
    auth::{Permit, Read},
    input::Input,
    look::ask,
    problem::{FieldError, Problem},
};

/// What somebody is about to deploy: its version, its images, or both.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"application": "shop", "version": "1.5.0", "images": {"api": "shop-api:1.5.0"}}))]
pub struct DeploymentCheck {
    /// Of which application.
    pub application: ApplicationName,
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The image of each component: tag or digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub images: BTreeMap<ComponentName, String>,
}

/// Yes or no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentCheckAnswer {
    /// Whether it may be deployed now.
    pub allowed: bool,
    /// Why not, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CheckCode>,
    /// Why not, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_action: Option<String>,
    /// The version whose hold is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Version>,
    /// References that neither the engine nor the ledger knows: of these only the version could be checked.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_on_engine: BTreeSet<String>,
}

/// Why something may not be deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckCode {
    /// The release is held.
    Held,
    /// The release is held because it is insecure.
    Insecure,
    /// A rollback acts on the application.
    RollbackActive,
}

/// Answers CI whether a version, or some images, may be deployed now. A no is an answer, not an error.
#[utoipa::path(post, path = "/api/v1/deployments:check", operation_id = "check_deployment", tag = "ledger",
    request_body = DeploymentCheck, responses(
        (status = 200, description = "Yes, or no with the reason and what to do", body = DeploymentCheckAnswer),
        (status = 404, description = "There is no such application", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Images were given and the engine does not answer", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn check(
    permit: Permit<Read>,
    Input(wish): Input<DeploymentCheck>,
) -> Result<Json<DeploymentCheckAnswer>, Problem> {
    let (application, _) = find(&permit, &wish.application).await?;
    let mut bad = bad_images(&wish.images, |name| application.component(name).is_some());
    if wish.version.is_none() && wish.images.is_empty() {
        bad.push(FieldError {
            field: "version".to_owned(),
            what: "give the version, the images, or both".to_owned(),
        });
    }
    if !bad.is_empty() {
        return Err(Problem::fields(bad));
    }
    let store = permit.store();
    let holds = store.holds_active(&wish.application).await?;
    let releases = store.releases(&wish.application).await?;
    let (name, version) = (&wish.application, wish.version.as_ref());
    // The version needs no engine: its no stands whatever answers.
    if let Some((hold, by)) = hold::against(&holds, &releases, version, &BTreeMap::new()) {
        return Ok(Json(held(name, hold, &by)));
    }
    let (images, not_on_engine) =
        digests(&permit, &application.engine, &wish.images, &releases).await?;
    if let Some((hold, by)) = hold::against(&holds, &releases, version, &images) {
        return Ok(Json(held(name, hold, &by)));
    }
    let acting = store.standpoint(name).await?.acting;
    let no = acting.then(|| no_while_acting(name));
    Ok(Json(DeploymentCheckAnswer {
        not_on_engine,
        ..no.unwrap_or_else(yes)
    }))
}

/// What the references name on the engine now, or in the ledger by digest, and those that name nothing in either.
async fn digests(
    permit: &Permit<Read>,
    engine: &str,
    images: &BTreeMap<ComponentName, String>,
    releases: &[Release],
) -> Result<(BTreeMap<ComponentName, ImageId>, BTreeSet<String>), Problem> {
    if images.is_empty() {
        return Ok((BTreeMap::new(), BTreeSet::new()));
    }
    let references: BTreeSet<&String> = images.values().collect();
    let question = Question::Images {
        engine: engine.to_owned(),
        references: references.into_iter().cloned().collect(),
    };
    let found: BTreeMap<String, Option<ImageId>> = ask(permit, question)
        .await?
        .map_err(|said| Problem::engine_unreachable(&said))?;
    let (mut known, mut unknown) = (BTreeMap::new(), BTreeSet::new());
    for (component, reference) in images {
        let on_engine = found.get(reference).cloned().flatten();
        let by_digest = || hold::image_by_digest(releases, component, reference).cloned();
        match on_engine.or_else(by_digest) {
            Some(image) => {
                known.insert(component.clone(), image);
            }
            None => {
                unknown.insert(reference.clone());
            }
        }
    }
    Ok((known, unknown))
}

fn yes() -> DeploymentCheckAnswer {
    DeploymentCheckAnswer {
        allowed: true,
        code: None,
        reason: None,
        next_action: None,
        held: None,
        not_on_engine: BTreeSet::new(),
    }
}

fn held(application: &ApplicationName, hold: &Hold, by: &By) -> DeploymentCheckAnswer {
    let version = &hold.version;
    let reason = match by {
        By::Version => format!("{version} is held: {}", hold.reason),
        By::Image(component) => format!(
            "the image of {component} is one of {version}, which is held: {}",
            hold.reason
        ),
    };
    let code = match hold.cause {
        Reason::Security => CheckCode::Insecure,
        Reason::CriticalBug | Reason::Performance | Reason::Integration | Reason::HealthChecks => {
            CheckCode::Held
        }
    };
    let next_action = format!(
        "deploy another version, or have a person release the hold: `sternway release {application} {version}`"
    );
    DeploymentCheckAnswer {
        allowed: false,
        code: Some(code),
        reason: Some(reason),
        next_action: Some(next_action),
        held: Some(version.clone()),
        ..yes()
    }
}

fn no_while_acting(application: &ApplicationName) -> DeploymentCheckAnswer {
    DeploymentCheckAnswer {
        allowed: false,
        code: Some(CheckCode::RollbackActive),
        reason: Some(format!("a rollback of {application} is under way")),
        next_action: Some(format!(
            "wait until it is over (`sternway status {application}`), then ask again"
        )),
        ..yes()
    }
}
