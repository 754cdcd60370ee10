//! What people order of a rollback since it was requested. Intent only: it never advances a run.

use domain::{
    lifecycle::{Phase, Run},
    name::{Actor, ApplicationName, RollbackId},
    next::{self, Order},
    planner,
    time::Moment,
};
use serde_json::json;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    audit,
    connect::{Store, timed},
    error::{Constraint, Error, Result},
    holds, plans, releases,
    wake::Topic,
};

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderPut {
    /// The worker will see it.
    Accepted,
    /// The rollback ended; nobody looks at orders any more.
    Ended,
    /// It is too far on for this order, for that reason.
    TooLate(&'static str),
    /// It could be approved until then.
    Expired {
        /// Until when.
        until: Moment,
    },
}

impl Store {
    /// Asks a rollback of an application that is only proposed to give way: it ends as called off by that actor. Which
    /// one; none when nothing is proposed.
    ///
    /// # Errors
    /// As every store function.
    pub async fn proposal_withdraw(
        &self,
        application: &ApplicationName,
        by: &Actor,
    ) -> Result<Option<RollbackId>> {
        let proposed: Option<Uuid> = timed(async {
            Ok(sqlx::query_scalar(
                "select r.rollback_id from rollback_run r join rollback b on b.id = r.rollback_id
                 where r.application = $1 and r.acts and r.phase = 'awaiting_approval'
                   and b.requested_by like 'trigger:%'",
            )
            .bind(application.as_str())
            .fetch_optional(&self.pool)
            .await?)
        })
        .await?;
        let Some(rollback) = proposed.map(RollbackId) else {
            return Ok(None);
        };
        // One that was approved at this moment is under way, and stays.
        let order = Order::Cancel { by: by.clone() };
        match self.order_put(rollback, &order, by).await? {
            OrderPut::Accepted => Ok(Some(rollback)),
            OrderPut::Ended | OrderPut::TooLate(_) | OrderPut::Expired { .. } => Ok(None),
        }
    }

    /// Tells a rollback's worker what somebody wants. Asking again before it was seen is asking once.
    ///
    /// It looks where the run is under a lock that every write of the run waits for, so what is accepted is seen by a
    /// turn: an end that does not answer it is not written (see [`Store::append`]).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] with [`Constraint::Barred`] when it approves the way to a release that is
    /// held or insecure by now; or as every store function.
    pub async fn order_put(
        &self,
        rollback: RollbackId,
        order: &Order,
        actor: &Actor,
    ) -> Result<OrderPut> {
        let Words {
            kind,
            superseding,
            at,
        } = words(order);
        let put = timed(async {
            let mut tx = self.pool.begin().await?;
            let run: Option<Json<Run>> = sqlx::query_scalar(
                "select state from rollback_run where rollback_id = $1 for share",
            )
            .bind(rollback.0)
            .fetch_optional(&mut *tx)
            .await?;
            let Json(run) = run.ok_or(Error::NotFound("rollback"))?;
            if let Some(refused) = in_vain(order, &run) {
                return Ok(refused);
            }
            if matches!(order, Order::Approve { .. }) {
                may_come_back(&mut tx, rollback).await?;
            }
            sqlx::query(
                "insert into rollback_order (rollback_id, kind, actor, superseding, at)
                 values ($1, $2, $3, $4, coalesce($5, now()))
                 on conflict (rollback_id, kind, actor) where seen_at is null do nothing",
            )
            .bind(rollback.0)
            .bind(kind)
            .bind(actor.as_str())
            .bind(superseding)
            .bind(at.map(OffsetDateTime::from))
            .execute(&mut *tx)
            .await?;
            let object = format!("rollback/{rollback}");
            audit::enter(
                &mut tx,
                actor,
                &format!("rollback.{kind}"),
                &object,
                json!({}),
            )
            .await?;
            tx.commit().await?;
            Ok(OrderPut::Accepted)
        })
        .await?;
        if put == OrderPut::Accepted {
            self.announce(Topic::Work);
        }
        Ok(put)
    }
}

/// What people said of the plan's target since the plan was made: nobody approves the way to what is held or insecure now.
async fn may_come_back(tx: &mut PgConnection, rollback: RollbackId) -> Result<()> {
    let (digest, body): (String, String) = sqlx::query_as(
        "select p.digest, p.body from rollback q join plan p on p.digest = q.plan_digest where q.id = $1",
    )
    .bind(rollback.0)
    .fetch_one(&mut *tx)
    .await?;
    let plan = plans::parse(&digest, &body)?;
    let (name, version) = (&plan.application.name, &plan.to);
    let marks = releases::marks(tx, name, version).await?;
    let hold = match plan.target.undoes() {
        None => marks.hold,
        // Who undoes a rollback says by that that its hold was wrong; of what others hold it for that says nothing.
        Some(undone) => holds::of_others(tx, name, version, undone).await?,
    };
    let barred = planner::barred(name, version, hold.as_deref(), marks.insecure.as_deref());
    if barred.is_empty() {
        Ok(())
    } else {
        Err(Error::Conflict(Constraint::Barred(barred)))
    }
}

/// Why nobody would obey an order to a run that is there.
fn in_vain(order: &Order, run: &Run) -> Option<OrderPut> {
    if matches!(run.phase, Phase::Ended { .. }) {
        return Some(OrderPut::Ended);
    }
    let waits = matches!(run.phase, Phase::AwaitingApproval { .. });
    match order {
        Order::Cancel { .. } => next::too_late_to_cancel(run).map(OrderPut::TooLate),
        Order::Approve { .. } | Order::Reject { .. } if !waits => {
            Some(OrderPut::TooLate("it waits for no approval"))
        }
        Order::Approve { at, .. } => {
            next::too_late_to_approve(run, *at).map(|until| OrderPut::Expired { until })
        }
        Order::Reject { .. } | Order::Supersede { .. } => None,
    }
}

/// An order as it is stored.
struct Words {
    kind: &'static str,
    superseding: Option<Uuid>,
    /// When it was said; without it, when it is stored.
    at: Option<Moment>,
}

fn words(order: &Order) -> Words {
    let plain = |kind| Words {
        kind,
        superseding: None,
        at: None,
    };
    match order {
        Order::Cancel { .. } => plain("cancel"),
        Order::Approve { at, .. } => Words {
            at: Some(*at),
            ..plain("approve")
        },
        Order::Reject { .. } => plain("reject"),
        Order::Supersede { by } => Words {
            superseding: Some(by.0),
            ..plain("supersede")
        },
    }
}
