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
        let mut host = creation(&specification, &replica, all_networks).body.host_config.unwrap();
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
