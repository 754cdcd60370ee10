//! Every rule of the schema is hit, by its name, and is told to callers as what it means.

mod applications;
mod rollbacks;
mod senders;

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

fn token(id: &str, kind: &str, role: &str, hash: &str) -> String {
    format!(
        "insert into api_token values ({id}, 'n', '{kind}', 'ana', '{role}', null, '{hash}', 'ana', now(), now())"
    )
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

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_of_the_schema_is_hit_and_told_by_its_name() {
    let house = House::new().await;
    house.application("shop").await;
    house.store.worker_beat(&worker()).await.unwrap();
    house.raw(ROWS).await;
    let hits: Vec<(&str, String)> = [
        applications::of_applications(),
        senders::of_chats(),
        rollbacks::of_rollbacks(),
        rollbacks::of_orders(),
        rollbacks::of_the_ledger(),
        applications::of_the_past(),
        of_access(),
        senders::of_triggers(),
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
