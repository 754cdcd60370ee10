//! What makes each guard fail: alone, or several at once where something could not be seen.

use super::case::{at, done_before, known, recent, unknown, uuid, window};
use crate::{
    guard::{Answer, Asker, EpisodeState, Facts, Guard, Later, Switch, Underway},
    ledger::DeploymentKind,
    planner::{Blocker, BlockerCode},
    readiness::ReadinessCode,
    seen::Seen,
    time::Millis,
    trigger::{
        alert::{Alert, AlertState},
        trust::{Mode, TrustTier},
    },
};

pub(super) type Change = fn(&mut Facts);

/// What makes exactly one guard fail, each with the answer that is expected of it.
pub(super) fn failures() -> Vec<(Guard, Answer, Change)> {
    use Answer::Ask;
    let mut all: Vec<(Guard, Answer, Change)> = Vec::new();
    all.extend(of_origin());
    all.extend(of_the_trouble());
    all.extend(of_its_time());
    all.extend(of_cause());
    all.extend(of_target());
    all.extend(of_caps());
    all.extend([
        (Guard::KillSwitch, Ask, |f| f.switches = unknown()),
        (Guard::KillSwitch, Ask, |f| {
            known(&mut f.switches, |it| it.everywhere = Some(switch()));
        }),
        (Guard::KillSwitch, Ask, |f| {
            known(&mut f.switches, |it| it.here = Some(switch()));
        }),
        (Guard::FreezeWindow, Ask, |f| f.windows = unknown()),
        (Guard::FreezeWindow, Ask, |f| {
            f.windows = Seen::Known(vec![window("deny", "0 12 * * *", true)]);
        }),
        (Guard::FreezeWindow, Ask, |f| {
            f.windows = Seen::Known(vec![window("allow", "0 3 * * *", true)]);
        }),
        (Guard::Severity, Ask, |f| f.alert.severity = None),
        (Guard::Severity, Ask, |f| {
            f.alert.severity = Some("warning".to_owned())
        }),
        (Guard::Severity, Ask, |f| {
            f.alert.severity = Some("error".to_owned())
        }),
        (Guard::Severity, Ask, |f| {
            f.alert.severity = Some("security".to_owned())
        }),
        (Guard::Severity, Ask, |f| {
            f.alert.severity = Some("info".to_owned())
        }),
        (Guard::Severity, Ask, |f| {
            f.alert.title = "orders are CORRUPTED".to_owned()
        }),
        (Guard::Severity, Ask, |f| {
            f.alert
                .labels
                .insert("data_corruption".to_owned(), "true".to_owned());
        }),
        (Guard::Approval, Ask, |f| {
            known(&mut f.application, |it| it.approval = true)
        }),
    ] as [(Guard, Answer, Change); 14]);
    all
}

fn switch() -> Switch {
    Switch {
        by: "ana".parse().unwrap(),
        at: at(-3600),
        reason: "we move".to_owned(),
    }
}

fn of_origin() -> [(Guard, Answer, Change); 7] {
    use Answer::{Ask, Refuse};
    [
        (Guard::TriggerMode, Refuse, |f| f.trigger.mode = Mode::Off),
        (Guard::TriggerMode, Refuse, |f| {
            f.trigger.mode = Mode::Record
        }),
        (Guard::TriggerMode, Ask, |f| f.trigger.mode = Mode::Propose),
        (Guard::TriggerMode, Ask, |f| f.trigger.mode = Mode::Shadow),
        (Guard::TrustTier, Ask, |f| {
            f.trigger.trust = TrustTier::Bearer
        }),
        (Guard::TrustTier, Ask, |f| {
            f.trigger.trust = TrustTier::Address
        }),
        (Guard::OwnAlert, Refuse, |f| f.alert.ours = true),
    ]
}

fn of_the_trouble() -> [(Guard, Answer, Change); 13] {
    use Answer::{Ask, Refuse};
    [
        (Guard::Episode, Refuse, |f| {
            f.alert.state = AlertState::Acknowledged
        }),
        (Guard::Episode, Refuse, |f| {
            f.alert.state = AlertState::Resolved
        }),
        (Guard::Episode, Refuse, |f| {
            f.alert.state = AlertState::Merged
        }),
        (Guard::Episode, Refuse, |f| f.alert.repeated = true),
        (Guard::Episode, Refuse, |f| {
            known(&mut f.episode, |it| it.decided = Some("E0".to_owned()));
        }),
        (Guard::Episode, Refuse, |f| {
            said(f, -20, AlertState::Resolved)
        }),
        (Guard::Episode, Refuse, |f| said(f, -20, AlertState::Merged)),
        (Guard::Episode, Refuse, |f| {
            said(f, -40, AlertState::Resolved)
        }),
        (Guard::Episode, Ask, |f| {
            said(f, -20, AlertState::Acknowledged)
        }),
        // Moved to another service, of ours or of nobody.
        (Guard::Episode, Refuse, |f| {
            later(f, Some("blog"), |it| {
                it.service = Some("PSVC002".to_owned())
            });
        }),
        (Guard::Episode, Refuse, |f| {
            later(f, None, |it| it.service = Some("PSVC002".to_owned()));
        }),
        // Less severe than it was said to be, or said in a word that nobody knows.
        (Guard::Severity, Ask, |f| {
            later(f, Some("shop"), |it| it.severity = Some("P5".to_owned()));
        }),
        (Guard::Severity, Ask, |f| {
            later(f, Some("shop"), |it| it.severity = Some("S7".to_owned()));
        }),
    ]
}

fn of_its_time() -> [(Guard, Answer, Change); 9] {
    use Answer::{Ask, Refuse, Wait};
    [
        (Guard::Lateness, Refuse, |f| {
            f.alert.occurred_at = at(-601);
        }),
        (Guard::Lateness, Ask, |f| f.alert.occurred_at = at(3600)),
        (Guard::Settle, Wait, |f| f.received_at = at(-29)),
        (Guard::Settle, Ask, |f| f.opinion = unknown()),
        (Guard::Settle, Ask, |f| f.opinion = Seen::Absent),
        (Guard::Settle, Ask, |f| {
            known(&mut f.opinion, |it| it.failing = None)
        }),
        (Guard::Settle, Ask, |f| {
            known(&mut f.opinion, |it| it.at = at(-10))
        }),
        (Guard::Flap, Ask, |f| {
            let (up, down) = (AlertState::Resolved, AlertState::Firing);
            let states = [
                (-400, down),
                (-300, up),
                (-200, down),
                (-100, up),
                (-40, down),
            ]
            .map(|(seconds, state)| EpisodeState {
                at: at(seconds),
                state,
            });
            known(&mut f.episode, |it| it.states = states.to_vec());
        }),
        // What comes again under another key each time comes and goes as well.
        (Guard::Flap, Ask, |f| {
            let (up, down) = (AlertState::Resolved, AlertState::Firing);
            let earlier = [(-300, down), (-200, up), (-150, down), (-100, up)];
            let earlier = earlier.map(|(seconds, state)| EpisodeState {
                at: at(seconds),
                state,
            });
            known(&mut f.episode, |it| it.earlier = earlier.to_vec());
        }),
    ]
}

fn said(facts: &mut Facts, seconds: i64, state: AlertState) {
    let said = EpisodeState {
        at: at(seconds),
        state,
    };
    known(&mut facts.episode, |it| it.states.push(said));
}

/// Another message about the trouble, ten seconds ago.
pub(super) fn later(facts: &mut Facts, of: Option<&str>, change: impl FnOnce(&mut Alert)) {
    let mut alert = Alert {
        occurred_at: at(-10),
        repeated: true,
        ..facts.alert.clone()
    };
    change(&mut alert);
    let later = Later {
        alert: Box::new(alert),
        application: of.map(|name| name.parse().unwrap()),
    };
    known(&mut facts.episode, |it| it.later = Some(later));
}

/// A deployment that began then.
pub(super) fn underway(seconds: i64) -> Underway {
    Underway {
        trigger: "ci".to_owned(),
        version: Some("1.5.1".to_owned()),
        since: at(seconds),
    }
}

fn of_cause() -> [(Guard, Answer, Change); 11] {
    use Answer::Ask;
    [
        (Guard::DeployCorrelation, Ask, |f| {
            known(&mut f.deployment, |it| it.at = at(-1841));
        }),
        (Guard::DeployCorrelation, Ask, |f| {
            known(&mut f.deployment, |it| it.at = at(-39));
        }),
        (Guard::DeployCorrelation, Ask, |f| {
            known(&mut f.deployment, |it| it.finished = false);
        }),
        (Guard::DeployCorrelation, Ask, |f| {
            known(&mut f.deployment, |it| it.seen = false);
        }),
        (Guard::DeployCorrelation, Ask, |f| {
            f.alert.version = Some("shop@1.4.2".to_owned());
        }),
        // In words that say nothing beside a number, but those of what would be gone back to.
        (Guard::DeployCorrelation, Ask, |f| {
            f.alert.version = Some("green".to_owned());
            known(&mut f.target, |it| it.version = "green".parse().unwrap());
        }),
        (Guard::DeployCorrelation, Ask, |f| {
            f.underway = Some(underway(-1800))
        }),
        (Guard::NeverTwice, Ask, |f| {
            known(&mut f.deployment, |it| it.kind = DeploymentKind::Rollback);
        }),
        (Guard::NeverTwice, Ask, |f| {
            let mut before = recent("shop", Asker::Trigger, -4000, Some(-3900));
            before.undid = Some(uuid(5));
            done_before(f, before);
        }),
        (Guard::NeverTwice, Ask, |f| {
            let mut before = recent("shop", Asker::Watcher, -4000, Some(-3900));
            before.undid = Some(uuid(5));
            done_before(f, before);
        }),
        // The same version was deployed again.
        (Guard::NeverTwice, Ask, |f| {
            let mut before = recent("shop", Asker::Trigger, -80_000, Some(-79_900));
            before.undid = Some(uuid(4));
            before.left = Some("1.5.0".parse().unwrap());
            done_before(f, before);
        }),
    ]
}

fn of_target() -> [(Guard, Answer, Change); 12] {
    use Answer::{Ask, Refuse};
    [
        (Guard::TargetKnownGood, Ask, |f| {
            known(&mut f.target, |it| it.proved = false)
        }),
        (Guard::TargetKnownGood, Ask, |f| {
            known(&mut f.target, |it| it.served = None)
        }),
        (Guard::TargetKnownGood, Ask, |f| {
            known(&mut f.target, |it| it.served = Some(Millis::from_secs(599)));
        }),
        (Guard::TargetRestorable, Ask, |f| {
            known(&mut f.target, |it| it.readiness = ReadinessCode::Gone);
        }),
        (Guard::TargetRestorable, Ask, |f| {
            known(&mut f.target, |it| {
                it.readiness = ReadinessCode::SpecificationLost
            });
        }),
        (Guard::TargetRestorable, Ask, |f| {
            known(&mut f.target, |it| it.readiness = ReadinessCode::Unknown);
        }),
        (Guard::TargetRestorable, Ask, |f| {
            known(&mut f.target, |it| {
                it.readiness = ReadinessCode::Rebuildable
            });
        }),
        (Guard::TargetRestorable, Ask, |f| {
            known(&mut f.target, |it| {
                it.readiness = ReadinessCode::SurroundingsGone
            });
        }),
        (Guard::TargetRestorable, Ask, |f| {
            let full = Blocker {
                code: BlockerCode::DiskFull,
                sentence: "the disk is full".to_owned(),
                next_action: "make room".to_owned(),
            };
            known(&mut f.target, |it| it.blockers.push(full));
        }),
        (Guard::Hold, Refuse, |f| {
            known(&mut f.target, |it| it.hold = Some("rolled back".to_owned()));
        }),
        (Guard::SecurityFloor, Refuse, |f| {
            known(&mut f.target, |it| {
                it.insecure = Some("CVE-2026-1".to_owned())
            });
        }),
        (Guard::TargetRestorable, Ask, |f| {
            known(&mut f.target, |it| {
                it.readiness = ReadinessCode::Gone;
                it.blockers.clear();
            });
        }),
    ]
}

fn of_caps() -> [(Guard, Answer, Change); 7] {
    use Answer::{Ask, Refuse};
    [
        (Guard::Cooldown, Refuse, |f| {
            done_before(f, recent("shop", Asker::Person, -900, None));
        }),
        (Guard::Cooldown, Refuse, |f| {
            done_before(f, recent("shop", Asker::Person, -900, Some(-599)));
        }),
        (Guard::Cooldown, Refuse, |f| {
            let mut in_vain = recent("shop", Asker::Person, -900, Some(-59));
            in_vain.touched = false;
            done_before(f, in_vain);
        }),
        (Guard::RateCap, Ask, |f| {
            let all = [-3000, -2000, -1000]
                .map(|asked| recent("blog", Asker::Trigger, asked, Some(asked + 60)));
            known(&mut f.rollbacks, |it| it.extend(all));
        }),
        (Guard::RateCap, Ask, |f| {
            for hours in 2..10 {
                let asked = -3600 * hours;
                let mut mine = recent("blog", Asker::Trigger, asked, Some(asked + 60));
                mine.trigger = Some("pager".to_owned());
                done_before(f, mine);
            }
        }),
        (Guard::BlastCap, Ask, |f| {
            done_before(f, recent("blog", Asker::Trigger, -60, None));
        }),
        (Guard::BlastCap, Ask, |f| {
            let mut same = recent("blog", Asker::Trigger, -60, Some(-10));
            same.episode = Some("Q1".to_owned());
            done_before(f, same);
        }),
    ]
}

/// Facts that could not be seen make several guards fail at once.
pub(super) fn unseen() -> [(&'static [Guard], Change); 6] {
    use Guard::*;
    [
        (&[Episode, Flap], |f| f.episode = unknown()),
        (&[DeployCorrelation, NeverTwice], |f| {
            f.deployment = unknown()
        }),
        (&[DeployCorrelation, NeverTwice], |f| {
            f.deployment = Seen::Absent
        }),
        (&[NeverTwice, Cooldown, RateCap, BlastCap], |f| {
            f.rollbacks = unknown()
        }),
        (
            &[TargetKnownGood, TargetRestorable, Hold, SecurityFloor],
            |f| f.target = unknown(),
        ),
        (
            &[Application, Cooldown, BlastCap, FreezeWindow, Approval],
            |f| f.application = Seen::Absent,
        ),
    ]
}
