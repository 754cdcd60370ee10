//! The street that a wished container stands in: networks, neighbours and volumes.

use domain::name::ImageId;
use serde_json::{Value, json};

use super::wishes::{Endpoint, Place, Wish};
use crate::house::House;

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
