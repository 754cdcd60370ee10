//! What a chat that signs nothing may do: whoever reads one command of it can make others, in anybody's name.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{
    ledger::Health,
    readiness::{Readiness, ReadinessCode},
};
use serde_json::{Value, json};
use store::{NewReadiness, Role, TokenKind};

use crate::{
    cardboard::shop,
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

/// Each as it was judged, all of them ready when they were last looked at; the last one runs.
#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_names_what_is_worth_going_back_to_the_last_known_good_first() {
    let house = House::new().await;
    house.application(&shop("shop")).await.ok(201);
    mattermost(&house).await;
    let name = "shop".parse().unwrap();
    let mut ready = BTreeMap::new();
    for (version, health) in [
        ("1.9.0", Health::Good),
        ("1.10.0", Health::Good),
        ("1.11.0", Health::Bad),
        ("1.12.0", Health::Unproved),
        ("1.13.0", Health::Good),
        ("1.14.0", Health::Good),
        ("1.15.0", Health::Good),
        ("1.16.0", Health::Good),
    ] {
        let deployed = house.deploy("shop", version).await;
        let id = deployed["id"].as_str().unwrap().parse().unwrap();
        house.worker.judge(id, health, None).await;
        let readiness = Readiness {
            code: match version {
                "1.15.0" => ReadinessCode::Gone,
                _ => ReadinessCode::Ready,
            },
            sentence: "as it was found".to_owned(),
            next_action: None,
        };
        let found = NewReadiness {
            readiness,
            retained: BTreeSet::new(),
            broken: false,
        };
        ready.insert(version.parse().unwrap(), found);
    }
    house.store.readiness_put(&name, &ready).await.unwrap();
    for (version, insecure) in [("1.13.0", false), ("1.14.0", true)] {
        let hold = json!({"reason": "it loses orders", "insecure": insecure});
        let path = format!("/api/v1/applications/shop/releases/{version}/hold");
        house.send(Ask::new("PUT", &path).json(&hold)).await.ok(200);
    }
    let said = told(&house, "anasid", "", 1).await;
    assert!(
        said.contains("• shop: ready to go back to 1.10.0, 1.9.0\n"),
        "{said}"
    );
    // Who is not known is told of the role that may also approve.
    let stranger = told(&house, "evesid", "shop", 2).await;
    assert!(
        stranger.contains("--role approver` to ask and to approve"),
        "{stranger}"
    );
}
