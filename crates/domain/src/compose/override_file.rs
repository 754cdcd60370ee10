//! The override file that a rollback pins images in, where no variable names the version: made from the images alone,
//! so that an edit by hand shows.

use std::{collections::BTreeMap, fmt};

use crate::name::ComponentName;

/// How every file of ours begins.
const FIRST: &str = "# Written by Sternway: the images that a rollback brought back, so that the next `up` keeps them.\n\
                     # `sternway release` takes the file away again, and so does deleting it. Do not edit it.\n";
/// Before what it was made from.
const RECORD: &str = "# pins ";

/// The image of each service, as a file of ours pins them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images(BTreeMap<ComponentName, String>);

impl Images {
    /// None when there is nothing to pin, or when a reference is none that can stand in a file as it is.
    #[must_use]
    pub fn new(images: BTreeMap<ComponentName, String>) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
        let fit = |image: &String| !image.is_empty() && image.bytes().all(plain);
        (!images.is_empty() && images.values().all(fit)).then_some(Self(images))
    }

    /// As [`fmt::Display`] writes them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let pair = |part: &str| {
            let (name, image) = part.split_once('=')?;
            Some((name.parse().ok()?, image.to_owned()))
        };
        let images = Self::new(text.split(", ").map(pair).collect::<Option<_>>()?)?;
        // A name that stands there twice would be lost.
        (images.to_string() == text).then_some(images)
    }

    /// The same with other images for some of the services; the others are left as they are.
    #[must_use]
    pub fn with(mut self, images: impl IntoIterator<Item = (ComponentName, String)>) -> Self {
        for (name, image) in images {
            if let Some(own) = self.0.get_mut(&name) {
                *own = image;
            }
        }
        self
    }

    /// By service.
    #[must_use]
    pub fn by_service(&self) -> &BTreeMap<ComponentName, String> {
        &self.0
    }

    /// Their services, in words.
    #[must_use]
    pub fn services(&self) -> String {
        let names: Vec<&str> = self.0.keys().map(ComponentName::as_str).collect();
        names.join(", ")
    }

    /// The file. Services and images are plain text in quotes; a `version` is not needed beside a Compose file of
    /// format 2 or 3.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let mut text = format!("{FIRST}{RECORD}{self}\nservices:\n");
        for (name, image) in &self.0 {
            text.push_str(&format!("  \"{name}\":\n    image: \"{image}\"\n"));
        }
        text.into_bytes()
    }
}

impl fmt::Display for Images {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, image)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(out, "{comma}{name}={image}")?;
        }
        Ok(())
    }
}

/// Whether a file is one of ours, edited since or not.
#[must_use]
pub fn is_ours(content: &[u8]) -> bool {
    let first = FIRST.lines().next().unwrap_or_default().as_bytes();
    content.starts_with(first)
}

/// What a file of ours pins.
///
/// # Errors
/// When it is not ours, or what was edited by hand since, as the rest of a sentence.
pub fn value(content: &[u8]) -> Result<Images, String> {
    if !is_ours(content) {
        return Err("it is not Sternway's".to_owned());
    }
    let text = String::from_utf8_lossy(content);
    let record = text.lines().find_map(|line| line.strip_prefix(RECORD));
    let images = record
        .and_then(|record| Images::parse(record.trim_end()))
        .ok_or("the line that says what it pins was edited by hand")?;
    let written = images.content();
    if written == content {
        return Ok(images);
    }
    Err(format!(
        "it was edited by hand: {}",
        difference(&written, content)
    ))
}

/// What two files do not agree on, by the service and its key; values may be secrets.
#[must_use]
pub fn difference(wanted: &[u8], found: &[u8]) -> String {
    let (wanted, found) = (keyed(wanted), keyed(found));
    let mut names: Vec<String> = Vec::new();
    for (a, b) in [(&wanted, &found), (&found, &wanted)] {
        let differs = a.iter().filter(|line| !b.contains(line));
        names.extend(differs.map(|(key, _)| key.clone()));
    }
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [] => "comments, spaces or the order of lines differ".to_owned(),
        [name] => format!("{name} differs"),
        names => format!("{} differ", names.join(", ")),
    }
}

/// Each line that says something, with the keys that lead to it, two levels deep below `services`.
fn keyed(content: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(content);
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        let level = line.len() - line.trim_start().len();
        path.retain(|(other, _)| *other < level);
        let key = bare.split_once(':').map_or("a line", |(key, _)| key);
        path.push((level, key.trim_matches(['"', '\'', ' ']).to_owned()));
        let names = path.iter().map(|(_, key)| key.as_str());
        let mut names: Vec<&str> = names.skip_while(|key| *key == "services").take(2).collect();
        if names.is_empty() {
            names.push("services");
        }
        lines.push((names.join("."), bare.to_owned()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn images(pairs: &[(&str, &str)]) -> Images {
        let pair = |(name, image): &(&str, &str)| (name.parse().unwrap(), (*image).to_owned());
        Images::new(pairs.iter().map(pair).collect()).unwrap()
    }

    #[test]
    fn a_file_says_what_it_pins_and_is_plain_yaml() {
        let images = images(&[("api", "shop@sha256:00"), ("worker", "sha256:11")]);
        let text = String::from_utf8(images.content()).unwrap();
        assert!(
            text.ends_with(
                "# pins api=shop@sha256:00, worker=sha256:11\nservices:\n  \"api\":\n    image: \"shop@sha256:00\"\n  \
                 \"worker\":\n    image: \"sha256:11\"\n"
            ),
            "{text}"
        );
        assert_eq!(images.services(), "api, worker");
        let other = images.clone().with([
            ("api".parse().unwrap(), "sha256:22".to_owned()),
            ("cron".parse().unwrap(), "sha256:33".to_owned()),
        ]);
        assert_eq!(other.to_string(), "api=sha256:22, worker=sha256:11");
    }

    #[test]
    fn an_edit_by_hand_is_named_without_its_value() {
        let images = images(&[("api", "shop@sha256:00"), ("worker", "sha256:11")]);
        let text = String::from_utf8(images.content()).unwrap();
        let said = |text: &str| value(text.as_bytes()).unwrap_err();
        assert_eq!(
            said(&text.replace("image: \"sha256:11\"", "image: shop:1.6.0")),
            "it was edited by hand: worker.image differs"
        );
        let secret = format!("{text}    environment:\n      TOKEN: s3cret\n");
        assert_eq!(
            said(&secret),
            "it was edited by hand: worker.environment differs"
        );
        assert!(said(&format!("{text}# mine\n")).contains("comments"));
        assert!(said(&text.replace("# pins api", "# pins")).contains("was edited by hand"));
        assert_eq!(said("services: {}\n"), "it is not Sternway's");
        assert_eq!(
            difference(b"", b"volumes:\n  a: {}\n"),
            "volumes, volumes.a differ"
        );
    }

    #[test]
    fn what_can_not_stand_in_a_file_is_not_pinned() {
        for bad in ["", "shop:\"1\"", "shop:1\n", "shop: 1", "${X}", "a, b=c"] {
            let images = [("api".parse().unwrap(), bad.to_owned())];
            assert_eq!(Images::new(images.into()), None, "{bad:?}");
        }
        assert_eq!(Images::new(BTreeMap::new()), None);
        for bad in [
            "",
            "api",
            "api=a,worker=b",
            "api=a, api=b",
            "worker=a, api=b",
        ] {
            assert_eq!(Images::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_any_other_byte_shows(
            pairs in prop::collection::btree_map("[a-z0-9][a-z0-9_.-]{0,9}", "[a-zA-Z0-9._/:@-]{1,30}", 1..5),
            at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let pairs = pairs.into_iter().map(|(name, image)| (name.parse().unwrap(), image));
            let images = Images::new(pairs.collect()).unwrap();
            prop_assert_eq!(Images::parse(&images.to_string()), Some(images.clone()));
            let mut content = images.content();
            prop_assert!(is_ours(&content));
            prop_assert_eq!(value(&content), Ok(images.clone()));
            let at = at.index(content.len());
            if content[at] != byte {
                content[at] = byte;
                prop_assert!(value(&content).is_err(), "{}", String::from_utf8_lossy(&content));
            }
        }
    }
}
