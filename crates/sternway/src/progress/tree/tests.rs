use domain::{
    effect::{Effect, Failure, Outcome},
    verdict::{Cause, CauseCode},
};

use super::*;
use crate::progress::words;

fn at(ms: i64) -> Moment {
    Moment::from_unix_ms(1_795_333_333_000 + ms)
}

fn tree() -> Tree {
    Tree::new(
        "Rollback 0199 of shop: 1.5.0 → 1.4.2".to_owned(),
        ["check", "switch api", "prove"].map(str::to_owned),
    )
}

fn done(note: &str) -> (Event, String) {
    (
        Event::StepDone {
            note: note.to_owned(),
            checks: None,
            built: None,
        },
        note.to_owned(),
    )
}

fn say(event: Event, sentence: &str) -> (Event, String) {
    (event, sentence.to_owned())
}

fn requested() -> (Event, String) {
    say(
        Event::Requested {
            approval_until: None,
            break_glass: None,
        },
        "ana asked",
    )
}

fn cause() -> Cause {
    Cause::new(CauseCode::ProofFailed, "1.4.2 could not\n be proved")
}

fn play(tree: &mut Tree, events: &[(i64, (Event, String))]) -> Vec<String> {
    events
        .iter()
        .filter_map(|(ms, (event, sentence))| {
            let line = words::line(tree, event, sentence, at(*ms));
            tree.apply(event, sentence, at(*ms));
            line
        })
        .collect()
}

#[test]
fn a_calm_run_is_shown_step_by_step() {
    let mut tree = tree();
    let rename = Effect::RenameContainer {
        container: "ab".repeat(32).parse().unwrap(),
        name: "shop-api-1".to_owned(),
    };
    let events = [
        (0, requested()),
        (120, done("4 of 5 checks are green before")),
        (
            150,
            say(
                Event::Intended { effect: rename },
                "renaming abababababab to shop-api-1",
            ),
        ),
    ];
    play(&mut tree, &events);
    assert_eq!(
        tree.lines(at(1520), 99, Paint::default()).join("\n"),
        "Rollback 0199 of shop: 1.5.0 → 1.4.2  1.5 s\n\
         \x20 ✓ done     check          120 ms  4 of 5 checks are green before\n\
         \x20 … running  switch api      1.4 s  renaming abababababab to shop-api-1\n\
         \x20 · waiting  prove"
    );
    play(
        &mut tree,
        &[
            (1600, done("1 container runs 1.4.2")),
            (1700, done("proved")),
        ],
    );
    assert_eq!(tree.stage, Stage::Watching);
    assert!(
        tree.lines(at(2000), 99, Paint::default())
            .last()
            .unwrap()
            .contains("proved")
    );
}

#[test]
fn a_run_that_turns_is_shown_until_it_is_back() {
    let mut tree = tree();
    let refused = Event::Performed {
        outcome: Outcome::Failed {
            failure: Failure::Refused,
            said: "no".to_owned(),
        },
    };
    let events = [
        (0, requested()),
        (100, done("ready")),
        (200, say(refused, "the engine refused: no")),
        (900, done("switched")),
        (
            5000,
            say(
                Event::TurnedBack { cause: cause() },
                "going back: 1.4.2 could not\n be proved",
            ),
        ),
        (5100, done("nothing to undo")),
        (5900, done("1 container serves again")),
        (
            6000,
            say(
                Event::Ended {
                    verdict: Verdict::Restored { cause: cause() },
                },
                "what served before is serving again",
            ),
        ),
    ];
    let lines: Vec<String> = play(&mut tree, &events)
        .iter()
        .map(|line| line[14..].to_owned())
        .collect();
    let expected = [
        "    +0 ms  ana asked",
        "  +100 ms  ✓ done     check in 100 ms: ready",
        "  +200 ms  ! switch api: the engine refused: no",
        "  +900 ms  ✓ done     switch api in 800 ms: switched",
        "   +5.0 s  ✗ failed   prove: going back: 1.4.2 could not be proved",
        "   +5.1 s  ↩ undone   prove in 100 ms: nothing to undo",
        "   +5.9 s  ↩ undone   switch api in 800 ms: 1 container serves again",
        "   +6.0 s  restored: what served before is serving again",
    ];
    assert_eq!(lines[1..], expected[1..]);
    assert_eq!(tree.verdict().map(Verdict::word), Some("restored"));
    assert_eq!(
        tree.rows.iter().map(|row| row.state).collect::<Vec<_>>(),
        [State::Undone; 3]
    );
}

#[test]
fn a_run_that_is_called_off_did_not_fail() {
    let mut tree = tree();
    let cause = Cause::new(CauseCode::Cancelled, "ana called it off");
    let events = [
        (0, requested()),
        (100, done("ready")),
        (
            200,
            say(Event::TurnedBack { cause }, "going back: ana called it off"),
        ),
    ];
    let lines = play(&mut tree, &events);
    let last = lines.last().unwrap();
    assert!(
        last.ends_with("↩ stopped  switch api: going back: ana called it off"),
        "{last}"
    );
}

#[test]
fn a_long_plan_shows_the_rows_around_the_present_one() {
    let mut tree = Tree::new("r".to_owned(), (0..100).map(|n| format!("step {n}")));
    play(&mut tree, &[(0, requested())]);
    for n in 0..50 {
        play(&mut tree, &[(n, done("ok"))]);
    }
    let lines = tree.lines(at(60), 10, Paint::default());
    assert_eq!(lines.len(), 13);
    assert!(
        lines.iter().any(|line| line.contains("running  step 50")),
        "{lines:#?}"
    );
    assert!(
        lines[1].contains("45 earlier") && lines[12].contains("45 more"),
        "{lines:#?}"
    );
}

#[test]
fn an_approval_and_a_lost_engine_are_said() {
    let mut tree = tree();
    play(
        &mut tree,
        &[(
            0,
            say(
                Event::Requested {
                    approval_until: Some(at(900_000)),
                    break_glass: None,
                },
                "ana asked",
            ),
        )],
    );
    assert!(
        tree.lines(at(1), 99, Paint::default())
            .last()
            .unwrap()
            .contains("waits for approval")
    );
    let lost = say(
        Event::EngineLost {
            said: String::new(),
        },
        "the engine does not answer: refused\u{1b}[2J",
    );
    play(
        &mut tree,
        &[
            (
                10,
                say(
                    Event::Approved {
                        by: "ana".parse().unwrap(),
                    },
                    "yes",
                ),
            ),
            (20, lost),
        ],
    );
    assert_eq!(
        tree.lines(at(30), 99, Paint::default()).last().unwrap(),
        "  the engine does not answer: refused"
    );
    play(&mut tree, &[(40, say(Event::EngineBack, "back"))]);
    assert!(tree.remark.is_none());
}

#[test]
fn a_server_whose_clock_is_ahead_gives_no_negative_times() {
    let mut tree = tree();
    tree.heard(at(60_000), at(0));
    play(&mut tree, &[(60_000, requested())]);
    assert!(tree.lines(at(500), 99, Paint::default())[0].ends_with("500 ms"));
}
