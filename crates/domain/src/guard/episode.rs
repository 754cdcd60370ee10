//! Guards on the trouble itself: whether it is there, since when, and whether it stays.

use super::{Answer, EpisodeFacts, Facts, Guard, GuardAnswer, Policy};
use crate::{seen::Seen, time::Moment, trigger::alert::AlertState};

/// The states that messages of this trouble told of; none known, no pass.
fn history(facts: &Facts, guard: Guard) -> Result<&EpisodeFacts, GuardAnswer> {
    let what = "what else was said of this trouble";
    match &facts.episode {
        Seen::Known(known) => Ok(known),
        Seen::Absent => Err(GuardAnswer::unseen(
            guard,
            what,
            "nothing is recorded of it",
        )),
        Seen::Unknown(why) => Err(GuardAnswer::unseen(guard, what, why)),
    }
}

pub(super) fn episode(facts: &Facts) -> GuardAnswer {
    let guard = Guard::Episode;
    let alert = &facts.alert;
    let known = match history(facts, guard) {
        Ok(known) => known,
        Err(answer) => return answer,
    };
    let refuse = |what: &str, next: &str| {
        GuardAnswer::refuse(guard, what, next).with("episode", &alert.episode)
    };
    match alert.state {
        AlertState::Firing => {}
        AlertState::Acknowledged => {
            return refuse("a person looks after it already", "nothing: it is in hand");
        }
        AlertState::Resolved => return refuse("the trouble is over", "nothing"),
        AlertState::Merged => {
            return refuse(
                "it is followed under another alert",
                "look at the alert that it was merged into",
            );
        }
    }
    if alert.repeated {
        return refuse("it tells of no new trouble", "nothing");
    }
    if let Some(earlier) = &known.decided {
        return refuse(
            "an earlier message about the same trouble was decided on",
            "look at that decision",
        )
        .with("event", earlier);
    }
    let ended = known.states.iter().rev().find(|state| {
        state.at >= alert.occurred_at
            && matches!(state.state, AlertState::Resolved | AlertState::Merged)
    });
    let in_hand = known
        .states
        .iter()
        .any(|state| state.at >= alert.occurred_at && state.state == AlertState::Acknowledged);
    if let Some(ended) = ended {
        let what = match ended.state {
            AlertState::Resolved => "a later message says that the trouble is over",
            AlertState::Merged | AlertState::Firing | AlertState::Acknowledged => {
                "a later message says that it is followed under another alert"
            }
        };
        return refuse(what, "nothing").with("ended_at", ended.at);
    }
    if let Some(elsewhere) = facts.moved() {
        let what = format!("a later message says that it is a trouble of {elsewhere}");
        return refuse(&what, "look there: it was moved");
    }
    if in_hand {
        let what = "a person took it in hand since";
        let next = "theirs is the decision: accept the proposal if the deployment is the cause";
        return GuardAnswer::ask(guard, what, next).with("episode", &alert.episode);
    }
    GuardAnswer::pass(guard, "it is the first word of a trouble that is there")
        .with("episode", &alert.episode)
}

pub(super) fn lateness(facts: &Facts, policy: &Policy, now: Moment) -> GuardAnswer {
    let guard = Guard::Lateness;
    let at = facts.alert.occurred_at;
    let (age, ahead) = (now.since(at), at.since(facts.received_at));
    let answer = if ahead > policy.ahead_max {
        GuardAnswer::ask(
            guard,
            format!(
                "the sender's clock is {ahead} ahead of ours: none of its times can be relied on"
            ),
            "set the clocks, then roll back by hand if it is needed: `sternway rollback`",
        )
    } else if age > policy.age_max {
        GuardAnswer::refuse(
            guard,
            format!(
                "it is {age} old, more than {}: things have changed since",
                policy.age_max
            ),
            "look how things are now, then roll back by hand if it is needed: `sternway rollback`",
        )
    } else {
        GuardAnswer::pass(guard, format!("it is {age} old"))
    };
    answer.with("occurred_at", at)
}

pub(super) fn settle(facts: &Facts, policy: &Policy, now: Moment) -> GuardAnswer {
    let guard = Guard::Settle;
    let settled_at = facts.received_at.after(policy.settle);
    if now < settled_at {
        return GuardAnswer {
            until: Some(settled_at),
            ..GuardAnswer::new(
                guard,
                Answer::Wait,
                format!(
                    "it has to stay for {} first: many resolve by themselves",
                    policy.settle
                ),
            )
        };
    }
    match &facts.opinion {
        Seen::Known(opinion) if opinion.at < settled_at => GuardAnswer::unseen(
            guard,
            "what our own probes say",
            "they were asked before the trouble had settled",
        ),
        Seen::Known(opinion) => match &opinion.failing {
            Some(failing) => {
                GuardAnswer::pass(guard, format!("our own probe fails as well: {failing}"))
                    .with("probe", failing)
                    .with("seen_at", opinion.at)
            }
            None => GuardAnswer::ask(
                guard,
                "our own probes are green: the alert may be about something else",
                "look yourself, and accept the proposal if the deployment is the cause",
            )
            .with("seen_at", opinion.at),
        },
        Seen::Absent => GuardAnswer::ask(
            guard,
            "the application has no probe, so nobody but the sender says that it fails",
            "give the application a probe",
        ),
        Seen::Unknown(why) => GuardAnswer::unseen(guard, "what our own probes say", why),
    }
}

pub(super) fn flap(facts: &Facts, policy: &Policy, now: Moment) -> GuardAnswer {
    let guard = Guard::Flap;
    let known = match history(facts, guard) {
        Ok(known) => known,
        Err(answer) => return answer,
    };
    let since = |at: Moment| now.since(at) <= policy.flap_window;
    let changes = changes(known, since);
    let answer = if changes >= policy.flap_changes {
        GuardAnswer::ask(
            guard,
            format!(
                "it came and went: {changes} changes within {}",
                policy.flap_window
            ),
            "find out what makes it come and go; a rollback may not be the answer",
        )
    } else {
        GuardAnswer::pass(guard, "the trouble does not come and go")
    };
    answer.with("changes", changes)
}

/// How often the trouble came or went since then. Repetitions and acknowledgements change nothing.
fn changes(known: &EpisodeFacts, counts: impl Fn(Moment) -> bool) -> usize {
    let there = |state: AlertState| match state {
        AlertState::Firing | AlertState::Acknowledged => true,
        AlertState::Resolved | AlertState::Merged => false,
    };
    let mut states = [known.earlier.as_slice(), &known.states].concat();
    states.sort_by_key(|state| state.at);
    let pairs = states.iter().zip(states.iter().skip(1));
    let between = pairs
        .filter(|(before, after)| there(before.state) != there(after.state) && counts(after.at))
        .count();
    // The first word of all is a change as well: nothing was there before.
    let first = states
        .first()
        .filter(|first| there(first.state) && counts(first.at));
    between + usize::from(first.is_some())
}
