//! A running Compose project read as an application: its definition, and where it could be asked how it is.
//! It guesses no probes; whoever can ask finds out which ports answer.

mod project;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use bollard::models::ContainerInspectResponse;
use domain::{
    application::{Application, COMPONENTS_MAX, Component, OnReturn, Timeouts},
    name::{ApplicationName, ComponentName, EnvironmentName},
};

use crate::{
    connect::Engine,
    error::{Error, Kind},
    label::{self, Labels},
    look::{address, published_by},
    specification::joined,
};

/// The runbook's watch window: 15 minutes.
const WATCH_WINDOW_S: u32 = 900;
/// The environment that a definition starts with; the operator names the true one.
const ENVIRONMENT: &str = "production";
/// Ports of one component that are worth asking.
const PORTS_MAX: usize = 16;

/// What was understood of a running project.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// Its definition, components in the order in which they start.
    pub application: Application,
    /// Where a running replica of each component may answer.
    pub candidates: Vec<Candidate>,
    /// What a person should know of how it was understood.
    pub notes: Vec<String>,
}

/// A port of a running replica that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The component.
    pub component: ComponentName,
    /// The replica's address.
    pub address: IpAddr,
    /// The port inside the container.
    pub port: u16,
}

/// One service of a project as its containers show it.
#[derive(Default)]
struct Service {
    containers: Vec<ContainerInspectResponse>,
    needs: BTreeSet<String>,
    created: String,
}

impl Engine {
    /// Reads a running Compose project.
    ///
    /// # Errors
    /// When the engine does not answer, or has no container of that project: the error names those that exist.
    pub async fn adopt(&self, project: &ComponentName) -> Result<Adoption, Error> {
        let filter = format!("{}={project}", label::COMPOSE_PROJECT);
        let list = self
            .list(HashMap::from([("label".to_owned(), vec![filter])]))
            .await?;
        let mut inspects = Vec::new();
        for id in list.into_iter().filter_map(|summary| summary.id) {
            inspects.extend(self.inspect(&id).await?);
        }
        let mut services = services(inspects);
        if services.is_empty() {
            let there = self.projects().await?;
            let there = if there.is_empty() {
                "no projects".to_owned()
            } else {
                there.join(", ")
            };
            let said =
                format!("the engine has no container of Compose project {project}; it has {there}");
            return Err(Error::new(Kind::Missing, said));
        }
        let found = self.files_of(project, &labels_of(&services)).await;
        if let Some(read) = &found.read {
            for (name, service) in &read.services {
                let needs = service.needs.iter().cloned();
                services
                    .entry(name.to_string())
                    .and_modify(|own| own.needs.extend(needs));
            }
        }
        let mut adoption = understood(project, self.endpoint(), &services)?;
        adoption.application.compose = found.definition;
        adoption.notes.extend(found.notes);
        Ok(adoption)
    }

    /// The Compose projects that have containers here.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn projects(&self) -> Result<Vec<String>, Error> {
        let list = self
            .list(HashMap::from([(
                "label".to_owned(),
                vec![label::COMPOSE_PROJECT.to_owned()],
            )]))
            .await?;
        let names = list
            .into_iter()
            .filter_map(|summary| summary.labels?.remove(label::COMPOSE_PROJECT));
        Ok(names.collect::<BTreeSet<String>>().into_iter().collect())
    }
}

/// The services of a project's containers, what each needs included.
fn services(inspects: Vec<ContainerInspectResponse>) -> BTreeMap<String, Service> {
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    let mut service_of: BTreeMap<String, String> = BTreeMap::new();
    for inspect in inspects {
        let labels = labels(&inspect);
        let oneoff = labels
            .get(label::COMPOSE_ONEOFF)
            .is_some_and(|oneoff| oneoff.eq_ignore_ascii_case("true"));
        let Some(name) = labels
            .get(label::COMPOSE_SERVICE)
            .filter(|_| !oneoff)
            .cloned()
        else {
            continue;
        };
        service_of.insert(inspect.id.clone().unwrap_or_default(), name.clone());
        let service = services.entry(name).or_default();
        let needs = labels
            .get(label::COMPOSE_DEPENDS_ON)
            .map(String::as_str)
            .unwrap_or_default();
        service.needs.extend(
            needs
                .split(',')
                .filter_map(|need| need.split(':').next())
                .filter(|need| !need.is_empty())
                .map(str::to_owned),
        );
        let created = inspect
            .created
            .map(|at| at.unix_timestamp_nanos())
            .unwrap_or_default();
        let created = format!("{created:040}");
        if service.created.is_empty() || created < service.created {
            service.created = created;
        }
        service.containers.push(inspect);
    }
    for (name, service) in &mut services {
        // A container that shares another's network starts after it.
        let parents = service
            .containers
            .iter()
            .filter_map(|container| joined(container.host_config.as_ref()?));
        let parents: Vec<String> = parents
            .filter_map(|parent| service_of.get(parent).cloned())
            .filter(|parent| parent != name)
            .collect();
        service.needs.extend(parents);
    }
    services
}

/// The services in an order in which each comes after what it needs; those that are free to move by age.
fn start_order(services: &BTreeMap<String, Service>) -> Vec<&str> {
    let mut by_age: Vec<(&str, &Service)> = services
        .iter()
        .map(|(name, service)| (name.as_str(), service))
        .collect();
    by_age.sort_by_key(|(name, service)| (service.created.as_str(), *name));
    let mut order: Vec<&str> = Vec::new();
    while !by_age.is_empty() {
        let ready = |(_, service): &(&str, &Service)| {
            service
                .needs
                .iter()
                .all(|need| !services.contains_key(need) || order.contains(&need.as_str()))
        };
        // Compose refuses a circle; labels of two different files could still make one. Then age decides.
        let at = by_age.iter().position(ready).unwrap_or(0);
        order.push(by_age.remove(at).0);
    }
    order
}

fn understood(
    project: &ComponentName,
    endpoint: &str,
    services: &BTreeMap<String, Service>,
) -> Result<Adoption, Error> {
    let (mut components, mut candidates, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for service in start_order(services) {
        let name: ComponentName = match service.parse() {
            Ok(name) => name,
            Err(bad) => {
                notes.push(format!("service {service} is left out: {bad}"));
                continue;
            }
        };
        candidates.extend(ports(&name, &services[service].containers));
        notes.push(summary(&name, &services[service].containers));
        notes.extend(oddities(&name, &services[service].containers));
        let after = after(&name, services);
        components.push(Component {
            overlap: None,
            name,
            containers: Vec::new(),
            build: None,
            after,
            version_endpoint: None,
            probes: Vec::new(),
            front: None,
        });
    }
    if components.len() > COMPONENTS_MAX {
        notes.push(format!(
            "the project has {} services, an application at most {COMPONENTS_MAX}: choose",
            components.len()
        ));
    }
    let unnamed = |bad| Error::new(Kind::Refused, format!("{bad}"));
    let name: ApplicationName = project.as_str().parse().map_err(unnamed)?;
    let environment: EnvironmentName = ENVIRONMENT.parse().map_err(unnamed)?;
    let application = Application {
        name,
        environment,
        engine: endpoint.to_owned(),
        project: Some(project.clone()),
        compose: None,
        watch_window_s: WATCH_WINDOW_S,
        approval: false,
        approvers: 1,
        on_return: OnReturn::default(),
        timeouts: Timeouts::default(),
        source: None,
        guards: domain::guard::GuardSettings::default(),
        retain: domain::retention::Retain::default(),
        probes: Vec::new(),
        metrics: Vec::new(),
        components,
    };
    Ok(Adoption {
        application,
        candidates,
        notes,
    })
}

/// The labels of the container that was made last: it saw the files as they are now.
fn labels_of(services: &BTreeMap<String, Service>) -> Labels {
    let containers = services.values().flat_map(|service| &service.containers);
    let newest = containers.max_by_key(|container| container.created);
    newest.map(labels).unwrap_or_default()
}

/// The services that one needs and that come before it: in a circle nobody can wait for everybody.
fn after(name: &ComponentName, services: &BTreeMap<String, Service>) -> Vec<ComponentName> {
    let order = start_order(services);
    let own = order.iter().position(|other| *other == name.as_str());
    let needs = services.get(name.as_str()).map(|service| &service.needs);
    let before = order.into_iter().take(own.unwrap_or(0));
    before
        .filter(|other| needs.is_some_and(|needs| needs.contains(*other)))
        .filter_map(|other| other.parse().ok())
        .collect()
}

/// The TCP ports of the first replica that has an address.
fn ports(component: &ComponentName, containers: &[ContainerInspectResponse]) -> Vec<Candidate> {
    let Some((container, address)) = containers
        .iter()
        .find_map(|container| Some((container, address(container)?)))
    else {
        return Vec::new();
    };
    let exposed = container
        .config
        .as_ref()
        .and_then(|config| config.exposed_ports.clone())
        .unwrap_or_default();
    let published = container
        .host_config
        .as_ref()
        .and_then(|host| host.port_bindings.clone())
        .unwrap_or_default();
    let tcp = |port: &String| {
        port.strip_suffix("/tcp")
            .unwrap_or(port)
            .parse::<u16>()
            .ok()
    };
    let ports: BTreeSet<u16> = exposed
        .iter()
        .chain(published.keys())
        .filter_map(tcp)
        .collect();
    let candidate = |port| Candidate {
        component: component.clone(),
        address,
        port,
    };
    ports.into_iter().take(PORTS_MAX).map(candidate).collect()
}

/// What was understood, so that a person sees what was not: how many replicas, and the ports that they have on their
/// host.
fn summary(component: &ComponentName, containers: &[ContainerInspectResponse]) -> String {
    let replicas = match containers.len() {
        1 => "1 replica".to_owned(),
        count => format!("{count} replicas"),
    };
    let mut published: Vec<String> = Vec::new();
    for container in containers {
        let ports = published_by(container);
        published.extend(ports.iter().map(ToString::to_string));
    }
    published.sort();
    published.dedup();
    let more = published.len().saturating_sub(PORTS_MAX);
    published.truncate(PORTS_MAX);
    let mut ports = match published.len() {
        0 => "no port published".to_owned(),
        1 => format!("port {} published", published[0]),
        _ => format!("ports {} published", published.join(", ")),
    };
    if more > 0 {
        ports = format!("{ports}, and {more} more");
    }
    format!("{component}: {replicas}, {ports}")
}

fn oddities(component: &ComponentName, containers: &[ContainerInspectResponse]) -> Vec<String> {
    let mut notes = Vec::new();
    let running = containers.iter().filter(|container| {
        container
            .state
            .as_ref()
            .and_then(|state| state.running)
            .unwrap_or(false)
    });
    let running = running.count();
    if running < containers.len() {
        notes.push(format!(
            "{component}: {running} of {} containers run",
            containers.len()
        ));
    }
    let auto_removed = |container: &ContainerInspectResponse| {
        container
            .host_config
            .as_ref()
            .and_then(|host| host.auto_remove)
            .unwrap_or(false)
    };
    if containers.iter().any(auto_removed) {
        notes.push(format!("{component} is removed by the engine as soon as it stops (`--rm`): it can not be rolled back"));
    }
    notes
}

fn labels(inspect: &ContainerInspectResponse) -> Labels {
    inspect
        .config
        .as_ref()
        .and_then(|config| config.labels.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(
        id: &str,
        service: &str,
        created: &str,
        changes: serde_json::Value,
    ) -> ContainerInspectResponse {
        let mut inspect = json!({
            "Id": id, "Created": created, "State": {"Running": true},
            "Config": {"Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": service}},
            "HostConfig": {"NetworkMode": "shop_default"},
            "NetworkSettings": {"Networks": {"shop_default": {"IPAddress": "10.0.0.2"}}},
        });
        for (pointer, value) in changes.as_object().unwrap() {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            inspect.pointer_mut(parent).unwrap()[key] = value.clone();
        }
        serde_json::from_value(inspect).unwrap()
    }

    fn order(inspects: Vec<ContainerInspectResponse>) -> Vec<String> {
        start_order(&services(inspects))
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_age_decides_the_rest() {
        let needs = json!({"/Config/Labels/com.docker.compose.depends_on": "db:service_healthy:false,cache:service_started:true"});
        let web = container("1", "web", "2026-01-01T00:00:00Z", needs);
        let db = container("2", "db", "2026-01-01T00:00:09Z", json!({}));
        let cache = container("3", "cache", "2026-01-01T00:00:05Z", json!({}));
        let side = container(
            "4",
            "side",
            "2026-01-01T00:00:01Z",
            json!({"/HostConfig/NetworkMode": "container:2"}),
        );
        assert_eq!(
            order(vec![web, db, cache, side]),
            ["cache", "db", "web", "side"]
        );
    }

    #[test]
    fn a_circle_ends_with_the_eldest_first() {
        let needs = |name: &str| json!({"/Config/Labels/com.docker.compose.depends_on": format!("{name}:service_started:false")});
        let a = container("1", "a", "2026-01-01T00:00:02Z", needs("b"));
        let b = container("2", "b", "2026-01-01T00:00:01Z", needs("a"));
        assert_eq!(order(vec![a, b]), ["b", "a"]);
    }

    #[test]
    fn replicas_and_published_ports_are_named() {
        let at = |id: &str, port: &str| {
            let ports = json!({"/HostConfig/PortBindings": {
                "8080/tcp": [{"HostIp": "", "HostPort": port}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}]}});
            container(id, "web", "2026-01-01T00:00:00Z", ports)
        };
        let project = "shop".parse().unwrap();
        let services = services(vec![at("1", "18080"), at("2", "18081")]);
        let adoption = understood(&project, "unix:///x", &services).unwrap();
        assert_eq!(
            adoption.notes,
            [
                "web: 2 replicas, ports 127.0.0.1:5353→53/udp, 18080→8080/tcp, 18081→8080/tcp published"
            ]
        );
    }

    #[test]
    fn a_project_is_understood_with_its_oddities() {
        let ports = json!({"/Config/ExposedPorts": {"8080/tcp": {}, "53/udp": {}}, "/HostConfig/PortBindings": {"9090/tcp": null}});
        let web = container("1", "web", "2026-01-01T00:00:00Z", ports);
        let loud = container(
            "2",
            "LOUD",
            "2026-01-01T00:00:01Z",
            json!({"/HostConfig/AutoRemove": true}),
        );
        let down = container(
            "3",
            "job",
            "2026-01-01T00:00:02Z",
            json!({"/State/Running": false, "/HostConfig/AutoRemove": true}),
        );
        let project = "shop".parse().unwrap();
        let adoption = understood(&project, "unix:///x", &services(vec![web, loud, down])).unwrap();
        assert_eq!(adoption.application.check(), Ok(()));
        let names: Vec<&str> = adoption
            .application
            .components
            .iter()
            .map(|component| component.name.as_str())
            .collect();
        assert_eq!(names, ["web", "job"]);
        let ports: Vec<u16> = adoption
            .candidates
            .iter()
            .map(|candidate| candidate.port)
            .collect();
        assert_eq!(ports, [8080, 9090]);
        assert_eq!(adoption.notes.len(), 5, "{:?}", adoption.notes);
        assert!(
            adoption
                .notes
                .contains(&"web: 1 replica, no port published".to_owned()),
            "{:?}",
            adoption.notes
        );
    }
}
