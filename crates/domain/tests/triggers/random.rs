//! Whatever is sent: nothing panics, and nothing is believed that was not signed.

use domain::{
    chat::command::{Asked, heard, is_probe},
    time::Moment,
    trigger::{
        Headers, Kind, Settings,
        message::{event_id, read},
        verify::{HeldSecret, verify},
    },
};
use proptest::prelude::*;

const NAMES: [&str; 16] = [
    "x-pagerduty-signature",
    "authorization",
    "x-grafana-alerting-signature",
    "x-hub-signature-256",
    "sentry-hook-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-sternway-signature",
    "x-slack-request-timestamp",
    "x-slack-signature",
    "x-github-event",
    "sentry-hook-resource",
    "content-type",
    "ce-type",
    "ce-specversion",
];

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "(v0=|v1=|sha256=|v1,|Bearer |Token |)[0-9a-fA-F+/=,. ]{0,90}",
        "v1=[0-9a-f]{64}(, ?v1=[0-9a-f]{64}){0,20}",
        "[0-9]{1,14}",
        Just("deployment_status".to_owned()),
        Just("event_alert".to_owned()),
        Just("application/cloudevents+json".to_owned()),
        Just("1.0".to_owned()),
    ]
}

fn headers() -> impl Strategy<Value = Headers> {
    let one = (prop::sample::select(NAMES.as_slice()), value());
    prop::collection::vec(one, 0..24).prop_map(|all| {
        all.iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    })
}

/// JSON with the senders' own field names in it, whole or cut.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "event",
        "event_type",
        "data",
        "type",
        "status",
        "alerts",
        "version",
        "labels",
        "startsAt",
        "fingerprint",
        "deployment",
        "deployment_status",
        "state",
        "action",
        "release",
        "id",
        "service",
        "created_at",
        "incident",
        "triggered",
        "4",
        "1",
        "firing",
        "success",
        "incident.triggered",
        "2026-01-05T10:00:00Z",
        "0001-01-01T00:00:00Z",
        "published",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "\\PC{0,20}".prop_map(Into::into),
        word.clone().prop_map(Into::into),
    ];
    let json = leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(word.clone(), inner, 0..8).prop_map(|fields| {
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    });
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        json.clone().prop_map(|json| json.to_string().into_bytes()),
        (json, any::<prop::sample::Index>()).prop_map(|(json, at)| {
            let mut text = json.to_string().into_bytes();
            text.truncate(at.index(text.len() + 1));
            text
        }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), any::<bool>()).prop_map(|(timed, release_is_deployment)| Settings {
        timestamp_header: timed.then(|| "webhook-timestamp".to_owned()),
        fields: [
            ("state", "/status"),
            ("key", "/data/id"),
            ("started_at", "/created_at"),
            ("id", "/id"),
        ]
        .map(|(name, pointer)| (name.to_owned(), pointer.to_owned()))
        .into(),
        release_is_deployment,
        ..Settings::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_unsigned_is_believed_and_nothing_panics(
        headers in headers(), body in body(), settings in settings(), now in 0..4_000_000_000_000_i64
    ) {
        let secrets = [
            HeldSecret { text: "a-secret-that-nobody-guesses".to_owned(), until: None },
            HeldSecret { text: "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=".to_owned(), until: None },
        ];
        for kind in Kind::ALL {
            let now = Moment::from_unix_ms(now);
            prop_assert!(verify(kind, &settings, &secrets, &headers, &body, now).is_err());
            let id = event_id(kind, &settings, &headers, &body);
            prop_assert!(!id.is_empty() && id.len() <= 200 && id.is_ascii());
            let _ = read(kind, &settings, &headers, &body);
            let _ = heard(kind, &body);
            let _ = is_probe(kind, &body);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_click_is_read_as_more_than_it_is(
        payload in "(\\{\"type\":\"block_actions\",\"user\":\\{\"id\":\"U1\",\"team_id\":\"T1\"\\},)?\\PC{0,60}",
        text in "\\PC{0,60}"
    ) {
        let body = format!("payload={payload}");
        if let Ok(heard) = heard(Kind::Slack, body.as_bytes()) {
            let small = matches!(heard.asked, Asked::Nothing | Asked::Decide { .. });
            prop_assert!(small, "{heard:?}");
        }
        let typed = format!("team_id=T1&user_id=U1&channel_id=C1&text={text}");
        let heard = heard(Kind::Slack, typed.as_bytes());
        prop_assert!(heard.is_ok_and(|heard| heard.user.as_str() == "T1.U1" || text.contains('&')));
    }
}

#[test]
fn a_time_that_can_not_be_written_is_none() {
    let alert = |at: &str| {
        format!(
            r#"{{"version": "4", "status": "firing", "groupKey": "g", "alerts": [{{"status": "firing", "labels": {{}},
                "annotations": {{}}, "startsAt": "{at}", "fingerprint": "aa"}}]}}"#
        )
    };
    for at in ["0000-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"] {
        let read = read(
            Kind::Alertmanager,
            &Settings::default(),
            &Headers::default(),
            alert(at).as_bytes(),
        );
        // Told as unreadable, or without that time; writing it down again is what must not panic.
        let _ = read.map(|notice| serde_json::to_string(&notice).unwrap());
    }
}

#[test]
fn deep_nesting_and_what_is_no_text_are_told_of() {
    let deep = format!("{}{}", "[".repeat(64 << 10), "]".repeat(64 << 10));
    for body in [deep.as_bytes(), b"\xff\xfe{}", b"", b"{", b"null", b"\"\""] {
        for kind in Kind::ALL {
            let headers: Headers = [
                ("x-github-event", "release"),
                ("sentry-hook-resource", "issue"),
            ]
            .into_iter()
            .collect();
            let refused = match kind.is_chat() {
                true => heard(kind, body).is_err(),
                false => read(kind, &Settings::default(), &headers, body).is_err(),
            };
            assert!(refused, "{kind:?}");
        }
    }
}
