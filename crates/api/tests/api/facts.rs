//! What metrics and probes say to whoever decides.

use std::time::Duration;

use domain::{name::TriggerName, triage::Evidence, trigger::Headers};
use serde_json::{Value, json};
use store::{DecisionOutcome, Desk, NewDecision, NewMessage};

use crate::{
    cardboard::shop,
    client::Ask,
    house::{House, psql},
};

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
    // A person's word counts before a metric's, and what settles everything asks nobody: nothing here could say that data is
    // damaged.
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

fn down_and(more: &[(&str, &str)]) -> Value {
    let said = |(question, said): &(&str, &str)| json!({"question": question, "said": said});
    let answers: Vec<Value> = [("down", "yes")].iter().chain(more).map(said).collect();
    json!({"application": "shop", "answers": answers})
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_data_is_damaged_is_asked_before_anybody_is_told_to_roll_back() {
    let house = House::new().await;
    let mut shop = shop_with_metrics();
    shop["metrics"][0]["question"] = json!("data_corruption");
    house.application(&shop).await.ok(201);
    let says = |said: &str| {
        let damaged = found("data_corruption", said, "metric", "error_share: 0.31");
        house.worker.engine.lock().unwrap().facts = vec![damaged.clone()];
        json!(damaged)
    };
    let damaged = says("yes");
    let decided = house.post(PATH, &down_and(&[])).await.ok(201);
    assert_eq!(decided["advice"]["code"], "stop_assess_roll_back");
    assert_eq!(decided["answers"][1], damaged, "it is kept as evidence");
    let doubtful = down_and(&[("data_corruption", "unknown")]);
    let decided = house.post(PATH, &doubtful).await.ok(201);
    assert_eq!(decided["advice"]["code"], "stop_assess_roll_back");
    // A person who denies it is believed, and one who says it needs no number: nobody is asked.
    for (said, advice) in [("no", "roll_back_now"), ("yes", "stop_assess_roll_back")] {
        let asked = down_and(&[("data_corruption", said)]);
        let decided = house.post(PATH, &asked).await.ok(201);
        assert_eq!(decided["advice"]["code"], advice);
        assert_eq!(decided["answers"].as_array().unwrap().len(), 2);
    }
    // What can not tell holds nothing up.
    let unknown = says("unknown");
    let decided = house.post(PATH, &down_and(&[])).await.ok(201);
    assert_eq!(decided["advice"]["code"], "roll_back_now");
    assert_eq!(decided["answers"][1], unknown);
    house.worker.engine.lock().unwrap().away = Some("the store is away".to_owned());
    let decided = house.post(PATH, &down_and(&[])).await.ok(201);
    assert_eq!(decided["advice"]["code"], "roll_back_now");
    assert_eq!(
        decided["answers"][1]["note"],
        "error_share: the store is away"
    );
}

/// An alert about the shop that is there, decided.
async fn alerts(house: &House, trigger: Value, severity: &str) {
    let name: TriggerName = trigger["name"].as_str().unwrap().parse().unwrap();
    let path = format!("/api/v1/triggers/{name}");
    house
        .send(Ask::new("PUT", &path).json(&trigger))
        .await
        .ok(201);
    let message = NewMessage {
        trigger: name.clone(),
        event_id: "e1".to_owned(),
        headers: Headers::default(),
        body: b"{}".to_vec(),
        settle: Duration::ZERO,
        desk: Desk::Intake,
    };
    assert!(house.store.inbox_put(message).await.unwrap());
    let new = NewDecision {
        application: Some("shop".parse().unwrap()),
        outcome: DecisionOutcome::Recorded,
        code: "x".to_owned(),
        said: "x".to_owned(),
        notice: json!({"episode": "Q1", "state": "firing", "title": "orders", "severity": severity,
            "started_at": "2026-11-23T10:00:00Z", "occurred_at": "2026-11-23T10:00:00Z"}),
        deployment: None,
        episode: Some("Q1".to_owned()),
        would_be: None,
        guards: None,
        next_action: None,
        plan: None,
        rollback: None,
    };
    let put = house.store.decisions_put(&name, "e1", vec![new]).await;
    assert!(put.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_says_that_data_is_damaged_is_heard_before_the_advice() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let signs = json!({"name": "pager", "kind": "pagerduty"});
    alerts(&house, signs, "data_loss").await;
    let decided = house.post(PATH, &down_and(&[])).await.ok(201);
    assert_eq!(decided["advice"]["code"], "stop_assess_roll_back");
    let note = "alert of pager says data_corruption: orders";
    let answers = decided["answers"].as_array().unwrap();
    assert!(answers.iter().any(|one| one["note"] == note), "{answers:?}");
    let denied = down_and(&[("data_corruption", "no")]);
    let decided = house.post(PATH, &denied).await.ok(201);
    assert_eq!(decided["advice"]["code"], "roll_back_now");
    assert_eq!(decided["answers"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_nobody_signed_is_left_to_a_person() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    let bearer = json!({"name": "am", "kind": "alertmanager"});
    alerts(&house, bearer, "critical").await;
    let open = house.post(PATH, &no(&[])).await.ok(200);
    assert_eq!(open["next_question"]["question"], "down");
    let note = "alert of am says down, and its sender does not sign what it says: orders";
    let answers = open["answers"].as_array().unwrap();
    let alert = answers.iter().find(|one| one["note"] == note);
    assert_eq!(alert.unwrap()["said"], "unknown", "{answers:?}");
    // One definition that nobody understands any more, and nobody is kept from deciding.
    let broken = "update trigger set definition = '{}'";
    let ended = psql(&house.database, broken).wait().unwrap();
    assert!(ended.success());
    let open = house.post(PATH, &no(&[])).await.ok(200);
    assert_eq!(open["answers"], json!([]));
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
    assert!(before.elapsed() < Duration::from_secs(4));
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
