//! The runbook's decision tree as data: a few questions, and what follows from the first yes. Pure: it is told who said
//! what and when. Who does not know gets the more severe branch.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    guard::Impact,
    name::Actor,
    reason::Reason,
    time::{Millis, Moment},
};

pub mod facts;

/// A question of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Is it completely down?
    Down,
    /// Is data being damaged?
    DataCorruption,
    /// Is there a security hole?
    SecurityHole,
    /// Does it affect more than a tenth of the users?
    ManyUsers,
    /// Is it slow, and nothing else?
    OnlySlow,
    /// Can it be fixed forward within an hour?
    FixForward,
}

/// What somebody says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Whoever was asked does not know.
    Unknown,
}

/// Who or what says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A person.
    #[default]
    Person,
    /// A probe.
    Probe,
    /// A metric.
    Metric,
    /// An alert's severity.
    Alert,
}

impl Source {
    /// The word in the API and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Probe => "probe",
            Self::Metric => "metric",
            Self::Alert => "alert",
        }
    }
}

/// One answer, as evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// To which question.
    pub question: Question,
    /// The answer.
    pub said: Said,
    /// What it rests on.
    pub source: Source,
    /// Who brought it.
    pub by: Actor,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Moment,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What is best done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// Roll back at once.
    RollBackNow,
    /// Stop what writes, assess, then roll back.
    StopAssessRollBack,
    /// Roll back to the last secure version and block what is open.
    RollBackSecure,
    /// Roll back within half an hour.
    RollBackSoon,
    /// Keep what shows the cause, then add capacity or roll back.
    CaptureThenRollBack,
    /// Fix it forward, and ask again when the hour is over.
    FixForward,
}

/// How much of a hurry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Now.
    Now,
    /// Within half an hour.
    Soon,
    /// Within an hour.
    WithinTheHour,
}

/// A question and what follows from its yes; its no leads to the next one.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// The question.
    pub question: Question,
    /// What follows from yes.
    pub yes: Advice,
    /// What not to know counts as: whatever is the more severe branch.
    pub unknown: Said,
}

/// The tree: the first yes decides.
pub const TREE: [Node; 6] = [
    node(Question::Down, Advice::RollBackNow, Said::Yes),
    node(
        Question::DataCorruption,
        Advice::StopAssessRollBack,
        Said::Yes,
    ),
    node(Question::SecurityHole, Advice::RollBackSecure, Said::Yes),
    node(Question::ManyUsers, Advice::RollBackSoon, Said::Yes),
    node(Question::OnlySlow, Advice::CaptureThenRollBack, Said::No),
    node(Question::FixForward, Advice::FixForward, Said::No),
];
/// What follows when it can not be fixed forward within an hour.
const LAST: Advice = Advice::RollBackSoon;

const fn node(question: Question, yes: Advice, unknown: Said) -> Node {
    Node {
        question,
        yes,
        unknown,
    }
}

/// How long what is to be done now may take until somebody else is told: the runbook calls the next person after 15.
const NOW: Millis = Millis::from_secs(15 * 60);
const SOON: Millis = Millis::from_secs(30 * 60);
const HOUR: Millis = Millis::from_secs(60 * 60);

/// Where the answers lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led {
    /// To another question.
    Ask(Question),
    /// To what is best done, decided by this question.
    Advise(Advice, Question),
}

/// Where the answers lead. That data is being damaged wins over everything as soon as a person says it, or something else
/// does and no person denies it: a rollback at once could make it worse.
#[must_use]
pub fn walk(answers: &[Evidence]) -> Led {
    let damaged =
        |said: &Evidence| said.question == Question::DataCorruption && said.said == Said::Yes;
    let mut says = answers.iter().filter(|said| damaged(said)).peekable();
    let denied = person(answers, Question::DataCorruption) == Some(Said::No);
    if says.peek().is_some() && (!denied || says.any(|said| said.source == Source::Person)) {
        return Led::Advise(Advice::StopAssessRollBack, Question::DataCorruption);
    }
    for node in TREE {
        let Some(said) = answer(answers, node.question) else {
            return Led::Ask(node.question);
        };
        let counts = match said {
            Said::Unknown => node.unknown,
            Said::Yes | Said::No => said,
        };
        if counts == Said::Yes {
            return Led::Advise(node.yes, node.question);
        }
    }
    Led::Advise(LAST, Question::FixForward)
}

/// The newest word of a person to a question.
fn person(answers: &[Evidence], question: Question) -> Option<Said> {
    let by_person = |said: &&Evidence| said.question == question && said.source == Source::Person;
    let newest = answers
        .iter()
        .filter(by_person)
        .max_by_key(|said| said.at)?;
    Some(newest.said)
}

/// What was said to a question: a person's newest word wins over what anything else says; of several things, the most
/// severe. What Sternway asked by itself is no person who does not know: where one of those could not tell, they answer
/// yes or nothing.
fn answer(answers: &[Evidence], question: Question) -> Option<Said> {
    if let Some(said) = person(answers, question) {
        return Some(said);
    }
    let of = || answers.iter().filter(move |said| said.question == question);
    let told = of().any(|said| !facts::is_ours(said));
    let open = of().any(facts::is_open);
    of().filter(|said| !facts::is_open(said))
        .map(|said| said.said)
        .max_by_key(|said| match said {
            Said::No => 0,
            Said::Unknown => 1,
            Said::Yes => 2,
        })
        .filter(|said| told || !open || *said == Said::Yes)
}

/// What an alert's severity answers by itself. It never says no: what it does not speak of is not known.
#[must_use]
pub fn by_impact(impact: Impact, by: &Actor, at: Moment) -> Option<Evidence> {
    Some(Evidence {
        question: Question::answered_by(impact)?,
        said: Said::Yes,
        source: Source::Alert,
        by: by.clone(),
        at,
        note: Some(format!("the alert's severity says {}", impact.word())),
    })
}

/// Words on the command line are those of the API.
macro_rules! words {
    ($($name:ident: $($word:literal $variant:ident)*;)*) => {
        $(impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!("`{other}` is not known: use one of {}", [$($word),*].join(", "))),
                }
            }
        })*
    };
}

words! {
    Question: "down" Down "data_corruption" DataCorruption "security_hole" SecurityHole "many_users" ManyUsers
        "only_slow" OnlySlow "fix_forward" FixForward;
    Said: "yes" Yes "no" No "unknown" Unknown;
    Source: "person" Person "probe" Probe "metric" Metric "alert" Alert;
}

impl Question {
    /// The question that an impact answers with yes.
    fn answered_by(impact: Impact) -> Option<Self> {
        match impact {
            Impact::Down => Some(Self::Down),
            Impact::DataCorruption => Some(Self::DataCorruption),
            Impact::Security => Some(Self::SecurityHole),
            Impact::Many => Some(Self::ManyUsers),
            Impact::Slow => Some(Self::OnlySlow),
            Impact::Minor => None,
        }
    }

    /// The word in the API and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::DataCorruption => "data_corruption",
            Self::SecurityHole => "security_hole",
            Self::ManyUsers => "many_users",
            Self::OnlySlow => "only_slow",
            Self::FixForward => "fix_forward",
        }
    }

    /// The question as it is asked.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Down => "Is it completely down?",
            Self::DataCorruption => "Is data being damaged?",
            Self::SecurityHole => "Is there a security hole?",
            Self::ManyUsers => "Does it affect more than 10 % of the users?",
            Self::OnlySlow => "Is it slow, and nothing else?",
            Self::FixForward => "Can it be fixed forward within an hour?",
        }
    }
}

impl Advice {
    /// Every advice.
    pub const ALL: [Self; 6] = [
        Self::RollBackNow,
        Self::StopAssessRollBack,
        Self::RollBackSecure,
        Self::RollBackSoon,
        Self::CaptureThenRollBack,
        Self::FixForward,
    ];

    /// The code in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::RollBackNow => "roll_back_now",
            Self::StopAssessRollBack => "stop_assess_roll_back",
            Self::RollBackSecure => "roll_back_secure",
            Self::RollBackSoon => "roll_back_soon",
            Self::CaptureThenRollBack => "capture_then_roll_back",
            Self::FixForward => "fix_forward",
        }
    }

    /// What is best done, as a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::RollBackNow => "Roll back now, to the last known good version.",
            Self::StopAssessRollBack => {
                "Stop what writes first. Assess what was damaged. Only then roll back: the code alone if the data is whole, from a backup if it is not."
            }
            Self::RollBackSecure => {
                "Roll back now, to the last version without the hole, and block what is open at the balancer."
            }
            Self::RollBackSoon => "Roll back within 30 minutes, to the last known good version.",
            Self::CaptureThenRollBack => {
                "Keep metrics and logs first: they show the cause. Then add capacity, or roll back."
            }
            Self::FixForward => "Fix it forward, and answer these questions again within the hour.",
        }
    }

    /// How much of a hurry it is.
    #[must_use]
    pub fn urgency(self) -> Urgency {
        match self {
            Self::RollBackNow | Self::StopAssessRollBack | Self::RollBackSecure => Urgency::Now,
            Self::RollBackSoon => Urgency::Soon,
            Self::CaptureThenRollBack | Self::FixForward => Urgency::WithinTheHour,
        }
    }

    /// Until when something has to have been done.
    #[must_use]
    pub fn deadline(self, asked_at: Moment) -> Moment {
        asked_at.after(match self.urgency() {
            Urgency::Now => NOW,
            Urgency::Soon => SOON,
            Urgency::WithinTheHour => HOUR,
        })
    }

    /// What the rollback is for, when one is advised; to write into its request.
    #[must_use]
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::RollBackNow => Some(Reason::HealthChecks),
            Self::StopAssessRollBack | Self::RollBackSoon => Some(Reason::CriticalBug),
            Self::RollBackSecure => Some(Reason::Security),
            Self::CaptureThenRollBack => Some(Reason::Performance),
            Self::FixForward => None,
        }
    }

    /// The commands that do it, in order.
    #[must_use]
    pub fn commands(self, application: &str) -> Vec<String> {
        let roll = |rest: &str| format!("sternway rollback {application} {rest}");
        match self {
            Self::RollBackNow => vec![roll("--good --reason health_checks")],
            Self::StopAssessRollBack => vec![
                format!("sternway automatic off {application} --reason \"data is being damaged\""),
                roll("--good --reason critical_bug"),
            ],
            Self::RollBackSecure => vec![
                format!("sternway versions {application}"),
                roll("--to VERSION --reason security"),
            ],
            Self::RollBackSoon => vec![roll("--good --reason critical_bug")],
            Self::CaptureThenRollBack => vec![roll("--good --reason performance")],
            Self::FixForward => vec![format!("sternway decide {application}")],
        }
    }
}

impl std::str::FromStr for Advice {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|advice| advice.word() == word)
            .ok_or_else(|| format!("advice `{word}` is not known"))
    }
}

#[cfg(test)]
mod tests;
