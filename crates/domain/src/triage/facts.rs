//! What Sternway finds out by itself for whoever decides: metrics and probes, asked once, and alerts that are there. It is evidence and nothing else.

use super::{Advice, Evidence, Led, Question, Said, Source, person, walk};
use crate::{
    application::Application,
    deployment_watch::replicas,
    engine_look::EngineLook,
    guard::{Impact, impact_of},
    metric::{Metric, Reading},
    name::Actor,
    probe::{self, Answer, Subject},
    steps,
    time::Moment,
    trigger::{
        Mode, Trigger, TrustTier,
        alert::{Alert, AlertState},
    },
};

/// Who asks metrics and probes for a decision. No person and no service can have such a name.
const ASKER: &str = "sternway:asker";
/// Longest note: what is asked, and what came back, in a line.
const NOTE_CHARS_MAX: usize = 500;

/// Whether Sternway found it out by itself.
#[must_use]
pub fn is_ours(evidence: &Evidence) -> bool {
    evidence.by.as_str() == ASKER
}

/// Whether it leaves its question to a person: what was asked could not tell, and that is no "I don't know" of anybody.
#[must_use]
pub fn is_open(evidence: &Evidence) -> bool {
    is_ours(evidence) && evidence.said == Said::Unknown
}

/// Whether what can be asked here may still change where the answers lead. It may where they lead nowhere yet, and where
/// a metric or an alert could say that data is being damaged, which wins over every other advice: `told` is what alerts
/// say. A person who denies that is believed.
#[must_use]
pub fn are_wanted(answers: &[Evidence], application: &Application, told: &[Evidence]) -> bool {
    match walk(answers) {
        Led::Ask(_) => true,
        Led::Advise(Advice::StopAssessRollBack, _) => false,
        Led::Advise(
            Advice::RollBackNow
            | Advice::RollBackSecure
            | Advice::RollBackSoon
            | Advice::CaptureThenRollBack
            | Advice::FixForward,
            _,
        ) => {
            let damage = Question::DataCorruption;
            let counted = application
                .metrics
                .iter()
                .any(|metric| metric.question == damage);
            let said = told.iter().any(|told| told.question == damage);
            (counted || said) && person(answers, damage) != Some(Said::No)
        }
    }
}

/// Whether there is anything to ask.
#[must_use]
pub fn any_to_ask(application: &Application) -> bool {
    !application.metrics.is_empty() || has_probes(application)
}

/// Whether probes can say something about the application.
#[must_use]
pub fn has_probes(application: &Application) -> bool {
    let mut parts = application.components.iter();
    !application.probes.is_empty() || parts.any(|component| !component.probes.is_empty())
}

/// What a metric said, as evidence.
#[must_use]
pub fn by_metric(metric: &Metric, reading: &Reading, at: Moment) -> Evidence {
    evidence(
        metric.question,
        reading.said,
        Source::Metric,
        &reading.note,
        at,
    )
}

/// The probes to ask whether it is completely down: of what runs, whichever version that is, and through the front.
#[must_use]
pub fn questions(application: &Application, look: Option<&EngineLook>) -> Vec<probe::Question> {
    let containers = look
        .into_iter()
        .flat_map(|look| replicas(application, look))
        .filter(|container| container.runs());
    let mut questions: Vec<probe::Question> = containers
        .flat_map(|container| steps::replica_questions(application, container, None))
        .collect();
    questions.extend(steps::front_questions(application));
    questions
}

/// Whether it is completely down, as probes see it: one that is green says no. Where clients are sent away by the front
/// although a replica is well, and where nothing answers us, the engine included, they can not tell.
#[must_use]
pub fn by_probes(
    application: &Application,
    look: Result<&EngineLook, &str>,
    answers: &[Answer],
    at: Moment,
) -> Evidence {
    let (said, note) = down(application, look, answers);
    evidence(Question::Down, said, Source::Probe, &note, at)
}

/// That probes can not say whether it is down, and why not.
#[must_use]
pub fn by_no_probe(why: &str, at: Moment) -> Evidence {
    let note = format!("checks: {why}");
    evidence(Question::Down, Said::Unknown, Source::Probe, &note, at)
}

fn down(
    application: &Application,
    look: Result<&EngineLook, &str>,
    answers: &[Answer],
) -> (Said, String) {
    let green = answers.iter().filter(|answer| answer.green).count();
    let red_front = answers
        .iter()
        .find(|answer| answer.subject == Subject::Front && !answer.green);
    let green_front = answers
        .iter()
        .any(|answer| answer.subject == Subject::Front && answer.green);
    let tally = format!("checks: {green} of {} green", answers.len());
    if let (Some(red), false, true) = (red_front, green_front, green > 0) {
        let why = format!("{tally}, but through the front {}: {}", red.asked, red.said);
        return (Said::Unknown, why);
    }
    if green > 0 {
        return (Said::No, tally);
    }
    let silent = answers.iter().all(|answer| !answer.spoke);
    if let (Err(why), Some(red), true) = (look, red_front, silent) {
        // Whoever reaches neither may be cut off themselves.
        let why = format!("{tally}, {}: {}, and {why}", red.asked, red.said);
        return (Said::Unknown, why);
    }
    if let Some(red) = red_front.or(answers.first()) {
        let why = format!("{tally}; {}: {}", red.asked, red.said);
        return (Said::Yes, why);
    }
    match look {
        Err(why) => (Said::Unknown, format!("checks: nothing was asked, {why}")),
        Ok(look) if replicas(application, look).any(|container| container.runs()) => {
            let why = "checks: what runs has none".to_owned();
            (Said::Unknown, why)
        }
        Ok(_) => (Said::Yes, "checks: none of its containers runs".to_owned()),
    }
}

/// What alerts that are still there say, each question once. An alert says yes or nothing; where what was asked here says
/// no, and where its sender does not sign what it says, the question is left to a person.
#[must_use]
pub fn by_alerts(alerts: &[OpenAlert], found: &[Evidence], at: Moment) -> Vec<Evidence> {
    // Who signs goes first: nobody else can stand before them with the same question.
    let (signed, others): (Vec<&OpenAlert>, Vec<&OpenAlert>) =
        alerts.iter().partition(|open| open.signed());
    let mut told: Vec<Evidence> = Vec::new();
    for open in signed.into_iter().chain(others) {
        let Some((impact, question)) = open.says() else {
            continue;
        };
        if told.iter().any(|told| told.question == question) {
            continue;
        }
        let denied = found
            .iter()
            .any(|found| found.question == question && found.said == Said::No);
        let (said, but) = match (open.signed(), denied) {
            (false, _) => (Said::Unknown, ", and its sender does not sign what it says"),
            (true, true) => (Said::Unknown, ", which what was asked here does not show"),
            (true, false) => (Said::Yes, ""),
        };
        let (name, title, impact) = (&open.trigger.name, &open.alert.title, impact.word());
        let note = format!("alert of {name} says {impact}{but}: {title}");
        told.push(evidence(question, said, Source::Alert, &note, at));
    }
    told
}

/// The newest that a trigger said of a trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAlert {
    /// The trigger, by which its words are read.
    pub trigger: Trigger,
    /// What it said.
    pub alert: Alert,
}

impl OpenAlert {
    /// Whether nobody but its sender can have said it. Whoever reads one message of another can make more of them.
    fn signed(&self) -> bool {
        match self.trigger.trusted() {
            TrustTier::Signed => true,
            TrustTier::Bearer | TrustTier::Address => false,
        }
    }

    /// The question that it answers with yes, while it is there. A trigger that is off says nothing.
    fn says(&self) -> Option<(Impact, Question)> {
        match self.trigger.mode {
            Mode::Off => return None,
            Mode::Record | Mode::Propose | Mode::Shadow | Mode::Auto => {}
        }
        match self.alert.state {
            AlertState::Firing | AlertState::Acknowledged => {}
            AlertState::Resolved | AlertState::Merged => return None,
        }
        let impact = impact_of(&self.alert, &self.trigger.severities);
        let impact = impact.filter(|_| !self.alert.ours)?;
        Some((impact, Question::answered_by(impact)?))
    }
}

/// The same where nobody asked: each says why.
#[must_use]
pub fn unasked(application: &Application, why: &str, at: Moment) -> Vec<Evidence> {
    let of_metric = |metric: &Metric| by_metric(metric, &metric.silent(why), at);
    let mut all: Vec<Evidence> = application.metrics.iter().map(of_metric).collect();
    if has_probes(application) {
        all.push(by_probes(application, Err(why), &[], at));
    }
    all
}

fn evidence(question: Question, said: Said, source: Source, note: &str, at: Moment) -> Evidence {
    Evidence {
        question,
        said,
        source,
        by: asker(),
        at,
        note: Some(note.chars().take(NOTE_CHARS_MAX).collect()),
    }
}

fn asker() -> Actor {
    ASKER.parse().expect("the literal is a valid actor")
}

#[cfg(test)]
mod tests;
