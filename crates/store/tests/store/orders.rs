//! A yes to a rollback that waits: when it counts, and what it can not be a yes to.

use domain::{
    hold::Marks,
    name::{Actor, RollbackId},
    next::Order,
    plan::Plan,
    planner::BlockerCode,
    target::Target,
    time::{Millis, Moment},
};
use store::{Constraint, Error, NewHold, NewRollback, OrderPut};
use uuid::Uuid;

use crate::house::{House, LEASE, actor, ana, ask, in_ms, named, now, worker};

/// A rollback along this plan that waits until then.
async fn waiting(house: &House, plan: &Plan, until: Moment) -> RollbackId {
    let id = RollbackId(Uuid::now_v7());
    let ask = NewRollback {
        approval_until: Some(until),
        ..ask(plan, id, &id.to_string())
    };
    house.store.rollback_request(&ask).await.unwrap();
    id
}

async fn approve(house: &House, id: RollbackId, by: &Actor, at: Moment) -> Result<OrderPut, Error> {
    let yes = Order::Approve { by: by.clone(), at };
    house.store.order_put(id, &yes, by).await
}

/// What keeps the target from coming back, as codes and sentences.
fn barred(put: Result<OrderPut, Error>) -> (Vec<BlockerCode>, String) {
    let Err(Error::Conflict(Constraint::Barred(found))) = &put else {
        panic!("{put:?}");
    };
    let said = Constraint::Barred(found.clone()).to_string();
    (found.iter().map(|blocker| blocker.code).collect(), said)
}

async fn hold(house: &House, plan: &Plan, reason: &str, insecure: bool) {
    let hold = NewHold {
        application: plan.application.name.clone(),
        version: plan.to.clone(),
        reason: reason.to_owned(),
        insecure,
        by: ana(),
    };
    house.store.hold_put(&hold).await.unwrap();
}

async fn release(house: &House, plan: &Plan) {
    let (name, version) = (&plan.application.name, &plan.to);
    let released = house.store.hold_release(name, version, &ana()).await;
    assert!(released.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_is_taken_until_the_time_is_over_and_kept_with_when_it_was_said() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let until = in_ms(600_000);
    let id = waiting(&house, &plan, until).await;
    let (ben, eva) = (actor("ben"), actor("eva"));
    for late in [until, until.after(Millis::from_secs(3600))] {
        let put = approve(&house, id, &ben, late).await.unwrap();
        assert_eq!(put, OrderPut::Expired { until });
    }
    assert!(house.store.orders_unseen(id).await.unwrap().is_empty());
    assert_eq!(
        house
            .count("select count(*) from audit_entry where action = 'rollback.approve'")
            .await,
        0
    );
    let just = until.before(Millis(1));
    let put = approve(&house, id, &eva, just).await.unwrap();
    assert_eq!(put, OrderPut::Accepted);
    let said = Order::Approve { by: eva, at: just };
    let unseen = house.store.orders_unseen(id).await.unwrap();
    assert_eq!(unseen[0].1, said);
    let claimed = house.claim_one(&worker(), id, LEASE).await;
    assert_eq!(claimed.orders[0].1, said);
    // A no is never too late while nothing has started.
    let no = Order::Reject { by: ben.clone() };
    let put = house.store.order_put(id, &no, &ben).await.unwrap();
    assert_eq!(put, OrderPut::Accepted);
}

/// Nobody drives it: the yes of a server whose worker is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_time_is_over_is_approved_by_nobody_although_it_has_not_ended() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let until = now().before(Millis::from_secs(3600));
    let id = waiting(&house, &plan, until).await;
    let put = approve(&house, id, &actor("ben"), now()).await.unwrap();
    assert_eq!(put, OrderPut::Expired { until });
    assert_eq!(
        house.store.rollback_get(id).await.unwrap().phase,
        "awaiting_approval"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_the_way_to_what_is_held_or_insecure_by_now() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let id = waiting(&house, &plan, in_ms(600_000)).await;
    let ben = actor("ben");
    hold(&house, &plan, "loses orders", false).await;
    let (codes, said) = barred(approve(&house, id, &ben, now()).await);
    assert_eq!(codes, [BlockerCode::Held]);
    assert_eq!(said, "1.4.2 is held: loses orders");
    release(&house, &plan).await;
    hold(&house, &plan, "CVE-2026-1", true).await;
    let (codes, said) = barred(approve(&house, id, &ben, now()).await);
    assert_eq!(codes, [BlockerCode::Held, BlockerCode::Insecure]);
    assert!(said.contains("marked insecure: CVE-2026-1"), "{said}");
    assert!(house.store.orders_unseen(id).await.unwrap().is_empty());
    // Whoever says no needs no release for that.
    let no = Order::Reject { by: ana() };
    let put = house.store.order_put(id, &no, &ana()).await.unwrap();
    assert_eq!(put, OrderPut::Accepted);
    release(&house, &plan).await;
    let put = approve(&house, id, &ben, now()).await.unwrap();
    assert_eq!(put, OrderPut::Accepted);
}

/// What was looked up may be seconds old when it is decided.
#[tokio::test(flavor = "multi_thread")]
async fn who_decides_on_an_alert_reads_what_is_said_of_the_target_by_then() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let (name, version) = (&plan.application.name, &plan.to);
    let pager = "pager".parse().unwrap();
    let mut deciding = house.store.deciding(&pager).await.unwrap();
    assert_eq!(
        deciding.marks(name, version).await.unwrap(),
        Marks::default()
    );
    hold(&house, &plan, "CVE-2026-1", true).await;
    let marks = deciding.marks(name, version).await.unwrap();
    assert_eq!(
        marks,
        house.store.release_marks(name, version).await.unwrap()
    );
    assert!(
        marks.hold.is_some() && marks.insecure.is_some(),
        "{marks:?}"
    );
    release(&house, &plan).await;
    assert_eq!(
        deciding.marks(name, version).await.unwrap(),
        Marks::default()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_is_approved_over_the_hold_that_it_undoes_and_over_no_other() {
    let house = House::new().await;
    let plan = house.planned("shop").await;
    let undone = house.request(&plan).await;
    house
        .raw(format!(
            "update rollback_run set phase = 'ended', acts = false, ended_at = now();
             insert into hold (application, version, reason, insecure, held_by, rollback_id)
             values ('shop', '1.5.0', 'rolled back: critical_bug', false, 'ana', '{undone}')"
        ))
        .await;
    let undo = Plan {
        target: Target::Undo(undone),
        from: Some(plan.to.clone()),
        to: "1.5.0".parse().unwrap(),
        ..plan.clone()
    };
    house.store.plan_put(&undo, &ana()).await.unwrap();
    let id = waiting(&house, &undo, in_ms(600_000)).await;
    let releases = house.store.releases(&named("shop")).await.unwrap();
    let former = releases.iter().find(|release| release.version == undo.to);
    assert!(former.unwrap().hold.is_some(), "{releases:?}");
    let put = approve(&house, id, &actor("ben"), now()).await.unwrap();
    assert_eq!(put, OrderPut::Accepted);
    hold(&house, &undo, "loses orders", false).await;
    let (codes, said) = barred(approve(&house, id, &actor("eva"), now()).await);
    assert_eq!(codes, [BlockerCode::Held]);
    assert_eq!(said, "1.5.0 is held: loses orders");
}
