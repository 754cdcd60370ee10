//! Looks at engines. The API has no engine: it asks by a row, and a worker answers.

use std::time::Duration;

use domain::{
    application::Application,
    engine_look::EngineLook,
    ledger::Release,
    name::ApplicationName,
    planner::{self, Blocker, Proposal, Snapshot},
    target::Target,
    time::Millis,
};
use serde::de::DeserializeOwned;
use store::{Answer, Question};

use crate::{
    auth::{Action, Permit},
    problem::Problem,
};

/// How long a look is waited for; the worker gives the engine 4 s of it, and Compose 8 s where a version is pinned.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a repository is waited for; the worker gives git 8 s of it.
pub(crate) const REPOSITORY_TIMEOUT: Duration = Duration::from_secs(9);
/// How long the reading of a Compose project is waited for: Compose itself is asked, several times.
const ADOPTION_TIMEOUT: Duration = Duration::from_secs(41);

/// Asks a worker. The inner error is what the worker said instead of an answer.
pub(crate) async fn ask<A: Action, T: DeserializeOwned>(
    permit: &Permit<A>,
    question: Question,
) -> Result<Result<T, String>, Problem> {
    let patience = match question {
        Question::Tags { .. } => REPOSITORY_TIMEOUT,
        Question::Project { .. } => ADOPTION_TIMEOUT,
        Question::Application { .. } | Question::Images { .. } => LOOK_TIMEOUT,
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

/// Everything that a plan of one application is decided on.
pub(crate) struct Sight {
    pub(crate) application: Application,
    pub(crate) look: EngineLook,
    pub(crate) releases: Vec<Release>,
    pub(crate) outages: Vec<Millis>,
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
        let look = ask(permit, Question::Application { name: name.clone() }).await?;
        let look = look.map_err(|said| Problem::engine_unreachable(&said))?;
        Ok(Self {
            application,
            look,
            releases,
            outages,
        })
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            application: &self.application,
            look: &self.look,
            releases: &self.releases,
            outages: &self.outages,
        }
    }

    pub(crate) fn plan(&self, target: &Target) -> Result<Proposal, Vec<Blocker>> {
        planner::plan(&self.snapshot(), target)
    }
}
