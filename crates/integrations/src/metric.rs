//! Numbers of Prometheus servers: one bounded request for each metric.

use std::time::Duration;

use domain::{
    metric::{METRICS_MAX, Metric, Reading},
    time::Moment,
};
use futures_util::{StreamExt, stream};

use crate::{
    fetch::{BODY_BYTES_MAX, Body},
    probe::Prober,
};

impl Prober {
    /// What each metric says now, in their order, all asked at once, each within the limit.
    pub async fn measure(&self, metrics: &[Metric], limit: Duration, now: Moment) -> Vec<Reading> {
        // Collected first, as the questions of probes are.
        let readings: Vec<_> = metrics
            .iter()
            .map(|metric| self.reading(metric, limit, now))
            .collect();
        stream::iter(readings).buffered(METRICS_MAX).collect().await
    }

    async fn reading(&self, metric: &Metric, limit: Duration, now: Moment) -> Reading {
        let address = metric.address(limit.as_secs().max(1));
        match self.fetcher.get(&address, Body::Read, limit).await {
            Ok(fetched) if fetched.cut => metric.silent(&format!(
                "the answer is longer than {} KiB: let the query make one number of it",
                BODY_BYTES_MAX >> 10
            )),
            Ok(fetched) => metric.read(fetched.status, &fetched.body, now),
            Err(why) => metric.silent(&why),
        }
    }
}
