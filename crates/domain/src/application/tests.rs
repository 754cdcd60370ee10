use super::*;
use serde_json::json;

fn shop() -> serde_json::Value {
    json!({"name": "shop", "environment": "production", "project": "shop",
           "components": [{"name": "api", "probes": [{"kind": "http", "port": 8080, "path": "/health"}]}]})
}

fn parse(definition: serde_json::Value) -> Application {
    serde_json::from_value(definition).unwrap()
}

#[test]
fn a_short_definition_is_filled_with_the_runbooks_times() {
    let shop = parse(shop());
    assert_eq!(shop.check(), Ok(()));
    assert_eq!((shop.watch_window_s, shop.engine.as_str()), (900, "local"));
}

#[test]
fn an_unknown_field_is_refused() {
    let mut definition = shop();
    definition["componants"] = json!([]);
    assert!(serde_json::from_value::<Application>(definition).is_err());
}

#[test]
fn every_broken_rule_is_named_with_its_field() {
    let mut shop = parse(shop());
    shop.engine = "tcp://10.0.0.1:2375".to_owned();
    shop.timeouts.proof_s = 0;
    shop.components[0].probes.push(Probe::Http {
        port: 0,
        path: "health".to_owned(),
        status: Some(42),
        contains: Some(String::new()),
    });
    shop.components.push(shop.components[0].clone());
    let fields: Vec<String> = shop
        .check()
        .unwrap_err()
        .into_iter()
        .map(|bad| bad.field)
        .collect();
    for expected in [
        "engine",
        "timeouts.proof_s",
        "components[1].name",
        "components[0].probes[1].port",
        "components[0].probes[1].path",
        "components[0].probes[1].status",
        "components[0].probes[1].contains",
    ] {
        assert!(
            fields.contains(&expected.to_owned()),
            "{expected} missing in {fields:?}"
        );
    }
}

#[test]
fn an_order_names_components_and_has_no_circle() {
    let fields = |after: [&str; 2]| {
        let mut definition = shop();
        definition["components"] =
            json!([{"name": "api", "after": [after[0]]}, {"name": "db", "after": [after[1]]}]);
        let bad = parse(definition).check().err().unwrap_or_default();
        bad.into_iter().map(|bad| bad.field).collect::<Vec<_>>()
    };
    assert_eq!(fields(["db", "cache"]), ["components[1].after"]);
    assert_eq!(fields(["db", "api"]), ["components"]);
    assert_eq!(fields(["api", "api"]), ["components"]);
}

#[test]
fn a_compose_project_is_a_folder_of_its_own() {
    let fields = |compose: serde_json::Value| {
        let mut definition = shop();
        definition["compose"] = compose;
        let bad = parse(definition).check().err().unwrap_or_default();
        bad.into_iter().map(|bad| bad.field).collect::<Vec<_>>()
    };
    let whole = json!({"folder": "/srv/shop", "files": ["compose.yml", "prod/web.yml"], "env_file": "prod.env", "pin": {"env": "VERSION"}});
    assert_eq!(fields(whole), [""; 0]);
    assert_eq!(fields(json!({"folder": "srv/shop"})), ["compose.folder"]);
    assert_eq!(fields(json!({"folder": "/srv/../etc"})), ["compose.folder"]);
    let out = json!({"folder": "/srv/shop", "files": ["../other.yml"], "env_file": "/etc/env"});
    assert_eq!(fields(out), ["compose.files[0]", "compose.env_file"]);
    let mut plain = shop();
    plain["compose"] = json!({"folder": "/srv/shop"});
    plain["project"] = json!(null);
    plain["components"][0]["containers"] = json!(["web"]);
    assert_eq!(parse(plain).check().unwrap_err()[0].field, "compose");
}

#[test]
fn plain_containers_are_named_exactly_without_a_project() {
    let mut shop = parse(shop());
    shop.project = None;
    assert_eq!(
        shop.check().unwrap_err()[0].field,
        "components[0].containers"
    );
    shop.components[0].containers = vec!["web-1".to_owned()];
    assert_eq!(shop.check(), Ok(()));
}

#[test]
fn a_front_is_asked_at_a_whole_address_without_a_password() {
    let fields = |url: &str| {
        let mut definition = shop();
        definition["probes"] = json!([{ "url": url }]);
        let told = parse(definition).check();
        told.err()
            .map(|bad| (bad[0].field.clone(), bad[0].what.clone()))
    };
    for good in [
        "http://shop.example",
        "https://shop_api:8443/health?deep=1",
        "http://[::1]:80/a@b",
    ] {
        assert_eq!(fields(good), None, "{good}");
    }
    for bad in [
        "shop.example",
        "ftp://shop",
        "http://",
        "http:///health",
        "http://a b",
        "http://-x/",
    ] {
        let (field, what) = fields(bad).unwrap();
        assert_eq!(field, "probes[0].url", "{bad}");
        assert!(what.contains("whole"), "{bad}: {what}");
    }
    for secret in ["https://ana:s3cret@shop.example/", "http://ana@shop"] {
        let (_, what) = fields(secret).unwrap();
        assert!(
            what.contains("credentials") && !what.contains("s3cret"),
            "{what}"
        );
    }
}
