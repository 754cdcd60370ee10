//! Guards: whether an alert may start a rollback by itself. Each looks at recorded facts and answers with its reason;
//! the worst answer decides, and all of them are kept. What could not be seen never passes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{name::Actor, time::Moment, trigger::trust::Mode};

mod call;
mod caps;
mod cause;
mod episode;
mod facts;
mod origin;
mod people;
mod policy;
mod said;
mod sight;
mod target;
#[cfg(test)]
mod tests;
mod underway;
mod version;
mod words;

pub use call::calls;
pub use facts::{
    Asker, EpisodeFacts, EpisodeState, Facts, Impact, Later, NewestDeployment, Opinion, Override,
    Recent, Subject, Switch, Switches, TargetFacts, TriggerFacts, impact_of, impact_of_word,
};
pub use policy::{GuardSettings, Policy};
pub use sight::{Sight, asked_about, last_good, longest_served};
pub use underway::{DeploymentWord, Underway, underway};
pub use words::Word;

/// What an answer went by that could not be seen, among its evidence.
const UNSEEN: &str = "unseen";

/// A rule that lets a rollback through, asks for a person, or refuses.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The trigger may do that much at all.
    TriggerMode,
    /// The message proves whom it comes from.
    TrustTier,
    /// The alert is not one of our own.
    OwnAlert,
    /// It is known which application is meant.
    Application,
    /// Nobody switched automatic rollbacks off.
    KillSwitch,
    /// It is the first word of a trouble that is there, not a repetition and not its end.
    Episode,
    /// It is not late.
    Lateness,
    /// The trouble stayed, and our own probes see it as well.
    Settle,
    /// The trouble does not come and go.
    Flap,
    /// A deployment of just before can be the cause.
    DeployCorrelation,
    /// That deployment is not a rollback, and was not rolled back by itself before.
    NeverTwice,
    /// The release to go back to was proved good.
    TargetKnownGood,
    /// It can be put back: images, specification and host are ready.
    TargetRestorable,
    /// It is not held.
    Hold,
    /// It is not insecure.
    SecurityFloor,
    /// Nothing acts on the application, and the last rollback is some time ago.
    Cooldown,
    /// Not too many rollbacks were started by alerts of late.
    RateCap,
    /// Not too much changes at once.
    BlastCap,
    /// No freeze window speaks against it.
    FreezeWindow,
    /// It is the kind of trouble that a rollback ends without a person's thought.
    Severity,
    /// Nobody's approval is asked for.
    Approval,
}

impl Guard {
    /// Every guard, in the order in which people read them.
    pub const ALL: [Self; 21] = [
        Self::TriggerMode,
        Self::TrustTier,
        Self::OwnAlert,
        Self::Application,
        Self::KillSwitch,
        Self::Episode,
        Self::Lateness,
        Self::Settle,
        Self::Flap,
        Self::DeployCorrelation,
        Self::NeverTwice,
        Self::TargetKnownGood,
        Self::TargetRestorable,
        Self::Hold,
        Self::SecurityFloor,
        Self::Cooldown,
        Self::RateCap,
        Self::BlastCap,
        Self::FreezeWindow,
        Self::Severity,
        Self::Approval,
    ];

    /// The code in the API, in events and in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::TriggerMode => "trigger_mode",
            Self::TrustTier => "trust_tier",
            Self::OwnAlert => "own_alert",
            Self::Application => "application",
            Self::KillSwitch => "kill_switch",
            Self::Episode => "episode",
            Self::Lateness => "lateness",
            Self::Settle => "settle",
            Self::Flap => "flap",
            Self::DeployCorrelation => "deploy_correlation",
            Self::NeverTwice => "never_twice",
            Self::TargetKnownGood => "target_known_good",
            Self::TargetRestorable => "target_restorable",
            Self::Hold => "hold",
            Self::SecurityFloor => "security_floor",
            Self::Cooldown => "cooldown",
            Self::RateCap => "rate_cap",
            Self::BlastCap => "blast_cap",
            Self::FreezeWindow => "freeze_window",
            Self::Severity => "severity",
            Self::Approval => "approval",
        }
    }

    /// Why nobody can override this guard; none when a person can, by name and with a reason.
    ///
    /// What can be overridden is an estimate that a person can make better. What can not is a fact that a word does not
    /// change, or a limit that has its own switch, which leaves its own trace.
    #[must_use]
    pub fn fixed(self) -> Option<&'static str> {
        match self {
            Self::TriggerMode => Some("set the trigger's mode instead"),
            Self::TrustTier => Some("a forged message is no less forged because somebody waits"),
            Self::OwnAlert => Some("our own alerts would go round in circles"),
            Self::Application => Some("there is nothing to roll back"),
            Self::KillSwitch => Some("switch it on again instead: `sternway automatic on`"),
            Self::Episode => Some("a trouble that is over, or in hand, is not rolled back again"),
            Self::Lateness => Some("what is late tells nothing of now: roll back by hand instead"),
            Self::TargetRestorable => Some("what is not there can not be put back"),
            Self::Hold => Some("release it instead: `sternway release`"),
            Self::SecurityFloor => Some("a release with a known hole never comes back by itself"),
            Self::Cooldown => Some("two rollbacks of one application would fight"),
            Self::Approval => Some("approve the plan instead: `sternway approve`"),
            Self::Settle
            | Self::Flap
            | Self::DeployCorrelation
            | Self::NeverTwice
            | Self::TargetKnownGood
            | Self::RateCap
            | Self::BlastCap
            | Self::FreezeWindow
            | Self::Severity => None,
        }
    }
}

impl std::str::FromStr for Guard {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|guard| guard.word() == word)
            .ok_or_else(|| format!("guard `{word}` is not known"))
    }
}

/// What a guard says; the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = GuardWord)]
pub enum Answer {
    /// Nothing speaks against it.
    Pass,
    /// A person has to decide.
    Ask,
    /// It can not be said yet.
    Wait,
    /// Not on this message, whoever asks.
    Refuse,
}

/// What one guard says, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuardAnswer {
    /// Which guard.
    pub guard: Guard,
    /// Its answer.
    pub answer: Answer,
    /// Why, as a sentence.
    pub sentence: String,
    /// What it went by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, String>,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_action: Option<String>,
    /// When to ask it again, of one that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Moment>,
    /// Who let it through although it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden_by: Option<Actor>,
}

/// What is done about an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[schema(as = GuardOutcome)]
pub enum Outcome {
    /// A rollback is started.
    Auto,
    /// A rollback is proposed to people.
    Propose,
    /// Nothing is done; it is recorded what would have been.
    Shadow,
    /// It is recorded.
    Record,
    /// It is decided again then.
    Wait {
        /// When.
        #[schema(value_type = String, format = DateTime)]
        until: Moment,
    },
}

impl Outcome {
    /// The word in the API, in metrics and in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Propose => "propose",
            Self::Shadow => "shadow",
            Self::Record => "record",
            Self::Wait { .. } => "wait",
        }
    }
}

/// What was decided, with every guard's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = GuardDecision)]
pub struct Decision {
    /// What is done.
    pub outcome: Outcome,
    /// What would have been done if the trigger were in the mode `auto`: differs in the modes `propose` and `shadow`.
    pub would_be: Outcome,
    /// What each guard says, those that pass included.
    pub answers: Vec<GuardAnswer>,
}

/// What is done about an alert, by all guards.
#[must_use]
pub fn decide(facts: &Facts, policy: &Policy, now: Moment) -> Decision {
    decide_by(&Guard::ALL, facts, policy, now)
}

/// What these guards alone would say. Only tests leave one out.
fn decide_by(guards: &[Guard], facts: &Facts, policy: &Policy, now: Moment) -> Decision {
    let mut answers: Vec<GuardAnswer> = guards
        .iter()
        .map(|guard| overridden(judge(*guard, facts, policy, now), facts))
        .collect();
    answers.sort_by_key(|answer| answer.guard);
    let of_mode = |answer: &&GuardAnswer| answer.guard == Guard::TriggerMode;
    let would_be = worst(answers.iter().filter(|answer| !of_mode(answer)));
    let outcome = match facts.trigger.mode {
        Mode::Shadow if guards.contains(&Guard::TriggerMode) => match would_be {
            Outcome::Auto | Outcome::Propose | Outcome::Shadow => Outcome::Shadow,
            Outcome::Record | Outcome::Wait { .. } => would_be,
        },
        Mode::Off | Mode::Record | Mode::Propose | Mode::Shadow | Mode::Auto => {
            worst(answers.iter())
        }
    };
    Decision {
        outcome,
        would_be,
        answers,
    }
}

fn worst<'a>(answers: impl Iterator<Item = &'a GuardAnswer> + Clone) -> Outcome {
    match answers.clone().map(|answer| answer.answer).max() {
        Some(Answer::Refuse) => Outcome::Record,
        // Whoever waits says until when; without a time there is nothing to wait for.
        Some(Answer::Wait) => match answers.filter_map(|answer| answer.until).max() {
            Some(until) => Outcome::Wait { until },
            None => Outcome::Propose,
        },
        Some(Answer::Ask) => Outcome::Propose,
        // Without a single guard nothing is let through.
        Some(Answer::Pass) => Outcome::Auto,
        None => Outcome::Record,
    }
}

fn overridden(answer: GuardAnswer, facts: &Facts) -> GuardAnswer {
    let by = facts
        .overrides
        .iter()
        .find(|by| by.guard == answer.guard && !by.reason.trim().is_empty());
    match by {
        Some(by) if answer.answer == Answer::Ask && answer.guard.fixed().is_none() => {
            if answer.guard == Guard::Severity && people::never_overridden(facts) {
                return answer;
            }
            GuardAnswer {
                answer: Answer::Pass,
                sentence: format!(
                    "{}; {} lets it through: {}",
                    answer.sentence, by.person, by.reason
                ),
                overridden_by: Some(by.person.clone()),
                ..answer
            }
        }
        Some(_) | None => answer,
    }
}

fn judge(guard: Guard, facts: &Facts, policy: &Policy, now: Moment) -> GuardAnswer {
    match guard {
        Guard::TriggerMode => origin::mode(facts),
        Guard::TrustTier => origin::trust(facts),
        Guard::OwnAlert => origin::own_alert(facts),
        Guard::Application => origin::application(facts),
        Guard::KillSwitch => people::kill_switch(facts),
        Guard::Episode => episode::episode(facts),
        Guard::Lateness => episode::lateness(facts, policy, now),
        Guard::Settle => episode::settle(facts, policy, now),
        Guard::Flap => episode::flap(facts, policy, now),
        Guard::DeployCorrelation => cause::correlation(facts, policy, now),
        Guard::NeverTwice => cause::never_twice(facts, now),
        Guard::TargetKnownGood => target::known_good(facts, policy),
        Guard::TargetRestorable => target::restorable(facts),
        Guard::Hold => target::hold(facts),
        Guard::SecurityFloor => target::security_floor(facts),
        Guard::Cooldown => caps::cooldown(facts, policy, now),
        Guard::RateCap => caps::rate(facts, policy, now),
        Guard::BlastCap => caps::blast(facts, policy),
        Guard::FreezeWindow => people::freeze(facts, now),
        Guard::Severity => people::severity(facts),
        Guard::Approval => people::approval(facts),
    }
}

impl GuardAnswer {
    /// Whether it is about what may be done without asking, and not about what was seen.
    fn is_a_limit(&self) -> bool {
        match self.guard {
            Guard::TriggerMode
            | Guard::TrustTier
            | Guard::RateCap
            | Guard::BlastCap
            | Guard::FreezeWindow
            | Guard::Approval => true,
            Guard::Severity => !people::forbids(self),
            Guard::OwnAlert
            | Guard::Application
            | Guard::KillSwitch
            | Guard::Episode
            | Guard::Lateness
            | Guard::Settle
            | Guard::Flap
            | Guard::DeployCorrelation
            | Guard::NeverTwice
            | Guard::TargetKnownGood
            | Guard::TargetRestorable
            | Guard::Hold
            | Guard::SecurityFloor
            | Guard::Cooldown => false,
        }
    }

    fn new(guard: Guard, answer: Answer, sentence: impl Into<String>) -> Self {
        Self {
            guard,
            answer,
            sentence: sentence.into(),
            evidence: BTreeMap::new(),
            next_action: None,
            until: None,
            overridden_by: None,
        }
    }

    fn pass(guard: Guard, sentence: impl Into<String>) -> Self {
        Self::new(guard, Answer::Pass, sentence)
    }

    fn ask(guard: Guard, sentence: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            next_action: Some(next.into()),
            ..Self::new(guard, Answer::Ask, sentence)
        }
    }

    fn refuse(guard: Guard, sentence: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            next_action: Some(next.into()),
            ..Self::new(guard, Answer::Refuse, sentence)
        }
    }

    /// What could not be seen: a person decides.
    fn unseen(guard: Guard, what: &str, why: &str) -> Self {
        Self::ask(
            guard,
            format!("{what} could not be seen: {why}"),
            "look yourself, then roll back by hand: `sternway rollback`",
        )
        .with(UNSEEN, what)
    }

    /// Whether it is no answer to what is asked: what it is about could not be looked at.
    fn is_unseen(&self) -> bool {
        self.evidence.contains_key(UNSEEN)
    }

    fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.evidence.insert(name.to_owned(), value.to_string());
        self
    }
}
