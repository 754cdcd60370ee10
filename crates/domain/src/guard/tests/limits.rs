//! Where each limit begins: what is just within it, and what is just beyond.

use super::{
    case::{at, done_before, fine, known, now, recent, uuid},
    failures::underway,
    *,
};
use crate::{guard::version, ledger::Release, seen::Seen, trigger::alert::AlertState};

/// What a guard answers, and a number among its evidence.
fn says(facts: &Facts, guard: Guard, number: &str) -> (Answer, Option<String>) {
    let decision = decide(facts, &Policy::default(), now());
    let answer = answer_of(&decision, guard);
    (answer.answer, answer.evidence.get(number).cloned())
}

fn number(count: usize) -> Option<String> {
    Some(count.to_string())
}

#[test]
fn an_hour_is_an_hour_and_only_what_alerts_started_counts() {
    for (asked, count, answer) in [
        (-3599, 3, Answer::Ask),
        (-3600, 0, Answer::Pass),
        (-7200, 0, Answer::Pass),
    ] {
        let mut facts = fine();
        for name in ["blog", "wiki", "mail"] {
            done_before(&mut facts, recent(name, Asker::Trigger, asked, Some(-900)));
        }
        let said = says(&facts, Guard::RateCap, "count");
        assert_eq!(said, (answer, number(count)), "{asked}");
    }
    let mut facts = fine();
    for (name, by) in [
        ("blog", Asker::Trigger),
        ("wiki", Asker::Trigger),
        ("mail", Asker::Person),
        ("news", Asker::Watcher),
    ] {
        done_before(&mut facts, recent(name, by, -1800, Some(-900)));
    }
    let said = says(&facts, Guard::RateCap, "count");
    assert_eq!(said, (Answer::Pass, number(2)));
}

#[test]
fn a_day_is_a_day_and_each_trigger_has_its_own() {
    for (trigger, first, count, answer) in [
        ("pager", -86_399, 8, Answer::Ask),
        ("pager", -86_400, 7, Answer::Pass),
        ("other", -86_399, 0, Answer::Pass),
    ] {
        let mut facts = fine();
        for nth in 0..8 {
            let asked = if nth == 0 { first } else { -7200 - nth };
            let mut one = recent("blog", Asker::Trigger, asked, Some(asked + 60));
            one.trigger = Some(trigger.to_owned());
            done_before(&mut facts, one);
        }
        let said = says(&facts, Guard::RateCap, "count_of_day");
        assert_eq!(said, (answer, number(count)), "{trigger} {first}");
    }
}

#[test]
fn what_else_changes_is_what_other_applications_do() {
    for (name, by, episode, same) in [
        ("shop", Asker::Trigger, "Q1", 0),
        ("blog", Asker::Person, "Q1", 0),
        ("blog", Asker::Trigger, "Q2", 0),
        ("blog", Asker::Trigger, "Q1", 1),
    ] {
        let mut facts = fine();
        let mut one = recent(name, by, -1800, Some(-900));
        one.episode = Some(episode.to_owned());
        done_before(&mut facts, one);
        let (_, seen) = says(&facts, Guard::BlastCap, "same_episode");
        assert_eq!(seen, number(same), "{name} {by:?} {episode}");
    }
}

#[test]
fn what_came_back_by_itself_a_day_ago_may_come_back_again() {
    for (asked, answer) in [(-86_399, Answer::Ask), (-86_400, Answer::Pass)] {
        let mut facts = fine();
        let mut one = recent("shop", Asker::Trigger, asked, Some(asked + 60));
        (one.undid, one.left) = (Some(uuid(4)), Some("1.5.0".parse().unwrap()));
        done_before(&mut facts, one);
        let decision = decide(&facts, &Policy::default(), now());
        let said = answer_of(&decision, Guard::NeverTwice);
        assert_eq!(said.answer, answer, "{asked}");
    }
}

#[test]
fn what_is_only_asked_for_was_not_rolled_back_before() {
    for (awaits, answer) in [(true, Answer::Pass), (false, Answer::Ask)] {
        let mut facts = fine();
        let one = Recent {
            awaits,
            undid: Some(uuid(5)),
            ..recent("shop", Asker::Trigger, -60, None)
        };
        done_before(&mut facts, one);
        let decision = decide(&facts, &Policy::default(), now());
        let said = answer_of(&decision, Guard::NeverTwice);
        assert_eq!(said.answer, answer, "{awaits}");
    }
}

/// What was said of a trouble: since when, and whether it was there.
fn heard(states: &[(i64, AlertState)]) -> Vec<EpisodeState> {
    let state = |&(seconds, state)| EpisodeState {
        at: at(seconds),
        state,
    };
    states.iter().map(state).collect()
}

#[test]
fn only_what_came_or_went_of_late_is_a_change() {
    use AlertState::{Acknowledged, Firing, Merged, Resolved};
    let cases: [(&[(i64, AlertState)], usize); 8] = [
        (&[(-40, Firing)], 1),
        // Repetitions, and a person who takes it in hand, change nothing.
        (&[(-80, Firing), (-70, Acknowledged), (-60, Firing)], 1),
        (&[(-80, Firing), (-70, Resolved), (-60, Merged)], 2),
        // An end without a beginning tells of nothing that came.
        (&[(-80, Resolved), (-40, Firing)], 1),
        (&[(-90, Firing), (-60, Resolved), (-40, Firing)], 3),
        (
            &[
                (-90, Firing),
                (-80, Resolved),
                (-60, Firing),
                (-50, Resolved),
            ],
            4,
        ),
        (
            &[
                (-900, Firing),
                (-80, Resolved),
                (-60, Firing),
                (-50, Resolved),
            ],
            4,
        ),
        (
            &[
                (-901, Firing),
                (-80, Resolved),
                (-60, Firing),
                (-50, Resolved),
            ],
            3,
        ),
    ];
    for (states, changes) in cases {
        let mut facts = fine();
        known(&mut facts.episode, |it| it.states = heard(states));
        let answer = if changes < 4 {
            Answer::Pass
        } else {
            Answer::Ask
        };
        let said = says(&facts, Guard::Flap, "changes");
        assert_eq!(said, (answer, number(changes)), "{states:?}");
    }
    let mut facts = fine();
    known(&mut facts.episode, |it| {
        it.earlier = heard(&[(-2000, Firing), (-1900, Resolved), (-1800, Firing)]);
        it.states = heard(&[(-40, Firing)]);
    });
    let said = says(&facts, Guard::Flap, "changes");
    assert_eq!(said, (Answer::Pass, number(0)));
}

#[test]
fn a_person_who_took_it_in_hand_with_the_alert_is_asked() {
    for (seconds, answer) in [(-40, Answer::Ask), (-41, Answer::Pass)] {
        let mut facts = fine();
        known(&mut facts.episode, |it| {
            it.states
                .extend(heard(&[(seconds, AlertState::Acknowledged)]));
        });
        let (said, _) = says(&facts, Guard::Episode, "");
        assert_eq!(said, answer, "{seconds}");
    }
}

#[test]
fn clocks_may_differ_by_five_minutes() {
    for (ahead, answer) in [(300, Answer::Pass), (301, Answer::Ask)] {
        let mut facts = fine();
        facts.received_at = now();
        facts.alert.occurred_at = at(ahead);
        let (said, _) = says(&facts, Guard::Lateness, "");
        assert_eq!(said, answer, "{ahead}");
    }
}

fn release(version: &str, good_at: Option<i64>) -> Release {
    Release {
        deployment: uuid(9),
        version: version.parse().unwrap(),
        commit: None,
        deployed_at: at(-9000),
        good_at: good_at.map(at),
        hold: None,
        insecure: None,
        components: BTreeMap::new(),
    }
}

#[test]
fn what_would_come_back_is_the_newest_good_release_besides_what_serves() {
    let releases = [
        release("1.5.0", Some(-400)),
        release("1.4.3", None),
        release("1.4.2", Some(-800)),
        release("1.4.1", Some(-8000)),
    ];
    let facts = fine();
    let newest = facts.deployment.known();
    let last = last_good(&releases, newest).map(|release| release.version.as_str());
    assert_eq!(last, Some("1.4.2"));
    assert_eq!(last_good(&releases[..2], newest), None);
    let of_all = last_good(&releases, None).map(|release| release.version.as_str());
    assert_eq!(of_all, Some("1.5.0"));
}

#[test]
fn only_a_deployment_under_way_is_waited_for() {
    let mut facts = fine();
    facts.alert.severity = None;
    let waits = |facts: &Facts| {
        let decision = decide(facts, &Policy::default(), now());
        assert_eq!(decision.outcome, Outcome::Propose);
        decision.waits_for_a_deployment().is_some()
    };
    assert!(!waits(&facts));
    facts.underway = Some(underway(-60));
    assert!(waits(&facts));
}

#[test]
fn the_ends_of_a_range_are_within_it() {
    for (settings, bad) in [
        (
            json!({"settle_s": 3600, "age_max_s": 1, "cause_max_s": 86_400}),
            0,
        ),
        (
            json!({"settle_s": 3601, "age_max_s": 0, "cause_max_s": 86_401}),
            3,
        ),
    ] {
        let settings: GuardSettings = serde_json::from_value(settings).unwrap();
        let mut found = Vec::new();
        settings.check("guards", &mut found);
        assert_eq!(found.len(), bad, "{found:?}");
    }
}

#[test]
fn a_leading_v_stands_before_a_number() {
    assert!(version::same("v1.5.0", "1.5.0"));
    assert!(!version::same("vnext", "next"));
}

#[test]
fn what_is_only_proposed_stands_in_nothing_s_way() {
    let mut facts = fine();
    let proposals = ["shop", "shop", "blog", "wiki"].map(|name| Recent {
        awaits: true,
        undid: Some(uuid(5)),
        episode: Some("Q1".to_owned()),
        ..recent(name, Asker::Trigger, -60, None)
    });
    facts.rollbacks = Seen::Known(proposals.to_vec());
    let decision = decide(&facts, &Policy::default(), now());
    assert_eq!(decision.outcome, Outcome::Auto, "{:?}", decision.reasons());
}

#[test]
fn what_a_person_asked_for_and_nobody_said_yes_to_is_said_to_wait() {
    let mut facts = fine();
    for (awaits, what, next) in [
        (true, "waits for a person's yes", "sternway approve"),
        (false, "is under way", "sternway watch"),
    ] {
        let asked = Recent {
            awaits,
            ..recent("shop", Asker::Person, -60, None)
        };
        facts.rollbacks = Seen::Known(vec![asked]);
        let decision = decide(&facts, &Policy::default(), now());
        assert_eq!(decision.outcome, Outcome::Record);
        let said = decision.main_reason().unwrap();
        assert_eq!(said.guard, Guard::Cooldown);
        assert!(said.sentence.contains(what), "{said:?}");
        assert!(
            said.next_action.as_ref().unwrap().contains(next),
            "{said:?}"
        );
    }
}
