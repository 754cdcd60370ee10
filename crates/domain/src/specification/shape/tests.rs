//! Create bodies as engines and our client library write them.

use super::*;
use serde_json::json;

fn shape(body: Value) -> Shape {
    Shape::of(&body).expect("a create body")
}

#[test]
fn networks_and_what_was_meant_of_each_are_read() {
    let shape = shape(json!({
        "HostConfig": {"NetworkMode": "shop_front"},
        "NetworkingConfig": {"EndpointsConfig": {
            "shop_front": {"Aliases": ["api"], "IPAMConfig": {"IPv4Address": "10.9.0.7"}, "Links": ["shop_db_1:db"]},
            "shop_admin": {"GwPriority": 10, "DriverOpts": {"com.docker.network.endpoint.ifname": "eth9"}},
            "shop_plain": null,
        }},
    }));
    assert_eq!(shape.network, NetworkMode::Named("shop_front".to_owned()));
    assert_eq!(shape.network.first_network(), Some("shop_front"));
    let front = &shape.networks["shop_front"];
    assert_eq!(front.aliases, ["api"]);
    assert_eq!(front.ipv4.as_deref(), Some("10.9.0.7"));
    assert_eq!(front.links, ["shop_db_1:db"]);
    assert_eq!(shape.networks["shop_admin"].gateway_priority, 10);
    assert_eq!(shape.networks["shop_plain"], Endpoint::default());
}

#[test]
fn every_network_mode_has_its_word() {
    let mode = |mode: &str| shape(json!({"HostConfig": {"NetworkMode": mode}})).network;
    for bridge in ["", "default", "bridge"] {
        assert_eq!(mode(bridge), NetworkMode::Bridge);
    }
    assert_eq!(mode("host"), NetworkMode::Host);
    assert_eq!(mode("none"), NetworkMode::None);
    assert_eq!(
        mode("container:abc"),
        NetworkMode::Container("abc".to_owned())
    );
    assert!(mode("shop_default").has_endpoints() && mode("bridge").has_endpoints());
    assert!(!mode("host").has_endpoints() && !mode("container:abc").has_endpoints());
    assert_eq!(shape(json!({})).network, NetworkMode::Bridge);
}

#[test]
fn a_port_that_the_engine_chooses_is_not_fixed() {
    let shape = shape(json!({"HostConfig": {"PortBindings": {
        "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}, {"HostIp": "", "HostPort": "81"}],
        "9000/udp": [{"HostIp": "0.0.0.0", "HostPort": ""}],
        "9100/tcp": [{"HostPort": "9100-9110"}],
        "9200/tcp": [], "9300/tcp": null,
    }}}));
    let fixed: Vec<_> = shape
        .fixed_ports()
        .map(|port| (port.port, port.host_ip.as_deref(), port.host_port))
        .collect();
    assert_eq!(
        fixed,
        [(8080, None, Some(81)), (8080, Some("127.0.0.1"), Some(80))]
    );
    assert_eq!(shape.ports.len(), 4);
    let udp = shape
        .ports
        .iter()
        .find(|port| port.protocol == "udp")
        .unwrap();
    assert_eq!((udp.host_ip.as_deref(), udp.host_port), (None, None));
}

#[test]
fn every_kind_of_mount_is_told_apart() {
    let shape = shape(json!({
        "Volumes": ["/anonymous", "/data"],
        "HostConfig": {
            "Binds": ["/etc/shop:/etc/shop:ro", "shop_data:/data:rw,z"],
            "Mounts": [
                {"Type": "volume", "Source": "cache", "Target": "/cache", "ReadOnly": true},
                {"Type": "volume", "Target": "/nameless"},
                {"Type": "bind", "Source": "/srv", "Target": "/srv"},
                {"Type": "npipe", "Target": "/pipe"},
            ],
            "Tmpfs": {"/tmp": "size=64m"},
        },
    }));
    let of = |target: &str| {
        let mount = shape
            .mounts
            .iter()
            .find(|mount| mount.target == target)
            .unwrap();
        (mount.kind, mount.source.as_deref(), mount.shares_writes())
    };
    assert_eq!(of("/etc/shop"), (MountKind::Bind, Some("/etc/shop"), false));
    assert_eq!(of("/data"), (MountKind::Volume, Some("shop_data"), true));
    assert_eq!(of("/cache"), (MountKind::Volume, Some("cache"), false));
    assert_eq!(of("/nameless"), (MountKind::Anonymous, None, true));
    assert_eq!(of("/anonymous"), (MountKind::Anonymous, None, true));
    assert_eq!(of("/srv"), (MountKind::Bind, Some("/srv"), true));
    assert_eq!(of("/pipe"), (MountKind::Other, None, true));
    assert_eq!(of("/tmp"), (MountKind::Tmpfs, None, false));
    assert_eq!(
        shape.mounts.len(),
        8,
        "a volume with a mount at its place counts once"
    );
}

#[test]
fn a_command_is_never_kept() {
    let shape = shape(
        json!({"Cmd": ["--password=hunter2"], "Entrypoint": ["/hunter2"], "Labels": {"a": "hunter2"}}),
    );
    assert!(shape.own_command && shape.own_entrypoint);
    let text = serde_json::to_string(&shape).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn privileges_and_the_rest_are_read() {
    let shape = shape(json!({
        "Hostname": "api", "User": "1000:1000", "WorkingDir": "/srv", "StopSignal": "SIGINT", "StopTimeout": 30, "Cmd": [],
        "HostConfig": {
            "Privileged": true, "CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"],
            "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse"}], "PidMode": "host", "IpcMode": "",
            "DeviceRequests": [{"Count": -1}], "ReadonlyRootfs": true,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        },
    }));
    assert_eq!(
        shape
            .restart
            .as_ref()
            .map(|policy| (policy.name.as_str(), policy.retries_max)),
        Some(("on-failure", 3))
    );
    assert_eq!(
        (shape.stop_signal.as_deref(), shape.stop_timeout_s),
        (Some("SIGINT"), Some(30))
    );
    assert!(!shape.own_command);
    let may = &shape.privileges;
    assert!(may.privileged && may.read_only_root);
    assert_eq!(
        (may.devices.as_slice(), may.device_rules.len()),
        (&["/dev/fuse".to_owned()][..], 1)
    );
    assert_eq!(
        (may.pid_mode.as_deref(), may.ipc_mode.as_deref()),
        (Some("host"), None)
    );
}

#[test]
fn what_is_no_create_body_has_no_shape() {
    assert_eq!(Shape::of(&json!({"HostConfig": {"Binds": 7}})), None);
    assert_eq!(Shape::of(&json!("text")), None);
}

#[test]
fn an_older_look_without_a_field_still_reads() {
    let shape: Shape =
        serde_json::from_value(json!({"network": {"mode": "named", "of": "front"}})).unwrap();
    assert_eq!(shape.network, NetworkMode::Named("front".to_owned()));
}
