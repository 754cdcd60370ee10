//! What may be wished of a container.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// One wish: what to ask of the engine, without image, name and labels of Compose.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Of `Config`.
    pub(super) config: Map<String, Value>,
    /// Of `HostConfig`.
    pub(super) host: Map<String, Value>,
    pub(super) place: Place,
    /// Whether the original runs while it is copied.
    pub(crate) runs: bool,
}

/// Where a container is connected.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Bridge { linked: bool },
    Networks(Vec<Endpoint>),
    Host,
    None,
    Neighbour,
}

/// One network of a container.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) network: usize,
    pub(super) aliases: Vec<&'static str>,
    pub(super) address: Option<u8>,
    pub(super) linked: bool,
}

impl Wish {
    /// As a person reads it.
    pub(crate) fn told(&self) -> Value {
        json!({"config": self.config, "host": self.host, "place": format!("{:?}", self.place), "runs": self.runs})
    }
}

/// A value for a field, or none, or not the field at all.
fn field(
    name: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> BoxedStrategy<(&'static str, Option<Value>)> {
    let values: Vec<Value> = values.into_iter().collect();
    // One in three: a wish has about a dozen of the forty fields, and all forty are met.
    proptest::option::weighted(0.34, proptest::sample::select(values))
        .prop_map(move |value| (name, value))
        .boxed()
}

fn fields(
    list: Vec<BoxedStrategy<(&'static str, Option<Value>)>>,
) -> BoxedStrategy<Map<String, Value>> {
    let collect = |fields: Vec<(&'static str, Option<Value>)>| {
        let given = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        given.collect()
    };
    list.prop_map(collect).boxed()
}

fn config() -> BoxedStrategy<Map<String, Value>> {
    fields(vec![
        field("Hostname", [json!("shop-web"), json!("a.b")]),
        field("Domainname", [json!("lan.example")]),
        field("User", [json!("0"), json!("0:7"), json!("1000:1000")]),
        field("WorkingDir", [json!("/"), json!("/names")]),
        field(
            "Env",
            [
                json!(["TOKEN=hunter2=x"]),
                json!(["MODE=mine", "EMPTY=", "A=1"]),
                json!(["OLD_ONLY=2"]),
            ],
        ),
        field("StopSignal", [json!("SIGTERM"), json!("9")]),
        field("StopTimeout", [json!(3), json!(0)]),
        field("Tty", [json!(true)]),
        field("OpenStdin", [json!(true)]),
        field("StdinOnce", [json!(true)]),
        field(
            "ExposedPorts",
            [
                json!({"7000/tcp": {}}),
                json!({"9/udp": {}, "7001/tcp": {}}),
            ],
        ),
        field(
            "Volumes",
            [json!({"/data": {}}), json!({"/data": {}, "/more": {}})],
        ),
        field(
            "Healthcheck",
            [
                json!({"Test": ["NONE"]}),
                json!({"Test": ["CMD", "/app", "check", "own"], "Interval": 7_000_000_000_u64, "Retries": 9}),
                json!({"Test": ["CMD", "/app"], "StartPeriod": 2_000_000_000_u64, "Timeout": 3_000_000_000_u64}),
            ],
        ),
        field(
            "Labels",
            [
                json!({"team": "a", "vendor": "them"}),
                json!({"traefik.enable": "true"}),
            ],
        ),
        field("Shell", [json!(["/bin/ash", "-c"])]),
    ])
}

/// Entrypoint and command: each given, left out, or emptied.
fn command() -> impl Strategy<Value = Map<String, Value>> {
    let (api, worker) = (json!(["api"]), json!(["worker"]));
    let pairs = vec![
        json!({}),
        json!({"Cmd": api}),
        json!({"Entrypoint": ["/app", "worker"]}),
        json!({"Entrypoint": ["/app"], "Cmd": worker}),
        json!({"Entrypoint": [""], "Cmd": ["/app", "api"]}),
        json!({"Entrypoint": ["/app", "api"], "Cmd": ["more"]}),
    ];
    proptest::sample::select(pairs).prop_map(|pair| pair.as_object().unwrap().clone())
}

fn host() -> BoxedStrategy<Map<String, Value>> {
    let mut list = limits();
    list.extend(rights());
    list.extend(data());
    list.extend(vec![
        field("Init", [json!(true), json!(false)]),
        field("RestartPolicy", [
            json!({"Name": "always"}),
            json!({"Name": "unless-stopped"}),
            json!({"Name": "on-failure", "MaximumRetryCount": 3}),
        ]),
        field("LogConfig", [
            json!({"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}),
            json!({"Type": "none", "Config": {}}),
            json!({"Type": "local", "Config": {}}),
        ]),
        field("ExtraHosts", [json!(["db:10.0.0.9"]), json!(["a:10.0.0.1", "b:10.0.0.2"])]),
        field("Dns", [json!(["10.0.0.53"])]),
        field("DnsSearch", [json!(["example.org"])]),
        field("DnsOptions", [json!(["ndots:2"])]),
        field("PortBindings", [
            json!({"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}),
            json!({"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}, {"HostIp": "127.0.0.2", "HostPort": ""}],
                   "7000/udp": [{"HostIp": "", "HostPort": ""}]}),
        ]),
        field("PublishAllPorts", [json!(true)]),
        field("Runtime", [json!("runc")]),
    ]);
    fields(list)
}

fn limits() -> Vec<BoxedStrategy<(&'static str, Option<Value>)>> {
    let memory = 64_u64 << 20;
    vec![
        field("Memory", [json!(memory)]),
        field("MemoryReservation", [json!(memory / 2)]),
        field("NanoCpus", [json!(500_000_000)]),
        field("CpuShares", [json!(512)]),
        field("CpusetCpus", [json!("0")]),
        field("PidsLimit", [json!(50)]),
        field("OomScoreAdj", [json!(100)]),
        field("ShmSize", [json!(1 << 20)]),
        field(
            "Ulimits",
            [
                json!([{"Name": "nofile", "Soft": 512, "Hard": 1024}]),
                json!([{"Name": "core", "Soft": 0, "Hard": 0}]),
            ],
        ),
        field("CgroupParent", [json!("/sternway-test")]),
        field("BlkioWeight", [json!(0)]),
    ]
}

fn rights() -> Vec<BoxedStrategy<(&'static str, Option<Value>)>> {
    vec![
        field("CapDrop", [json!(["ALL"]), json!(["NET_RAW", "CHOWN"])]),
        field(
            "CapAdd",
            [
                json!(["NET_BIND_SERVICE"]),
                json!(["SYS_PTRACE", "NET_ADMIN"]),
            ],
        ),
        field(
            "SecurityOpt",
            [
                json!(["no-new-privileges"]),
                json!(["seccomp=unconfined"]),
                json!(["no-new-privileges:true", "seccomp=unconfined"]),
            ],
        ),
        field("ReadonlyRootfs", [json!(true)]),
        field("GroupAdd", [json!(["7"]), json!(["7", "8"])]),
        field(
            "Devices",
            [
                json!([{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rw"}]),
            ],
        ),
        field("DeviceCgroupRules", [json!(["c 1:3 mr"])]),
        field(
            "IpcMode",
            [
                json!("private"),
                json!("shareable"),
                json!("host"),
                json!("none"),
                json!("container:NEIGHBOUR"),
            ],
        ),
        field("PidMode", [json!("host"), json!("container:NEIGHBOUR")]),
        field("UsernsMode", [json!("host")]),
        field("CgroupnsMode", [json!("host"), json!("private")]),
        field("MaskedPaths", [json!([]), json!(["/proc/keys"])]),
        field("ReadonlyPaths", [json!([]), json!(["/proc/sys"])]),
        field("Sysctls", [json!({"net.core.somaxconn": "128"})]),
    ]
}

fn data() -> Vec<BoxedStrategy<(&'static str, Option<Value>)>> {
    vec![
        field(
            "Binds",
            [
                json!(["NAMES:/names"]),
                json!(["NAMES:/names:ro", "/etc/hostname:/etc/app:ro"]),
                json!(["/etc:/host-etc:ro,private", "NAMES:/names:nocopy"]),
            ],
        ),
        field(
            "Mounts",
            [
                json!([{"Type": "volume", "Target": "/loose"}]),
                json!([{"Type": "volume", "Source": "NAMES", "Target": "/mounted", "ReadOnly": true, "VolumeOptions": {"NoCopy": true}}]),
                json!([{"Type": "bind", "Source": "/etc", "Target": "/etc-of-host", "ReadOnly": true, "BindOptions": {"Propagation": "private"}},
                   {"Type": "tmpfs", "Target": "/fast", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 448}}]),
            ],
        ),
        field(
            "Tmpfs",
            [
                json!({"/scratch": "size=1m"}),
                json!({"/scratch": "", "/run": "mode=700"}),
            ],
        ),
        field(
            "VolumesFrom",
            [json!(["NEIGHBOUR"]), json!(["NEIGHBOUR:ro"])],
        ),
        field("VolumeDriver", [json!("local")]),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    let aliases = proptest::sample::subsequence(vec!["web", "shop", "api.internal"], 0..=3);
    let endpoint = (
        aliases,
        proptest::option::of(20_u8..200),
        proptest::bool::ANY,
    );
    let networks = proptest::collection::vec(endpoint, 1..=3).prop_map(|list| {
        let endpoints =
            list.into_iter()
                .enumerate()
                .map(|(network, (aliases, address, linked))| Endpoint {
                    network,
                    aliases,
                    address,
                    linked: linked && network == 0,
                });
        Place::Networks(endpoints.collect())
    });
    prop_oneof![
        4 => networks,
        2 => proptest::bool::ANY.prop_map(|linked| Place::Bridge { linked }),
        1 => Just(Place::Host),
        1 => Just(Place::None),
        2 => Just(Place::Neighbour),
    ]
}

/// Any wish that an engine can grant.
pub(crate) fn any() -> impl Strategy<Value = Wish> {
    let mac = proptest::option::weighted(0.25, Just(json!("02:42:ac:11:77:01")));
    (
        config(),
        command(),
        host(),
        place(),
        proptest::bool::weighted(0.6),
        mac,
    )
        .prop_map(|(mut config, command, host, place, runs, mac)| {
            config.extend(command);
            if let Some(mac) = mac {
                config.insert("MacAddress".to_owned(), mac);
            }
            granted(Wish {
                config,
                host,
                place,
                runs,
            })
        })
}

/// Without what an engine refuses beside something else.
fn granted(mut wish: Wish) -> Wish {
    let (config, host) = (&mut wish.config, &mut wish.host);
    let own_network = matches!(wish.place, Place::Bridge { .. } | Place::Networks(_));
    if !own_network {
        for refused in [
            "PortBindings",
            "PublishAllPorts",
            "Sysctls",
            "ExtraHosts",
            "Dns",
            "DnsSearch",
            "DnsOptions",
        ] {
            host.remove(refused);
        }
        for refused in ["Hostname", "Domainname", "ExposedPorts", "MacAddress"] {
            config.remove(refused);
        }
    }
    let mode = |host: &Map<String, Value>, name: &str| {
        host.get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    if !matches!(mode(host, "IpcMode").as_str(), "" | "private" | "shareable") {
        host.remove("ShmSize");
    }
    if host.contains_key("UsernsMode") || mode(host, "PidMode") == "host" {
        host.remove("CgroupnsMode");
    }
    // A process that is not the first one of its own is no init.
    if !mode(host, "PidMode").is_empty() {
        host.remove("Init");
    }
    // tini's own signals need a memory of their own to start in; the runtime needs six megabytes, the rest is ours.
    if host.contains_key("VolumesFrom") && host.contains_key("ReadonlyRootfs") {
        host.remove("VolumesFrom");
    }
    // The engine makes the folders of mounts in a root that it may write.
    if host.contains_key("ReadonlyRootfs") {
        config.remove("WorkingDir");
    }
    wish
}
