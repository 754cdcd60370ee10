//! What may be wished of a container, and the street that it stands in: networks, neighbours and volumes.

use domain::name::ImageId;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::house::House;

/// One wish: what to ask of the engine, without image, name and labels of Compose.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// Of `Config`.
    config: Map<String, Value>,
    /// Of `HostConfig`.
    host: Map<String, Value>,
    place: Place,
    /// Whether the original runs while it is copied.
    pub(crate) runs: bool,
}

/// Where a container is connected.
#[derive(Clone, Debug)]
enum Place {
    Bridge { linked: bool },
    Networks(Vec<Endpoint>),
    Host,
    None,
    Neighbour,
}

/// One network of a container.
#[derive(Clone, Debug)]
struct Endpoint {
    network: usize,
    aliases: Vec<&'static str>,
    address: Option<u8>,
    linked: bool,
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

/// What stands around the containers of one test.
pub(crate) struct Street {
    networks: Vec<String>,
    range: String,
    neighbour: String,
    tags: Vec<(&'static str, String)>,
}

impl Street {
    /// Builds the images, three networks with addresses of their own and a neighbour that runs.
    pub(crate) fn new(house: &House, images: &[(&'static str, &str)]) -> Self {
        let tags = images.iter().map(|(name, lines)| {
            let tag = format!("{}-{name}", house.prefix);
            house.build(&tag, lines);
            (*name, tag)
        });
        let tags: Vec<_> = tags.collect();
        let range = house.address_range();
        let networks: Vec<String> = (0..3).map(|at| house.named(&format!("net{at}"))).collect();
        for (at, network) in networks.iter().enumerate() {
            let subnet = format!("{range}.{}/26", at * 64);
            house.docker(&["network", "create", "--subnet", &subnet, network]);
        }
        let neighbour = house.named("neighbour");
        house.docker(&[
            "run",
            "-d",
            "--name",
            &neighbour,
            "--ipc",
            "shareable",
            "-v",
            "/shared",
            "--network",
            &networks[0],
            &tags[0].1,
            "api",
        ]);
        let bridged = format!("{neighbour}-bridged");
        house.docker(&["run", "-d", "--name", &bridged, &tags[0].1, "api"]);
        Self {
            networks,
            range,
            neighbour,
            tags,
        }
    }

    pub(crate) async fn image(&self, house: &House, name: &str) -> ImageId {
        house
            .engine
            .image_id(self.tag(name))
            .await
            .unwrap()
            .unwrap()
    }

    fn tag(&self, name: &str) -> &str {
        &self.tags.iter().find(|(own, _)| *own == name).unwrap().1
    }

    /// Creates a container as wished, through the engine's API alone. Its identity.
    pub(crate) fn create(
        &self,
        house: &House,
        wish: &Wish,
        name: &str,
        image: &str,
        ours: bool,
    ) -> Result<String, String> {
        let (body, later) = self.body(house, wish, image, ours);
        let created = house.api(
            "POST",
            &format!("/containers/create?name={name}"),
            Some(&body),
        )?;
        let id = created["Id"].as_str().unwrap().to_owned();
        for (network, endpoint) in later {
            let body = json!({"Container": id, "EndpointConfig": endpoint});
            house.api("POST", &format!("/networks/{network}/connect"), Some(&body))?;
        }
        Ok(id)
    }

    fn body(
        &self,
        house: &House,
        wish: &Wish,
        image: &str,
        ours: bool,
    ) -> (Value, Vec<(String, Value)>) {
        let mut body = Value::Object(wish.config.clone());
        body["Image"] = json!(self.tag(image));
        let mut labels = body["Labels"].as_object().cloned().unwrap_or_default();
        let project = if ours {
            house.prefix.clone()
        } else {
            "nobody".to_owned()
        };
        labels.insert("com.docker.compose.project".to_owned(), json!(project));
        labels.insert("com.docker.compose.service".to_owned(), json!("web"));
        labels.insert("com.docker.compose.container-number".to_owned(), json!("1"));
        body["Labels"] = Value::Object(labels);
        let mut host = Value::Object(wish.host.clone());
        let mut endpoints = Vec::new();
        host["NetworkMode"] = match &wish.place {
            Place::Bridge { linked } => {
                if *linked {
                    host["Links"] = json!([format!("{}:db", self.linked())]);
                }
                json!("default")
            }
            Place::Networks(list) => {
                endpoints.extend(list.iter().map(|endpoint| self.endpoint(endpoint)));
                json!(endpoints[0].0)
            }
            Place::Host => json!("host"),
            Place::None => json!("none"),
            Place::Neighbour => json!("container:NEIGHBOUR"),
        };
        body["HostConfig"] = host;
        if !endpoints.is_empty() {
            let (network, endpoint) = endpoints.remove(0);
            body["NetworkingConfig"] = json!({"EndpointsConfig": {network: endpoint}});
        }
        let text = body
            .to_string()
            .replace("NEIGHBOUR", &self.neighbour)
            .replace("NAMES", &house.named("names"));
        (serde_json::from_str(&text).unwrap(), endpoints)
    }

    /// A neighbour that stands on the default bridge, where links are of the old kind.
    fn linked(&self) -> String {
        format!("{}-bridged", self.neighbour)
    }

    fn endpoint(&self, endpoint: &Endpoint) -> (String, Value) {
        let mut wish = json!({});
        if !endpoint.aliases.is_empty() {
            wish["Aliases"] = json!(endpoint.aliases);
        }
        if let Some(address) = endpoint.address {
            let last = endpoint.network * 64 + usize::from(address) % 50 + 10;
            wish["IPAMConfig"] = json!({"IPv4Address": format!("{}.{last}", self.range)});
        }
        if endpoint.linked {
            wish["Links"] = json!([format!("{}:db", self.neighbour)]);
        }
        (self.networks[endpoint.network].clone(), wish)
    }

    /// Removes what one wish made.
    pub(crate) fn clear(&self, house: &House, at: usize) {
        for name in [
            format!("wish-{at}"),
            format!("wish-{at}.next-0123456789ab"),
            format!("reference-{at}"),
        ] {
            let path = format!("/containers/{}?force=1&v=1", house.named(&name));
            let _ = house.api("DELETE", &path, None);
        }
    }
}

impl Drop for Street {
    fn drop(&mut self) {
        for (_, tag) in &self.tags {
            let _ = std::process::Command::new("docker")
                .args(["rmi", "-f", tag])
                .output();
        }
    }
}
