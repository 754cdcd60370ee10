//! The site's own Compose project: read with the site's own Compose, so that what we write on a container is what
//! Compose would write. Nothing here starts, stops or builds anything.

mod output;
mod run;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use bollard::models::ContainerSummary;
use domain::{
    compose::{ComposeProject, ProjectRead, Service},
    name::{ComponentName, VariableName},
};

use crate::{
    connect::Engine,
    label::{self, Labels},
};
use output::Services;
pub(crate) use run::{Call, Compose};

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

impl Engine {
    /// A project as the site's own Compose reads it now. Services whose name is no component's are left out.
    ///
    /// # Errors
    /// Why it can not be read, as a sentence.
    pub async fn project(&self, request: &ProjectRequest<'_>) -> Result<ProjectRead, String> {
        let filter = format!("{}={}", label::COMPOSE_PROJECT, request.name);
        let list = self
            .list(HashMap::from([("label".to_owned(), vec![filter])]))
            .await
            .map_err(|error| error.to_string())?;
        let compose = self.compose_of(&list).await?;
        let (hashes, services) = self.config(&compose, request).await?;
        let labelled = labelled(&list);
        let mut read = ProjectRead {
            compose: compose.title(),
            services: BTreeMap::new(),
        };
        for (name, service) in services {
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
        Ok(read)
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
    ) -> Result<(BTreeMap<String, String>, Services), String> {
        let (folder, files) = files(request.definition)?;
        let mut place: Vec<&str> = vec!["-p", request.name.as_str()];
        for file in &files {
            place.extend(["-f", file]);
        }
        if !files.is_empty() {
            place.extend(["--project-directory", &request.definition.folder]);
        }
        if let Some(env_file) = &request.definition.env_file {
            place.extend(["--env-file", env_file]);
        }
        let call = Call {
            folder: Path::new(folder),
            docker_host: self.endpoint(),
            variable: request.variable.map(|(name, value)| (name.as_str(), value)),
        };
        let hashes = [&place[..], &["config", "--hash=*"]].concat();
        let mut whole = [&place[..], &["config"]].concat();
        if compose.speaks_json() {
            whole.extend(["--format", "json"]);
        }
        let (hashes, whole) =
            tokio::try_join!(compose.run(&hashes, &call), compose.run(&whole, &call))?;
        let services = if compose.speaks_json() {
            output::services_of_json(&whole)?
        } else {
            output::services_of_yaml(&whole)
        };
        Ok((output::hashes(&hashes), services))
    }
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
