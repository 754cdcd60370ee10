//! Grafana alerting webhooks: Alertmanager's shape under another version, and a signature that may cover a time.

use serde_json::Value;

use super::alertmanager;
use crate::{
    time::Moment,
    trigger::{
        Headers, Settings,
        alert::{Alert, Notice},
        field::text,
        message::Unreadable,
        verify::{Refusal, any_signs, fresh, mac, unhex},
    },
};

pub(crate) const SIGNATURE: &str = "x-grafana-alerting-signature";

/// When it was signed, where the settings say that a time is signed.
pub(crate) fn verify(
    settings: &Settings,
    secrets: &[&str],
    headers: &Headers,
    body: &[u8],
    now: Moment,
) -> Result<Option<Moment>, Refusal> {
    let given = headers.one(SIGNATURE)?.ok_or(Refusal::Missing)?;
    let signature = unhex(given).ok_or(Refusal::Malformed)?;
    let Some(name) = &settings.timestamp_header else {
        let macs: Vec<_> = secrets
            .iter()
            .map(|secret| mac(secret.as_bytes(), &[body]))
            .collect();
        return any_signs(&[signature], &macs).map(|()| None);
    };
    let time = headers.one(name)?.ok_or(Refusal::TimeMissing)?;
    let macs: Vec<_> = secrets
        .iter()
        .map(|secret| mac(secret.as_bytes(), &[time.as_bytes(), b":", body]))
        .collect();
    let signed_at = fresh(Some(time), now)?;
    any_signs(&[signature], &macs)?;
    Ok(Some(signed_at))
}

pub(crate) fn read(body: &Value) -> Result<Notice, Unreadable> {
    if text(body, "/version").as_deref() != Some("1") {
        let what = "it is not version 1 of Grafana's webhook: leave the custom payload out";
        return Err(Unreadable(what.to_owned()));
    }
    if is_test(body) {
        return Ok(Notice::Ping);
    }
    Ok(match alertmanager::alerts(body)? {
        Notice::Alerts(alerts) => Notice::Alerts(alerts.into_iter().map(looked).collect()),
        other @ (Notice::Deployed(_) | Notice::Ping | Notice::Other { .. }) => other,
    })
}

/// What the button *Test* of a contact point sends: it is about nothing that a route may lead to.
fn is_test(body: &Value) -> bool {
    let alerts = body.pointer("/alerts").and_then(Value::as_array);
    let only = alerts.filter(|alerts| alerts.len() == 1);
    let label = |name| only.and_then(|alerts| text(&alerts[0], name));
    label("/labels/alertname").as_deref() == Some("TestAlert")
        && label("/labels/instance").as_deref() == Some("Grafana")
}

/// That Grafana could not look, or saw nothing, has the labels of the rule and says nothing of the application: it is down
/// only where the trigger's `severities` say so of these words.
fn looked(alert: Alert) -> Alert {
    let severity = match alert.labels.get("alertname").map(String::as_str) {
        Some("DatasourceError") => Some("datasource_error".to_owned()),
        Some("DatasourceNoData") => Some("datasource_no_data".to_owned()),
        Some(_) | None => alert.severity,
    };
    Alert { severity, ..alert }
}
