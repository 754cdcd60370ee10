//! Rollbacks from a chat, with a Slack that takes what the real one takes:
//!
//! - a command is answered at once and a forged one never; who is not known gets a polite no;
//! - a plan is one message, a click on it is a request like any other, and the message follows it to its verdict;
//! - late, double and stale clicks are answered in the words that the API has for them;
//! - a Slack that is away delays nothing, and is told afterwards; one that asks for rest gets it;
//! - what an alert proposes and broken glass are told before anything is touched.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    acting,
    house::{
        Application, Engine, House, Slack, seconds,
        slack::{BOT, CHANNEL, SIGNING, TEAM, form, post},
        until,
    },
};

pub(crate) const YES: &str = "sternway_approve";
const NO: &str = "sternway_deny";
pub(crate) const ANA: &str = "U0ANA";
const BOB: &str = "U0BOB";

/// A chat in which Ana may operate and Bob may approve.
pub(crate) fn chat(house: &House, slack: &Slack) {
    let trigger = json!({"name": "slack", "kind": "slack", "mode": "propose",
        "settings": {"channel": CHANNEL, "base_url": slack.url()}});
    let path = "/api/v1/triggers/slack";
    house.ask("PUT", path, &trigger).expect(201);
    let secret = json!({ "secret": SIGNING });
    let secrets = format!("{path}/secrets");
    house.ask("POST", &secrets, &secret).expect(201);
    let token = house.state().join("bot");
    std::fs::write(&token, format!("{BOT}\n")).unwrap();
    let token = token.display().to_string();
    told(house, &["chat", "bot", "slack", "--token-file", &token]);
    for (user, person, role) in [(ANA, "ana", "operator"), (BOB, "bob", "approver")] {
        let user = format!("{TEAM}.{user}");
        let words = [
            "chat", "map", "slack", &user, "--person", person, "--role", role,
        ];
        let said = told(house, &words);
        assert!(said.contains(&format!("is {person}")), "{said}");
    }
}

/// What the command line says.
#[track_caller]
fn told(house: &House, words: &[&str]) -> String {
    let output = house.cli(words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {wrong}");
    said
}

pub(crate) fn rollbacks(house: &House, shop: &Application) -> Vec<Value> {
    let listed = house.get(&format!("/api/v1/rollbacks?application={}", shop.name));
    listed["items"].as_array().cloned().unwrap_or_default()
}

/// What the API says to the same person about the same thing.
#[track_caller]
fn api_says(house: &House, token: &str, id: &str, decision: &str, digest: &str) -> String {
    let path = format!("/api/v1/rollbacks/{id}/approval");
    let body = json!({"decision": decision, "plan_digest": digest});
    let reply = house.ask_with(token, "POST", &path, &body);
    assert!(reply.status >= 400, "{}", reply.text());
    let problem = reply.json();
    let word = |field: &str| problem[field].as_str().unwrap().to_owned();
    format!("{}: {}", word("title"), word("detail"))
}

/// The definition with a yes of somebody else asked for.
fn with_approval(shop: &Application) -> Value {
    let mut definition = shop.definition();
    definition["approval"] = json!(true);
    definition
}

fn digest_of(value: &str) -> &str {
    value.split_once('.').unwrap().1
}

#[test]
fn a_plan_in_a_chat_is_clicked_and_followed_to_its_verdict_in_one_message() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "chatted"));
    house.broken(&mut shop);
    let slack = Slack::new();
    chat(&house, &slack);

    // Whoever can not sign has said nothing; a probe of theirs is answered and does nothing.
    let forged = [
        ("team_id", TEAM),
        ("user_id", ANA),
        ("channel_id", CHANNEL),
        ("text", ""),
    ];
    let forged = post(&house, "another-secret-0123456789", &form(&forged));
    assert_eq!(forged.status, 401);
    let probe = [("content-type", "application/x-www-form-urlencoded")];
    let hook = "/api/v1/hooks/slack";
    let place = house.tcp();
    let probed = place.ask("POST", hook, &probe, b"ssl_check=1&token=x", seconds(5));
    assert_eq!(probed.unwrap().status, 200);
    assert_eq!(house.sql("select count(*) from inbox").trim(), "0");

    // What there is.
    let listed = slack.told(&house, ANA, "");
    assert!(listed.contains(&format!("• {}", shop.name)), "{listed}");
    let stranger = slack.told(&house, "U0EVE", &shop.name);
    assert!(
        stranger.starts_with("Sorry, I do not know who you are"),
        "{stranger}"
    );
    assert!(
        stranger.contains("sternway chat map slack T0001.U0EVE"),
        "{stranger}"
    );
    let audited =
        house.sql("select detail ->> 'user' from audit_entry where action = 'chat.unknown'");
    assert_eq!(audited.trim(), "T0001.U0EVE");
    let nothing = slack.told(&house, ANA, "<!channel> & more");
    assert!(nothing.contains("&lt;!channel&gt;"), "{nothing}");

    // With only the application: what it can go back to, and the plan to its last known good release.
    let targets = slack.told(&house, ANA, &shop.name);
    assert!(targets.contains("• 1.5.0: runs now"), "{targets}");
    assert!(
        targets.contains("• 1.4.2: ready, last known good"),
        "{targets}"
    );
    let card = slack.shows(0, "Nothing is done yet.");
    let text = card.text();
    for part in [
        "1.5.0 → 1.4.2",
        "Expected downtime: ",
        "Checklist:",
        "○ stakeholders notified",
        "1. Check",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(rollbacks(&house, &shop).is_empty());

    // Somebody unknown clicks, then Ana does, twice, and Bob is late.
    let value = card.value(YES).unwrap();
    assert_eq!(card.value(NO).unwrap(), value);
    let stranger = slack.clicks(&house, "U0EVE", YES, &value);
    assert!(stranger.starts_with("Sorry"), "{stranger}");
    assert!(rollbacks(&house, &shop).is_empty());
    let asked = slack.clicks(&house, ANA, YES, &value);
    let all = rollbacks(&house, &shop);
    assert_eq!(all.len(), 1, "{all:?}");
    let id = all[0]["id"].as_str().unwrap();
    assert_eq!(all[0]["requested_by"], "ana");
    assert!(asked.contains(&format!("Rollback {id} of")), "{asked}");
    let again = slack.clicks(&house, ANA, YES, &value);
    assert!(again.contains(id), "{again}");
    let ended = house.verdict(id, "rolled_back");
    shop.serves_alone("1.4.2");
    let last = slack.shows(0, "ROLLED BACK: ");
    assert_eq!(last.value(YES), None);
    assert!(last.versions.len() >= 3, "{:#?}", last.versions);
    assert!(last.text().contains("✓ prove"), "{}", last.text());
    let bob = house.token("approver", Some("bob"), &[]);
    let late = slack.clicks(&house, BOB, YES, &value);
    let says = api_says(&house, &bob, id, "approve", digest_of(&value));
    assert!(late.starts_with(&says), "{late}\n{says}");
    // A click that was seen on its way is worth nothing a second time.
    let (body, url) = slack.click(BOB, YES, &value);
    assert_eq!(post(&house, SIGNING, &body).status, 200);
    slack.answer(&url);
    let before = house.sql("select count(*) from inbox");
    assert_eq!(post(&house, SIGNING, &body).status, 200);
    assert_eq!(house.sql("select count(*) from inbox"), before);
    assert_eq!(rollbacks(&house, &shop).len(), 1);
    assert_eq!(slack.messages().len(), 1);
    assert_eq!(ended["approved_by"], Value::Null);
    slack.is_content();
}

#[test]
fn clicks_of_two_persons_are_answered_like_their_requests() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "clicked"));
    house.know(&with_approval(&shop));
    house.deploy_until(&mut shop, "1.4.2", "good");
    house.deploy(&mut shop, "1.5.0");
    let slack = Slack::new();
    chat(&house, &slack);
    let (ana, bob) = (
        house.token("operator", Some("ana"), &[]),
        house.token("approver", Some("bob"), &[]),
    );
    let wish = format!("{} 1.4.2 performance too slow", shop.name);

    // Ana asks, and can not say yes to herself; Bob says no, and then nothing waits any more.
    slack.told(&house, ANA, &wish);
    let card = slack.shows(0, "It needs another person than who asked.");
    assert!(
        card.text().contains("Why: performance: too slow"),
        "{}",
        card.text()
    );
    let value = card.value(YES).unwrap();
    let asked = slack.clicks(&house, ANA, YES, &value);
    assert!(asked.contains("waits for another person's yes"), "{asked}");
    slack.shows(0, "It waits for a yes until");
    let id = rollbacks(&house, &shop)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(house.rollback(&id)["reason"], "performance");
    let own = slack.clicks(&house, ANA, YES, &value);
    assert!(own.contains("the role operator may not"), "{own}");
    let says = api_says(&house, &ana, &id, "approve", digest_of(&value));
    assert!(own.starts_with(&says), "{own}\n{says}");
    let other = format!("{}.{}", value.split_once('.').unwrap().0, "0".repeat(64));
    let stale = slack.clicks(&house, BOB, YES, &other);
    let says = api_says(&house, &bob, &id, "approve", &"0".repeat(64));
    assert!(stale.starts_with(&says), "{stale}\n{says}");
    slack.clicks(&house, BOB, NO, &value);
    house.verdict(&id, "cancelled");
    slack.shows(0, "CANCELLED: ");
    let late = slack.clicks(&house, BOB, YES, &value);
    let says = api_says(&house, &bob, &id, "approve", digest_of(&value));
    assert!(late.starts_with(&says), "{late}\n{says}");

    // A plan that is no longer true when it is clicked.
    slack.told(&house, ANA, &wish);
    let value = slack.shows(1, "Nothing is done yet.").value(YES).unwrap();
    let mut definition = with_approval(&shop);
    definition["watch_window_s"] = json!(1);
    house.correct(&definition);
    let stale = slack.clicks(&house, BOB, YES, &value);
    assert!(stale.starts_with("The plan is no longer true"), "{stale}");
    assert!(stale.contains("definition was changed"), "{stale}");
    let closed = slack.shows(1, "The plan is no longer true");
    assert_eq!(closed.value(YES), None);

    // One that nobody took up in time, and one that is denied.
    slack.told(&house, ANA, &wish);
    let value = slack.shows(2, "Nothing is done yet.").value(YES).unwrap();
    house.sql("update chat_card set until = now() - interval '1 second' where rollback_id is null and state = 'open'");
    slack.shows(2, "Nobody took it up in time");
    let late = slack.clicks(&house, BOB, YES, &value);
    assert!(late.contains("nobody took this plan up until"), "{late}");
    slack.told(&house, ANA, &wish);
    let value = slack.shows(3, "Nothing is done yet.").value(NO).unwrap();
    assert!(slack.clicks(&house, BOB, NO, &value).starts_with("Denied."));
    slack.shows(3, "Denied by bob.");
    let late = slack.clicks(&house, BOB, YES, &value);
    assert!(late.contains("was denied"), "{late}");
    assert_eq!(rollbacks(&house, &shop).len(), 1);

    // Both at once: it is asked for in Ana's name and approved in Bob's, and done once.
    slack.told(&house, ANA, &wish);
    let value = slack.shows(4, "Nothing is done yet.").value(YES).unwrap();
    std::thread::scope(|scope| {
        for user in [BOB, ANA, BOB] {
            let (slack, house, value) = (&slack, &house, &value);
            scope.spawn(move || slack.clicks(house, user, YES, value));
        }
    });
    let all = rollbacks(&house, &shop);
    assert_eq!(all.len(), 2, "{all:?}");
    let id = all[0]["id"].as_str().unwrap();
    let ended = house.verdict(id, "rolled_back");
    assert_eq!(
        (&ended["requested_by"], &ended["approved_by"]),
        (&json!("ana"), &json!(["bob"]))
    );
    shop.serves_alone("1.4.2");
    slack.shows(4, "ROLLED BACK: ");
    slack.is_content();
}

#[test]
fn a_slack_that_is_away_delays_nothing_and_is_told_afterwards() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "silent"));
    house.know(&with_approval(&shop));
    house.deploy_until(&mut shop, "1.4.2", "good");
    house.deploy(&mut shop, "1.5.0");
    let slack = Slack::new();
    chat(&house, &slack);
    let ana = house.token("operator", Some("ana"), &[]);
    slack.told(&house, ANA, &shop.name);
    slack.shows(0, "Nothing is done yet.");

    // Ana breaks the glass while Slack is away: the rollback goes on, and its message was written before anything was done.
    slack.leave();
    let digest = house.plan(&shop, &json!("last_known_good"));
    let why = "nobody else answers <!here> & checkout burns";
    let body = json!({"plan_digest": digest, "reason": "critical_bug", "break_glass": why});
    let asked = Instant::now();
    let accepted = house.ask_with(&ana, "POST", "/api/v1/rollbacks", &body);
    let id = accepted.expect(202).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    house.verdict(&id, "rolled_back");
    assert!(asked.elapsed() < seconds(30), "{:?}", asked.elapsed());
    let first = house.sql(&format!(
        "select count(*) from chat_card c where c.rollback_id = '{id}' and c.occasion = 'glass' and c.made_at <=
         (select min(at) from rollback_event where rollback_id = '{id}' and body::jsonb ->> 'event' = 'intended')"
    ));
    assert_eq!(first.trim(), "1");
    shop.serves_alone("1.4.2");
    assert_eq!(slack.messages().len(), 1);

    slack.limit(2);
    slack.come_back();
    let glass = slack.shows(1, "ROLLED BACK: ");
    assert_eq!(slack.messages().len(), 2);
    let text = glass.text();
    assert!(
        text.starts_with("<!channel> *The glass is broken for "),
        "{text}"
    );
    assert_eq!(text.matches("<!").count(), 1, "{text}");
    let why = "Started without approval: nobody else answers &lt;!here&gt; &amp; checkout burns";
    assert!(text.contains(why), "{text}");
    let seen = house.sql("select count(*) from chat_shown where message is not null");
    assert_eq!(seen.trim(), "2");
    slack.is_content();
}

#[test]
fn what_an_alert_proposes_is_approved_in_the_chat() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "paging"));
    acting::bad(&house, &mut shop);
    let slack = Slack::new();
    chat(&house, &slack);
    acting::pager(&house, &shop, "propose");
    acting::page(&house, &acting::incident("E1", "Q1", "triggered", 0));
    let card = slack.shows(0, "An alert asks for ");
    let text = card.text();
    assert!(text.contains("5xx rate 14% (pager)"), "{text}");
    // Nothing but somebody's yes is missing.
    assert!(text.starts_with("<!channel> *An alert asks for "), "{text}");
    let value = card.value(YES).unwrap();
    // Ana has no role for that.
    let refused = slack.clicks(&house, ANA, YES, &value);
    assert!(
        refused.contains("the role operator may not approve"),
        "{refused}"
    );
    let (card, _) = value.split_once('.').unwrap();
    slack.told(&house, BOB, &format!("approve {card}"));
    let id = rollbacks(&house, &shop)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ended = house.verdict(&id, "rolled_back");
    assert_eq!(ended["approved_by"], json!(["bob"]));
    slack.shows(0, "ROLLED BACK: ");
    slack.is_content();
}

#[test]
fn mattermost_asks_in_words() {
    let engine = Engine::of_this_machine();
    let (house, mut shop) = (House::new(), Application::shop(&engine, "worded"));
    house.broken(&mut shop);
    // Only what takes answers is needed of it.
    let home = Slack::new();
    let path = "/api/v1/triggers/words";
    let trigger = json!({"name": "words", "kind": "mattermost", "mode": "propose", "settings": {"base_url": home.url()}});
    house.ask("PUT", path, &trigger).expect(201);
    let secret = json!({"secret": "mattermost-0123456789"});
    house
        .ask("POST", &format!("{path}/secrets"), &secret)
        .expect(201);
    let person = json!({"person": "ana", "role": "operator"});
    house
        .ask("PUT", &format!("{path}/persons/anasid"), &person)
        .expect(200);
    let says = |token: &str, text: &str, number: &str| {
        let url = format!("{}/hooks/commands/{number}", home.url());
        let fields = [
            ("token", token),
            ("channel_id", "chan1"),
            ("user_id", "anasid"),
            ("text", text),
            ("response_url", &url),
            ("trigger_id", number),
        ];
        let bearer = format!("Token {token}");
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", bearer.as_str()),
        ];
        let place = house.tcp();
        let body = form(&fields);
        let reply = place.ask(
            "POST",
            "/api/v1/hooks/words",
            &headers,
            body.as_bytes(),
            seconds(5),
        );
        (reply.unwrap().status, url)
    };
    assert_eq!(says("another-token-0123456789", "", "1").0, 401);
    let (status, url) = says("mattermost-0123456789", &shop.name, "2");
    assert_eq!(status, 200);
    // It proves its sender to anybody who has it, and so does the address that came along for a while.
    for secret in ["mattermost-0123456789", "/hooks/commands/"] {
        let kept = house.sql(&format!(
            "select count(*) || ' ' || count(*) filter (where position('{secret}'::bytea in body) > 0) from inbox"
        ));
        assert_eq!(kept.trim(), "1 0");
    }
    let plan = home.answer(&url);
    assert!(plan.contains("1.5.0 → 1.4.2"), "{plan}");
    let (_, card) = plan.split_once("`/rollback approve ").unwrap();
    let card = card.split('`').next().unwrap();
    let (_, url) = says("mattermost-0123456789", &format!("approve {card}"), "3");
    let asked = home.answer(&url);
    assert!(asked.contains("is asked for"), "{asked}");
    let id = rollbacks(&house, &shop)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // Whoever reads one command can make others: nothing starts by what is not signed, and nobody approves by it.
    assert!(
        asked.contains(&format!("`sternway approve {id}`")),
        "{asked}"
    );
    let waits = house.rollback(&id);
    assert_eq!(waits["phase"], "awaiting_approval");
    let digest = waits["plan_digest"].as_str().unwrap();
    let (ana, bob) = (
        house.token("approver", Some("ana"), &[]),
        house.token("approver", Some("bob"), &[]),
    );
    let own = api_says(&house, &ana, &id, "approve", digest);
    assert!(own.contains("somebody else has to approve it"), "{own}");
    let yes = json!({"decision": "approve", "plan_digest": digest});
    let path = format!("/api/v1/rollbacks/{id}/approval");
    house.ask_with(&bob, "POST", &path, &yes).expect(202);
    let ended = house.verdict(&id, "rolled_back");
    assert_eq!(
        (&ended["requested_by"], &ended["approved_by"]),
        (&json!("ana"), &json!(["bob"]))
    );
    shop.serves_alone("1.4.2");
    until("all is decided", seconds(20), || {
        (house.sql("select count(*) from inbox_due").trim() == "0").then_some(())
    });
}
