//! Notices: each is there with what it tells of, once, also when several look; much of the same is one, which counts; and
//! what is old is given up or cleared away.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    application::{Application, OnReturn},
    chat::{card::Occasion, notice::Notice},
    name::{TriggerName, Version},
    readiness::{Readiness, ReadinessCode},
    triage::Advice,
    trigger::{Headers, Trigger},
};
use serde_json::json;
use store::{
    DecisionOutcome, Desk, DueNotice, NOTICES_BEHIND_MAX, NOTICES_KEPT_DAYS, NewDecision,
    NewMessage, NewReadiness, NewReturn, NewRollback, NewTriage, ReturnOutcome,
};
use uuid::Uuid;

use crate::house::{House, actor, ana, ask, in_ms};

mod over;

const LEASE: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

async fn trigger(house: &House, definition: serde_json::Value) -> TriggerName {
    let trigger: Trigger = serde_json::from_value(definition).unwrap();
    let put = house.store.trigger_put(&trigger, &ana(), None).await;
    put.unwrap();
    trigger.name
}

async fn chat(house: &House, name: &str) -> TriggerName {
    let definition = json!({"name": name, "kind": "slack", "mode": "propose",
        "settings": {"channel": "C0OPS", "base_url": "http://127.0.0.1:9"}});
    trigger(house, definition).await
}

async fn due(house: &House) -> Vec<DueNotice> {
    house.store.chat_notices_due(64, LEASE, &[]).await.unwrap()
}

async fn advised(house: &House, application: &Application) -> Uuid {
    let new = NewTriage {
        id: Uuid::now_v7(),
        application: application.name.clone(),
        answers: Vec::new(),
        advice: Some(Advice::RollBackNow),
        note: None,
        by: ana(),
        at: in_ms(0),
    };
    house.store.triage_put(&new).await.unwrap();
    house
        .raw("update triage set deadline = now() - interval '1 second'")
        .await;
    new.id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_is_told_once_in_each_chat_and_never_without_being_kept() {
    let house = House::new().await;
    let (store, worker) = (&house.store, actor("worker"));
    for name in ["slack", "team", "off", "gone"] {
        chat(&house, name).await;
    }
    house
        .raw("update trigger set definition = replace(definition, 'propose', 'off') where name = 'off'")
        .await;
    house
        .raw("insert into trigger values ('odd', '{\"kind\": \"\\u0000', 1)")
        .await;
    let mute = json!({"name": "mute", "kind": "slack", "mode": "propose", "settings": {}});
    trigger(&house, mute).await;
    store
        .trigger_remove(&"gone".parse().unwrap(), &ana(), None)
        .await
        .unwrap();
    let shop = house.application("shop").await;
    let id = advised(&house, &shop).await;

    // Where the notice can not be written, neither is the fact: it comes again.
    house
        .raw("alter table chat_notice add constraint none check (more < 0)")
        .await;
    assert!(store.triage_pass(&worker).await.is_err());
    assert_eq!(house.count("select count(*) from triage_passed").await, 0);
    house
        .raw("alter table chat_notice drop constraint none")
        .await;

    let (one, other) = tokio::join!(store.triage_pass(&worker), store.triage_pass(&worker));
    assert_eq!(one.unwrap().len() + other.unwrap().len(), 1);
    assert_eq!(store.triage_pass(&worker).await.unwrap(), []);
    // Two workers take them: each of them is one's.
    let (mine, theirs) = tokio::join!(due(&house), due(&house));
    let mut all: Vec<_> = mine.into_iter().chain(theirs).collect();
    all.sort_by(|a, b| a.chat.name.cmp(&b.chat.name));
    let chats: Vec<&str> = all.iter().map(|due| due.chat.name.as_str()).collect();
    assert_eq!(chats, ["slack", "team"]);
    let told = &all[0];
    assert!(
        matches!(&told.notice, Notice::Deadline { application, advice: Advice::RollBackNow, by, .. }
            if *application == shop.name && *by == ana()),
        "{told:?}"
    );
    assert_eq!((told.channel.as_str(), told.tries), ("C0OPS", 1));
    let kept = house.count("select count(*) from chat_notice where occurrence like 'deadline/%'");
    assert_eq!(kept.await, 2, "{id}");

    // Tried again, and then shown: that is the end of it.
    store
        .chat_notice_unshown(told.id, "it is away", Some(Duration::ZERO))
        .await
        .unwrap();
    let again = due(&house).await;
    assert_eq!((again.len(), again[0].tries), (1, 2));
    store
        .chat_notice_shown(told.id, "1.2", told.revision, Duration::ZERO)
        .await
        .unwrap();
    store
        .chat_notice_unshown(all[1].id, "its chat is off", None)
        .await
        .unwrap();
    house.raw("update chat_notice set due_at = now()").await;
    assert_eq!(due(&house).await, []);

    // Whoever is set up later is told of what comes then.
    chat(&house, "late").await;
    assert_eq!(due(&house).await, []);
}

fn left(application: &Application, code: &str, outcome: DecisionOutcome) -> NewDecision {
    NewDecision {
        application: Some(application.name.clone()),
        outcome,
        code: code.to_owned(),
        said: "our own probes are green".to_owned(),
        notice: json!({"title": "5xx rate 14%"}),
        deployment: None,
        episode: None,
        would_be: None,
        guards: None,
        next_action: Some("sternway rollback shop --to 1.4.2 --reason critical_bug".to_owned()),
        plan: None,
        rollback: None,
    }
}

/// Whether it was the first to decide.
async fn decided(house: &House, event: &str, decisions: Vec<NewDecision>) -> bool {
    let trigger: TriggerName = "pager".parse().unwrap();
    let message = NewMessage {
        trigger: trigger.clone(),
        event_id: event.to_owned(),
        headers: Headers::default(),
        body: b"{}".to_vec(),
        settle: Duration::ZERO,
        desk: Desk::Intake,
    };
    house.store.inbox_put(message).await.unwrap();
    let put = house.store.decisions_put(&trigger, event, decisions);
    put.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_without_a_request_is_told_and_a_storm_of_them_is_counted() {
    let house = House::new().await;
    let store = &house.store;
    chat(&house, "slack").await;
    let pager = json!({"name": "pager", "kind": "pagerduty", "mode": "auto", "routes": []});
    trigger(&house, pager).await;
    let plan = house.planned("shop").await;
    let shop = &plan.application;
    let proposed = |code: &str| left(shop, code, DecisionOutcome::Proposed);

    // What asked for a rollback has its card, and what nobody is asked about is nobody's business.
    let asked = house.request(&plan).await;
    let with_a_card = NewDecision {
        rollback: Some(asked),
        ..proposed("trigger_mode")
    };
    let recorded = left(shop, "lateness", DecisionOutcome::Recorded);
    let shadowed = left(shop, "settle", DecisionOutcome::Shadowed);
    assert!(decided(&house, "e0", vec![with_a_card, recorded, shadowed]).await);
    assert_eq!(due(&house).await, []);

    // Decided again, it is not told again.
    assert!(decided(&house, "e1", vec![proposed("settle")]).await);
    assert!(!decided(&house, "e1", vec![proposed("settle")]).await);
    let first = due(&house).await;
    assert_eq!((first.len(), first[0].more, first[0].revision), (1, 0, 1));
    assert!(
        matches!(&first[0].notice, Notice::Proposal { title: Some(title), said, next: Some(next), .. }
            if title == "5xx rate 14%" && said == "our own probes are green" && next.starts_with("sternway rollback shop")),
        "{first:?}"
    );
    let id = first[0].id;
    store
        .chat_notice_shown(id, "1.2", 1, Duration::ZERO)
        .await
        .unwrap();

    // A storm, in messages of several alerts and at once, is one message that counts; another reason is another message.
    for number in 0..10 {
        let storm = async |which: &str| {
            let decisions = vec![proposed("settle"), proposed("settle"), proposed("flap")];
            decided(&house, &format!("{which}{number}"), decisions).await
        };
        assert_eq!(tokio::join!(storm("a"), storm("b")), (true, true));
    }
    let mut told = due(&house).await;
    told.sort_by_key(|due| due.more);
    let counts: Vec<_> = told
        .iter()
        .map(|due| (due.more, due.message.as_deref()))
        .collect();
    assert_eq!(counts, [(19, None), (40, Some("1.2"))]);
    assert_eq!(told[1].id, id);

    // A quarter of an hour later it is news again.
    house
        .raw("update chat_notice set made_at = made_at - interval '16 minutes', due_at = now(), shown_revision = revision")
        .await;
    assert!(decided(&house, "e9", vec![proposed("settle")]).await);
    let news = due(&house).await;
    assert_eq!((news.len(), news[0].more), (1, 0));
    assert_ne!(news[0].id, id);
}

fn found(broken: &[&str]) -> BTreeMap<Version, NewReadiness> {
    let readiness = |version: &str| {
        let broken = broken.contains(&version);
        let (code, sentence) = match broken {
            true => (ReadinessCode::Gone, "an image of it is gone"),
            false => (ReadinessCode::Ready, "its images are on the engine"),
        };
        NewReadiness {
            retained: Default::default(),
            readiness: Readiness {
                code,
                sentence: sentence.to_owned(),
                next_action: broken.then(|| "bring it back".to_owned()),
            },
            broken,
        }
    };
    ["1.3.0", "1.4.1", "1.4.2"]
        .into_iter()
        .map(|version| (version.parse().unwrap(), readiness(version)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_is_told_when_it_breaks_and_not_as_long_as_it_is_broken() {
    let house = House::new().await;
    let store = &house.store;
    chat(&house, "slack").await;
    let shop = house.application("shop").await.name;
    assert_eq!(store.upkeep_due(9, LEASE).await.unwrap().len(), 1);
    let put = async |broken: &[&str]| store.readiness_put(&shop, &found(broken)).await.unwrap();
    put(&[]).await;
    assert_eq!(due(&house).await, []);
    // Two look at once, and both find it.
    tokio::join!(put(&["1.4.1", "1.4.2"]), put(&["1.4.1", "1.4.2"]));
    put(&["1.4.1", "1.4.2"]).await;
    let told = due(&house).await;
    assert_eq!(told.len(), 1);
    let Notice::WayBack { releases, .. } = &told[0].notice else {
        panic!("{told:?}");
    };
    let versions: Vec<&str> = releases.iter().map(|one| one.version.as_str()).collect();
    assert_eq!(versions, ["1.4.1", "1.4.2"]);
    assert_eq!(releases[0].said, "an image of it is gone");
    assert_eq!(releases[0].next.as_deref(), Some("bring it back"));
    // One more breaks: that one is news. What comes and goes is counted.
    put(&["1.3.0", "1.4.1", "1.4.2"]).await;
    put(&["1.4.1", "1.4.2"]).await;
    put(&["1.3.0", "1.4.1", "1.4.2"]).await;
    let told = due(&house).await;
    assert_eq!((told.len(), told[0].more), (1, 1));
    assert!(
        matches!(&told[0].notice, Notice::WayBack { releases, .. } if releases.len() == 1),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_release_that_came_back_is_told_by_its_rollback_or_by_a_notice() {
    let house = House::new().await;
    let store = &house.store;
    chat(&house, "slack").await;
    let plan = house.planned("shop").await;
    let shop = &plan.application;
    let by = actor("sternway:watcher");
    let returned = async |deployed, policy| {
        let new = NewReturn {
            application: shop.name.clone(),
            deployment: house.deploy(shop, deployed, 'c').await,
            version: "1.5.0".parse().unwrap(),
            reason: "loses orders".to_owned(),
            policy,
        };
        for _ in 0..2 {
            store.return_put(&new, &by).await.unwrap();
        }
        new.deployment
    };
    returned("1.5.1", OnReturn::Report).await;
    let told = due(&house).await;
    assert_eq!(told.len(), 1);
    assert!(
        matches!(&told[0].notice, Notice::Returned { reason, said, .. }
            if reason == "loses orders" && said.starts_with("it is reported and left running")),
        "{told:?}"
    );

    let second = returned("1.5.2", OnReturn::PutBack).await;
    assert_eq!(due(&house).await, [], "it is put back");
    let asked = NewRollback {
        requested_by: by.clone(),
        ..ask(&plan, domain::name::RollbackId(Uuid::now_v7()), "k")
    };
    store.rollback_request(&asked).await.unwrap();
    let cards = store.chat_cards_due(9, LEASE, &[]).await.unwrap();
    assert_eq!(cards.len(), 1);
    assert_eq!(
        (cards[0].card.occasion, cards[0].card.rollback),
        (Occasion::Returned, Some(asked.id))
    );
    // A rollback that leaves it to a person calls one by itself.
    let third = returned("1.5.3", OnReturn::PutBack).await;
    let back = store.return_decided(third, ReturnOutcome::PutBack, "it goes", Some(asked.id));
    assert!(back.await.unwrap());
    house
        .raw(
            "insert into chat_card (id, trigger_name, channel, occasion, plan_digest, rollback_id, asked_by, known, until)
             select gen_random_uuid(), trigger_name, channel, 'human', plan_digest, rollback_id, asked_by, known, until
             from chat_card",
        )
        .await;
    let outcome = ReturnOutcome::NeedsPerson;
    let left = store.return_decided(third, outcome, "it ended: needs_human", None);
    assert!(left.await.unwrap());
    assert_eq!(due(&house).await, [], "one was called when it ended");

    for first in [true, false] {
        let outcome = ReturnOutcome::NeedsPerson;
        let decided = store.return_decided(second, outcome, "a window is open", None);
        assert_eq!(decided.await.unwrap(), first);
    }
    let told = due(&house).await;
    assert_eq!(told.len(), 1);
    assert!(
        matches!(&told[0].notice, Notice::Returned { said, .. } if said == "a window is open"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_given_up_and_cleared_away() {
    let house = House::new().await;
    let store = &house.store;
    let slack = chat(&house, "slack").await;
    let shop = house.application("shop").await;
    advised(&house, &shop).await;
    store.triage_pass(&actor("worker")).await.unwrap();
    let surplus = NOTICES_BEHIND_MAX + 2;
    // The newest calls everybody, and so does every second of those before it.
    house
        .raw(format!(
            "insert into chat_notice (id, trigger_name, channel, occurrence, notice, made_at)
             select gen_random_uuid(), 'slack', 'C0OPS', 'o' || n,
                    case when n % 2 = 0 then notice
                         else '{{\"notice\": \"way_back\", \"application\": \"shop\", \"releases\": []}}' end,
                    made_at - n * interval '1 minute'
             from chat_notice, generate_series(1, {surplus}) n"
        ))
        .await;
    assert_eq!(store.chat_notices_behind("too many").await.unwrap(), 3);
    assert_eq!(store.chat_notices_behind("too many").await.unwrap(), 0);
    // What calls nobody goes first, of that the oldest.
    let oldest = house.count(
        "select count(*) from chat_notice where ended_at is not null and occurrence in ('o47', 'o49', 'o51')",
    );
    assert_eq!(oldest.await, 3);
    // How many there were is one message, which counts.
    house
        .raw(
            "insert into chat_notice (id, trigger_name, channel, occurrence, notice)
             select gen_random_uuid(), 'slack', 'C0OPS', 'n' || n, notice
             from chat_notice, generate_series(1, 2) n where occurrence like 'deadline/%'",
        )
        .await;
    assert_eq!(store.chat_notices_behind("too many").await.unwrap(), 2);
    // A chat that asks for rest gets it; a token that is set at last ends the waiting.
    store.chat_rest(&slack, MINUTE).await.unwrap();
    assert_eq!(due(&house).await, []);
    store
        .chat_bot_put(&slack, "xoxb-secret-1", &ana())
        .await
        .unwrap();
    let waiting = usize::try_from(NOTICES_BEHIND_MAX).unwrap() + 1;
    let none = store.chat_notices_due(64, LEASE, &[&slack]).await.unwrap();
    assert_eq!(none, [], "somebody posts there already");
    let told = due(&house).await;
    assert_eq!(told.len(), waiting);
    let behind = told
        .iter()
        .filter(|due| matches!(&due.notice, Notice::Behind { .. }));
    let behind: Vec<_> = behind.map(|due| due.notice.card(due.more).title).collect();
    assert_eq!(behind, ["5 more notices were not posted"]);

    house
        .raw(format!(
            "update chat_notice set made_at = now() - interval '{NOTICES_KEPT_DAYS} days' - interval '1 s'
             where ended_at is not null"
        ))
        .await;
    assert_eq!(store.prune().await.unwrap().messages, 5);
    let left = house.count("select count(*) from chat_notice").await;
    assert_eq!(left, i64::from(NOTICES_BEHIND_MAX) + 1);
    // A row that nobody understands keeps no other one back.
    house
        .raw("update chat_notice set due_at = now(); update chat_notice set notice = '{}' where occurrence = 'o2'")
        .await;
    assert_eq!(due(&house).await.len(), waiting - 1);
}
