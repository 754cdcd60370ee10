//! What each sender is answered, by its own rules for trying again: a wrong answer loses alerts, or the subscription.

use super::{Kind, verify::Refusal};

/// Longest body of a PagerDuty event: longer ones are not even sent.
const PAGERDUTY_BYTES_MAX: usize = 256 << 10;
/// Longest body of senders whose messages are one event each.
const ONE_EVENT_BYTES_MAX: usize = 256 << 10;
/// Longest body of senders that put many alerts, or a whole repository, into a message.
const MANY_BYTES_MAX: usize = 1 << 20;

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// It is kept, or was before, or is of a kind that nothing is done with. What the guards say of it comes later and
    /// is never an error for the sender.
    Accepted,
    /// It is not believed.
    Refused(Refusal),
    /// Its body is too long.
    TooLarge,
    /// It could not be kept: our database is away, or too much comes at once.
    Away,
}

/// The status for a sender.
///
/// Every 4xx but 429 makes PagerDuty drop an event, and three drops end the subscription for a day: none is given for
/// what is truly from it. Alertmanager tries again after a 5xx only. Grafana never does.
#[must_use]
pub fn status(kind: Kind, situation: Situation) -> u16 {
    match (situation, kind) {
        (
            Situation::Accepted,
            Kind::Alertmanager | Kind::Grafana | Kind::Sentry | Kind::Slack | Kind::Mattermost,
        ) => 200,
        (
            Situation::Accepted,
            Kind::Pagerduty
            | Kind::Github
            | Kind::StandardWebhooks
            | Kind::Cloudevents
            | Kind::Generic,
        ) => 202,
        (Situation::Refused(Refusal::Missing | Refusal::Empty), Kind::Pagerduty) => 400,
        (Situation::Refused(Refusal::NoSecret), _) => 503,
        (Situation::Refused(Refusal::Empty), _) => 400,
        (Situation::Refused(_), Kind::Pagerduty) => 403,
        (Situation::Refused(_), _) => 401,
        (Situation::TooLarge, _) => 413,
        (Situation::Away, _) => 503,
    }
}

/// Longest body of a sender's message.
#[must_use]
pub fn body_bytes_max(kind: Kind) -> usize {
    match kind {
        Kind::Pagerduty => PAGERDUTY_BYTES_MAX,
        Kind::StandardWebhooks
        | Kind::Cloudevents
        | Kind::Generic
        | Kind::Slack
        | Kind::Mattermost => ONE_EVENT_BYTES_MAX,
        Kind::Alertmanager | Kind::Grafana | Kind::Github | Kind::Sentry => MANY_BYTES_MAX,
    }
}
