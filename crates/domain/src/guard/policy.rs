//! The limits that guards go by, each with its reason.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{application::BadField, time::Millis};

/// The limits that guards go by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How old an alert may be: senders repeat for up to two days, and by then somebody has acted.
    pub age_max: Millis,
    /// How far ahead of ours a sender's clock may be; further, and none of its times can be relied on.
    pub ahead_max: Millis,
    /// How long an alert has to stay before anything is done: many resolve by themselves in that time.
    pub settle: Millis,
    /// How long before an alert a deployment can be its cause.
    pub cause_max: Millis,
    /// How long a release must have served to be worth going back to by itself.
    pub served_min: Millis,
    /// How long after a rollback nothing is rolled back by itself: what it did has to show first.
    pub cooldown: Millis,
    /// Rollbacks that alerts may start within an hour, over all applications: more than that is no longer one bad
    /// deployment.
    pub an_hour_max: usize,
    /// Rollbacks that one trigger may start within a day: who needs more of them needs a person.
    pub a_day_max: usize,
    /// Rollbacks that alerts may have acting at the same time, over all applications.
    pub at_once_max: usize,
    /// Applications that alerts of one episode may roll back: a trouble that shows in many rarely comes from each.
    pub an_episode_max: usize,
    /// Changes of an episode's state within `flap_window` from which on it is said to come and go.
    pub flap_changes: usize,
    /// See `flap_changes`.
    pub flap_window: Millis,
}

/// An hour, for the cap by the hour.
pub(super) const HOUR: Millis = Millis::from_secs(3600);
/// How long after a rollback that ended before it touched anything no alert starts the next: what stood in its way stands there
/// for some time, and a storm would ask at every moment of it.
pub(super) const AFTER_NOTHING: Millis = Millis::from_secs(60);
/// A day, for the cap by the day and for what is never done twice.
pub(super) const DAY: Millis = Millis::from_secs(86_400);

impl Default for Policy {
    fn default() -> Self {
        Self {
            age_max: Millis::from_secs(600),
            ahead_max: Millis::from_secs(300),
            settle: Millis::from_secs(30),
            cause_max: Millis::from_secs(1800),
            served_min: Millis::from_secs(600),
            cooldown: Millis::from_secs(600),
            an_hour_max: 3,
            a_day_max: 8,
            at_once_max: 1,
            an_episode_max: 1,
            flap_changes: 4,
            flap_window: Millis::from_secs(900),
        }
    }
}

/// What an application's definition sets otherwise. The caps over all applications are not among them: one application
/// can not speak for the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuardSettings {
    /// How long an alert has to stay before it may start a rollback, in seconds; 30 without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 3600)]
    pub settle_s: Option<u32>,
    /// How old an alert may be, in seconds; 600 without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3600)]
    pub age_max_s: Option<u32>,
    /// How long before an alert a deployment can be its cause, in seconds; 1800 without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86400)]
    pub cause_max_s: Option<u32>,
    /// How long a release must have served before it may come back by itself, in seconds; 600 without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 86400)]
    pub served_min_s: Option<u32>,
    /// How long after a rollback no alert starts another, in seconds; 600 without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 60, maximum = 86400)]
    pub cooldown_s: Option<u32>,
}

impl GuardSettings {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is out of its range, by field.
    pub fn check(&self, field: &str, bad: &mut Vec<BadField>) {
        let limits = [
            ("settle_s", self.settle_s, 0, 3600),
            ("age_max_s", self.age_max_s, 1, 3600),
            ("cause_max_s", self.cause_max_s, 1, 86_400),
            ("served_min_s", self.served_min_s, 0, 86_400),
            // Never less than a minute: a storm of alerts comes within seconds.
            ("cooldown_s", self.cooldown_s, 60, 86_400),
        ];
        for (name, value, min, max) in limits {
            if value.is_some_and(|value| value < min || value > max) {
                let what = format!("use {min} to {max} seconds");
                bad.push(BadField::new(format!("{field}.{name}"), what));
            }
        }
    }
}

impl Policy {
    /// The limits for one application.
    #[must_use]
    pub fn of(settings: &GuardSettings) -> Self {
        let usual = Self::default();
        let or = |set: Option<u32>, usual: Millis| set.map_or(usual, Millis::from_secs);
        Self {
            settle: or(settings.settle_s, usual.settle),
            age_max: or(settings.age_max_s, usual.age_max),
            cause_max: or(settings.cause_max_s, usual.cause_max),
            served_min: or(settings.served_min_s, usual.served_min),
            cooldown: or(settings.cooldown_s, usual.cooldown),
            ..usual
        }
    }
}
