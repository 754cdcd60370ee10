//! What breaks the rules of applications, of what guards them, and of what is kept for their way back.

use super::{D1, NO_ONE};

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

pub(super) fn of_applications() -> Vec<(&'static str, String)> {
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

pub(super) fn of_the_past() -> Vec<(&'static str, String)> {
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
