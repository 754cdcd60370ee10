//! A rule is refused, or answers soon: whatever it is, nothing ends the process, and a refused one fits nothing.

#![no_main]

use domain::trigger::{Headers, Trigger, sort::sorted};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|rule: &str| {
    let trigger: Trigger = serde_json::from_value(json!({
        "name": "t", "kind": "standard_webhooks", "mode": "record",
        "routes": [{"application": "shop", "rule": rule}]
    }))
    .unwrap();
    let refused = trigger.check().is_err();
    let body = json!({"type": "alert.firing", "timestamp": "2026-01-05T10:00:00Z",
        "data": {"key": "k", "service": "a".repeat(1024), "severity": "critical", "labels": {"team": "shop"}}})
    .to_string();
    let headers: Headers = [("webhook-id", "m")].into_iter().collect();
    let parts = sorted(&trigger, &headers, body.as_bytes());
    assert!(!refused || parts.iter().all(|part| part.application.is_none()));
});
