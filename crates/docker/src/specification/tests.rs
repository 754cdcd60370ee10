//! What is subtracted from an inspection, and what a creation is made of.

mod privilege;
mod whole;

use super::*;
use domain::name::{
    ApplicationName, ComponentName, ContainerId, Fence, ImageId, RollbackId, SpecificationDigest,
};
use serde_json::json;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const VOLUME: &str = "feedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeedfeed";

fn image(config: Value) -> ImageConfig {
    serde_json::from_value(config).unwrap()
}

fn inspect(config: Value, host: Value, networks: Value) -> ContainerInspectResponse {
    serde_json::from_value(json!({
        "Id": ID, "Name": "/shop_web_1", "Config": config, "HostConfig": host,
        "NetworkSettings": {"Networks": networks},
    }))
    .unwrap()
}

fn shop_image() -> ImageConfig {
    image(json!({
        "Env": ["PATH=/bin", "MODE=fast"], "Cmd": ["api"], "Entrypoint": ["/app"], "User": "65534",
        "WorkingDir": "/srv", "StopSignal": "SIGINT", "Labels": {"vendor": "us", "version": "1.4.2"},
        "Volumes": {"/cache": {}}, "ExposedPorts": {"8080/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "/app", "check"], "Interval": 1_000_000_000_u64},
    }))
}

/// A container that took everything from its image.
fn plain_config() -> Value {
    json!({
        "Hostname": "0123456789ab", "Env": ["PATH=/bin", "MODE=fast"], "Cmd": ["api"], "Entrypoint": ["/app"],
        "User": "65534", "WorkingDir": "/srv", "StopSignal": "SIGINT", "Image": "shop:1.4.2",
        "Labels": {"vendor": "us", "version": "1.4.2"}, "Volumes": {"/cache": {}}, "ExposedPorts": {"8080/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "/app", "check"], "Interval": 1_000_000_000_u64},
    })
}

fn with(mut base: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

fn specification_of(config: Value, host: Value, networks: Value) -> Specification {
    subtract(&inspect(config, host, networks), &shop_image()).unwrap()
}

fn creation(specification: &Specification, replica: &Replica, all_networks: bool) -> Creation {
    let application: ApplicationName = "shop".parse().unwrap();
    let component: ComponentName = "web".parse().unwrap();
    let replaces: ContainerId = ID.parse().unwrap();
    let digest: SpecificationDigest = ID.parse().unwrap();
    let image: ImageId = format!("sha256:{ID}").parse().unwrap();
    let marks = Marks {
        application: &application,
        component: &component,
        rollback: serde_json::from_value::<RollbackId>(json!(
            "0190f5a0-0000-7000-8000-000000000001"
        ))
        .unwrap(),
        fence: Fence(3),
        step: 4,
        replaces: &replaces,
        specification: &digest,
    };
    create_body(
        specification,
        replica,
        &image,
        &shop_image(),
        &marks,
        all_networks,
    )
    .unwrap()
}

#[test]
fn what_the_image_brought_is_not_meant() {
    let specification = specification_of(
        plain_config(),
        json!({"NetworkMode": "default"}),
        json!({"bridge": {}}),
    );
    assert_eq!(specification.env, Vec::<String>::new());
    let body = specification.body.as_object().unwrap();
    let keys: Vec<&str> = body.keys().map(String::as_str).collect();
    assert_eq!(keys, ["HostConfig", "NetworkingConfig"]);
}

#[test]
fn what_the_operator_set_is_kept_whole() {
    let config = with(
        plain_config(),
        json!({
            "Hostname": "web", "Env": ["MODE=slow", "PATH=/bin", "TOKEN=x=y"], "Cmd": ["worker"], "User": "0",
            "WorkingDir": "/", "StopSignal": "SIGQUIT", "StopTimeout": 3, "ExposedPorts": {"8080/tcp": {}, "9/udp": {}},
            "Labels": {"vendor": "them", "version": "1.4.2", "team": "a"}, "Healthcheck": {"Test": ["NONE"]},
        }),
    );
    let specification = specification_of(config, json!({"NetworkMode": "default"}), json!({}));
    assert_eq!(specification.env, ["MODE=slow", "TOKEN=x=y"]);
    let body = &specification.body;
    assert_eq!(body["Hostname"], "web");
    assert_eq!(body["Cmd"], json!(["worker"]));
    assert_eq!(body["Entrypoint"], Value::Null);
    assert_eq!(
        (&body["User"], &body["WorkingDir"], &body["StopSignal"]),
        (&json!("0"), &json!("/"), &json!("SIGQUIT"))
    );
    assert_eq!(body["StopTimeout"], 3);
    assert_eq!(body["ExposedPorts"], json!({"9/udp": {}}));
    assert_eq!(body["Labels"], json!({"team": "a", "vendor": "them"}));
    assert_eq!(body["Healthcheck"], json!({"Test": ["NONE"]}));
}

#[test]
fn the_command_is_only_the_images_while_the_entrypoint_is_too() {
    let mine = |entrypoint: Value, cmd: Value| {
        let config = with(
            plain_config(),
            json!({"Entrypoint": entrypoint, "Cmd": cmd}),
        );
        let body = specification_of(config, json!({}), json!({})).body;
        (body["Entrypoint"].clone(), body["Cmd"].clone())
    };
    assert_eq!(
        mine(json!(["/app"]), json!(["api"])),
        (Value::Null, Value::Null)
    );
    assert_eq!(
        mine(json!(["/other"]), json!(["api"])),
        (json!(["/other"]), json!(["api"]))
    );
    assert_eq!(
        mine(json!(["/other"]), Value::Null),
        (json!(["/other"]), Value::Null)
    );
    assert_eq!(
        mine(Value::Null, json!(["/app", "api"])),
        (json!([""]), json!(["/app", "api"])),
        "a cleared entrypoint stays cleared"
    );
}

#[test]
fn a_hostname_is_dropped_when_it_is_the_old_id_or_somebody_elses() {
    let host_named = with(
        plain_config(),
        json!({"Hostname": "rack-7", "Domainname": "lan"}),
    );
    for host in [
        json!({"NetworkMode": "host"}),
        json!({"NetworkMode": format!("container:{ID}")}),
        json!({"UTSMode": "host"}),
    ] {
        let body = specification_of(host_named.clone(), host, json!({})).body;
        assert_eq!(
            (&body["Hostname"], &body["Domainname"]),
            (&Value::Null, &Value::Null)
        );
    }
    assert_eq!(
        specification_of(host_named, json!({}), json!({})).body["Hostname"],
        "rack-7"
    );
}

#[test]
fn an_endpoint_keeps_its_wishes_and_not_its_addresses() {
    let networks = json!({"front": {
        "Aliases": ["web", "0123456789ab", "shop_web_1"], "Links": ["/shop_db_1:/shop_web_1/db"],
        "IPAMConfig": {"IPv4Address": "10.9.0.7"}, "IPAddress": "10.9.0.7", "MacAddress": "02:42:0a:09:00:07",
        "Gateway": "10.9.0.1", "NetworkID": ID, "EndpointID": ID, "DriverOpts": {"a": "b"},
    }, "back": {"IPAMConfig": {}, "Aliases": ["0123456789ab"]}});
    let host = json!({"NetworkMode": "front", "Links": ["/shop_db_1:/shop_web_1/db"]});
    let body = specification_of(plain_config(), host, networks).body;
    assert_eq!(body["HostConfig"]["Links"], json!(["shop_db_1:db"]));
    assert_eq!(
        body["NetworkingConfig"]["EndpointsConfig"],
        json!({
            "front": {"Aliases": ["web"], "Links": ["shop_db_1:db"], "IPAMConfig": {"IPv4Address": "10.9.0.7"}, "DriverOpts": {"a": "b"}},
            "back": {},
        })
    );
}

#[test]
fn marks_of_an_earlier_rollback_and_of_one_replica_are_subtracted() {
    let labels = json!({
        "sternway.rollback": "x", "sternway.fence": "9", "com.docker.compose.service": "web", "com.docker.compose.slug": "s",
        "com.docker.compose.container-number": "2", "com.docker.compose.config-hash": "h", "com.docker.compose.replace": "r",
    });
    let body = specification_of(
        with(plain_config(), json!({"Labels": labels})),
        json!({}),
        json!({}),
    )
    .body;
    assert_eq!(
        body["Labels"],
        json!({"com.docker.compose.service": "web", "com.docker.compose.config-hash": "h"})
    );
}

#[test]
fn an_anonymous_volume_is_the_replicas_and_not_the_specifications() {
    let mut inspect = inspect(
        with(
            plain_config(),
            json!({"Volumes": {"/cache": {}, "/data": {}}}),
        ),
        json!({"Binds": [format!("{VOLUME}:/data:rw"), "named:/names", "/etc/app:/etc/app:ro"],
               "Mounts": [{"Type": "volume", "Target": "/loose", "Source": VOLUME}]}),
        json!({}),
    );
    let mount = |at: &str| json!({"Type": "volume", "Name": VOLUME, "Destination": at});
    inspect.mounts =
        serde_json::from_value(json!([mount("/data"), mount("/cache"), mount("/loose")])).unwrap();
    let specification = subtract(&inspect, &shop_image()).unwrap();
    let body = &specification.body;
    assert_eq!(body["Volumes"], json!({"/data": {}}));
    assert_eq!(
        body["HostConfig"]["Binds"],
        json!(["named:/names", "/etc/app:/etc/app:ro"])
    );
    assert_eq!(
        body["HostConfig"]["Mounts"],
        json!([{"Type": "volume", "Target": "/loose"}])
    );

    let host = creation(&specification, &Replica::of(&inspect), true)
        .body
        .host_config
        .unwrap();
    let binds = host.binds.unwrap();
    assert_eq!(
        binds,
        [
            "named:/names",
            "/etc/app:/etc/app:ro",
            &format!("{VOLUME}:/cache"),
            &format!("{VOLUME}:/data")
        ]
    );
    assert_eq!(host.mounts.unwrap()[0].source.as_deref(), Some(VOLUME));
}

#[test]
fn a_volume_that_the_target_does_not_have_is_left_where_it_is() {
    let mut replica = Replica::default();
    replica
        .volumes
        .insert("/only-in-the-new-image".to_owned(), VOLUME.to_owned());
    let specification = specification_of(plain_config(), json!({}), json!({}));
    assert_eq!(
        creation(&specification, &replica, true)
            .body
            .host_config
            .unwrap()
            .binds,
        None
    );
}

#[test]
fn one_network_is_given_at_creation_to_an_old_engine_and_all_to_a_new_one() {
    let networks = json!({"front": {"Aliases": ["web"]}, "back": {}, "admin": {}});
    let inspect = inspect(plain_config(), json!({"NetworkMode": "front"}), networks);
    let specification = subtract(&inspect, &shop_image()).unwrap();
    let old = creation(&specification, &Replica::of(&inspect), false);
    let given: Vec<String> = old
        .body
        .networking_config
        .unwrap()
        .endpoints_config
        .unwrap()
        .into_keys()
        .collect();
    assert_eq!(given, ["front"]);
    assert_eq!(old.connect.keys().collect::<Vec<_>>(), ["admin", "back"]);
    assert_eq!(
        old.body.labels.unwrap()[label::NETWORKS],
        r#"{"admin":{},"back":{}}"#
    );
    let new = creation(&specification, &Replica::of(&inspect), true);
    assert_eq!(
        new.body
            .networking_config
            .unwrap()
            .endpoints_config
            .unwrap()
            .len(),
        3
    );
    assert!(new.connect.is_empty());
}

#[test]
fn a_replica_takes_its_number_address_and_name_over() {
    let config = with(
        plain_config(),
        json!({"Labels": {"com.docker.compose.container-number": "2"}}),
    );
    let networks = json!({"front": {"Aliases": ["shop_web_1", "web"], "IPAMConfig": {"IPv4Address": "10.9.0.8"}}});
    let replaced = inspect(config, json!({"NetworkMode": "front"}), networks);
    let recorded = specification_of(
        plain_config(),
        json!({"NetworkMode": "front"}),
        json!({"front": {"Aliases": ["web"]}}),
    );
    let body = creation(&recorded, &Replica::of(&replaced), true).body;
    assert_eq!(body.labels.unwrap()[label::COMPOSE_NUMBER], "2");
    let endpoint = body
        .networking_config
        .unwrap()
        .endpoints_config
        .unwrap()
        .remove("front")
        .unwrap();
    assert_eq!(endpoint.aliases.unwrap(), ["shop_web_1", "web"]);
    assert_eq!(
        endpoint.ipam_config.unwrap().ipv4_address.as_deref(),
        Some("10.9.0.8")
    );
}

#[test]
fn hand_made_replicas_keep_their_own_ports_and_no_others() {
    let host =
        |port: &str| json!({"PortBindings": {"8080/tcp": [{"HostIp": "", "HostPort": port}]}});
    let recorded = specification_of(plain_config(), host("8081"), json!({}));
    let other = inspect(plain_config(), host("8082"), json!({}));
    let ports = |replica: &Replica| {
        let host = creation(&recorded, replica, true).body.host_config.unwrap();
        host.port_bindings.unwrap()["8080/tcp"].clone().unwrap()[0]
            .host_port
            .clone()
            .unwrap()
    };
    assert_eq!(ports(&Replica::of(&other)), "8081");
    assert_eq!(ports(&Replica::of(&other).with_place(&other)), "8082");
    let wider = inspect(
        plain_config(),
        json!({"PortBindings": {"8080/tcp": [], "22/tcp": []}}),
        json!({}),
    );
    assert_eq!(ports(&Replica::of(&wider).with_place(&wider)), "8081");
}

#[test]
fn no_privilege_comes_out_that_the_specification_does_not_have() {
    let host = json!({"NetworkMode": "front", "CapDrop": ["ALL"], "ReadonlyRootfs": true, "SecurityOpt": ["no-new-privileges"],
                      "Privileged": false, "PidMode": "", "Binds": ["named:/names"], "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}});
    let specification = specification_of(plain_config(), host, json!({"front": {}}));
    let greedy = json!({"Privileged": true, "CapAdd": ["SYS_ADMIN"], "PidMode": "host", "Binds": ["/:/host"], "NetworkMode": "host",
                        "Devices": [{"PathOnHost": "/dev/sda"}], "PortBindings": {"22/tcp": []}});
    let replaced = inspect(
        with(plain_config(), json!({"User": "0"})),
        greedy,
        json!({}),
    );
    let body = creation(
        &specification,
        &Replica::of(&replaced).with_place(&replaced),
        true,
    )
    .body;
    let meant: ContainerCreateBody = serde_json::from_value(specification.body.clone()).unwrap();
    assert_eq!(body.host_config, meant.host_config);
    assert_eq!(
        (body.user, body.cmd, body.entrypoint),
        (meant.user, meant.cmd, meant.entrypoint)
    );
    assert_eq!(body.image.unwrap(), format!("sha256:{ID}"));
}

#[test]
fn a_side_car_follows_the_container_that_it_is_attached_to_now() {
    let specification = specification_of(
        plain_config(),
        json!({"NetworkMode": "container:gone"}),
        json!({}),
    );
    let replaced = inspect(
        plain_config(),
        json!({"NetworkMode": format!("container:{ID}")}),
        json!({}),
    );
    let host = creation(&specification, &Replica::of(&replaced), true)
        .body
        .host_config
        .unwrap();
    assert_eq!(host.network_mode.unwrap(), format!("container:{ID}"));
    let own_network = specification_of(
        plain_config(),
        json!({"NetworkMode": "front"}),
        json!({"front": {}}),
    );
    let host = creation(&own_network, &Replica::of(&replaced), true)
        .body
        .host_config
        .unwrap();
    assert_eq!(host.network_mode.unwrap(), "front");
}
