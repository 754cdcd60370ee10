//! Whether a component's fixed port can be given to a balancer, and what follows: decided on what was looked at before
//! anything is touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    SOCKET_CHARS_MAX,
    adopted::{Adopted, Listing, Speaks},
    port_line,
};
use crate::{
    application::{Application, Component},
    compose::{
        ProjectRead, override_file,
        place::{LIST, LISTED, Place},
    },
    engine_look::{Container, EngineLook},
    name::ComponentName,
    plan::is_interim_name,
    probe::Probe,
    specification::{Published, Shape},
};

/// The override file of ours that is named in a list; one that rollbacks pin with is named after it.
pub const LISTED_FRONT: &str = "docker-compose.sternway-front.yml";

/// Why it can not be, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Refusal {
    /// The reason.
    pub sentence: String,
    /// What to do about it.
    pub next_action: String,
}

impl Refusal {
    /// For that reason.
    #[must_use]
    pub fn new(sentence: impl Into<String>, next_action: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            next_action: next_action.into(),
        }
    }
}

/// What was looked at.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// The definition.
    pub application: &'a Application,
    /// The component.
    pub component: &'a Component,
    /// The engine, with specifications.
    pub look: &'a EngineLook,
    /// The project, as the site's own Compose reads it.
    pub read: &'a ProjectRead,
    /// The networks that each of the project's services names.
    pub networks: &'a BTreeMap<String, Vec<String>>,
    /// Where an override file of ours would stand, among the site's own.
    pub place: &'a Result<Place, String>,
    /// The site's own files, with what is in them.
    pub files: &'a [(String, Vec<u8>)],
    /// The environment file.
    pub env: Option<&'a [u8]>,
    /// HAProxy's image.
    pub image: &'a str,
    /// Whom it runs as.
    pub user: u32,
}

/// The component whose fixed port is meant: the one that is named, or the only one that has one.
///
/// # Errors
/// Why there is none.
pub fn component<'a>(
    application: &'a Application,
    look: &EngineLook,
    wanted: Option<&ComponentName>,
) -> Result<&'a Component, Refusal> {
    if let Some(wanted) = wanted {
        return application.component(wanted).ok_or_else(|| {
            let sentence = format!("{wanted} is no component of {}", application.name);
            Refusal::new(sentence, "name one of its components with --component")
        });
    }
    let publishes = |component: &&Component| {
        let mut own = running(&component.name, look);
        own.any(|container| {
            container
                .shape
                .as_ref()
                .is_some_and(|shape| shape.fixed_ports().next().is_some())
        })
    };
    let found: Vec<&Component> = application.components.iter().filter(publishes).collect();
    match found.as_slice() {
        [only] => Ok(only),
        [] => Err(Refusal::new(
            format!(
                "no component of {} that runs has a fixed port of its host",
                application.name
            ),
            "there is nothing to adopt: clients reach it by other means",
        )),
        several => {
            let names: Vec<&str> = several.iter().map(|one| one.name.as_str()).collect();
            Err(Refusal::new(
                format!("{} have fixed ports of their host", names.join(", ")),
                "say which one with --component",
            ))
        }
    }
}

/// The containers of a component that run under their own names.
pub fn running<'a>(
    component: &ComponentName,
    look: &'a EngineLook,
) -> impl Iterator<Item = &'a Container> {
    look.containers.iter().filter(move |container| {
        container.component == *component && container.is_up() && !is_interim_name(&container.name)
    })
}

/// What to do.
///
/// # Errors
/// The first reason against it.
pub fn adoption(site: &Site<'_>) -> Result<Adopted, Refusal> {
    let name = &site.component.name;
    nothing_acts(site.look)?;
    if let Some(front) = &site.component.front {
        let sentence = format!("{name} is behind {} already", front.balancer.word());
        let next = "take `front` out of the definition first, if it is not true";
        return Err(Refusal::new(sentence, next));
    }
    let container = the_one(name, site.look)?;
    let shape = container.shape.as_ref().ok_or_else(|| {
        let sentence = format!("what {} asks for could not be worked out", container.name);
        Refusal::new(sentence, "deploy it once more, then try again")
    })?;
    let port = fixed_port(name, shape)?;
    belongs_to_itself(site.look, container, shape)?;
    as_the_files_say(site, container)?;
    let place = site.place.as_ref().map_err(|why| {
        let sentence = format!("Compose would not read an override file of ours: {why}");
        Refusal::new(sentence, "correct that, then try again")
    })?;
    let file = line_in(name, &port, site.files)?;
    let adopted = Adopted {
        component: name.clone(),
        image: site.image.to_owned(),
        speaks: speaks(site.component, port.port),
        networks: site
            .networks
            .get(name.as_str())
            .cloned()
            .unwrap_or_default(),
        folder: site
            .application
            .compose
            .as_ref()
            .map(|compose| compose.folder.clone())
            .unwrap_or_default(),
        user: site.user,
        file,
        name: place.name.clone(),
        listing: listing(place, site),
        port,
    };
    is_plain(&adopted, site)?;
    Ok(adopted)
}

/// That no rollback holds the application on its engine.
///
/// # Errors
/// When one does.
pub fn nothing_acts(look: &EngineLook) -> Result<(), Refusal> {
    match look.lock.as_ref().filter(|lock| !lock.stale) {
        None => Ok(()),
        Some(lock) => Err(Refusal::new(
            format!("rollback {} is under way", lock.rollback),
            format!("wait for it: `sternway watch {}`", lock.rollback),
        )),
    }
}

fn the_one<'a>(name: &'a ComponentName, look: &'a EngineLook) -> Result<&'a Container, Refusal> {
    let own: Vec<&Container> = running(name, look).collect();
    match own.as_slice() {
        [only] if only.runs() => Ok(only),
        [] | [_] => Err(Refusal::new(
            format!("{name} does not run"),
            "start it, then try again",
        )),
        several => Err(Refusal::new(
            format!(
                "{name} has {} replicas: one fixed port is one container's",
                several.len()
            ),
            "put a balancer before them by hand, and name its servers in `front` of the definition",
        )),
    }
}

fn fixed_port(name: &ComponentName, shape: &Shape) -> Result<Published, Refusal> {
    if !shape.network.has_endpoints() {
        let sentence = format!(
            "{name} has no network of its own (`network_mode`), so its port is not published"
        );
        return Err(Refusal::new(
            sentence,
            "give it a network and publish its port, or put a balancer before it by hand",
        ));
    }
    let ports: Vec<&Published> = shape.fixed_ports().collect();
    let other =
        "put a balancer before it by hand, and name its server in `front` of the definition";
    match ports.as_slice() {
        [] => Err(Refusal::new(
            format!("{name} has no fixed port of its host"),
            "there is nothing to adopt: name the component whose clients come by a port with --component",
        )),
        [port] if port.protocol == "tcp" => Ok((*port).clone()),
        [port] => Err(Refusal::new(
            format!("{name} publishes {port}, and HAProxy passes on TCP only"),
            "there is no way to change it over without a loss",
        )),
        several => {
            let all: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Refusal::new(
                format!(
                    "{name} publishes {}: with one of them taken it would still have the other for itself",
                    all.join(" and ")
                ),
                other,
            ))
        }
    }
}

/// A container that others depend on by its identity, or that has an address which only one can have, is not made
/// anew beside itself.
fn belongs_to_itself(
    look: &EngineLook,
    container: &Container,
    shape: &Shape,
) -> Result<(), Refusal> {
    let guests = look
        .guests
        .iter()
        .filter(|(_, host)| **host == container.id);
    let parts = look.containers.iter();
    let parts = parts.filter(|other| other.joins.contains(&container.id));
    let mut lodgers = guests
        .map(|(name, _)| name)
        .chain(&container.live.lodgers)
        .chain(parts.map(|other| &other.name));
    if let Some(lodger) = lodgers.next() {
        return Err(Refusal::new(
            format!("{lodger} shares the network of {}", container.name),
            "it would lose it when that is made anew: give it a network of its own first",
        ));
    }
    let fixed = shape.networks.values();
    if let Some(address) = fixed
        .filter_map(|endpoint| endpoint.ipv4.as_ref().or(endpoint.ipv6.as_ref()))
        .next()
    {
        return Err(Refusal::new(
            format!(
                "{} has the fixed address {address}, which only one container can have",
                container.name
            ),
            "take the address out of the Compose file and deploy once more, then try again",
        ));
    }
    Ok(())
}

/// `up` of the component must make nothing else of it than what runs.
fn as_the_files_say(site: &Site<'_>, container: &Container) -> Result<(), Refusal> {
    let name = &site.component.name;
    let pinned = site
        .files
        .iter()
        .any(|(_, text)| override_file::is_ours(text));
    let listed = site
        .env
        .is_some_and(|env| String::from_utf8_lossy(env).contains(LISTED));
    if pinned || listed {
        return Err(Refusal::new(
            "an override file of a rollback pins images here",
            "release its hold first (`sternway release`), then try again",
        ));
    }
    let Some(service) = site.read.services.get(name) else {
        let sentence = format!("the project's files have no service {name}");
        return Err(Refusal::new(sentence, "correct the definition's `compose`"));
    };
    if !service.reproduced {
        return Err(Refusal::new(
            format!(
                "{} is not what its Compose files make: they were edited since, or whoever deployed it had other variables",
                container.name
            ),
            "put the variables into the environment file and deploy once more, then try again",
        ));
    }
    runs_the_files_image(site.read, name, container)?;
    let own = format!("{name}-front");
    if site.networks.contains_key(&own) {
        let sentence = format!("the project has a service {own} already");
        return Err(Refusal::new(sentence, "rename it, then try again"));
    }
    Ok(())
}

/// That `up` of a component deploys nothing else than what runs.
///
/// # Errors
/// When it would.
pub fn runs_the_files_image(
    read: &ProjectRead,
    component: &ComponentName,
    container: &Container,
) -> Result<(), Refusal> {
    let named = read
        .services
        .get(component)
        .and_then(|service| service.image_id.as_ref());
    if named == Some(&container.image) {
        return Ok(());
    }
    Err(Refusal::new(
        format!(
            "the Compose files name another image of {component} than the one that runs: making it anew would deploy that"
        ),
        "let the files name what runs, or deploy what they name, then try again",
    ))
}

fn line_in(
    name: &ComponentName,
    port: &Published,
    files: &[(String, Vec<u8>)],
) -> Result<String, Refusal> {
    let by_hand =
        "write the port on a line of its own below `ports` of the service, then try again";
    let mut found = Vec::new();
    for (file, content) in files {
        match port_line::taken(content, name, port) {
            Ok(Some(_)) => found.push(file),
            Ok(None) => {}
            Err(why) => {
                let sentence =
                    format!("the line of {file} that publishes {port} is not certain: {why}");
                return Err(Refusal::new(sentence, by_hand));
            }
        }
    }
    match found.as_slice() {
        [file] => Ok((*file).clone()),
        [] => Err(Refusal::new(
            format!("no line of the project's files is found that publishes {port} of {name}"),
            by_hand,
        )),
        several => {
            let names: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
            let sentence = format!("{} publish {port} of {name}", names.join(" and "));
            Err(Refusal::new(
                sentence,
                "leave it in one of them, then try again",
            ))
        }
    }
}

/// Whether the port speaks HTTP in clear is known by what is asked there.
fn speaks(component: &Component, port: u16) -> Speaks {
    let version = component.version_endpoint.as_ref();
    let asked = component.probes.iter().any(|probe| match probe {
        Probe::Http { port: asked, .. } => *asked == port,
        Probe::Tcp { .. } => false,
    });
    if asked || version.is_some_and(|endpoint| endpoint.port == port) {
        Speaks::Http
    } else {
        Speaks::Tcp
    }
}

fn listing(place: &Place, site: &Site<'_>) -> Option<Listing> {
    let with = place.list.clone()?;
    let env = site.env.unwrap_or_default();
    let list = LIST.parse().ok()?;
    let without = crate::compose::env_file::value(env, &list);
    Some(Listing {
        with,
        without: without.map(|list| String::from_utf8_lossy(&list).into_owned()),
        absent: site.env.is_none(),
        open: !env.is_empty() && !env.ends_with(b"\n"),
    })
}

/// What stands in our files as it is, between quotes and separators, must hold none of them.
fn is_plain(adopted: &Adopted, site: &Site<'_>) -> Result<(), Refusal> {
    let plain = |text: &str| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-/@+".contains(&b);
        !text.is_empty() && text.bytes().all(fine)
    };
    if !plain(&adopted.image.replace(':', "-")) {
        let sentence = format!("`{}` is no image reference", adopted.image);
        return Err(Refusal::new(sentence, "use `repository:tag`"));
    }
    if !plain(&adopted.folder) || !adopted.networks.iter().all(|network| plain(network)) {
        return Err(Refusal::new(
            format!(
                "the folder {} or a network's name has characters that can not stand in a Compose file as they are",
                adopted.folder
            ),
            "use letters, digits, `.`, `_`, `-` and `+`",
        ));
    }
    if adopted.socket_path().len() > SOCKET_CHARS_MAX {
        return Err(Refusal::new(
            format!(
                "the path of the balancer's socket, {}, is longer than {SOCKET_CHARS_MAX} bytes",
                adopted.socket_path()
            ),
            "move the project to a folder with a shorter path",
        ));
    }
    let own: BTreeSet<&str> = site.files.iter().map(|(name, _)| name.as_str()).collect();
    if own.contains(adopted.name.as_str()) || Path::new(&adopted.file).is_absolute() {
        let sentence = format!("{} is a file of the site's own", adopted.name);
        return Err(Refusal::new(sentence, "move it away, then try again"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
