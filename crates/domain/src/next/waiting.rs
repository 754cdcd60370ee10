//! The phases that wait, for a person's yes and for the watch window. Neither acts on anything. What rests is
//! woken by what it waits for: an order, or a look of the watcher from which something would follow.

use super::{Claim, Order, Then, Turn, end, engine_lost, go, needs_human, rest};
use crate::{
    engine_look::{Container, EngineLook},
    lifecycle::{Event, Run},
    name::Actor,
    plan::Plan,
    steps::{self, Side, World},
    time::{Millis, Moment},
    verdict::{Cause, CauseCode, Verdict},
};

/// Each red starts the watch window anew; after this many windows another red is the end of the watch.
const WINDOWS_MAX: u64 = 4;

pub(super) fn for_approval(
    plan: &Plan,
    run: &Run,
    until: Moment,
    orders: &[Order],
    now: Moment,
) -> Turn {
    let needed = usize::from(plan.application.approvers);
    let mut approved: Vec<&Actor> = Vec::new();
    let mut late: Option<&Actor> = None;
    for order in orders {
        // A no wins over a yes that came with it: nothing has started yet.
        let cause = match order {
            Order::Reject { by } => {
                Cause::new(CauseCode::NotApproved, format!("{by} rejected the plan"))
            }
            Order::Cancel { by } => Cause::new(
                CauseCode::Cancelled,
                format!("{by} cancelled it before it started"),
            ),
            // A yes that was said in time is obeyed however late it is read; one that was said later never is.
            Order::Approve { by, at } if *at >= until => {
                late = Some(by);
                continue;
            }
            Order::Approve { by, .. } => {
                let open = run.approved_by.len() + approved.len() < needed;
                if open && !approved.contains(&by) && !run.approved_by.contains(by) {
                    approved.push(by);
                }
                continue;
            }
            Order::Supersede { .. } => continue,
        };
        return end(Verdict::Cancelled { cause });
    }
    if !approved.is_empty() {
        let events = approved.into_iter().cloned();
        return go(events.map(|by| Event::Approved { by }).collect());
    }
    if now >= until {
        let cause = Cause::new(CauseCode::NotApproved, too_few(run, needed, late));
        return end(Verdict::Cancelled { cause });
    }
    rest(until)
}

/// Why a plan is not approved when its time is over.
fn too_few(run: &Run, needed: usize, late: Option<&Actor>) -> String {
    match (run.approved_by.as_slice(), late) {
        ([], None) => "nobody approved the plan in time; ask for a new one".to_owned(),
        ([], Some(by)) => {
            format!("{by} approved the plan when its time was over; ask for a new one")
        }
        (some, _) => format!(
            "{} of {needed} approved the plan in time; ask for a new one",
            some.len()
        ),
    }
}

pub(super) fn for_watch(
    plan: &Plan,
    run: &Run,
    claim: Claim,
    until: Moment,
    orders: &[Order],
    world: &World,
    now: Moment,
) -> Turn {
    let mut notes = run.notes.clone();
    for order in orders {
        let cut = match order {
            Order::Cancel { by } => format!("{by} ended the watch window early"),
            Order::Supersede { by } => format!("rollback {by} ended the watch window early"),
            Order::Approve { .. } | Order::Reject { .. } => continue,
        };
        notes.push(cut);
        return end(Verdict::RolledBack { good: false, notes });
    }
    let look = match &world.engine {
        Ok(look) => look,
        Err(said) => return unseen(plan, run, said, now),
    };
    if run.lost_since.is_some() {
        return go(back(run));
    }
    let red = red_in_watch(plan, claim, look, world, now);
    let intruders = match red {
        Some(_) => steps::intruders(plan, claim.rollback, look),
        None => Vec::new(),
    };
    if let Some(reported) = &world.deployed
        && intruders
            .iter()
            .any(|found| reported.images.contains(&found.image))
    {
        let version = &reported.version;
        notes.push(format!(
            "the deployment of {version} ended the watch window early"
        ));
        return end(Verdict::RolledBack { good: false, notes });
    }
    match (red, run.red_since) {
        (None, Some(_)) => {
            let until = Some(now.after(window(plan)));
            go(vec![Event::WatchGreen { until }])
        }
        (None, None) if now >= until => end(Verdict::RolledBack { good: true, notes }),
        (None, None) => rest(until),
        (Some(said), None) if now >= last_call(plan, run) => {
            let sentence = format!(
                "{} was not green for one whole watch window in {WINDOWS_MAX}: {said}",
                plan.to
            );
            end(watch_failed(plan, run, sentence))
        }
        (Some(said), None) => go(vec![Event::WatchRed { said }]),
        (Some(said), Some(since)) => {
            let limit = since.after(red_limit(plan));
            if now < limit {
                return rest(limit);
            }
            let bad_is_back = intruders.iter().any(|found| plan.replaced(&found.image));
            if let (Some(intruder), false) = (intruders.first(), bad_is_back) {
                notes.push(unreported(intruder));
                return end(Verdict::RolledBack { good: false, notes });
            }
            let sentence = format!("{} went bad in its watch window: {said}", plan.to);
            end(watch_failed(plan, run, sentence))
        }
    }
}

/// Whoever deploys without a report ends the watch too: what was proved did not fail. That the bad release came back is
/// no such case; it calls a person.
fn unreported(intruder: &Container) -> String {
    format!(
        "container {} took the place of {} before the watch window was over; no deployment of its image {} was reported",
        intruder.name,
        intruder.component,
        intruder.image.short()
    )
}

fn watch_failed(plan: &Plan, run: &Run, sentence: String) -> Verdict {
    needs_human(plan, run, Cause::new(CauseCode::WatchFailed, sentence))
}

/// The engine is back. A red of before it went is not forgiven with it: its time begins again.
fn back(run: &Run) -> Vec<Event> {
    let red = run.red_since.map(|_| Event::WatchRed {
        said: "it was red when the engine went away".to_owned(),
    });
    [Event::EngineBack].into_iter().chain(red).collect()
}

fn window(plan: &Plan) -> Millis {
    Millis::from_secs(plan.application.watch_window_s)
}

/// A red after this ends the watch: what flaps never gets through a whole window, and must not be watched for ever.
fn last_call(plan: &Plan, run: &Run) -> Moment {
    let first = run.proved_at.unwrap_or(run.since);
    first.after(Millis(window(plan).0 * WINDOWS_MAX))
}

/// As long as the engine may be away from any step; meanwhile nothing is to be done, so the lease is given back.
fn unseen(plan: &Plan, run: &Run, said: &str, now: Moment) -> Turn {
    let turn = engine_lost(plan, run, said, now);
    let until = run
        .lost_since
        .unwrap_or(now)
        .after(Millis::from_secs(plan.application.timeouts.engine_s));
    match turn.then {
        Then::Pause(_) => Turn {
            then: Then::Rest(until),
            ..turn
        },
        Then::Look | Then::Perform(_) | Then::Rest(_) | Then::Ended | Then::Fenced => turn,
    }
}

fn red_limit(plan: &Plan) -> Millis {
    Millis::from_secs(plan.application.timeouts.red_s)
}

/// What is red in the watch window, with how much of it is green.
fn red_in_watch(
    plan: &Plan,
    claim: Claim,
    look: &EngineLook,
    world: &World,
    now: Moment,
) -> Option<String> {
    let tally = steps::tally_of(
        plan,
        claim.rollback,
        Side::Target,
        look,
        &world.answers,
        now,
    );
    if tally.all_green() {
        return None;
    }
    let checks = steps::health_answers(plan, claim.rollback, Side::Target, look, now);
    let red = checks
        .iter()
        .chain(&world.answers)
        .find(|answer| !answer.green);
    let said = red.map_or_else(
        || "not every check was answered".to_owned(),
        |red| format!("{}: {}", red.asked, red.said),
    );
    Some(format!("{said}; {tally}"))
}

#[cfg(test)]
mod tests;
