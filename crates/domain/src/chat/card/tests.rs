use super::*;
use crate::{
    lifecycle::Event,
    steps::Step,
    time::Millis,
    verdict::{Cause, CauseCode, Verdict},
};

const AT: i64 = 1_767_607_200_000;

fn plan(approval: bool) -> Plan {
    let mut plan: Plan = serde_json::from_value(serde_json::json!({
        "format": 1, "strategy": "quick",
        "application": {"name": "shop", "environment": "production", "project": "shop",
                        "components": [{"name": "api"}], "approval": approval},
        "target": "last_known_good", "from": "1.5.0", "to": "1.4.2", "deployment": Uuid::nil(),
        "swaps": [], "settled": [], "keep": [], "disk_free_min": 0, "steps": []
    }))
    .unwrap();
    plan.steps = vec![Step::Check, Step::Lock, Step::Prove];
    plan
}

fn ana() -> Actor {
    "ana".parse().unwrap()
}

fn facts<'a>(plan: &'a Plan, known: &'a Known, ana: &'a Actor) -> Facts<'a> {
    let now = Moment::from_unix_ms(AT);
    Facts {
        card: Uuid::nil(),
        occasion: Occasion::Plan,
        plan,
        known,
        asked_by: ana,
        state: State::Open,
        said: Some("bob"),
        until: now.after(Millis::from_secs(900)),
        under: None,
        may_act: true,
        now,
    }
}

fn run(phase: Phase) -> Run {
    let first = Event::Requested {
        approval_until: None,
        break_glass: None,
    };
    let run = Run::requested(&first, Moment::from_unix_ms(AT)).unwrap();
    Run { phase, ..run }
}

fn under<'a>(run: &'a Run, by: &'a Actor) -> Under<'a> {
    let id = RollbackId(Uuid::nil());
    Under {
        id,
        run,
        requested_by: by,
    }
}

#[test]
fn a_plan_can_be_decided_on_until_its_time_is_over_and_is_bound_to_its_digest() {
    let (plan, known, ana) = (plan(true), Known::default(), ana());
    let facts = facts(&plan, &known, &ana);
    let open = card(&facts);
    let value = format!("{}.{}", Uuid::nil(), plan.digest());
    assert_eq!(open.decide.as_deref(), Some(&*value));
    assert_eq!(open.title, "shop: 1.5.0 → 1.4.2");
    let until = "until 2026-01-05 10:15:00 UTC";
    assert!(open.parts[0].contains(until), "{open:?}");
    assert!(open.parts[0].ends_with("It needs another person than who asked."));
    assert!(!open.last && !open.call_all);
    let text = open.text();
    assert!(text.contains("`/rollback deny 00000000-"), "{text}");
    let late = Facts {
        now: facts.until,
        ..facts
    };
    let closed = |state| Facts { state, ..facts };
    for (facts, says) in [
        (late, "in time"),
        (closed(State::Denied), "Denied by bob"),
        (closed(State::Stale), "no longer true: bob"),
        (
            closed(State::Broken),
            "not asked for: bob. Nothing was done",
        ),
    ] {
        let closed = card(&facts);
        assert!(closed.parts[0].contains(says), "{closed:?}");
        let left = (closed.decide, closed.last, closed.parts.len());
        assert_eq!(left, (None, true, 1));
    }
    let only = card(&Facts {
        may_act: false,
        ..facts
    });
    assert_eq!((only.decide, only.last), (None, false));
}

#[test]
fn a_rollback_is_followed_to_its_verdict() {
    let (plan, known, ana) = (plan(false), Known::default(), ana());
    let of = |phase: Phase| {
        let run = run(phase);
        card(&Facts {
            under: Some(under(&run, &ana)),
            ..facts(&plan, &known, &ana)
        })
    };
    let until = Moment::from_unix_ms(AT);
    let waits = of(Phase::AwaitingApproval { until });
    assert!(waits.decide.is_some() && waits.text().contains("What would be done:"));
    let forward = of(Phase::Forward { at: 1 });
    assert_eq!(forward.decide, None);
    let steps = "✓ check\n▶ lock\n· prove";
    assert!(forward.parts[1].contains(steps), "{forward:?}");
    let cause = Cause::new(CauseCode::ProofFailed, "it answers 500");
    let backward = of(Phase::Backward {
        at: 1,
        cause: cause.clone(),
    });
    assert!(backward.parts[0].contains("it answers 500"), "{backward:?}");
    let watching = of(Phase::Watching { until });
    assert!(watching.parts[0].contains("watched until"), "{watching:?}");
    let ended = of(Phase::Ended {
        verdict: Verdict::Restored { cause },
    });
    let said = "RESTORED: what served before";
    assert!(ended.last && ended.parts[0].starts_with(said), "{ended:?}");
    assert!(ended.parts.last().unwrap().starts_with("Rollback 0000"));
}

#[test]
fn broken_glass_calls_everybody_and_says_why() {
    let (plan, ana) = (plan(true), ana());
    let known = Known {
        glass: Some("nobody answers".to_owned()),
        ..Known::default()
    };
    let run = run(Phase::Forward { at: 0 });
    let glass = card(&Facts {
        occasion: Occasion::Glass,
        under: Some(under(&run, &ana)),
        ..facts(&plan, &known, &ana)
    });
    assert!(glass.call_all && glass.decide.is_none());
    let why = "Started without approval: nobody answers";
    assert!(glass.text().contains(why), "{glass:?}");
}

#[test]
fn what_came_by_itself_calls_everybody_as_long_as_it_waits_for_a_yes() {
    let (plan, known, ana) = (plan(false), Known::default(), ana());
    let calls = |occasion, phase: Phase, may_act| {
        let run = run(phase);
        let facts = Facts {
            occasion,
            may_act,
            under: Some(under(&run, &ana)),
            ..facts(&plan, &known, &ana)
        };
        card(&facts).call_all
    };
    let waiting = Phase::AwaitingApproval {
        until: Moment::from_unix_ms(AT),
    };
    for occasion in [Occasion::Alert, Occasion::Returned] {
        // Also where nobody can click: they can say yes on the command line.
        assert!(calls(occasion, waiting.clone(), true));
        assert!(calls(occasion, waiting.clone(), false));
        assert!(!calls(occasion, Phase::Forward { at: 0 }, true));
    }
    assert!(!calls(Occasion::Plan, waiting, true));
}
