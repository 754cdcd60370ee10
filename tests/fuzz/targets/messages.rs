//! A body of any sender is read within its limits, or told as unreadable; what was read can be kept and read again.

#![no_main]

mod letter;

use domain::trigger::{
    Kind, Settings, Trigger,
    alert::Notice,
    message::{event_id, kept, read},
    sort::sorted,
};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|input: &[u8]| {
    let (headers, body) = letter::opened(input);
    let settings = Settings::default();
    for kind in Kind::ALL {
        let id = event_id(kind, &settings, &headers, body);
        assert!((1..=200).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()));
        let _ = kept(kind, body.to_vec());
        if let Ok(notice) = read(kind, &settings, &headers, body) {
            let written = serde_json::to_string(&notice).unwrap();
            let again: Notice = serde_json::from_str(&written).unwrap();
            assert_eq!(again, notice);
        }
        let trigger: Trigger = serde_json::from_value(json!({
            "name": "t", "kind": kind, "mode": "auto",
            "routes": [{"application": "shop", "rule": "labels.team == 'shop' || service.startsWith('P')"}]
        }))
        .unwrap();
        assert!(sorted(&trigger, &headers, body).len() <= 257);
    }
});
