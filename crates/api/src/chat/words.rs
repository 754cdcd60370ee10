//! What is said in chats, as plain text: whoever sends it escapes it.

use domain::{
    lifecycle::Phase,
    name::{ChatUser, TriggerName},
    planner::Blocker,
};
use store::RollbackView;

use crate::{
    problem::Problem,
    routes::{applications::ApplicationItem, releases::ReleaseAnswer},
};

/// Most lines of a list in a chat.
const LINES_MAX: usize = 15;

/// To whoever asked for what broke off each time that it was taken up.
pub(super) const BROKEN: &str = "I could not do that: it broke off each time that I tried, which is a defect of mine and told in \
    the server's log. See what there is with `/rollback APP` before you ask for it again.";

/// Below a plan in a chat that signs nothing.
pub(super) const ONLY_PROPOSES: &str = "This chat signs nothing: your yes asks for it, and it starts with another person's \
    yes on the command line.";

/// What can be asked, with what was wrong.
pub(super) fn help(wrong: Option<&str>) -> String {
    let usage = "`/rollback`: what there is\n\
                 `/rollback APP`: what it can go back to, and the plan to its last known good release\n\
                 `/rollback APP VERSION [REASON] [WHY]`: that plan; a reason is one of critical_bug, performance, \
                 security, integration, health_checks\n\
                 `/rollback approve ID` and `/rollback deny ID`: yes or no to a plan or a rollback that is shown";
    match wrong {
        Some(wrong) => format!("{wrong}\n{usage}"),
        None => usage.to_owned(),
    }
}

pub(super) fn unknown(trigger: &TriggerName, user: &ChatUser) -> String {
    format!(
        "Sorry, I do not know who you are, so I can not do that. An administrator can tell me: \
         `sternway chat map {trigger} {user} --person YOU --role approver` to ask and to approve, `--role operator` to ask only."
    )
}

/// A no, in the words that every other client gets.
pub(super) fn problem(problem: &Problem) -> String {
    let mut lines = vec![format!("{}: {}", problem.title, problem.detail)];
    lines.extend(problem.blockers.iter().map(blocker));
    lines.extend(problem.production_state.clone());
    lines.extend(problem.next_actions.iter().map(|next| format!("→ {next}")));
    lines.join("\n")
}

fn blocker(blocker: &Blocker) -> String {
    format!("✗ {} → {}", blocker.sentence, blocker.next_action)
}

/// Applications, each with what it could go back to as it was last looked at.
pub(super) fn applications(listed: &[(ApplicationItem, Vec<String>)], more: bool) -> String {
    if listed.is_empty() {
        return "There is no application that you may see.".to_owned();
    }
    let line = |(item, ready): &(ApplicationItem, Vec<String>)| {
        let name = &item.application.name;
        match ready.as_slice() {
            [] => format!("• {name}: nothing to go back to is known to be ready"),
            ready => format!("• {name}: ready to go back to {}", ready.join(", ")),
        }
    };
    let mut lines: Vec<String> = listed.iter().map(line).collect();
    if more {
        lines.push("… and others".to_owned());
    }
    lines.push("Name one: `/rollback APP`".to_owned());
    lines.join("\n")
}

/// Releases of an application, as they were just looked at.
pub(super) fn targets(items: &[ReleaseAnswer]) -> String {
    let line = |item: &ReleaseAnswer| {
        let mut marks = Vec::new();
        if item.present == Some(true) {
            marks.push("runs now".to_owned());
        } else {
            match item.blockers.as_deref() {
                Some([]) => marks.push("ready".to_owned()),
                // Why it is barred is said behind it anyway.
                Some(_) if item.hold.is_some() || item.insecure.is_some() => {
                    marks.push("not ready".to_owned());
                }
                Some([first, ..]) => marks.push(format!("not ready: {}", first.sentence)),
                None => {}
            }
        }
        if item.last_known_good == Some(true) {
            marks.push("last known good".to_owned());
        } else if item.good_at.is_some() {
            marks.push("was good".to_owned());
        }
        marks.extend(item.hold.as_ref().map(|why| format!("held: {why}")));
        marks.extend(item.insecure.as_ref().map(|why| format!("insecure: {why}")));
        format!("• {}: {}", item.version, marks.join(", "))
    };
    let lines: Vec<String> = items.iter().take(LINES_MAX).map(line).collect();
    lines.join("\n")
}

/// A rollback that was asked for.
pub(super) fn asked_for(view: &RollbackView) -> String {
    let what = about(view);
    match view.run.phase {
        Phase::AwaitingApproval { .. } => {
            format!("{what} is asked for, and waits for another person's yes.")
        }
        Phase::Forward { .. }
        | Phase::Backward { .. }
        | Phase::Watching { .. }
        | Phase::Ended { .. } => format!("{what} is asked for; it goes on by itself."),
    }
}

/// A rollback that was asked for in a chat that signs nothing: whoever reads one message there could have asked for it.
pub(super) fn proposed(view: &RollbackView) -> String {
    let until = match view.run.phase {
        Phase::AwaitingApproval { until } => until,
        Phase::Forward { .. }
        | Phase::Backward { .. }
        | Phase::Watching { .. }
        | Phase::Ended { .. } => return asked_for(view),
    };
    let (id, plan) = (view.id, &view.plan);
    let alone = match plan.application.approval {
        true => String::new(),
        false => format!(
            " With nobody else there: `sternway cancel {id}`, then `sternway rollback {} --to {} --reason {}`.",
            view.application,
            plan.to,
            view.reason.word()
        ),
    };
    format!(
        "{} is asked for. This chat signs nothing, so it waits until {until} for the yes of somebody else than {} on the \
         command line: `sternway approve {id}`.{alone}",
        about(view),
        view.requested_by
    )
}

/// A yes or a no to it that was written down.
pub(super) fn decided(view: &RollbackView, yes: bool) -> String {
    let word = if yes { "yes" } else { "no" };
    format!("Your {word} is written down. {}.", about(view))
}

fn about(view: &RollbackView) -> String {
    format!(
        "Rollback {} of {} to {}",
        view.id, view.application, view.plan.to
    )
}
