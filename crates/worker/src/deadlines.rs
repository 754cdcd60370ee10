//! Deadlines of what people were advised to do: one that passes with nothing done is said aloud.

use std::time::Duration;

use domain::name::Actor;
use metrics::counter;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::metric;

/// How often it is asked which deadlines passed: they are minutes away.
const POLL: Duration = Duration::from_secs(5);

pub(crate) async fn run(store: Store, shutdown: CancellationToken) {
    let by: Actor = "worker".parse().expect("the literal is a valid actor");
    while !shutdown.is_cancelled() {
        match store.triage_pass(&by).await {
            Ok(passed) => {
                for late in passed {
                    counter!(metric::DEADLINES).increment(1);
                    let application = &late.triage.application;
                    let advice = late.triage.advice.map(domain::triage::Advice::sentence);
                    let decided_by = &late.triage.by;
                    tracing::error!(%application, advice, %decided_by, "nothing was done until the deadline");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "can not look for deadlines that passed; trying again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
}
