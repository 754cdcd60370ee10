//! `plan`: what a rollback would do. The server makes the plan; here it is only printed.

use domain::{name::ApplicationName, target::Target};

use super::args::{PlanArgs, StrategyArgs};
use crate::{
    client::{
        Client, Conditions, Reply,
        answers::{PlanAnswer, PlanRequest},
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::{Out, Paint, one_line},
};

/// Digits of a digest that are enough for a person to compare.
const DIGEST_CHARS: usize = 12;

/// The command.
///
/// # Errors
/// What stands in the way of a plan, and what the server says no with.
pub async fn run(args: &PlanArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let target = args.target.target().unwrap_or_default();
    let reply = make(client, &args.application, target, args.strategy).await?;
    let plan: PlanAnswer = reply.read()?;
    if out.json {
        out.object(&reply.raw);
        return Ok(Exit::Reached);
    }
    out.data(&text(&plan, out.data));
    if !plan.changes_nothing {
        out.say(&format!(
            "Nothing was changed. To do it: {}",
            to_do_it(&plan, args.strategy)
        ));
    }
    Ok(Exit::Reached)
}

/// The command that does what was planned, wherever it is typed.
fn to_do_it(plan: &PlanAnswer, strategy: StrategyArgs) -> String {
    format!(
        "sternway rollback {} --to {}{} --reason REASON    (and --yes where nobody can be asked, such as CI)",
        plan.application,
        plan.to,
        strategy_words(strategy)
    )
}

/// Has a plan made.
///
/// # Errors
/// What the server says no with.
pub async fn make(
    client: &Client,
    application: &ApplicationName,
    target: Target,
    strategy: StrategyArgs,
) -> Result<Reply, Failure> {
    let path = format!(
        "/api/v1/applications/{}/plans",
        segment(application.as_str())
    );
    let body = PlanRequest {
        target,
        strategy: strategy.strategy(),
        confirm_moved_tag: strategy.confirm_moved_tag,
    };
    client.post(&path, &body, Conditions::default()).await
}

fn strategy_words(args: StrategyArgs) -> &'static str {
    match (args.rebuild, args.confirm_moved_tag) {
        (false, _) => "",
        (true, false) => " --rebuild",
        (true, true) => " --rebuild --confirm-moved-tag",
    }
}

/// The plan for a person.
#[must_use]
pub fn text(plan: &PlanAnswer, paint: Paint) -> String {
    if plan.changes_nothing {
        return format!(
            "{} runs {} already: there is nothing to do, and nothing would be restarted.",
            plan.application, plan.to
        );
    }
    let mut lines = vec![paint.strong(&format!("Plan for {}", move_words(plan)))];
    for step in &plan.steps {
        lines.push(format!(
            "  {:>2}. {}",
            step.number,
            one_line(&step.sentence)
        ));
    }
    if let Some(downtime) = &plan.downtime {
        lines.push(format!(
            "Expected downtime: {} ({})",
            downtime.expected_ms,
            one_line(&downtime.basis)
        ));
    }
    if !plan.unchanged.is_empty() {
        lines.push("Stays as it is:".to_owned());
        lines.extend(
            plan.unchanged
                .iter()
                .map(|line| format!("  - {}", one_line(line))),
        );
    }
    if !plan.warnings.is_empty() {
        lines.push(paint.warn("Worth knowing:"));
        lines.extend(plan.warnings.iter().flat_map(|warning| {
            let (sentence, action) = (&warning.sentence, &warning.next_action);
            [
                format!("  ! {}", one_line(sentence)),
                format!("    → {}", one_line(action)),
            ]
        }));
    }
    if !plan.checklist.is_empty() {
        lines.push("Checklist:".to_owned());
        for item in &plan.checklist {
            let (mark, name) = (
                if item.met { "✓" } else { "○" },
                item.code.word().replace('_', " "),
            );
            lines.push(format!("  {mark} {name}: {}", one_line(&item.said)));
        }
    }
    if plan.approval_required {
        lines.push(paint.warn(match plan.approvers {
            Some(2..) => "It waits for the approval of two other persons before it starts.",
            _ => "It waits for another person's approval before it starts.",
        }));
    }
    lines.push(paint.faint(&format!(
        "Plan digest {}",
        &plan.digest.as_str()[..DIGEST_CHARS]
    )));
    lines.join("\n")
}

/// `shop: 1.5.0 → 1.4.2`.
#[must_use]
pub fn move_words(plan: &PlanAnswer) -> String {
    let from = plan
        .from
        .as_ref()
        .map_or("an unknown version", |from| from.as_str());
    format!("{}: {from} → {}", plan.application, plan.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(changes_nothing: bool) -> PlanAnswer {
        serde_json::from_value(serde_json::json!({
            "digest": "ab".repeat(32), "application": "shop", "target": "last_known_good", "from": "1.5.0", "to": "1.4.2",
            "changes_nothing": changes_nothing, "approval_required": true, "strategy": "quick",
            "steps": [{"number": 1, "title": "check", "sentence": "Check that the engine answers."},
                      {"number": 2, "title": "switch api", "sentence": "Switch api: stop shop-api-1, start 1 container of 1.4.2."}],
            "downtime": {"expected_ms": 900, "basis": "median of the last 3 rollbacks of this application"},
            "unchanged": ["Volumes stay."], "warnings": [{"code": "environment_differs", "sentence": "api goes back to the environment of 1.4.2",
                          "next_action": "if that is wrong, deploy it"}]
        }))
        .unwrap()
    }

    #[test]
    fn a_plan_is_printed_with_all_that_a_person_should_know() {
        assert_eq!(
            text(&plan(false), Paint::default()),
            "Plan for shop: 1.5.0 → 1.4.2\n\
             \x20  1. Check that the engine answers.\n\
             \x20  2. Switch api: stop shop-api-1, start 1 container of 1.4.2.\n\
             Expected downtime: 900 ms (median of the last 3 rollbacks of this application)\n\
             Stays as it is:\n\
             \x20 - Volumes stay.\n\
             Worth knowing:\n\
             \x20 ! api goes back to the environment of 1.4.2\n\
             \x20   → if that is wrong, deploy it\n\
             It waits for another person's approval before it starts.\n\
             Plan digest abababababab"
        );
    }

    #[test]
    fn a_plan_that_changes_nothing_says_so() {
        assert!(text(&plan(true), Paint::default()).contains("nothing to do"));
    }
}
