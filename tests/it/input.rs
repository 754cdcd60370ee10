//! Bad input: each answer says what is wrong, where, and what to do; nothing is changed by any.

use serde_json::{Value, json};

use crate::house::{Application, Engine, House, asks::unique, seconds, until};

const JSON: (&str, &str) = ("content-type", "application/json");

fn definition(name: &str) -> Value {
    json!({ "name": name, "environment": "test", "project": name, "components": [{ "name": "api" }] })
}

/// Sends a body as it is, as the administrator.
fn send(
    house: &House,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> crate::house::wire::Reply {
    house
        .socket()
        .ask(method, path, headers, body, seconds(20))
        .unwrap()
}

#[test]
fn wrong_bodies_are_refused_with_the_field_that_is_wrong() {
    let house = House::new();
    let path = "/api/v1/applications/shop";
    let mut unknown = definition("shop");
    unknown["componants"] = json!([]);
    let mut wrong_type = definition("shop");
    wrong_type["watch_window_s"] = json!("long");
    let mut deep = definition("shop");
    deep["components"][0]["probes"] = json!([{ "kind": "http", "port": 0, "path": "/health" }]);
    for (body, field) in [
        (unknown, "componants"),
        (wrong_type, "watch_window_s"),
        (deep, "components[0].probes[0].port"),
        (json!({ "name": "shop" }), "environment"),
        (definition("other"), "name"),
    ] {
        let problem = house.ask("PUT", path, &body).problem(422, "invalid_fields");
        let fields: Vec<&Value> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| &error["field"])
            .collect();
        assert!(fields.contains(&&json!(field)), "{field}: {problem}");
    }
    let more = format!("{}x", definition("shop"));
    for body in ["", "{", "{]", "nul", &more] {
        send(&house, "PUT", path, &[JSON], body.as_bytes()).problem(400, "malformed_json");
    }
    let not_utf8 = send(&house, "PUT", path, &[JSON], b"{\"name\": \"\xff\xfe\"}");
    assert!(matches!(not_utf8.status, 400 | 422), "{}", not_utf8.text());
    let nested = "[".repeat(60_000);
    let nested = send(&house, "PUT", path, &[JSON], nested.as_bytes());
    assert!(matches!(nested.status, 400 | 422), "{}", nested.text());
    send(
        &house,
        "PUT",
        path,
        &[("content-type", "text/plain")],
        b"{}",
    )
    .problem(415, "media_type");
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(100_000));
    send(&house, "PUT", path, &[JSON], large.as_bytes()).problem(413, "body_too_large");
    house
        .ask("GET", path, &Value::Null)
        .problem(404, "not_found");
    house.ask("PUT", path, &definition("shop")).expect(201);
}

#[test]
fn what_does_not_exist_is_not_found() {
    let house = House::new();
    house.know(&definition("shop"));
    let nil = "0199c0de-7a11-7000-8000-000000000001";
    for (method, path) in [
        ("GET", "/api/v1/applications/nothing".to_owned()),
        ("GET", "/api/v1/applications/nothing/deployments".to_owned()),
        ("GET", "/api/v1/applications/nothing/releases".to_owned()),
        ("GET", "/api/v1/applications/shop/releases/9.9.9".to_owned()),
        ("GET", format!("/api/v1/rollbacks/{nil}")),
        ("GET", format!("/api/v1/rollbacks/{nil}/steps")),
        ("GET", format!("/api/v1/rollbacks/{nil}/artifacts")),
        ("POST", format!("/api/v1/rollbacks/{nil}/cancel")),
        ("GET", format!("/api/v1/deployments/{nil}")),
        ("GET", format!("/api/v1/artifacts/{nil}")),
        ("GET", "/api/v1/nothing".to_owned()),
    ] {
        house
            .ask(method, &path, &Value::Null)
            .problem(404, "not_found");
    }
    house
        .ask("POST", "/api/v1/applications/nothing/plans", &json!({}))
        .problem(404, "not_found");
    let digest = format!("sha256:{}", "0".repeat(64));
    for digest in [digest.as_str(), &"0".repeat(64)] {
        let reply = house.try_request(digest, &unique()).unwrap();
        assert!(matches!(reply.status, 412 | 422), "{}", reply.text());
    }
    house
        .ask("DELETE", "/api/v1/rollbacks", &Value::Null)
        .problem(405, "method_not_allowed");
    for path in [
        "/api/v1//applications",
        "/api/v1/applications/../me",
        "/api/v1/%61pplications",
        "/api/v1/applications/;x",
    ] {
        let reply = send(&house, "GET", path, &[], b"");
        assert!(
            matches!(reply.status, 400 | 404),
            "{path}: {}",
            reply.text()
        );
    }
    let bad_query = house.ask("GET", "/api/v1/rollbacks?limit=0", &Value::Null);
    bad_query.problem(400, "bad_parameter");
    house
        .ask("GET", "/api/v1/rollbacks?colour=red", &Value::Null)
        .problem(400, "bad_parameter");
    house
        .ask("GET", "/api/v1/rollbacks/42", &Value::Null)
        .problem(400, "bad_parameter");
}

#[test]
fn an_unknown_version_is_a_blocker_with_a_next_action() {
    let house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "unknown");
    house.broken(&mut shop);
    let problem = house
        .ask_plan(&shop, &json!({ "version": "9.9.9" }))
        .problem(409, "plan_blocked");
    assert_eq!(
        problem["blockers"][0]["code"], "unknown_version",
        "{problem}"
    );
    assert!(
        problem["blockers"][0]["next_action"]
            .as_str()
            .is_some_and(|text| text.contains("sternway versions")),
        "{problem}"
    );
    house
        .ask_plan(&shop, &json!("newest"))
        .problem(422, "invalid_fields");
    let digest = house.plan(&shop, &json!("previous"));
    let body = json!({ "plan_digest": digest, "reason": "boredom" });
    let headers = [("idempotency-key", "k")];
    house
        .try_ask("POST", "/api/v1/rollbacks", &headers, &body)
        .unwrap()
        .problem(422, "invalid_fields");
    let body = json!({ "plan_digest": digest, "reason": "security" });
    house
        .try_ask("POST", "/api/v1/rollbacks", &[], &body)
        .unwrap()
        .problem(400, "idempotency_key");
}

#[test]
fn changes_are_made_against_what_was_read() {
    let house = House::new();
    let path = "/api/v1/applications/shop";
    let first = house.ask("PUT", path, &definition("shop")).expect(201);
    let etag = first.header("etag").unwrap().to_owned();
    let mut changed = definition("shop");
    changed["watch_window_s"] = json!(60);
    house
        .ask("PUT", path, &changed)
        .problem(428, "revision_required");
    let put = |etag: &str, body: &Value| {
        house
            .try_ask("PUT", path, &[("if-match", etag)], body)
            .unwrap()
    };
    put(&etag, &changed).expect(200);
    changed["watch_window_s"] = json!(61);
    put(&etag, &changed).problem(412, "revision_stale");
}

#[test]
fn nobody_comes_in_without_a_token_and_no_token_does_more_than_its_role() {
    let house = House::new();
    house.know(&definition("shop"));
    house.know(&definition("bank"));
    let ask = |method: &str, path: &str| {
        house
            .tcp()
            .ask(method, path, &[], &[], seconds(20))
            .unwrap()
    };
    for path in [
        "/api/v1/applications",
        "/api/v1/applications/shop",
        "/api/v1/rollbacks",
        "/api/v1/me",
        "/api/v1/tokens",
    ] {
        let reply = ask("GET", path);
        assert!(reply.header("www-authenticate").is_some());
        reply.problem(401, "unauthenticated");
    }
    for path in ["/health/live", "/health/ready", "/version"] {
        ask("GET", path).expect(200);
    }
    let forged = "rb_srv_000000000000000000000000000000_000000";
    house
        .ask_with(forged, "GET", "/api/v1/me", &Value::Null)
        .problem(401, "unauthenticated");

    let viewer = house.token("viewer", None, &[]);
    house
        .ask_with(&viewer, "GET", "/api/v1/applications/shop", &Value::Null)
        .expect(200);
    house
        .ask_with(
            &viewer,
            "POST",
            "/api/v1/applications/shop/plans",
            &json!({}),
        )
        .problem(403, "forbidden");
    let operator = house.token("operator", None, &["shop"]);
    house
        .ask_with(
            &operator,
            "PUT",
            "/api/v1/applications/shop",
            &definition("shop"),
        )
        .problem(403, "forbidden");
    house
        .ask_with(&operator, "GET", "/api/v1/tokens", &Value::Null)
        .problem(403, "forbidden");
    house
        .ask_with(&operator, "GET", "/api/v1/applications/shop", &Value::Null)
        .expect(200);
    // What a token may not see does not exist for it.
    let hidden = house
        .ask_with(&operator, "GET", "/api/v1/applications/bank", &Value::Null)
        .problem(404, "not_found");
    let absent = house
        .ask_with(&operator, "GET", "/api/v1/applications/none", &Value::Null)
        .problem(404, "not_found");
    assert_eq!(hidden["title"], absent["title"]);

    // A revoked token is refused at once.
    let listed = house.get("/api/v1/tokens");
    let row = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["role"] == "viewer")
        .unwrap();
    let revoked = house.ask(
        "DELETE",
        &format!("/api/v1/tokens/{}", row["id"].as_str().unwrap()),
        &Value::Null,
    );
    assert!(matches!(revoked.status, 200 | 204), "{}", revoked.text());
    house
        .ask_with(&viewer, "GET", "/api/v1/me", &Value::Null)
        .problem(401, "unauthenticated");
    let dump =
        house.sql("select count(*) from api_token where encode(hash, 'escape') like '%rb_%'");
    assert_eq!(dump, "0");
}

#[test]
fn a_plan_that_needs_a_second_person_waits_for_one() {
    let house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "approval");
    house.broken(&mut shop);
    let mut definition = shop.definition();
    definition["approval"] = json!(true);
    house.correct(&definition);
    let ana = house.token("admin", Some("ana"), &[]);
    let ben = house.token("approver", Some("ben"), &[]);
    let robot = house.token("approver", None, &[]);
    let digest = house.plan(&shop, &json!("last_known_good"));
    let body = json!({ "plan_digest": digest, "reason": "critical_bug" });
    let before = shop.running();
    let accepted = house
        .ask_with(&ana, "POST", "/api/v1/rollbacks", &body)
        .expect(202)
        .json();
    assert_eq!(accepted["phase"], "awaiting_approval", "{accepted}");
    let id = accepted["id"].as_str().unwrap();
    let path = format!("/api/v1/rollbacks/{id}/approval");
    let yes = json!({ "decision": "approve", "plan_digest": digest });

    house
        .ask_with(&ana, "POST", &path, &yes)
        .problem(403, "self_approval");
    assert_eq!(
        house.ask_with(&robot, "POST", &path, &yes).status,
        403,
        "a service approves nothing"
    );
    assert_eq!(
        shop.running(),
        before,
        "nothing was touched without the yes"
    );
    house.ask_with(&ben, "POST", &path, &yes).expect(202);
    house.verdict(id, "rolled_back");
    shop.serves_alone("1.4.2");
}

#[test]
fn two_persons_approve_what_needs_two_and_one_may_break_the_glass() {
    let house = House::new();
    let mut shop = Application::shop(&Engine::of_this_machine(), "twoyes");
    house.broken(&mut shop);
    let mut definition = shop.definition();
    definition["approval"] = json!(true);
    definition["approvers"] = json!(2);
    house.correct(&definition);
    let ana = house.token("admin", Some("ana"), &[]);
    let [ben, also_ben, eva] =
        ["ben", "ben", "eva"].map(|person| house.token("approver", Some(person), &[]));
    let digest = house.plan(&shop, &json!("last_known_good"));
    let request = |more: &Value| {
        let mut body = json!({ "plan_digest": digest, "reason": "critical_bug" });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        house.ask_with(&ana, "POST", "/api/v1/rollbacks", &body)
    };
    let ticked = json!({ "ticked": ["stakeholders_notified"] });
    let id = request(&ticked).expect(202).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v1/rollbacks/{id}/approval");
    let yes = json!({ "decision": "approve", "plan_digest": digest });
    let before = shop.running();
    house.ask_with(&ben, "POST", &path, &yes).expect(202);
    until("the first yes is counted", seconds(30), || {
        (house.rollback(&id)["approved_by"] == json!(["ben"])).then_some(())
    });
    // The same person again, with another token: answered alike, counted once.
    for token in [&ben, &also_ben] {
        house.ask_with(token, "POST", &path, &yes).expect(202);
    }
    let waits = house.rollback(&id);
    assert_eq!(waits["phase"], "awaiting_approval", "{waits}");
    assert_eq!(waits["ticked"], json!(["stakeholders_notified"]), "{waits}");
    assert_eq!(shop.running(), before, "one yes touches nothing");
    house.ask_with(&eva, "POST", &path, &yes).expect(202);
    let ended = house.verdict(&id, "rolled_back");
    assert_eq!(ended["approved_by"], json!(["ben", "eva"]), "{ended}");
    shop.serves_alone("1.4.2");

    house.release_hold(&shop, "1.5.0");
    house.deploy(&mut shop, "1.5.0");
    let digest = house.plan(&shop, &json!({ "version": "1.4.2" }));
    let glass = |token: &str, why: &str| {
        let body = json!({ "plan_digest": digest, "reason": "critical_bug", "break_glass": why });
        house.ask_with(token, "POST", "/api/v1/rollbacks", &body)
    };
    let robot = house.token("operator", None, &[]);
    let why = "everybody else is on a plane";
    for (token, why) in [(&ana, "hurry"), (&robot, why)] {
        let problem = glass(token, why).problem(422, "invalid_fields");
        assert_eq!(problem["errors"][0]["field"], "break_glass", "{problem}");
    }
    let id = glass(&ana, why).expect(202).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    house.verdict(&id, "rolled_back");
    let first = house.log_of(&id).swap_remove(0);
    assert_eq!(first["break_glass"], why, "{first}");
    let audit = format!("select count(*) from audit_entry where detail::text like '%{why}%'");
    assert_eq!(house.sql(&audit), "1");
}
