//! What the guards go by, as it is read from the ledger and the logs.

use std::time::Duration;

use domain::{
    application::Application,
    guard::{Asker, Recent},
    name::{Actor, RollbackId},
    plan::Plan,
    time::{Millis, Moment},
    trigger::{Headers, Trigger, alert::Alert},
};
use serde_json::json;
use store::{
    Constraint, DecisionOutcome, Desk, Error, NewDecision, NewMessage, NewRollback, Requested, Told,
};
use uuid::Uuid;

use crate::house::{House, ana, ask, now};

pub(crate) fn trigger() -> Trigger {
    serde_json::from_value(json!({"name": "pager", "kind": "pagerduty", "mode": "auto",
        "routes": [{"application": "shop"}]}))
    .unwrap()
}

pub(crate) fn body(event: &str, incident: &str, status: &str, at: Moment) -> String {
    json!({"event": {"id": event, "event_type": format!("incident.{status}"), "occurred_at": at,
        "data": {"id": incident, "type": "incident", "status": status, "created_at": at, "title": "x"}}})
    .to_string()
}

pub(crate) fn alert(episode: &str, state: &str, at: Moment) -> Alert {
    serde_json::from_value(
        json!({"episode": episode, "state": state, "title": "x", "started_at": at,
        "occurred_at": at}),
    )
    .unwrap()
}

pub(crate) async fn keep(house: &House, event: &str, body: &str) {
    let message = NewMessage {
        trigger: trigger().name,
        event_id: event.to_owned(),
        headers: Headers::default(),
        body: body.as_bytes().to_vec(),
        settle: Duration::ZERO,
        desk: Desk::Intake,
    };
    assert!(house.store.inbox_put(message).await.unwrap());
}

pub(crate) fn decision(alert: &Alert, outcome: DecisionOutcome) -> NewDecision {
    NewDecision {
        application: None,
        outcome,
        code: "x".to_owned(),
        said: "x".to_owned(),
        notice: serde_json::to_value(alert).unwrap(),
        deployment: None,
        episode: Some(alert.episode.clone()),
        would_be: None,
        guards: None,
        next_action: None,
        plan: None,
        rollback: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_of_a_trouble_is_found_whether_it_is_decided_or_waits() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let store = &house.store;
    store.trigger_put(&trigger(), &ana(), None).await.unwrap();
    let (t0, t1) = (now(), now().after(Millis(5)));
    let firing = alert("Q1", "firing", t0);
    keep(&house, "e1", &body("e1", "Q1", "triggered", t0)).await;
    keep(&house, "e2", &body("e2", "Q1", "resolved", t1)).await;
    keep(&house, "e3", &body("e3", "Q2", "resolved", t1)).await;
    let trigger = trigger();
    let facts = async |event: &str, alert: &Alert, received_at: Moment| {
        let told = Told {
            trigger: &trigger,
            event_id: event,
            alert,
            received_at,
            application: &shop,
        };
        let mut deciding = store.deciding(&trigger.name).await.unwrap();
        let facts = deciding.facts(&told).await.unwrap();
        facts.episode.known().unwrap().clone()
    };
    let known = facts("e1", &firing, t0).await;
    let states: Vec<String> = known
        .states
        .iter()
        .map(|one| format!("{:?}", one.state))
        .collect();
    assert_eq!(states, ["Firing", "Resolved"]);
    assert_eq!(known.decided, None);
    // Another message about the same trouble, later: the first one waits to be decided.
    let later = now().after(Millis(1000));
    let second = facts("e9", &firing, later).await;
    assert!(second.decided.is_some());
    assert!(
        store
            .decisions_put(
                &trigger.name,
                "e1",
                vec![decision(&firing, DecisionOutcome::Recorded)]
            )
            .await
            .unwrap()
    );
    assert_eq!(facts("e9", &firing, later).await.decided, None);
    keep(&house, "e4", "{}").await;
    let proposed = [decision(&firing, DecisionOutcome::Proposed)];
    assert!(
        store
            .decisions_put(&trigger.name, "e4", proposed.to_vec())
            .await
            .unwrap()
    );
    assert!(facts("e9", &firing, later).await.decided.is_some());
}

/// Alertmanager and PagerDuty give what comes again another key each time.
#[tokio::test(flavor = "multi_thread")]
async fn earlier_episodes_of_what_comes_again_are_found_whether_decided_or_not() {
    let house = House::new().await;
    let shop = house.application("shop").await;
    let store = &house.store;
    let trigger = trigger();
    store.trigger_put(&trigger, &ana(), None).await.unwrap();
    let again = |episode: &str, state: &str, seconds: u32| Alert {
        recurs: Some("P1|api".to_owned()),
        ..alert(episode, state, now().before(Millis::from_secs(seconds)))
    };
    for (event, episode, state, seconds) in [
        ("e1", "Q1", "firing", 300),
        ("e2", "Q1", "resolved", 250),
        ("e3", "Q2", "firing", 200),
    ] {
        keep(&house, event, "{}").await;
        let new = decision(&again(episode, state, seconds), DecisionOutcome::Recorded);
        let written = store.decisions_put(&trigger.name, event, vec![new]).await;
        assert!(written.unwrap());
    }
    let mut waiting: serde_json::Value =
        serde_json::from_str(&body("e4", "Q2", "resolved", now())).unwrap();
    waiting["event"]["data"]["incident_key"] = json!("api");
    waiting["event"]["data"]["service"] = json!({"id": "P1"});
    keep(&house, "e4", &waiting.to_string()).await;
    let newest = again("Q3", "firing", 0);
    let told = Told {
        trigger: &trigger,
        event_id: "e5",
        alert: &newest,
        received_at: now(),
        application: &shop,
    };
    let mut deciding = store.deciding(&trigger.name).await.unwrap();
    let facts = deciding.facts(&told).await.unwrap();
    let known = facts.episode.known().unwrap();
    assert_eq!(known.states.len(), 1, "{known:?}");
    assert_eq!(known.earlier.len(), 4, "{known:?}");
}

pub(crate) struct Alerted {
    pub(crate) house: House,
    pub(crate) plan: Plan,
    pub(crate) shop: Application,
    pub(crate) alert: Alert,
    pub(crate) trigger: Trigger,
}

impl Alerted {
    pub(crate) async fn new() -> Self {
        let house = House::new().await;
        let plan = house.planned("shop").await;
        house
            .store
            .trigger_put(&trigger(), &ana(), None)
            .await
            .unwrap();
        let (shop, _) = house
            .store
            .application_get(&"shop".parse().unwrap())
            .await
            .unwrap();
        Self {
            plan,
            shop,
            alert: alert("Q1", "firing", now()),
            trigger: trigger(),
            house,
        }
    }

    pub(crate) fn told(&self) -> Told<'_> {
        Told {
            trigger: &self.trigger,
            event_id: "e1",
            alert: &self.alert,
            received_at: now(),
            application: &self.shop,
        }
    }

    async fn rollbacks(&self) -> Vec<Recent> {
        let facts = self.house.store.facts(&self.told()).await.unwrap();
        facts.rollbacks.known().unwrap().clone()
    }

    pub(crate) fn ask(&self, key: &str) -> NewRollback<'_> {
        NewRollback {
            requested_by: Actor::of_trigger("pager").unwrap(),
            ..ask(&self.plan, RollbackId(Uuid::now_v7()), key)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rollbacks_and_the_deployment_that_they_undid_are_told() {
    let alerted = Alerted::new().await;
    let house = &alerted.house;
    assert_eq!(alerted.rollbacks().await, []);
    let rollback = house.request(&alerted.plan).await;
    let recent = alerted.rollbacks().await;
    assert_eq!(recent.len(), 1);
    assert_eq!((recent[0].rollback, recent[0].rested_at), (rollback, None));
    assert_eq!((recent[0].by, recent[0].proposed()), (Asker::Person, false));
    let newest = house.store.facts(&alerted.told()).await.unwrap().deployment;
    assert_eq!(recent[0].undid, newest.known().map(|newest| newest.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_gives_way_and_leaves_no_trace_in_the_facts() {
    let alerted = Alerted::new().await;
    let (house, name) = (&alerted.house, &alerted.shop.name);
    let store = &house.store;
    let proposal = NewRollback {
        approval_until: Some(now().after(Millis::from_secs(600))),
        ..alerted.ask("proposal")
    };
    store.rollback_request(&proposal).await.unwrap();
    let recent = alerted.rollbacks().await;
    assert!(
        recent[0].proposed() && recent[0].by == Asker::Trigger,
        "{recent:?}"
    );
    let withdrawn = store.proposal_withdraw(name, &ana()).await.unwrap();
    assert_eq!(withdrawn, Some(proposal.id));
    assert_eq!(store.orders_unseen(proposal.id).await.unwrap().len(), 1);
    house
        .raw(&format!(
            "update rollback_run set phase = 'ended', acts = false, ended_at = now() where rollback_id = '{}'",
            proposal.id
        ))
        .await;
    assert_eq!(alerted.rollbacks().await, [], "it did nothing");
    assert_eq!(store.proposal_withdraw(name, &ana()).await.unwrap(), None);
    // What a person asked for is nobody's proposal.
    let own = NewRollback {
        approval_until: Some(now().after(Millis::from_secs(600))),
        ..ask(&alerted.plan, RollbackId(Uuid::now_v7()), "own")
    };
    store.rollback_request(&own).await.unwrap();
    assert_eq!(store.proposal_withdraw(name, &ana()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_through_is_written_with_its_decision_and_only_while_it_is_open() {
    let alerted = Alerted::new().await;
    let house = &alerted.house;
    let store = &house.store;
    keep(house, "e1", &body("e1", "Q1", "triggered", now())).await;
    let acted = |ask: &NewRollback<'_>| NewDecision {
        rollback: Some(ask.id),
        ..decision(&alerted.alert, DecisionOutcome::Acted)
    };
    let (first, again) = (alerted.ask("k"), alerted.ask("k"));
    let name = &alerted.trigger.name;
    let request = async |ask: &NewRollback<'_>, event: &str| {
        let deciding = store.deciding(name).await.unwrap();
        deciding.request(ask, event, 0, &acted(ask)).await
    };
    let asked = request(&first, "e1").await;
    assert_eq!(asked.unwrap(), Requested::New);
    let replayed = request(&again, "e1").await;
    assert_eq!(replayed.unwrap(), Requested::Replayed(first.id));
    let other = alerted.ask("other");
    let active = request(&other, "e1").await;
    assert!(
        matches!(active, Err(Error::Conflict(Constraint::OneActing { active })) if active == first.id),
        "{active:?}"
    );
    // The decision that came with the request stays.
    let late = [decision(&alerted.alert, DecisionOutcome::Recorded)];
    assert!(
        store
            .decisions_put(name, "e1", late.to_vec())
            .await
            .unwrap()
    );
    assert_eq!(
        house
            .count(
                "select count(*) from decision where outcome = 'acted' and rollback_id is not null"
            )
            .await,
        1
    );
    assert_eq!(house.count("select count(*) from decision").await, 1);
    let slow = request(&other, "e1").await;
    assert!(matches!(slow, Err(Error::NotFound("message"))), "{slow:?}");
    assert_eq!(house.count("select count(*) from rollback").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_switched_off_between_the_last_look_and_the_request() {
    let alerted = Alerted::new().await;
    let house = &alerted.house;
    let store = &house.store;
    keep(house, "e1", &body("e1", "Q1", "triggered", now())).await;
    let mut deciding = store.deciding(&alerted.trigger.name).await.unwrap();
    deciding.facts(&alerted.told()).await.unwrap();
    let (other, name) = (store.clone(), alerted.shop.name.clone());
    let off = tokio::spawn(async move {
        let by = ana();
        let stopped = other.automatic_set(Some(&name), false, "we move", &by);
        stopped.await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!off.is_finished());
    let ask = alerted.ask("k");
    let acted = NewDecision {
        rollback: Some(ask.id),
        ..decision(&alerted.alert, DecisionOutcome::Acted)
    };
    deciding.request(&ask, "e1", 0, &acted).await.unwrap();
    assert_eq!(off.await.unwrap(), [ask.id], "it is called off");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_lets_something_through() {
    let house = House::new().await;
    let name = trigger().name;
    let held = house.store.deciding(&name).await.unwrap();
    let (other, of) = (house.store.clone(), name.clone());
    let waits = tokio::spawn(async move { other.deciding(&of).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waits.is_finished());
    drop(held);
    waits.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alert_started_counts_though_it_was_refused_and_undid_nothing() {
    let alerted = Alerted::new().await;
    let house = &alerted.house;
    let store = &house.store;
    keep(house, "e1", &body("e1", "Q1", "triggered", now())).await;
    let ask = alerted.ask("k");
    let acted = NewDecision {
        rollback: Some(ask.id),
        ..decision(&alerted.alert, DecisionOutcome::Acted)
    };
    let deciding = store.deciding(&alerted.trigger.name).await.unwrap();
    deciding.request(&ask, "e1", 0, &acted).await.unwrap();
    let acting = alerted.rollbacks().await;
    let version = store.facts(&alerted.told()).await.unwrap().deployment;
    let version = version.known().map(|newest| newest.version.clone());
    assert_eq!(acting[0].left, version, "{acting:?}");
    assert!(acting[0].undid.is_some());
    assert_eq!(acting[0].trigger.as_deref(), Some("pager"));
    house
        .raw(&format!(
            "update rollback_run set phase = 'ended', acts = false, ended_at = now() where rollback_id = '{}'",
            ask.id
        ))
        .await;
    let recent = alerted.rollbacks().await;
    assert_eq!(recent.len(), 1, "{recent:?}");
    assert_eq!((recent[0].undid, &recent[0].left), (None, &None));
    assert!(recent[0].rested_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alert_proposed_and_a_person_accepted_is_told_apart() {
    let alerted = Alerted::new().await;
    let house = &alerted.house;
    keep(house, "e1", &body("e1", "Q1", "triggered", now())).await;
    let proposal = NewRollback {
        approval_until: Some(now().after(Millis::from_secs(600))),
        ..alerted.ask("proposal")
    };
    let proposed = NewDecision {
        rollback: Some(proposal.id),
        ..decision(&alerted.alert, DecisionOutcome::Proposed)
    };
    let deciding = house.store.deciding(&alerted.trigger.name).await.unwrap();
    let asked = deciding.request(&proposal, "e1", 0, &proposed).await;
    assert_eq!(asked.unwrap(), Requested::New);
    let recent = alerted.rollbacks().await;
    assert!(recent[0].proposed() && !recent[0].accepted, "{recent:?}");
    house
        .raw(&format!(
            "update rollback_run set phase = 'ended', acts = false, ended_at = now(),
                 state = (state::jsonb || '{{\"acted_at\": 1, \"touched_at\": 2}}')::json where rollback_id = '{}'",
            proposal.id
        ))
        .await;
    let recent = alerted.rollbacks().await;
    assert_eq!(recent[0].by, Asker::Trigger);
    assert!(!recent[0].proposed() && recent[0].accepted, "{recent:?}");
    assert!(recent[0].touched, "{recent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_as_old_as_the_first_word_of_it_and_seen_or_not() {
    let alerted = Alerted::new().await;
    let house = &alerted.house;
    let newest = async || {
        let facts = house.store.facts(&alerted.told()).await.unwrap();
        facts.deployment.known().unwrap().clone()
    };
    let before = newest().await;
    house
        .raw(&format!(
            "update deployment_fact set seen_at = null where deployment_id = '{}'",
            before.id
        ))
        .await;
    assert!(!newest().await.seen);
    // An entry that it took the place of was made two hours earlier.
    house
        .raw(&format!(
            "with older as (
                 insert into deployment (id, application, version, kind, actor, images, deployed_at, request_hash)
                 select gen_random_uuid(), application, version, 'detected', actor, images,
                        deployed_at - interval '2 hours', '' from deployment where id = '{0}' returning id
             )
             insert into deployment_fact (deployment_id, state, seen_at, merged_into)
             select id, 'watching', now(), '{0}' from older",
            before.id
        ))
        .await;
    let after = newest().await;
    assert_eq!(after.id, before.id);
    assert_eq!(before.at.since(after.at), Millis::from_secs(7200));
}
