//! What a real Prometheus and real probes say to the runbook's questions, for whoever decides.

use serde_json::{Value, json};

use crate::house::{Application, Client, Engine, House, Watchmen, seconds, until, wire::Reply};

/// The answer to a question, with the given beginning of its note.
#[track_caller]
fn said(reply: &Value, source: &str, note: &str) -> Value {
    let answers = reply["answers"].as_array().expect("a decision has answers");
    let begins = |answer: &&Value| {
        answer["note"]
            .as_str()
            .is_some_and(|said| said.starts_with(note))
    };
    let found = answers.iter().find(begins);
    let found = found.unwrap_or_else(|| panic!("nothing says `{note}`: {reply:#}"));
    assert_eq!(found["source"], source, "{found}");
    assert_eq!(found["by"], "sternway:asker", "{found}");
    assert!(found["at"].is_string(), "{found}");
    found["said"].clone()
}

fn decide(house: &House, name: &str, noes: &[&str]) -> Reply {
    let answers: Vec<Value> = noes
        .iter()
        .map(|question| json!({"question": question, "said": "no"}))
        .collect();
    let asked = json!({"application": name, "answers": answers});
    house.ask("POST", "/api/v1/decisions", &asked)
}

#[test]
fn a_real_prometheus_says_whether_many_users_are_affected_and_starts_nothing() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "facts"));
    let name = shop.name.clone();
    let nobody = format!("{}/api/v1/hooks/nobody", house.url());
    let mut watchmen = Watchmen::new(&name, shop.port, &nobody, "no-token");
    let metric = |metric: &str, query: &str, question: &str| json!({"name": metric, "url": watchmen.url(), "query": query, "question": question, "above": 0.1});
    let share = "sum(rate(demo_failures_total[10s])) / sum(rate(demo_answers_total[10s]))";
    let mut definition = shop.definition();
    definition["metrics"] = json!([
        metric("error_share", share, "many_users"),
        metric("latency", "demo_latency_seconds", "only_slow"),
        metric("typo", "sum(", "only_slow"),
    ]);
    house.know(&definition);
    house.deploy_until(&mut shop, "1.4.2", "good");
    let customers = Client::start(shop.port, "/");
    let two = ["data_corruption", "security_hole"];
    // All is well: probes and a number say so, and what nobody measures is asked of a person.
    let well = until("the number says no", seconds(60), || {
        let open = decide(&house, &name, &two).expect(200).json();
        (open["next_question"]["question"] == "only_slow").then_some(open)
    });
    assert_eq!(said(&well, "metric", "error_share: 0, not above 0.1"), "no");
    assert_eq!(said(&well, "probe", "checks: 2 of 2 green"), "no");
    assert_eq!(
        said(&well, "metric", "latency: the query finds no series"),
        "unknown"
    );
    assert_eq!(
        said(&well, "metric", "typo: status 400, bad_data: "),
        "unknown"
    );
    // Customers fail: the number answers, and the tree is settled by it.
    house.deploy(&mut shop, "1.5.0");
    let soon = until("the number says yes", seconds(60), || {
        let reply = decide(&house, &name, &two).json();
        (reply["advice"]["code"] == "roll_back_soon").then_some(reply)
    });
    assert_eq!(said(&soon, "metric", "error_share: "), "yes");
    assert_eq!(said(&soon, "probe", "checks: 1 of 2 green"), "no");
    let kept = house.get(&format!("/api/v1/decisions?application={name}"));
    assert_eq!(kept["items"][0], soon, "it is kept with its evidence");
    // The same on the command line.
    let answers: [&str; 6] = [
        "decide",
        &name,
        "--answer",
        "data_corruption=no",
        "--answer",
        "security_hole=no",
    ];
    let output = house.cli(&answers);
    let (told, talk) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert_eq!(output.status.code(), Some(0), "{told}{talk}");
    assert!(told.starts_with("Roll back within 30 minutes"), "{told}");
    let many = "Does it affect more than 10 % of the users? yes (metric error_share: 0.";
    assert!(
        talk.contains(many) || talk.contains("error_share: 1, above 0.1)"),
        "{talk}"
    );
    assert!(talk.contains(", above 0.1)"), "{talk}");
    let down = "Is it completely down? no (probe checks: 1 of 2 green)";
    assert!(talk.contains(down), "{talk}");
    customers.end();
    // Without its Prometheus nobody takes that for a no: a person is asked.
    watchmen.go_blind();
    let open = decide(&house, &name, &two).expect(200).json();
    assert_eq!(open["next_question"]["question"], "many_users", "{open:#}");
    let refused = "error_share: connection refused";
    assert_eq!(said(&open, "metric", refused), "unknown");
    let output = house.cli(&answers);
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "nobody is there to be asked");
    assert!(
        talk.contains("not known (metric error_share: connection refused)"),
        "{talk}"
    );
    assert!(
        talk.contains("--answer many_users=yes|no|unknown"),
        "{talk}"
    );
    // What does not run is down, as our own probes see it.
    shop.compose_run("1.5.0", &[], &["stop"]);
    let now = decide(&house, &name, &[]).expect(201).json();
    assert_eq!(now["advice"]["code"], "roll_back_now", "{now:#}");
    let none = "checks: none of its containers runs";
    assert_eq!(said(&now, "probe", none), "yes");
    // All of it was evidence of decisions, and nothing else.
    let rollbacks = house.get(&format!("/api/v1/rollbacks?application={name}"));
    assert_eq!(rollbacks["items"], json!([]));
}
