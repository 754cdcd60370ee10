//! What a person is called for in a chat although there is no plan to decide on:
//!
//! - a deadline of a decision that passed with nothing done, once, also when the server was killed before it was told, and
//!   not when it is over by the time that it can be told;
//! - an alert that is left to a person without a rollback that waits for a yes, once, and more like it are counted; it calls
//!   where something stands in the way, and not where a rollback may not be what helps;
//! - a held release that came back: by the rollback that puts it back, or when it stays.

use serde_json::{Value, json};

use crate::{
    acting,
    chat::{YES, chat},
    drift,
    house::{Application, Engine, House, Slack, seconds, until, wait::throughout},
};

/// What a chat was told without a plan, in the database.
fn notices(house: &House) -> usize {
    let count = house.sql("select count(*) from chat_notice");
    count.trim().parse().unwrap()
}

#[track_caller]
fn decide(house: &House, shop: &Application, words: &[&str]) {
    let mut all = vec!["decide", shop.name.as_str()];
    all.extend(words);
    let output = house.cli(&all);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {wrong}");
}

/// The time of every advice is over.
fn pass(house: &House) {
    house
        .sql("update triage set deadline = now() - interval '1 second' where deadline is not null");
}

#[test]
fn a_deadline_that_passes_calls_everybody_once_also_after_a_kill_before_it_was_told() {
    let engine = Engine::of_this_machine();
    let (mut house, shop) = (House::new(), Application::shop(&engine, "overdue"));
    house.know(&shop.definition());
    let slack = Slack::new();
    chat(&house, &slack);
    // What is over in time is nobody's news.
    decide(&house, &shop, &["--answer", "down=yes"]);
    decide(&house, &shop, &["--over"]);
    pass(&house);
    throughout("nobody is called for it", seconds(7), || {
        notices(&house) == 0
    });

    // Slack is away when it passes, and the server is killed while it tries.
    slack.leave();
    let said = "nobody <!here> & checkout burns";
    decide(&house, &shop, &["--answer", "down=yes", "--note", said]);
    pass(&house);
    until("it is written down and tried", seconds(30), || {
        let tried = house.sql("select count(*) from chat_notice where tries > 0");
        (tried.trim() == "1").then_some(())
    });
    assert!(slack.messages().is_empty());
    house.kill();
    house.start();
    slack.come_back();
    let call = slack.shows(0, "Nothing was done for ");
    let text = call.text();
    let title = format!(
        "<!channel> *Nothing was done for {} until the deadline*",
        shop.name
    );
    assert!(text.starts_with(&title), "{text}");
    let next = format!(
        "Next: `sternway rollback {} --good --reason health_checks`",
        shop.name
    );
    for part in [
        "Roll back now, to the last known good version.",
        "They said: nobody &lt;!here&gt; &amp; checkout burns",
        &next,
        &format!("`sternway decide {} --over`", shop.name),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.matches("<!").count(), 1, "{text}");
    assert_eq!(call.value(YES), None);
    throughout("it is said once", seconds(7), || {
        slack.messages().len() == 1 && notices(&house) == 1
    });
    let versions = slack.messages()[0].versions.len();
    assert_eq!(versions, 1, "it is not changed either");

    // What is over by the time that Slack is back calls nobody.
    slack.leave();
    decide(&house, &shop, &["--answer", "down=yes"]);
    pass(&house);
    until("it is written down", seconds(30), || {
        (notices(&house) == 2).then_some(())
    });
    decide(&house, &shop, &["--over"]);
    slack.come_back();
    until("it is given up, and says why", seconds(30), || {
        let over = house
            .sql("select said from chat_notice where message is null and ended_at is not null");
        over.trim()
            .starts_with("somebody decided anew")
            .then_some(())
    });
    throughout("nobody is called", seconds(3), || {
        slack.messages().len() == 1
    });
    slack.is_content();
}

#[test]
fn an_alert_that_is_left_to_a_person_without_a_request_is_told_once_and_calls_by_its_reason() {
    let engine = Engine::of_this_machine();
    let (mut house, mut shop) = (House::new(), Application::shop(&engine, "left"));
    acting::bad(&house, &mut shop);
    let slack = Slack::new();
    chat(&house, &slack);
    acting::pager(&house, &shop, "propose");
    // It was deployed too long ago to be the cause: nothing is asked for, so there is no card.
    let mut definition = acting::impatient(&shop);
    definition["guards"]["cause_max_s"] = json!(1);
    house.correct(&definition);
    std::thread::sleep(seconds(2));
    slack.leave();
    acting::page(&house, &acting::incident("E1", "Q1", "triggered", 0));
    until("it is written down and tried", seconds(90), || {
        let tried = house.sql("select count(*) from chat_notice where tries > 0");
        (tried.trim() == "1").then_some(())
    });
    house.kill();
    house.start();
    slack.come_back();
    let call = slack.shows(0, "is left to a person");
    let text = call.text();
    let next = format!(
        "Next: `sternway rollback {} --to 1.4.2 --reason critical_bug`",
        shop.name
    );
    for part in [
        &format!("*An alert about {} is left to a person*", shop.name),
        "5xx rate 14% (pager)",
        "No rollback was asked for: ",
        &next,
        &format!("`sternway messages {}`", shop.name),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(call.value(YES), None);
    assert!(
        !text.contains("<!"),
        "a rollback may not be what helps: {text}"
    );

    // More of the same calls nobody again; the message says how much.
    acting::page(&house, &acting::incident("E2", "Q2", "triggered", 0));
    acting::page(&house, &acting::incident("E2", "Q2", "triggered", 0));
    slack.shows(0, "1 more like it since.");
    assert_eq!(slack.messages().len(), 1);

    // One that asks for a rollback has its card, and nothing else.
    house.correct(&acting::impatient(&shop));
    acting::page(&house, &acting::incident("E3", "Q3", "triggered", 0));
    let card = slack.shows(1, "An alert asks for ");
    assert!(card.value(YES).is_some());
    let text = card.text();
    assert!(text.starts_with("<!channel> *An alert asks for "), "{text}");
    throughout("that is all that is said of it", seconds(3), || {
        slack.messages().len() == 2 && notices(&house) == 1
    });

    // Where somebody keeps it from going back, everybody is called.
    let switch = format!("/api/v1/applications/{}/automatic", shop.name);
    let off = json!({"automatic": false, "reason": "the database is moved"});
    house.ask("PUT", &switch, &off).expect(200);
    acting::page(&house, &acting::incident("E4", "Q4", "triggered", 0));
    let text = slack.shows(2, "is left to a person").text();
    assert!(text.starts_with("<!channel> *"), "{text}");
    assert!(text.contains("the database is moved"), "{text}");
    slack.is_content();
}

#[test]
fn a_held_release_that_came_back_is_told_by_its_rollback_and_then_to_a_person() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "again"));
    drift::held(&house, &mut shop, "put_back");
    let slack = Slack::new();
    chat(&house, &slack);
    shop.up("1.5.0");
    let card = slack.shows(0, "A held release came back, to be put back: ");
    assert!(
        card.text()
            .contains(&format!("{}: 1.5.0 → 1.4.2", shop.name)),
        "{}",
        card.text()
    );
    slack.shows(0, "ROLLED BACK: ");
    shop.serves_alone("1.4.2");

    // Once more within a day: it stays, and a person has to find out who does that.
    shop.up("1.5.0");
    let call = slack.shows(1, "the held release 1.5.0 runs again");
    let text = call.text();
    assert!(text.starts_with("<!channel> *"), "{text}");
    for part in [
        "a person has to find out who deploys it",
        &format!("`sternway release {} 1.5.0`", shop.name),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    throughout("it is said once", seconds(5), || {
        slack.messages().len() == 2
    });
    let open: Value = house.get(&format!("/api/v1/applications/{}/returns", shop.name));
    assert_eq!(open["items"][0]["outcome"], "needs_person", "{open}");
    slack.is_content();
}
