use serde_json::{Value, json};

use super::*;
use crate::compose::Service;

const COMPOSE: &str =
    "services:\n  api:\n    image: shop:1.5.0\n    ports:\n      - \"127.0.0.1:18080:8080\"\n";

fn shop() -> Application {
    serde_json::from_value(json!({"name": "shop", "environment": "production", "project": "shop",
        "compose": {"folder": "/srv/shop"},
        "components": [{"name": "api", "version_endpoint": {"port": 8080, "path": "/version"}}, {"name": "worker"}]}))
    .unwrap()
}

fn image() -> String {
    format!("sha256:{}", "a".repeat(64))
}

fn container(name: &str, ports: &Value) -> Value {
    let component = if name.contains("worker") {
        "worker"
    } else {
        "api"
    };
    json!({"id": format!("{:0>64}", name.len()), "name": name, "component": component, "replica": 1, "image": image(),
           "state": "running", "health": "none", "started_at": null, "restarts": 0, "exit_code": 0,
           "restart": {"name": "no", "retries_max": 0}, "address": "172.18.0.2", "auto_remove": false,
           "stop_grace_s": 10, "mark": null, "specification": null,
           "shape": {"network": {"mode": "named", "of": "shop_default"}, "networks": {"shop_default": {}},
                     "ports": ports}})
}

fn fixed() -> Value {
    json!([{"port": 8080, "protocol": "tcp", "host_ip": "127.0.0.1", "host_port": 18080}])
}

fn look(containers: &[Value]) -> EngineLook {
    serde_json::from_value(json!({
        "at": "2026-11-23T08:00:00Z", "engine": {"name": "h", "version": "20.10", "api_version": "1.41",
        "disk_free": "absent"}, "containers": containers, "images": {}, "names": {}, "kept": {}, "lock": null}))
    .unwrap()
}

/// Everything that a decision is made on, as it should be.
struct World {
    application: Application,
    look: EngineLook,
    read: ProjectRead,
    networks: BTreeMap<String, Vec<String>>,
    place: Result<Place, String>,
    files: Vec<(String, Vec<u8>)>,
    env: Option<Vec<u8>>,
    image: &'static str,
}

impl World {
    fn new() -> Self {
        let service = Service {
            hash: "0".repeat(64),
            image: Some("shop:1.5.0".to_owned()),
            image_id: Some(image().parse().unwrap()),
            needs: Vec::new(),
            reproduced: true,
        };
        Self {
            application: shop(),
            look: look(&[
                container("shop_api_1", &fixed()),
                container("shop_worker_1", &json!([])),
            ]),
            read: ProjectRead {
                compose: "docker-compose 1.29.2".to_owned(),
                services: [("api".parse().unwrap(), service)].into(),
            },
            networks: [("api".to_owned(), vec!["back".to_owned()])].into(),
            place: Ok(Place {
                name: "docker-compose.override.yml".to_owned(),
                own: "compose.yml".to_owned(),
                list: None,
            }),
            files: vec![("compose.yml".to_owned(), COMPOSE.into())],
            env: None,
            image: "haproxy:lts",
        }
    }

    fn decide(&self) -> Result<Adopted, Refusal> {
        let component = component(&self.application, &self.look, None)?;
        adoption(&Site {
            application: &self.application,
            component,
            look: &self.look,
            read: &self.read,
            networks: &self.networks,
            place: &self.place,
            files: &self.files,
            env: self.env.as_deref(),
            image: self.image,
            user: 65532,
        })
    }

    #[track_caller]
    fn refused(&self, word: &str) {
        let refusal = self.decide().unwrap_err();
        assert!(refusal.sentence.contains(word), "{refusal}");
        assert!(!refusal.next_action.is_empty());
    }
}

fn refused_with(word: &str, change: impl FnOnce(&mut World)) {
    let mut world = World::new();
    change(&mut world);
    world.refused(word);
}

#[test]
fn the_one_component_with_a_fixed_port_is_adopted() {
    let mut world = World::new();
    let adopted = world.decide().unwrap();
    assert_eq!(adopted.port.to_string(), "127.0.0.1:18080→8080/tcp");
    assert_eq!(
        (adopted.speaks, adopted.file.as_str()),
        (Speaks::Http, "compose.yml")
    );
    assert_eq!(adopted.networks, ["back"]);
    assert_eq!(adopted.listing, None);
    world.application.components[0].version_endpoint = None;
    assert_eq!(world.decide().unwrap().speaks, Speaks::Tcp);
    world.place.as_mut().unwrap().list = Some("a.yml:ours.yml".to_owned());
    world.env = Some(b"COMPOSE_FILE=a.yml".to_vec());
    let listing = world.decide().unwrap().listing.unwrap();
    assert_eq!(listing.without.as_deref(), Some("a.yml"));
    assert!(listing.open && !listing.absent);
}

#[test]
fn what_has_no_port_of_its_own_is_refused() {
    refused_with("no component of shop", |world| {
        world.look.containers.clear()
    });
    refused_with("have fixed ports", |world| {
        world.look = look(&[
            container("shop_api_1", &fixed()),
            container("shop_worker_1", &fixed()),
        ]);
    });
    refused_with("replicas", |world| {
        let second = container("shop_api_2", &fixed());
        world.look = look(&[container("shop_api_1", &fixed()), second]);
    });
    let mut udp = fixed();
    udp[0]["protocol"] = json!("udp");
    refused_with("TCP only", |world| {
        world.look = look(&[container("shop_api_1", &udp)])
    });
    let mut two = fixed();
    two.as_array_mut()
        .unwrap()
        .push(json!({"port": 9, "protocol": "tcp", "host_port": 9}));
    refused_with("would still have", |world| {
        world.look = look(&[container("shop_api_1", &two)])
    });
    refused_with("network_mode", |world| {
        world.look.containers[0].shape.as_mut().unwrap().network =
            crate::specification::NetworkMode::Host;
    });
    refused_with("fixed address", |world| {
        let shape = world.look.containers[0].shape.as_mut().unwrap();
        shape.networks.get_mut("shop_default").unwrap().ipv4 = Some("172.18.0.2".to_owned());
    });
    refused_with("shares the network", |world| {
        let id = world.look.containers[0].id.clone();
        world.look.guests.insert("debug".to_owned(), id);
    });
    refused_with("does not run", |world| {
        world.look.containers[0].state = crate::engine_look::ContainerState::Restarting;
    });
    refused_with("already", |world| {
        let front = world.decide().unwrap().front(true);
        world.application.components[0].front = Some(front);
    });
}

#[test]
fn files_that_are_not_what_runs_are_refused() {
    refused_with("edited since", |world| {
        for service in world.read.services.values_mut() {
            service.reproduced = false;
        }
    });
    refused_with("another image", |world| {
        for service in world.read.services.values_mut() {
            service.image_id = None;
        }
    });
    refused_with("no service api", |world| world.read.services.clear());
    refused_with("would not read", |world| {
        world.place = Err("two files".to_owned())
    });
    refused_with("no line", |world| {
        world.files[0].1 = b"services: {}\n".to_vec()
    });
    refused_with("publish 127", |world| {
        world.files.push(("more.yml".to_owned(), COMPOSE.into()))
    });
    refused_with("not certain", |world| {
        world.files[0].1 = COMPOSE.replace("ports:\n", "ports: *p\n").into();
    });
    refused_with("pins images", |world| {
        let images = override_file::Images::parse("api=sha256:00").unwrap();
        world.files.push(("o.yml".to_owned(), images.content()));
    });
    refused_with("pins images", |world| {
        world.env = Some(format!("COMPOSE_FILE=compose.yml:{LISTED}\n").into());
    });
    refused_with("a service api-front", |world| {
        world.networks.insert("api-front".to_owned(), Vec::new());
    });
    refused_with("image reference", |world| world.image = "haproxy:\"lts\"");
    refused_with("characters", |world| {
        world.application.compose.as_mut().unwrap().folder = "/srv/my shop".to_owned();
    });
    refused_with("longer than", |world| {
        world.application.compose.as_mut().unwrap().folder = format!("/{}", "a".repeat(100));
    });
}

#[test]
fn while_a_rollback_acts_nothing_is_adopted() {
    refused_with("under way", |world| {
        let lock = json!({"container": "b".repeat(64), "owner": "here", "rollback": uuid::Uuid::nil(), "stale": false});
        world.look.lock = Some(serde_json::from_value(lock).unwrap());
    });
}
