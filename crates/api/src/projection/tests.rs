use super::*;
use domain::verdict::{Cause, CauseCode};
use serde_json::json;

fn plan() -> Plan {
    let plan = json!({
        "format": 1, "strategy": "quick",
        "application": {"name": "shop", "environment": "production", "project": "shop", "components": [{"name": "api"}]},
        "target": "last_known_good", "from": "1.5.0", "to": "1.4.2", "deployment": "0199c0de-7a11-7000-8000-000000000001",
        "swaps": [], "settled": [], "keep": [], "disk_free_min": 0,
        "steps": [{"step": "check"}, {"step": "capture"}, {"step": "switch", "component": "api"}, {"step": "prove"}]
    });
    serde_json::from_value(plan).unwrap()
}

fn done(note: &str) -> Event {
    Event::StepDone {
        note: note.to_owned(),
        checks: None,
        built: None,
    }
}

fn cause() -> Cause {
    Cause::new(CauseCode::ProofFailed, "api answers 500")
}

fn states(events: &[Event]) -> Vec<(StepState, Option<u64>)> {
    let logged: Vec<Logged<'_>> = events
        .iter()
        .zip(0..)
        .map(|(event, n)| Logged {
            at: Moment::from_unix_ms(n * 100),
            event,
        })
        .collect();
    steps(&plan(), &logged)
        .into_iter()
        .map(|step| (step.state, step.duration_ms))
        .collect()
}

#[test]
fn a_step_is_pending_then_running_then_done() {
    use StepState::{Done, Pending, Running, Skipped};
    let requested = Event::Requested {
        approval_until: None,
        break_glass: None,
    };
    assert_eq!(
        states(std::slice::from_ref(&requested))[..2],
        [(Running, None), (Pending, None)]
    );
    let skipped = Event::StepSkipped {
        note: "the log is gone".to_owned(),
        components: Vec::new(),
    };
    let after = states(&[requested, done("fit"), skipped]);
    assert_eq!(
        after,
        [
            (Done, Some(100)),
            (Skipped, Some(100)),
            (Running, None),
            (Pending, None)
        ]
    );
}

#[test]
fn what_waits_for_approval_has_no_running_step() {
    let until = Moment::from_unix_ms(9);
    let states = states(&[Event::Requested {
        approval_until: Some(until),
        break_glass: None,
    }]);
    assert!(states.iter().all(|(state, _)| *state == StepState::Pending));
}

#[test]
fn on_the_way_back_steps_are_undone_one_by_one() {
    use StepState::{Done, Pending, Undoing, Undone};
    let mut events = vec![
        Event::Requested {
            approval_until: None,
            break_glass: None,
        },
        done("a"),
        done("b"),
        done("c"),
    ];
    events.push(Event::TurnedBack { cause: cause() });
    let at_turn: Vec<StepState> = states(&events)
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    assert_eq!(at_turn, [Done, Done, Done, Undoing]);
    events.extend([
        done("nothing to undo"),
        done("switched back"),
        done("stays"),
    ]);
    let back: Vec<StepState> = states(&events)
        .into_iter()
        .map(|(state, _)| state)
        .collect();
    assert_eq!(back, [Undoing, Undone, Undone, Undone]);
    events.push(Event::Ended {
        verdict: Verdict::Restored { cause: cause() },
    });
    assert!(states(&events).iter().all(|(state, _)| *state == Undone));
    let early = [
        Event::Requested {
            approval_until: None,
            break_glass: None,
        },
        Event::TurnedBack { cause: cause() },
    ];
    assert_eq!(states(&early)[1].0, Pending);
}

#[test]
fn a_run_that_needs_a_person_says_at_which_step() {
    let verdict = Verdict::NeedsHuman {
        cause: cause(),
        production: "not known".to_owned(),
    };
    let events = [
        Event::Requested {
            approval_until: None,
            break_glass: None,
        },
        done("a"),
        Event::Ended { verdict },
    ];
    assert_eq!(states(&events)[1], (StepState::Failed, Some(100)));
}

#[test]
fn a_log_that_can_not_be_followed_is_shown_as_far_as_it_can() {
    let events = [
        Event::Requested {
            approval_until: None,
            break_glass: None,
        },
        Event::Requested {
            approval_until: None,
            break_glass: None,
        },
        done("a"),
    ];
    assert_eq!(states(&events)[0].0, StepState::Done);
}
