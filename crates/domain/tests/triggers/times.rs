//! Times as senders write them, in fields that a person named.

use domain::{
    time::Moment,
    trigger::{
        Headers, Kind, Settings,
        alert::Notice,
        message::{Unreadable, read},
    },
};
use serde_json::{Value, json};

const SECONDS: i64 = 1_767_607_200;

fn began(fields: Value, body: &Value) -> Result<Moment, String> {
    let settings: Settings = serde_json::from_value(json!({ "fields": fields })).unwrap();
    let body = body.to_string();
    match read(
        Kind::Generic,
        &settings,
        &Headers::default(),
        body.as_bytes(),
    ) {
        Ok(Notice::Alerts(alerts)) => Ok(alerts[0].started_at),
        Ok(other) => panic!("{other:?}"),
        Err(Unreadable(said)) => Err(said),
    }
}

fn since(value: &Value) -> Result<Moment, String> {
    let fields = json!({"state": "/state", "key": "/key", "started_at": "/alert/since"});
    began(
        fields,
        &json!({"state": "firing", "key": "k", "alert": {"since": value}}),
    )
}

#[test]
fn a_time_is_understood_in_seconds_in_milliseconds_and_as_a_text() {
    let at = Moment::from_unix_ms(SECONDS * 1000);
    for value in [
        json!(SECONDS),
        json!(SECONDS * 1000),
        json!(SECONDS.to_string()),
        json!((SECONDS * 1000).to_string()),
        json!(format!(" {SECONDS}.0 ")),
        json!("2026-01-05T10:00:00Z"),
        json!("2026-01-05 10:00:00Z"),
    ] {
        assert_eq!(since(&value), Ok(at), "{value}");
    }
    let part = Moment::from_unix_ms(SECONDS * 1000 + 250);
    assert_eq!(since(&json!(SECONDS * 1000 + 250)), Ok(part));
    assert_eq!(since(&json!(1_767_607_200.25)), Ok(part));
}

#[test]
fn what_is_no_time_is_said_with_where_it_stands() {
    for (value, shown) in [
        (json!("yesterday"), "\"yesterday\""),
        (json!("2026"), "\"2026\""),
        (json!("20260105"), "\"20260105\""),
        (json!("202601051000"), "\"202601051000\""),
        (json!("17676072O0"), "\"17676072O0\""),
        (json!(50_000_000_000_i64), "50000000000"),
        (json!(5_000_000_000_000_i64), "5000000000000"),
        (json!(-1), "-1"),
        (json!([1]), "[1]"),
        (json!(true), "true"),
    ] {
        let said = since(&value).unwrap_err();
        assert!(
            said.starts_with(&format!("`/alert/since` holds {shown}, which is no time")),
            "{said}"
        );
    }
    let long = since(&json!("x".repeat(5000))).unwrap_err();
    assert!(long.len() < 200, "{long}");
    let nothing = since(&Value::Null).unwrap_err();
    assert!(nothing.contains("nothing at `/alert/since`"), "{nothing}");
    let unnamed = began(
        json!({"state": "/state", "key": "/key"}),
        &json!({"state": "firing", "key": "k"}),
    );
    assert!(unnamed.unwrap_err().contains("name `fields.started_at`"));
    // One of two times will do.
    let fields =
        json!({"state": "/state", "key": "/key", "started_at": "/since", "occurred_at": "/now"});
    let body = json!({"state": "firing", "key": "k", "since": "?", "now": SECONDS});
    assert_eq!(
        began(fields, &body),
        Ok(Moment::from_unix_ms(SECONDS * 1000))
    );
}

#[test]
fn the_name_of_a_header_means_the_same_in_capitals() {
    let settings = json!({"timestamp_header": "X-Monitor-Time", "signature_header": "X-Signature"});
    let settings: Settings = serde_json::from_value(settings).unwrap();
    assert_eq!(settings.timestamp_header.as_deref(), Some("x-monitor-time"));
    assert_eq!(settings.signature_header.as_deref(), Some("x-signature"));
}
