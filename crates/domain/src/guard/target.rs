//! Guards on the release to go back to.

use super::{Facts, Guard, GuardAnswer, Policy, TargetFacts};
use crate::{readiness::ReadinessCode, seen::Seen};

/// The release to go back to; none known, no pass.
fn target(facts: &Facts, guard: Guard) -> Result<&TargetFacts, GuardAnswer> {
    match &facts.target {
        Seen::Known(target) => Ok(target),
        Seen::Absent => Err(GuardAnswer::ask(
            guard,
            "there is no release that was proved good to go back to",
            "name one yourself: `sternway versions` shows what is known of each",
        )),
        Seen::Unknown(why) => Err(GuardAnswer::unseen(guard, "the release to go back to", why)),
    }
}

pub(super) fn known_good(facts: &Facts, policy: &Policy) -> GuardAnswer {
    let guard = Guard::TargetKnownGood;
    let target = match target(facts, guard) {
        Ok(target) => target,
        Err(answer) => return answer,
    };
    let version = &target.version;
    let next = "look whether it was good, and accept the proposal or name another version";
    let answer = match target.served {
        _ if !target.proved => {
            GuardAnswer::ask(guard, format!("{version} was never proved healthy"), next)
        }
        Some(served) if served >= policy.served_min => {
            let what = format!("{version} was proved healthy and served for {served}");
            GuardAnswer::pass(guard, what).with("served", served)
        }
        Some(served) => {
            let what = format!(
                "{version} served for {served} only, less than {}",
                policy.served_min
            );
            GuardAnswer::ask(guard, what, next).with("served", served)
        }
        None => GuardAnswer::unseen(guard, "how long it served", "the ledger does not say"),
    };
    answer.with("target", version)
}

pub(super) fn restorable(facts: &Facts) -> GuardAnswer {
    let guard = Guard::TargetRestorable;
    let target = match target(facts, guard) {
        Ok(target) => target,
        Err(answer) => return answer,
    };
    let version = &target.version;
    if let Some(first) = target.blockers.first() {
        let others = target.blockers.len() - 1;
        let what = match others {
            0 => first.sentence.clone(),
            others => format!("{}; and {others} more", first.sentence),
        };
        let answer = GuardAnswer::ask(guard, what, &first.next_action);
        return answer
            .with("target", version)
            .with("blockers", target.blockers.len());
    }
    let answer = match target.readiness {
        ReadinessCode::Ready => {
            GuardAnswer::pass(guard, format!("{version} can be put back at once"))
        }
        ReadinessCode::SecondCopy | ReadinessCode::Pullable => GuardAnswer::pass(
            guard,
            format!("{version} can be put back once its images are brought here"),
        ),
        // What is built again is another image than the one that was proved.
        ReadinessCode::Rebuildable => GuardAnswer::ask(
            guard,
            format!("an image of {version} would have to be built again from its tag"),
            "roll back by hand, which builds it, or name another version",
        ),
        ReadinessCode::Unknown => GuardAnswer::unseen(
            guard,
            "whether it can be put back",
            "nothing is known of its images",
        ),
        ReadinessCode::SpecificationLost => GuardAnswer::ask(
            guard,
            format!("what {version} ran with is lost"),
            "deploy the version once more and record it",
        ),
        ReadinessCode::SurroundingsGone => GuardAnswer::ask(
            guard,
            format!("a network or a volume of {version} is gone"),
            "bring it back, or name another version",
        ),
        ReadinessCode::Gone => GuardAnswer::ask(
            guard,
            format!("an image of {version} is gone"),
            "bring the image back, or name another version",
        ),
    };
    answer
        .with("target", version)
        .with("readiness", target.readiness.word())
}

pub(super) fn hold(facts: &Facts) -> GuardAnswer {
    let guard = Guard::Hold;
    let target = match target(facts, guard) {
        Ok(target) => target,
        Err(answer) => return answer,
    };
    match &target.hold {
        Some(why) => GuardAnswer::refuse(
            guard,
            format!("{} is held: {why}", target.version),
            "release it with `sternway release` if that was wrong, or name another version",
        ),
        None => GuardAnswer::pass(guard, format!("{} is not held", target.version)),
    }
}

pub(super) fn security_floor(facts: &Facts) -> GuardAnswer {
    let guard = Guard::SecurityFloor;
    let target = match target(facts, guard) {
        Ok(target) => target,
        Err(answer) => return answer,
    };
    match &target.insecure {
        Some(why) => GuardAnswer::refuse(
            guard,
            format!("{} is insecure: {why}", target.version),
            "name a version without the hole, or fix it forward",
        ),
        None => GuardAnswer::pass(
            guard,
            format!("nothing insecure is known of {}", target.version),
        ),
    }
}
