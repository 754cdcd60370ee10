//! Whatever was recorded and whatever runs now: no privilege is gained by a rollback.

use super::*;
use proptest::prelude::*;

/// Host configurations that ask for much.
fn greedy() -> impl Strategy<Value = Value> {
    let field = |name: &'static str, values: Vec<Value>| {
        proptest::option::of(proptest::sample::select(values)).prop_map(move |value| (name, value))
    };
    let fields = vec![
        field("Privileged", vec![json!(true), json!(false)]).boxed(),
        field("CapAdd", vec![json!(["SYS_ADMIN"]), json!(["ALL"])]).boxed(),
        field("CapDrop", vec![json!(["ALL"])]).boxed(),
        field("PidMode", vec![json!("host"), json!("")]).boxed(),
        field("IpcMode", vec![json!("host"), json!("private")]).boxed(),
        field("UsernsMode", vec![json!("host")]).boxed(),
        field("UTSMode", vec![json!("host")]).boxed(),
        field(
            "NetworkMode",
            vec![
                json!("host"),
                json!("front"),
                json!("none"),
                json!("container:other"),
            ],
        )
        .boxed(),
        field(
            "Binds",
            vec![
                json!(["/:/host"]),
                json!(["/var/run/docker.sock:/s"]),
                json!(["named:/n"]),
                json!([format!("{VOLUME}:/data")]),
            ],
        )
        .boxed(),
        field(
            "Devices",
            vec![json!([{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda"}])],
        )
        .boxed(),
        field(
            "SecurityOpt",
            vec![json!(["seccomp=unconfined"]), json!(["no-new-privileges"])],
        )
        .boxed(),
        field("Sysctls", vec![json!({"net.ipv4.ip_forward": "1"})]).boxed(),
        field("GroupAdd", vec![json!(["0"])]).boxed(),
        field("ReadonlyRootfs", vec![json!(true), json!(false)]).boxed(),
        field(
            "PortBindings",
            vec![
                json!({"22/tcp": [{"HostPort": "22"}]}),
                json!({"8080/tcp": [{"HostPort": "80"}]}),
            ],
        )
        .boxed(),
    ];
    fields.prop_map(|fields| {
        Value::Object(
            fields
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
        )
    })
}

proptest! {
    #[test]
    fn nothing_comes_out_that_was_not_recorded(recorded in greedy(), replaced in greedy(), all_networks: bool) {
        let specification = specification_of(plain_config(), recorded, json!({"front": {}}));
        let mut replaced = inspect(plain_config(), replaced, json!({"front": {}}));
        replaced.mounts = serde_json::from_value(json!([{"Type": "volume", "Name": VOLUME, "Destination": "/cache"}])).unwrap();
        let replica = Replica::of(&replaced).with_place(&replaced);
        let creation = creation(&specification, &replica, all_networks);
        // Ports at other addresses of the host are the one thing that a replica can have brought; that is refused.
        let moved = creation.body.host_config.as_ref().unwrap().port_bindings.is_some();
        prop_assert!(moved || no_rise(&specification, &creation).is_ok());
        let mut host = creation.body.host_config.unwrap();
        let meant: ContainerCreateBody = serde_json::from_value(specification.body.clone()).unwrap();
        let mut meant = meant.host_config.unwrap();
        let (had, has) = (meant.binds.take().unwrap_or_default(), host.binds.take().unwrap_or_default());
        prop_assert!(has.iter().all(|bind| had.contains(bind) || is_anonymous(bind_source(bind))));
        let (had, has) = (meant.port_bindings.take().unwrap_or_default(), host.port_bindings.take().unwrap_or_default());
        prop_assert!(has.keys().all(|port| had.contains_key(port)));
        let (had, has) = (meant.network_mode.take().unwrap_or_default(), host.network_mode.take().unwrap_or_default());
        prop_assert!(has == had || had.starts_with("container:") && has.starts_with("container:"));
        prop_assert_eq!(host, meant);
    }
}

/// What was recorded: a humble container on one network, with one of each thing that can be widened.
fn humble() -> Specification {
    let host = json!({
        "NetworkMode": "front", "Privileged": false, "CapDrop": ["ALL"], "CapAdd": ["NET_BIND_SERVICE"],
        "SecurityOpt": ["no-new-privileges"], "ReadonlyRootfs": true, "Binds": ["named:/names:ro"],
        "Mounts": [{"Type": "volume", "Target": "/loose"}, {"Type": "bind", "Source": "/srv", "Target": "/srv", "ReadOnly": true}],
        "PidMode": "", "IpcMode": "private", "UTSMode": "", "UsernsMode": "", "CgroupnsMode": "private",
        "PidsLimit": 50, "Memory": 64 << 20, "Ulimits": [{"Name": "nofile", "Soft": 512, "Hard": 1024}],
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "r"}],
        "MaskedPaths": ["/proc/keys"], "ReadonlyPaths": ["/proc/sys"], "GroupAdd": ["7"], "VolumesFrom": ["other:ro"],
        "Links": ["/db:/web/database"],
        "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
    });
    let config = with(
        plain_config(),
        json!({"User": "1000", "Env": ["TOKEN=t"], "Cmd": ["worker"]}),
    );
    specification_of(config, host, json!({"front": {"Aliases": ["web"]}}))
}

fn humble_creation() -> Creation {
    creation(&humble(), &Replica::default(), true)
}

#[test]
fn what_was_recorded_is_created() {
    no_rise(&humble(), &humble_creation()).unwrap();
    no_rise(&humble(), &creation(&humble(), &Replica::default(), false)).unwrap();
}

/// More of the host's files and of root's rights.
fn rises_of_rights() -> Vec<(&'static str, Value)> {
    let bind = |text: &str| json!(["named:/names:ro", text]);
    vec![
        ("HostConfig.Privileged", json!(true)),
        (
            "HostConfig.CapAdd",
            json!(["NET_BIND_SERVICE", "SYS_ADMIN"]),
        ),
        ("HostConfig.CapDrop", Value::Null),
        ("HostConfig.SecurityOpt", json!([])),
        (
            "HostConfig.SecurityOpt",
            json!(["no-new-privileges", "seccomp=unconfined"]),
        ),
        ("HostConfig.ReadonlyRootfs", json!(false)),
        ("HostConfig.Binds", bind("/:/host")),
        ("HostConfig.Binds", bind("/var/run/docker.sock:/s")),
        ("HostConfig.Binds", bind("another:/data")),
        ("HostConfig.Binds", bind(&format!("{VOLUME}:/data:z"))),
        ("HostConfig.Binds", json!(["named:/names"])),
        (
            "HostConfig.Mounts",
            json!([{"Type": "volume", "Target": "/loose"}, {"Type": "bind", "Source": "/srv", "Target": "/srv"}]),
        ),
        (
            "HostConfig.Mounts",
            json!([{"Type": "volume", "Target": "/loose", "Source": "another"},
                                     {"Type": "bind", "Source": "/srv", "Target": "/srv", "ReadOnly": true}]),
        ),
    ]
}

/// More of the host's other parts, and less of its limits.
fn rises_of_the_host() -> Vec<(&'static str, Value)> {
    vec![
        ("HostConfig.PidMode", json!("host")),
        ("HostConfig.PidMode", json!("container:other")),
        ("HostConfig.IpcMode", json!("host")),
        ("HostConfig.UTSMode", json!("host")),
        ("HostConfig.UsernsMode", json!("host")),
        ("HostConfig.CgroupnsMode", json!("host")),
        ("HostConfig.NetworkMode", json!("host")),
        ("HostConfig.NetworkMode", json!("container:other")),
        (
            "HostConfig.Devices",
            json!([{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]),
        ),
        (
            "HostConfig.DeviceRequests",
            json!([{"Count": -1, "Capabilities": [["gpu"]]}]),
        ),
        ("HostConfig.DeviceCgroupRules", json!(["a *:* rwm"])),
        ("HostConfig.MaskedPaths", json!([])),
        ("HostConfig.ReadonlyPaths", json!([])),
        ("HostConfig.GroupAdd", json!(["0"])),
        ("HostConfig.Sysctls", json!({"kernel.msgmax": "1"})),
        ("HostConfig.PidsLimit", json!(0)),
        ("HostConfig.Memory", json!(0)),
        ("HostConfig.Ulimits", Value::Null),
        ("HostConfig.CgroupParent", json!("/")),
        ("HostConfig.Runtime", json!("unconfined")),
        ("HostConfig.VolumesFrom", json!(["other"])),
        ("HostConfig.VolumesFrom", json!(["other:ro", "third"])),
        ("HostConfig.Links", json!(["db:database", "vault:vault"])),
        ("HostConfig.Links", json!(["db:vault"])),
        (
            "HostConfig.PortBindings",
            json!({"8080/tcp": [{"HostIp": "", "HostPort": "8080"}]}),
        ),
        (
            "HostConfig.PortBindings",
            json!({"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "22/tcp": [{"HostIp": "", "HostPort": "22"}]}),
        ),
        ("HostConfig.PublishAllPorts", json!(true)),
        ("HostConfig.SomethingThatNobodyKnowsYet", json!(true)),
    ]
}

/// Another user, another program, other networks.
fn rises_of_the_rest() -> Vec<(&'static str, Value)> {
    vec![
        ("User", json!("0")),
        ("User", Value::Null),
        ("Entrypoint", json!(["/bin/sh"])),
        ("Cmd", json!(["api"])),
        ("Env", json!(["TOKEN=t", "LD_PRELOAD=/x"])),
        ("SomethingThatNobodyKnowsYet", json!("on")),
        (
            "NetworkingConfig",
            json!({"EndpointsConfig": {"front": {"Aliases": ["web"]}, "admin": {}}}),
        ),
        (
            "NetworkingConfig",
            json!({"EndpointsConfig": {"front": {"Links": ["db:db"]}}}),
        ),
    ]
}

#[test]
fn each_kind_of_rise_is_refused_by_its_name() {
    let rises = [rises_of_rights(), rises_of_the_host(), rises_of_the_rest()].concat();
    for (field, value) in rises {
        let mut creation = humble_creation();
        let place = field
            .split('.')
            .fold(&mut creation.whole, |place, key| &mut place[key]);
        *place = value.clone();
        let refused = no_rise(&humble(), &creation).expect_err(&format!("{field} {value}"));
        assert_eq!(refused.kind(), Kind::Refused);
        assert!(
            refused.to_string().contains(&format!("`{field}`")),
            "{field}: {refused}"
        );
    }
}

#[test]
fn a_network_that_would_be_connected_afterwards_is_no_way_around() {
    let mut creation = creation(&humble(), &Replica::default(), false);
    creation
        .connect
        .insert("admin".to_owned(), EndpointSettings::default());
    assert!(no_rise(&humble(), &creation).is_err());
}

#[test]
fn what_belongs_to_the_replica_is_no_rise() {
    let mut replica = Replica::default();
    replica
        .volumes
        .insert("/cache".to_owned(), VOLUME.to_owned());
    replica
        .volumes
        .insert("/loose".to_owned(), VOLUME.to_owned());
    replica.named_on.insert("front".to_owned());
    replica.shared.volumes = vec!["successor".to_owned()];
    replica.shared.links = vec![("db".to_owned(), "successor".to_owned())];
    let creation = creation(&humble(), &replica, true);
    assert!(
        creation
            .whole
            .to_string()
            .contains(&format!("{VOLUME}:/cache"))
    );
    assert_eq!(
        creation.whole["HostConfig"]["VolumesFrom"],
        json!(["successor:ro"])
    );
    assert_eq!(
        creation.whole["HostConfig"]["Links"],
        json!(["successor:database"])
    );
    no_rise(&humble(), &creation).unwrap();
}
