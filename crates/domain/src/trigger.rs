//! Triggers: what other systems tell us, and whether it may start a rollback. A trigger is an alert source or a feed of
//! deployments that somebody set up; a message from it is verified, read into our words, and then judged by guards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    application::BadField,
    guard::Impact,
    name::{ApplicationName, TriggerName},
};

pub mod alert;
pub mod answer;
mod field;
mod headers;
pub mod message;
pub mod route;
pub mod secret;
mod sender;
pub mod settings;
pub mod sort;
pub mod trust;
pub mod verify;

pub use headers::Headers;
pub use settings::Settings;
pub use trust::{Doubt, Mode, TrustTier};

/// Most routes of one trigger: each is tried for each alert.
pub const ROUTES_MAX: usize = 64;
/// Most words for severity of one trigger, and the longest.
const SEVERITIES_MAX: usize = 64;
const WORD_CHARS_MAX: usize = 64;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// PagerDuty webhooks, version 3.
    Pagerduty,
    /// Prometheus Alertmanager webhooks, version 4.
    Alertmanager,
    /// Grafana alerting webhooks.
    Grafana,
    /// GitHub webhooks: deployment statuses and releases.
    Github,
    /// Sentry's integration platform.
    Sentry,
    /// Standard Webhooks 1.0 with our own kinds of messages: for CI.
    StandardWebhooks,
    /// CloudEvents 1.0 with our own kinds of messages.
    Cloudevents,
    /// Any JSON, signed with HMAC-SHA-256, whose fields are named in the settings.
    Generic,
    /// Slack's slash commands and buttons: what a person asks for, done in the name of that person.
    Slack,
    /// Mattermost's slash commands.
    Mattermost,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Pagerduty,
        Self::Alertmanager,
        Self::Grafana,
        Self::Github,
        Self::Sentry,
        Self::StandardWebhooks,
        Self::Cloudevents,
        Self::Generic,
        Self::Slack,
        Self::Mattermost,
    ];

    /// Whether its messages are what persons ask for, and not alerts or deployments.
    #[must_use]
    pub fn is_chat(self) -> bool {
        matches!(self, Self::Slack | Self::Mattermost)
    }

    /// The word in the API and the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pagerduty => "pagerduty",
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
            Self::Github => "github",
            Self::Sentry => "sentry",
            Self::StandardWebhooks => "standard_webhooks",
            Self::Cloudevents => "cloudevents",
            Self::Generic => "generic",
            Self::Slack => "slack",
            Self::Mattermost => "mattermost",
        }
    }
}

/// A trigger that somebody set up: who sends, what it is trusted with, and which application a message is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Its name; part of the address that its sender posts to.
    pub name: TriggerName,
    /// Who sends.
    pub kind: Kind,
    /// What its messages may lead to.
    #[serde(default)]
    pub mode: Mode,
    /// How far it is trusted at most; as far as its sender proves itself when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustTier>,
    /// Which application a message is about: the first route that fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub routes: Vec<route::Route>,
    /// What its words for severity mean; the usual ones are known without.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub severities: BTreeMap<String, Impact>,
    /// What differs from sender to sender.
    #[serde(default, skip_serializing_if = "Settings::is_default")]
    pub settings: Settings,
}

impl Trigger {
    /// Everything that is wrong with it.
    ///
    /// # Errors
    /// The fields that are wrong.
    pub fn check(&self) -> Result<(), Vec<BadField>> {
        let mut bad = Vec::new();
        if self.routes.len() > ROUTES_MAX {
            let what = format!("use at most {ROUTES_MAX} routes");
            bad.push(BadField::new("routes", what));
        }
        for (at, route) in self.routes.iter().enumerate() {
            route.check(&format!("routes[{at}]"), &mut bad);
        }
        self.settings.check(self.kind, &mut bad);
        self.check_chat(&mut bad);
        if self.trust.is_some_and(|trust| trust > self.proves()) {
            let what = format!("use at most `{}`: {}", self.proves().word(), self.why());
            bad.push(BadField::new("trust", what));
        }
        let long = |word: &String| word.is_empty() || word.len() > WORD_CHARS_MAX;
        if self.severities.len() > SEVERITIES_MAX || self.severities.keys().any(long) {
            let what =
                format!("use at most {SEVERITIES_MAX} words of 1 to {WORD_CHARS_MAX} characters");
            bad.push(BadField::new("severities", what));
        }
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }

    /// A chat asks in the name of its persons, so it starts nothing by itself and its messages need no routes.
    fn check_chat(&self, bad: &mut Vec<BadField>) {
        if !self.kind.is_chat() {
            return;
        }
        if matches!(self.mode, Mode::Shadow | Mode::Auto) {
            let what = "use `off`, `record` (it answers, and nothing can be done there) or `propose` (its persons \
                        may do there what their roles let them)";
            bad.push(BadField::new("mode", what));
        }
        if !self.routes.is_empty() || !self.severities.is_empty() {
            let what = "leave `routes` and `severities` out: whoever asks names the application";
            bad.push(BadField::new("routes", what));
        }
    }

    /// How far it is trusted.
    #[must_use]
    pub fn trusted(&self) -> TrustTier {
        self.trust
            .map_or(self.proves(), |most| most.min(self.proves()))
    }

    /// How its sender proves itself. A signature over no time of its own, and no event's identity that we know to be
    /// kept by its sender, can be repeated by whoever read it once: it is worth as much as a password.
    fn proves(&self) -> TrustTier {
        match self.kind {
            Kind::Pagerduty | Kind::StandardWebhooks | Kind::Slack => TrustTier::Signed,
            Kind::Grafana | Kind::Generic if self.settings.timestamp_header.is_some() => {
                TrustTier::Signed
            }
            Kind::Grafana
            | Kind::Generic
            | Kind::Alertmanager
            | Kind::Github
            | Kind::Sentry
            | Kind::Cloudevents
            | Kind::Mattermost => TrustTier::Bearer,
        }
    }

    /// Why it is not trusted as far as `signed`; none when it is.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        match self.trusted() {
            TrustTier::Signed => None,
            lowered if lowered < self.proves() => Some(Doubt::Lowered),
            TrustTier::Address | TrustTier::Bearer => Some(match self.kind {
                Kind::Alertmanager | Kind::Cloudevents | Kind::Mattermost => Doubt::Unsigned,
                Kind::Pagerduty
                | Kind::StandardWebhooks
                | Kind::Slack
                | Kind::Grafana
                | Kind::Generic
                | Kind::Github
                | Kind::Sentry => Doubt::Untimed,
            }),
        }
    }

    fn why(&self) -> &'static str {
        match self.kind {
            Kind::Grafana | Kind::Generic => {
                "have the sender sign a time and name its header in `settings.timestamp_header`"
            }
            Kind::Alertmanager | Kind::Cloudevents | Kind::Mattermost => {
                "this sender signs nothing"
            }
            Kind::Pagerduty
            | Kind::StandardWebhooks
            | Kind::Slack
            | Kind::Github
            | Kind::Sentry => "this sender does not sign when a message was sent",
        }
    }

    /// The applications that its routes name.
    pub fn applications(&self) -> impl Iterator<Item = &ApplicationName> {
        self.routes.iter().map(|route| &route.application)
    }
}
