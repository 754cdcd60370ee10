//! Applications, deployments, releases and holds.

use serde_json::json;

use crate::{cardboard::shop, client::Ask, house::House};

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_changed_only_against_the_revision_that_was_read() {
    let house = House::new().await;
    let made = house.application(&shop("shop")).await;
    assert_eq!((made.status, made.header("etag")), (201, "\"1\""));
    let path = "/api/v1/applications/shop";
    let read = house.get(path).await;
    assert_eq!(read.header("etag"), "\"1\"");
    let mut definition = read.ok(200);
    definition["watch_window_s"] = json!(60);
    let put = |etag: Option<&str>| {
        let ask = Ask::new("PUT", path).json(&definition);
        if let Some(etag) = etag {
            ask.header("if-match", etag)
        } else {
            ask
        }
    };
    let blind = house.send(put(None)).await;
    assert_eq!(
        (blind.code().as_str(), blind.status),
        ("revision_required", 428)
    );
    assert_eq!(
        house.send(put(Some("\"7\""))).await.code(),
        "revision_stale"
    );
    assert_eq!(house.send(put(Some("7"))).await.code(), "revision_stale");
    for broken in ["\"1", "1\"", "", "W/\"1\"", "one"] {
        assert_eq!(house.send(put(Some(broken))).await.code(), "bad_parameter");
    }
    let changed = house.send(put(Some("\"1\""))).await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""));
    assert_eq!(house.send(put(Some("\"1\""))).await.status, 412);
    assert_eq!(house.send(Ask::new("DELETE", path)).await.status, 428);
    assert_eq!(
        house
            .send(Ask::new("DELETE", path).header("if-match", "\"1\""))
            .await
            .status,
        412
    );
    house
        .send(Ask::new("DELETE", path).header("if-match", "\"2\""))
        .await
        .ok(204);
    assert_eq!(house.get(path).await.code(), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_definition_is_refused_with_every_field() {
    let house = House::new().await;
    let mut definition = shop("shop");
    definition["engine"] = json!("tcp://10.0.0.1:2375");
    definition["components"] = json!([{"name": "api"}, {"name": "api"}]);
    let reply = house.application(&definition).await;
    assert_eq!(reply.code(), "invalid_fields");
    let fields: Vec<String> = reply.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["field"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(fields, ["engine", "components[1].name"]);
    let misnamed = house
        .send(Ask::new("PUT", "/api/v1/applications/shap").json(&shop("shop")))
        .await;
    assert_eq!(misnamed.json()["errors"][0]["field"], "name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_recorded_once_and_an_unknown_image_is_named() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let path = "/api/v1/applications/shop/deployments";
    let body = json!({"version": "1.5.0", "commit": "c0ffee1", "notes": "n", "images": {"api": "shop-api:1.5.0"}});
    let first = house.post(path, &body).await;
    let location = first.header("location").to_owned();
    let first = first.ok(201);
    assert_eq!(first["state"], "watching");
    assert!(
        first["components"]["api"]["image"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    assert_eq!(house.post(path, &body).await.ok(200)["id"], first["id"]);
    assert_eq!(house.get(&location).await.ok(200)["id"], first["id"]);

    let keyed = |version: &str| {
        let body = json!({"version": version, "images": {"api": format!("shop-api:{version}")}});
        Ask::new("POST", path)
            .header("idempotency-key", "job-7")
            .json(&body)
    };
    let with_key = house.send(keyed("1.5.0")).await.ok(201);
    assert_eq!(
        house.send(keyed("1.5.0")).await.ok(200)["id"],
        with_key["id"]
    );
    assert_eq!(
        house.send(keyed("1.6.0")).await.code(),
        "idempotency_key_reused"
    );

    let gone = json!({"version": "2.0.0", "images": {"api": "shop-api:gone"}});
    let refused = house.post(path, &gone).await;
    assert_eq!(
        (refused.code().as_str(), refused.status),
        ("image_unknown", 422)
    );
    assert_eq!(refused.json()["errors"][0]["field"], "images.api");
    let odd = json!({"version": "2.0.0", "commit": "X", "images": {"db": "x", "api": "-rf"}});
    let odd = house.post(path, &odd).await.json();
    let fields: Vec<&str> = odd["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["images.api", "images.db", "commit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_leads_to_nothing_says_so_with_what_to_do() {
    let house = House::new().await;
    let mut definition = shop("shop");
    definition["components"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "worker"}));
    house.application(&definition).await.ok(201);
    let first = house.deploy("shop", "1.5.0").await;
    let warnings = first["warnings"].as_array().unwrap();
    let left_out = warnings[0].as_str().unwrap();
    assert!(
        warnings.len() == 1 && left_out.starts_with("worker was left out"),
        "{first}"
    );

    let id = first["id"].as_str().unwrap().parse().unwrap();
    let (bad, why) = (domain::ledger::Health::Bad, "GET / of api: 500");
    house.worker.judge(id, bad, Some(why)).await;
    let body = json!({"version": "1.5.0", "images": {"api": "shop-api:1.5.0"}});
    let path = "/api/v1/applications/shop/deployments";
    let again = house.post(path, &body).await.ok(200);
    let said = again["warnings"][1].as_str().unwrap();
    assert!(
        said.contains("judged bad (GET / of api: 500)") && said.contains("--key"),
        "{again}"
    );
    let list = house
        .get("/api/v1/applications/shop/releases")
        .await
        .ok(200);
    assert_eq!(
        (&list["items"][0]["state"], &list["items"][0]["said"]),
        (&json!("bad"), &json!(why))
    );
    let anew = Ask::new("POST", path)
        .header("idempotency-key", "job-8")
        .json(&body);
    let anew = house.send(anew).await.ok(201);
    assert_eq!(
        (&anew["state"], anew["warnings"].as_array().unwrap().len()),
        (&json!("watching"), 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_kept_while_the_worker_is_away() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    house.worker.goes_deaf().await;
    let body = json!({"version": "1.5.0", "images": {"api": "shop-api:1.5.0"}});
    let recorded = house
        .post("/api/v1/applications/shop/deployments", &body)
        .await
        .ok(201);
    assert_eq!(recorded["state"], "resolving");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_to_the_end() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    for version in ["1.3.0", "1.4.2", "1.5.0"] {
        house.deploy("shop", version).await;
    }
    let (mut path, mut seen) = (
        "/api/v1/applications/shop/deployments?limit=2".to_owned(),
        Vec::new(),
    );
    loop {
        let page = house.get(&path).await;
        let link = page.header("link").to_owned();
        let body = page.ok(200);
        seen.extend(
            body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["version"].as_str().unwrap().to_owned()),
        );
        let Some(next) = link
            .strip_prefix('<')
            .and_then(|link| link.strip_suffix(">; rel=\"next\""))
        else {
            break;
        };
        assert!(next.contains(body["next"].as_str().unwrap()));
        next.clone_into(&mut path);
    }
    assert_eq!(seen, ["1.5.0", "1.4.2", "1.3.0"]);
    for bad in [
        "limit=0",
        "limit=101",
        "limit=x",
        "after=x",
        "state=nice",
        "limit=1&limit=2",
        "nonsense=1",
    ] {
        let reply = house
            .get(&format!("/api/v1/applications/shop/deployments?{bad}"))
            .await;
        assert_eq!(
            (reply.code().as_str(), reply.status),
            ("bad_parameter", 400),
            "{bad}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_say_what_is_known_of_each_and_what_stands_in_the_way() {
    let house = House::new().await;
    house.with_history("shop").await;
    let list = house
        .get("/api/v1/applications/shop/releases?readiness=true")
        .await
        .ok(200);
    let rows = list["items"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["version"], &rows[0]["present"]),
        (&json!("1.5.0"), &json!(true))
    );
    assert_eq!(
        (&rows[1]["last_known_good"], &rows[1]["blockers"]),
        (&json!(true), &json!([]))
    );
    let hold = "/api/v1/applications/shop/releases/1.4.2/hold";
    house
        .send(Ask::new("PUT", hold).json(&json!({"reason": "loses orders", "insecure": true})))
        .await
        .ok(200);
    let details = house
        .get("/api/v1/applications/shop/releases/1.4.2")
        .await
        .ok(200);
    assert!(
        details["release"]["hold"].is_string() || details["release"]["insecure"].is_string(),
        "{details}"
    );
    let blocked = house
        .post("/api/v1/applications/shop/plans", &json!({}))
        .await;
    assert_eq!(blocked.json()["blockers"][0]["code"], "no_known_good");
    let released = house.send(Ask::new("DELETE", hold)).await.ok(200);
    assert_eq!(
        (&released["held"], &released["pins"]),
        (&json!(false), &json!([])),
        "no rollback pinned anything"
    );
    assert_eq!(
        house.send(Ask::new("DELETE", hold)).await.code(),
        "not_found"
    );
    let absent =
        Ask::new("PUT", "/api/v1/applications/shop/releases/9/hold").json(&json!({"reason": "x"}));
    assert_eq!(house.send(absent).await.code(), "not_found");
    assert_eq!(
        house
            .get("/api/v1/applications/shop/releases/9")
            .await
            .code(),
        "not_found"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_is_looked_up_and_stores_nothing() {
    let house = House::new().await;
    let found = house
        .post("/api/v1/adoptions", &json!({"project": "shop"}))
        .await
        .ok(200);
    assert_eq!(
        (&found["application"]["name"], &found["notes"]),
        (&json!("shop"), &json!(["two replicas"]))
    );
    assert_eq!(house.get("/api/v1/applications/shop").await.status, 404);
    let nothing = house
        .post("/api/v1/adoptions", &json!({"project": "nothing"}))
        .await;
    assert_eq!(
        (nothing.code().as_str(), nothing.status),
        ("not_adoptable", 409)
    );
    assert!(
        nothing.json()["detail"]
            .as_str()
            .unwrap()
            .contains("there is `shop`")
    );
}
