//! What metrics and probes say to whoever decides.

use domain::triage::Evidence;
use serde_json::{Value, json};

use crate::{cardboard::shop, client::Ask, house::House};

const PATH: &str = "/api/v1/decisions";

fn metric(name: &str) -> Value {
    json!({"name": name, "url": "http://prometheus:9090", "query": "failures / answers", "question": "many_users", "above": 0.1})
}

fn shop_with_metrics() -> Value {
    let mut shop = shop("shop");
    shop["metrics"] = json!([metric("error_share")]);
    shop
}

/// What a worker found.
fn found(question: &str, said: &str, source: &str, note: &str) -> Evidence {
    serde_json::from_value(
        json!({"question": question, "said": said, "source": source, "note": note,
        "by": "sternway:asker", "at": "2026-11-23T10:00:00Z"}),
    )
    .unwrap()
}

fn no(questions: &[&str]) -> Value {
    let answers = questions
        .iter()
        .map(|question| json!({"question": question, "said": "no"}));
    json!({"application": "shop", "answers": answers.collect::<Vec<_>>()})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_says_what_is_wrong_with_its_metrics() {
    let house = House::new().await;
    let fields = async |metrics: Value| {
        let mut shop = shop("shop");
        shop["metrics"] = metrics;
        let refused = house.application(&shop).await;
        assert_eq!(refused.code(), "invalid_fields", "{}", refused.text);
        let errors = refused.json()["errors"].as_array().unwrap().clone();
        assert!(
            errors
                .iter()
                .all(|error| !error["what"].as_str().unwrap().is_empty())
        );
        let field = |error: &Value| error["field"].as_str().unwrap().to_owned();
        errors.iter().map(field).collect::<Vec<_>>()
    };
    let with = |name: &str, value: Value| {
        let mut metric = metric("error_share");
        metric[name] = value;
        json!([metric])
    };
    let secret = json!("http://ana:secret@prometheus:9090");
    assert_eq!(fields(with("url", secret)).await, ["metrics[0].url"]);
    assert_eq!(
        fields(with("query", json!(" "))).await,
        ["metrics[0].query"]
    );
    let hole = json!("security_hole");
    assert_eq!(
        fields(with("question", hole)).await,
        ["metrics[0].question"]
    );
    assert_eq!(fields(with("below", json!(3))).await, ["metrics[0].above"]);
    assert_eq!(
        fields(with("above", Value::Null)).await,
        ["metrics[0].above"]
    );
    assert_eq!(
        fields(with("above", json!(1e300))).await,
        ["metrics[0].above"]
    );
    assert_eq!(
        fields(with("above", json!("1"))).await,
        ["metrics[0].above"]
    );
    assert_eq!(fields(with("name", json!("No"))).await, ["metrics[0].name"]);
    assert_eq!(fields(with("over", json!(3))).await, ["metrics[0].over"]);
    let twice = json!([metric("a"), metric("a")]);
    assert_eq!(fields(twice).await, ["metrics[1].name"]);
    let many: Vec<Value> = (0..9).map(|n| metric(&format!("m{n}"))).collect();
    assert_eq!(fields(json!(many)).await, ["metrics"]);
    house.application(&shop_with_metrics()).await.ok(201);
    let kept = house.get("/api/v1/applications/shop").await.ok(200);
    assert_eq!(kept["metrics"], json!([metric("error_share")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_metrics_and_probes_say_answers_and_is_kept_with_its_source() {
    let house = House::new().await;
    house.application(&shop_with_metrics()).await.ok(201);
    let up = found("down", "no", "probe", "checks: 1 of 1 green");
    let many = found(
        "many_users",
        "yes",
        "metric",
        "error_share: 0.31, above 0.1",
    );
    house.worker.engine.lock().unwrap().facts = vec![many.clone(), up.clone()];
    // The probes answer the first question; the metric is not asked about the two that follow.
    let open = house.post(PATH, &no(&[])).await.ok(200);
    assert_eq!(open["next_question"]["question"], "data_corruption");
    assert_eq!(open["answers"], json!([many, up]));
    assert_eq!(house.get(PATH).await.ok(200)["items"], json!([]));
    let asked = no(&["data_corruption", "security_hole"]);
    let decided = house.post(PATH, &asked).await.ok(201);
    assert_eq!(decided["advice"]["code"], "roll_back_soon");
    assert_eq!(decided["answers"][2], json!(many));
    let kept = house.get(PATH).await.ok(200)["items"].clone();
    assert_eq!(kept, json!([decided]), "as evidence, by whom and when");
    // A person's word counts before a metric's, and what settles everything asks nobody.
    let asked = no(&["data_corruption", "security_hole", "many_users"]);
    let open = house.post(PATH, &asked).await.ok(200);
    assert_eq!(open["next_question"]["question"], "only_slow");
    let asked = json!({"application": "shop", "answers": [{"question": "down", "said": "yes"}]});
    let decided = house.post(PATH, &asked).await.ok(201);
    assert_eq!(decided["answers"].as_array().unwrap().len(), 1);
    let over = json!({"application": "shop", "over": true});
    let ended = house.post(PATH, &over).await.ok(201);
    assert_eq!(ended["answers"], json!([]));
    // Nothing was started by any of it.
    assert_eq!(
        house.get("/api/v1/rollbacks").await.ok(200)["items"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_told_is_asked_of_a_person() {
    let house = House::new().await;
    house.application(&shop_with_metrics()).await.ok(201);
    let three = no(&["down", "data_corruption", "security_hole"]);
    let silent = found(
        "many_users",
        "unknown",
        "metric",
        "error_share: the query finds no series",
    );
    house.worker.engine.lock().unwrap().facts = vec![silent];
    let open = house.post(PATH, &three).await.ok(200);
    assert_eq!(open["next_question"]["question"], "many_users");
    assert_eq!(open["answers"][3]["said"], "unknown");
    // A person who does not know is the more severe branch, as ever.
    let mut asked = three.clone();
    let unknown = json!({"question": "many_users", "said": "unknown"});
    asked["answers"].as_array_mut().unwrap().push(unknown);
    let decided = house.post(PATH, &asked).await.ok(201);
    assert_eq!(decided["advice"]["code"], "roll_back_soon");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_it_goes_on_and_says_so() {
    let house = House::new().await;
    house.application(&shop_with_metrics()).await.ok(201);
    let said = |open: &Value, why: &str| {
        let notes = [
            format!("error_share: {why}"),
            format!("checks: nothing was asked, {why}"),
        ];
        let answers = open["answers"].as_array().unwrap();
        for (answer, note) in answers.iter().zip(notes) {
            assert_eq!(
                (&answer["said"], &answer["by"], &answer["note"]),
                (&json!("unknown"), &json!("sternway:asker"), &json!(note))
            );
        }
        assert_eq!(answers.len(), 2);
        assert_eq!(open["next_question"]["question"], "down");
    };
    house.worker.engine.lock().unwrap().away = Some("the store is away".to_owned());
    let open = house.post(PATH, &no(&[])).await.ok(200);
    said(&open, "the store is away");
    house.worker.goes_deaf().await;
    let open = house.post(PATH, &no(&[])).await.ok(200);
    said(&open, "no worker answered in time");
    // Somebody who knows nothing of it waits for nobody.
    let plain = json!({"name": "plain", "environment": "test", "project": "plain", "components": [{"name": "api"}]});
    house.application(&plain).await.ok(201);
    let asked = json!({"application": "plain", "answers": []});
    let before = std::time::Instant::now();
    let open = house.post(PATH, &asked).await.ok(200);
    assert_eq!(open["answers"], json!([]));
    assert!(before.elapsed() < std::time::Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_speak_in_the_name_of_what_sternway_found() {
    let house = House::new().await;
    house.application(&shop_with_metrics()).await.ok(201);
    let forged = json!({"application": "shop", "answers": [
        {"question": "down", "said": "no", "source": "metric", "by": "sternway:asker"}]});
    assert_eq!(house.post(PATH, &forged).await.code(), "invalid_fields");
    let token =
        json!({"name": "x", "kind": "person", "person": "sternway:asker", "role": "operator"});
    let refused = house
        .send(Ask::new("POST", "/api/v1/tokens").json(&token))
        .await;
    assert_eq!(refused.code(), "invalid_fields");
}
