//! The log is the truth: replaying it gives the cached state, and a changed one is found out.

use domain::{
    chain::{self, Entry},
    lifecycle::{Event, Phase, Run},
    name::{Fence, RollbackId},
    time::Moment,
    verdict::{Cause, CauseCode, Verdict},
};
use store::{DeploymentFilter, DeploymentState, Page, StoredEvent, Verified};

use crate::house::{Hand, House, named, worker};

async fn all_events(house: &House, id: RollbackId) -> Vec<StoredEvent> {
    let mut events: Vec<StoredEvent> = Vec::new();
    loop {
        let page = house
            .store
            .events(id, events.last().map_or(0, |event| event.seq), 7)
            .await
            .unwrap();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replaying_the_log_gives_the_cached_state_after_every_step() {
    let house = House::new().await;
    let claimed = house.claimed("shop", &worker()).await;
    let mut hand = Hand::of(&claimed);
    hand.walk_to_watch(&house.store).await;
    hand.append(
        &house.store,
        vec![Event::WatchRed {
            said: "500".to_owned(),
        }],
    )
    .await
    .unwrap();
    hand.append(&house.store, vec![Event::WatchGreen { until: None }])
        .await
        .unwrap();
    hand.end(
        &house.store,
        Verdict::RolledBack {
            good: true,
            notes: Vec::new(),
        },
    )
    .await;

    let events = all_events(&house, claimed.rollback).await;
    let mut run = Run::requested(&events[0].event, events[0].at).unwrap();
    for stored in &events[1..] {
        run = run.evolve(&claimed.plan, &stored.event, stored.at).unwrap();
    }
    let view = house.store.rollback_get(claimed.rollback).await.unwrap();
    assert_eq!(run, view.run);
    assert_eq!(
        (view.seq, view.good),
        (i32::try_from(events.len()).unwrap(), Some(true))
    );
    assert_eq!(view.head, chain::hex(&events.last().unwrap().hash));
    assert!(view.ended_at.is_some() && view.outage.is_some_and(|outage| outage.0 >= 3));
    assert_eq!(
        house.store.verify(claimed.rollback).await.unwrap(),
        Verified::Ok { events: view.seq }
    );
    assert_eq!(
        house.store.outages(&named("shop")).await.unwrap(),
        [view.outage.unwrap()]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_rollback_judges_its_own_ledger_entry() {
    let failed = Verdict::NeedsHuman {
        cause: Cause::new(CauseCode::WatchFailed, "red"),
        production: "?".to_owned(),
    };
    let crashed = Verdict::NeedsHuman {
        cause: Cause::new(CauseCode::StepCrashes, "3"),
        production: "?".to_owned(),
    };
    let verdicts = [
        (
            Verdict::RolledBack {
                good: true,
                notes: Vec::new(),
            },
            DeploymentState::Good,
        ),
        (
            Verdict::RolledBack {
                good: false,
                notes: Vec::new(),
            },
            DeploymentState::Unproved,
        ),
        (failed, DeploymentState::Bad),
        (crashed, DeploymentState::Unproved),
    ];
    let house = House::new().await;
    for (n, (verdict, state)) in verdicts.into_iter().enumerate() {
        let name = format!("shop{n}");
        let mut hand = Hand::of(&house.claimed(&name, &worker()).await);
        hand.walk_to_watch(&house.store).await;
        hand.end(&house.store, verdict.clone()).await;
        let page = Page {
            after: None,
            limit: 1,
        };
        let newest = house
            .store
            .deployment_list(&named(&name), &DeploymentFilter::default(), &page)
            .await
            .unwrap();
        assert_eq!(newest.items[0].rollback, Some(hand.held.rollback));
        assert_eq!(newest.items[0].state, state, "{verdict:?}");
        assert!(newest.items[0].judged_at.is_some());
        let view = house.store.rollback_get(hand.held.rollback).await.unwrap();
        assert_eq!(view.run.phase, Phase::Ended { verdict });
    }
}

/// Breaks the log in one way, says where that is found, and puts everything back.
async fn found(house: &House, id: RollbackId, tampering: &str) -> Verified {
    let keep = "drop table if exists kept; create table kept as table rollback_event;
                drop table if exists kept_run; create table kept_run as table rollback_run;
                alter table rollback_event disable trigger rollback_event_append_only;";
    house.raw(format!("{keep} {tampering}")).await;
    let found = house.store.verify(id).await.unwrap();
    let restore = "truncate rollback_event; insert into rollback_event table kept;
                   truncate rollback_run; insert into rollback_run table kept_run;
                   alter table rollback_event enable trigger rollback_event_append_only;";
    house.raw(restore).await;
    assert!(matches!(
        house.store.verify(id).await.unwrap(),
        Verified::Ok { .. }
    ));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn verifying_names_the_first_event_that_is_not_what_was_written() {
    let house = House::new().await;
    let mut hand = Hand::of(&house.claimed("shop", &worker()).await);
    hand.walk_to_watch(&house.store).await;
    let (id, last) = (hand.held.rollback, hand.held.seq);
    assert!(last > 8);
    let broken_at = [
        ("update rollback_event set body = replace(body, 'step 1', 'step 7') where seq = 3", 3),
        ("update rollback_event set body = body || ' ' where seq = 5", 5),
        ("update rollback_event set actor = 'bob' where seq = 2", 2),
        ("update rollback_event set at = at + interval '1 ms' where seq = 4", 4),
        ("update rollback_event set fence = fence + 1 where seq = 6", 6),
        ("update rollback_event set hash = decode(repeat('00', 32), 'hex') where seq = 7", 7),
        ("delete from rollback_event where seq = 4", 4),
        ("delete from rollback_event where seq = 1", 1),
        ("update rollback_event set seq = case seq when 2 then -3 when 3 then -2 end where seq in (2, 3);
          update rollback_event set seq = -seq where seq < 0", 2),
    ];
    for (tampering, seq) in broken_at {
        let found = found(&house, id, tampering).await;
        assert!(
            matches!(found, Verified::Broken { seq: at, .. } if at == seq),
            "{tampering}: {found:?}"
        );
    }
    let tail = format!("delete from rollback_event where seq >= {}", last - 1);
    assert!(
        matches!(found(&house, id, &tail).await, Verified::Broken { seq, .. } if seq == last - 1)
    );
    let beyond = format!(
        "insert into rollback_event select rollback_id, fence, at, seq + 1, actor, body, hash
                          from rollback_event where seq = {last}"
    );
    assert!(
        matches!(found(&house, id, &beyond).await, Verified::Broken { seq, .. } if seq == last + 1)
    );
    let state = r#"update rollback_run set state = state::jsonb || '{"acts": 77}'"#;
    assert!(matches!(found(&house, id, state).await, Verified::Broken { seq, .. } if seq == last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_written_anew_with_a_whole_chain_does_not_fit_the_head() {
    let house = House::new().await;
    let mut hand = Hand::of(&house.claimed("shop", &worker()).await);
    hand.walk_to_watch(&house.store).await;
    let id = hand.held.rollback;
    house
        .raw("alter table rollback_event disable trigger rollback_event_append_only")
        .await;
    let mut link = chain::root(id);
    let rows: Vec<(i32, i64, time::OffsetDateTime, String)> =
        sqlx::query_as("select seq, fence, at, body from rollback_event order by seq")
            .fetch_all(&house.pool)
            .await
            .unwrap();
    for (seq, fence, at, body) in rows {
        let entry = Entry {
            seq,
            fence: Fence(fence),
            at: Moment::from(at),
            actor: "mallory",
            body: &body,
        };
        link = chain::link(&link, &entry);
        sqlx::query("update rollback_event set actor = 'mallory', hash = $2 where seq = $1")
            .bind(seq)
            .bind(link.as_slice())
            .execute(&house.pool)
            .await
            .unwrap();
    }
    let found = house.store.verify(id).await.unwrap();
    assert!(
        matches!(found, Verified::Broken { seq, .. } if seq == hand.held.seq),
        "{found:?}"
    );
}
