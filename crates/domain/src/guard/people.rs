//! Guards that people set: switches, windows, approvals, and what a severity means.

use super::{Facts, Guard, GuardAnswer, Impact};
use crate::{
    seen::Seen,
    time::Moment,
    window::{self, Verdict},
};

pub(super) fn kill_switch(facts: &Facts) -> GuardAnswer {
    let guard = Guard::KillSwitch;
    let switches = match &facts.switches {
        Seen::Known(switches) => switches,
        Seen::Absent => {
            return GuardAnswer::unseen(guard, "the kill switch", "nothing is recorded of it");
        }
        Seen::Unknown(why) => return GuardAnswer::unseen(guard, "the kill switch", why),
    };
    let here = facts.subject().map(|subject| &subject.name);
    let (switch, of, command) = match (&switches.everywhere, &switches.here) {
        (Some(switch), _) => (
            switch,
            "every application".to_owned(),
            "sternway automatic on".to_owned(),
        ),
        (None, Some(switch)) => {
            let name = here.map_or("this application", |name| name.as_str());
            (
                switch,
                name.to_owned(),
                format!("sternway automatic on {name}"),
            )
        }
        (None, None) => return GuardAnswer::pass(guard, "automatic rollbacks are on"),
    };
    GuardAnswer::ask(
        guard,
        format!(
            "{} switched automatic rollbacks of {of} off: {}",
            switch.by, switch.reason
        ),
        format!("look yourself, or switch it on again: `{command} --reason ...`"),
    )
    .with("by", &switch.by)
    .with("at", switch.at)
}

pub(super) fn freeze(facts: &Facts, now: Moment) -> GuardAnswer {
    let guard = Guard::FreezeWindow;
    let windows = match &facts.windows {
        Seen::Known(windows) => windows,
        Seen::Absent => {
            return GuardAnswer::unseen(guard, "freeze windows", "nothing is recorded of them");
        }
        Seen::Unknown(why) => return GuardAnswer::unseen(guard, "freeze windows", why),
    };
    let Some(subject) = facts.subject() else {
        return GuardAnswer::unseen(guard, "freeze windows", "the application is not known");
    };
    match window::judge(windows, &subject.name, now) {
        Verdict::Open { exempt: None } => GuardAnswer::pass(guard, "no freeze window is open"),
        Verdict::Open { exempt: Some(id) } => GuardAnswer::pass(
            guard,
            "a freeze window is open; rollbacks are exempt from it",
        )
        .with("window", id),
        Verdict::Denied { window, until } => {
            let next = "wait, or accept the proposal, which names you and your reason";
            let what = format!("a freeze window is open until {until}");
            GuardAnswer::ask(guard, what, next)
                .with("window", window)
                .with("until", until)
        }
        Verdict::NotAllowed { next } => {
            let what = "no window that allows rollbacks is open now";
            let then = "wait for it, or accept the proposal, which names you and your reason";
            let answer = GuardAnswer::ask(guard, what, then);
            match next {
                Some(next) => answer.with("next", next),
                None => answer,
            }
        }
        Verdict::Unreadable { window, why } => {
            GuardAnswer::unseen(guard, "whether a freeze window is open", &why)
                .with("window", window)
        }
    }
}

pub(super) fn severity(facts: &Facts) -> GuardAnswer {
    let guard = Guard::Severity;
    let next = "answer the questions of `sternway decide`, or accept the proposal";
    let said = facts.severity().unwrap_or("nothing");
    let impact = facts.impact();
    let answer = match impact {
        Some(Impact::Down) => GuardAnswer::pass(guard, "the application is down"),
        Some(Impact::DataCorruption) => GuardAnswer::ask(
            guard,
            "data may be damaged: a rollback by itself could make it worse",
            "stop what writes, call the database's person, assess; only then roll back",
        ),
        Some(Impact::Security) => GuardAnswer::ask(
            guard,
            "it is a security hole: the target has to be one without it",
            "name a secure version: `sternway rollback APP --to VERSION --reason security`",
        ),
        Some(Impact::Many) => GuardAnswer::ask(
            guard,
            "many are affected, but the application is not down",
            next,
        ),
        Some(Impact::Slow) => GuardAnswer::ask(
            guard,
            "it is slow, not down",
            "capture metrics and logs first, then answer the questions of `sternway decide`",
        ),
        Some(Impact::Minor) => GuardAnswer::ask(guard, "few are affected", next),
        None => GuardAnswer::ask(
            guard,
            format!(
                "it can not be told from the severity ({said}) whether the application is down"
            ),
            "map the sender's words for severity in the trigger",
        ),
    };
    answer
        .with("severity", said)
        .with("impact", impact.map_or("unknown", Impact::word))
}

/// Whether a severity's answer is about trouble that a rollback can make worse.
pub(super) fn forbids(answer: &GuardAnswer) -> bool {
    let worse = [Impact::DataCorruption.word(), Impact::Security.word()];
    let impact = answer.evidence.get("impact");
    impact.is_some_and(|impact| worse.contains(&impact.as_str()))
}

/// What is never done by itself, whoever says so: a rollback over damaged data, or to a version with a hole.
pub(super) fn never_overridden(facts: &Facts) -> bool {
    match facts.impact() {
        Some(Impact::DataCorruption | Impact::Security) => true,
        Some(Impact::Down | Impact::Many | Impact::Slow | Impact::Minor) | None => false,
    }
}

pub(super) fn approval(facts: &Facts) -> GuardAnswer {
    let guard = Guard::Approval;
    match facts.subject() {
        Some(subject) if subject.approval => GuardAnswer::ask(
            guard,
            format!("rollbacks of {} need a person's approval", subject.name),
            "approve the proposed plan",
        ),
        Some(_) => GuardAnswer::pass(guard, "nobody's approval is asked for"),
        None => GuardAnswer::unseen(
            guard,
            "whether an approval is asked for",
            "the application is not known",
        ),
    }
}
