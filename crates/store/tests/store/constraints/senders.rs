//! What breaks the rules of those who send: triggers, and people in chats.

use super::NO_ONE;

pub(super) fn of_triggers() -> Vec<(&'static str, String)> {
    let secret = |id: &str, trigger: &str| {
        format!("insert into trigger_secret values ({id}, '{trigger}', '', 'ana')")
    };
    let decision = |id: &str, trigger: &str, part: u8, outcome: &str, deployment: &str| {
        format!(
            "insert into decision values ({id}, '{trigger}', 'e1', {part}, null, '{outcome}', 'c', 's', '{{}}', {deployment})"
        )
    };
    let s1 = "'00000000-0000-0000-0000-000000000011'";
    let d1 = "'00000000-0000-0000-0000-000000000012'";
    vec![
        (
            "trigger_key",
            "insert into trigger values ('pager', '{}', 1)".to_owned(),
        ),
        (
            "trigger_revision_positive",
            "insert into trigger values ('x', '{}', 0)".to_owned(),
        ),
        ("trigger_secret_key", secret(s1, "pager")),
        ("trigger_secret_trigger", secret(NO_ONE, "none")),
        (
            "inbox_key",
            "insert into inbox values ('pager', 'e1', '{}', '')".to_owned(),
        ),
        (
            "inbox_trigger",
            "insert into inbox values ('none', 'e1', '{}', '')".to_owned(),
        ),
        (
            "inbox_due_key",
            "insert into inbox_due values ('pager', 'e1')".to_owned(),
        ),
        (
            "inbox_due_inbox",
            "insert into inbox_due values ('pager', 'e2')".to_owned(),
        ),
        ("decision_key", decision(d1, "pager", 1, "recorded", "null")),
        (
            "decision_once",
            decision(NO_ONE, "pager", 0, "recorded", "null"),
        ),
        (
            "decision_trigger",
            decision(NO_ONE, "none", 1, "recorded", "null"),
        ),
        (
            "decision_deployment",
            decision(NO_ONE, "pager", 1, "recorded", NO_ONE),
        ),
        (
            "decision_acted",
            decision(NO_ONE, "pager", 1, "acted", "null"),
        ),
        (
            "decision_rollback",
            format!("insert into decision (id, trigger_name, event_id, part, outcome, code, said, notice, rollback_id)
                     values ({NO_ONE}, 'pager', 'e1', 1, 'recorded', 'c', 's', '{{}}', {NO_ONE})"),
        ),
        (
            "decision_outcome",
            decision(NO_ONE, "pager", 1, "guessed", "null"),
        ),
    ]
}

fn chat_card(id: &str, trigger: &str, occasion: &str, rollback: &str, state: &str) -> String {
    format!(
        "insert into chat_card values ({id}, '{trigger}', 'C1', '{occasion}', 'd', {rollback}, 'ana', '{{}}', '{state}', null, 1, now())"
    )
}

fn chat_person(trigger: &str, user: &str, role: &str) -> String {
    format!("insert into chat_person values ('{trigger}', '{user}', 'ana', '{role}', null, 'ana')")
}

pub(super) fn of_chats() -> Vec<(&'static str, String)> {
    const CARD: &str = "'00000000-0000-0000-0000-000000000013'";
    const ANSWER: &str = "'00000000-0000-0000-0000-000000000014'";
    const NOTICE: &str = "'00000000-0000-0000-0000-000000000015'";
    let answer = |id: &str, trigger: &str| {
        format!("insert into chat_answer values ({id}, '{trigger}', 'u', 't')")
    };
    let notice = |id: &str, trigger: &str, occurrence: &str| {
        format!(
            "insert into chat_notice (id, trigger_name, channel, occurrence, notice)
             values ({id}, '{trigger}', 'C1', '{occurrence}', '{{}}')"
        )
    };
    vec![
        ("chat_notice_key", notice(NOTICE, "pager", "p")),
        ("chat_notice_once", notice(NO_ONE, "pager", "o")),
        ("chat_notice_trigger", notice(NO_ONE, "nothing", "o")),
        ("chat_person_key", chat_person("pager", "U1", "viewer")),
        (
            "chat_person_trigger",
            chat_person("nothing", "U1", "viewer"),
        ),
        ("chat_person_role", chat_person("pager", "U2", "king")),
        (
            "chat_bot_key",
            "insert into chat_bot values ('pager', '', 'ana')".to_owned(),
        ),
        (
            "chat_bot_trigger",
            "insert into chat_bot values ('nothing', '', 'ana')".to_owned(),
        ),
        (
            "chat_card_key",
            chat_card(CARD, "pager", "plan", "null", "open"),
        ),
        (
            "chat_card_trigger",
            chat_card(NO_ONE, "nothing", "plan", "null", "open"),
        ),
        (
            "chat_card_rollback",
            chat_card(NO_ONE, "pager", "plan", NO_ONE, "open"),
        ),
        (
            "chat_card_occasion",
            chat_card(NO_ONE, "pager", "party", "null", "open"),
        ),
        (
            "chat_card_state",
            chat_card(NO_ONE, "pager", "plan", "null", "odd"),
        ),
        (
            "chat_shown_key",
            format!("insert into chat_shown values ({CARD})"),
        ),
        (
            "chat_shown_card",
            format!("insert into chat_shown values ({NO_ONE})"),
        ),
        ("chat_answer_key", answer(ANSWER, "pager")),
        ("chat_answer_trigger", answer(NO_ONE, "nothing")),
    ]
}
