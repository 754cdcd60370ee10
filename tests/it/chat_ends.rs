//! Ends of what began in a chat, or was told nowhere:
//!
//! - a rollback that leaves the rest to a person calls one, whoever asked for it, whatever was away or killed meanwhile;
//! - a plan whose taker is killed between the click and the request is asked for once, or says that it was not.

use serde_json::{Value, json};

use crate::{
    chat::{ANA, YES, chat, rollbacks},
    house::{
        Application, Engine, House, Luck, Slack, When, seconds,
        slack::{SIGNING, post},
        until,
        wait::throughout,
    },
};

#[test]
fn what_is_left_to_a_person_calls_one_also_after_everybody_was_away() {
    let engine = Engine::of_this_machine();
    let (mut house, mut shop) = (House::new(), Application::shop(&engine, "called"));
    house.broken(&mut shop);
    let mut definition = shop.definition();
    definition["watch_window_s"] = json!(120);
    house.correct(&definition);
    let slack = Slack::new();
    chat(&house, &slack);
    // Asked for by the API: no chat has a card of it.
    let id = house.roll_back(&shop, &json!("previous"));
    house.until_phase(&id, "watching");
    assert!(slack.messages().is_empty());
    slack.leave();
    let api = shop.replica("api", 1)["Id"].as_str().unwrap().to_owned();
    let stop = format!("/containers/{api}/stop?t=1");
    shop.engine.ask("POST", &stop, &Value::Null).expect(204);
    house.verdict(&id, "needs_human");
    house.kill();
    house.start();
    slack.come_back();
    let call = slack.shows(0, "NEEDS HUMAN: a person has to look: ");
    let text = call.text();
    let title = format!(
        "<!channel> *A person has to look at {}: 1.5.0 → 1.4.2*",
        shop.name
    );
    assert!(text.starts_with(&title), "{text}");
    assert!(text.contains(&format!("Rollback {id}")), "{text}");
    assert_eq!(call.value(YES), None);
    throughout("it is said once", seconds(3), || {
        slack.messages().len() == 1
    });
    let metrics = house
        .tcp()
        .ask("GET", "/metrics", &[], b"", seconds(5))
        .unwrap()
        .text();
    let posted = "sternway_chat_posts_total{outcome=\"posted\"} 1";
    assert!(metrics.contains(posted), "{metrics}");
    slack.is_content();
}

/// Clicks yes on a message, and kills the server between the taking of the card and the request: the engine that the plan
/// is made again from takes its time.
fn killed_at(house: &mut House, slack: &Slack, value: &str) -> String {
    for _ in 0..8 {
        house.door.trap(
            "GET /containers/json",
            1,
            When::Before,
            Luck::Delay(seconds(12)),
        );
    }
    let (body, url) = slack.click(ANA, YES, value);
    assert_eq!(post(house, SIGNING, &body).status, 200);
    until("somebody has taken the plan", seconds(10), || {
        let taken = house
            .sql("select count(*) from chat_card where state = 'taken' and rollback_id is null");
        (taken.trim() == "1").then_some(())
    });
    house.kill();
    house.door.disarm();
    url
}

#[test]
fn a_plan_whose_taker_was_killed_is_asked_for_once_or_says_that_it_was_not() {
    let engine = Engine::of_this_machine();
    let (mut house, mut shop) = (House::new(), Application::shop(&engine, "taken"));
    house.broken(&mut shop);
    let slack = Slack::new();
    chat(&house, &slack);

    // It broke off as often as it is tried: the card says so, and so does an answer.
    slack.told(&house, ANA, &format!("{} 1.4.2", shop.name));
    let value = slack.shows(0, "Nothing is done yet.").value(YES).unwrap();
    let url = killed_at(&mut house, &slack, &value);
    house.start();
    house.sql("update inbox_due set tries = 4, decide_at = now()");
    let said = slack.answer(&url);
    assert!(
        said.starts_with("I could not do that: it broke off each time"),
        "{said}"
    );
    let card = slack.shows(0, "It was not asked for: taking it up broke off each time");
    assert_eq!(card.value(YES), None);
    assert!(rollbacks(&house, &shop).is_empty());
    let late = slack.clicks(&house, ANA, YES, &value);
    assert!(late.contains("ask for the plan again"), "{late}");

    // It broke off once: whoever comes next asks for it, as if nothing had been.
    slack.told(&house, ANA, &format!("{} 1.4.2", shop.name));
    let value = slack.shows(1, "Nothing is done yet.").value(YES).unwrap();
    let url = killed_at(&mut house, &slack, &value);
    house.start();
    assert!(rollbacks(&house, &shop).is_empty());
    slack.shows(1, "It is being asked for.");
    house.sql("update inbox_due set decide_at = now()");
    let asked = slack.answer(&url);
    let all = rollbacks(&house, &shop);
    assert_eq!(all.len(), 1, "{all:?}");
    let id = all[0]["id"].as_str().unwrap();
    assert!(asked.contains(id), "{asked}");
    house.verdict(id, "rolled_back");
    slack.shows(1, "ROLLED BACK: ");
    assert_eq!(rollbacks(&house, &shop).len(), 1);
    slack.is_content();
}
