//! The probes of rollbacks in their watch window. It only looks: when something would follow, it wakes the
//! rollback, whose own claim then looks and decides. So a watch costs a row, and a change costs one commit.

use std::{sync::Arc, time::Duration};

use domain::{
    name::Fence,
    next::{self, Claim, Then},
};
use futures_util::{StreamExt, stream};
use store::{Store, WatchingRun};
use tokio_util::sync::CancellationToken;

use crate::{clock, world::World};

/// The runbook watches for 15 to 30 minutes; five seconds is a fortieth of the time that a red may last.
const EVERY: Duration = Duration::from_secs(5);
/// Applications looked at together: a look costs a few engine calls and its probes.
const AT_ONCE: usize = 8;
/// Runs read at once: a plan is a few kilobytes.
const RUNS_AT_ONCE: u32 = 100;

pub(crate) async fn run<W: World>(store: Store, world: Arc<W>, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        if let Err(error) = look_at_all(&store, &world).await {
            tracing::warn!(%error, "can not list the watch windows; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Looking needs no claim, so no fence is too old for it.
const ANY_FENCE: Fence = Fence(i64::MAX);

async fn look_at_all<W: World>(store: &Store, world: &Arc<W>) -> Result<(), store::Error> {
    let mut after = None;
    loop {
        let runs = store.watching_runs(after, RUNS_AT_ONCE).await?;
        let Some(last) = runs.last() else {
            return Ok(());
        };
        after = Some(last.rollback);
        let looks: Vec<_> = runs
            .into_iter()
            .map(|run| look_at(store, world, run))
            .collect();
        stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<()>>()
            .await;
    }
}

async fn look_at<W: World>(store: &Store, world: &Arc<W>, watching: WatchingRun) {
    let WatchingRun {
        rollback,
        plan,
        run,
        ..
    } = watching;
    let claim = Claim {
        rollback,
        fence: ANY_FENCE,
        crashes: 0,
    };
    let plan = plan.as_built(&run.built);
    let Ok(seen) = world
        .look(&plan, rollback, next::scope(&plan, &run, claim))
        .await
    else {
        return;
    };
    let turn = next::turn(&plan, &run, claim, &[], &seen, clock::now());
    if turn.events.is_empty() && matches!(turn.then, Then::Rest(_)) {
        return;
    }
    if let Err(error) = store.wake_run(rollback).await {
        tracing::warn!(%error, %rollback, "could not wake the rollback; trying again");
    }
}
