use super::*;
use crate::lifecycle::Phase;

const AT: i64 = 1_767_607_200_000;

/// So many seconds after it was asked for.
fn after(secs: u32) -> Moment {
    Moment::from_unix_ms(AT).after(Millis::from_secs(secs))
}

fn until() -> Moment {
    after(900)
}

fn plan(approvers: u8) -> Plan {
    serde_json::from_value(serde_json::json!({
        "format": 1, "strategy": "quick",
        "application": {"name": "shop", "environment": "production", "project": "shop",
                        "components": [{"name": "api"}], "approval": true, "approvers": approvers},
        "target": "last_known_good", "from": "1.5.0", "to": "1.4.2", "deployment": uuid::Uuid::nil(),
        "swaps": [], "settled": [], "keep": [], "disk_free_min": 0, "steps": []
    }))
    .unwrap()
}

/// A run that waits, with the yes of these so far.
fn waits(approved_by: &[&str]) -> Run {
    let first = Event::Requested {
        approval_until: Some(until()),
        break_glass: None,
    };
    let run = Run::requested(&first, after(0)).unwrap();
    Run {
        approved_by: approved_by.iter().map(|by| actor(by)).collect(),
        ..run
    }
}

fn actor(name: &str) -> Actor {
    name.parse().unwrap()
}

fn yes(by: &str, at: Moment) -> Order {
    Order::Approve { by: actor(by), at }
}

fn approved(by: &str) -> Turn {
    go(vec![Event::Approved { by: actor(by) }])
}

fn not_approved(sentence: &str) -> Turn {
    let cause = Cause::new(CauseCode::NotApproved, sentence);
    end(Verdict::Cancelled { cause })
}

#[test]
fn a_yes_counts_from_when_it_was_said_however_late_it_is_read() {
    let (plan, run) = (plan(1), waits(&[]));
    let just = until().before(Millis(1));
    for read in [just, until(), after(4_500)] {
        let turn = for_approval(&plan, &run, until(), &[yes("ben", just)], read);
        assert_eq!(turn, approved("ben"), "read at {read}");
    }
}

#[test]
fn a_yes_that_was_said_too_late_starts_nothing() {
    let (plan, run) = (plan(1), waits(&[]));
    for said in [until(), after(4_500)] {
        let turn = for_approval(&plan, &run, until(), &[yes("ben", said)], after(4_500));
        let why = "ben approved the plan when its time was over; ask for a new one";
        assert_eq!(turn, not_approved(why), "said at {said}");
    }
    // Whoever has a clock that is ahead of ours is not waited for, and not taken for in time either.
    let ahead = for_approval(&plan, &run, until(), &[yes("ben", until())], after(899));
    assert_eq!(ahead, rest(until()));
    let nobody = for_approval(&plan, &run, until(), &[], until());
    let why = "nobody approved the plan in time; ask for a new one";
    assert_eq!(nobody, not_approved(why));
    // One that came in time beside it counts.
    let both = [yes("ben", until()), yes("eva", after(1))];
    let turn = for_approval(&plan, &run, until(), &both, after(4_500));
    assert_eq!(turn, approved("eva"));
}

#[test]
fn of_two_persons_the_second_has_to_come_in_time_as_well() {
    let (plan, run) = (plan(2), waits(&["eva"]));
    let late = for_approval(&plan, &run, until(), &[yes("ben", until())], after(4_500));
    let why = "1 of 2 approved the plan in time; ask for a new one";
    assert_eq!(late, not_approved(why));
    let in_time = for_approval(
        &plan,
        &run,
        until(),
        &[yes("ben", after(899))],
        after(4_500),
    );
    assert_eq!(in_time, approved("ben"));
}

#[test]
fn a_no_is_as_good_at_any_time() {
    let (plan, run) = (plan(1), waits(&[]));
    let orders = [yes("eva", after(1)), Order::Reject { by: actor("ben") }];
    let turn = for_approval(&plan, &run, until(), &orders, after(4_500));
    assert_eq!(turn, not_approved("ben rejected the plan"));
}

#[test]
fn a_no_that_was_accepted_while_a_yes_went_to_the_log_calls_off_what_has_begun() {
    let mut run = waits(&["eva"]);
    run.phase = Phase::Forward { at: 0 };
    let no = [Order::Reject { by: actor("ben") }];
    let turn = crate::next::cancelled(&run, &no).unwrap();
    let cause = Cause::new(
        CauseCode::Cancelled,
        "ben rejected the plan while others approved it",
    );
    let verdict = Verdict::Cancelled {
        cause: cause.clone(),
    };
    assert_eq!(turn.events, [Event::Ended { verdict }]);
    run.acted_at = Some(after(2));
    let turn = crate::next::cancelled(&run, &no).unwrap();
    assert_eq!(turn.events, [Event::TurnedBack { cause }]);
    run.proved_at = Some(after(5));
    let turn = crate::next::cancelled(&run, &no).unwrap();
    assert!(
        matches!(turn.events.as_slice(), [Event::CancelRefused { by, .. }] if *by == actor("ben"))
    );
    assert_eq!(crate::next::cancelled(&run, &[yes("ben", after(1))]), None);
}
