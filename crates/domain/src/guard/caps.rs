//! Guards on how much happens: one rollback at a time, and never many for one trouble.

use std::collections::BTreeSet;

use super::{
    Asker, Facts, Guard, GuardAnswer, Policy, Recent,
    policy::{AFTER_NOTHING, DAY, HOUR},
};
use crate::{
    name::ApplicationName,
    seen::Seen,
    time::{Millis, Moment},
};

/// Rollbacks of the last hours; none known, no pass.
fn rollbacks(facts: &Facts, guard: Guard) -> Result<&[Recent], GuardAnswer> {
    let what = "what was rolled back of late";
    match &facts.rollbacks {
        Seen::Known(rollbacks) => Ok(rollbacks),
        Seen::Absent => Err(GuardAnswer::unseen(
            guard,
            what,
            "nothing is recorded of it",
        )),
        Seen::Unknown(why) => Err(GuardAnswer::unseen(guard, what, why)),
    }
}

/// What is only proposed has not started anything.
fn by_alert(recent: &&Recent) -> bool {
    match recent.by {
        Asker::Trigger => !recent.awaits,
        Asker::Person | Asker::Watcher => false,
    }
}

/// What an alert did, or is about to, without anybody's yes. What ended before it touched anything is kept apart by the
/// cool-down.
fn did_by_alert(recent: &&Recent) -> bool {
    by_alert(recent) && recent.touched && !recent.accepted
}

pub(super) fn cooldown(facts: &Facts, policy: &Policy, now: Moment) -> GuardAnswer {
    let guard = Guard::Cooldown;
    let rollbacks = match rollbacks(facts, guard) {
        Ok(rollbacks) => rollbacks,
        Err(answer) => return answer,
    };
    let Some(subject) = facts.subject() else {
        return GuardAnswer::unseen(
            guard,
            "what was rolled back of late",
            "the application is not known",
        );
    };
    let here = rollbacks
        .iter()
        .filter(|recent| recent.application == subject.name);
    let (mut newest, mut in_vain, mut proposed) = (None, None, None);
    for recent in here {
        if recent.proposed() {
            proposed = Some(recent.rollback);
            continue;
        }
        let Some(rested_at) = recent.rested_at else {
            return at_work(&subject.name, recent).with("rollback", recent.rollback);
        };
        if recent.touched {
            newest = newest.max(Some((rested_at, recent.rollback)));
        } else {
            in_vain = in_vain.max(Some((rested_at, recent.rollback)));
        }
    }
    let in_vain = in_vain.filter(|(at, _)| now.since(*at) < AFTER_NOTHING);
    match newest
        .filter(|(at, _)| now.since(*at) < policy.cooldown)
        .or(in_vain)
    {
        Some((at, rollback)) => {
            let vain = in_vain.is_some_and(|(_, vain)| vain == rollback);
            too_soon(
                &subject.name,
                now.since(at),
                if vain { None } else { Some(policy) },
            )
            .with("rollback", rollback)
            .with(
                "until",
                at.after(if vain { AFTER_NOTHING } else { policy.cooldown }),
            )
        }
        None => {
            let what = "nothing acts on the application, and nothing did of late";
            let answer = GuardAnswer::pass(guard, what);
            match proposed {
                // It gives way to whatever is started.
                Some(rollback) => answer.with("proposed", rollback),
                None => answer,
            }
        }
    }
}

/// One is enough, be it that it waits for a yes.
fn at_work(name: &ApplicationName, recent: &Recent) -> GuardAnswer {
    let (what, next) = if recent.awaits {
        (
            format!("a rollback of {name} is asked for already, and waits for a person's yes"),
            format!(
                "decide on it: `sternway approve {0}` or `sternway reject {0}`",
                recent.rollback
            ),
        )
    } else {
        (
            format!("a rollback of {name} is under way"),
            format!("follow it: `sternway watch {}`", recent.rollback),
        )
    };
    GuardAnswer::refuse(Guard::Cooldown, what, next)
}

/// So long after one; by the policy when it touched anything.
fn too_soon(name: &ApplicationName, ago: Millis, touched: Option<&Policy>) -> GuardAnswer {
    let what = match touched {
        Some(policy) => format!(
            "{name} was rolled back {ago} ago, less than {}: what that did has to show first",
            policy.cooldown
        ),
        None => format!(
            "a rollback of {name} ended {ago} ago without touching anything: what stood in its way may stand there still"
        ),
    };
    let next =
        "look what the rollback did; if it was not enough, roll back by hand: `sternway rollback`";
    GuardAnswer::refuse(Guard::Cooldown, what, next)
}

pub(super) fn rate(facts: &Facts, policy: &Policy, now: Moment) -> GuardAnswer {
    let guard = Guard::RateCap;
    let rollbacks = match rollbacks(facts, guard) {
        Ok(rollbacks) => rollbacks,
        Err(answer) => return answer,
    };
    let of_hour = rollbacks
        .iter()
        .filter(did_by_alert)
        .filter(|recent| now.since(recent.asked_at) < HOUR);
    let count = of_hour.count();
    let mine = rollbacks.iter().filter(did_by_alert).filter(|recent| {
        recent.trigger.as_ref() == Some(&facts.trigger.name) && now.since(recent.asked_at) < DAY
    });
    let of_day = mine.count();
    let answer = if of_day >= policy.a_day_max {
        GuardAnswer::ask(
            guard,
            format!(
                "{} started {of_day} rollbacks within a day, which is as many as one trigger may",
                facts.trigger.name
            ),
            "look why it asks for so many before more is rolled back",
        )
    } else if count >= policy.an_hour_max {
        GuardAnswer::ask(
            guard,
            format!(
                "alerts started {count} rollbacks within an hour: this is more than one bad deployment"
            ),
            "look what they have in common before more is rolled back",
        )
    } else {
        GuardAnswer::pass(
            guard,
            format!("alerts started {count} rollbacks within an hour"),
        )
    };
    answer
        .with("count", count)
        .with("limit", policy.an_hour_max)
        .with("count_of_day", of_day)
        .with("limit_of_day", policy.a_day_max)
}

pub(super) fn blast(facts: &Facts, policy: &Policy) -> GuardAnswer {
    let guard = Guard::BlastCap;
    let rollbacks = match rollbacks(facts, guard) {
        Ok(rollbacks) => rollbacks,
        Err(answer) => return answer,
    };
    let Some(subject) = facts.subject() else {
        return GuardAnswer::unseen(guard, "what else changes", "the application is not known");
    };
    let elsewhere = || {
        rollbacks
            .iter()
            .filter(by_alert)
            .filter(|recent| recent.application != subject.name)
    };
    let acting = elsewhere()
        .filter(|recent| recent.rested_at.is_none())
        .count();
    let same: BTreeSet<_> = elsewhere()
        .filter(|recent| recent.episode.as_ref() == Some(&facts.alert.episode))
        .map(|recent| &recent.application)
        .collect();
    let answer = if acting >= policy.at_once_max {
        GuardAnswer::ask(
            guard,
            format!("{acting} other rollback that an alert started is under way"),
            "wait for it, or accept the proposal if both deployments are bad",
        )
    } else if same.len() >= policy.an_episode_max {
        GuardAnswer::ask(
            guard,
            format!(
                "the same trouble rolled back {} other application before",
                same.len()
            ),
            "look for the cause that they have in common",
        )
    } else {
        GuardAnswer::pass(
            guard,
            "nothing else is rolled back for an alert at the moment",
        )
    };
    answer
        .with("acting", acting)
        .with("same_episode", same.len())
}
