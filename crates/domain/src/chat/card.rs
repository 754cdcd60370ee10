//! What is shown of one plan and its rollback, as a function of what is known: shown again it is the same card.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    checklist::Check,
    lifecycle::{Phase, Run},
    name::{Actor, ChatUser, RollbackId},
    plan::Plan,
    planner::{Downtime, Warning},
    reason::Reason,
    time::Moment,
};

/// Most lines of one list: a chat shows the plan, the command line and the API all of it.
const LINES_MAX: usize = 40;

/// Why there is a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Somebody asked for a plan in the chat.
    Plan,
    /// An alert asked for a rollback.
    Alert,
    /// Somebody did without the approval that is asked for.
    Glass,
    /// A rollback ended, and left the rest to a person.
    Human,
    /// A held release came back, and is to be put back.
    Returned,
}

impl Occasion {
    /// Every occasion.
    pub const ALL: [Self; 5] = [
        Self::Plan,
        Self::Alert,
        Self::Glass,
        Self::Human,
        Self::Returned,
    ];

    /// The word in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Alert => "alert",
            Self::Glass => "glass",
            Self::Human => "human",
            Self::Returned => "returned",
        }
    }
}

/// What became of a plan that nobody has asked for yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be asked for.
    Open,
    /// Somebody is asking for it at this moment.
    Taken,
    /// Somebody said no.
    Denied,
    /// It is no longer true.
    Stale,
    /// Asking for it broke off, and whoever did does not come back.
    Broken,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Taken,
        Self::Denied,
        Self::Stale,
        Self::Broken,
    ];

    /// The word in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Taken => "taken",
            Self::Denied => "denied",
            Self::Stale => "stale",
            Self::Broken => "broken",
        }
    }
}

/// What was known when the card was made, and is in no plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// How long clients would go without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Downtime>,
    /// What is worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// The runbook's checklist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checklist: Vec<Check>,
    /// Who asked for it in the chat: it is asked for in their name, as far as that goes by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asker: Option<ChatUser>,
    /// Why it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same in words: those of whoever asked, or the alert's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why the glass was broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glass: Option<String>,
}

/// A rollback of the plan.
#[derive(Clone, Copy, Debug)]
pub struct Under<'a> {
    /// Which.
    pub id: RollbackId,
    /// Where it is.
    pub run: &'a Run,
    /// Who asked for it.
    pub requested_by: &'a Actor,
}

/// Everything that a card is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its identity.
    pub card: Uuid,
    /// Why there is one.
    pub occasion: Occasion,
    /// The plan.
    pub plan: &'a Plan,
    /// What was known besides.
    pub known: &'a Known,
    /// Who asked for the plan.
    pub asked_by: &'a Actor,
    /// What became of the plan.
    pub state: State,
    /// By whom or why it became so.
    pub said: Option<&'a str>,
    /// Until when it can be asked for.
    pub until: Moment,
    /// The rollback, once there is one.
    pub under: Option<Under<'a>>,
    /// Whether persons may act where it is shown.
    pub may_act: bool,
    /// The time.
    pub now: Moment,
}

/// A card, as plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// What it is about, in one line.
    pub title: String,
    /// Whether everybody is to be called.
    pub call_all: bool,
    /// What it says, in pieces.
    pub parts: Vec<String>,
    /// What its buttons carry, when there is something to decide.
    pub decide: Option<String>,
    /// Whether it will never look otherwise.
    pub last: bool,
}

/// What is to be shown now.
#[must_use]
pub fn card(facts: &Facts<'_>) -> Card {
    let (status, open, last) = match facts.under {
        None => before(facts),
        Some(under) => during(facts.plan, under),
    };
    let mut parts = vec![status];
    if let Some(why) = &facts.known.glass {
        parts.push(format!("Started without approval: {why}"));
    }
    let waits = open && !last;
    match facts.under {
        Some(under) if !waits => parts.extend(progress(facts.plan, under.run)),
        Some(_) | None if !last => parts.extend(details(facts)),
        Some(_) | None => {}
    }
    parts.extend(facts.under.map(|under| format!("Rollback {}", under.id)));
    Card {
        title: title(facts),
        call_all: match facts.occasion {
            Occasion::Glass | Occasion::Human => true,
            // Nothing but a person's yes is missing, and nobody in particular was asked for it.
            Occasion::Alert | Occasion::Returned => waits,
            // Whoever asked for it is there.
            Occasion::Plan => false,
        },
        parts,
        decide: (waits && facts.may_act)
            .then(|| format!("{}.{}", facts.card, facts.plan.digest().as_str())),
        last,
    }
}

fn title(facts: &Facts<'_>) -> String {
    let plan = facts.plan;
    let from = plan
        .from
        .as_ref()
        .map_or("an unknown version", |from| from.as_str());
    let way = format!("{}: {from} → {}", plan.application.name, plan.to);
    match facts.occasion {
        Occasion::Plan => way,
        Occasion::Alert => format!("An alert asks for {way}"),
        Occasion::Glass => format!("The glass is broken for {way}"),
        Occasion::Human => format!("A person has to look at {way}"),
        Occasion::Returned => format!("A held release came back, to be put back: {way}"),
    }
}

/// What it says, whether something can be decided, and whether that is the end of it.
fn before(facts: &Facts<'_>) -> (String, bool, bool) {
    let said = facts.said.unwrap_or_default();
    match facts.state {
        State::Open if facts.now < facts.until => {
            let asked = format!("Asked by {}. Nothing is done yet.", facts.asked_by);
            let until = format!("It can be approved until {}.", clock(facts.until));
            (
                format!("{asked} {until}{}", persons(facts.plan)),
                true,
                false,
            )
        }
        State::Open => {
            let said = "Nobody took it up in time. Nothing was done; ask for it again.".to_owned();
            (said, false, true)
        }
        State::Taken => ("It is being asked for.".to_owned(), false, false),
        State::Denied => (format!("Denied by {said}. Nothing was done."), false, true),
        State::Stale => {
            let said =
                format!("The plan is no longer true: {said}. Nothing was done; ask for it again.");
            (said, false, true)
        }
        State::Broken => (
            format!("It was not asked for: {said}. Nothing was done; ask for it again."),
            false,
            true,
        ),
    }
}

fn persons(plan: &Plan) -> &'static str {
    match (plan.application.approval, plan.application.approvers) {
        (false, _) => "",
        (true, 2..) => " It needs two other persons than who asked.",
        (true, _) => " It needs another person than who asked.",
    }
}

fn during(plan: &Plan, under: Under<'_>) -> (String, bool, bool) {
    let by = under.requested_by;
    match &under.run.phase {
        Phase::AwaitingApproval { until } => {
            let yes: Vec<&str> = under.run.approved_by.iter().map(Actor::as_str).collect();
            let yes = match yes.as_slice() {
                [] => String::new(),
                some => format!(" Approved by {} so far.", some.join(", ")),
            };
            let said = format!(
                "Asked by {by}. It waits for a yes until {}.{yes}{}",
                clock(*until),
                persons(plan)
            );
            (said, true, false)
        }
        Phase::Forward { .. } => (format!("Under way, asked by {by}."), false, false),
        Phase::Backward { cause, .. } => {
            let said = format!("Going back to what served before: {}.", cause.sentence);
            (said, false, false)
        }
        Phase::Watching { until } => {
            let said = format!(
                "{} serves {}, proved. Its probes are watched until {}.",
                plan.application.name,
                plan.to,
                clock(*until)
            );
            (said, false, false)
        }
        Phase::Ended { verdict } => {
            let word = verdict.word().replace('_', " ").to_uppercase();
            (format!("{word}: {}.", verdict.sentence(plan)), false, true)
        }
    }
}

/// What would be done, and what a person should know before a yes.
fn details(facts: &Facts<'_>) -> Vec<String> {
    let (plan, known) = (facts.plan, facts.known);
    let mut parts = Vec::new();
    let why = [
        known.reason.map(|reason| reason.word().replace('_', " ")),
        known.note.clone(),
    ];
    let why: Vec<String> = why.into_iter().flatten().collect();
    if !why.is_empty() {
        parts.push(format!("Why: {}", why.join(": ")));
    }
    let steps = (1..).zip(&plan.steps);
    let steps = steps.map(|(number, step): (u32, _)| format!("{number}. {}", step.explain(plan)));
    parts.push(listed("What would be done:", steps));
    if let Some(downtime) = &known.downtime {
        let (expected, basis) = (downtime.expected_ms, &downtime.basis);
        parts.push(format!("Expected downtime: {expected} ({basis})"));
    }
    if !known.warnings.is_empty() {
        let warnings = known.warnings.iter();
        let warnings = warnings.map(|warning| format!("! {}", warning.sentence));
        parts.push(listed("Worth knowing:", warnings));
    }
    if !known.checklist.is_empty() {
        let items = known.checklist.iter().map(|item| {
            let mark = if item.met { "✓" } else { "○" };
            format!(
                "{mark} {}: {}",
                item.code.word().replace('_', " "),
                item.said
            )
        });
        parts.push(listed("Checklist:", items));
    }
    parts
}

/// How far it is, step by step, and what a person should still know.
fn progress(plan: &Plan, run: &Run) -> Vec<String> {
    let mark = |index: usize| match &run.phase {
        Phase::Forward { at } if index == usize::from(*at) => "▶",
        Phase::Forward { at } if index < usize::from(*at) => "✓",
        Phase::Backward { at, .. } if index == usize::from(*at) => "◀",
        Phase::Backward { at, .. } if index < usize::from(*at) => "✓",
        Phase::Watching { .. } => "✓",
        Phase::Ended { verdict } if verdict.word() == "rolled_back" => "✓",
        Phase::AwaitingApproval { .. }
        | Phase::Forward { .. }
        | Phase::Backward { .. }
        | Phase::Ended { .. } => "·",
    };
    let steps = plan.steps.iter().enumerate();
    let steps = steps.map(|(index, step)| format!("{} {}", mark(index), step.title()));
    let mut parts = vec![listed("Steps:", steps)];
    if !run.notes.is_empty() {
        parts.push(listed("Notes:", run.notes.iter().cloned()));
    }
    parts
}

fn listed(title: &str, lines: impl Iterator<Item = String>) -> String {
    let mut all = vec![title.to_owned()];
    all.extend(lines.take(LINES_MAX));
    all.join("\n")
}

/// The time of day, to the second.
pub(super) fn clock(at: Moment) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

impl Card {
    /// The card for a chat without buttons, with how to decide it there.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![self.title.clone()];
        lines.extend(self.parts.iter().cloned());
        if let Some((card, _)) = self
            .decide
            .as_ref()
            .and_then(|decide| decide.split_once('.'))
        {
            lines.push(format!(
                "Say yes: `/rollback approve {card}`, or no: `/rollback deny {card}`"
            ));
        }
        lines.join("\n\n")
    }
}

#[cfg(test)]
mod tests;
