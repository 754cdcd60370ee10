//! Every rule of the schema is hit, by its name, and is told to callers as what it means.

use std::collections::BTreeSet;

use store::{Constraint, Error};

use crate::house::{House, worker};

/// One row of each table, for the statements below to collide with or to refer to.
const ROWS: &str = "
    insert into plan values ('d0', 'shop', '{}', 'ana');
    insert into rollback values ('00000000-0000-0000-0000-0000000000a1', 'shop', 'd0', 'ana', 'performance', null, now());
    insert into rollback values ('00000000-0000-0000-0000-0000000000a2', 'shop', 'd0', 'ana', 'performance', null, now());
    insert into rollback_run (rollback_id, application, phase, acts, state, seq, head, wake_at, plan_format)
        values ('00000000-0000-0000-0000-0000000000a1', 'shop', 'forward', true, '{}', 1, decode(repeat('00', 32), 'hex'), now(), 1);
    insert into rollback_event values ('00000000-0000-0000-0000-0000000000a1', 0, now(), 1, 'ana', '{}', '');
    insert into rollback_order (id, rollback_id, kind, actor) overriding system value
        values (1, '00000000-0000-0000-0000-0000000000a1', 'cancel', 'ana');
    insert into artifact values ('00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000a1', 'api', 'c', 'logs', '', 0);
    insert into build (rollback_id, component, state) values ('00000000-0000-0000-0000-0000000000a1', 'api', 'built');
    insert into pin values ('00000000-0000-0000-0000-0000000000a1', '/srv/.env', '/srv', '.env', null, '');
    insert into idempotency values ('p', 'k', '', '00000000-0000-0000-0000-0000000000a1');
    insert into deployment values ('00000000-0000-0000-0000-0000000000d1', 'shop', '1', null, null, 'rollback', 'ana',
        '00000000-0000-0000-0000-0000000000a1', '{}', now(), '');
    insert into deployment_fact (deployment_id, state) values ('00000000-0000-0000-0000-0000000000d1', 'watching');
    insert into deployment_request values ('p', 'k', '', '00000000-0000-0000-0000-0000000000d1');
    insert into hold values ('00000000-0000-0000-0000-0000000000c1', 'shop', '1', 'x', false, 'ana', '00000000-0000-0000-0000-0000000000a1');
    insert into hold_release values ('00000000-0000-0000-0000-0000000000c1', 'ana');
    insert into held_return values ('00000000-0000-0000-0000-0000000000d1', 'shop', '1', 'x', now(), 'reported', 'x');
    insert into automatic_switch (id, application, automatic, reason, set_by) overriding system value values (1, 'shop', true, 'x', 'ana');
    insert into guard_override values ('00000000-0000-0000-0000-0000000000d1', 'shop', 'settle', 'ana', 'x', now(), now());
    insert into freeze_window values ('00000000-0000-0000-0000-0000000000d1', 'deny', 'shop', '0 0 * * *', 60, 'UTC', true, null, 'ana');
    insert into triage values ('00000000-0000-0000-0000-0000000000d1', 'shop', '[]', null, null, 'ana', now(), null);
    insert into triage_passed values ('00000000-0000-0000-0000-0000000000d1');
    insert into application_upkeep values ('shop', now(), now(), now());
    insert into image_copy values ('shop', 'i', '{}');
    insert into release_readiness values ('shop', '1', '[]', 'ready', false, 'x');
    insert into specification values ('s', 'k', '{}', '', '{}');
    insert into inspection values ('s', 'i', '');
    insert into image_settings values ('i', 'k', '');
    insert into api_token values ('00000000-0000-0000-0000-0000000000e1', 'n', 'person', 'ana', 'admin', null, 'h', 'ana', now(), now());
    insert into token_use values ('00000000-0000-0000-0000-0000000000e1', now());
    insert into token_revocation values ('00000000-0000-0000-0000-0000000000e1', 'ana');
    insert into setup_token values ('h', now(), now());
    insert into audit_entry (id, actor, action, object, detail) overriding system value values (1000000, 'ana', 'a', 'o', '{}');
    insert into inquiry values ('00000000-0000-0000-0000-0000000000f1', '{}', 'ana');
    insert into inquiry_answer values ('00000000-0000-0000-0000-0000000000f1', '{}', null);
    insert into trigger values ('pager', '{}', 1);
    insert into trigger_secret values ('00000000-0000-0000-0000-000000000011', 'pager', '', 'ana');
    insert into inbox values ('pager', 'e1', '{}', '');
    insert into inbox_due values ('pager', 'e1');
    insert into chat_person values ('pager', 'U1', 'ana', 'operator', null, 'ana');
    insert into chat_bot values ('pager', '', 'ana');
    insert into chat_card values ('00000000-0000-0000-0000-000000000013', 'pager', 'C1', 'plan', 'd', null, 'ana', '{}', 'open', null, 1, now());
    insert into chat_shown values ('00000000-0000-0000-0000-000000000013');
    insert into chat_answer values ('00000000-0000-0000-0000-000000000014', 'pager', 'u', 't');
    insert into chat_notice (id, trigger_name, channel, occurrence, notice)
        values ('00000000-0000-0000-0000-000000000015', 'pager', 'C1', 'o', '{}');
    insert into decision values ('00000000-0000-0000-0000-000000000012', 'pager', 'e1', 0, 'shop', 'recorded', 'c', 's', '{}');
";

const NO_ONE: &str = "'00000000-0000-0000-0000-000000000000'";
const A1: &str = "'00000000-0000-0000-0000-0000000000a1'";
const A2: &str = "'00000000-0000-0000-0000-0000000000a2'";
const D1: &str = "'00000000-0000-0000-0000-0000000000d1'";
const C1: &str = "'00000000-0000-0000-0000-0000000000c1'";
const E1: &str = "'00000000-0000-0000-0000-0000000000e1'";
const F1: &str = "'00000000-0000-0000-0000-0000000000f1'";

fn run(rollback: &str, application: &str, phase: &str, acts: bool, rest: (&str, &str)) -> String {
    let (columns, values) = rest;
    format!(
        "insert into rollback_run (rollback_id, application, phase, acts, state, seq, head, wake_at, plan_format{columns})
         values ({rollback}, '{application}', '{phase}', {acts}, '{{}}', 1, decode(repeat('00', 32), 'hex'), now(), 1{values})"
    )
}

fn deployment(id: &str, application: &str, kind: &str, rollback: &str) -> String {
    format!(
        "insert into deployment values ({id}, '{application}', '1', null, null, '{kind}', 'ana', {rollback}, '{{}}', now(), '')"
    )
}

fn token(id: &str, kind: &str, role: &str, hash: &str) -> String {
    format!(
        "insert into api_token values ({id}, 'n', '{kind}', 'ana', '{role}', null, '{hash}', 'ana', now(), now())"
    )
}

fn build(rollback: &str, state: &str) -> String {
    format!(
        "insert into build (rollback_id, component, state) values ({rollback}, 'api', '{state}')"
    )
}

fn triage(id: &str, application: &str, deadline: &str) -> String {
    format!(
        "insert into triage values ({id}, '{application}', '[]', null, null, 'ana', now(), {deadline})"
    )
}

fn guard_override(id: &str, application: &str) -> String {
    format!(
        "insert into guard_override values ({id}, {application}, 'settle', 'ana', 'x', now(), now())"
    )
}

fn freeze_window(id: &str, kind: &str, application: &str, duration_s: u32) -> String {
    format!(
        "insert into freeze_window values ({id}, '{kind}', {application}, '0 0 * * *', {duration_s}, 'UTC', true, null, 'ana')"
    )
}

fn of_applications() -> Vec<(&'static str, String)> {
    vec![
        (
            "application_key",
            "insert into application values ('shop', 'p', 'local', '{}', 1)".to_owned(),
        ),
        (
            "application_revision_positive",
            "insert into application values ('x', 'p', 'local', '{}', 0)".to_owned(),
        ),
        (
            "application_fence_key",
            "insert into application_fence values ('shop', 1)".to_owned(),
        ),
        (
            "application_fence_application",
            "insert into application_fence values ('x', 1)".to_owned(),
        ),
        (
            "automatic_switch_key",
            "insert into automatic_switch (id, automatic, reason, set_by) overriding system value values (1, true, 'x', 'ana')".to_owned(),
        ),
        (
            "automatic_switch_application",
            "insert into automatic_switch (id, application, automatic, reason, set_by) overriding system value values (2, 'x', true, 'x', 'ana')".to_owned(),
        ),
        (
            "guard_override_key",
            guard_override(D1, "'shop'"),
        ),
        (
            "guard_override_application",
            guard_override(NO_ONE, "'x'"),
        ),
        (
            "freeze_window_key",
            freeze_window(D1, "deny", "null", 60),
        ),
        (
            "freeze_window_application",
            freeze_window(NO_ONE, "deny", "'x'", 60),
        ),
        (
            "freeze_window_kind",
            freeze_window(NO_ONE, "thaw", "null", 60),
        ),
        (
            "freeze_window_duration",
            freeze_window(NO_ONE, "deny", "null", 59),
        ),
        ("triage_key", triage(D1, "shop", "null")),
        ("triage_application", triage(NO_ONE, "x", "null")),
        ("triage_deadline_advice", triage(NO_ONE, "shop", "now()")),
        (
            "triage_passed_key",
            format!("insert into triage_passed values ({D1})"),
        ),
        (
            "triage_passed_triage",
            format!("insert into triage_passed values ({NO_ONE})"),
        ),
        (
            "specification_key",
            "insert into specification values ('s', 'k', '{}', '', '{}')".to_owned(),
        ),
        (
            "inspection_key",
            "insert into inspection values ('s', 'i', '')".to_owned(),
        ),
        (
            "inspection_specification",
            "insert into inspection values ('x', 'i', '')".to_owned(),
        ),
        (
            "image_settings_key",
            "insert into image_settings values ('i', 'k', '')".to_owned(),
        ),
        (
            "plan_key",
            "insert into plan values ('d0', 'shop', '{}', 'ana')".to_owned(),
        ),
        (
            "plan_application",
            "insert into plan values ('d1', 'x', '{}', 'ana')".to_owned(),
        ),
    ]
}

fn of_rollbacks() -> Vec<(&'static str, String)> {
    let rollback = |id: &str, application: &str, plan: &str| {
        format!(
            "insert into rollback values ({id}, '{application}', '{plan}', 'ana', 'performance', null, now())"
        )
    };
    vec![
        ("rollback_key", rollback(A1, "shop", "d0")),
        ("rollback_application", rollback(NO_ONE, "x", "d0")),
        ("rollback_plan", rollback(NO_ONE, "shop", "x")),
        (
            "rollback_run_key",
            run(A1, "shop", "watching", false, ("", "")),
        ),
        (
            "rollback_run_rollback",
            run(NO_ONE, "shop", "watching", false, ("", "")),
        ),
        (
            "rollback_run_application",
            run(A2, "x", "watching", false, ("", "")),
        ),
        (
            "rollback_run_phase",
            run(A2, "shop", "dreaming", false, ("", "")),
        ),
        (
            "rollback_run_acts",
            run(A2, "shop", "watching", true, ("", "")),
        ),
        (
            "rollback_run_ended",
            run(A2, "shop", "ended", false, ("", "")),
        ),
        (
            "rollback_run_lease",
            run(
                A2,
                "shop",
                "watching",
                false,
                (", worker", ", gen_random_uuid()"),
            ),
        ),
        (
            "rollback_run_head",
            "update rollback_run set head = ''".to_owned(),
        ),
        (
            "rollback_one_acting",
            run(A2, "shop", "awaiting_approval", true, ("", "")),
        ),
        (
            "rollback_event_key",
            format!("insert into rollback_event values ({A1}, 0, now(), 1, 'ana', '{{}}', '')"),
        ),
        (
            "artifact_key",
            format!(
                "insert into artifact values ('00000000-0000-0000-0000-0000000000b1', {A1}, 'api', 'd', 'logs', '', 0)"
            ),
        ),
        (
            "artifact_rollback",
            format!("insert into artifact values (default, {NO_ONE}, 'api', 'd', 'logs', '', 0)"),
        ),
        (
            "artifact_kind",
            format!("insert into artifact values (default, {A1}, 'api', 'd', 'gossip', '', 0)"),
        ),
        (
            "artifact_once",
            format!("insert into artifact values (default, {A1}, 'api', 'c', 'logs', '', 0)"),
        ),
        (
            "pin_key",
            format!("insert into pin values ({A1}, '/srv/.env', '/srv', '.env', null, '')"),
        ),
        (
            "pin_rollback",
            format!("insert into pin values ({NO_ONE}, '/srv/.env', '/srv', '.env', null, '')"),
        ),
        ("build_key", build(A1, "building")),
        ("build_rollback", build(NO_ONE, "building")),
        ("build_state", build(A2, "resting")),
        (
            "pin_settled",
            "update pin set settled_at = now()".to_owned(),
        ),
        (
            "idempotency_key",
            format!("insert into idempotency values ('p', 'k', '', {A1})"),
        ),
        (
            "idempotency_rollback",
            format!(
                "set constraints all immediate; insert into idempotency values ('p', 'l', '', {NO_ONE})"
            ),
        ),
        (
            "deployment_request_key",
            format!("insert into deployment_request values ('p', 'k', '', {D1})"),
        ),
        (
            "deployment_request_deployment",
            format!(
                "set constraints all immediate; insert into deployment_request values ('p', 'l', '', {NO_ONE})"
            ),
        ),
    ]
}

fn of_orders() -> Vec<(&'static str, String)> {
    let order = |id: u8, rollback: &str, kind: &str, superseding: &str| {
        format!(
            "insert into rollback_order (id, rollback_id, kind, actor, superseding) overriding system value
             values ({id}, {rollback}, '{kind}', 'ana', {superseding})"
        )
    };
    vec![
        ("rollback_order_key", order(1, A1, "approve", "null")),
        ("rollback_order_once", order(2, A1, "cancel", "null")),
        (
            "rollback_order_rollback",
            order(2, NO_ONE, "cancel", "null"),
        ),
        (
            "rollback_order_superseding",
            order(2, A1, "supersede", NO_ONE),
        ),
        ("rollback_order_kind", order(2, A1, "dance", "null")),
        (
            "rollback_order_supersede",
            order(2, A1, "supersede", "null"),
        ),
    ]
}

fn held_return(deployment: &str, application: &str, outcome: &str, rollback: &str) -> String {
    format!(
        "insert into held_return values ({deployment}, '{application}', '1', 'x', now(), '{outcome}', 'x', {rollback})"
    )
}

fn of_the_ledger() -> Vec<(&'static str, String)> {
    let hold = |id: &str, application: &str, rollback: &str| {
        format!(
            "insert into hold values ({id}, '{application}', '1', 'x', false, 'ana', {rollback})"
        )
    };
    vec![
        ("deployment_key", deployment(D1, "shop", "deploy", "null")),
        (
            "deployment_application",
            deployment(NO_ONE, "x", "deploy", "null"),
        ),
        (
            "deployment_rollback",
            deployment(NO_ONE, "shop", "rollback", NO_ONE),
        ),
        (
            "deployment_one_per_rollback",
            deployment(NO_ONE, "shop", "rollback", A1),
        ),
        (
            "deployment_kind",
            deployment(NO_ONE, "shop", "drift", "null"),
        ),
        (
            "deployment_kind_rollback",
            deployment(NO_ONE, "shop", "rollback", "null"),
        ),
        (
            "deployment_fact_key",
            format!("insert into deployment_fact (deployment_id, state) values ({D1}, 'good')"),
        ),
        (
            "deployment_fact_deployment",
            format!("insert into deployment_fact (deployment_id, state) values ({NO_ONE}, 'good')"),
        ),
        (
            "deployment_fact_state",
            "update deployment_fact set state = 'splendid'".to_owned(),
        ),
        (
            "deployment_fact_merged",
            format!("update deployment_fact set merged_into = {NO_ONE}"),
        ),
        (
            "held_return_key",
            held_return(D1, "shop", "reported", "null"),
        ),
        (
            "held_return_deployment",
            held_return(NO_ONE, "shop", "reported", "null"),
        ),
        (
            "held_return_application",
            "update held_return set application = 'x'".to_owned(),
        ),
        (
            "held_return_rollback",
            format!("update held_return set rollback_id = {NO_ONE}"),
        ),
        (
            "held_return_outcome",
            "update held_return set outcome = 'forgotten'".to_owned(),
        ),
        (
            "held_return_put_back",
            "update held_return set outcome = 'put_back'".to_owned(),
        ),
        ("hold_key", hold(C1, "shop", "null")),
        ("hold_application", hold("default", "x", "null")),
        ("hold_rollback", hold("default", "shop", NO_ONE)),
        ("hold_one_per_rollback", hold("default", "shop", A1)),
        (
            "hold_release_key",
            format!("insert into hold_release values ({C1}, 'ana')"),
        ),
        (
            "hold_release_hold",
            format!("insert into hold_release values ({NO_ONE}, 'ana')"),
        ),
    ]
}

fn of_the_past() -> Vec<(&'static str, String)> {
    let upkeep = |application: &str| {
        format!("insert into application_upkeep values ('{application}', now(), now(), now())")
    };
    let copy =
        |application: &str| format!("insert into image_copy values ('{application}', 'i', '{{}}')");
    let readiness = |application: &str| {
        format!(
            "insert into release_readiness values ('{application}', '1', '[]', 'ready', false, 'x')"
        )
    };
    vec![
        ("application_upkeep_key", upkeep("shop")),
        ("application_upkeep_application", upkeep("none")),
        ("image_copy_key", copy("shop")),
        ("image_copy_application", copy("none")),
        ("release_readiness_key", readiness("shop")),
        ("release_readiness_application", readiness("none")),
    ]
}

fn of_access() -> Vec<(&'static str, String)> {
    vec![
        ("api_token_key", token(E1, "person", "admin", "i")),
        ("api_token_hash", token(NO_ONE, "person", "admin", "h")),
        ("api_token_kind", token(NO_ONE, "cat", "admin", "i")),
        ("api_token_role", token(NO_ONE, "person", "king", "i")),
        ("token_use_key", format!("insert into token_use values ({E1}, now())")),
        ("token_use_token", format!("insert into token_use values ({NO_ONE}, now())")),
        ("token_revocation_key", format!("insert into token_revocation values ({E1}, 'ana')")),
        ("token_revocation_token", format!("insert into token_revocation values ({NO_ONE}, 'ana')")),
        ("setup_token_key", "insert into setup_token values ('h', now(), now())".to_owned()),
        (
            "audit_entry_key",
            "insert into audit_entry (id, actor, action, object, detail) overriding system value values (1000000, 'a', 'a', 'o', '{}')"
                .to_owned(),
        ),
        ("worker_key", "insert into worker select * from worker".to_owned()),
        ("inquiry_key", format!("insert into inquiry values ({F1}, '{{}}', 'ana')")),
        ("inquiry_answer_key", format!("insert into inquiry_answer values ({F1}, '{{}}', null)")),
        ("inquiry_answer_inquiry", format!("insert into inquiry_answer values ({NO_ONE}, '{{}}', null)")),
        ("inquiry_answer_one_of", format!("insert into inquiry_answer values ({NO_ONE}, null, null)")),
    ]
}

fn of_triggers() -> Vec<(&'static str, String)> {
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

fn of_chats() -> Vec<(&'static str, String)> {
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

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_of_the_schema_is_hit_and_told_by_its_name() {
    let house = House::new().await;
    house.application("shop").await;
    house.store.worker_beat(&worker()).await.unwrap();
    house.raw(ROWS).await;
    let hits: Vec<(&str, String)> = [
        of_applications(),
        of_chats(),
        of_rollbacks(),
        of_orders(),
        of_the_ledger(),
        of_the_past(),
        of_access(),
        of_triggers(),
    ]
    .concat();
    for (name, sql) in &hits {
        let mut tx = house.pool.begin().await.unwrap();
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone()))
            .execute(&mut *tx)
            .await
            .unwrap_err();
        let told = error
            .as_database_error()
            .and_then(|error| error.constraint());
        assert_eq!(told, Some(*name), "{sql}: {error}");
        tx.rollback().await.unwrap();
        let Error::Conflict(constraint) = Error::from(error) else {
            panic!("{name} is not told as a conflict")
        };
        // What is not told by a meaning of its own can only be a defect of ours: a row that no function writes.
        let defect = matches!(&constraint, Constraint::Rule(rule) if rule == name);
        let check = sqlx::query_scalar::<_, bool>(
            "select exists (select from pg_constraint where conname = $1 and contype = 'c')",
        )
        .bind(name)
        .fetch_one(&house.pool)
        .await
        .unwrap();
        assert_eq!(
            defect,
            check || *name == "rollback_one_acting",
            "{name} is told as {constraint:?}"
        );
    }
    let hit: BTreeSet<String> = hits.iter().map(|(name, _)| (*name).to_owned()).collect();
    let there: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint
         where connamespace = 'public'::regnamespace and contype <> 'n' and conrelid <> '_sqlx_migrations'::regclass
         union
         select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
         where i.indisunique and c.relnamespace = 'public'::regnamespace and i.indrelid <> '_sqlx_migrations'::regclass",
    )
    .fetch_all(&house.pool)
    .await
    .unwrap();
    let there: BTreeSet<String> = there.into_iter().collect();
    assert_eq!(
        hit, there,
        "each rule of the schema has a statement above that breaks it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_can_not_be_changed_deleted_or_emptied() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    house.request(&plan).await;
    let attempts = [
        "update rollback_event set actor = 'bob'",
        "delete from rollback_event",
        "truncate rollback_event",
        "update audit_entry set actor = 'bob'",
        "delete from audit_entry",
        "truncate audit_entry",
    ];
    for sql in attempts {
        let error = sqlx::query(sql).execute(&house.pool).await.unwrap_err();
        assert!(
            matches!(Error::from(error), Error::Conflict(Constraint::AppendOnly)),
            "{sql}"
        );
    }
}
