//! Fields that the typed models do not know.

use super::*;

fn raw(config: Value, host: Value) -> Value {
    json!({"Id": ID, "Name": "/shop_web_1", "Config": config, "HostConfig": host, "NetworkSettings": {"Networks": {}}})
}

fn meant(config: Value, host: Value, image: Value) -> Specification {
    let raw = raw(config, host);
    let known = serde_json::from_value(raw.clone()).unwrap();
    subtract_whole(&raw, &known, &ImageSettings::read(image).unwrap()).unwrap()
}

#[test]
fn what_only_the_engine_understands_goes_into_the_creation() {
    let config = with(
        plain_config(),
        json!({"MacAddress": "02:42:0a:00:00:07", "Quantum": {"Bits": 3}, "Nothing": ""}),
    );
    let host = json!({"NetworkMode": "front", "KernelMemory": 1 << 20, "Zero": 0,
                      "Mounts": [{"Type": "volume", "Target": "/a"}, {"Type": "bind", "Source": "/s", "Target": "/b", "Mirror": true}],
                      "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0, "Backoff": "slow"}});
    let specification = meant(config, host, Value::Null);
    let whole = creation(&specification, &Replica::default(), true).whole;
    assert_eq!(whole["MacAddress"], "02:42:0a:00:00:07");
    assert_eq!(whole["Quantum"], json!({"Bits": 3}));
    assert_eq!(whole["HostConfig"]["KernelMemory"], 1 << 20);
    assert_eq!(whole["HostConfig"]["Mounts"][1]["Mirror"], true);
    assert_eq!(
        whole["HostConfig"]["RestartPolicy"],
        json!({"Name": "always", "MaximumRetryCount": 0, "Backoff": "slow"})
    );
    assert!(specification.body.get("Nothing").is_none());
    assert!(specification.body["HostConfig"].get("Zero").is_none());
    no_rise(
        &specification,
        &creation(&specification, &Replica::default(), true),
    )
    .unwrap();
}

#[test]
fn what_the_image_brought_is_not_meant_even_where_nobody_knows_it() {
    let image = json!({"Quantum": {"Bits": 3}, "Flavour": "old"});
    let config = with(
        plain_config(),
        json!({"Quantum": {"Bits": 3}, "Flavour": "mine"}),
    );
    let body = meant(config, json!({}), image).body;
    assert!(body.get("Quantum").is_none());
    assert_eq!(body["Flavour"], "mine");
}

#[test]
fn what_was_taken_out_on_purpose_stays_out() {
    let check =
        json!({"Test": ["CMD", "/app", "check"], "Interval": 1_000_000_000_u64, "Novel": 1});
    let image = json!({"Healthcheck": check});
    let config = with(
        plain_config(),
        json!({"Healthcheck": check, "Image": "shop:1", "Env": ["A=1"]}),
    );
    let specification = meant(
        config,
        json!({"ContainerIDFile": "/x", "ConsoleSize": [1, 2]}),
        image,
    );
    let keys: Vec<&str> = specification
        .body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert!(
        !keys.contains(&"Healthcheck") && !keys.contains(&"Image") && !keys.contains(&"Env"),
        "{keys:?}"
    );
    assert!(
        specification.body["HostConfig"]
            .get("ContainerIDFile")
            .is_none()
    );
}

#[test]
fn a_health_check_that_was_given_in_part_keeps_its_part() {
    let part = |own: Value, image: Value| {
        let config = with(plain_config(), json!({"Healthcheck": own}));
        let image = with(json!({}), json!({"Healthcheck": image}));
        meant(config, json!({}), image).body["Healthcheck"].clone()
    };
    let image = json!({"Test": ["CMD", "a"], "Interval": 9, "Retries": 4});
    assert_eq!(
        part(
            json!({"Test": ["CMD", "b"], "Interval": 9, "Retries": 4, "Timeout": 3}),
            image.clone()
        ),
        json!({"Test": ["CMD", "b"], "Timeout": 3}),
        "what the engine filled in from the old image is not meant"
    );
    assert_eq!(
        part(json!({"Test": ["NONE"]}), image.clone()),
        json!({"Test": ["NONE"]})
    );
    assert_eq!(part(image.clone(), image), Value::Null);
}
