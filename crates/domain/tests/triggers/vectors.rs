//! Every vector, against the one `verify`; they were made by another program and checked by a third.

use domain::{
    time::Moment,
    trigger::{
        Headers, Kind, Settings,
        verify::{HeldSecret, Refusal, verify},
    },
};
use serde_json::Value;

pub(crate) fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn kind(scheme: &str) -> Kind {
    match scheme {
        "pagerduty-v3" => Kind::Pagerduty,
        "github-sha256" => Kind::Github,
        "standard-webhooks-v1" => Kind::StandardWebhooks,
        "grafana-hmac" => Kind::Grafana,
        "sentry" => Kind::Sentry,
        "slack-v0" => Kind::Slack,
        other => panic!("{other}"),
    }
}

/// A vector in the words of `verify`.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) settings: Settings,
    pub(crate) secrets: Vec<HeldSecret>,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) now: Moment,
    pub(crate) accept: bool,
}

impl Case {
    pub(crate) fn of(vector: &Value) -> Self {
        let text = |field: &str| vector[field].as_str().map(ToOwned::to_owned);
        let headers = vector["headers"].as_object().unwrap();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let secrets = vector["secrets"].as_array().unwrap().iter();
        Self {
            id: text("id").unwrap(),
            kind: kind(vector["scheme"].as_str().unwrap()),
            settings: Settings {
                timestamp_header: text("timestamp_header").map(|name| name.to_lowercase()),
                ..Settings::default()
            },
            secrets: secrets
                .map(|secret| held(secret.as_str().unwrap(), None))
                .collect(),
            headers: headers.collect(),
            body: text("body").unwrap().into_bytes(),
            now: Moment::from_unix_ms(vector["now"].as_i64().unwrap_or(1_767_607_200) * 1000),
            accept: vector["expect"] == "accept",
        }
    }

    fn verified(&self) -> Result<(), Refusal> {
        verify(
            self.kind,
            &self.settings,
            &self.secrets,
            &self.headers,
            &self.body,
            self.now,
        )
        .map(|_| ())
    }
}

fn held(text: &str, until: Option<Moment>) -> HeldSecret {
    HeldSecret {
        text: text.to_owned(),
        until,
    }
}

#[test]
fn every_vector_is_answered_as_it_says() {
    let cases: Vec<Case> = vectors().iter().map(Case::of).collect();
    assert!(cases.len() >= 20, "{}", cases.len());
    for case in &cases {
        let got = case.verified();
        assert_eq!(got.is_ok(), case.accept, "{}: {got:?}", case.id);
    }
}

#[test]
fn any_changed_byte_of_a_body_is_noticed() {
    for mut case in vectors().iter().map(Case::of).filter(|case| case.accept) {
        for at in 0..case.body.len() {
            case.body[at] ^= 1;
            assert_eq!(case.verified(), Err(Refusal::Wrong), "{} at {at}", case.id);
            case.body[at] ^= 1;
        }
        case.body.clear();
        assert_eq!(case.verified(), Err(Refusal::Empty), "{}", case.id);
    }
}

#[test]
fn a_secret_is_good_until_its_end_and_another_one_never() {
    for mut case in vectors().iter().map(Case::of).filter(|case| case.accept) {
        let good = case.secrets.clone();
        case.secrets = vec![held("another", None), held("whsec_AAAA", None)];
        assert_eq!(case.verified(), Err(Refusal::Wrong), "{}", case.id);
        let later = Moment::from_unix_ms(case.now.unix_ms() + 1);
        for secret in &good {
            case.secrets.push(held(&secret.text, Some(later)));
        }
        assert_eq!(case.verified(), Ok(()), "{} in its last moment", case.id);
        for secret in &mut case.secrets {
            secret.until = Some(case.now);
        }
        assert_eq!(case.verified(), Err(Refusal::NoSecret), "{} ended", case.id);
        case.secrets.clear();
        assert_eq!(case.verified(), Err(Refusal::NoSecret), "{}", case.id);
    }
}

#[test]
fn a_signed_time_is_good_for_five_minutes_both_ways() {
    let timed = |case: &Case| {
        case.accept
            && (matches!(case.kind, Kind::StandardWebhooks | Kind::Slack)
                || case.settings.timestamp_header.is_some())
    };
    let cases: Vec<Case> = vectors().iter().map(Case::of).filter(timed).collect();
    assert!(cases.len() >= 5);
    for mut case in cases {
        let signed_ms = 1_767_607_200_000;
        for (apart_s, good) in [
            (-301, false),
            (-300, true),
            (300, true),
            (301, false),
            (3600, false),
        ] {
            case.now = Moment::from_unix_ms(signed_ms + apart_s * 1000);
            let expected = if good { Ok(()) } else { Err(Refusal::TimeOff) };
            assert_eq!(case.verified(), expected, "{} {apart_s}", case.id);
        }
    }
}

#[test]
fn a_repeated_signature_header_is_refused() {
    for mut case in vectors().iter().map(Case::of).filter(|case| case.accept) {
        for name in domain::trigger::verify::proving(case.kind, &case.settings) {
            let before = case.headers.clone();
            case.headers.add(&name, "v1=00");
            assert_eq!(
                case.verified(),
                Err(Refusal::Malformed),
                "{} {name}",
                case.id
            );
            case.headers = before;
        }
    }
}

#[test]
fn a_mattermost_token_is_shown_under_its_own_word() {
    let secrets = [held("long-enough-a-password", None)];
    let shown = |value: &str| {
        let headers: Headers = [("authorization", value)].into_iter().collect();
        let at = Moment::from_unix_ms(0);
        let (kind, settings) = (Kind::Mattermost, Settings::default());
        verify(kind, &settings, &secrets, &headers, b"text=", at).map(|_| ())
    };
    assert_eq!(shown("Token long-enough-a-password"), Ok(()));
    let bearer = shown("Bearer long-enough-a-password");
    assert_eq!(bearer, Err(Refusal::Malformed));
    assert_eq!(shown("Token long-enough-a-passwor"), Err(Refusal::Wrong));
}

#[test]
fn a_bearer_token_is_compared_whole() {
    let at = Moment::from_unix_ms(0);
    let shown = |headers: &[(&str, &str)]| {
        let headers: Headers = headers.iter().copied().collect();
        let secrets = [held("long-enough-a-password", None)];
        let kinds = [Kind::Alertmanager, Kind::Cloudevents];
        let got = kinds.map(|kind| {
            verify(kind, &Settings::default(), &secrets, &headers, b"{}", at).map(|_| ())
        });
        assert_eq!(got[0], got[1]);
        got[0]
    };
    assert_eq!(
        shown(&[("authorization", "Bearer long-enough-a-password")]),
        Ok(())
    );
    assert_eq!(
        shown(&[("Authorization", "bearer long-enough-a-password")]),
        Ok(())
    );
    for wrong in [
        "Bearer long-enough-a-passwor",
        "Bearer x",
        "Bearer long-enough-a-password2",
    ] {
        assert_eq!(
            shown(&[("authorization", wrong)]),
            Err(Refusal::Wrong),
            "{wrong}"
        );
    }
    for wrong in ["Basic long-enough-a-password", "long-enough-a-password", ""] {
        assert_eq!(
            shown(&[("authorization", wrong)]),
            Err(Refusal::Malformed),
            "{wrong}"
        );
    }
    assert_eq!(shown(&[]), Err(Refusal::Missing));
}

#[test]
fn a_generic_sender_signs_as_its_settings_say() {
    // printf '%s' '1767607200.{"a":1}' | openssl dgst -sha256 -hmac s3cret
    let body = br#"{"a":1}"#;
    let now = Moment::from_unix_ms(1_767_607_200_000);
    let settings = Settings {
        timestamp_header: Some("x-time".to_owned()),
        signature_header: Some("x-sign".to_owned()),
        signature_prefix: Some("sha256=".to_owned()),
        ..Settings::default()
    };
    let signature = "sha256=67fc07686944a0d7fff577c25f400aa05679c9be1db7e8c952ce04d966bfb43c";
    let headers: Headers = [("X-Time", "1767607200"), ("X-Sign", signature)]
        .into_iter()
        .collect();
    let secrets = [held("s3cret", None)];
    let got = verify(Kind::Generic, &settings, &secrets, &headers, body, now);
    assert_eq!(got.map(|verified| verified.signed_at), Ok(Some(now)));
    let untimed = Settings::default();
    let headers: Headers = [(
        "x-sternway-signature",
        "5910e62016ef5034272c926c27071992a465c2335cecf41851bda071577f4f6d",
    )]
    .into_iter()
    .collect();
    let got = verify(Kind::Generic, &untimed, &secrets, &headers, body, now);
    assert_eq!(got.map(|verified| verified.signed_at), Ok(None));
    let got = verify(Kind::Generic, &settings, &secrets, &headers, body, now);
    assert_eq!(got.map(|_| ()), Err(Refusal::Missing));
}
