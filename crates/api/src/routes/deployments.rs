//! The ledger: what was put in service, by whom, and what was proved of it.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
};
use domain::{
    application::{Application, COMPONENTS_MAX},
    ledger::DeploymentKind,
    name::{Actor, ApplicationName, ComponentName, ImageId, RollbackId, Version},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::{Deployment, DeploymentFilter, Idempotency, NewDeployment, Page, Topic};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    applications::{ApplicationPath, find},
    page::{Listing, Paged, limit},
    rollbacks::key,
};
use crate::{
    auth::{Operate, Permit, Read},
    input::{At, InputWithBytes, Params},
    problem::{FieldError, Problem},
};

/// How long the answer waits for the worker to resolve the images; without an engine it comes as `resolving`.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether they are; somebody in CI waits, and rarely.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Longest notes: a changelog entry, not a changelog.
const NOTES_CHARS_MAX: usize = 4000;
/// Longest image reference: a registry's longest name, tag and digest.
const REFERENCE_CHARS_MAX: usize = 512;

/// A deployment that was made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"version": "1.5.0", "commit": "9f1c2ab", "images": {"api": "shop-api:1.5.0", "worker": "shop-worker:1.5.0"}}))]
pub struct DeploymentRequest {
    /// The version, as the application reports it.
    pub version: Version,
    /// The git commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9a-f]{7,64}$")]
    pub commit: Option<String>,
    /// What a person should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4000)]
    pub notes: Option<String>,
    /// The image of each component: tag or digest, resolved to a digest at once.
    #[schema(value_type = BTreeMap<String, String>)]
    pub images: BTreeMap<ComponentName, String>,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentAnswer {
    /// Its identity.
    pub id: Uuid,
    /// Its application.
    pub application: ApplicationName,
    /// The version.
    pub version: Version,
    /// The git commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// How it was put in service.
    pub kind: DeploymentKind,
    /// By whom.
    pub actor: Actor,
    /// The rollback that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_id: Option<RollbackId>,
    /// What is known of it.
    pub state: StateWord,
    /// Why, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The components, by name; empty until the images are resolved.
    #[schema(value_type = BTreeMap<String, DeployedPart>)]
    pub components: BTreeMap<ComponentName, DeployedPart>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub deployed_at: Moment,
    /// When its health was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub judged_at: Option<Moment>,
    /// What is wrong with the report, or what it will not lead to, with what to do; only in the answer to a report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What is known of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateWord {
    /// Its images are not looked up yet.
    Resolving,
    /// Its probes are watched.
    Watching,
    /// Proved healthy for its watch window.
    Good,
    /// Its probes turned red and stayed red.
    Bad,
    /// Replaced before its window passed, or never seen running.
    Unproved,
    /// An image is not on the engine; such a deployment is no release.
    Refused,
}

/// One component of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployedPart {
    /// The reference, as given.
    pub reference: String,
    /// The digest that it meant then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// Whether the specification that it ran with is recorded.
    pub specification: bool,
}

/// Which deployments.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeploymentParams {
    /// Only of this version.
    #[param(inline)]
    pub version: Option<Version>,
    /// Only of this kind.
    #[param(inline)]
    pub kind: Option<DeploymentKind>,
    /// Only in this state.
    #[param(inline)]
    pub state: Option<StateWord>,
    /// The `next` of the page before.
    pub after: Option<Uuid>,
    /// Most rows.
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
}

/// Names one deployment.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DeploymentPath {
    /// The deployment.
    pub id: Uuid,
}

/// Records that a release was put in service. The same report again answers with the same row.
///
/// With an `Idempotency-Key` the key says what is the same report, however late it is repeated. Without one, a report
/// is a repetition when it says the same as the newest row, or as the newest row that was seen to run.
///
/// Waits up to 5 s until the images are resolved to digests. `state` is `resolving` when the engine or the worker
/// does not answer; the deployment is recorded all the same and resolved later.
#[utoipa::path(post, path = "/api/v1/applications/{name}/deployments", operation_id = "record_deployment", tag = "ledger",
    params(ApplicationPath, ("idempotency-key" = Option<String>, Header, pattern = "^[!-~]{1,255}$",
        description = "A key of this deployment, such as the CI job's number; the same report with the same key is recorded once",
        example = "ci-4711")),
    request_body = DeploymentRequest, responses(
        (status = 201, description = "It was recorded", body = DeploymentAnswer, headers(("location" = String, description = "The deployment"))),
        (status = 200, description = "It was recorded before", body = DeploymentAnswer, headers(("location" = String, description = "The deployment"))),
        (status = 422, description = "Fields are wrong, or an image is not on the engine", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn record(
    permit: Permit<Operate>,
    At(path): At<ApplicationPath>,
    headers: HeaderMap,
    InputWithBytes(ask, bytes): InputWithBytes<DeploymentRequest>,
) -> Result<
    (
        StatusCode,
        [(HeaderName, String); 1],
        Json<DeploymentAnswer>,
    ),
    Problem,
> {
    let (application, _) = find(&permit, &path.name).await?;
    check(&ask, |component| application.component(component).is_some()).map_err(Problem::fields)?;
    let idempotency = idempotency(&permit, &headers, &path.name, &bytes)?;
    let mut wakes = permit.store().wake().subscribe(Topic::Answers);
    let recorded = permit
        .store()
        .deployment_record(&NewDeployment {
            id: Uuid::now_v7(),
            application: path.name,
            version: ask.version,
            commit: ask.commit,
            notes: ask.notes,
            images: ask.images,
            actor: permit.actor().clone(),
            idempotency,
        })
        .await?;
    let resolved = resolved(&permit, recorded.id, &mut wakes).await?;
    if resolved.state == store::DeploymentState::Refused {
        return Err(Problem::image_unknown(refused_images(&resolved)));
    }
    let status = if recorded.new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = format!("/api/v1/deployments/{}", recorded.id);
    let mut answer = DeploymentAnswer::from(resolved);
    answer.warnings = warnings(&application, &answer, recorded.new);
    Ok((status, [(header::LOCATION, location)], Json(answer)))
}

/// What whoever reported should know: a component without an image, and a verdict of before that stays.
fn warnings(application: &Application, answer: &DeploymentAnswer, new: bool) -> Vec<String> {
    let left_out: Vec<&str> = application
        .components
        .iter()
        .map(|component| &component.name)
        .filter(|name| !answer.components.contains_key(*name))
        .map(ComponentName::as_str)
        .collect();
    let version = &answer.version;
    let mut warnings = Vec::new();
    if !left_out.is_empty() {
        warnings.push(format!(
            "{} was left out: nothing can go back to {version} until a report names an image for every component",
            left_out.join(", ")
        ));
    }
    let word = match answer.state {
        StateWord::Bad => "bad",
        StateWord::Unproved => "unproved",
        StateWord::Resolving | StateWord::Watching | StateWord::Good | StateWord::Refused => {
            return warnings;
        }
    };
    if !new {
        let why = answer
            .said
            .as_ref()
            .map_or(String::new(), |said| format!(" ({said})"));
        warnings.push(format!(
            "this very report was recorded {} and judged {word}{why}, and that stays; once the cause is mended, in the \
             application or in its definition, have {version} judged anew by a report with a key that was not used \
             before (`record-deploy --key KEY`, `Idempotency-Key`)",
            answer.deployed_at
        ));
    }
    warnings
}

/// A key is the actor's own, and good for one report of one application.
fn idempotency(
    permit: &Permit<Operate>,
    headers: &HeaderMap,
    application: &ApplicationName,
    bytes: &[u8],
) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = key(headers)? else {
        return Ok(None);
    };
    let hash = Sha256::new()
        .chain_update(application.as_str())
        .chain_update([0])
        .chain_update(bytes);
    Ok(Some(Idempotency {
        principal: permit.actor().to_string(),
        key,
        body_hash: hash.finalize().to_vec(),
    }))
}

/// Deployments of an application, newest first.
#[utoipa::path(get, path = "/api/v1/applications/{name}/deployments", operation_id = "list_deployments", tag = "ledger",
    params(ApplicationPath, DeploymentParams), responses((status = 200, description = "A page of deployments",
        body = Listing<DeploymentAnswer>, headers(("link" = String, description = "The next page, RFC 8288")))))]
pub(crate) async fn list(
    permit: Permit<Read>,
    At(path): At<ApplicationPath>,
    Params(ask): Params<DeploymentParams>,
    uri: Uri,
) -> Result<Paged<DeploymentAnswer>, Problem> {
    find(&permit, &path.name).await?;
    let filter = DeploymentFilter {
        version: ask.version,
        kind: ask.kind,
        state: ask.state.map(Into::into),
    };
    let page = Page {
        after: ask.after,
        limit: limit(ask.limit)?,
    };
    let listed = permit
        .store()
        .deployment_list(&path.name, &filter, &page)
        .await?;
    let next = listed.next.map(|position: Uuid| position.to_string());
    let listing = Listing {
        items: listed.items.into_iter().map(Into::into).collect(),
        next,
    };
    Ok(Paged { listing, uri })
}

/// One deployment.
#[utoipa::path(get, path = "/api/v1/deployments/{id}", operation_id = "get_deployment", tag = "ledger",
    params(DeploymentPath), responses((status = 200, description = "The deployment", body = DeploymentAnswer)))]
pub(crate) async fn get(
    permit: Permit<Read>,
    At(path): At<DeploymentPath>,
) -> Result<Json<DeploymentAnswer>, Problem> {
    let missing = || Problem::not_found("deployment", &path.id.to_string());
    match permit.store().deployment_get(path.id).await {
        Ok(deployment) if permit.sees(&deployment.application) => Ok(Json(deployment.into())),
        Ok(_) | Err(store::Error::NotFound(_)) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

fn check(
    ask: &DeploymentRequest,
    known: impl Fn(&ComponentName) -> bool,
) -> Result<(), Vec<FieldError>> {
    let mut bad = bad_images(&ask.images, known);
    if ask.images.is_empty() {
        bad.push(FieldError {
            field: "images".to_owned(),
            what: format!("give 1 to {COMPONENTS_MAX}, one for each component"),
        });
    }
    let mut refuse = |field: String, what: String| bad.push(FieldError { field, what });
    let hex = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    if ask
        .commit
        .as_deref()
        .is_some_and(|commit| !(7..=64).contains(&commit.len()) || !hex(commit))
    {
        refuse(
            "commit".to_owned(),
            "use 7 to 64 lower-case hex digits".to_owned(),
        );
    }
    if ask
        .notes
        .as_deref()
        .is_some_and(|notes| notes.chars().count() > NOTES_CHARS_MAX)
    {
        refuse(
            "notes".to_owned(),
            format!("use at most {NOTES_CHARS_MAX} characters"),
        );
    }
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

/// What is wrong with the images of a request; none given is nobody's fault here.
pub(crate) fn bad_images(
    images: &BTreeMap<ComponentName, String>,
    known: impl Fn(&ComponentName) -> bool,
) -> Vec<FieldError> {
    let mut bad = Vec::new();
    let mut refuse = |field: String, what: String| bad.push(FieldError { field, what });
    if images.len() > COMPONENTS_MAX {
        refuse(
            "images".to_owned(),
            format!("give 1 to {COMPONENTS_MAX}, one for each component"),
        );
    }
    for (component, reference) in images {
        if !known(component) {
            refuse(
                format!("images.{component}"),
                "is not a component of the application".to_owned(),
            );
        }
        let plain = (1..=REFERENCE_CHARS_MAX).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_graphic())
            && !reference.starts_with('-');
        if !plain {
            refuse(
                format!("images.{component}"),
                "is not an image reference, such as `shop-api:1.5.0`".to_owned(),
            );
        }
    }
    bad
}

async fn resolved(
    permit: &Permit<Operate>,
    id: Uuid,
    wakes: &mut store::Wakes,
) -> Result<Deployment, Problem> {
    let deadline = tokio::time::Instant::now() + RESOLVE_TIMEOUT;
    loop {
        let deployment = permit.store().deployment_get(id).await?;
        let late = tokio::time::Instant::now() >= deadline;
        if deployment.state != store::DeploymentState::Resolving || late {
            return Ok(deployment);
        }
        crate::clock::pause(
            wakes,
            deadline.min(tokio::time::Instant::now() + LOOK_AGAIN),
        )
        .await;
    }
}

/// The worker's sentence names the reference and the component; the field is found by them.
fn refused_images(deployment: &Deployment) -> Vec<FieldError> {
    let said = deployment
        .said
        .clone()
        .unwrap_or_else(|| "an image is not on the engine".to_owned());
    let named = |(component, reference): &(&ComponentName, &String)| {
        said.contains(&format!("`{reference}`")) && said.contains(&format!(" of {component} "))
    };
    let found = deployment.images.iter().find(named);
    let field = found.map_or("images".to_owned(), |(component, _)| {
        format!("images.{component}")
    });
    vec![FieldError { field, what: said }]
}

impl From<Deployment> for DeploymentAnswer {
    fn from(deployment: Deployment) -> Self {
        let part = |(name, reference): (&ComponentName, &String)| {
            let fact = deployment.components.get(name);
            let part = DeployedPart {
                reference: reference.clone(),
                image: fact.map(|fact| fact.image.clone()),
                specification: fact.is_some_and(|fact| fact.specification.is_some()),
            };
            (name.clone(), part)
        };
        Self {
            components: deployment.images.iter().map(part).collect(),
            id: deployment.id,
            application: deployment.application,
            version: deployment.version,
            commit: deployment.commit,
            notes: deployment.notes,
            kind: deployment.kind,
            actor: deployment.actor,
            rollback_id: deployment.rollback,
            state: deployment.state.into(),
            said: deployment.said,
            deployed_at: deployment.deployed_at,
            judged_at: deployment.judged_at,
            warnings: Vec::new(),
        }
    }
}

impl From<store::DeploymentState> for StateWord {
    fn from(state: store::DeploymentState) -> Self {
        match state {
            store::DeploymentState::Resolving => Self::Resolving,
            store::DeploymentState::Watching => Self::Watching,
            store::DeploymentState::Good => Self::Good,
            store::DeploymentState::Bad => Self::Bad,
            store::DeploymentState::Unproved => Self::Unproved,
            store::DeploymentState::Refused => Self::Refused,
        }
    }
}

impl From<StateWord> for store::DeploymentState {
    fn from(state: StateWord) -> Self {
        match state {
            StateWord::Resolving => Self::Resolving,
            StateWord::Watching => Self::Watching,
            StateWord::Good => Self::Good,
            StateWord::Bad => Self::Bad,
            StateWord::Unproved => Self::Unproved,
            StateWord::Refused => Self::Refused,
        }
    }
}
