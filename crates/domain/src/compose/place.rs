//! Where an override file of ours stands so that Compose reads it: under the name that Compose looks for by itself, or
//! named in the list of the environment file beside what the site has there.

use super::ComposeProject;

/// The variable that lists a project's files.
pub const LIST: &str = "COMPOSE_FILE";
/// The variable that says what stands between them.
pub const LIST_SEPARATOR: &str = "COMPOSE_PATH_SEPARATOR";
/// Compose files that are found without being named.
pub const FOUND: [&str; 4] = [
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.yml",
    "compose.yaml",
];
/// Override files that are found beside them. Compose 1 refuses a project that has two.
pub const OVERRIDES: [&str; 4] = [
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
    "compose.override.yml",
    "compose.override.yaml",
];
/// The override file of ours that is named in a list.
pub const LISTED: &str = "docker-compose.sternway.yml";

/// What of a project's folder decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder<'a> {
    /// The files that Compose finds by itself and that are there, each with whether it is ours.
    pub found: Vec<(&'a str, bool)>,
    /// The list of the environment file.
    pub list: Option<String>,
    /// What stands between its files.
    pub separator: String,
}

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name below the folder.
    pub name: String,
    /// The site's own files, as a list.
    pub own: String,
    /// The list that names it; none where Compose finds it by itself.
    pub list: Option<String>,
}

/// The place of an override file of ours. A file of the site's own is never it.
///
/// # Errors
/// Why there is none, as the rest of a sentence.
pub fn place(definition: &ComposeProject, folder: &Folder<'_>) -> Result<Place, String> {
    place_as(LISTED, definition, folder)
}

/// The same of one that has another name in a list.
///
/// # Errors
/// Why there is none, as the rest of a sentence.
pub fn place_as(
    listed_as: &str,
    definition: &ComposeProject,
    folder: &Folder<'_>,
) -> Result<Place, String> {
    let separator = folder.separator.as_str();
    if separator.is_empty() {
        return Err(format!("{LIST_SEPARATOR} is empty"));
    }
    if let Some(list) = folder.list.as_deref().filter(|list| !list.is_empty()) {
        let own: Vec<&str> = list
            .split(separator)
            .filter(|file| *file != listed_as)
            .collect();
        let named = &definition.files;
        if !named.is_empty() && !named.iter().eq(&own) {
            return Err(format!(
                "{LIST} of {} names other files than the definition",
                definition.env_file()
            ));
        }
        return listed(listed_as, &own, separator);
    }
    if !definition.files.is_empty() {
        return Err(format!(
            "its Compose files are named on the command line, where no other file is read: name them in {LIST} of {} instead",
            definition.env_file()
        ));
    }
    let of = |names: [&'static str; 4]| {
        let there = folder
            .found
            .iter()
            .filter(move |(name, _)| names.contains(name));
        there.copied().collect::<Vec<_>>()
    };
    let base = match of(FOUND).as_slice() {
        [(base, _)] => *base,
        [] => return Err("Compose finds no file in its folder by itself".to_owned()),
        [..] => return Err("Compose finds more than one file in its folder by itself".to_owned()),
    };
    let by_itself = Place {
        name: OVERRIDES[0].to_owned(),
        own: base.to_owned(),
        list: None,
    };
    match of(OVERRIDES).as_slice() {
        [] => Ok(by_itself),
        [(name, true)] if *name == OVERRIDES[0] => Ok(by_itself),
        [(theirs, _)] => listed(listed_as, &[base, theirs], separator),
        [..] => Err("Compose finds more than one override file in its folder".to_owned()),
    }
}

fn listed(name: &str, own: &[&str], separator: &str) -> Result<Place, String> {
    if own.is_empty() {
        return Err(format!("{LIST} names no file of the site's own"));
    }
    Ok(Place {
        name: name.to_owned(),
        own: own.join(separator),
        list: Some([own, &[name]].concat().join(separator)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(files: &[&str], found: &[(&str, bool)], list: Option<&str>) -> Result<Place, String> {
        let definition = ComposeProject {
            folder: "/srv/shop".to_owned(),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            env_file: None,
            pin: None,
        };
        let folder = Folder {
            found: found.to_vec(),
            list: list.map(str::to_owned),
            separator: ":".to_owned(),
        };
        place(&definition, &folder)
    }

    #[test]
    fn compose_finds_ours_by_itself_where_the_site_has_none() {
        for found in [
            vec![("compose.yml", false)],
            vec![("compose.yml", false), (OVERRIDES[0], true)],
        ] {
            let place = at(&[], &found, None).unwrap();
            assert_eq!(
                (place.name.as_str(), place.own.as_str(), place.list),
                ("docker-compose.override.yml", "compose.yml", None)
            );
        }
    }

    #[test]
    fn an_override_of_the_sites_own_is_kept_and_ours_is_listed_after_it() {
        for theirs in OVERRIDES {
            let place = at(&[], &[("compose.yml", false), (theirs, false)], None).unwrap();
            assert_eq!(place.name, LISTED);
            assert_eq!(place.own, format!("compose.yml:{theirs}"));
            assert_eq!(place.list, Some(format!("{}:{LISTED}", place.own)));
        }
    }

    #[test]
    fn a_list_of_the_sites_own_is_kept_and_ours_comes_last_once() {
        for list in [
            "web.yml:prod.yml",
            "web.yml:prod.yml:docker-compose.sternway.yml",
        ] {
            for files in [&["web.yml", "prod.yml"][..], &[]] {
                let place = at(files, &[], Some(list)).unwrap();
                assert_eq!(place.own, "web.yml:prod.yml");
                assert_eq!(
                    place.list.as_deref(),
                    Some("web.yml:prod.yml:docker-compose.sternway.yml")
                );
            }
        }
        assert!(at(&["web.yml"], &[], Some("web.yml:prod.yml")).is_err());
        assert!(
            at(&[], &[], Some(LISTED)).is_err(),
            "ours alone is no project"
        );
    }

    #[test]
    fn where_compose_would_not_read_it_there_is_no_place() {
        let why = at(&["web.yml"], &[], None).unwrap_err();
        assert!(
            why.contains("on the command line") && why.contains("COMPOSE_FILE"),
            "{why}"
        );
        assert!(at(&[], &[], None).is_err());
        assert!(
            at(
                &[],
                &[("compose.yml", false), ("docker-compose.yml", false)],
                None
            )
            .is_err()
        );
        let two = [
            ("compose.yml", false),
            (OVERRIDES[0], true),
            (OVERRIDES[2], false),
        ];
        assert!(at(&[], &two, None).is_err());
    }
}
