//! What was said of a trouble since, by messages that are decided and by those that wait.

use domain::{
    guard::EpisodeFacts,
    time::{Millis, Moment},
    trigger::alert::Alert,
};
use serde_json::{Value, json};
use store::{DecisionOutcome, Told};

use crate::{
    evidence::{Alerted, alert, body, decision, keep, trigger},
    house::now,
};

impl Alerted {
    /// What is known of the trouble of an alert that came at that moment, messages that wait included.
    async fn known(&self, alert: &Alert, received_at: Moment) -> EpisodeFacts {
        let told = Told {
            event_id: "e9",
            alert,
            received_at,
            ..self.told()
        };
        let deciding = self.house.store.deciding(&self.trigger.name).await;
        let facts = deciding.unwrap().facts(&told).await.unwrap();
        facts.episode.known().unwrap().clone()
    }

    async fn decided(&self, event: &str, alert: &Alert, outcome: DecisionOutcome) {
        keep(&self.house, event, "{}").await;
        let new = store::NewDecision {
            application: Some(self.shop.name.clone()),
            ..decision(alert, outcome)
        };
        let store = &self.house.store;
        let put = store.decisions_put(&self.trigger.name, event, vec![new]);
        assert!(put.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_fires_again_after_its_end_is_a_trouble_of_its_own() {
    let alerted = Alerted::new().await;
    let t = now();
    let said = |state: &str, seconds: u32| alert("Q1", state, t.before(Millis::from_secs(seconds)));
    alerted
        .decided("e1", &said("firing", 300), DecisionOutcome::Proposed)
        .await;
    let again = said("firing", 0);
    assert_eq!(
        alerted.known(&again, t).await.decided.as_deref(),
        Some("e1")
    );
    alerted
        .decided("e2", &said("resolved", 200), DecisionOutcome::Recorded)
        .await;
    let known = alerted.known(&again, t).await;
    assert_eq!((known.decided, known.states.len()), (None, 3));
    alerted
        .decided("e3", &said("firing", 100), DecisionOutcome::Proposed)
        .await;
    assert_eq!(
        alerted.known(&again, t).await.decided.as_deref(),
        Some("e3")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_word_since_is_told_whether_it_is_decided_or_waits() {
    let alerted = Alerted::new().await;
    let t = now();
    let first = alert("Q1", "firing", t);
    assert_eq!(alerted.known(&first, t).await.later, None);
    let milder = Alert {
        severity: Some("P3".to_owned()),
        ..alert("Q1", "firing", t.after(Millis(5)))
    };
    alerted
        .decided("e1", &milder, DecisionOutcome::Recorded)
        .await;
    let later = alerted.known(&first, t).await.later.unwrap();
    assert_eq!(later.alert.severity.as_deref(), Some("P3"));
    assert_eq!(later.application.as_ref(), Some(&alerted.shop.name));
    let mut moved: Value =
        serde_json::from_str(&body("e2", "Q1", "triggered", t.after(Millis(10)))).unwrap();
    moved["event"]["data"]["service"] = json!({"id": "PSVC002"});
    moved["event"]["data"]["created_at"] = json!(t);
    keep(&alerted.house, "e2", &moved.to_string()).await;
    let later = alerted.known(&first, t).await.later.unwrap();
    assert_eq!(later.alert.service.as_deref(), Some("PSVC002"));
    // By its routes: this trigger's one leads everything there.
    let by_routes = trigger()
        .routes
        .first()
        .map(|route| route.application.clone());
    assert_eq!(later.application, by_routes);
}
