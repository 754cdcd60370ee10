//! What goes wrong, as a person needs it at 3 a.m.: what happened, which field, what to do next.

use serde::{Deserialize, Serialize};

use crate::{
    exit::Exit,
    out::{Paint, one_line},
};

/// An RFC 9457 problem as the server answers it. Unknown members are kept out of sight, not refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// Stable kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What stands in the way of a plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
    /// How the plan that was agreed to differs from what would be planned now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub difference: Vec<String>,
    /// What serves now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub production_state: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next_actions: Vec<String>,
    /// What to give to whoever looks into the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One field that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldError {
    /// Its path.
    pub field: String,
    /// What is wrong with it.
    #[serde(alias = "detail", alias = "message")]
    pub what: String,
}

/// Something that stands in the way; a code that is newer than we are is still a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Blocker {
    /// Stable code.
    pub code: String,
    /// What is the matter.
    pub sentence: String,
    /// What to do about it.
    pub next_action: String,
}

/// Why a command can not go on, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What happened.
    pub problem: Box<Problem>,
}

impl Failure {
    /// A failure of our own making, with what to do next.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>, next: &[&str]) -> Self {
        let problem = Problem {
            kind: "about:blank".to_owned(),
            detail: Some(what.into()),
            next_actions: next.iter().map(|&next| next.to_owned()).collect(),
            ..Problem::default()
        };
        Self {
            exit,
            problem: Box::new(problem),
        }
    }

    /// What the server said no with.
    #[must_use]
    pub fn of(problem: Problem) -> Self {
        let unknown = problem
            .blockers
            .iter()
            .any(|blocker| blocker.code == "unknown_version");
        let exit = if unknown {
            Exit::NotFound
        } else {
            Exit::of_status(problem.status)
        };
        Self {
            exit,
            problem: Box::new(problem),
        }
    }

    /// The failure for a person.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        self.problem.render(paint)
    }
}

impl Problem {
    /// The problem for a person.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let what = one_line(self.detail.as_deref().unwrap_or(&self.title));
        let mut lines = vec![format!("{} {what}", paint.bad("error:"))];
        for error in &self.errors {
            lines.push(format!(
                "  {}: {}",
                one_line(&error.field),
                one_line(&error.what)
            ));
        }
        for blocker in &self.blockers {
            lines.push(format!("  - {}", one_line(&blocker.sentence)));
        }
        for line in &self.difference {
            lines.push(format!("  - {}", one_line(line)));
        }
        // With a single fault the sentence above has said it already.
        lines.retain({
            let mut first = true;
            move |line| std::mem::take(&mut first) || !line.ends_with(&format!(" {what}"))
        });
        if let Some(state) = &self.production_state {
            lines.push(format!("production now: {}", one_line(state)));
        }
        let mut nexts: Vec<String> = Vec::new();
        for next in self
            .blockers
            .iter()
            .map(|blocker| &blocker.next_action)
            .chain(&self.next_actions)
        {
            let line = format!("next: {}", one_line(next));
            if !nexts.contains(&line) {
                nexts.push(line);
            }
        }
        lines.extend(nexts);
        if let Some(id) = &self.request_id {
            lines.push(paint.faint(&format!("request {}", one_line(id))));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_happened_and_what_to_do() {
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "type": "urn:sternway:problem:invalid", "title": "Invalid", "status": 422, "code": "invalid",
            "detail": "the definition breaks 1 rule\u{1b}[31m", "errors": [{"field": "engine", "what": "use `local`"}],
            "production_state": "1.5.0 serves", "next_actions": ["correct it, then apply it again"],
            "request_id": "0199", "something_new": {"a": 1}
        }))
        .unwrap();
        let failure = Failure::of(problem);
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(
            failure.render(Paint::default()),
            "error: the definition breaks 1 rule\n  engine: use `local`\nproduction now: 1.5.0 serves\n\
             next: correct it, then apply it again\nrequest 0199"
        );
    }

    #[test]
    fn a_single_fault_is_said_once_and_an_unknown_version_is_not_found() {
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "title": "Something stands in the way", "status": 409, "detail": "no release 9.9", "next_actions": ["list them"],
            "blockers": [{"code": "unknown_version", "sentence": "no release 9.9", "next_action": "list them"}]
        }))
        .unwrap();
        assert_eq!(
            problem.render(Paint::default()),
            "error: no release 9.9\nnext: list them"
        );
        assert_eq!(Failure::of(problem).exit, Exit::NotFound);
    }

    #[test]
    fn blockers_and_differences_are_listed() {
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "title": "Plan blocked", "status": 409,
            "blockers": [{"code": "held", "sentence": "1.4.2 is held", "next_action": "release it"}],
            "difference": ["1.5.0 ran, now 1.5.1 runs"]
        }))
        .unwrap();
        assert_eq!(
            problem.render(Paint::default()),
            "error: Plan blocked\n  - 1.4.2 is held\n  - 1.5.0 ran, now 1.5.1 runs\nnext: release it"
        );
    }
}
