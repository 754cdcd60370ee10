//! The senders, one file each: how each proves itself, and what its bodies say in our words.

pub(super) mod alertmanager;
pub(super) mod cloudevents;
pub(super) mod generic;
pub(super) mod github;
pub(super) mod grafana;
pub(super) mod mattermost;
mod own;
pub(super) mod pagerduty;
pub(super) mod sentry;
pub(super) mod slack;
pub(super) mod standard_webhooks;
