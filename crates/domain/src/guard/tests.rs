//! Each guard stops something that nothing else stops, and nothing is started past one that does not pass.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    seen::Seen,
    trigger::trust::{Doubt, TrustTier},
    window::Zone,
};
use case::{done_before, known, recent, unknown, window};
use failures::{Change, failures, later, underway, unseen};

mod case;
mod failures;
mod limits;

pub(super) use case::{at, fine, now};

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
    // The newest deployment's version, and a project whose releases are named by commits.
    let told: [Change; 2] = [
        |f| f.alert.version = Some("shop@v1.5.0".to_owned()),
        |f| f.alert.version = Some("9f1c2abd4b1f0c2d3e4f5a6b7c8d9e0f1a2b3c4d".to_owned()),
    ];
    for change in told {
        assert_eq!(outcome(change), Outcome::Auto);
    }
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
fn what_is_being_put_in_service_is_waited_for_and_not_for_ever() {
    let mut facts = fine();
    facts.underway = Some(underway(-60));
    let decision = decide(&facts, &Policy::default(), now());
    assert_eq!(decision.outcome, Outcome::Propose);
    let answer = answer_of(&decision, Guard::DeployCorrelation);
    assert_eq!(decision.waits_for_a_deployment(), Some(answer));
    assert!(
        answer
            .sentence
            .starts_with("1.5.1 is being put in service since")
            && answer.sentence.ends_with("as `ci` told"),
        "{answer:?}"
    );
    assert!(!decision.lacks_only_a_yes());
    facts.underway = Some(underway(-1801));
    let lapsed = decide(&facts, &Policy::default(), now());
    assert_eq!(lapsed.outcome, Outcome::Auto);
}

#[test]
fn what_touched_nothing_and_what_a_person_accepted_count_for_no_cap() {
    for (touched, accepted, expected) in [
        (true, false, Outcome::Propose),
        (false, false, Outcome::Auto),
        (true, true, Outcome::Auto),
    ] {
        let mut facts = fine();
        for asked in [-3000, -2000, -1000] {
            let before = recent("blog", Asker::Trigger, asked, Some(asked + 60));
            done_before(
                &mut facts,
                Recent {
                    touched,
                    accepted,
                    ..before
                },
            );
        }
        assert_eq!(decide(&facts, &Policy::default(), now()).outcome, expected);
    }
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
fn why_a_message_is_no_proof_is_said_as_it_is() {
    let says = |doubt: Option<Doubt>| {
        let mut facts = fine();
        (facts.trigger.trust, facts.trigger.doubt) = (TrustTier::Bearer, doubt);
        let decision = decide(&facts, &Policy::default(), now());
        assert_eq!(decision.reason(), Some(Guard::TrustTier));
        answer_of(&decision, Guard::TrustTier).sentence.clone()
    };
    assert!(says(Some(Doubt::Untimed)).contains("can send it again"));
    assert!(says(Some(Doubt::Unsigned)).contains("not signed"));
    assert!(says(Some(Doubt::Lowered)).contains("no further than `bearer`"));
    // What was recorded before says as much as it did.
    assert!(says(None).contains("not signed"));
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
fn nobody_says_that_an_old_alert_is_in_time() {
    assert!(Guard::Lateness.fixed().is_some());
    for (seconds, expected) in [(3600, Outcome::Propose), (-3600, Outcome::Record)] {
        let mut facts = fine();
        facts.alert.occurred_at = at(seconds);
        facts.overrides = vec![Override {
            guard: Guard::Lateness,
            person: "ana".parse().unwrap(),
            reason: "I know".to_owned(),
            at: now(),
        }];
        let decision = decide(&facts, &Policy::default(), now());
        assert_eq!(decision.outcome, expected);
    }
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
fn a_later_word_counts_where_it_says_anything() {
    let outcome = |first: &str, change: fn(&mut Facts)| {
        let mut facts = fine();
        facts.alert.severity = Some(first.to_owned());
        change(&mut facts);
        let decision = decide(&facts, &Policy::default(), now());
        (decision.outcome, decision.reason())
    };
    let auto = (Outcome::Auto, None);
    let asks = (Outcome::Propose, Some(Guard::Severity));
    // It says nothing of how severe it is, or which service it is of by the routes.
    assert_eq!(
        outcome("P1", |f| later(f, Some("shop"), |it| it.severity = None)),
        auto
    );
    assert_eq!(outcome("P1", |f| later(f, None, |_| ())), auto);
    // What was not known to be bad turns out to be.
    let worse: fn(&mut Facts) =
        |f| later(f, Some("shop"), |it| it.severity = Some("P1".to_owned()));
    assert_eq!(outcome("high", worse), auto);
    // Data that may be damaged is not by a word less damaged.
    assert_eq!(outcome("data_corruption", worse), asks);
    assert_eq!(outcome("security", worse), asks);
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
