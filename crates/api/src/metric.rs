//! Every metric of the API: names, descriptions and the one place that writes each.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// The histogram of request times, for whoever sets its buckets.
pub const REQUESTS: &str = "sternway_http_request_duration_seconds";
const STREAMS: &str = "sternway_http_streams_open";
const REFUSED_TOKENS: &str = "sternway_http_refused_tokens_total";
const ROLLBACK_REQUESTS: &str = "sternway_api_rollback_requests_total";
const GLASS: &str = "sternway_api_break_glass_total";
const MESSAGES: &str = "sternway_trigger_messages_total";

/// Buckets of [`REQUESTS`] in seconds: from a row read to the longest poll.
pub const REQUEST_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// Tells the recorder what each metric means. Called once, after the recorder is installed.
pub(crate) fn describe() {
    describe_histogram!(
        REQUESTS,
        metrics::Unit::Seconds,
        "Time to an answer's header, by route, method and status"
    );
    describe_gauge!(STREAMS, "Open event streams and long polls");
    describe_counter!(REFUSED_TOKENS, "Requests whose token was refused");
    describe_counter!(
        ROLLBACK_REQUESTS,
        "Rollback requests by answer: new or replayed"
    );
    describe_counter!(
        GLASS,
        "Rollbacks that somebody started without the approval that was to be asked for"
    );
    describe_counter!(
        MESSAGES,
        "Messages of triggers by sender and answer: kept, known, off, or why one was refused"
    );
}

pub(crate) fn request(method: &'static str, route: &str, status: u16, took: Duration) {
    let labels = [
        ("method", method.to_owned()),
        ("route", route.to_owned()),
        ("status", status.to_string()),
    ];
    histogram!(REQUESTS, &labels).record(took);
}

pub(crate) fn stream_opened() {
    gauge!(STREAMS).increment(1);
}

pub(crate) fn stream_closed() {
    gauge!(STREAMS).decrement(1);
}

pub(crate) fn token_refused() {
    counter!(REFUSED_TOKENS).increment(1);
}

/// A message of a trigger, by what was done with it: kept, known, off, or why it was refused.
pub(crate) fn message(kind: domain::trigger::Kind, answer: &'static str) {
    counter!(MESSAGES, "kind" => kind.word(), "answer" => answer).increment(1);
}

pub(crate) fn glass_broken() {
    counter!(GLASS).increment(1);
}

pub(crate) fn rollback_requested(answer: &'static str) {
    counter!(ROLLBACK_REQUESTS, "answer" => answer).increment(1);
}
