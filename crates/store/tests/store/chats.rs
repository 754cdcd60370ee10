//! Chats: a card that pages is there with its request, a card is taken by one and shown as it is, and what is removed
//! leaves nobody behind.

use std::time::Duration;

use domain::{
    chat::card::{Known, Occasion, State},
    name::{RollbackId, TriggerName},
    plan::Plan,
    time::Millis,
    trigger::{Headers, Trigger},
    verdict::{Cause, CauseCode, Verdict},
};
use serde_json::json;
use store::{ChatCard, ChatPerson, Desk, Idempotency, NewMessage, NewRollback, Page, Role, Shown};
use uuid::Uuid;

use crate::house::{Hand, House, actor, ana, ask, now, worker};

const LEASE: Duration = Duration::from_secs(60);

async fn chat(house: &House) -> TriggerName {
    chat_named(house, "slack").await
}

async fn chat_named(house: &House, name: &str) -> TriggerName {
    let trigger: Trigger =
        serde_json::from_value(json!({"name": name, "kind": "slack", "mode": "propose",
        "settings": {"channel": "C0OPS", "base_url": "http://127.0.0.1:9"}}))
        .unwrap();
    house
        .store
        .trigger_put(&trigger, &ana(), None)
        .await
        .unwrap();
    trigger.name
}

fn asked_of(plan: &Plan) -> NewRollback<'_> {
    let id = RollbackId(Uuid::now_v7());
    ask(plan, id, &id.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_glass_and_alerts_have_a_card_with_their_request_and_others_have_none() {
    let house = House::new().await;
    let trigger = chat(&house).await;
    house
        .raw("insert into trigger values ('odd', '{\"kind\": \"\\u0000', 1)")
        .await;
    let plan = house.planned("shop").await;
    house.request(&plan).await;
    assert_eq!(house.store.chat_cards_due(9, LEASE, &[]).await.unwrap(), []);

    let other = house.planned("other").await;
    let mut plain = asked_of(&other);
    plain.break_glass = Some("nobody answers".to_owned());
    house.store.rollback_request(&plain).await.unwrap();
    let due = house.store.chat_cards_due(9, LEASE, &[]).await.unwrap();
    assert_eq!(due.len(), 1);
    let card = &due[0].card;
    assert_eq!(
        (card.occasion, card.rollback),
        (Occasion::Glass, Some(plain.id))
    );
    assert_eq!(card.known.glass.as_deref(), Some("nobody answers"));
    assert_eq!(card.channel.as_deref(), Some("C0OPS"));
    // Taken: by nobody else until it is shown, and then only when it looks otherwise.
    assert_eq!(house.store.chat_cards_due(9, LEASE, &[]).await.unwrap(), []);
    let shown = |seq, last| Shown {
        card: card.id,
        message: "1.2",
        revision: card.revision,
        seq,
        last,
        again: Duration::ZERO,
    };
    house.store.chat_card_shown(&shown(1, false)).await.unwrap();
    assert_eq!(house.store.chat_cards_due(9, LEASE, &[]).await.unwrap(), []);
    house
        .raw(&format!(
            "update rollback_run set seq = seq + 1 where rollback_id = '{}'",
            plain.id
        ))
        .await;
    let due = house.store.chat_cards_due(9, LEASE, &[]).await.unwrap();
    assert_eq!(due[0].message.as_deref(), Some("1.2"));
    house.store.chat_card_lost(card.id).await.unwrap();
    let due = house.store.chat_cards_due(9, LEASE, &[]).await.unwrap();
    assert_eq!(due[0].message, None);
    house.store.chat_rest(&trigger, LEASE).await.unwrap();
    house.store.chat_card_shown(&shown(9, true)).await.unwrap();
    house.raw("update rollback_run set seq = seq + 100").await;
    assert_eq!(house.store.chat_cards_due(9, LEASE, &[]).await.unwrap(), []);

    // Switched off, nothing is told.
    house
        .raw("update trigger set definition = replace(definition, 'propose', 'off')")
        .await;
    let third = house.planned("third").await;
    let mut glass = asked_of(&third);
    glass.break_glass = Some("nobody answers".to_owned());
    house.store.rollback_request(&glass).await.unwrap();
    assert_eq!(
        house
            .store
            .chat_card_find(&trigger, glass.id.0)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_glass_is_told_before_anything_begins_and_a_chat_that_is_away_delays_it_little() {
    let house = House::new().await;
    let plan = house.planned("unheard").await;
    let mut glass = asked_of(&plan);
    glass.break_glass = Some("nobody answers".to_owned());
    house.store.rollback_request(&glass).await.unwrap();
    let begun = async || {
        let claims = house.store.claim(&worker(), 9, LEASE).await.unwrap();
        claims
            .iter()
            .map(|claim| claim.rollback)
            .collect::<Vec<_>>()
    };
    assert_eq!(begun().await, [glass.id], "there is no chat to tell");

    chat(&house).await;
    chat_named(&house, "second").await;
    let plan = house.planned("shop").await;
    let mut glass = asked_of(&plan);
    glass.break_glass = Some("nobody answers".to_owned());
    house.store.rollback_request(&glass).await.unwrap();
    assert_eq!(begun().await, [], "nobody was told yet");
    let due = house.store.chat_cards_due(9, LEASE, &[]).await.unwrap();
    assert_eq!(due.len(), 2);
    let shown = |card| Shown {
        card,
        message: "1.2",
        revision: 1,
        seq: 1,
        last: false,
        again: Duration::ZERO,
    };
    house
        .store
        .chat_card_shown(&shown(due[0].card.id))
        .await
        .unwrap();
    assert_eq!(begun().await, [], "one of two was told");
    house
        .store
        .chat_card_shown(&shown(due[1].card.id))
        .await
        .unwrap();
    assert_eq!(begun().await, [glass.id]);

    let plan = house.planned("hurried").await;
    let mut glass = asked_of(&plan);
    glass.break_glass = Some("nobody answers".to_owned());
    house.store.rollback_request(&glass).await.unwrap();
    assert_eq!(begun().await, []);
    let wait = house.store.next_due().await.unwrap().unwrap();
    assert!(wait <= Duration::from_secs(2), "{wait:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_in_a_chat_is_asked_for_or_closed_and_not_both() {
    let house = House::new().await;
    let trigger = chat(&house).await;
    let plan = house.planned("shop").await;
    let card = ChatCard {
        id: Uuid::now_v7(),
        trigger: trigger.clone(),
        channel: None,
        occasion: Occasion::Plan,
        plan: plan.digest(),
        rollback: None,
        asked_by: ana(),
        known: Known::default(),
        state: State::Open,
        said: None,
        revision: 1,
        until: now().after(Millis::from_secs(60)),
    };
    house.store.chat_card_put(&card).await.unwrap();
    house.store.chat_card_put(&card).await.unwrap();
    let found = house.store.chat_card_find(&trigger, card.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&card));
    assert_eq!(
        house.store.chat_cards_due(9, LEASE, &[]).await.unwrap(),
        [],
        "it has no channel"
    );
    // Whoever takes it up has it alone, again after dying, until it is given back.
    let take = async |message: &str| house.store.chat_card_take(card.id, message).await.unwrap();
    assert!(take("click 1").await);
    assert!(take("click 1").await);
    assert!(!take("click 2").await);
    assert!(
        !house
            .store
            .chat_card_close(card.id, State::Denied, "bob")
            .await
            .unwrap(),
        "nobody denies what is being asked for"
    );
    house
        .store
        .chat_card_give_back(card.id, "click 2")
        .await
        .unwrap();
    assert!(!take("click 2").await);
    house
        .store
        .chat_card_give_back(card.id, "click 1")
        .await
        .unwrap();
    assert!(take("click 2").await);
    let asked = house.request(&plan).await;
    house.store.chat_card_bind(card.id, asked).await.unwrap();
    let by_rollback = house.store.chat_card_find(&trigger, asked.0).await.unwrap();
    assert_eq!(
        by_rollback.map(|card| (card.id, card.state, card.revision)),
        Some((card.id, State::Open, 6))
    );
    assert!(
        !house
            .store
            .chat_card_close(card.id, State::Denied, "bob")
            .await
            .unwrap()
    );

    let other = ChatCard {
        id: Uuid::now_v7(),
        ..card
    };
    house.store.chat_card_put(&other).await.unwrap();
    assert!(
        house
            .store
            .chat_card_close(other.id, State::Denied, "bob")
            .await
            .unwrap()
    );
    assert!(
        !house
            .store
            .chat_card_close(other.id, State::Stale, "x")
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_and_tokens_go_with_their_chat() {
    let house = House::new().await;
    let trigger = chat(&house).await;
    let person = ChatPerson {
        user: "T0001.U0ADA".parse().unwrap(),
        person: ana(),
        role: Role::Operator,
        applications: None,
        mapped_by: ana(),
        mapped_at: now(),
    };
    let store = &house.store;
    store.chat_person_put(&trigger, &person).await.unwrap();
    let promoted = ChatPerson {
        role: Role::Approver,
        ..person.clone()
    };
    store.chat_person_put(&trigger, &promoted).await.unwrap();
    let found = store.chat_person_get(&trigger, &person.user).await.unwrap();
    assert_eq!(found.unwrap().role, Role::Approver);
    let listed = store
        .chat_person_list(&trigger, &Page::default())
        .await
        .unwrap();
    assert_eq!((listed.items.len(), listed.next), (1, None));
    store
        .chat_bot_put(&trigger, "xoxb-secret-1", &ana())
        .await
        .unwrap();
    store
        .chat_bot_put(&trigger, "xoxb-secret-2", &ana())
        .await
        .unwrap();
    let bot = store.chat_bot(&trigger).await.unwrap();
    assert_eq!(bot.as_deref(), Some("xoxb-secret-2"));

    let id = Uuid::now_v7();
    for _ in 0..2 {
        store
            .chat_answer_put(id, &trigger, "http://127.0.0.1:9/x", "yes")
            .await
            .unwrap();
    }
    let due = store.chat_answers_due(9, LEASE).await.unwrap();
    assert_eq!((due.len(), due[0].tries), (1, 1));
    assert_eq!(store.chat_answers_due(9, LEASE).await.unwrap(), []);
    store.chat_answer_later(id, Duration::ZERO).await.unwrap();
    assert_eq!(store.chat_answers_due(9, LEASE).await.unwrap().len(), 1);

    store.trigger_remove(&trigger, &ana(), None).await.unwrap();
    chat(&house).await;
    assert_eq!(
        store.chat_person_get(&trigger, &person.user).await.unwrap(),
        None
    );
    assert_eq!(store.chat_bot(&trigger).await.unwrap(), None);
    assert_eq!(store.chat_answers_due(9, LEASE).await.unwrap(), []);
    let gone = store
        .chat_person_remove(&trigger, &person.user, &ana())
        .await;
    assert!(matches!(gone, Err(store::Error::NotFound(_))));
}

fn mapped(person: &str) -> ChatPerson {
    ChatPerson {
        user: format!("T0001.{person}").parse().unwrap(),
        person: actor(person),
        role: Role::Operator,
        applications: None,
        mapped_by: ana(),
        mapped_at: now(),
    }
}

fn open_card(trigger: &TriggerName, plan: &Plan) -> ChatCard {
    ChatCard {
        id: Uuid::now_v7(),
        trigger: trigger.clone(),
        channel: Some("C0OPS".to_owned()),
        occasion: Occasion::Plan,
        plan: plan.digest(),
        rollback: None,
        asked_by: ana(),
        known: Known::default(),
        state: State::Open,
        said: None,
        revision: 1,
        until: now().after(Millis::from_secs(60)),
    }
}

async fn click(house: &House, trigger: &TriggerName, event_id: &str) {
    let message = NewMessage {
        trigger: trigger.clone(),
        event_id: event_id.to_owned(),
        headers: Headers::default(),
        body: b"payload=x".to_vec(),
        settle: Duration::ZERO,
        desk: Desk::Chat,
    };
    assert!(house.store.inbox_put(message).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_whose_taker_never_comes_back_says_so() {
    let house = House::new().await;
    let store = &house.store;
    let trigger = chat(&house).await;
    let (plan, other) = (house.planned("shop").await, house.planned("other").await);
    let (lost, asked) = (open_card(&trigger, &plan), open_card(&trigger, &other));
    for (card, message) in [(&lost, "click 1"), (&asked, "click 2")] {
        store.chat_card_put(card).await.unwrap();
        click(&house, &trigger, message).await;
        assert!(store.chat_card_take(card.id, message).await.unwrap());
    }
    // As long as its message waits to be taken up again, so does the card.
    assert_eq!(store.chat_cards_broken("it broke off").await.unwrap(), 0);
    // One was asked for after all, by whoever died before the card could say so. The key of the other is also somebody's
    // who is not in the chat: keys are each principal's own.
    store
        .chat_person_put(&trigger, &mapped("bob"))
        .await
        .unwrap();
    let keyed = |plan, card: &ChatCard, principal: &str| NewRollback {
        idempotency: Idempotency {
            principal: principal.to_owned(),
            key: format!("chat/{}", card.id),
            body_hash: vec![1; 32],
        },
        ..asked_of(plan)
    };
    let request = keyed(&other, &asked, "bob");
    store.rollback_request(&request).await.unwrap();
    let foreign = keyed(&plan, &lost, "eve");
    store.rollback_request(&foreign).await.unwrap();
    for message in ["click 1", "click 2"] {
        let put = store.decisions_put(&trigger, message, Vec::new());
        assert!(put.await.unwrap());
    }
    assert_eq!(store.chat_cards_broken("it broke off").await.unwrap(), 2);
    assert_eq!(store.chat_cards_broken("it broke off").await.unwrap(), 0);
    let found = async |id| store.chat_card_find(&trigger, id).await.unwrap().unwrap();
    let lost = found(lost.id).await;
    assert_eq!((lost.state, lost.rollback), (State::Broken, None));
    assert_eq!(
        (lost.said.as_deref(), lost.revision),
        (Some("it broke off"), 3)
    );
    let asked = found(asked.id).await;
    assert_eq!(
        (asked.state, asked.rollback),
        (State::Open, Some(request.id))
    );
    // Nobody takes it up any more: it says to ask anew.
    assert!(!store.chat_card_take(lost.id, "click 3").await.unwrap());
    let due = store.chat_cards_due(9, LEASE, &[]).await.unwrap();
    assert_eq!(due.len(), 2, "both are shown as they are");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_leaves_the_rest_to_a_person_calls_one_in_every_chat_once() {
    let house = House::new().await;
    let store = &house.store;
    let trigger = chat(&house).await;
    house
        .raw("insert into trigger values ('odd', '{\"kind\": \"\\u0000', 1)")
        .await;
    let person = Verdict::NeedsHuman {
        cause: Cause::new(CauseCode::StepCrashes, "3"),
        production: "nobody knows".to_owned(),
    };
    let cause = Cause::new(CauseCode::ImageMissing, "gone");
    for (name, verdict, calls) in [
        ("refused", Verdict::Refused { cause }, 0),
        ("left", person, 2),
    ] {
        let mut hand = Hand::of(&house.claimed(name, &worker()).await);
        // It is followed in another channel as well.
        let card = ChatCard {
            channel: Some("C0TEAM".to_owned()),
            ..open_card(&trigger, &hand.plan)
        };
        store.chat_card_put(&card).await.unwrap();
        store
            .chat_card_bind(card.id, hand.held.rollback)
            .await
            .unwrap();
        if calls > 0 {
            hand.walk_to_watch(store).await;
        }
        hand.end(store, verdict).await;
        let due = store.chat_cards_due(9, LEASE, &[]).await.unwrap();
        let mut channels: Vec<_> = due
            .iter()
            .filter(|due| due.card.occasion == Occasion::Human)
            .map(|due| due.card.channel.clone().unwrap())
            .collect();
        channels.sort_unstable();
        let expected = ["C0OPS", "C0TEAM"];
        assert_eq!(channels, expected[..calls], "{name}");
        // What persons decide on is the card that has buttons.
        let found = store.chat_card_find(&trigger, hand.held.rollback.0);
        assert_eq!(found.await.unwrap().unwrap().id, card.id);
    }
}
