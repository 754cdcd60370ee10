//! What a chat that signs nothing may do: whoever reads one command of it can make others, in anybody's name.

use std::time::Duration;

use serde_json::{Value, json};
use store::{Role, TokenKind};

use crate::{
    client::{Ask, Reply},
    house::House,
};

const TOKEN: &str = "mattermost-0123456789";
/// Where its answers would be taken; nobody sends them here.
const HOME: &str = "http://127.0.0.1:9";

/// Mattermost, with Ana as an operator and Bob as an approver.
async fn mattermost(house: &House) {
    let trigger = json!({"name": "words", "kind": "mattermost", "mode": "propose", "settings": {"base_url": HOME}});
    let path = "/api/v1/triggers/words";
    house
        .send(Ask::new("PUT", path).json(&trigger))
        .await
        .ok(201);
    house
        .post(&format!("{path}/secrets"), &json!({ "secret": TOKEN }))
        .await
        .ok(201);
    for (person, role) in [("ana", "operator"), ("bob", "approver")] {
        let who = json!({"person": person, "role": role});
        let user = format!("{path}/persons/{person}sid");
        house.send(Ask::new("PUT", &user).json(&who)).await.ok(200);
    }
}

/// What a user is told who types this; no two commands have the same number.
async fn told(house: &House, user: &str, text: &str, number: u32) -> String {
    let form = format!(
        "channel_id=chan1&user_id={user}&text={}&response_url={HOME}/hooks/commands/{number}&trigger_id={number}",
        text.replace(' ', "+")
    );
    let command = Ask {
        body: form,
        ..Ask::new("POST", "/api/v1/hooks/words")
    };
    let command = command
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", &format!("Token {TOKEN}"));
    command.to(house.address).await.ok(200);
    let home = format!("{HOME}/hooks/commands/{number}");
    for _ in 0..300 {
        let due = house.store.chat_answers_due(9, Duration::from_secs(600));
        if let Some(answer) = due.await.unwrap().into_iter().find(|due| due.url == home) {
            return answer.text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("`{text}` of {user} was not answered");
}

async fn rollbacks(house: &House) -> Vec<Value> {
    let listed = house.get("/api/v1/rollbacks?application=shop").await;
    listed.ok(200)["items"].as_array().unwrap().clone()
}

async fn approve(house: &House, token: &str, rollback: &Value) -> Reply {
    let path = format!(
        "/api/v1/rollbacks/{}/approval",
        rollback["id"].as_str().unwrap()
    );
    let yes = json!({"decision": "approve", "plan_digest": rollback["plan_digest"]});
    let ask = Ask::new("POST", &path).token(token).json(&yes);
    ask.to(house.address).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_signs_nothing_only_proposes() {
    let house = House::new().await;
    house.with_history("shop").await;
    mattermost(&house).await;
    let plan = told(&house, "anasid", "shop 1.4.2", 1).await;
    assert!(plan.contains("1.5.0 → 1.4.2"), "{plan}");
    assert!(
        plan.contains("it starts with another person's yes"),
        "{plan}"
    );
    let (_, card) = plan.split_once("`/rollback approve ").unwrap();
    let yes = format!("approve {}", card.split('`').next().unwrap());

    // Nobody has to approve rollbacks of this application; what only a chat that signs nothing asks for waits all the same.
    let asked = told(&house, "anasid", &yes, 2).await;
    let all = rollbacks(&house).await;
    assert_eq!(all.len(), 1, "{all:?}");
    let waits = &all[0];
    assert_eq!(
        (&waits["phase"], &waits["requested_by"]),
        (&json!("awaiting_approval"), &json!("ana"))
    );
    let id = waits["id"].as_str().unwrap();
    for part in [
        format!("`sternway approve {id}`"),
        format!("`sternway cancel {id}`"),
        "`sternway rollback shop --to 1.4.2 --reason critical_bug`".to_owned(),
    ] {
        assert!(asked.contains(&part), "{part}: {asked}");
    }

    // Neither again, nor as anybody else.
    let again = told(&house, "anasid", &yes, 3).await;
    assert_eq!(again, asked);
    let other = told(&house, "bobsid", &yes, 4).await;
    assert!(other.contains("this chat signs nothing"), "{other}");
    let all = rollbacks(&house).await;
    assert_eq!((all.len(), &all[0]), (1, waits));

    // Who asked can not approve it anywhere; another person can, where they prove who they are.
    let ana = house
        .token("ana", TokenKind::Person, Role::Approver, None)
        .await;
    assert_eq!(approve(&house, &ana, waits).await.code(), "self_approval");
    let bob = house
        .token("bob", TokenKind::Person, Role::Approver, None)
        .await;
    approve(&house, &bob, waits).await.ok(202);
}
