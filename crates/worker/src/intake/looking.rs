//! Our own eyes on an application that an alert is about: what its probes say, and what a rollback would do.

use domain::{
    application::Application,
    deployment_watch,
    guard::{self, NewestDeployment, Opinion, Policy, Sight, TargetFacts},
    hold::Marks,
    ledger::Release,
    name::{TriggerName, Version},
    plan::Plan,
    planner::{self, Snapshot},
    readiness::ReadinessCode,
    seen::Seen,
    target::Target,
    time::Millis,
    trigger::alert::Alert,
};
use store::{DeploymentFilter, Error, Page, Told};

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
    /// The way back, when there is one and it changes something.
    pub(super) plan: Option<Plan>,
    /// What the guards go by.
    pub(super) sight: Sight,
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
    let looked = look(real, application, facts.deployment.known()).await?;
    let marks = match looked.sight.version() {
        None => Marks::default(),
        Some(version) => {
            let marks = real.store.release_marks(&application.name, version).await;
            marks.map_err(StoreAway)?
        }
    };
    looked.sight.add_to(&mut facts, marks);
    Ok(Ok(guard::decide(&facts, &policy, clock::now())))
}

pub(super) async fn look(
    real: &Real,
    application: &Application,
    newest: Option<&NewestDeployment>,
) -> Result<Looked, StoreAway> {
    let name = &application.name;
    let look = match inquiries::application(real, name).await? {
        Ok(look) => look,
        Err(why) => {
            return Ok(Looked {
                plan: None,
                sight: Sight::none(newest, &why),
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
        None => guard::last_good(&releases, newest).map(|release| release.version.clone()),
    };
    let target = match version {
        None => Seen::Absent,
        Some(version) => {
            let planned = plan.is_some();
            Seen::Known(target(real, application, version, &releases, blockers, planned).await?)
        }
    };
    let started = look.containers.iter().filter_map(|found| found.started_at);
    let sight = Sight {
        deployment: newest.map(|newest| newest.id),
        opinion,
        target,
        started: started.max(),
    };
    Ok(Looked { plan, sight })
}

async fn opinion(
    real: &Real,
    snapshot: &Snapshot<'_>,
    newest: Option<&NewestDeployment>,
) -> Seen<Opinion> {
    let (application, look) = (snapshot.application, snapshot.look);
    let runs = planner::present(snapshot);
    let newest = match guard::asked_about(newest, runs.as_ref()) {
        Ok(newest) => newest,
        Err(why) => return Seen::Unknown(why),
    };
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
        // Read when it is decided.
        hold: None,
        insecure: None,
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
    let counts = |entry: &&store::Deployment| entry.state != store::DeploymentState::Refused;
    let entries = listed.iter().filter(counts);
    Ok(guard::longest_served(
        version,
        entries.map(|entry| (&entry.version, entry.deployed_at)),
        clock::now(),
    ))
}
