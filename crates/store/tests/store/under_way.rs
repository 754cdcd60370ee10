//! What is under way on an application when an alert about it is judged: a deployment that somebody told of, and what is
//! not: a rollback that only waits for a yes.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    drift::Detected,
    guard::Underway,
    time::{Millis, Moment},
};
use serde_json::json;
use store::{DecisionOutcome, NewDecision, NewRollback};

use crate::{
    evidence::{Alerted, decision, keep},
    house::{ana, component, components, image, now},
};

impl Alerted {
    async fn underway(&self) -> Option<Underway> {
        self.house.store.facts(&self.told()).await.unwrap().underway
    }

    /// What a trigger told of a deployment of this application.
    async fn tells(&self, event: &str, state: &str, code: &str, key: &str, at: Moment) {
        keep(&self.house, event, "{}").await;
        let told = json!({"deployed": {"key": key, "state": state, "service": "acme/shop", "version": "1.5.1", "at": at}});
        let new = NewDecision {
            application: Some(self.shop.name.clone()),
            code: code.to_owned(),
            notice: told,
            episode: None,
            ..decision(&self.alert, DecisionOutcome::Recorded)
        };
        let put = self
            .house
            .store
            .decisions_put(&self.trigger.name, event, vec![new]);
        assert!(put.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_began_is_under_way_until_its_end_is_told() {
    let alerted = Alerted::new().await;
    assert_eq!(alerted.underway().await, None);
    let began = now();
    alerted
        .tells("e1", "started", "other_environment", "d0", began)
        .await;
    alerted
        .tells("e2", "announced", "release_published", "r1", began)
        .await;
    assert_eq!(alerted.underway().await, None);
    alerted
        .tells("e3", "started", "deploy_started", "d1", began)
        .await;
    let found = alerted.underway().await.unwrap();
    assert_eq!(
        (
            found.trigger.as_str(),
            found.version.as_deref(),
            found.since
        ),
        ("pager", Some("1.5.1"), began)
    );
    // Not for another application, nor for ever.
    let blog = alerted.house.application("blog").await;
    let about_blog = store::Told {
        application: &blog,
        ..alerted.told()
    };
    let facts = alerted.house.store.facts(&about_blog).await.unwrap();
    assert_eq!(facts.underway, None);
    alerted
        .tells(
            "e4",
            "failed",
            "deploy_failed",
            "d1",
            began.after(Millis(5)),
        )
        .await;
    assert_eq!(alerted.underway().await, None);
    alerted
        .tells("e5", "started", "deploy_started", "d2", now())
        .await;
    assert!(alerted.underway().await.is_some());
    alerted
        .house
        .raw("update decision set decided_at = now() - interval '31 minutes'")
        .await;
    assert_eq!(alerted.underway().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_the_ledger_has_is_not_under_way() {
    let alerted = Alerted::new().await;
    alerted
        .tells("e1", "started", "deploy_started", "d1", now())
        .await;
    assert!(alerted.underway().await.is_some());
    alerted.house.deploy(&alerted.shop, "1.5.1", 'c').await;
    assert_eq!(alerted.underway().await, None);
}

/// In a storm of alerts what was told of deployments is a handful among all that was told.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_of_deployments_is_found_by_its_own_index() {
    let alerted = Alerted::new().await;
    alerted
        .house
        .raw(
            "insert into decision (id, trigger_name, event_id, part, application, outcome, code, said, notice)
             select gen_random_uuid(), 'pager', 's' || n, 0, 'shop', 'recorded', 'x', 'x', '{}'
             from generate_series(1, 20000) n; analyze decision",
        )
        .await;
    alerted
        .tells("e1", "started", "deploy_started", "d1", now())
        .await;
    let before = alerted.read().await;
    assert!(alerted.underway().await.is_some());
    let read = alerted.read().await - before;
    assert!(read < 1000, "{read} rows of what was told are read");
}

impl Alerted {
    /// How many rows of what was told were read so far.
    async fn read(&self) -> i64 {
        // What a session read is told when it is idle, a second later at most.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        self.house
            .count(
                "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables
                 where relname = 'decision'",
            )
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_only_waits_for_a_yes_hides_nothing_that_is_deployed() {
    let alerted = Alerted::new().await;
    let (house, name) = (&alerted.house, &alerted.shop.name);
    let store = &house.store;
    let seen = async || {
        let watched = store.applications_watched(&BTreeMap::new()).await.unwrap();
        let due = store.deployments_due(10, Duration::ZERO).await.unwrap();
        let standpoint = store.standpoint(name).await.unwrap();
        let of_due = due.iter().all(|work| work.rolling_back);
        assert!(!due.is_empty());
        assert_eq!(of_due, due.iter().any(|work| work.rolling_back));
        [watched[0].acting, of_due, standpoint.acting]
    };
    let proposal = NewRollback {
        approval_until: Some(now().after(Millis::from_secs(600))),
        ..alerted.ask("proposal")
    };
    store.rollback_request(&proposal).await.unwrap();
    assert_eq!(seen().await, [false; 3]);
    let found = Detected {
        version: "1.6.0".parse().unwrap(),
        commit: None,
        notes: "found running".to_owned(),
        components: BTreeMap::from([(component(), (image('d'), "shop:1.6.0".to_owned()))]),
    };
    let standpoint = store.standpoint(name).await.unwrap();
    let (parts, by) = (components('d'), ana());
    let detected = store.deployment_detected(name, &standpoint, &found, &parts, &by);
    assert!(detected.await.unwrap().is_some());
    house
        .raw(format!(
            "update rollback_run set phase = 'forward' where rollback_id = '{}'",
            proposal.id
        ))
        .await;
    assert_eq!(seen().await, [true; 3]);
}
