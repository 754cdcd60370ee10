//! Each guard stops something that nothing else stops, and nothing is started past one that does not pass.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    ledger::DeploymentKind,
    name::RollbackId,
    planner::{Blocker, BlockerCode},
    readiness::ReadinessCode,
    seen::Seen,
    time::Millis,
    trigger::{
        alert::{Alert, AlertState},
        trust::TrustTier,
    },
    window::{Window, Zone},
};

const NOON: i64 = 1_795_348_800_000;

pub(super) fn at(seconds: i64) -> Moment {
    Moment::from_unix_ms(NOON + seconds * 1000)
}

/// When the decision is made: 31 seconds after the alert came, 40 after the trouble began.
pub(super) fn now() -> Moment {
    at(0)
}

/// Facts that every guard lets through.
pub(super) fn fine() -> Facts {
    Facts {
        trigger: TriggerFacts {
            name: "pager".to_owned(),
            trust: TrustTier::Signed,
            mode: Mode::Auto,
            severities: BTreeMap::new(),
        },
        alert: Alert {
            episode: "Q1".to_owned(),
            recurs: None,
            state: AlertState::Firing,
            title: "shop: 5xx rate 14%".to_owned(),
            url: None,
            severity: Some("critical".to_owned()),
            service: Some("PSVC001".to_owned()),
            labels: BTreeMap::new(),
            version: None,
            started_at: at(-40),
            occurred_at: at(-40),
            repeated: false,
            ours: false,
        },
        received_at: at(-31),
        application: Seen::Known(Subject {
            name: "shop".parse().unwrap(),
            approval: false,
        }),
        switches: Seen::Known(Switches::default()),
        episode: Seen::Known(EpisodeFacts {
            states: vec![EpisodeState {
                at: at(-40),
                state: AlertState::Firing,
            }],
            earlier: Vec::new(),
            decided: None,
        }),
        opinion: Seen::Known(Opinion {
            at: at(0),
            failing: Some("api: /health answers 500".to_owned()),
        }),
        deployment: Seen::Known(NewestDeployment {
            id: uuid(5),
            version: "1.5.0".parse().unwrap(),
            kind: DeploymentKind::Deploy,
            at: at(-500),
            finished: true,
            seen: true,
        }),
        target: Seen::Known(TargetFacts {
            version: "1.4.2".parse().unwrap(),
            proved: true,
            served: Some(Millis::from_secs(86_400)),
            readiness: ReadinessCode::Ready,
            blockers: Vec::new(),
            hold: None,
            insecure: None,
        }),
        rollbacks: Seen::Known(Vec::new()),
        windows: Seen::Known(Vec::new()),
        overrides: Vec::new(),
    }
}

fn uuid(number: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(number)
}

/// Changes what is known. Of what is not seen there is nothing to change.
fn known<T>(seen: &mut Seen<T>, change: impl FnOnce(&mut T)) {
    match seen {
        Seen::Known(value) => change(value),
        Seen::Absent | Seen::Unknown(_) => {}
    }
}

fn recent(application: &str, by: Asker, asked: i64, rested: Option<i64>) -> Recent {
    Recent {
        rollback: RollbackId(uuid(u128::from(asked.unsigned_abs()))),
        application: application.parse().unwrap(),
        by,
        asked_at: at(asked),
        rested_at: rested.map(at),
        episode: None,
        undid: None,
        touched: true,
        left: None,
        trigger: (by == Asker::Trigger).then(|| "other".to_owned()),
        proposed: false,
    }
}

fn window(kind: &str, cron: &str, rollbacks: bool) -> Window {
    serde_json::from_value(json!({
        "id": uuid(1), "kind": kind, "application": null, "cron": cron, "duration": 3_600_000,
        "zone": "UTC", "rollbacks": rollbacks,
    }))
    .unwrap()
}

fn unknown<T>() -> Seen<T> {
    Seen::Unknown("it did not answer".to_owned())
}

type Change = fn(&mut Facts);

/// What makes exactly one guard fail, each with the answer that is expected of it.
fn failures() -> Vec<(Guard, Answer, Change)> {
    use Answer::Ask;
    let mut all: Vec<(Guard, Answer, Change)> = Vec::new();
    all.extend(of_origin());
    all.extend(of_the_trouble());
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

fn of_the_trouble() -> [(Guard, Answer, Change); 18] {
    use Answer::{Ask, Refuse, Wait};
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

fn done_before(facts: &mut Facts, rollback: Recent) {
    known(&mut facts.rollbacks, |it| it.push(rollback));
}

fn of_cause() -> [(Guard, Answer, Change); 8] {
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
fn unseen() -> [(&'static [Guard], Change); 6] {
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

fn answer_of(decision: &Decision, guard: Guard) -> &GuardAnswer {
    decision
        .answers
        .iter()
        .find(|answer| answer.guard == guard)
        .unwrap()
}

#[test]
fn what_every_guard_lets_through_is_started() {
    let decision = decide(&fine(), &Policy::default(), now());
    assert_eq!(decision.outcome, Outcome::Auto, "{:#?}", decision.reasons());
    assert_eq!(decision.answers.len(), Guard::ALL.len());
}

#[test]
fn each_guard_stops_what_nothing_else_stops() {
    for (at, (guard, expected, change)) in failures().into_iter().enumerate() {
        let mut facts = fine();
        change(&mut facts);
        let decision = decide(&facts, &Policy::default(), now());
        let answer = answer_of(&decision, guard);
        assert_eq!(answer.answer, expected, "{at}: {answer:?}");
        assert_ne!(decision.outcome, Outcome::Auto, "{at}: {guard:?}");
        assert_eq!(decision.reason(), Some(guard), "{at}");
        assert_eq!(
            decision.reasons().len(),
            1,
            "{at}: {:#?}",
            decision.reasons()
        );
        assert!(
            !answer.sentence.is_empty() && (answer.next_action.is_some() || answer.until.is_some())
        );
        // Take the guard away, and the same facts start a rollback.
        let others: Vec<Guard> = Guard::ALL
            .into_iter()
            .filter(|other| *other != guard)
            .collect();
        let without = decide_by(&others, &facts, &Policy::default(), now());
        assert_eq!(
            without.outcome,
            Outcome::Auto,
            "{at}: {guard:?} is not needed"
        );
    }
}

#[test]
fn every_guard_has_a_failure_that_is_its_own() {
    let has = |guard: &Guard| {
        failures().iter().any(|(of, _, _)| of == guard)
            || unseen().iter().any(|(of, _)| of.contains(guard))
    };
    for guard in Guard::ALL {
        assert!(has(&guard), "{guard:?}");
        assert_eq!(guard.word().parse(), Ok(guard));
        assert_eq!(serde_json::to_value(guard).unwrap(), json!(guard.word()));
    }
    let mut sorted = Guard::ALL;
    sorted.sort_unstable();
    assert_eq!(sorted, Guard::ALL);
}

#[test]
fn what_can_not_be_seen_never_passes() {
    for (guards, change) in unseen() {
        let mut facts = fine();
        change(&mut facts);
        let decision = decide(&facts, &Policy::default(), now());
        let failing: Vec<Guard> = {
            let mut all: Vec<Guard> = decision
                .reasons()
                .iter()
                .map(|answer| answer.guard)
                .collect();
            all.sort_unstable();
            all
        };
        assert_eq!(failing, guards);
    }
}

#[test]
fn a_window_that_nobody_can_read_is_taken_for_closed() {
    let mut facts = fine();
    let mut nowhere = window("deny", "0 12 * * *", true);
    nowhere.zone = Zone::stored("Nowhere/At_all".to_owned());
    facts.windows = Seen::Known(vec![nowhere]);
    let decision = decide(&facts, &Policy::default(), now());
    let answer = answer_of(&decision, Guard::FreezeWindow);
    assert_eq!(answer.answer, Answer::Ask, "{answer:?}");
    assert_eq!(decision.outcome, Outcome::Propose);
}

#[test]
fn a_limit_is_reached_where_it_says() {
    let outcome = |change: Change| {
        let mut facts = fine();
        change(&mut facts);
        decide(&facts, &Policy::default(), now()).outcome
    };
    assert_eq!(outcome(|f| f.alert.occurred_at = at(-600)), Outcome::Auto);
    assert_eq!(
        outcome(|f| known(&mut f.deployment, |it| it.at = at(-1840))),
        Outcome::Auto
    );
    assert_eq!(
        outcome(|f| known(&mut f.deployment, |it| it.at = at(-40))),
        Outcome::Auto
    );
    assert_eq!(outcome(|f| f.received_at = at(-30)), Outcome::Auto);
    let until = at(1);
    assert_eq!(
        outcome(|f| f.received_at = at(-29)),
        Outcome::Wait { until }
    );
    assert_eq!(
        outcome(
            |f| f.rollbacks = Seen::Known(vec![recent("shop", Asker::Person, -900, Some(-600))])
        ),
        Outcome::Auto
    );
    // What did nothing is soon forgotten.
    assert_eq!(
        outcome(|f| {
            let mut in_vain = recent("shop", Asker::Trigger, -900, Some(-60));
            in_vain.touched = false;
            done_before(f, in_vain);
        }),
        Outcome::Auto
    );
    // What alerts did counts, not what people did.
    assert_eq!(
        outcome(|f| f.rollbacks = Seen::Known(vec![recent("blog", Asker::Person, -9, None); 5])),
        Outcome::Auto
    );
    assert_eq!(
        outcome(|f| f.windows = Seen::Known(vec![window("deny", "0 12 * * *", false)])),
        Outcome::Auto
    );
}

#[test]
fn a_trigger_on_trial_decides_and_does_nothing() {
    let mut facts = fine();
    facts.trigger.mode = Mode::Shadow;
    let decision = decide(&facts, &Policy::default(), now());
    assert_eq!(
        (decision.outcome, decision.would_be),
        (Outcome::Shadow, Outcome::Auto)
    );
    facts.trigger.trust = TrustTier::Bearer;
    let decision = decide(&facts, &Policy::default(), now());
    assert_eq!(
        (decision.outcome, decision.would_be),
        (Outcome::Shadow, Outcome::Propose)
    );
    facts.alert.ours = true;
    assert_eq!(
        decide(&facts, &Policy::default(), now()).outcome,
        Outcome::Record
    );
}

#[test]
fn a_person_lets_an_estimate_through_by_name_and_with_a_reason() {
    let mut facts = fine();
    known(&mut facts.deployment, |it| it.at = at(-5000));
    let word = |guard: Guard, reason: &str| Override {
        guard,
        person: "ana".parse().unwrap(),
        reason: reason.to_owned(),
        at: now(),
    };
    facts.overrides = vec![word(Guard::DeployCorrelation, "")];
    assert_eq!(
        decide(&facts, &Policy::default(), now()).outcome,
        Outcome::Propose
    );
    facts.overrides = vec![word(
        Guard::DeployCorrelation,
        "the flag was turned on just now",
    )];
    let decision = decide(&facts, &Policy::default(), now());
    assert_eq!(decision.outcome, Outcome::Auto);
    let answer = answer_of(&decision, Guard::DeployCorrelation);
    assert_eq!(
        answer.overridden_by.as_ref().map(Actor::as_str),
        Some("ana")
    );
    assert!(answer.sentence.contains("the flag was turned on just now"));
}

#[test]
fn what_is_fixed_is_never_overridden() {
    for (guard, expected, change) in failures() {
        let mut facts = fine();
        change(&mut facts);
        facts.overrides = Guard::ALL
            .map(|guard| Override {
                guard,
                person: "ana".parse().unwrap(),
                reason: "I know".to_owned(),
                at: now(),
            })
            .to_vec();
        let outcome = decide(&facts, &Policy::default(), now()).outcome;
        let open =
            guard.fixed().is_none() && expected == Answer::Ask && !people::never_overridden(&facts);
        assert_eq!(outcome == Outcome::Auto, open, "{guard:?}");
    }
}

#[test]
fn a_decision_is_made_again_from_what_is_recorded() {
    for (_, _, change) in failures() {
        let mut facts = fine();
        change(&mut facts);
        let text = serde_json::to_string(&facts).unwrap();
        let read: Facts = serde_json::from_str(&text).unwrap();
        assert_eq!(read, facts);
        let decision = decide(&read, &Policy::default(), now());
        let text = serde_json::to_string(&decision).unwrap();
        assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
    }
}

#[test]
fn an_application_sets_its_own_limits_within_reason() {
    let settings: GuardSettings =
        serde_json::from_value(json!({"settle_s": 0, "cooldown_s": 59})).unwrap();
    let mut bad = Vec::new();
    settings.check("guards", &mut bad);
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].field, "guards.cooldown_s");
    let mut facts = fine();
    facts.received_at = now();
    let outcome = |facts: &Facts, policy: &Policy| decide(facts, policy, now()).outcome;
    assert_eq!(outcome(&facts, &Policy::of(&settings)), Outcome::Auto);
    assert_ne!(outcome(&facts, &Policy::default()), Outcome::Auto);
    assert!(serde_json::from_value::<GuardSettings>(json!({"an_hour_max": 99})).is_err());
}

#[test]
fn severities_are_read_by_the_triggers_map_and_damage_wins() {
    let mut facts = fine();
    facts.alert.severity = Some("S0".to_owned());
    let mut impact = |severities: &[(&str, Impact)], title: &str| {
        facts.alert.title = title.to_owned();
        let map = severities
            .iter()
            .map(|(word, impact)| ((*word).to_owned(), *impact))
            .collect();
        impact_of(&facts.alert, &map)
    };
    assert_eq!(impact(&[], "5xx"), None);
    assert_eq!(impact(&[("s0", Impact::Down)], "5xx"), Some(Impact::Down));
    assert_eq!(
        impact(&[("s0", Impact::Minor)], "Possible data loss"),
        Some(Impact::DataCorruption)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Whatever is wrong at once, and in whatever order guards are asked.
    #[test]
    fn nothing_is_started_past_a_guard_that_does_not_pass(
        wrong in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        more in any::<prop::sample::Index>(),
        order in Just(Guard::ALL.to_vec()).prop_shuffle(),
        overrides in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..4),
        seconds in -100_i64..100,
    ) {
        let changes: Vec<Change> = failures().into_iter().map(|(_, _, change)| change)
            .chain(unseen().into_iter().map(|(_, change)| change)).collect();
        let mut facts = fine();
        for index in &wrong { index.get(&changes)(&mut facts); }
        facts.overrides = overrides.iter().map(|(index, said)| Override {
            guard: *index.get(&Guard::ALL),
            person: "ana".parse().unwrap(),
            reason: if *said { "I know".to_owned() } else { String::new() },
            at: now(),
        }).collect();
        let when = at(seconds);
        let decision = decide(&facts, &Policy::default(), when);
        let all_pass = decision.answers.iter().all(|answer| answer.answer == Answer::Pass);
        prop_assert_eq!(decision.outcome == Outcome::Auto, all_pass);
        prop_assert_eq!(&decide_by(&order, &facts, &Policy::default(), when), &decision);
        // Without overrides: one more fault may take the place of an earlier one, and be the one that is overridden.
        facts.overrides.clear();
        let decision = decide(&facts, &Policy::default(), when);
        // What is late by a second at noon is in time a second earlier, and may then take a real fault's place.
        let mut alone = fine();
        more.get(&changes)(&mut alone);
        let fault = decide(&alone, &Policy::default(), when).outcome != Outcome::Auto;
        more.get(&changes)(&mut facts);
        let after = decide(&facts, &Policy::default(), when);
        prop_assert!(decision.outcome == Outcome::Auto || !fault || after.outcome != Outcome::Auto,
            "{:#?} and then {:#?}", decision.reasons(), facts);
    }
}

#[test]
fn what_is_only_proposed_stands_in_nothing_s_way() {
    let mut facts = fine();
    let proposals = ["shop", "shop", "blog", "wiki"].map(|name| Recent {
        proposed: true,
        undid: Some(uuid(5)),
        episode: Some("Q1".to_owned()),
        ..recent(name, Asker::Trigger, -60, None)
    });
    facts.rollbacks = Seen::Known(proposals.to_vec());
    let decision = decide(&facts, &Policy::default(), now());
    assert_eq!(decision.outcome, Outcome::Auto, "{:?}", decision.reasons());
}

#[test]
fn a_high_urgency_alone_does_not_say_that_it_is_down() {
    let mut facts = fine();
    facts.alert.severity = Some("high".to_owned());
    let decision = decide(&facts, &Policy::default(), now());
    assert_eq!(decision.outcome, Outcome::Propose);
    assert_eq!(decision.reason(), Some(Guard::Severity));
    facts.trigger.severities = [("High".to_owned(), Impact::Down)].into();
    let decision = decide(&facts, &Policy::default(), now());
    assert_eq!(decision.outcome, Outcome::Auto);
}

#[test]
fn only_limits_that_people_set_leave_nothing_but_a_yes_to_be_asked_for() {
    let lacks = |change: Change| {
        let mut facts = fine();
        change(&mut facts);
        decide(&facts, &Policy::default(), now()).lacks_only_a_yes()
    };
    let limits: [Change; 5] = [
        |f| f.trigger.mode = Mode::Propose,
        |f| f.trigger.trust = TrustTier::Bearer,
        |f| known(&mut f.application, |it| it.approval = true),
        |f| f.alert.severity = Some("error".to_owned()),
        |f| f.windows = Seen::Known(vec![window("deny", "0 12 * * *", true)]),
    ];
    for change in limits {
        assert!(lacks(change));
    }
    let seen: [Change; 6] = [
        |_| (),
        |f| known(&mut f.opinion, |it| it.failing = None),
        |f| f.deployment = Seen::Absent,
        |f| f.alert.title = "orders are corrupted".to_owned(),
        |f| f.alert.severity = Some("security".to_owned()),
        |f| {
            f.trigger.mode = Mode::Propose;
            f.target = unknown();
        },
    ];
    for change in seen {
        assert!(!lacks(change));
    }
}
