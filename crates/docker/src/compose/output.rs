//! What `config` prints, understood. Compose 2 prints JSON when asked to; Compose 1 prints YAML in the one normal
//! form of its library: two spaces a level, a key and its scalar on one line. Of that, only what is needed is read.

use std::collections::BTreeMap;

use domain::specification::Published;
use serde_json::Value;

/// One service as Compose understands it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    /// The image that it runs; none when it is only built.
    pub(crate) image: Option<String>,
    /// The services that it needs.
    pub(crate) needs: Vec<String>,
    /// The networks that it names.
    pub(crate) networks: Vec<String>,
    /// The ports that it publishes, each by the keys of the long form.
    ports: Vec<BTreeMap<String, String>>,
}

impl Service {
    /// The ports that it publishes; what the engine chooses is none.
    pub(crate) fn published(&self) -> Vec<Published> {
        let published = |port: &BTreeMap<String, String>| {
            Some(Published {
                port: port.get("target")?.parse().ok()?,
                protocol: port
                    .get("protocol")
                    .map_or("tcp", String::as_str)
                    .to_owned(),
                host_ip: port.get("host_ip").filter(|ip| *ip != "0.0.0.0").cloned(),
                host_port: Some(port.get("published")?.parse().ok()?),
            })
        };
        self.ports.iter().filter_map(published).collect()
    }

    /// A line of a list of ports, as Compose 1 prints it: short where an address is given, else a key a line.
    fn port(&mut self, bare: &str) {
        let Some(item) = bare.strip_prefix("- ") else {
            if let (Some(port), Some((key, value))) = (self.ports.last_mut(), bare.split_once(": "))
            {
                port.insert(key.to_owned(), scalar(value));
            }
            return;
        };
        let mut port = BTreeMap::new();
        if let Some((key, value)) = item.split_once(": ") {
            port.insert(key.to_owned(), scalar(value));
        } else {
            let item = scalar(item);
            let (rest, protocol) = item.rsplit_once('/').unwrap_or((&item, "tcp"));
            let mut parts = rest.rsplitn(3, ':');
            let keys = ["target", "published", "host_ip"].into_iter();
            for (key, part) in keys.zip(&mut parts) {
                port.insert(key.to_owned(), part.trim_matches(['[', ']']).to_owned());
            }
            port.insert("protocol".to_owned(), protocol.to_owned());
        }
        self.ports.push(port);
    }
}

/// Services by name.
pub(crate) type Services = BTreeMap<String, Service>;

/// `config --hash=*`: a line for each service, its name and its hash.
pub(crate) fn hashes(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.trim().rsplit_once(' '));
    pairs
        .filter(|(_, hash)| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(|(name, hash)| (name.trim().to_owned(), hash.to_owned()))
        .collect()
}

/// `config --format json` of Compose 2, whole.
pub(crate) fn whole_of_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("what `config` printed is not JSON (line {})", error.line()))
}

/// The services of a whole project of Compose 2.
pub(crate) fn services_of_json(whole: &Value) -> Services {
    let services = whole["services"].as_object().cloned().unwrap_or_default();
    let service = |(name, service): (String, Value)| {
        let needs = match &service["depends_on"] {
            Value::Object(needs) => needs.keys().cloned().collect(),
            Value::Array(needs) => needs
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        let image = service["image"].as_str().map(str::to_owned);
        let networks = service["networks"].as_object();
        let networks = networks.map(|all| all.keys().cloned().collect());
        let ports = service["ports"].as_array().into_iter().flatten();
        let service = Service {
            image,
            needs,
            networks: networks.unwrap_or_default(),
            ports: ports.map(pairs).collect(),
        };
        (name, service)
    };
    services.into_iter().map(service).collect()
}

/// The keys of a port in the long form, numbers as text.
fn pairs(port: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let keys = port.as_object().into_iter().flatten();
    keys.filter_map(|(key, value)| Some((key.clone(), text(value)?)))
        .collect()
}

/// `config` of Compose 1.
pub(crate) fn services_of_yaml(text: &str) -> Services {
    let mut services = Services::new();
    let (mut inside, mut name, mut key) = (false, String::new(), "");
    for line in text.lines() {
        let bare = line.trim_start_matches(' ');
        let level = line.len() - bare.len();
        if bare.is_empty() {
            continue;
        }
        match level {
            0 => inside = bare == "services:",
            2 if inside => {
                name = scalar(bare.trim_end_matches(':'));
                key = "";
                services.insert(name.clone(), Service::default());
            }
            4 | 6 if inside => {
                let Some(service) = services.get_mut(&name) else {
                    continue;
                };
                if level == 4 && !bare.starts_with("- ") {
                    key = bare.split(':').next().unwrap_or_default();
                    if let Some(image) = bare.strip_prefix("image: ") {
                        service.image = Some(scalar(image));
                    }
                } else if key == "depends_on" {
                    let need = bare.strip_prefix("- ").or_else(|| bare.strip_suffix(':'));
                    service.needs.extend(need.map(scalar));
                } else if key == "networks" {
                    let name = bare.strip_prefix("- ").or_else(|| bare.split(':').next());
                    service.networks.extend(name.map(scalar));
                } else if key == "ports" {
                    service.port(bare);
                }
            }
            _ => {}
        }
    }
    services
}

/// A name or a reference, which has no line end and no escape in it.
fn scalar(text: &str) -> String {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    quoted('\'')
        .or_else(|| quoted('"'))
        .unwrap_or(text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As docker-compose 1.29.2 printed it.
    const PRINTED: &str = r#"networks:
  front: {}
services:
  '123':
    image: sternway-demo:1.4.2
    network_mode: service:web
  "on":
    image: sternway-demo:1.4.2
  web:
    command:
    - api
    - "image: not\
      \ this"
    depends_on:
      cache:
        condition: service_started
      db:
        condition: service_healthy
    environment:
      A: long text with spaces long text with spaces long text with spaces long text
        with spaces long text
      B: 'two

        lines'
      image: not this
    image: registry:5000/shop:1.4.2@sha256:00
    labels:
      depends_on: nobody
volumes:
  db:
    image: not this
version: '2.4'

"#;

    #[test]
    fn compose_1_is_understood() {
        let services = services_of_yaml(PRINTED);
        let names: Vec<&str> = services.keys().map(String::as_str).collect();
        assert_eq!(names, ["123", "on", "web"]);
        let web = &services["web"];
        assert_eq!(web.needs, ["cache", "db"]);
        assert_eq!(
            web.image.as_deref(),
            Some("registry:5000/shop:1.4.2@sha256:00")
        );
        assert_eq!(services["on"].needs, [""; 0]);
    }

    #[test]
    fn a_list_of_needs_is_understood() {
        let services = services_of_yaml(
            "services:\n  a:\n    depends_on:\n    - b\n    - c\n    links:\n    - d\n",
        );
        assert_eq!(services["a"].needs, ["b", "c"]);
    }

    #[test]
    fn networks_and_ports_are_understood() {
        let services = services_of_yaml(
            "services:\n  web:\n    networks:\n      back:\n        aliases:\n        - x\n      front: {}\n    ports:\n    \
             - 127.0.0.1:18080:8080/tcp\n    - published: 9000\n      target: 90\n    - target: 5000\n    \
             - protocol: udp\n      published: 53\n      target: 53\n    restart: always\n",
        );
        let said = |service: &Service| -> Vec<String> {
            service
                .published()
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(services["web"].networks, ["back", "front"]);
        let ports = ["127.0.0.1:18080→8080/tcp", "9000→90/tcp", "53→53/udp"];
        assert_eq!(said(&services["web"]), ports);
        let text = r#"{"services": {"web": {"networks": {"default": null}, "ports": [
            {"mode": "ingress", "host_ip": "127.0.0.1", "target": 8080, "published": "18080", "protocol": "tcp"},
            {"mode": "ingress", "target": 5000, "protocol": "tcp"}]}}}"#;
        let services = services_of_json(&whole_of_json(text).unwrap());
        assert_eq!(services["web"].networks, ["default"]);
        assert_eq!(said(&services["web"]), ports[..1]);
    }

    #[test]
    fn compose_2_is_understood() {
        let text = r#"{"name": "x", "services": {"web": {"image": "shop:1", "depends_on": {"db": {"condition": "service_started", "required": true}}}, "db": {"build": {"context": "."}}}}"#;
        let services = services_of_json(&whole_of_json(text).unwrap());
        assert_eq!(services["web"].needs, ["db"]);
        assert_eq!(services["web"].image.as_deref(), Some("shop:1"));
        assert_eq!(services["db"], Service::default());
        assert!(whole_of_json("services:").is_err());
        assert!(services_of_json(&serde_json::json!([1])).is_empty());
    }

    #[test]
    fn hashes_are_read_by_service() {
        let hash = "ab".repeat(32);
        let found = hashes(&format!("api {hash}\nworker {hash}\nWARNING: x\n"));
        assert_eq!(found.len(), 2);
        assert_eq!(found["api"], hash);
    }

    proptest! {
        #![proptest_config(crate::tries())]

        #[test]
        fn whatever_compose_prints_is_understood_or_not_and_breaks_nothing(
            pieces in prop::collection::vec(prop::sample::select(vec![
                PRINTED, "services:\n", "  web:\n", "    image: ", "    depends_on:\n", "      - db\n", "      db:\n", "shop:1", "'", "\"",
                "\n", " ", ":", "- ", "\0", "é", "{\"services\": {\"a\": ", "{\"image\": 1}", "null", "}}", "[",
            ]), 0..10),
            noise in "\\PC{0,20}",
        ) {
            let text = pieces.concat() + &noise;
            let lines = text.lines().count();
            prop_assert!(services_of_yaml(&text).len() <= lines);
            prop_assert!(hashes(&text).len() <= lines);
            if let Ok(whole) = whole_of_json(&text) {
                prop_assert!(services_of_json(&whole).len() <= text.len());
            }
        }
    }
}
