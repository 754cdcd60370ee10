//! Whether an alert that is left to a person is worth calling everybody: whoever is called for what was nothing hears the
//! next call less.

use super::{Answer, Guard, GuardAnswer, Impact, people};

/// Whether everybody is called for an alert that is left to a person by what this guard says. What the sender thinks worth
/// waking somebody for it wakes them for itself: here it is what stands in the way of a rollback that may be needed, what
/// could not be looked at, and trouble that our own probes see as well.
#[must_use]
pub fn calls(main: Guard, answers: &[GuardAnswer]) -> bool {
    let of = |guard| answers.iter().find(|answer| answer.guard == guard);
    // A decision without its answers tells nothing that could keep quiet.
    let Some(said) = of(main) else {
        return true;
    };
    if said.is_unseen() {
        return true;
    }
    let confirmed = of(Guard::Settle).is_some_and(confirms);
    match main {
        // Nothing can go back by itself, however bad it is.
        Guard::KillSwitch
        | Guard::TargetKnownGood
        | Guard::TargetRestorable
        | Guard::Hold
        | Guard::SecurityFloor => true,
        // A rollback is not what helps, somebody acts already, or nothing but the sender says that anything is wrong.
        Guard::OwnAlert
        | Guard::Application
        | Guard::Episode
        | Guard::Settle
        | Guard::Flap
        | Guard::DeployCorrelation
        | Guard::Cooldown => false,
        Guard::TriggerMode
        | Guard::TrustTier
        | Guard::Lateness
        | Guard::NeverTwice
        | Guard::RateCap
        | Guard::BlastCap
        | Guard::FreezeWindow
        | Guard::Approval => confirmed,
        Guard::Severity if people::forbids(said) => true,
        Guard::Severity => confirmed && !is_small(said),
    }
}

/// Whether our own probes see the trouble as well.
fn confirms(settle: &GuardAnswer) -> bool {
    settle.answer == Answer::Pass && settle.overridden_by.is_none()
}

/// Whether a severity says that it can wait.
fn is_small(severity: &GuardAnswer) -> bool {
    let small = [Impact::Slow.word(), Impact::Minor.word()];
    let impact = severity.evidence.get("impact");
    impact.is_some_and(|impact| small.contains(&impact.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers of a decision that this guard alone stands in the way of.
    fn answers(main: &GuardAnswer, green: bool) -> Vec<GuardAnswer> {
        let settle = match green {
            true => GuardAnswer::ask(Guard::Settle, "our own probes are green", "look"),
            false => GuardAnswer::pass(Guard::Settle, "our own probe fails as well"),
        };
        match main.guard == Guard::Settle {
            true => vec![main.clone()],
            false => vec![settle, main.clone()],
        }
    }

    /// Whether it calls while our probes are green, and while they are red.
    fn both(main: &GuardAnswer) -> (bool, bool) {
        let says = |green| calls(main.guard, &answers(main, green));
        (says(true), says(false))
    }

    const ALWAYS: (bool, bool) = (true, true);
    const NEVER: (bool, bool) = (false, false);
    const CONFIRMED: (bool, bool) = (false, true);

    #[test]
    fn each_guard_calls_for_what_it_keeps_from_going_back_and_not_for_what_may_be_nothing() {
        for guard in Guard::ALL {
            let expected = match guard {
                Guard::KillSwitch
                | Guard::TargetKnownGood
                | Guard::TargetRestorable
                | Guard::Hold
                | Guard::SecurityFloor => ALWAYS,
                Guard::OwnAlert
                | Guard::Application
                | Guard::Episode
                | Guard::Settle
                | Guard::Flap
                | Guard::DeployCorrelation
                | Guard::Cooldown => NEVER,
                Guard::TriggerMode
                | Guard::TrustTier
                | Guard::Lateness
                | Guard::NeverTwice
                | Guard::RateCap
                | Guard::BlastCap
                | Guard::FreezeWindow
                | Guard::Severity
                | Guard::Approval => CONFIRMED,
            };
            let asks = GuardAnswer::ask(guard, "a person has to decide", "look");
            assert_eq!(both(&asks), expected, "{guard:?}");
            let unseen = GuardAnswer::unseen(guard, "how it is", "the engine is away");
            assert_eq!(both(&unseen), ALWAYS, "{guard:?}");
            assert!(calls(guard, &[]), "{guard:?}");
        }
    }

    #[test]
    fn what_is_slow_or_small_wakes_nobody_and_damaged_data_everybody() {
        for (impact, expected) in [
            (Impact::Slow, NEVER),
            (Impact::Minor, NEVER),
            (Impact::Many, CONFIRMED),
            (Impact::DataCorruption, ALWAYS),
            (Impact::Security, ALWAYS),
        ] {
            let asks = GuardAnswer::ask(Guard::Severity, "it is not down", "look");
            let asks = asks.with("impact", impact.word());
            assert_eq!(both(&asks), expected, "{impact:?}");
        }
    }

    #[test]
    fn a_probe_that_somebody_overrode_confirms_nothing() {
        let frozen = GuardAnswer::ask(Guard::FreezeWindow, "a window is open", "wait");
        let settle = GuardAnswer {
            overridden_by: Some("ana".parse().unwrap()),
            ..GuardAnswer::pass(Guard::Settle, "green; ana lets it through")
        };
        assert!(!calls(Guard::FreezeWindow, &[settle, frozen]));
    }
}
