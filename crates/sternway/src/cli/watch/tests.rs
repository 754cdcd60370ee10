use super::*;

fn rollback(change: serde_json::Value) -> RollbackAnswer {
    let mut value = serde_json::json!({
        "id": "0199c0de-7a11-7000-8000-000000000001", "application": "shop", "from": "1.5.0", "to": "1.4.2",
        "phase": "watching", "until": "2026-11-22T08:35:31.500Z", "proved_at": "2026-11-22T08:20:34.200Z", "downtime_ms": 850,
        "requested_by": "ana", "reason": "critical_bug", "note": "checkout answers 500", "requested_at": "2026-11-22T08:20:31Z",
        "plan_digest": "ab".repeat(32), "log": {"seq": 42, "head": "cd".repeat(32)},
        "next_actions": [
            {"sentence": "watch it", "method": "GET", "path": "/api/v1/rollbacks/1/events", "command": "sternway watch 1"},
            {"sentence": "read on", "method": "GET", "path": "/api/v1/rollbacks/1/artifacts"}],
        "new_member": 1
    });
    for (name, member) in change.as_object().unwrap() {
        value[name] = member.clone();
    }
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_proved_rollback_is_summed_up() {
    assert_eq!(
        summary(&rollback(serde_json::json!({})), Paint::default()),
        "✓ proved shop serves 1.4.2, proved on every replica (it ran 1.5.0)\n\
         \x20 asked      2026-11-22 08:20:31Z by ana, critical_bug: checkout answers 500\n\
         \x20 proved     3.2 s after the request\n\
         \x20 downtime   850 ms at most\n\
         \x20 until      its probes must stay green until 08:35:31.500Z\n\
         \x20 log        42 events, head cdcdcdcdcdcd; rollback 0199c0de-7a11-7000-8000-000000000001\n\
         \x20 next       watch it (sternway watch 1)\n\
         \x20 next       read on (GET /api/v1/rollbacks/1/artifacts)"
    );
}

#[test]
fn what_was_pinned_is_said_with_what_becomes_of_it() {
    let text = |change: serde_json::Value| {
        let mut pin = serde_json::json!({"rollback_id": uuid::Uuid::nil(), "path": "/srv/shop/.env", "variable": "VERSION",
                                         "former": "1.5.0", "written": "1.4.2"});
        for (name, member) in change.as_object().unwrap() {
            pin[name] = member.clone();
        }
        summary(
            &rollback(serde_json::json!({"pins": [pin]})),
            Paint::default(),
        )
    };
    let open = text(serde_json::json!({}));
    assert!(
        open.contains("  pinned     VERSION=1.4.2 in /srv/shop/.env; releasing the hold of 1.5.0 puts VERSION=1.5.0 back\n"),
        "{open}"
    );
    let images =
        text(serde_json::json!({"variable": null, "former": null, "written": "api=sha256:00"}));
    assert!(
        images.contains(
            "  pinned     api=sha256:00 in /srv/shop/.env; releasing the hold of 1.5.0 removes it\n"
        ),
        "{images}"
    );
    let settled = text(
        serde_json::json!({"said": "it is what it was", "settled_at": "2026-11-22T09:00:00Z"}),
    );
    assert!(
        settled.contains(
            "  pinned     the hold was released 2026-11-22 09:00:00Z: it is what it was\n"
        ),
        "{settled}"
    );
    let left = text(serde_json::json!({"left_to_person": true}));
    let stands = "  pinned     VERSION=1.4.2 in /srv/shop/.env, which said VERSION=1.5.0 before: the rollback left it to a person, and \
                  the next `up` goes by it\n";
    assert!(left.contains(stands), "{left}");
    let back = text(serde_json::json!({"left_to_person": true, "said": "it is back"}));
    assert!(back.contains("  pinned     it is back\n"), "{back}");
}

#[test]
fn every_way_to_end_has_its_headline_and_exit_code() {
    let cause =
        serde_json::json!({"code": "proof_failed", "sentence": "1.4.2 could not be proved"});
    for (phase, verdict, good, word, code) in [
        ("watching", None, None, "✓ proved", 0),
        ("forward", None, None, "… forward", 6),
        ("ended", Some("rolled_back"), Some(true), "✓ rolled_back", 0),
        (
            "ended",
            Some("rolled_back"),
            Some(false),
            "✓ rolled_back",
            0,
        ),
        ("ended", Some("restored"), None, "↩ restored", 7),
        ("ended", Some("refused"), None, "✗ refused", 7),
        ("ended", Some("cancelled"), None, "– cancelled", 9),
        ("ended", Some("needs_human"), None, "✗ needs_human", 6),
    ] {
        let answer = rollback(
            serde_json::json!({"phase": phase, "verdict": verdict, "good": good, "cause": cause}),
        );
        assert!(
            headline(&answer, Paint::default()).starts_with(word),
            "{word}"
        );
        assert_eq!(exit(&answer, Some(Ending::Ended)).code(), code, "{word}");
    }
    let waits = rollback(serde_json::json!({"phase": "awaiting_approval"}));
    assert_eq!(
        exit(&waits, Some(Ending::AwaitsApproval)),
        Exit::WaitsForApproval
    );
    assert!(headline(&waits, Paint::default()).contains("sternway approve 0199c0de"));
}

#[test]
fn who_leaves_is_told_how_to_go_on() {
    let text = how_to_go_on(RollbackId(uuid::Uuid::nil()));
    assert!(
        text.contains("goes on by itself")
            && text.contains("sternway watch 0000")
            && text.contains("sternway cancel 0000")
    );
}
