//! Who may do what, for every route of the description. A route that is not in the table fails the test.

use serde_json::{Value, json};
use store::{Role, TokenKind};

use crate::{
    cardboard::{now, shop},
    client::Ask,
    house::House,
    things::{Things, things},
};

/// What the route's success and its object are.
struct Row {
    operation: &'static str,
    act: Act,
    /// Whether the path names something of the application `shop`.
    of_application: bool,
    /// A request that is allowed and changes little.
    body: fn() -> Option<Value>,
    header: Option<(&'static str, &'static str)>,
    /// The status for who may do it.
    allowed: u16,
}

#[derive(Clone, Copy, PartialEq)]
enum Act {
    Open,
    /// Nobody with a token.
    Nobody,
    Read,
    Operate,
    OperateAll,
    Approve,
    Administer,
    AdministerAll,
}

const fn row(operation: &'static str, act: Act, of_application: bool, allowed: u16) -> Row {
    Row {
        operation,
        act,
        of_application,
        body: none,
        header: None,
        allowed,
    }
}

fn none() -> Option<Value> {
    None
}

fn table() -> Vec<Row> {
    use Act::{Administer, AdministerAll, Approve, Open, Operate, Read};
    let mut rows = vec![
        row("list_applications", Read, false, 200),
        row("get_application", Read, true, 200),
        Row {
            body: || Some(shop("shop")),
            header: Some(("if-match", "*")),
            ..row("put_application", Administer, true, 200)
        },
        // Without `if-match`: allowed, and refused for its content, so that it stays for the next request.
        row("remove_application", Administer, true, 428),
        Row {
            body: || Some(json!({"project": "shop"})),
            ..row("look_at_project", AdministerAll, false, 200)
        },
        row("list_deployments", Read, true, 200),
        Row {
            body: || Some(json!({"version": "1.5.0", "images": {"api": "shop-api:1.5.0"}})),
            ..row("record_deployment", Operate, true, 200)
        },
        row("get_deployment", Read, true, 200),
        Row {
            body: || Some(json!({"application": "shop", "version": "1.5.0"})),
            ..row("check_deployment", Read, true, 200)
        },
        row("list_returns", Read, true, 200),
        row("list_releases", Read, true, 200),
        row("get_release", Read, true, 200),
        // It has no source: that is the answer to those who may ask.
        row("list_tags", Operate, true, 409),
        Row {
            body: || Some(json!({"reason": "slow"})),
            ..row("hold_release", Operate, true, 200)
        },
        row("free_release", Operate, true, 200),
        Row {
            body: || Some(json!({"target": {"version": "1.3.0"}})),
            ..row("make_plan", Operate, true, 200)
        },
        row("get_plan", Read, true, 200),
        row("list_rollbacks", Read, false, 200),
        // The plan is not known: that is the answer to those who may ask.
        Row {
            body: || Some(json!({"plan_digest": "0".repeat(64), "reason": "security"})),
            header: Some(("idempotency-key", "k")),
            ..row("request_rollback", Operate, false, 412)
        },
        row("get_rollback", Read, true, 200),
        // It has ended.
        row("cancel_rollback", Operate, true, 409),
        row("list_builds", Operate, true, 200),
        row("list_steps", Read, true, 200),
        row("stream_events", Read, true, 200),
        Row {
            body: || Some(json!({"decision": "approve", "plan_digest": "0".repeat(64)})),
            ..row("decide_rollback", Approve, true, 412)
        },
        row("list_artifacts", Read, true, 200),
        // There is none: the same answer as for one that is not visible.
        row("get_artifact", Operate, false, 404),
        row("list_tokens", AdministerAll, false, 200),
        Row {
            body: || Some(json!({"name": "x", "kind": "service", "role": "viewer"})),
            ..row("create_token", AdministerAll, false, 201)
        },
        row("revoke_token", AdministerAll, false, 404),
        row("get_me", Read, false, 200),
        row("get_live", Open, false, 200),
        row("get_ready", Open, false, 200),
        row("get_version", Open, false, 200),
        row("get_metrics", Open, false, 200),
        row("get_openapi", Open, false, 200),
    ];
    rows.extend(of_triggers());
    rows
}

fn of_triggers() -> Vec<Row> {
    use Act::{AdministerAll, Nobody, Open, Read};
    vec![
        row("list_triggers", AdministerAll, false, 200),
        row("get_trigger", AdministerAll, false, 200),
        Row {
            body: || Some(json!({"name": "alerts", "kind": "alertmanager"})),
            header: Some(("if-match", "*")),
            ..row("put_trigger", AdministerAll, false, 200)
        },
        // Without `if-match`: allowed, and refused for its content, so that it stays for the next request.
        row("remove_trigger", AdministerAll, false, 428),
        Row {
            body: || Some(json!({})),
            ..row("rotate_secret", AdministerAll, false, 201)
        },
        // No token of ours is the secret of a trigger: `hooks.rs` shows who is let in.
        Row {
            body: || Some(json!({})),
            ..row("receive_message", Nobody, false, 401)
        },
        // Senders ask it before they have sent anything: it tells and permits nothing.
        Row {
            header: Some(("webhook-request-origin", "x.example.com")),
            ..row("agree_to_messages", Open, false, 404)
        },
        Row {
            body: || Some(json!({"body": "{}"})),
            ..row("explain_message", AdministerAll, false, 200)
        },
        row("list_messages", Read, false, 200),
        row("list_chat_persons", AdministerAll, false, 200),
        Row {
            body: || Some(json!({"person": "ana", "role": "operator"})),
            ..row("map_chat_person", AdministerAll, false, 200)
        },
        // There is none: that is the answer to those who may ask.
        row("unmap_chat_person", AdministerAll, false, 404),
        Row {
            body: || Some(json!({"token": "xoxb-0123456789"})),
            ..row("set_chat_bot", AdministerAll, false, 204)
        },
    ]
}

/// The rows of what keeps rollbacks from starting by themselves.
fn of_guards() -> Vec<Row> {
    use Act::{Operate, OperateAll, Read};
    vec![
        row("get_automatic", Read, false, 200),
        Row {
            body: || Some(json!({"automatic": true, "reason": "x"})),
            ..row("set_automatic", OperateAll, false, 200)
        },
        Row {
            body: || Some(json!({"automatic": true, "reason": "x"})),
            ..row("set_application_automatic", Operate, true, 200)
        },
        row("list_decisions", Read, false, 200),
        // Not answered yet: nothing is kept.
        Row {
            body: || Some(json!({"application": "shop"})),
            ..row("decide", Operate, true, 200)
        },
        row("list_windows", Read, false, 200),
        Row {
            body: || {
                Some(json!({"kind": "deny", "cron": "0 0 * * *", "duration_s": 60, "zone": "UTC"}))
            },
            ..row("add_window", OperateAll, false, 201)
        },
        // There is none: the same answer as for one that is not visible.
        row("remove_window", Operate, false, 404),
        row("list_overrides", Read, true, 200),
        Row {
            body: || Some(json!({"guard": "settle", "reason": "x"})),
            ..row("add_override", Operate, true, 201)
        },
        row("end_override", Operate, true, 404),
    ]
}

fn may(role: Role, act: Act) -> bool {
    match act {
        Act::Open | Act::Nobody | Act::Read => true,
        Act::Operate | Act::OperateAll => role != Role::Viewer,
        Act::Approve => role == Role::Approver || role == Role::Admin,
        Act::Administer | Act::AdministerAll => role == Role::Admin,
    }
}

struct Route {
    method: String,
    path: String,
    operation: String,
}

fn routes() -> Vec<Route> {
    let document = serde_json::to_value(api::openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let operation = operation["operationId"].as_str().unwrap().to_owned();
            routes.push(Route {
                method: method.to_uppercase(),
                path: path.clone(),
                operation,
            });
        }
    }
    routes
}

async fn status(
    house: &House,
    things: &Things,
    route: &Route,
    row: &Row,
    token: Option<&str>,
) -> u16 {
    let mut ask = Ask::new(&route.method, &things.path(&route.path));
    if let Some(body) = (row.body)() {
        ask = ask.json(&body);
    }
    if let Some((name, value)) = row.header {
        ask = ask.header(name, value);
    }
    if let Some(token) = token {
        ask = ask.token(token);
    }
    let reply = ask.to(house.address).await;
    if reply.status >= 400 {
        reply.code();
    }
    reply.status
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_exactly_whom_it_should() {
    let house = House::new().await;
    let things = things(&house).await;
    let table: Vec<Row> = table().into_iter().chain(of_guards()).collect();
    let routes = routes();
    let refused = refused_tokens(&house).await;
    assert_eq!(routes.len(), table.len(), "a row without a route");
    for route in &routes {
        let row = table.iter().find(|row| row.operation == route.operation);
        let row = row.unwrap_or_else(|| panic!("{} is in no row of the table", route.operation));
        roles(&house, &things, route, row).await;
        strangers(&house, &things, route, row, &refused).await;
    }
}

async fn roles(house: &House, things: &Things, route: &Route, row: &Row) {
    for role in [Role::Viewer, Role::Operator, Role::Approver, Role::Admin] {
        let expected = if may(role, row.act) { row.allowed } else { 403 };
        let token = house.token("somebody", TokenKind::Person, role, None).await;
        // A hold is there to be released.
        if row.operation == "free_release" && expected == 200 {
            let path = "/api/v1/applications/shop/releases/1.3.0/hold";
            house
                .send(Ask::new("PUT", path).json(&json!({"reason": "slow"})))
                .await
                .ok(200);
        }
        let got = status(house, things, route, row, Some(&token)).await;
        assert_eq!(got, expected, "{} as {role:?}", row.operation);

        let elsewhere = house
            .token("somebody", TokenKind::Person, role, Some(&["other"]))
            .await;
        let expected = match (may(role, row.act), row.act) {
            (_, Act::Open | Act::Nobody) => row.allowed,
            (false, _) | (true, Act::AdministerAll | Act::OperateAll) => 403,
            (true, _) if row.of_application => 404,
            (true, _) => row.allowed,
        };
        let got = status(house, things, route, row, Some(&elsewhere)).await;
        assert_eq!(
            got, expected,
            "{} as {role:?} of another application",
            row.operation
        );
    }
    let service = house
        .token("service:ci", TokenKind::Service, Role::Admin, None)
        .await;
    if row.act == Act::Approve {
        assert_eq!(
            status(house, things, route, row, Some(&service)).await,
            403,
            "a service approved"
        );
    }
}

/// Tokens of which none opens anything.
async fn refused_tokens(house: &House) -> Vec<Option<String>> {
    let expired = house
        .token_until("old", TokenKind::Person, Role::Admin, None, now())
        .await;
    let revoked = house
        .token("gone", TokenKind::Person, Role::Admin, None)
        .await;
    let found = house
        .store
        .token_find(&api::Token::parse(&revoked).unwrap().hash())
        .await
        .unwrap()
        .unwrap();
    house
        .store
        .token_revoke(found.id, &"test".parse().unwrap())
        .await
        .unwrap();
    let unknown = api::Token::generate(api::TokenType::Person)
        .unwrap()
        .reveal()
        .to_owned();
    let mistyped = format!("{}-", &house.admin[..house.admin.len() - 1]);
    vec![
        None,
        Some(expired),
        Some(revoked),
        Some(unknown),
        Some(mistyped),
        Some(String::new()),
        Some("secret".to_owned()),
    ]
}

async fn strangers(
    house: &House,
    things: &Things,
    route: &Route,
    row: &Row,
    tokens: &[Option<String>],
) {
    let expected = if row.act == Act::Open {
        row.allowed
    } else {
        401
    };
    for token in tokens {
        let got = status(house, things, route, row, token.as_deref()).await;
        assert_eq!(got, expected, "{} with {token:?}", row.operation);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_socket_needs_no_token() {
    let house = House::new().await;
    let me = Ask::new("GET", "/api/v1/me")
        .to_socket(&house.socket)
        .await
        .ok(200);
    assert_eq!(
        (me["kind"].as_str(), me["role"].as_str()),
        (Some("local"), Some("admin"))
    );
    assert!(me["actor"].as_str().unwrap().starts_with("local:"), "{me}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&house.socket).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let wrong = Ask::new("GET", "/api/v1/me")
        .token("rb_x")
        .to_socket(&house.socket)
        .await;
    assert_eq!(wrong.code(), "unauthenticated");
}
