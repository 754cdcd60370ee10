//! What people set against rollbacks that nobody asked for.

use serde_json::json;
use store::{Role, TokenKind};

use crate::{cardboard::shop, client::Ask, house::House};

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_says_who_and_why_and_only_to_whom_it_concerns() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let state = house.get("/api/v1/automatic").await.ok(200);
    assert_eq!(state, json!({"automatic": true, "off": []}));
    let path = "/api/v1/applications/shop/automatic";
    for reason in ["", "  ", &"x".repeat(501)] {
        let ask = Ask::new("PUT", path).json(&json!({"automatic": false, "reason": reason}));
        assert_eq!(house.send(ask).await.code(), "invalid_fields");
    }
    let off = json!({"automatic": false, "reason": "we move"});
    let answer = house.send(Ask::new("PUT", path).json(&off)).await.ok(200);
    assert_eq!(
        answer,
        json!({"application": "shop", "automatic": false, "stopping": []})
    );
    let state = house.get("/api/v1/automatic").await.ok(200);
    assert_eq!(state["automatic"], true);
    assert_eq!(state["off"][0]["reason"], "we move");
    let other = house
        .token("bob", TokenKind::Person, Role::Viewer, Some(&["blog"]))
        .await;
    let seen = Ask::new("GET", "/api/v1/automatic")
        .token(&other)
        .to(house.address)
        .await
        .ok(200);
    assert_eq!(seen["off"], json!([]));
    house
        .send(Ask::new("PUT", "/api/v1/automatic").json(&off))
        .await
        .ok(200);
    let seen = Ask::new("GET", "/api/v1/automatic")
        .token(&other)
        .to(house.address)
        .await
        .ok(200);
    assert_eq!(
        (&seen["automatic"], seen["off"].as_array().unwrap().len()),
        (&json!(false), 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_checked_field_by_field_and_says_when_it_opens() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let path = "/api/v1/freeze-windows";
    let bad = json!({"kind": "deny", "cron": "0 0 30 2 *", "duration_s": 59, "zone": "Mars/Olympus", "note": ""});
    let refused = house.post(path, &bad).await;
    assert_eq!(refused.code(), "invalid_fields");
    let errors = refused.json()["errors"].as_array().unwrap().clone();
    let fields: Vec<&str> = errors
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["cron", "zone", "duration_s", "note"]);
    let unknown = json!({"kind": "deny", "application": "nobody", "cron": "0 0 * * *", "duration_s": 60, "zone": "UTC"});
    assert_eq!(house.post(path, &unknown).await.code(), "not_found");
    let always = json!({"kind": "deny", "application": "shop", "cron": "0 0 * * *", "duration_s": 86400, "zone": "UTC"});
    let made = house.post(path, &always).await.ok(201);
    assert!(made["open_until"].is_string() && made["next_at"].is_string());
    let items = house.get(path).await.ok(200)["items"].clone();
    assert_eq!(items[0], made);
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    let other = house
        .token("bob", TokenKind::Person, Role::Operator, Some(&["blog"]))
        .await;
    assert_eq!(
        Ask::new("DELETE", &one)
            .token(&other)
            .to(house.address)
            .await
            .code(),
        "not_found"
    );
    house.send(Ask::new("DELETE", &one)).await.ok(204);
    assert_eq!(
        house.send(Ask::new("DELETE", &one)).await.code(),
        "not_found"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_asks_until_it_can_advise_and_keeps_who_said_what() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let path = "/api/v1/decisions";
    let mut ask = json!({"application": "shop", "answers": []});
    for (question, said) in [
        ("down", "no"),
        ("data_corruption", "no"),
        ("security_hole", "no"),
    ] {
        let open = house.post(path, &ask).await.ok(200);
        assert_eq!(open["next_question"]["question"], question);
        assert_eq!(open["id"], json!(null));
        let answers = ask["answers"].as_array_mut().unwrap();
        answers.push(json!({"question": question, "said": said}));
    }
    assert_eq!(
        house.get(path).await.ok(200)["items"],
        json!([]),
        "nothing is kept until then"
    );
    let many =
        json!({"question": "many_users", "said": "unknown", "source": "metric", "note": "no data"});
    ask["answers"].as_array_mut().unwrap().push(many);
    let decided = house.post(path, &ask).await.ok(201);
    assert_eq!(decided["advice"]["code"], "roll_back_soon");
    assert_eq!(
        decided["advice"]["commands"][0],
        "sternway rollback shop --good --reason critical_bug"
    );
    assert_eq!(decided["answers"][3]["source"], "metric");
    assert!(decided["answers"][3]["by"].is_string() && decided["answers"][3]["at"].is_string());
    let kept = house
        .get("/api/v1/decisions?application=shop")
        .await
        .ok(200)["items"]
        .clone();
    assert_eq!(kept, json!([decided]));
    assert_eq!(kept[0]["open"], true);
    // It is over: nothing is open any more.
    house
        .post(path, &json!({"application": "shop", "over": true}))
        .await
        .ok(201);
    let kept = house.get(path).await.ok(200)["items"].clone();
    assert_eq!(
        (&kept[0]["open"], &kept[1]["open"]),
        (&json!(false), &json!(false))
    );
    let by_alert = json!({"application": "shop", "severity": "critical"});
    assert_eq!(
        house.post(path, &by_alert).await.ok(201)["advice"]["code"],
        "roll_back_now"
    );
    let riddle = json!({"application": "shop", "severity": "purple"});
    assert_eq!(house.post(path, &riddle).await.code(), "invalid_fields");
    let both = json!({"application": "shop", "over": true, "severity": "critical"});
    assert_eq!(house.post(path, &both).await.code(), "invalid_fields");
    let service = house
        .token("service:bot", TokenKind::Service, Role::Operator, None)
        .await;
    let said = json!({"application": "shop", "answers": [{"question": "down", "said": "yes"}]});
    let refused = Ask::new("POST", path)
        .json(&said)
        .token(&service)
        .to(house.address)
        .await;
    assert_eq!(refused.json()["errors"][0]["field"], "answers[0].source");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_stop_what_goes_by_itself_and_not_let_it_go_again() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let service = house
        .token("ci", TokenKind::Service, Role::Operator, None)
        .await;
    let send = async |ask: Ask| ask.token(&service).to(house.address).await;
    let path = "/api/v1/applications/shop/automatic";
    let switch = |automatic: bool| {
        let body = json!({"automatic": automatic, "reason": "we move"});
        Ask::new("PUT", path).json(&body)
    };
    send(switch(false)).await.ok(200);
    assert_eq!(send(switch(true)).await.code(), "forbidden");
    let window = json!({"kind": "deny", "application": "shop", "cron": "0 0 * * *", "duration_s": 60, "zone": "UTC"});
    let made = send(Ask::new("POST", "/api/v1/freeze-windows").json(&window))
        .await
        .ok(201);
    let one = format!("/api/v1/freeze-windows/{}", made["id"].as_str().unwrap());
    assert_eq!(send(Ask::new("DELETE", &one)).await.code(), "forbidden");
    house.send(switch(true)).await.ok(200);
    house.send(Ask::new("DELETE", &one)).await.ok(204);
    // A window that is open for rollbacks lets them through where another one keeps them: that is a person's to say.
    let window = |kind: &str, rollbacks: bool| {
        let always = json!({"kind": kind, "application": "shop", "cron": "0 0 * * *", "duration_s": 86400,
            "zone": "UTC", "rollbacks": rollbacks});
        Ask::new("POST", "/api/v1/freeze-windows").json(&always)
    };
    let refused = send(window("allow", true)).await;
    assert_eq!(
        (refused.code().as_str(), refused.status),
        ("forbidden", 403)
    );
    let listed = house.get("/api/v1/freeze-windows").await.ok(200);
    assert_eq!(listed["items"], json!([]));
    for may in [window("allow", false), window("deny", true)] {
        send(may).await.ok(201);
    }
    house.send(window("allow", true)).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_names_guard_person_and_reason_and_some_guards_have_none() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let path = "/api/v1/applications/shop/overrides";
    for guard in domain::guard::Guard::ALL {
        let ask = json!({"guard": guard, "reason": "we know"});
        let reply = house.post(path, &ask).await;
        match guard.fixed() {
            None => {
                reply.ok(201);
            }
            Some(why) => {
                assert_eq!(reply.code(), "invalid_fields");
                let said = reply.json()["errors"][0]["what"].clone();
                assert!(said.as_str().unwrap().contains(why), "{said}");
            }
        }
    }
    for bad in [
        json!({"guard": "settle", "reason": " "}),
        json!({"guard": "settle", "reason": "x", "for_s": 59}),
        json!({"guard": "settle", "reason": "x", "for_s": 14401}),
    ] {
        assert_eq!(house.post(path, &bad).await.code(), "invalid_fields");
    }
    let items = house.get(path).await.ok(200)["items"].clone();
    let items = items.as_array().unwrap().clone();
    let free = domain::guard::Guard::ALL
        .iter()
        .filter(|guard| guard.fixed().is_none());
    assert_eq!(items.len(), free.count());
    assert!(
        items
            .iter()
            .all(|one| one["reason"] == "we know" && one["person"].is_string())
    );
    let service = house
        .token("ci", TokenKind::Service, Role::Operator, None)
        .await;
    let ask = Ask::new("POST", path).json(&json!({"guard": "settle", "reason": "x"}));
    let reply = ask.token(&service).to(house.address).await;
    assert_eq!(reply.code(), "forbidden");
    let one = format!("{path}/{}", items[0]["id"].as_str().unwrap());
    house.send(Ask::new("DELETE", &one)).await.ok(204);
    assert_eq!(
        house.send(Ask::new("DELETE", &one)).await.code(),
        "not_found"
    );
    let left = house.get(path).await.ok(200)["items"].clone();
    assert_eq!(left.as_array().unwrap().len(), items.len() - 1);
}
