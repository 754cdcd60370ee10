//! What a person sets where senders leave a choice.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::Kind;
use crate::application::BadField;

/// Longest name of a header, pointer or word in the settings.
const TEXT_CHARS_MAX: usize = 128;
/// Most words for one state.
const WORDS_MAX: usize = 16;

/// How a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hex digits.
    #[default]
    Hex,
    /// Base64.
    Base64,
}

/// What a generic sender's messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// Alerts.
    #[default]
    Alert,
    /// Deployments: they go into the ledger.
    Deployment,
}

/// What differs from sender to sender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The header with the Unix time that is signed together with the body (`grafana`: `{time}:{body}`, `generic`:
    /// `{time}.{body}`). Without it only the body is signed.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lower"
    )]
    pub timestamp_header: Option<String>,
    /// `generic`: the header with the signature; `x-sternway-signature` when left out.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lower"
    )]
    pub signature_header: Option<String>,
    /// `generic`: what stands before the signature in its header, such as `sha256=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_prefix: Option<String>,
    /// `generic`: how the signature is written.
    #[serde(default)]
    pub encoding: Encoding,
    /// `generic`: what its messages are.
    #[serde(default)]
    pub says: Says,
    /// `generic`: where each field is, as a JSON pointer. Alerts: `id`, `key`, `title`, `state`, `severity`, `service`,
    /// `version`, `url`, `labels`, `started_at`, `occurred_at`. Deployments: `id`, `state`, `service`, `environment`,
    /// `version`, `commit`, `image`, `actor`, `url`, `at`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// `generic`: the sender's words for our states: `firing`, `acknowledged`, `resolved`, or `started`, `succeeded`,
    /// `failed`. Our own words are always understood.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub states: BTreeMap<String, Vec<String>>,
    /// `github`: a published release is a deployment of it that succeeded. Otherwise it is only noted.
    #[serde(default)]
    pub release_is_deployment: bool,
    /// `slack`: the channel, such as `C0123ABCD`, where what alerts ask for and broken glass are posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// `slack`, `mattermost`: where the chat is, when it is not `https://slack.com`. Answers go nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
}

/// The name of a header means the same in capitals.
fn lower<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(from)?;
    Ok(name.map(|name| name.to_ascii_lowercase()))
}

/// Fields of a generic alert.
pub(crate) const ALERT_FIELDS: [&str; 11] = [
    "id",
    "key",
    "title",
    "state",
    "severity",
    "service",
    "version",
    "url",
    "labels",
    "started_at",
    "occurred_at",
];
/// Fields of a generic deployment.
pub(crate) const DEPLOYMENT_FIELDS: [&str; 10] = [
    "id",
    "state",
    "service",
    "environment",
    "version",
    "commit",
    "image",
    "actor",
    "url",
    "at",
];
const STATES: [&str; 6] = [
    "firing",
    "acknowledged",
    "resolved",
    "started",
    "succeeded",
    "failed",
];

impl Settings {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn check(&self, kind: Kind, bad: &mut Vec<BadField>) {
        let mut refuse = |field: &str, what: String| {
            bad.push(BadField::new(format!("settings.{field}"), what));
        };
        let header = |name: &str| {
            (1..=TEXT_CHARS_MAX).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let named = [
            ("timestamp_header", &self.timestamp_header),
            ("signature_header", &self.signature_header),
        ];
        for (field, name) in named {
            if name.as_deref().is_some_and(|name| !header(name)) {
                refuse(
                    field,
                    "use the name of a header: letters, digits and `-`".to_owned(),
                );
            }
        }
        if self.signature_prefix.as_deref().is_some_and(|text| {
            text.len() > TEXT_CHARS_MAX || !text.bytes().all(|b| b.is_ascii_graphic())
        }) {
            refuse("signature_prefix", "use printable characters".to_owned());
        }
        let timed = matches!(kind, Kind::Grafana | Kind::Generic);
        if self.timestamp_header.is_some() && !timed {
            refuse(
                "timestamp_header",
                format!("leave it out: {} has none to choose", kind.word()),
            );
        }
        if self.release_is_deployment && kind != Kind::Github {
            refuse(
                "release_is_deployment",
                "leave it out: it is for `github`".to_owned(),
            );
        }
        self.check_chat(kind, &mut refuse);
        let chosen = self.signature_header.is_some()
            || self.signature_prefix.is_some()
            || self.encoding != Encoding::Hex
            || self.says != Says::Alert
            || !self.fields.is_empty()
            || !self.states.is_empty();
        if kind == Kind::Generic {
            self.check_fields(&mut refuse);
        } else if chosen {
            let what = "only a `generic` trigger has its signature and fields described";
            refuse("fields", what.to_owned());
        }
    }

    fn check_chat(&self, kind: Kind, refuse: &mut impl FnMut(&str, String)) {
        if let Some(channel) = &self.channel {
            if kind != Kind::Slack {
                refuse("channel", "leave it out: it is for `slack`".to_owned());
            } else if !crate::chat::is_channel(channel) {
                refuse(
                    "channel",
                    "use its identity, such as `C0123ABCD`".to_owned(),
                );
            }
        }
        if let Some(url) = &self.base_url {
            if !kind.is_chat() {
                refuse("base_url", "leave it out: it is for chats".to_owned());
            } else if !crate::chat::is_base(url) {
                let what = "use `https://` and a host, without a path (`http://` only to this very machine)";
                refuse("base_url", what.to_owned());
            }
        } else if kind == Kind::Mattermost {
            refuse("base_url", "say where your Mattermost is".to_owned());
        }
    }

    fn check_fields(&self, refuse: &mut impl FnMut(&str, String)) {
        let (known, needed): (&[&str], &[&str]) = match self.says {
            Says::Alert => (&ALERT_FIELDS, &["state", "key"]),
            Says::Deployment => (&DEPLOYMENT_FIELDS, &["state", "service", "version"]),
        };
        for (name, pointer) in &self.fields {
            if !known.contains(&name.as_str()) {
                refuse(
                    &format!("fields.{name}"),
                    format!("use one of {}", known.join(", ")),
                );
            }
            if !pointer.starts_with('/') || pointer.len() > TEXT_CHARS_MAX {
                let what = "use a JSON pointer, such as `/alert/state`".to_owned();
                refuse(&format!("fields.{name}"), what);
            }
        }
        for name in needed
            .iter()
            .filter(|name| !self.fields.contains_key(**name))
        {
            refuse(&format!("fields.{name}"), "say where it is".to_owned());
        }
        for (state, words) in &self.states {
            let long = words.iter().any(|word| word.len() > TEXT_CHARS_MAX);
            if !STATES.contains(&state.as_str()) || words.len() > WORDS_MAX || long {
                let what = format!(
                    "name one of {}, with at most {WORDS_MAX} words",
                    STATES.join(", ")
                );
                refuse(&format!("states.{state}"), what);
            }
        }
    }

    /// Our word for a sender's.
    pub(crate) fn state_of<'a>(&'a self, said: &'a str) -> &'a str {
        let known = self
            .states
            .iter()
            .find(|(_, words)| words.iter().any(|word| word.eq_ignore_ascii_case(said)));
        known.map_or(said, |(state, _)| state)
    }
}
