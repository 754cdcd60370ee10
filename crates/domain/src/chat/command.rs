//! What a person asked in a chat, read from the body of a message that is verified. It never trusts a name that its
//! user can choose.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::{is_channel, slack};
use crate::{
    name::{ApplicationName, ChatUser, PlanDigest, Version},
    reason::Reason,
    trigger::Kind,
};

/// Longest note that is taken from a command.
const NOTE_CHARS_MAX: usize = 1000;
/// Most fields of a form that are read.
const FIELDS_MAX: usize = 64;
/// Longest text that is said back: Slack's are 52 characters.
const CHALLENGE_BYTES_MAX: usize = 256;
/// The field in which Slack tells of a click.
const CLICK: &str = "payload";

/// What was asked, by whom and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who.
    pub user: ChatUser,
    /// In which channel.
    pub channel: String,
    /// Where an answer to this very message is taken.
    pub reply_to: Option<String>,
    /// What.
    pub asked: Asked,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// What can be asked; with what was wrong with what was.
    Help(Option<String>),
    /// Which applications there are.
    Applications,
    /// A plan; with no version, what can be gone back to as well.
    Plan {
        /// The application.
        application: ApplicationName,
        /// The version to go back to; the last known good one without.
        version: Option<Version>,
        /// Why.
        reason: Option<Reason>,
        /// Why, in words.
        note: Option<String>,
    },
    /// A yes or a no to what was shown.
    Decide {
        /// The card, or the rollback.
        card: Uuid,
        /// The plan that whoever clicked has seen.
        digest: Option<PlanDigest>,
        /// Yes or no.
        yes: bool,
    },
    /// Nothing that we know.
    Nothing,
}

/// Whether a message tells of a click.
#[must_use]
pub fn is_click(body: &[u8]) -> bool {
    body.starts_with(b"payload=")
}

/// Whether a chat only tries whether we can be reached: it wants a yes and nothing else.
#[must_use]
pub fn is_probe(kind: Kind, body: &[u8]) -> bool {
    let fields = form(body);
    kind == Kind::Slack
        && fields.get("ssl_check").is_some_and(|value| value == "1")
        && !fields.contains_key("command")
        && !fields.contains_key(CLICK)
}

/// What Slack wants to have said back before it sends events to an address, when that is what it sent.
#[must_use]
pub fn challenge(kind: Kind, body: &[u8]) -> Option<String> {
    if kind != Kind::Slack || !body.starts_with(b"{") {
        return None;
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |name| body.get(name).and_then(Value::as_str);
    let said = text("challenge").filter(|_| text("type") == Some("url_verification"))?;
    (said.len() <= CHALLENGE_BYTES_MAX).then(|| said.to_owned())
}

/// What a message asks.
///
/// # Errors
/// Why it can not be read, as a sentence.
pub fn heard(kind: Kind, body: &[u8]) -> Result<Heard, String> {
    let fields = form(body);
    match fields.get(CLICK) {
        Some(payload) if kind == Kind::Slack => click(payload),
        _ => command(kind, &fields),
    }
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = form_urlencoded::parse(body).take(FIELDS_MAX);
    pairs
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

fn command(kind: Kind, fields: &BTreeMap<String, String>) -> Result<Heard, String> {
    let field = |name: &str| {
        let value = fields.get(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("it has no `{name}`"))
    };
    let user = field("user_id")?;
    let user = match kind == Kind::Slack {
        true => format!("{}.{user}", field("team_id")?),
        false => user.clone(),
    };
    let channel = field("channel_id")?.clone();
    let text = fields.get("text").map_or("", String::as_str);
    made(
        user,
        channel,
        fields.get("response_url").cloned(),
        asked(text),
    )
}

fn made(
    user: String,
    channel: String,
    reply_to: Option<String>,
    asked: Asked,
) -> Result<Heard, String> {
    if !is_channel(&channel) {
        return Err("its channel is none".to_owned());
    }
    Ok(Heard {
        user: user.parse().map_err(|_| "its user is none".to_owned())?,
        channel,
        reply_to,
        asked,
    })
}

/// The words behind the command.
fn asked(text: &str) -> Asked {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [] => Asked::Applications,
        ["help"] => Asked::Help(None),
        [word @ ("approve" | "deny"), id] => match id.parse() {
            Ok(card) => Asked::Decide {
                card,
                digest: None,
                yes: *word == "approve",
            },
            Err(_) => Asked::Help(Some(format!("`{id}` is no identity"))),
        },
        [application, rest @ ..] => plan(application, rest),
    }
}

fn plan(application: &str, rest: &[&str]) -> Asked {
    let application = match application.parse() {
        Ok(application) => application,
        Err(bad) => return Asked::Help(Some(format!("{bad}"))),
    };
    let (version, rest) = match rest {
        [] => (None, rest),
        [version, rest @ ..] => match version.parse() {
            Ok(version) => (Some(version), rest),
            Err(bad) => return Asked::Help(Some(format!("{bad}"))),
        },
    };
    let (reason, rest) = match rest {
        [word, rest @ ..] if word.parse::<Reason>().is_ok() => (word.parse().ok(), rest),
        _ => (None, rest),
    };
    let note: String = rest.join(" ").chars().take(NOTE_CHARS_MAX).collect();
    Asked::Plan {
        application,
        version,
        reason,
        note: (!note.is_empty()).then_some(note),
    }
}

fn click(payload: &str) -> Result<Heard, String> {
    let body: Value =
        serde_json::from_str(payload).map_err(|error| format!("it can not be read: {error}"))?;
    let text = |pointers: [&str; 2]| {
        let found = pointers.iter().find_map(|at| body.pointer(at)?.as_str());
        found.map(ToOwned::to_owned)
    };
    let needed = |pointers: [&str; 2]| {
        text(pointers).ok_or_else(|| format!("it has no `{}`", pointers[0].replace('/', ".")))
    };
    let team = needed(["/user/team_id", "/team/id"])?;
    let user = format!("{team}.{}", needed(["/user/id", "/user/id"])?);
    let channel = needed(["/channel/id", "/container/channel_id"])?;
    let asked = match text(["/type", "/type"]).as_deref() {
        Some("block_actions") => clicked(&body).unwrap_or(Asked::Nothing),
        Some(_) | None => Asked::Nothing,
    };
    made(
        user,
        channel,
        text(["/response_url", "/response_url"]),
        asked,
    )
}

fn clicked(body: &Value) -> Option<Asked> {
    let action = body.pointer("/actions/0")?;
    let yes = match action.get("action_id")?.as_str()? {
        slack::APPROVE => true,
        slack::DENY => false,
        _ => return None,
    };
    let (card, digest) = action.get("value")?.as_str()?.split_once('.')?;
    Some(Asked::Decide {
        card: card.parse().ok()?,
        digest: Some(digest.parse().ok()?),
        yes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Asked {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("team_id", "T0001")
            .append_pair("channel_id", "C0OPS")
            .append_pair("user_id", "U0ADA")
            .append_pair("text", text)
            .finish();
        let heard = heard(Kind::Slack, body.as_bytes()).unwrap();
        assert_eq!(heard.user.as_str(), "T0001.U0ADA");
        heard.asked
    }

    fn wants(application: &str, version: Option<&str>) -> Asked {
        Asked::Plan {
            application: application.parse().unwrap(),
            version: version.map(|version| version.parse().unwrap()),
            reason: None,
            note: None,
        }
    }

    #[test]
    fn commands_are_read_as_they_are_typed() {
        assert_eq!(ask(""), Asked::Applications);
        assert_eq!(ask("  help "), Asked::Help(None));
        assert_eq!(ask("shop"), wants("shop", None));
        assert_eq!(ask("shop 1.4.2"), wants("shop", Some("1.4.2")));
        let told = Asked::Plan {
            application: "shop".parse().unwrap(),
            version: Some("1.4.2".parse().unwrap()),
            reason: Some(Reason::Security),
            note: Some("cards leak".to_owned()),
        };
        assert_eq!(ask("shop 1.4.2 security cards leak"), told);
        let id = Uuid::from_u128(7);
        let yes = Asked::Decide {
            card: id,
            digest: None,
            yes: true,
        };
        assert_eq!(ask(&format!("approve {id}")), yes);
        for wrong in ["approve me", "../etc", "shop <script>"] {
            assert!(matches!(ask(wrong), Asked::Help(Some(_))), "{wrong}");
        }
    }

    #[test]
    fn a_click_is_who_clicked_and_what_they_saw() {
        let (card, digest) = (Uuid::from_u128(9), "ab".repeat(32));
        let payload = serde_json::json!({"type": "block_actions", "user": {"id": "U0BOB", "team_id": "T0001", "name": "ana"},
            "channel": {"id": "C0OPS"}, "response_url": "https://hooks.slack.com/x",
            "actions": [{"action_id": slack::DENY, "value": format!("{card}.{digest}")}]});
        let body = |payload: &Value| {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair(CLICK, &payload.to_string())
                .finish()
                .into_bytes()
        };
        assert!(is_click(&body(&payload)));
        let seen = heard(Kind::Slack, &body(&payload)).unwrap();
        assert_eq!(seen.user.as_str(), "T0001.U0BOB");
        let no = Asked::Decide {
            card,
            digest: Some(digest.parse().unwrap()),
            yes: false,
        };
        assert_eq!(seen.asked, no);
        let mut other = payload.clone();
        other["actions"][0]["value"] = "x.y".into();
        assert_eq!(
            heard(Kind::Slack, &body(&other)).unwrap().asked,
            Asked::Nothing
        );
        other["user"] = Value::Null;
        assert!(heard(Kind::Slack, &body(&other)).is_err());
        assert!(heard(Kind::Mattermost, &body(&payload)).is_err());
    }

    #[test]
    fn a_probe_asks_for_nothing() {
        assert!(is_probe(Kind::Slack, b"ssl_check=1&token=x"));
        assert!(!is_probe(Kind::Slack, b"ssl_check=1&command=%2Frollback"));
        assert!(!is_probe(Kind::Slack, b"ssl_check=0"));
        assert!(!is_probe(Kind::Mattermost, b"ssl_check=1"));
    }
}
