//! A name that is taken is the text itself and means nothing to a shell or a path; cron lines, zones and definitions are
//! refused or stay what they are.

#![no_main]

use domain::{
    application::Application,
    name::{
        Actor, ApplicationName, ComponentName, ImageId, MetricName, PullReference, TagName,
        TriggerName, VariableName, Version,
    },
    time::{Millis, Moment},
    trigger::Trigger,
    window::{Cron, Window, WindowKind, Zone, judge},
};
use libfuzzer_sys::fuzz_target;

fn taken<Name: std::str::FromStr + std::fmt::Display>(text: &str) -> bool {
    let Ok(name) = text.parse::<Name>() else {
        return false;
    };
    assert_eq!(name.to_string(), text);
    true
}

fuzz_target!(|text: &str| {
    let harmless = [
        taken::<ApplicationName>(text),
        taken::<ComponentName>(text),
        taken::<TriggerName>(text),
        taken::<Version>(text),
        taken::<VariableName>(text),
        taken::<MetricName>(text),
        taken::<TagName>(text),
        taken::<ImageId>(text),
        taken::<PullReference>(text),
    ];
    if harmless.contains(&true) {
        assert!(!text.starts_with(['-', '.', '/']), "{text:?}");
        assert!(!text.split('/').any(|part| part == ".."), "{text:?}");
        let marks = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-+/:@".contains(&byte);
        assert!(text.bytes().all(marks), "{text:?}");
    }
    let _ = taken::<Actor>(text);
    let (line, zone) = text.split_once('\n').unwrap_or((text, "Europe/Berlin"));
    if let (Ok(cron), Ok(zone)) = (line.parse::<Cron>(), zone.parse::<Zone>()) {
        let window = Window {
            id: uuid::Uuid::nil(),
            kind: WindowKind::Allow,
            application: None,
            cron,
            duration: Millis::from_secs(3600),
            zone,
            rollbacks: true,
        };
        let shop = "shop".parse().unwrap();
        let _ = judge(&[window], &shop, Moment::from_unix_ms(1_774_746_000_000));
    }
    if let Ok(application) = serde_json::from_str::<Application>(text) {
        let _ = application.check();
    }
    if let Ok(trigger) = serde_json::from_str::<Trigger>(text) {
        let _ = trigger.check();
    }
});
