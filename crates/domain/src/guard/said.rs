//! Why nothing more was decided, in one reason and one sentence.

use super::{Answer, Decision, Guard, GuardAnswer, Outcome};

impl Decision {
    /// The answers that do not pass, the worst first.
    #[must_use]
    pub fn reasons(&self) -> Vec<&GuardAnswer> {
        let mut reasons: Vec<&GuardAnswer> = self
            .answers
            .iter()
            .filter(|answer| answer.answer != Answer::Pass)
            .collect();
        reasons.sort_by(|a, b| b.answer.cmp(&a.answer).then(a.guard.cmp(&b.guard)));
        reasons
    }

    /// Whether nothing but somebody's yes is missing: what was seen speaks for the rollback, and only limits that people
    /// set speak against it.
    #[must_use]
    pub fn lacks_only_a_yes(&self) -> bool {
        self.outcome == Outcome::Propose
            && self
                .reasons()
                .iter()
                .all(|answer| answer.answer == Answer::Ask && answer.is_a_limit())
    }

    /// Why nothing more than this is done: of a proposal that lacks more than a person's yes, what else it lacks. Of what a
    /// trigger on trial did not do, why nothing more would have been done: that it is on trial is known.
    #[must_use]
    pub fn main_reason(&self) -> Option<&GuardAnswer> {
        let (on_trial, proposed) = match self.outcome {
            Outcome::Shadow => (true, true),
            Outcome::Propose => (false, true),
            Outcome::Auto | Outcome::Record | Outcome::Wait { .. } => (false, false),
        };
        let mut reasons = self.reasons();
        reasons.retain(|answer| !on_trial || answer.guard != Guard::TriggerMode);
        let more = reasons
            .iter()
            .find(|answer| proposed && !answer.is_a_limit());
        more.or_else(|| reasons.first()).copied()
    }

    /// The main reason as a sentence; of a trigger on trial behind what would have been done.
    #[must_use]
    pub fn said(&self) -> String {
        let why = match self.main_reason() {
            Some(answer) => &answer.sentence,
            None => "every guard lets it through",
        };
        match (self.outcome, self.would_be) {
            (Outcome::Shadow, Outcome::Auto) => format!("would have been rolled back: {why}"),
            (
                Outcome::Shadow,
                Outcome::Propose | Outcome::Shadow | Outcome::Record | Outcome::Wait { .. },
            ) => format!("would have been proposed: {why}"),
            (Outcome::Auto | Outcome::Propose | Outcome::Record | Outcome::Wait { .. }, _) => {
                why.to_owned()
            }
        }
    }

    /// The code that stands for the decision: the first reason's guard; none when every guard passes.
    #[must_use]
    pub fn reason(&self) -> Option<Guard> {
        self.reasons().first().map(|answer| answer.guard)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Policy, decide,
            tests::{fine, now},
        },
        *,
    };
    use crate::{
        seen::Seen,
        trigger::trust::{Mode, TrustTier},
    };

    #[test]
    fn a_trigger_on_trial_says_what_would_have_been_and_why_nothing_more() {
        let mut facts = fine();
        facts.trigger.mode = Mode::Shadow;
        let says = |facts: &_| {
            let decision = decide(facts, &Policy::default(), now());
            let main = decision.main_reason().map(|answer| answer.guard);
            (main, decision.said())
        };
        let all = "would have been rolled back: every guard lets it through".to_owned();
        assert_eq!(says(&facts), (None, all));
        facts.trigger.trust = TrustTier::Bearer;
        let (main, said) = says(&facts);
        assert_eq!(main, Some(Guard::TrustTier));
        assert!(said.starts_with("would have been proposed: "), "{said}");
        // What was seen comes before what people limited, as in a proposal.
        facts.deployment = Seen::Absent;
        let (main, said) = says(&facts);
        assert_eq!(main, Some(Guard::DeployCorrelation));
        assert!(
            said.contains("no deployment that could be the cause"),
            "{said}"
        );
        // What is refused whatever the mode is said as ever.
        facts.alert.ours = true;
        let (main, said) = says(&facts);
        assert_eq!(main, Some(Guard::OwnAlert));
        assert!(!said.contains("would have been"), "{said}");
    }
}
