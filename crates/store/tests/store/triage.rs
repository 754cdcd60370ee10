//! What `decide` reads of alerts, and when its deadlines are met.

use std::time::Duration;

use domain::{
    effect::Effect,
    lifecycle::Event,
    name::{Actor, RollbackId},
    plan::Plan,
    steps::Step,
    time::Moment,
    triage::Advice,
    trigger::{Headers, Trigger, alert::AlertState},
    verdict::{Cause, CauseCode, Verdict},
};
use store::{DecisionOutcome, Desk, NewDecision, NewMessage, NewRollback, NewTriage, Store};
use uuid::Uuid;

use crate::{
    evidence::{alert, decision, trigger},
    house::{Hand, House, LEASE, actor, ana, ask, in_ms, now, worker},
};

/// What a trigger says of a trouble of an application's, decided now.
struct Words<'a> {
    house: &'a House,
    trigger: Trigger,
}

impl Words<'_> {
    async fn say(&self, episode: &str, state: &str, at: Moment, application: Option<&str>) {
        let event_id = Uuid::now_v7().to_string();
        let message = NewMessage {
            trigger: self.trigger.name.clone(),
            event_id: event_id.clone(),
            headers: Headers::default(),
            body: b"{}".to_vec(),
            settle: Duration::ZERO,
            desk: Desk::Intake,
        };
        assert!(self.house.store.inbox_put(message).await.unwrap());
        let new = NewDecision {
            application: application.map(|name| name.parse().unwrap()),
            ..decision(&alert(episode, state, at), DecisionOutcome::Recorded)
        };
        let store = &self.house.store;
        let put = store.decisions_put(&self.trigger.name, &event_id, vec![new]);
        assert!(put.await.unwrap());
    }
}

async fn words<'a>(house: &'a House, name: &str) -> Words<'a> {
    let mut trigger = trigger();
    trigger.name = name.parse().unwrap();
    let put = house.store.trigger_put(&trigger, &ana(), None).await;
    put.unwrap();
    Words { house, trigger }
}

/// The newest words on the shop's troubles.
async fn newest(house: &House) -> Vec<(String, AlertState)> {
    let newest = house.store.alerts_newest(&"shop".parse().unwrap()).await;
    let word = |open: &domain::triage::facts::OpenAlert| {
        (
            format!("{} {}", open.trigger.name, open.alert.episode),
            open.alert.state,
        )
    };
    newest.unwrap().iter().map(word).collect()
}

fn told(name: &str, state: AlertState) -> (String, AlertState) {
    (name.to_owned(), state)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_word_on_each_trouble_of_an_application_is_found() {
    let house = House::new().await;
    house.application("shop").await;
    let pager = words(&house, "pager").await;
    let shop = Some("shop");
    pager.say("Q1", "firing", in_ms(1), shop).await;
    pager.say("Q2", "firing", in_ms(2), shop).await;
    pager.say("Q1", "resolved", in_ms(3), shop).await;
    pager.say("Q3", "firing", in_ms(4), None).await;
    let both = [
        told("pager Q1", AlertState::Resolved),
        told("pager Q2", AlertState::Firing),
    ];
    assert_eq!(newest(&house).await, both);
    house
        .raw("update decision set decided_at = now() - interval '25 hours'")
        .await;
    assert_eq!(newest(&house).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_later_counts_though_it_was_decided_before() {
    let house = House::new().await;
    house.application("shop").await;
    let pager = words(&house, "pager").await;
    let (began, ended, again) = (in_ms(0), in_ms(900), in_ms(2000));
    // It ended within its settle time: its end needs none, and is decided first.
    pager.say("Q1", "resolved", ended, Some("shop")).await;
    pager.say("Q1", "firing", began, Some("shop")).await;
    assert_eq!(
        newest(&house).await,
        [told("pager Q1", AlertState::Resolved)]
    );
    pager.say("Q1", "firing", again, Some("shop")).await;
    assert_eq!(newest(&house).await, [told("pager Q1", AlertState::Firing)]);
    // Of what happened at the same time, the later word counts.
    pager.say("Q1", "acknowledged", again, Some("shop")).await;
    let acknowledged = [told("pager Q1", AlertState::Acknowledged)];
    assert_eq!(newest(&house).await, acknowledged);
    // What says no time is no word that can be put anywhere.
    house
        .raw("update decision set notice = jsonb_set(notice, '{occurred_at}', '\"soon\"') where notice->>'state' <> 'resolved'")
        .await;
    assert_eq!(
        newest(&house).await,
        [told("pager Q1", AlertState::Resolved)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_is_removed_or_can_not_be_read_hides_no_other() {
    let house = House::new().await;
    house.application("shop").await;
    for name in ["pager", "gone", "broken"] {
        let words = words(&house, name).await;
        words.say("Q1", "firing", now(), Some("shop")).await;
    }
    assert_eq!(newest(&house).await.len(), 3);
    let gone = "gone".parse().unwrap();
    let removed = house.store.trigger_remove(&gone, &ana(), None).await;
    removed.unwrap();
    house
        .raw("update trigger set definition = '{\"kind\": \"riddle\"}' where name = 'broken'")
        .await;
    assert_eq!(newest(&house).await, [told("pager Q1", AlertState::Firing)]);
}

async fn advised(house: &House, plan: &Plan) {
    let new = NewTriage {
        id: Uuid::now_v7(),
        application: plan.application.name.clone(),
        answers: Vec::new(),
        advice: Some(Advice::RollBackNow),
        note: None,
        by: ana(),
        at: now(),
    };
    house.store.triage_put(&new).await.unwrap();
}

/// A rollback that this actor asks for, which waits for a yes.
async fn waiting(house: &House, plan: &Plan, by: Actor) -> RollbackId {
    let id = RollbackId(Uuid::now_v7());
    let ask = NewRollback {
        requested_by: by,
        approval_until: Some(in_ms(3_600_000)),
        ..ask(plan, id, &id.to_string())
    };
    house.store.rollback_request(&ask).await.unwrap();
    id
}

async fn hand(house: &House, id: RollbackId) -> Hand {
    let due = format!(
        "update rollback_run set wake_at = now() where rollback_id = '{}'",
        id.0
    );
    house.raw(due).await;
    Hand::of(&house.claim_one(&worker(), id, LEASE).await)
}

/// Goes to the first stop, and back.
async fn undone(run: &mut Hand, store: &Store, cause: Cause) {
    let mut at = 0;
    while !matches!(run.plan.steps[at], Step::Switch { .. }) {
        let done = Event::StepDone {
            note: "done".to_owned(),
            checks: None,
            built: None,
        };
        run.append(store, vec![done]).await.unwrap();
        at += 1;
    }
    let stop = Effect::StopContainer {
        container: run.plan.swaps[0].former.clone(),
        grace_s: 10,
    };
    let stopped = Event::Intended { effect: stop };
    run.append(store, vec![stopped]).await.unwrap();
    let back = Event::TurnedBack {
        cause: cause.clone(),
    };
    run.append(store, vec![back]).await.unwrap();
    run.end(store, Verdict::Restored { cause }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_rollback_that_goes_on_or_changed_something_meets_a_deadline() {
    let house = House::new().await;
    let store = &house.store;
    let plan = async |name: &str| {
        let plan = house.planned(name).await;
        advised(&house, &plan).await;
        plan
    };
    let cause = || Cause::new(CauseCode::NotApproved, "because");
    let pager = || Actor::of_trigger("pager").unwrap();
    // What an alert or a return proposes waits for a person, who did nothing yet.
    waiting(&house, &plan("proposed").await, pager()).await;
    waiting(&house, &plan("returned").await, Actor::watcher()).await;
    let id = waiting(&house, &plan("called-off").await, pager()).await;
    let cancelled = Verdict::Cancelled { cause: cause() };
    hand(&house, id).await.end(store, cancelled).await;
    let id = house.request(&plan("refused").await).await;
    let refused = Verdict::Refused { cause: cause() };
    hand(&house, id).await.end(store, refused).await;
    let id = house.request(&plan("restored").await).await;
    undone(&mut hand(&house, id).await, store, cause()).await;
    let id = house.request(&plan("unreached").await).await;
    let needs_human = || Verdict::NeedsHuman {
        cause: cause(),
        production: "unknown".to_owned(),
    };
    hand(&house, id).await.end(store, needs_human()).await;
    // What a person asked for, what goes on, and what put something in service.
    waiting(&house, &plan("asked").await, ana()).await;
    house.request(&plan("under-way").await).await;
    let started = plan("let-through").await;
    let id = RollbackId(Uuid::now_v7());
    let by_alert = NewRollback {
        requested_by: pager(),
        ..ask(&started, id, "alert")
    };
    store.rollback_request(&by_alert).await.unwrap();
    let id = house.request(&plan("rolled-back").await).await;
    let mut run = hand(&house, id).await;
    run.walk_to_watch(store).await;
    let good = Verdict::RolledBack {
        good: true,
        notes: Vec::new(),
    };
    run.end(store, good).await;
    let id = house.request(&plan("in-service").await).await;
    let mut run = hand(&house, id).await;
    run.walk_to_watch(store).await;
    run.end(store, needs_human()).await;
    house
        .raw("update triage set deadline = now() - interval '1 second'")
        .await;
    let names = |all: Vec<store::StoredTriage>| {
        let name = |one: &store::StoredTriage| one.triage.application.to_string();
        let mut names: Vec<String> = all.iter().filter(|one| one.open).map(name).collect();
        names.sort();
        names
    };
    let open = [
        "called-off",
        "proposed",
        "refused",
        "restored",
        "returned",
        "unreached",
    ];
    assert_eq!(names(store.triage_list(None, 50).await.unwrap()), open);
    let passed = store.triage_pass(&actor("worker")).await;
    assert_eq!(names(passed.unwrap()), open, "everybody is called");
}
