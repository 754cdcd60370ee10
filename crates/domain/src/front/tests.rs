use super::*;
use serde_json::{Value, json};

fn haproxy() -> Value {
    json!({"balancer": {"kind": "haproxy", "socket": "/run/haproxy/admin.sock", "backend": "shop",
                        "file": "/etc/haproxy/haproxy.cfg"},
           "servers": ["s1"], "port": 8080})
}

fn caddy() -> Value {
    json!({"balancer": {"kind": "caddy", "url": "http://127.0.0.1:2019"},
           "servers": ["/id/shop/upstreams/0"], "port": 8080, "two_versions": true})
}

fn bad(front: Value) -> Vec<String> {
    let mut bad = Vec::new();
    let front: Front = serde_json::from_value(front).unwrap();
    front.check("front", &mut bad);
    bad.into_iter().map(|bad| bad.field).collect()
}

#[test]
fn two_versions_at_once_must_be_said() {
    assert_eq!(bad(haproxy()), Vec::<String>::new());
    assert_eq!(bad(caddy()), Vec::<String>::new());
    let front: Front = serde_json::from_value(haproxy()).unwrap();
    assert!(!front.two_versions);
    assert_eq!(front.drain_s, 30);
}

#[test]
fn a_field_of_another_balancer_is_refused() {
    let mut front = caddy();
    front["balancer"]["socket"] = json!("/run/haproxy.sock");
    assert!(serde_json::from_value::<Front>(front).is_err());
    let mut front = haproxy();
    front["drain"] = json!(3);
    assert!(serde_json::from_value::<Front>(front).is_err());
}

#[test]
fn a_name_that_is_a_second_command_is_refused() {
    for name in ["s1;shutdown", "s1 state", "s1\nshow", "", "s/1"] {
        let mut front = haproxy();
        front["servers"] = json!([name]);
        assert_eq!(bad(front), ["front.servers"], "{name:?}");
    }
    let mut front = haproxy();
    front["balancer"]["backend"] = json!("shop;");
    assert_eq!(bad(front), ["front.balancer.backend"]);
}

#[test]
fn a_path_out_of_the_configuration_is_refused() {
    for path in [
        "/id/",
        "/id/../load",
        "/load",
        "/config",
        "/id/a?x",
        "/id/a//b",
        "id/a",
        "/id/%2e",
    ] {
        let mut front = caddy();
        front["servers"] = json!([path]);
        assert_eq!(bad(front), ["front.servers"], "{path:?}");
    }
    for url in [
        "https://127.0.0.1:2019",
        "http://",
        "http://u@h",
        "http://h/p",
        "http://h?x",
    ] {
        let mut front = caddy();
        front["balancer"]["url"] = json!(url);
        assert_eq!(bad(front), ["front.balancer.url"], "{url:?}");
    }
}

#[test]
fn every_other_rule_is_named() {
    let mut front = haproxy();
    front["servers"] = json!(["s1", "s1"]);
    front["port"] = json!(0);
    front["drain_s"] = json!(3601);
    front["balancer"]["socket"] = json!("admin.sock");
    front["balancer"]["file"] = json!("haproxy.cfg");
    assert_eq!(
        bad(front),
        [
            "front.balancer.socket",
            "front.balancer.file",
            "front.servers",
            "front.port",
            "front.drain_s"
        ]
    );
}

#[test]
fn a_server_that_a_reload_would_turn_does_not_point() {
    let address: SocketAddr = "172.17.0.2:8080".parse().unwrap();
    let mut server = FrontServer {
        address: Some(address),
        takes: true,
        up: true,
        filed: None,
        sessions: Seen::Absent,
    };
    assert!(server.points_at(address));
    server.filed = Some(Filed::Says("172.17.0.3:8080".parse().unwrap()));
    assert!(server.sends_to(address) && !server.points_at(address));
    server.filed = Some(Filed::Says(address));
    server.takes = false;
    assert!(!server.points_at(address));
}
