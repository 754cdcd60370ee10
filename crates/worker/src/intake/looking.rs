//! Our own eyes on an application that an alert is about: what its probes say, and what a rollback would do.

use domain::{
    application::Application,
    deployment_watch,
    guard::{self, Facts, NewestDeployment, Opinion, Policy, TargetFacts},
    ledger::Release,
    name::{TriggerName, Version},
    plan::Plan,
    planner::{self, Snapshot},
    readiness::ReadinessCode,
    seen::Seen,
    target::Target,
    time::{Millis, Moment},
    trigger::alert::Alert,
};
use store::{DeploymentFilter, Error, Page, Told};
use uuid::Uuid;

use crate::{
    clock,
    eyes::PROBE_LIMIT,
    inquiries,
    world::{Real, StoreAway},
};

/// Entries of the ledger by which it is told how long a release served.
const LEDGER_LOOKED_BACK: u32 = 100;

/// What was looked up outside of the ledger.
#[derive(Clone)]
pub(super) struct Looked {
    /// The newest deployment that it was looked at with; another one since, and it is to be looked at again.
    deployment: Option<Uuid>,
    /// The way back, when there is one and it changes something.
    pub(super) plan: Option<Plan>,
    opinion: Seen<Opinion>,
    target: Seen<TargetFacts>,
    /// When what runs was started, the last of its containers.
    started: Option<Moment>,
}

impl Looked {
    /// Puts what was seen into the facts; whether they are about the same deployment.
    pub(super) fn add_to(&self, facts: &mut Facts) -> bool {
        facts.opinion = self.opinion.clone();
        facts.target = self.target.clone();
        if let (Seen::Known(newest), Some(started)) = (&mut facts.deployment, self.started) {
            // A report may come hours late: what runs was there before it.
            newest.at = newest.at.min(started);
        }
        facts.deployment.known().map(|newest| newest.id) == self.deployment
    }
}

/// A message's alert, to be explained: nothing is done.
///
/// It is judged as if it had stayed for as long as it has to.
pub(crate) async fn explain(
    real: &Real,
    trigger: &TriggerName,
    event_id: &str,
    alert: &Alert,
    application: &Application,
) -> Result<Result<guard::Decision, String>, StoreAway> {
    let stored = match real.store.trigger_get(trigger).await {
        Ok(stored) => stored,
        Err(Error::NotFound(what)) => return Ok(Err(format!("there is no such {what}"))),
        Err(error) => return Err(StoreAway(error)),
    };
    let policy = Policy::of(&application.guards);
    let told = Told {
        trigger: &stored.trigger,
        event_id,
        alert,
        received_at: clock::now().before(policy.settle),
        application,
    };
    let mut facts = real.store.facts(&told).await.map_err(StoreAway)?;
    look(real, application, facts.deployment.known())
        .await?
        .add_to(&mut facts);
    Ok(Ok(guard::decide(&facts, &policy, clock::now())))
}

pub(super) async fn look(
    real: &Real,
    application: &Application,
    newest: Option<&NewestDeployment>,
) -> Result<Looked, StoreAway> {
    let name = &application.name;
    let deployment = newest.map(|newest| newest.id);
    let look = match inquiries::application(real, name).await? {
        Ok(look) => look,
        Err(why) => {
            return Ok(Looked {
                deployment,
                plan: None,
                opinion: Seen::Unknown(why.clone()),
                target: Seen::Unknown(why),
                started: None,
            });
        }
    };
    let releases = real.store.releases(name).await.map_err(StoreAway)?;
    let outages = real.store.outages(name).await.map_err(StoreAway)?;
    let snapshot = Snapshot {
        application,
        look: &look,
        releases: &releases,
        outages: &outages,
        last: None,
    };
    let opinion = opinion(real, &snapshot, newest).await;
    // Nothing is built without a person's plan, so what would have to be built is a blocker here.
    let (plan, blockers) = match planner::plan(&snapshot, &Target::LastKnownGood) {
        Ok(proposal) if proposal.plan.changes_nothing() => (None, Vec::new()),
        Ok(proposal) => (Some(proposal.plan), Vec::new()),
        Err(blockers) => (None, blockers),
    };
    let version = match &plan {
        Some(plan) => Some(plan.to.clone()),
        None if blockers.is_empty() => None,
        None => last_good(&releases, newest).map(|release| release.version.clone()),
    };
    let target = match version {
        None => Seen::Absent,
        Some(version) => {
            let planned = plan.is_some();
            Seen::Known(target(real, application, version, &releases, blockers, planned).await?)
        }
    };
    Ok(Looked {
        deployment,
        plan,
        opinion,
        target,
        started: look
            .containers
            .iter()
            .filter_map(|found| found.started_at)
            .max(),
    })
}

async fn opinion(
    real: &Real,
    snapshot: &Snapshot<'_>,
    newest: Option<&NewestDeployment>,
) -> Seen<Opinion> {
    let (application, look) = (snapshot.application, snapshot.look);
    let Some(newest) = newest else {
        return Seen::Unknown("it is not known which version runs".to_owned());
    };
    // Asked for a version that does not run, probes would say no for that alone.
    if let Some(runs) = planner::present(snapshot).filter(|runs| *runs != newest.version) {
        return Seen::Unknown(format!(
            "{runs} runs, not {}, which is the newest in the ledger",
            newest.version
        ));
    }
    let questions = deployment_watch::questions(application, &newest.version, look);
    let answers = real.prober.ask(&questions, PROBE_LIMIT).await;
    deployment_watch::opinion(application, look, &answers, clock::now())
}

async fn target(
    real: &Real,
    application: &Application,
    version: Version,
    releases: &[Release],
    blockers: Vec<planner::Blocker>,
    planned: bool,
) -> Result<TargetFacts, StoreAway> {
    let name = &application.name;
    let release = releases.iter().find(|release| release.version == version);
    let stored = real.store.readiness_list(name).await.map_err(StoreAway)?;
    let readiness = match stored.get(&version) {
        // A plan was made of it now: its images were just seen, or where they can be had.
        _ if planned => ReadinessCode::Ready,
        Some(stored) => stored.readiness.code,
        None => ReadinessCode::Unknown,
    };
    Ok(TargetFacts {
        proved: release.is_some_and(|release| release.good_at.is_some()),
        served: served(real, application, &version).await?,
        readiness,
        blockers,
        hold: release.and_then(|release| release.hold.clone()),
        insecure: release.and_then(|release| release.insecure.clone()),
        version,
    })
}

/// The longest that the release served in one piece, as far as the ledger tells.
async fn served(
    real: &Real,
    application: &Application,
    version: &Version,
) -> Result<Option<Millis>, StoreAway> {
    let page = Page {
        after: None,
        limit: LEDGER_LOOKED_BACK,
    };
    let any = DeploymentFilter::default();
    let listed = real.store.deployment_list(&application.name, &any, &page);
    let listed = listed.await.map_err(StoreAway)?.items;
    let mut until: Moment = clock::now();
    let mut longest = None;
    let counts = |entry: &store::Deployment| entry.state != store::DeploymentState::Refused;
    for entry in listed.into_iter().filter(counts) {
        if entry.version == *version {
            longest = longest.max(Some(until.since(entry.deployed_at)));
        }
        until = entry.deployed_at;
    }
    Ok(longest)
}

/// What the planner would have chosen if nothing stood in its way.
fn last_good<'a>(
    releases: &'a [Release],
    newest: Option<&NewestDeployment>,
) -> Option<&'a Release> {
    let others = releases
        .iter()
        .filter(|release| newest.is_none_or(|newest| release.version != newest.version));
    others
        .filter(|release| release.good_at.is_some())
        .max_by_key(|release| release.good_at)
}
