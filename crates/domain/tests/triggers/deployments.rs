//! Which deployments that are told of go into an application's ledger.

use domain::{
    application::Application,
    trigger::{
        Headers, Trigger,
        sort::{Deployment, Matter, sorted},
    },
};
use serde_json::{Value, json};

fn shop(environment: &str) -> Application {
    serde_json::from_value(json!({"name": "shop", "environment": environment,
        "components": [{"name": "api"}, {"name": "worker"}]}))
    .unwrap()
}

fn told(trigger: &Value, headers: &[(&str, &str)], body: &Value) -> Deployment {
    let trigger: Trigger = serde_json::from_value(trigger.clone()).unwrap();
    trigger.check().unwrap();
    let headers: Headers = headers.iter().copied().collect();
    let mut parts = sorted(&trigger, &headers, body.to_string().as_bytes());
    match parts.remove(0).matter {
        Matter::Deployment(told) => *told,
        other => panic!("{other:?}"),
    }
}

/// By a route with this rule, in this environment of the sender's.
fn of(rule: Option<&str>, environment: Option<&str>) -> Deployment {
    let mut route = json!({"application": "shop", "service": "acme/shop",
        "images": {"api": "shop:{version}", "worker": "shop:{version}"}});
    if let Some(rule) = rule {
        route["rule"] = json!(rule);
    }
    let trigger = json!({"name": "ci", "kind": "standard_webhooks", "routes": [route]});
    let body = json!({"type": "deploy.succeeded", "timestamp": "2026-01-05T10:00:00Z",
        "data": {"service": "acme/shop", "version": "1.5.0", "environment": environment}});
    told(&trigger, &[("webhook-id", "m")], &body)
}

#[test]
fn a_deployment_of_another_environment_is_not_this_application_s() {
    let code = |rule, environment, here: &str| {
        let images = of(rule, environment).images_of(&shop(here));
        images.map_err(|(code, _)| code).map(|images| images.len())
    };
    for (environment, here) in [
        (None, "production"),
        (Some("production"), "production"),
        (Some("Production "), "production"),
        (Some("prod"), "production"),
        (Some("production"), "prod"),
        (Some("stage"), "staging"),
        (Some("DEV"), "development"),
        (Some("blue"), "blue"),
    ] {
        assert_eq!(
            code(None, environment, here),
            Ok(2),
            "{environment:?} {here}"
        );
    }
    for (environment, here) in [
        ("staging", "production"),
        ("production", "staging"),
        ("dev", "production"),
        ("preview-77", "production"),
    ] {
        let said = code(None, Some(environment), here);
        assert_eq!(said, Err("other_environment"), "{environment} {here}");
    }
    // Whoever wrote a rule about it decided which one is meant; a rule about something else decides nothing.
    for (rule, expected) in [
        ("environment == 'staging'", Ok(2)),
        (
            "service == 'acme/shop' && environment in ['staging', 'blue']",
            Ok(2),
        ),
        (
            "service.contains('shop') && version != 'environment'",
            Err("other_environment"),
        ),
    ] {
        assert_eq!(
            code(Some(rule), Some("staging"), "production"),
            expected,
            "{rule}"
        );
    }
    let (_, said) = of(None, Some("staging"))
        .images_of(&shop("production"))
        .unwrap_err();
    for part in ["`staging`", "`production`", "environment == 'staging'"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn github_s_staging_is_not_production() {
    let trigger = json!({"name": "hub", "kind": "github",
        "routes": [{"application": "shop", "service": "acme/shop", "images": {"api": "shop:{version}"}}]});
    let body = |deployment: &str, status: Option<&str>| {
        json!({"repository": {"full_name": "acme/shop"},
            "deployment": {"id": 9, "ref": "v1.5.0", "environment": deployment},
            "deployment_status": {"id": 7, "state": "success", "created_at": "2026-01-05T10:00:00Z", "environment": status}})
    };
    let headers = [("x-github-event", "deployment_status")];
    let code = |body: &Value| {
        let images = told(&trigger, &headers, body).images_of(&shop("production"));
        images.map_err(|(code, _)| code).map(|images| images.len())
    };
    assert_eq!(code(&body("production", None)), Ok(1));
    assert_eq!(code(&body("staging", None)), Err("other_environment"));
    // A status may name another one than its deployment.
    assert_eq!(
        code(&body("production", Some("staging"))),
        Err("other_environment")
    );
    assert_eq!(code(&body("staging", Some("production"))), Ok(1));
}
