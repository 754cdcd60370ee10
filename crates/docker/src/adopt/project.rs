//! Where the project that is adopted keeps its files and its version, as far as its containers' labels say.

use std::path::Path;

use domain::{
    compose::{
        ComposeProject, MARK, PinBy, ProjectRead, env_file,
        place::{FOUND, LISTED, OVERRIDES, Place},
    },
    name::{ComponentName, VariableName},
};

use crate::{
    compose::{ProjectRequest, override_place},
    connect::Engine,
    label::{self, Labels},
};

/// Compose files are read for the names of variables only up to here.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What was understood of a project's files.
pub(super) struct Found {
    pub(super) definition: Option<ComposeProject>,
    pub(super) read: Option<ProjectRead>,
    pub(super) notes: Vec<String>,
}

impl Engine {
    /// The project behind these labels, read with the site's own Compose.
    pub(super) async fn files_of(&self, name: &ComponentName, labels: &Labels) -> Found {
        let mut found = Found {
            definition: None,
            read: None,
            notes: Vec::new(),
        };
        let Some(mut definition) = definition(labels) else {
            let note = "the containers do not say where their Compose files are: name the folder in `compose.folder`";
            found.notes.push(note.to_owned());
            return found;
        };
        let request = ProjectRequest {
            name,
            definition: &definition,
            variable: None,
        };
        let read = self.project(&request).await;
        if let Ok(read) = &read {
            found.notes.extend(strange(read));
        }
        let explained = read
            .as_ref()
            .is_ok_and(|read| read.services.values().all(|service| service.reproduced));
        let marked = self.marked(name, &definition).await;
        match (marked, &read) {
            (Some((variable, marked)), _) => {
                found
                    .notes
                    .push(pinned(&definition, &variable, explained));
                definition.pin = Some(PinBy::Env(variable));
                found.read = Some(read.unwrap_or(marked));
                found.definition = Some(definition);
            }
            (None, Ok(_)) => {
                let place = override_place(&definition);
                found.notes.push(overridden(&definition, place.as_ref()));
                definition.pin = place.is_ok().then_some(PinBy::Override);
                found.read = read.ok();
                found.definition = Some(definition);
            }
            (None, Err(why)) => found.notes.push(format!(
                "the Compose project in {} can not be read: {why}. Without it a rollback can not pin its version",
                definition.folder
            )),
        }
        found
    }

    /// Which variable the images' version comes from: the one whose change changes an image. With the project as
    /// it is read with that change.
    async fn marked(
        &self,
        name: &ComponentName,
        definition: &ComposeProject,
    ) -> Option<(VariableName, ProjectRead)> {
        for variable in variables(definition) {
            let request = ProjectRequest {
                name,
                definition,
                variable: Some((&variable, MARK)),
            };
            let Ok(marked) = self.project(&request).await else {
                continue;
            };
            let mut images = marked
                .services
                .values()
                .filter_map(|service| service.image.as_deref());
            if images.any(|image| image.contains(MARK)) {
                return Some((variable, marked));
            }
        }
        None
    }
}

/// What a pin of that variable will do, and whether it will hold.
fn pinned(definition: &ComposeProject, variable: &VariableName, explained: bool) -> String {
    let file = definition.env_file();
    let set = std::fs::read(Path::new(&definition.folder).join(file))
        .is_ok_and(|content| env_file::value(&content, variable).is_some());
    match (explained, set) {
        (true, true) => format!(
            "a rollback writes the version into {variable} of {file}, so that the next `up` does not undo it"
        ),
        (true, false) => format!(
            "a rollback adds {variable} to {file}, which does not set it yet, so that the next `up` does not undo it"
        ),
        (false, _) => format!(
            "a rollback writes the version into {variable} of {file}; but whoever deployed seems to have set it in their own \
             shell, and a shell wins over that file: do not set it there, or ask Sternway before deploying"
        ),
    }
}

/// The same of an override file.
fn overridden(definition: &ComposeProject, place: Result<&Place, &String>) -> String {
    let none = "no variable of the environment file gives the images their version";
    match place {
        Ok(Place {
            name, list: None, ..
        }) => format!(
            "{none}: a rollback writes the images into {name}, which Compose reads by itself, so that the next `up` does not undo it; \
             it goes when the hold is released"
        ),
        Ok(Place {
            name,
            list: Some(_),
            ..
        }) => format!(
            "{none}: a rollback writes the images into {name} and names that in COMPOSE_FILE of {}, so that the next `up` does not \
             undo it; both go when the hold is released",
            definition.env_file()
        ),
        Err(why) => format!(
            "{none}, and they can not be pinned in an override file: {why}. After a rollback the Compose file names the version that \
             it names now"
        ),
    }
}

/// Where the files are, as the containers' labels say.
fn definition(labels: &Labels) -> Option<ComposeProject> {
    let folder = labels.get(label::COMPOSE_FOLDER)?.trim_end_matches('/');
    if !folder.starts_with('/') {
        return None;
    }
    let below = |path: &str| {
        let path = path.trim();
        let path = path
            .strip_prefix(folder)
            .map_or(path, |rest| rest.trim_start_matches('/'));
        path.strip_prefix("./").unwrap_or(path).to_owned()
    };
    let named = labels
        .get(label::COMPOSE_FILES)
        .map(String::as_str)
        .unwrap_or_default();
    let files: Vec<String> = named
        .split(',')
        .map(below)
        .filter(|file| !file.is_empty() && file != LISTED)
        .collect();
    let by_itself = files
        .iter()
        .all(|file| FOUND.iter().chain(&OVERRIDES).any(|name| name == file));
    let env_file = labels.get(label::COMPOSE_ENV_FILE).map(|path| below(path));
    Some(ComposeProject {
        folder: folder.to_owned(),
        files: if by_itself { Vec::new() } else { files },
        env_file: env_file.filter(|file| file != ".env"),
        pin: None,
    })
}

/// The variables in the images of the project's files, as they are written there.
fn variables(definition: &ComposeProject) -> Vec<VariableName> {
    let mut found: Vec<VariableName> = Vec::new();
    let named: Vec<&str> = if definition.files.is_empty() {
        FOUND.into_iter().chain(OVERRIDES).collect()
    } else {
        definition.files.iter().map(String::as_str).collect()
    };
    for file in named {
        let path = Path::new(&definition.folder).join(file);
        let short = std::fs::metadata(&path).is_ok_and(|facts| facts.len() <= FILE_BYTES_MAX);
        let text = if short {
            std::fs::read_to_string(&path)
        } else {
            continue;
        };
        for line in text.unwrap_or_default().lines() {
            if line
                .trim_start()
                .trim_start_matches('"')
                .starts_with("image")
                || line.contains("image:")
            {
                found.extend(names_in(line));
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|name| seen.insert(name.clone()));
    found
}

/// `${NAME...}` and `$NAME` in a line; of several the last is the likeliest to be a tag.
fn names_in(line: &str) -> Vec<VariableName> {
    let mut names: Vec<VariableName> = line
        .split('$')
        .skip(1)
        .filter_map(|rest| {
            let rest = rest.strip_prefix('{').unwrap_or(rest);
            let length = rest
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
                .count();
            rest[..length].parse().ok()
        })
        .collect();
    names.reverse();
    names
}

/// What does not look as its containers do.
fn strange(read: &ProjectRead) -> Option<String> {
    let odd: Vec<&str> = read
        .services
        .iter()
        .filter(|(_, service)| !service.reproduced)
        .map(|(name, _)| name.as_str())
        .collect();
    (!odd.is_empty()).then(|| {
        format!(
            "{}, run here, gives {} another configuration than the containers were made with: a file was edited since, \
             or whoever deployed set variables in their own shell",
            read.compose,
            odd.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(folder: &str, files: &str) -> Labels {
        [
            (label::COMPOSE_FOLDER, folder),
            (label::COMPOSE_FILES, files),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn labels_say_where_the_files_are() {
        let found = |folder, files| definition(&labels(folder, files));
        assert_eq!(found("shop", "compose.yml"), None);
        let plain = found(
            "/srv/shop",
            "docker-compose.yml,docker-compose.override.yml",
        )
        .unwrap();
        assert_eq!((plain.folder.as_str(), plain.files.len()), ("/srv/shop", 0));
        let named = found("/srv/shop/", "/srv/shop/docker-compose.yml,./prod/web.yml").unwrap();
        assert_eq!(named.files, ["docker-compose.yml", "prod/web.yml"]);
    }

    #[test]
    fn variables_of_an_image_are_found_from_its_end() {
        let names = |line| {
            names_in(line)
                .into_iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names("image: ${REGISTRY:-x}/shop:${VERSION:-1.4.2}"),
            ["VERSION", "REGISTRY"]
        );
        assert_eq!(names("image: \"$IMAGE\""), ["IMAGE"]);
        assert_eq!(names("image: shop:$$1"), [""; 0]);
    }
}
