//! Files that we edit: one value changes, whatever else is in them stays; what can not be found for certain is refused.

#![no_main]

use domain::{
    compose::{env_file, override_file},
    front::{adopted, port_line},
    metric::Metric,
    specification::Published,
    time::Moment,
};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|content: &[u8]| {
    let name = "VERSION".parse().unwrap();
    if let Some(edited) = env_file::with_value(content, &name, "1.4.2") {
        assert_eq!(env_file::value(&edited, &name), Some(b"1.4.2".to_vec()));
        assert_eq!(
            env_file::rest(&edited, &name),
            env_file::rest(content, &name)
        );
    }
    if let Ok(images) = override_file::value(content) {
        assert_eq!(images.content(), content);
    }
    let _ = (adopted::is_ours(content), adopted::read(content));
    let (web, port) = (
        "web".parse().unwrap(),
        Published {
            port: 80,
            protocol: "tcp".to_owned(),
            host_ip: None,
            host_port: Some(8080),
        },
    );
    if !port_line::is_taken(content) {
        if let Ok(Some(edited)) = port_line::taken(content, &web, &port) {
            assert_eq!(
                port_line::put_back(&edited, &web, &port),
                Ok(content.to_vec())
            );
        }
    }
    let metric: Metric = serde_json::from_value(json!({
        "name": "errors", "url": "http://127.0.0.1:9090", "query": "up", "question": "down", "above": 0.5
    }))
    .unwrap();
    let _ = metric.read(200, content, Moment::from_unix_ms(1_767_607_201_000));
});
