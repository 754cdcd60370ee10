use super::*;

fn plan(pin: serde_json::Value) -> Plan {
    serde_json::from_value(serde_json::json!({
        "format": 1, "strategy": "quick",
        "application": {"name": "shop", "environment": "production", "project": "shop", "components": [{"name": "api"}]},
        "target": "last_known_good", "from": "1.5.0", "to": "1.4.2", "deployment": uuid::Uuid::nil(),
        "swaps": [], "settled": [], "keep": [], "disk_free_min": 0, "steps": [],
        "project": {"pin": pin, "understood": []}
    }))
    .unwrap()
}

#[test]
fn a_file_that_was_pinned_is_not_to_be_set_again() {
    let pin = serde_json::json!({"path": "/srv/shop/.env", "variable": "VERSION", "from": "1.5.0", "to": "1.4.2"});
    let pinned = plan(pin);
    let said = version_elsewhere(&pinned, &[]);
    assert!(
        said.contains("shells that set VERSION") && !said.contains("`.env`"),
        "{said}"
    );
    let drifted = "step `pin` was given up: VERSION=1.4.2 stands in /srv/shop/.env, but Compose was not asked";
    let other = "ana ended the watch window early";
    let notes = [other.to_owned(), drifted.to_owned()];
    assert_eq!(version_elsewhere(&pinned, &notes), said);
    let images = serde_json::json!({"path": "/srv/shop/docker-compose.override.yml", "from": null, "to": "api=sha256:00"});
    let said = version_elsewhere(&plan(images), &[]);
    assert!(said.contains("override.yml pins api=sha256:00"), "{said}");
    let left = ["step `pin` was given up: /srv/shop/.env was edited meanwhile".to_owned()];
    let unpinned = plan(serde_json::Value::Null);
    for by_hand in [
        version_elsewhere(&pinned, &left),
        version_elsewhere(&unpinned, &[]),
    ] {
        assert!(by_hand.contains("`.env` and CI back too"), "{by_hand}");
    }
}

#[test]
fn a_person_is_told_which_version_an_up_would_deploy() {
    let pin = |settled: bool| {
        serde_json::from_value::<PinAnswer>(serde_json::json!({
            "rollback_id": uuid::Uuid::nil(), "path": "/srv/shop/.env", "variable": "VERSION", "former": "1.5.0",
            "written": "1.4.2", "left_to_person": true, "said": settled.then_some("it is back"),
            "settled_at": settled.then_some("2026-11-22T09:00:00Z")
        }))
        .unwrap()
    };
    let written = serde_json::json!({"path": "/srv/shop/.env", "variable": "VERSION", "from": "1.5.0", "to": "1.4.2"});
    let mut left = plan(written.clone());
    assert_eq!(up_deploys(&left, &[]), None, "Compose has no part in it");
    let compose =
        serde_json::json!({"folder": "/srv/shop", "files": ["a.yml"], "env_file": "b.env"});
    left.application.compose = serde_json::from_value(compose).unwrap();
    let said = |plan: &Plan, pins: &[PinAnswer]| up_deploys(plan, pins).unwrap();
    let stands = said(&left, &[pin(false)]);
    assert!(
        stands.starts_with("`docker-compose -f a.yml --env-file b.env up -d` in /srv/shop makes")
            && stands.ends_with("with 1.4.2, by what the rollback wrote into /srv/shop/.env"),
        "{stands}"
    );
    assert!(said(&left, &[pin(true)]).ends_with("named before the rollback"));
    assert!(said(&left, &[]).ends_with("look at them first"));
    let mut as_it_was = written;
    as_it_was["from"] = "1.4.2".into();
    let plan = Plan {
        application: left.application.clone(),
        ..plan(as_it_was)
    };
    assert!(said(&plan, &[]).ends_with("1.4.2, which /srv/shop/.env named before"));
}
