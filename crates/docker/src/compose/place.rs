//! Where an override file of ours stands in a project's folder, by what is there now.

use std::{fs, path::Path};

use domain::{
    compose::{
        ComposeProject, env_file, override_file,
        place::{FOUND, Folder, LIST, LIST_SEPARATOR, LISTED, OVERRIDES, Place, place_as},
    },
    front::{adopted, adoption::LISTED_FRONT},
};

use super::ProjectFile;

/// A Compose file is looked into only up to here.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The place of an override file of ours in a project.
///
/// # Errors
/// Why there is none, as the rest of a sentence.
pub fn override_place(definition: &ComposeProject) -> Result<Place, String> {
    place_of(LISTED, override_file::is_ours, definition)
}

/// The same of the one in which a balancer takes a service's port, and what stands between the files of a list.
///
/// # Errors
/// Why there is none, as the rest of a sentence.
pub fn front_place(definition: &ComposeProject) -> Result<(Place, String), String> {
    let mut own = definition.clone();
    own.files.retain(|file| file != LISTED_FRONT);
    let place = place_of(LISTED_FRONT, adopted::is_ours, &own)?;
    Ok((place, separator(definition)?))
}

fn place_of(
    listed_as: &str,
    ours: fn(&[u8]) -> bool,
    definition: &ComposeProject,
) -> Result<Place, String> {
    let list = setting(definition, LIST)?;
    if list.as_ref().is_some_and(|list| list.contains('$')) {
        return Err(format!("{LIST} is made of other variables"));
    }
    let folder = Path::new(&definition.folder);
    let found = FOUND.into_iter().chain(OVERRIDES);
    let found = found.filter(|name| fs::symlink_metadata(folder.join(name)).is_ok());
    let place = place_as(
        listed_as,
        definition,
        &Folder {
            found: found
                .map(|name| {
                    (
                        name,
                        OVERRIDES.contains(&name)
                            && text(&folder.join(name)).is_some_and(|text| ours(&text)),
                    )
                })
                .collect(),
            list,
            separator: separator(definition)?,
        },
    )?;
    let first = place
        .own
        .split(&separator(definition)?)
        .next()
        .unwrap_or_default();
    if !has_services(&folder.join(first)) {
        return Err(format!(
            "{first} has no `services`: Compose takes no other file beside one of the first format"
        ));
    }
    Ok(place)
}

/// Whether the environment file names the project's files: then nobody does so on the command line.
pub(super) fn lists(definition: &ComposeProject) -> bool {
    setting(definition, LIST).is_ok_and(|list| list.is_some_and(|list| !list.is_empty()))
}

fn separator(definition: &ComposeProject) -> Result<String, String> {
    let separator = setting(definition, LIST_SEPARATOR)?;
    Ok(separator.unwrap_or_else(|| ":".to_owned()))
}

fn setting(definition: &ComposeProject, name: &str) -> Result<Option<String>, String> {
    let file = ProjectFile::find(&definition.folder, definition.env_file())?;
    let content = file.read()?.unwrap_or_default();
    let value = name
        .parse()
        .ok()
        .and_then(|name| env_file::value(&content, &name));
    Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

/// Files of the formats 2 and 3 have that key at their top; a list is wrong in a file of the first format.
fn has_services(path: &Path) -> bool {
    let begins = |line: &str| {
        let line = line.trim_start_matches(['{', ' ', '"', '\'']);
        line.starts_with("services")
    };
    text(path).is_some_and(|text| String::from_utf8_lossy(&text).lines().any(begins))
}

fn text(path: &Path) -> Option<Vec<u8>> {
    let short =
        fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() <= FILE_BYTES_MAX);
    short.then(|| fs::read(path).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> ComposeProject {
        let folder =
            std::env::temp_dir().join(format!("sternway-place-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        ComposeProject {
            folder: folder.to_str().unwrap().to_owned(),
            files: Vec::new(),
            env_file: None,
            pin: None,
        }
    }

    fn put(definition: &ComposeProject, name: &str, content: &[u8]) {
        fs::write(Path::new(&definition.folder).join(name), content).unwrap();
    }

    #[test]
    fn what_is_in_the_folder_decides() {
        let project = folder("found");
        assert!(override_place(&project).is_err(), "there is nothing");
        put(
            &project,
            "compose.yml",
            b"version: '2.4'\nservices:\n  api: {image: shop:1}\n",
        );
        let by_itself = override_place(&project).unwrap();
        assert_eq!(
            (by_itself.name.as_str(), by_itself.list.as_ref()),
            (OVERRIDES[0], None)
        );
        assert!(!lists(&project));

        let images = override_file::Images::parse("api=sha256:00").unwrap();
        put(&project, OVERRIDES[0], &images.content());
        assert_eq!(override_place(&project).unwrap(), by_itself, "it is ours");
        put(&project, OVERRIDES[0], b"services: {}\n");
        let listed = override_place(&project).unwrap();
        assert_eq!(listed.name, LISTED);
        put(
            &project,
            ".env",
            b"COMPOSE_PATH_SEPARATOR=,\nCOMPOSE_FILE='compose.yml,prod.yml'\n",
        );
        let listed = override_place(&project).unwrap();
        assert_eq!(
            listed.list.as_deref(),
            Some("compose.yml,prod.yml,docker-compose.sternway.yml")
        );
        assert!(lists(&project));
        put(&project, ".env", b"COMPOSE_FILE=${FILES}\n");
        assert!(
            override_place(&project)
                .unwrap_err()
                .contains("other variables")
        );
        fs::remove_dir_all(&project.folder).unwrap();
    }

    #[test]
    fn a_file_of_the_first_format_takes_no_other() {
        let project = folder("first");
        put(&project, "docker-compose.yml", b"api:\n  image: shop:1\n");
        assert!(
            override_place(&project)
                .unwrap_err()
                .contains("no `services`")
        );
        put(
            &project,
            "docker-compose.yml",
            b"{\"services\": {\"api\": {}}}\n",
        );
        override_place(&project).unwrap();
        fs::remove_dir_all(&project.folder).unwrap();
    }
}
