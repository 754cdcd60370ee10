//! Plans: what a rollback would do. Making one changes nothing.

use axum::Json;
use domain::{
    checklist::{self, Check, Suspect},
    engine_look::EngineFacts,
    name::{ApplicationName, CommitId, PlanDigest, TagName, Version},
    plan::{Plan, Strategy},
    planner::{Downtime, Proposal, Warning},
    target::Target,
    time::Moment,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::applications::ApplicationPath;
use crate::{
    auth::{self, Permit, Read},
    input::{At, Input},
    look::{Sight, Wish},
    problem::Problem,
};

/// What to go back to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"target": "last_known_good"}))]
pub struct PlanRequest {
    /// `last_known_good` when left out.
    #[serde(default)]
    pub target: Target,
    /// How the way back is walked; `quick` when left out. `rebuild` builds the target's images again from the version's
    /// git tag, where the definition says how.
    #[serde(default)]
    pub strategy: Strategy,
    /// Build what the version's tag names now although the ledger says that the version was built from another commit.
    #[serde(default)]
    pub confirm_moved_tag: bool,
}

/// A plan, with what a person should know before saying yes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanAnswer {
    /// What a request and an approval name.
    pub digest: PlanDigest,
    /// The application.
    pub application: ApplicationName,
    /// What was asked for.
    pub target: Target,
    /// The version that runs, when the ledger knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The version to go back to.
    pub to: Version,
    /// How the way back is walked.
    pub strategy: Strategy,
    /// What the images are built from, when they are built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceAnswer>,
    /// Whether the target is what runs.
    pub changes_nothing: bool,
    /// What would be done, in order.
    pub steps: Vec<PlannedStep>,
    /// How long clients would go without an answer; absent when an old plan is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Downtime>,
    /// What stays as it is.
    #[serde(default)]
    pub unchanged: Vec<String>,
    /// What is worth knowing.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// The runbook's checklist: what the facts show, and what a person has to say; absent when an old plan is read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checklist: Vec<Check>,
    /// When the engine was looked at; absent when an old plan is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub seen_at: Option<Moment>,
    /// The engine, as seen then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineAnswer>,
    /// Whether another person has to approve it.
    pub approval_required: bool,
    /// How many other persons have to, where any has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<u8>,
}

/// The commit that a plan builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceAnswer {
    /// The tag of the version.
    pub tag: TagName,
    /// The commit that it named when the plan was made.
    pub commit: CommitId,
    /// The commit that the ledger has, when the tag was moved since and that was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedStep {
    /// Its number, from 1.
    pub number: u32,
    /// It in one or two words.
    pub title: String,
    /// It as a plain sentence.
    pub sentence: String,
}

/// An engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineAnswer {
    /// Its host name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The newest API version it speaks.
    pub api_version: String,
}

/// Names one plan.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct PlanPath {
    /// Digest of the plan.
    #[param(inline)]
    pub digest: PlanDigest,
}

/// Computes a plan from a fresh look at the engine. Nothing is changed.
#[utoipa::path(post, path = "/api/v1/applications/{name}/plans", operation_id = "make_plan", tag = "plans",
    params(ApplicationPath), request_body = PlanRequest, responses(
        (status = 200, description = "The plan", body = PlanAnswer),
        (status = 409, description = "Something stands in the way: see `blockers`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The engine does not answer", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn make(
    permit: Permit<auth::Plan>,
    At(path): At<ApplicationPath>,
    Input(ask): Input<PlanRequest>,
) -> Result<Json<PlanAnswer>, Problem> {
    // In the middle of a rollback the engine shows neither what was nor what will be.
    crate::routes::rollbacks::none_acts(&permit, &path.name).await?;
    let sight = Sight::take(&permit, &path.name).await?;
    let wish = Wish {
        target: &ask.target,
        strategy: ask.strategy,
        confirm_moved_tag: ask.confirm_moved_tag,
    };
    let proposal = sight.propose(&permit, &wish).await?;
    permit
        .store()
        .plan_put(&proposal.plan, permit.actor())
        .await?;
    let checklist = checklist(&permit, &proposal.plan, &sight).await?;
    Ok(Json(PlanAnswer {
        checklist,
        ..proposed(proposal, &sight)
    }))
}

/// A plan that was made. What is only true of a moment (downtime, warnings, engine) is not in it.
#[utoipa::path(get, path = "/api/v1/plans/{digest}", operation_id = "get_plan", tag = "plans",
    params(PlanPath), responses((status = 200, description = "The plan", body = PlanAnswer)))]
pub(crate) async fn get(
    permit: Permit<Read>,
    At(path): At<PlanPath>,
) -> Result<Json<PlanAnswer>, Problem> {
    let missing = || Problem::not_found("plan", path.digest.as_str());
    match permit.store().plan_get(&path.digest).await {
        Ok(plan) if permit.sees(&plan.application.name) => Ok(Json(answer(&plan))),
        Ok(_) | Err(store::Error::NotFound(_)) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

/// What the ledger knows of where from and where to.
async fn checklist(
    permit: &Permit<auth::Plan>,
    plan: &Plan,
    sight: &Sight,
) -> Result<Vec<Check>, Problem> {
    let named = |version: &Version| {
        let mut all = sight.releases.iter();
        all.find(|release| release.version == *version)
    };
    let Some(target) = named(&plan.to) else {
        return Ok(Vec::new());
    };
    let runs = match plan.from.as_ref().and_then(named) {
        None => None,
        Some(release) => {
            let entry = permit.store().deployment_get(release.deployment).await?;
            Some(Suspect {
                version: entry.version,
                deployed_at: entry.deployed_at,
                health: entry.state.health(),
                said: entry.said,
            })
        }
    };
    Ok(checklist::checklist(
        &plan.application.name,
        target,
        runs.as_ref(),
    ))
}

fn proposed(proposal: Proposal, sight: &Sight) -> PlanAnswer {
    PlanAnswer {
        downtime: Some(proposal.downtime),
        unchanged: proposal.unchanged,
        warnings: proposal.warnings,
        seen_at: Some(sight.look.at),
        engine: Some(EngineAnswer::from(&sight.look.engine)),
        ..answer(&proposal.plan)
    }
}

fn answer(plan: &Plan) -> PlanAnswer {
    let step = |(number, step): (u32, &domain::steps::Step)| PlannedStep {
        number,
        title: step.title(),
        sentence: step.explain(plan),
    };
    PlanAnswer {
        digest: plan.digest(),
        application: plan.application.name.clone(),
        target: plan.target.clone(),
        from: plan.from.clone(),
        to: plan.to.clone(),
        strategy: plan.strategy,
        source: plan.source.as_ref().map(|source| SourceAnswer {
            tag: source.tag.clone(),
            commit: source.commit.clone(),
            moved_from: source.moved_from.clone(),
        }),
        changes_nothing: plan.changes_nothing(),
        steps: (1..).zip(&plan.steps).map(step).collect(),
        downtime: None,
        unchanged: Vec::new(),
        warnings: Vec::new(),
        checklist: Vec::new(),
        seen_at: None,
        engine: None,
        approval_required: plan.application.approval,
        approvers: (plan.application.approval).then_some(plan.application.approvers),
    }
}

impl From<&EngineFacts> for EngineAnswer {
    fn from(facts: &EngineFacts) -> Self {
        Self {
            name: facts.name.clone(),
            version: facts.version.clone(),
            api_version: facts.api_version.clone(),
        }
    }
}
