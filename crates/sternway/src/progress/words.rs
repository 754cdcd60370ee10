//! Lines of a log for people who read along without a terminal. The sentences are the server's own, so that
//! the same thing is said everywhere; here is only what stands before them.

use domain::{effect::Outcome, lifecycle::Event, time::Moment, verdict::CauseCode};
use time::{OffsetDateTime, macros::format_description};

use super::tree::{Stage, Tree};
use crate::out::one_line;

/// The line of an event; none when it says nothing that the next one does not say better.
#[must_use]
pub fn line(tree: &Tree, event: &Event, sentence: &str, at: Moment) -> Option<String> {
    let head = head(tree, event, at)?;
    let since = tree
        .requested_at
        .map_or(String::new(), |begin| format!("+{}", at.since(begin)));
    Some(format!(
        "{} {since:>9}  {head}{}",
        clock(at),
        one_line(sentence)
    ))
}

fn head(tree: &Tree, event: &Event, at: Moment) -> Option<String> {
    let row = tree.at();
    let step = row.map_or("", |row| row.title.as_str());
    let took = row
        .and_then(|row| row.began)
        .map_or(String::new(), |began| format!(" in {}", at.since(began)));
    let undone = matches!(tree.stage, Stage::Backward(_));
    match event {
        Event::Intended { .. }
        | Event::Performed {
            outcome: Outcome::Done,
        } => None,
        Event::StepDone { .. } if undone => Some(format!("↩ undone   {step}{took}: ")),
        Event::StepDone { .. } => Some(format!("✓ done     {step}{took}: ")),
        Event::StepSkipped { .. } => Some(format!("– skipped  {step}: ")),
        Event::TurnedBack { cause } if cause.code == CauseCode::Cancelled => {
            Some(format!("↩ stopped  {step}: "))
        }
        Event::TurnedBack { .. } => Some(format!("✗ failed   {step}: ")),
        Event::Performed { .. } => Some(format!("! {step}: ")),
        Event::EngineLost { .. } | Event::CancelRefused { .. } | Event::WatchRed { .. } => {
            Some("! ".to_owned())
        }
        Event::Ended { verdict } => Some(format!("{}: ", verdict.word())),
        Event::Requested { .. }
        | Event::Approved { .. }
        | Event::TakenOver { .. }
        | Event::EngineBack
        | Event::WatchGreen { .. } => Some(String::new()),
    }
}

/// `08:20:31.123Z`: the day is in the header of whatever this stands in.
#[must_use]
pub fn clock(at: Moment) -> String {
    let format = format_description!("[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(at)
        .format(format)
        .unwrap_or_else(|_| at.to_string())
}

/// `2026-11-22 08:20:31Z`.
#[must_use]
pub fn date(at: Moment) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    OffsetDateTime::from(at)
        .format(format)
        .unwrap_or_else(|_| at.to_string())
}
