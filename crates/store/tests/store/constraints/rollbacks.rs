//! What breaks the rules of rollbacks, of the orders to them, and of the ledger.

use super::{A1, A2, C1, D1, NO_ONE};

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

fn build(rollback: &str, state: &str) -> String {
    format!(
        "insert into build (rollback_id, component, state) values ({rollback}, 'api', '{state}')"
    )
}

pub(super) fn of_rollbacks() -> Vec<(&'static str, String)> {
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

pub(super) fn of_orders() -> Vec<(&'static str, String)> {
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

pub(super) fn of_the_ledger() -> Vec<(&'static str, String)> {
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
