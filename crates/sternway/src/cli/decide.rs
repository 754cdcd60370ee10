//! `decide`: the runbook's questions, one by one, and what is best done. It does nothing by itself.

use std::collections::BTreeSet;

use domain::{
    name::ApplicationName,
    triage::{Evidence, Said, Source, facts},
};

use super::args::DecideArgs;
use crate::{
    client::{
        Client, Conditions,
        answers::{DecisionAnswer, DecisionRequest, Listing, NextQuestion, SaidAnswer},
        problem::Failure,
        segment,
    },
    exit::Exit,
    out::{Out, one_line},
    progress::words::date,
};

const DECISIONS: &str = "/api/v1/decisions";
/// How often a question is asked again when the answer is none.
const TRIES_MAX: u8 = 3;

/// The command.
///
/// # Errors
/// A question that nobody answers, and what the server says no with.
pub async fn run(args: &DecideArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let answers = args.answers.iter().map(|(question, said)| SaidAnswer {
        question: *question,
        said: *said,
        source: args.source.unwrap_or_default(),
        note: None,
    });
    let mut ask = DecisionRequest {
        application: args.application.clone(),
        answers: answers.collect(),
        severity: args.severity.clone(),
        over: args.over,
        note: args.note.clone(),
    };
    let mut shown = BTreeSet::new();
    loop {
        let reply = client.post(DECISIONS, &ask, Conditions::default()).await?;
        let answer: DecisionAnswer = reply.read()?;
        if !out.json {
            show(&answer.answers, &mut shown, out);
        }
        let Some(next) = &answer.next_question else {
            if out.json {
                out.object(&reply.raw);
            } else {
                out.data(&text(&answer));
            }
            return Ok(Exit::Reached);
        };
        ask.answers.push(SaidAnswer {
            question: next.question,
            said: said(next, args, out)?,
            source: Source::Person,
            note: None,
        });
    }
}

/// What metrics and probes say. They are asked again with each question: what is as before is not said again, whatever the
/// number is by then.
fn show(answers: &[Evidence], shown: &mut BTreeSet<String>, out: &Out) {
    for found in answers.iter().filter(|answer| facts::is_ours(answer)) {
        let line = found_line(found);
        let (what, _) = line.split_once(": ").unwrap_or((&line, ""));
        if shown.insert(what.to_owned()) {
            out.say(&line);
        }
    }
}

/// `Does it affect more than 10 % of the users? yes (metric error_share: 0.31, above 0.1)`.
fn found_line(found: &Evidence) -> String {
    let said = match found.said {
        Said::Yes => "yes",
        Said::No => "no",
        Said::Unknown => "not known",
    };
    let note = found.note.as_deref().map(one_line).unwrap_or_default();
    format!(
        "{} {said} ({} {note})",
        found.question.sentence(),
        found.source.word()
    )
}

/// What a person says to a question.
fn said(next: &NextQuestion, args: &DecideArgs, out: &Out) -> Result<Said, Failure> {
    for _ in 0..TRIES_MAX {
        let Some(line) = out.ask(&format!("{} [y]es, [n]o, [?] I don't know:", next.sentence))
        else {
            break;
        };
        match line.to_lowercase().as_str() {
            "y" | "yes" => return Ok(Said::Yes),
            "n" | "no" => return Ok(Said::No),
            "?" | "unknown" | "i don't know" => return Ok(Said::Unknown),
            _ => out.say("Say y, n or ?. Who does not know gets the more severe branch."),
        }
    }
    let what = format!("a question is not answered: {}", next.sentence);
    let how = format!(
        "`sternway decide {} --answer {}=yes|no|unknown`",
        args.application,
        next.question.word()
    );
    Err(Failure::new(Exit::Usage, what, &[&how]))
}

fn text(answer: &DecisionAnswer) -> String {
    let Some(advice) = &answer.advice else {
        return format!("{}: it is over.", answer.application);
    };
    let mut lines = vec![
        advice.sentence.clone(),
        format!(
            "Until {}; after that it is said aloud that nothing was done.",
            date(advice.deadline)
        ),
    ];
    lines.extend(advice.commands.iter().map(|command| format!("  {command}")));
    lines.join("\n")
}

/// What was decided and is not done yet, in one line; none when nothing is open. A server that does not know of
/// decisions has nothing to say.
pub(super) async fn say_what_is_open(name: Option<&ApplicationName>, client: &Client, out: &Out) {
    let path = match name {
        Some(name) => format!("{DECISIONS}?limit=1&application={}", segment(name.as_str())),
        None => format!("{DECISIONS}?limit=100"),
    };
    let Ok(reply) = client.get(&path).await else {
        return;
    };
    let Ok(page) = reply.read::<Listing<DecisionAnswer>>() else {
        return;
    };
    for line in page.items.iter().filter_map(open) {
        out.say(&line);
    }
}

fn open(answer: &DecisionAnswer) -> Option<String> {
    let advice = answer.advice.as_ref().filter(|_| answer.open)?;
    let deadline = date(advice.deadline);
    let when = match answer.passed_at {
        Some(_) => format!("NOTHING WAS DONE until {deadline}"),
        None => format!("to be done until {deadline}"),
    };
    Some(format!(
        "{}: {} ({} decided that, {when})",
        answer.application,
        one_line(&advice.sentence),
        answer.by
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_said_with_the_number() {
        let mut found: Evidence = serde_json::from_value(serde_json::json!({
            "question": "many_users", "said": "yes", "source": "metric", "by": "sternway:asker",
            "at": "2026-11-22T10:00:00Z", "note": "error_share: 0.31, above 0.1"
        }))
        .unwrap();
        assert_eq!(
            found_line(&found),
            "Does it affect more than 10 % of the users? yes (metric error_share: 0.31, above 0.1)"
        );
        (found.said, found.source) = (Said::Unknown, Source::Probe);
        found.note = Some("checks: nothing was asked,\u{1b}[2J no worker".to_owned());
        assert!(
            found_line(&found)
                .ends_with("users? not known (probe checks: nothing was asked, no worker)"),
            "{}",
            found_line(&found)
        );
    }

    #[test]
    fn a_decision_says_until_when_and_how() {
        let mut answer: DecisionAnswer = serde_json::from_value(serde_json::json!({
            "application": "shop", "answers": [], "by": "ana", "at": "2026-11-22T10:00:00Z", "open": true,
            "advice": {"code": "roll_back_soon", "sentence": "Roll back.", "urgency": "soon",
                "deadline": "2026-11-22T10:30:00Z", "commands": ["sternway rollback shop --good"]}
        }))
        .unwrap();
        let said = text(&answer);
        assert!(
            said.contains("Until 2026-11-22 10:30:00Z")
                && said.ends_with("  sternway rollback shop --good"),
            "{said}"
        );
        assert!(
            open(&answer)
                .unwrap()
                .ends_with("to be done until 2026-11-22 10:30:00Z)")
        );
        answer.passed_at = Some(answer.at);
        assert!(open(&answer).unwrap().contains("NOTHING WAS DONE"));
        answer.open = false;
        assert_eq!(open(&answer), None);
    }
}
