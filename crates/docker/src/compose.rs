//! The site's own Compose project: read with the site's own Compose, so that what we write on a container is what
//! Compose would write. Nothing here starts, stops or builds anything, but what gives a port to a balancer and back.

mod act;
mod file;
mod output;
mod place;
mod run;
mod sharing;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bollard::models::ContainerSummary;
use domain::{
    compose::{
        ComposeProject, MARK, PinBy, ProjectRead, Service,
        place::{FOUND, LIST, LISTED, OVERRIDES},
    },
    name::{ComponentName, VariableName},
};

use crate::{
    connect::Engine,
    label::{self, Labels},
};
pub use act::{ProjectFacts, ProjectLock};
pub use file::ProjectFile;
use output::Services;
pub use place::{front_place, override_place};
pub(crate) use run::{Call, Compose};
use sharing::Holders;

/// What to ask of a project.
#[derive(Clone, Copy, Debug)]
pub struct ProjectRequest<'a> {
    /// Its name.
    pub name: &'a ComponentName,
    /// Where its files are.
    pub definition: &'a ComposeProject,
    /// A variable to set, which wins over the environment file.
    pub variable: Option<(&'a VariableName, &'a str)>,
}

/// A reading, and what it was made of.
#[derive(Clone, Debug)]
struct Known {
    at: Instant,
    key: String,
    read: Result<ProjectRead, String>,
    /// The containers whose identity is in it.
    holders: Holders,
}

/// What was made of a project's files.
struct Config {
    hashes: BTreeMap<String, String>,
    services: Services,
    holders: Holders,
}

/// A plan and the request that follows it see the same; files that Compose reads and we do not know of may change.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// A rollback waits this long for Compose, once: it costs time before the stop, and never the rollback.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// Readings by what they are for and the project.
#[derive(Debug, Default)]
pub(crate) struct Projects(Mutex<BTreeMap<String, Known>>);

impl Engine {
    /// The same for a plan that pins. By a variable: images have [`MARK`] in place of it, and services are compared
    /// with what runs as if it had the value that what runs was made with. By an override file: images are what the
    /// site's own files name, and services are compared as they are. Remembered for a minute while nothing changes that it
    /// is known to depend on: Compose needs half a second and more.
    ///
    /// # Errors
    /// Why it can not be read, as a sentence.
    pub async fn project_for_plan(
        &self,
        name: &ComponentName,
        definition: &ComposeProject,
    ) -> Result<ProjectRead, String> {
        let mut key = files_key(definition);
        let mut containers: Vec<String> = self
            .containers_of(name)
            .await?
            .into_iter()
            .filter_map(|summary| summary.id)
            .collect();
        containers.sort_unstable();
        key.push_str(&containers.join(","));
        let slot = format!("plan {name}");
        if let Some(known) = self.kept_reading(&slot, &key) {
            return known.read;
        }
        let read = match &definition.pin {
            Some(PinBy::Env(variable)) => self.compared(name, definition, variable).await,
            Some(PinBy::Override) | None => self.without_ours(name, definition).await,
        };
        // Its key has every container in it.
        self.keep_reading(slot, key, read, Holders::new())
    }

    async fn without_ours(
        &self,
        name: &ComponentName,
        definition: &ComposeProject,
    ) -> Result<ProjectRead, String> {
        let mut request = ProjectRequest {
            name,
            definition,
            variable: None,
        };
        let present = self.project(&request).await?;
        let (Ok(place), Ok(list)) = (override_place(definition), LIST.parse()) else {
            return Ok(present);
        };
        if !Path::new(&definition.folder).join(&place.name).exists() {
            return Ok(present);
        }
        request.variable = Some((&list, &place.own));
        let mut own = self.project(&request).await?;
        as_present(&mut own, &present);
        Ok(own)
    }

    async fn compared(
        &self,
        name: &ComponentName,
        definition: &ComposeProject,
        variable: &VariableName,
    ) -> Result<ProjectRead, String> {
        let mut request = ProjectRequest {
            name,
            definition,
            variable: Some((variable, MARK)),
        };
        let mut read = self.project(&request).await?;
        let value = self.value_of(name, &read).await?;
        request.variable = value.as_deref().map(|value| (variable, value));
        let present = self.project(&request).await?;
        as_present(&mut read, &present);
        Ok(read)
    }

    /// The project as it is now, for the containers of a rollback: asked once for all of them, also when that
    /// fails.
    ///
    /// # Errors
    /// Why it can not be read, as a sentence.
    pub async fn project_now(
        &self,
        name: &ComponentName,
        definition: &ComposeProject,
    ) -> Result<ProjectRead, String> {
        let (slot, key) = (format!("now {name}"), files_key(definition));
        if let Some(known) = self.kept_reading(&slot, &key)
            && self.holds_still(name, &known).await
        {
            return known.read;
        }
        let request = ProjectRequest {
            name,
            definition,
            variable: None,
        };
        let read = tokio::time::timeout(STEP_LIMIT, self.project_facts(&request)).await;
        let late = |_| Err(format!("Compose did not answer within {STEP_LIMIT:?}"));
        let (read, holders) = match read.unwrap_or_else(late) {
            Ok(facts) => (Ok(facts.read), facts.holders),
            Err(why) => (Err(why), Holders::new()),
        };
        self.keep_reading(slot, key, read, holders)
    }

    /// Whether those who share still share with the containers whose identity was read.
    async fn holds_still(&self, name: &ComponentName, known: &Known) -> bool {
        if known.holders.is_empty() {
            return true;
        }
        // Where the engine is away nothing is created either.
        let Ok(list) = self.containers_of(name).await else {
            return true;
        };
        let now = sharing::holders(&list);
        let same = |(service, id): (&String, &String)| now.get(service) == Some(id);
        known.holders.iter().all(same)
    }

    fn kept_reading(&self, slot: &str, key: &str) -> Option<Known> {
        let known = self.readings().get(slot).cloned();
        known.filter(|known| known.key == key && known.at.elapsed() < KNOWN_FOR)
    }

    fn keep_reading(
        &self,
        slot: String,
        key: String,
        read: Result<ProjectRead, String>,
        holders: Holders,
    ) -> Result<ProjectRead, String> {
        let known = Known {
            at: Instant::now(),
            key,
            read: read.clone(),
            holders,
        };
        self.readings().insert(slot, known);
        read
    }

    /// The value with which the images that run are what the project names; none when they name none of it.
    async fn value_of(
        &self,
        name: &ComponentName,
        marked: &ProjectRead,
    ) -> Result<Option<String>, String> {
        for summary in self.containers_of(name).await? {
            let labels = summary.labels.unwrap_or_default();
            let service: Option<ComponentName> = labels
                .get(label::COMPOSE_SERVICE)
                .and_then(|name| name.parse().ok());
            let template = service.and_then(|service| marked.services.get(&service)?.image.clone());
            let Some(inspect) = self
                .inspect(summary.id.as_deref().unwrap_or_default())
                .await
                .map_err(|error| error.to_string())?
            else {
                continue;
            };
            let reference = inspect
                .config
                .and_then(|config| config.image)
                .unwrap_or_default();
            let (Some(template), false) = (template, reference.starts_with("sha256:")) else {
                continue;
            };
            let Some((head, tail)) = template.split_once(MARK) else {
                continue;
            };
            if let Some(value) = reference
                .strip_prefix(head)
                .and_then(|rest| rest.strip_suffix(tail))
            {
                return Ok(Some(value.to_owned()));
            }
        }
        Ok(None)
    }

    async fn containers_of(&self, name: &ComponentName) -> Result<Vec<ContainerSummary>, String> {
        let filter = format!("{}={name}", label::COMPOSE_PROJECT);
        let list = self.list(HashMap::from([("label".to_owned(), vec![filter])]));
        list.await.map_err(|error| error.to_string())
    }

    fn readings(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known_projects()
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A project as the site's own Compose reads it now. Services whose name is no component's are left out.
    ///
    /// # Errors
    /// Why it can not be read, as a sentence.
    pub async fn project(&self, request: &ProjectRequest<'_>) -> Result<ProjectRead, String> {
        self.project_facts(request).await.map(|facts| facts.read)
    }

    /// The same with the networks and the ports of every service.
    ///
    /// # Errors
    /// Why it can not be read, as a sentence.
    pub async fn project_facts(
        &self,
        request: &ProjectRequest<'_>,
    ) -> Result<ProjectFacts, String> {
        let list = self.containers_of(request.name).await?;
        let compose = self.compose_of(&list).await?;
        let all = sharing::holders(&list);
        let Config {
            hashes,
            services,
            holders,
        } = self.config(&compose, request, &all).await?;
        let labelled = labelled(&list);
        let mut read = ProjectRead {
            compose: compose.title(),
            services: BTreeMap::new(),
        };
        let (mut networks, mut ports) = (BTreeMap::new(), BTreeMap::new());
        for (name, service) in services {
            networks.insert(name.clone(), service.networks.clone());
            ports.insert(name.clone(), service.published());
            let (Ok(component), Some(hash)) = (name.parse(), hashes.get(&name)) else {
                continue;
            };
            let carried = labelled.get(&name);
            let reproduced = carried.is_some_and(|carried| carried.iter().all(|own| own == hash));
            let image_id = match &service.image {
                Some(image) => self.image_id(image).await.ok().flatten(),
                None => None,
            };
            let service = Service {
                hash: hash.clone(),
                image: service.image,
                image_id,
                needs: service.needs,
                reproduced,
            };
            read.services.insert(component, service);
        }
        Ok(ProjectFacts {
            read,
            networks,
            ports,
            holders,
        })
    }

    /// The Compose that made these containers.
    async fn compose_of(&self, list: &[ContainerSummary]) -> Result<Compose, String> {
        let version = list
            .iter()
            .find_map(|summary| summary.labels.as_ref()?.get(label::COMPOSE_VERSION));
        Compose::that_made(version.map(String::as_str), &self.composes().await)
    }

    async fn config(
        &self,
        compose: &Compose,
        request: &ProjectRequest<'_>,
        all: &Holders,
    ) -> Result<Config, String> {
        let (folder, place) = place_of(request)?;
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        let mut call = Call {
            folder: Path::new(folder),
            docker_host: self.endpoint(),
            variable: request.variable.map(|(name, value)| (name.as_str(), value)),
            input: None,
        };
        if !compose.speaks_json() {
            let hashes = [&place[..], &["config", "--hash=*"]].concat();
            let whole = [&place[..], &["config"]].concat();
            let (hashes, whole) =
                tokio::try_join!(compose.run(&hashes, &call), compose.run(&whole, &call))?;
            return Ok(Config {
                hashes: output::hashes(&hashes),
                services: output::services_of_yaml(&whole),
                holders: Holders::new(),
            });
        }
        let whole = [&place[..], &["config", "--format", "json"]].concat();
        let whole = output::whole_of_json(&compose.run(&whole, &call).await?)?;
        let services = output::services_of_json(&whole);
        let (whole, holders) = sharing::with_containers(whole, all);
        let (whole, project) = (whole.to_string(), request.name.to_string());
        call.input = Some(&whole);
        let mut hashes = vec!["-p", &project, "--project-directory", folder, "-f", "-"];
        if let Some(env_file) = &request.definition.env_file {
            // Of what it says, the profiles count once more.
            hashes.extend(["--env-file", env_file]);
        }
        hashes.extend(["config", "--hash=*"]);
        let hashes = compose.run(&hashes, &call).await?;
        Ok(Config {
            hashes: output::hashes(&hashes),
            services,
            holders,
        })
    }
}

/// The folder, and the arguments that say which project of it is meant.
fn place_of<'a>(request: &ProjectRequest<'a>) -> Result<(&'a str, Vec<String>), String> {
    let (folder, files) = files(request.definition)?;
    let mut place = vec!["-p".to_owned(), request.name.to_string()];
    for file in &files {
        place.extend(["-f".to_owned(), file.clone()]);
    }
    if !files.is_empty() {
        let named = request.definition.folder.clone();
        place.extend(["--project-directory".to_owned(), named]);
    }
    if let Some(env_file) = &request.definition.env_file {
        place.extend(["--env-file".to_owned(), env_file.clone()]);
    }
    Ok((folder, place))
}

/// Whether what runs is what Compose would make is told by the other reading.
fn as_present(read: &mut ProjectRead, present: &ProjectRead) {
    for (component, service) in &mut read.services {
        let now = present.services.get(component);
        service.reproduced = now.is_some_and(|now| now.reproduced);
    }
}

/// The files that a reading is known to depend on, and when they were last changed.
fn files_key(definition: &ComposeProject) -> String {
    let mut key = format!("{definition:?}");
    let named = definition.files.iter().map(String::as_str);
    let by_itself = FOUND.into_iter().chain(OVERRIDES);
    let files = named
        .chain(by_itself)
        .chain([LISTED, definition.env_file()]);
    for file in files {
        let facts = std::fs::metadata(Path::new(&definition.folder).join(file)).ok();
        let facts =
            facts.map(|facts| (facts.ino(), facts.len(), facts.mtime(), facts.mtime_nsec()));
        key.push_str(&format!("|{file} {facts:?}"));
    }
    key
}

/// The folder, and the files to name; a sentence when they are not where the definition says.
fn files(definition: &ComposeProject) -> Result<(&str, Vec<String>), String> {
    let folder = definition.folder.as_str();
    if !Path::new(folder).is_dir() {
        return Err(format!(
            "the project's folder {folder} is not there; correct `compose.folder` of the definition"
        ));
    }
    for file in &definition.files {
        if !Path::new(folder).join(file).is_file() {
            return Err(format!(
                "{folder}/{file} is not there; correct `compose.files` of the definition"
            ));
        }
    }
    // Where the environment file lists them, ours is among them as long as it is there.
    if definition.pin == Some(PinBy::Override) && place::lists(definition) {
        return Ok((folder, Vec::new()));
    }
    Ok((folder, definition.files.clone()))
}

/// The hashes that each service's containers carry.
fn labelled(list: &[ContainerSummary]) -> BTreeMap<String, BTreeSet<String>> {
    let none = Labels::new();
    let mut labelled: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for summary in list {
        let labels = summary.labels.as_ref().unwrap_or(&none);
        let oneoff = labels
            .get(label::COMPOSE_ONEOFF)
            .is_some_and(|oneoff| oneoff.eq_ignore_ascii_case("true"));
        if let Some(service) = labels.get(label::COMPOSE_SERVICE).filter(|_| !oneoff) {
            let hash = labels.get(label::COMPOSE_CONFIG_HASH).cloned();
            labelled
                .entry(service.clone())
                .or_default()
                .insert(hash.unwrap_or_default());
        }
    }
    labelled
}
