//! Guards on the cause: a rollback only helps against a deployment.

use super::{
    Asker, Facts, Guard, GuardAnswer, NewestDeployment, Policy,
    policy::DAY,
    version::{differ, same},
};
use crate::{ledger::DeploymentKind, seen::Seen, time::Moment};

/// The newest deployment; none known, no pass.
fn newest(facts: &Facts, guard: Guard) -> Result<&NewestDeployment, GuardAnswer> {
    match &facts.deployment {
        Seen::Known(newest) => Ok(newest),
        Seen::Absent => Err(GuardAnswer::ask(
            guard,
            "the ledger knows of no deployment that could be the cause",
            "look for another cause; report deployments with `sternway record-deploy`",
        )),
        Seen::Unknown(why) => Err(GuardAnswer::unseen(guard, "the newest deployment", why)),
    }
}

pub(super) fn correlation(facts: &Facts, policy: &Policy, now: Moment) -> GuardAnswer {
    let guard = Guard::DeployCorrelation;
    if let Some(underway) = &facts.underway
        && now.since(underway.since) <= policy.cause_max
    {
        return underway.asks(guard);
    }
    let newest = match newest(facts, guard) {
        Ok(newest) => newest,
        Err(answer) => return answer,
    };
    let began = facts.alert.started_at;
    let version = &newest.version;
    let before = began.since(newest.at);
    let next = "look for another cause; accept the proposal if it is this deployment after all";
    let answer = if !newest.finished {
        let what = format!("{version} is still being put in service");
        GuardAnswer::ask(guard, what, "wait until it is done, then look again")
    } else if !newest.seen {
        let what = format!("{version} was told of, and was not seen to run");
        GuardAnswer::ask(guard, what, next)
    } else if newest.at > began {
        let what =
            format!("{version} was put in service after the trouble began, so it is not its cause");
        GuardAnswer::ask(guard, what, next)
    } else if before > policy.cause_max {
        let what = format!(
            "{version} had served for {before} when the trouble began, more than {}",
            policy.cause_max
        );
        GuardAnswer::ask(guard, what, next)
    } else if let Some(told) = elsewhere(facts, newest) {
        let what = format!("the alert was seen in {told}, and {version} is the newest deployment");
        GuardAnswer::ask(guard, what, next).with("alert_version", told)
    } else {
        let what = format!("the trouble began {before} after {version} was put in service");
        GuardAnswer::pass(guard, what)
    };
    answer
        .with("version", version)
        .with("deployed_at", newest.at)
        .with("began_at", began)
}

/// The version that the alert names, when it is not the newest deployment's: another one of the same kind, or the one that
/// would be gone back to.
fn elsewhere<'a>(facts: &'a Facts, newest: &NewestDeployment) -> Option<&'a str> {
    let told = facts.alert.version.as_deref()?;
    let newest = newest.version.name();
    let target = facts.target.known();
    let is_target = target.is_some_and(|target| same(told, target.version.name()));
    (differ(told, newest) || (is_target && !same(told, newest))).then_some(told)
}

pub(super) fn never_twice(facts: &Facts, now: Moment) -> GuardAnswer {
    let guard = Guard::NeverTwice;
    let newest = match newest(facts, guard) {
        Ok(newest) => newest,
        Err(answer) => return answer,
    };
    let next = "look first: what was rolled back once and is bad again has another cause";
    match newest.kind {
        DeploymentKind::Rollback => {
            let what = format!(
                "{} was put back by a rollback, and a rollback is never rolled back by itself",
                newest.version
            );
            return GuardAnswer::ask(guard, what, next).with("deployment", newest.id);
        }
        DeploymentKind::Deploy | DeploymentKind::Detected => {}
    }
    let rollbacks = match &facts.rollbacks {
        Seen::Known(rollbacks) => rollbacks,
        Seen::Absent => {
            return GuardAnswer::unseen(guard, "earlier rollbacks", "nothing is recorded of them");
        }
        Seen::Unknown(why) => return GuardAnswer::unseen(guard, "earlier rollbacks", why),
    };
    let before = rollbacks.iter().find(|recent| {
        let here = facts
            .subject()
            .is_some_and(|here| here.name == recent.application);
        // Deployed again it is another deployment, and the same thing.
        let again = here
            && recent.left.as_ref() == Some(&newest.version)
            && now.since(recent.asked_at) < DAY;
        // What is only proposed undid nothing yet.
        (recent.undid == Some(newest.id) || again)
            && !recent.proposed()
            && match recent.by {
                Asker::Trigger | Asker::Watcher => true,
                Asker::Person => false,
            }
    });
    match before {
        Some(before) => {
            let what = format!("{} was rolled back by itself before", newest.version);
            GuardAnswer::ask(guard, what, next).with("rollback", before.rollback)
        }
        None => GuardAnswer::pass(
            guard,
            format!("{} was not rolled back by itself before", newest.version),
        ),
    }
}
