//! True messages, changed as a stranger would: what was signed is believed in no other form, nothing panics, and what is
//! read keeps its limits. `STERNWAY_FUZZ=100` tries a hundred times as much.

use std::collections::BTreeMap;

use domain::{
    chat::{
        command::{Asked, challenge, heard, is_click, is_probe},
        may_answer,
    },
    trigger::{
        Headers, Kind, Settings, Trigger,
        alert::Notice,
        message::{event_id, kept, read},
        route::Routes,
        settings::Encoding,
        sort::sorted,
        verify::{HeldSecret, mac, verify},
    },
};
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::TestCaseError,
};
use serde_json::{Value, json};

use crate::vectors::{Case, vectors};

/// Tries of one property in a debug build; all of them take a few seconds.
const TRIES: u32 = 400;

#[expect(
    clippy::disallowed_methods,
    reason = "read by a test that is run for longer by hand"
)]
fn config() -> ProptestConfig {
    let times = std::env::var("STERNWAY_FUZZ").ok();
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    ProptestConfig::with_cases(TRIES.saturating_mul(times))
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Double(Index, usize),
    Cut(Index),
    Swap(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let marks: Vec<&[u8]> = vec![
        b"\0",
        b"\n",
        b",",
        b" ",
        b"v1=",
        b"v0=",
        b"sha256=",
        b"v1,",
        b"=",
        b".",
        b"\xff",
        b"\"",
        b"{",
        b"[",
        b"}",
        b"]",
        b"%00",
        b"&",
        b"payload=",
        b"null",
        b"0",
        b"-1",
        b"1e999",
        b"9999-12-31T23:59:59-23:59",
        b"\\u0000",
        b"<!channel>",
    ];
    let some = prop_oneof![
        select(marks).prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 1..8),
    ];
    prop_oneof![
        (any::<Index>(), 1..=255_u8).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (any::<Index>(), some).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, bytes)| Change::Remove(at, bytes)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, bytes)| Change::Double(at, bytes)),
        any::<Index>().prop_map(Change::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Change::Swap(a, b)),
    ]
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 1..5)
}

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let whole = bytes.len();
        match change {
            Change::Flip(at, bits) => bytes[at.index(whole)] ^= bits,
            Change::Insert(at, some) => {
                let at = at.index(whole);
                bytes.splice(at..at, some.iter().copied());
            }
            Change::Remove(at, length) => {
                let at = at.index(whole);
                bytes.drain(at..whole.min(at + length));
            }
            Change::Double(at, length) => {
                let at = at.index(whole);
                let piece = bytes[at..whole.min(at + length)].to_vec();
                bytes.splice(at..at, piece);
            }
            Change::Cut(at) => bytes.truncate(at.index(whole)),
            Change::Swap(a, b) => bytes.swap(a.index(whole), b.index(whole)),
        }
    }
    bytes
}

/// A header as it comes: what is no text becomes one.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// True messages of every sender that signs or shows something.
fn true_ones() -> Vec<Case> {
    let mut cases: Vec<Case> = vectors()
        .iter()
        .map(Case::of)
        .filter(|case| case.accept)
        .collect();
    let body = br#"{"alert": {"status": "firing", "id": 12}}"#.to_vec();
    let shown = |kind, word: &str| Case {
        id: format!("{kind:?}"),
        kind,
        settings: Settings::default(),
        secrets: vec![HeldSecret {
            text: "0123456789abcdef-shown".to_owned(),
            until: None,
        }],
        headers: [(
            "authorization",
            format!("{word} 0123456789abcdef-shown").as_str(),
        )]
        .into_iter()
        .collect(),
        body: body.clone(),
        now: cases[0].now,
        accept: true,
    };
    let kinds = [
        shown(Kind::Alertmanager, "Bearer"),
        shown(Kind::Cloudevents, "Bearer"),
        shown(Kind::Mattermost, "Token"),
    ];
    let signature = mac(b"a generic secret", &[b"1767607200", b".", &body]);
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let generic = Case {
        kind: Kind::Generic,
        id: "generic".to_owned(),
        settings: Settings {
            timestamp_header: Some("x-time".to_owned()),
            signature_prefix: Some("sha256=".to_owned()),
            encoding: Encoding::Hex,
            ..Settings::default()
        },
        secrets: vec![HeldSecret {
            text: "a generic secret".to_owned(),
            until: None,
        }],
        headers: [
            ("x-time", "1767607200"),
            ("x-sternway-signature", format!("sha256={hex}").as_str()),
        ]
        .into_iter()
        .collect(),
        body,
        now: domain::time::Moment::from_unix_ms(1_767_607_200_000),
        accept: true,
    };
    cases.extend(kinds);
    cases.push(generic);
    cases
}

fn is_believed(case: &Case, headers: &Headers, body: &[u8]) -> bool {
    verify(
        case.kind,
        &case.settings,
        &case.secrets,
        headers,
        body,
        case.now,
    )
    .is_ok()
}

/// The headers as pairs, whatever is in them.
fn pairs(headers: &Headers) -> BTreeMap<String, Vec<String>> {
    serde_json::from_value(serde_json::to_value(headers).unwrap()).unwrap()
}

/// What of a header means something: hex digits of either case are the same, and so is blank space around it. Of several
/// signatures one has to be true, and a password is what stands behind its word.
fn means(kind: Kind, name: &str, value: &str) -> BTreeMap<String, ()> {
    let value = value.trim();
    let one = |value: &str| [(value.to_owned(), ())].into();
    if name.contains("time") || name == "webhook-id" {
        return one(value);
    }
    let hex = |value: &str| value.to_ascii_lowercase();
    let all = |parts: Vec<String>| parts.into_iter().map(|part| (part, ())).collect();
    match kind {
        Kind::Pagerduty => all(value.split(',').map(|part| hex(part.trim())).collect()),
        Kind::StandardWebhooks => all(value.split(' ').map(ToOwned::to_owned).collect()),
        Kind::Alertmanager | Kind::Cloudevents | Kind::Mattermost => {
            let password = value
                .split_once(' ')
                .map_or("", |(_, password)| password.trim());
            one(password)
        }
        Kind::Grafana | Kind::Github | Kind::Sentry | Kind::Generic | Kind::Slack => {
            one(&hex(value))
        }
    }
}

fn vouched(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Alertmanager | Kind::Cloudevents | Kind::Mattermost
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_body_in_any_other_form_is_not_believed(case in select(true_ones()), changes in changes()) {
        let body = changed(&case.body, &changes);
        prop_assert!(is_believed(&case, &case.headers, &case.body), "{}", case.id);
        let same = body == case.body || (!vouched(case.kind) && !body.is_empty());
        prop_assert_eq!(is_believed(&case, &case.headers, &body), same, "{}: {:?}", case.id, text(&body));
    }

    #[test]
    fn a_signature_a_time_or_a_password_in_any_other_form_is_not_believed(
        case in select(true_ones()), which in any::<Index>(), changes in changes()
    ) {
        let all = pairs(&case.headers);
        let proving: Vec<&String> = all.keys()
            .filter(|name| domain::trigger::verify::proving(case.kind, &case.settings).contains(name)
                || *name == "webhook-id")
            .collect();
        let name = proving[which.index(proving.len())].clone();
        let before = all[&name][0].clone();
        let after = text(&changed(before.as_bytes(), &changes));
        let mut headers = Headers::default();
        for (other, values) in &all {
            let value = if *other == name { &after } else { &values[0] };
            headers.add(other, value);
        }
        if is_believed(&case, &headers, &case.body) {
            // Then what was true is still in it, and where it stands alone, nothing else is.
            let (was, is) = (means(case.kind, &name, &before), means(case.kind, &name, &after));
            let kept = was.keys().any(|part| is.contains_key(part));
            prop_assert!(kept, "{}: {name}: {after:?} for {before:?}", case.id);
        }
        // Said twice it is nobody's guess which one counts.
        headers.add(&name, &before);
        prop_assert!(!is_believed(&case, &headers, &case.body), "{}", case.id);
    }

    #[test]
    fn a_message_is_read_within_its_limits_or_told_as_unreadable(
        case in select(true_ones()), changes in changes(), kind in select(Kind::ALL.to_vec())
    ) {
        let body = changed(&case.body, &changes);
        within_limits(kind, &case.headers, &body)?;
        within_limits(case.kind, &case.headers, &body)?;
    }

    #[test]
    fn what_a_chat_sends_asks_for_what_it_says_or_for_nothing(case in select(chats()), changes in changes()) {
        let body = changed(&case, &changes);
        let _ = (is_click(&body), is_probe(Kind::Slack, &body), kept(Kind::Mattermost, body.clone()));
        for kind in [Kind::Slack, Kind::Mattermost] {
            let said = challenge(kind, &body);
            prop_assert!(said.is_none_or(|said| said.len() <= 256));
            let Ok(heard) = heard(kind, &body) else { continue };
            let plain = |text: &str, most: usize| {
                (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            };
            prop_assert!(plain(heard.user.as_str(), 80) && plain(&heard.channel, 64), "{heard:?}");
            match &heard.asked {
                Asked::Plan { note: Some(note), .. } => prop_assert!(note.chars().count() <= 1000),
                Asked::Decide { digest: None, .. } => prop_assert!(!is_click(&body), "a click says what it has seen"),
                Asked::Plan { .. } | Asked::Decide { .. } | Asked::Help(_) | Asked::Applications | Asked::Nothing => {}
            }
            // Whatever address came along: answers go to the chat's own host.
            for url in heard.reply_to.iter().filter(|url| may_answer(None, url)) {
                prop_assert!(url.starts_with("https://hooks.slack.com/"), "{url}");
            }
        }
        let kept = kept(Kind::Mattermost, body);
        let tokens = form_urlencoded::parse(&kept).filter(|(name, _)| name == "token").count();
        prop_assert_eq!(tokens, 0);
    }

    #[test]
    fn a_rule_is_refused_or_answers(rule in rule(), service in "\\PC{0,20}", team in "\\PC{0,20}") {
        let trigger: Trigger = serde_json::from_value(json!({"name": "t", "kind": "standard_webhooks", "mode": "record",
            "routes": [{"application": "shop", "rule": rule}]})).unwrap();
        let bad = trigger.check().is_err();
        prop_assert_eq!(bad || rule.chars().count() <= 512, true);
        let body = json!({"type": "alert.firing", "timestamp": "2026-01-05T10:00:00Z",
            "data": {"key": "k", "service": service, "severity": "critical", "labels": {"team": team}}}).to_string();
        let headers: Headers = [("webhook-id", "m")].into_iter().collect();
        let parts = sorted(&trigger, &headers, body.as_bytes());
        prop_assert_eq!(parts.len(), 1);
        // A rule that was refused fits nothing.
        prop_assert!(!bad || parts[0].application.is_none(), "{rule}");
        let _ = Routes::of(&trigger);
    }
}

fn within_limits(kind: Kind, headers: &Headers, body: &[u8]) -> Result<(), TestCaseError> {
    let settings = Settings::default();
    let id = event_id(kind, &settings, headers, body);
    prop_assert!(
        (1..=200).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()),
        "{id}"
    );
    prop_assert_eq!(&id, &event_id(kind, &settings, headers, body));
    let Ok(notice) = read(kind, &settings, headers, body) else {
        return Ok(());
    };
    let (chars, lines) = (
        |text: &str| text.chars().count(),
        |text: &str| text.chars().any(char::is_control),
    );
    if let Notice::Alerts(alerts) = &notice {
        prop_assert!(alerts.len() <= 256);
        for alert in alerts {
            prop_assert!(alert.labels.len() <= 70, "{}", alert.labels.len());
            prop_assert!(alert.occurred_at >= alert.started_at);
            prop_assert!(
                chars(&alert.title) <= 1100 && !lines(&alert.title),
                "{:?}",
                alert.title
            );
            prop_assert!(!alert.episode.is_empty());
            for (name, value) in &alert.labels {
                prop_assert!(
                    chars(name) <= 1024 && chars(value) <= 1024 && !lines(name) && !lines(value)
                );
            }
        }
    }
    // It is kept with its decision, and read again from there.
    let written =
        serde_json::to_string(&notice).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let again: Notice = serde_json::from_str(&written)
        .map_err(|error| TestCaseError::fail(format!("{error}: {written}")))?;
    prop_assert_eq!(again, notice);
    Ok(())
}

fn chats() -> Vec<Vec<u8>> {
    let form = |fields: &[(&str, &str)]| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).finish().into_bytes()
    };
    let command = |text: &str| {
        form(&[
            ("token", "secret"),
            ("team_id", "T0001"),
            ("channel_id", "C0OPS"),
            ("user_id", "U0ANA"),
            ("command", "/rollback"),
            ("text", text),
            (
                "response_url",
                "https://hooks.slack.com/commands/T0001/1/abc",
            ),
        ])
    };
    let value = format!("{}.{}", uuid::Uuid::from_u128(7), "ab".repeat(32));
    let click = json!({"type": "block_actions", "user": {"id": "U0ANA", "team_id": "T0001"}, "channel": {"id": "C0OPS"},
        "response_url": "https://hooks.slack.com/x", "actions": [{"action_id": "sternway_approve", "value": value}]});
    let trial = json!({"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"});
    vec![
        command(""),
        command("shop 1.4.2 security cards leak"),
        command(&format!("approve {}", uuid::Uuid::from_u128(9))),
        form(&[("payload", &click.to_string())]),
        form(&[("ssl_check", "1"), ("token", "x")]),
        trial.to_string().into_bytes(),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    let word = select(vec![
        "service",
        "severity",
        "labels.team",
        "labels['team']",
        "labels",
        "'shop'",
        "'critical'",
        "[",
        "]",
        "(",
        ")",
        "==",
        "!=",
        "&&",
        "||",
        "!",
        "in",
        "?",
        ":",
        ".startsWith('s')",
        ".matches('a+')",
        ".contains('')",
        ".map(x, x)",
        "size(",
        "1",
        "0u",
        "1/0",
        "{",
        "}",
        ",",
        "\"\"",
        "null",
        "true",
        ".all(x, true)",
        "timestamp('x')",
        "duration('1s')",
        "\\",
        "b'x'",
        "r''",
    ]);
    prop_oneof![
        "\\PC{0,80}",
        prop::collection::vec(word, 0..40).prop_map(|words| words.join(" ")),
        "[(!\\[]{0,600}",
    ]
}

#[test]
fn a_click_s_value_is_read_as_it_was_written_or_not_at_all() {
    let click = |value: Value| {
        let payload = json!({"type": "block_actions", "user": {"id": "U1", "team_id": "T1"}, "channel": {"id": "C1"},
            "actions": [{"action_id": "sternway_approve", "value": value}]});
        let mut form = form_urlencoded::Serializer::new(String::new());
        let body = form
            .append_pair("payload", &payload.to_string())
            .finish()
            .into_bytes();
        heard(Kind::Slack, &body).unwrap().asked
    };
    let (id, digest) = (uuid::Uuid::from_u128(7), "ab".repeat(32));
    assert!(matches!(
        click(json!(format!("{id}.{digest}"))),
        Asked::Decide { .. }
    ));
    for value in [
        json!(id.to_string()),
        json!(format!("{id}.")),
        json!(format!(".{digest}")),
        json!(format!("{id}.{digest}0")),
        json!(format!("{id}.{}", digest.to_uppercase())),
        json!(format!("{id}.{digest}.{digest}")),
        json!(7),
        Value::Null,
    ] {
        assert_eq!(click(value.clone()), Asked::Nothing, "{value}");
    }
}
