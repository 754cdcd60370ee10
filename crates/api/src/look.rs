//! Looks at engines. The API has no engine: it asks by a row, and a worker answers.

use std::time::Duration;

use domain::{
    application::Application,
    engine_look::EngineLook,
    ledger::{LastRollback, Release},
    name::ApplicationName,
    plan::{Plan, Strategy},
    planner::{self, Blocker, Proposal, Rebuild, Snapshot},
    source::TagsSeen,
    target::Target,
    time::Millis,
    triage::{Evidence, facts},
};
use serde::de::DeserializeOwned;
use store::{Answer, Question};

use crate::{
    auth::{Action, Permit},
    clock,
    problem::Problem,
};

/// How long a look is waited for; the worker gives the engine 4 s of it, and Compose 8 s where a version is pinned.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a repository is waited for; the worker gives git 8 s of it.
pub(crate) const REPOSITORY_TIMEOUT: Duration = Duration::from_secs(9);
/// How long the reading of a Compose project is waited for: Compose itself is asked, several times.
const ADOPTION_TIMEOUT: Duration = Duration::from_secs(41);

/// How long metrics and probes are waited for. The worker answers within 4 s of it, with what it found until then: metrics,
/// and the engine with the probes, have 3.5 s each, beside each other.
const FACTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks a worker. The inner error is what the worker said instead of an answer.
pub(crate) async fn ask<A: Action, T: DeserializeOwned>(
    permit: &Permit<A>,
    question: Question,
) -> Result<Result<T, String>, Problem> {
    let patience = match question {
        Question::Tags { .. } => REPOSITORY_TIMEOUT,
        Question::Project { .. } => ADOPTION_TIMEOUT,
        Question::Facts { .. } => FACTS_TIMEOUT,
        Question::Application { .. } | Question::Images { .. } | Question::Alert { .. } => {
            LOOK_TIMEOUT
        }
    };
    let store = permit.store();
    let id = store.inquiry_ask(&question, permit.actor()).await?;
    match store.inquiry_wait(id, patience).await? {
        Answer::Late => Err(Problem::engine_unreachable("no worker answered in time")),
        Answer::Failed(said) => Ok(Err(said)),
        Answer::Found(body) => serde_json::from_value(body).map(Ok).map_err(|error| {
            tracing::error!(%error, "a worker's answer can not be read");
            Problem::internal()
        }),
    }
}

/// What an application's metrics and probes say to the runbook's questions. Who decides does not wait for a worker that is
/// not there: then each says that it was not asked, and why.
pub(crate) async fn facts_of<A: Action>(
    permit: &Permit<A>,
    application: &Application,
) -> Result<Vec<Evidence>, Problem> {
    if !facts::any_to_ask(application) {
        return Ok(Vec::new());
    }
    let name = application.name.clone();
    let store = permit.store();
    let id = store
        .inquiry_ask(&Question::Facts { name }, permit.actor())
        .await?;
    let why = match store.inquiry_wait(id, FACTS_TIMEOUT).await? {
        Answer::Found(body) => match serde_json::from_value(body) {
            Ok(found) => return Ok(found),
            Err(error) => {
                tracing::error!(%error, "a worker's answer can not be read");
                "a worker's answer can not be read".to_owned()
            }
        },
        Answer::Failed(why) => why,
        Answer::Late => "no worker answered in time".to_owned(),
    };
    Ok(facts::unasked(application, &why, clock::now()))
}

/// What a plan is asked for.
pub(crate) struct Wish<'a> {
    pub(crate) target: &'a Target,
    pub(crate) strategy: Strategy,
    pub(crate) confirm_moved_tag: bool,
}

impl<'a> Wish<'a> {
    /// What a plan was asked for.
    pub(crate) fn of(plan: &'a Plan) -> Self {
        Self {
            target: &plan.target,
            strategy: plan.strategy,
            confirm_moved_tag: plan
                .source
                .as_ref()
                .is_some_and(|source| source.moved_from.is_some()),
        }
    }
}

/// Everything that a plan of one application is decided on.
pub(crate) struct Sight {
    pub(crate) application: Application,
    pub(crate) look: EngineLook,
    pub(crate) releases: Vec<Release>,
    pub(crate) outages: Vec<Millis>,
    pub(crate) last: Option<LastRollback>,
}

impl Sight {
    /// A fresh look at an application that the permit may see.
    pub(crate) async fn take<A: Action>(
        permit: &Permit<A>,
        name: &ApplicationName,
    ) -> Result<Self, Problem> {
        let (application, _) = crate::routes::applications::find(permit, name).await?;
        let releases = permit.store().releases(name).await?;
        let outages = permit.store().outages(name).await?;
        let last = permit.store().last_rollback(name).await?;
        let look = ask(permit, Question::Application { name: name.clone() }).await?;
        let look = look.map_err(|said| Problem::engine_unreachable(&said))?;
        Ok(Self {
            application,
            look,
            releases,
            outages,
            last,
        })
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            application: &self.application,
            look: &self.look,
            releases: &self.releases,
            outages: &self.outages,
            last: self.last.as_ref(),
        }
    }

    /// Plans as it is wished. Where something is built, the repository is asked for the version's tag first; a quick plan
    /// builds only what can not be had in any other way.
    pub(crate) async fn propose<A: Action>(
        &self,
        permit: &Permit<A>,
        wish: &Wish<'_>,
    ) -> Result<Proposal, Problem> {
        let tags = match wish.strategy {
            Strategy::Quick => match self.plan(wish.target, None) {
                Ok(proposal) => return Ok(proposal),
                Err(blockers) if !planner::may_build(&self.application, &blockers) => {
                    return Err(Problem::plan_blocked(blockers));
                }
                Err(blockers) => match self.tags(permit, wish.target).await? {
                    Ok(tags) => tags,
                    Err(said) => {
                        tracing::info!(
                            said,
                            "what is missing could be built, but its source can not be asked"
                        );
                        return Err(Problem::plan_blocked(blockers));
                    }
                },
            },
            Strategy::Rebuild => {
                let tags = self.tags(permit, wish.target).await?;
                tags.map_err(|said| Problem::source_unreachable(&said))?
            }
        };
        let rebuild = Rebuild {
            strategy: wish.strategy,
            tags: &tags,
            confirm_moved_tag: wish.confirm_moved_tag,
        };
        planner::rebuild(&self.snapshot(), wish.target, &rebuild).map_err(Problem::plan_blocked)
    }

    /// The tag of the release that is meant; without a release or a source the planner says what is missing. The inner
    /// error is what was said instead of an answer.
    async fn tags<A: Action>(
        &self,
        permit: &Permit<A>,
        target: &Target,
    ) -> Result<Result<TagsSeen, String>, Problem> {
        let release = planner::release_of(&self.snapshot(), target);
        let source = self.application.source.as_ref();
        let Some(only) = release
            .ok()
            .zip(source)
            .and_then(|(release, source)| source.tag_of(&release.version))
        else {
            return Ok(Ok(TagsSeen::default()));
        };
        let question = Question::Tags {
            name: self.application.name.clone(),
            only: Some(only),
        };
        ask(permit, question).await
    }

    /// All tags of the repository, when a release has an image that can not be had and something can be built.
    pub(crate) async fn tags_if_missing<A: Action>(
        &self,
        permit: &Permit<A>,
    ) -> Result<Option<TagsSeen>, Problem> {
        let missing = |release: &Release| {
            let planned = self.plan(&Target::Version(release.version.clone()), None);
            planned.is_err_and(|blockers| planner::may_build(&self.application, &blockers))
        };
        if !self.releases.iter().any(missing) {
            return Ok(None);
        }
        let question = Question::Tags {
            name: self.application.name.clone(),
            only: None,
        };
        // Without an answer the images are said to be missing, as they are.
        Ok(ask(permit, question).await?.ok())
    }

    /// The quick plan; with tags, one that builds what can not be had in any other way.
    pub(crate) fn plan(
        &self,
        target: &Target,
        tags: Option<&TagsSeen>,
    ) -> Result<Proposal, Vec<Blocker>> {
        let Some(tags) = tags else {
            return planner::plan(&self.snapshot(), target);
        };
        let rebuild = Rebuild {
            strategy: Strategy::Quick,
            tags,
            confirm_moved_tag: false,
        };
        planner::rebuild(&self.snapshot(), target, &rebuild)
    }
}
