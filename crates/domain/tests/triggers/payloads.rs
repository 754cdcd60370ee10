//! Payloads as the senders' own documentation and servers write them, with every field that they have, each judged by
//! what it must and must not lead to. All names in them are invented.

mod github;
mod pagerduty;
mod prometheus;
mod sentry;

use domain::{
    time::Moment,
    trigger::{
        Headers, Kind, Settings,
        alert::{Alert, Deployed, Notice},
        message::{event_id, headers_read, read},
    },
};
use serde_json::{Value, json};

pub(crate) fn at(text: &str) -> Moment {
    serde_json::from_value(json!(text)).unwrap()
}

fn told(kind: Kind, headers: &[(&str, &str)], body: &Value) -> Notice {
    let headers: Headers = headers.iter().copied().collect();
    let kept = headers.only(headers_read(kind));
    let read = read(
        kind,
        &Settings::default(),
        &kept,
        body.to_string().as_bytes(),
    );
    read.unwrap_or_else(|why| panic!("{kind:?}: {why}: {body}"))
}

fn alerts(notice: Notice) -> Vec<Alert> {
    match notice {
        Notice::Alerts(alerts) => alerts,
        other => panic!("{other:?}"),
    }
}

fn one(notice: Notice) -> Alert {
    let mut all = alerts(notice);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn deployed(notice: Notice) -> Deployed {
    match notice {
        Notice::Deployed(told) => *told,
        other => panic!("{other:?}"),
    }
}

fn is_other(notice: &Notice) -> bool {
    matches!(notice, Notice::Other { .. })
}

#[test]
fn cloudevents_in_each_form() {
    let data = json!({"service": "shop", "version": "1.5.0", "id": "job-9"});
    let envelope = json!({"specversion": "1.0", "id": "A234-1234-1234", "source": "https://ci.example/jobs/9", "subject": "shop",
        "type": "example.ci.deploy.succeeded", "time": "2026-03-01T10:00:00.5+01:00", "datacontenttype": "application/json",
        "dataschema": "https://ci.example/schema", "comexampleextension1": "value", "traceparent": "00-0af7-b7ad-01", "data": data});
    let structured = [(
        "content-type",
        "Application/CloudEvents+JSON; charset=UTF-8",
    )];
    let whole = deployed(told(Kind::Cloudevents, &structured, &envelope));
    assert_eq!(
        (whole.version.as_deref(), whole.at),
        (Some("1.5.0"), at("2026-03-01T09:00:00.500Z"))
    );
    // A sender that takes its own JSON for bytes.
    let mut bytes = envelope.clone();
    bytes.as_object_mut().unwrap().remove("data");
    bytes["data_base64"] =
        json!("eyJzZXJ2aWNlIjoic2hvcCIsInZlcnNpb24iOiIxLjUuMCIsImlkIjoiam9iLTkifQ==");
    assert_eq!(
        deployed(told(Kind::Cloudevents, &structured, &bytes)),
        whole
    );
    // Several in one, which our answer could not tell apart: refused at the door, and told here.
    let batch: Headers = [("content-type", "application/cloudevents-batch+json")]
        .into_iter()
        .collect();
    let body = json!([envelope]).to_string();
    let why = read(
        Kind::Cloudevents,
        &Settings::default(),
        &batch,
        body.as_bytes(),
    )
    .unwrap_err();
    assert!(why.to_string().contains("batch"), "{why}");
    // Each source counts for itself.
    let id = |source: &str| {
        let mut other = envelope.clone();
        other["source"] = json!(source);
        let headers: Headers = structured.into_iter().collect();
        event_id(
            Kind::Cloudevents,
            &Settings::default(),
            &headers,
            other.to_string().as_bytes(),
        )
    };
    assert_ne!(id("/a"), id("/b"));
}

#[test]
fn standard_webhooks_with_what_others_send_besides() {
    let body = json!({"type": "deploy.succeeded", "timestamp": "2026-03-01T10:00:00.000000Z", "tenant": "acme",
        "data": {"service": "shop", "version": "1.5.0", "object": "deployment", "links": {"self": "x"}, "previous": null}});
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1772359577"),
    ];
    let told_of = deployed(told(Kind::StandardWebhooks, &headers, &body));
    assert_eq!(told_of.key, "msg_p5jXN8AQM9LWM0D4loKWxJek");
    let other = json!({"type": "user.created", "timestamp": "2026-03-01T10:00:00Z", "data": {}});
    assert!(is_other(&told(Kind::StandardWebhooks, &headers, &other)));
}
