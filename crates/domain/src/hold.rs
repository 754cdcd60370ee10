//! Holds: what they speak against. A release is held by its version and by the images that it ran.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ledger::Release,
    name::{ComponentName, ImageId, Version},
    reason::Reason,
    supply::ImageSource,
    time::Moment,
};

/// A hold that nobody has released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Of which version.
    pub version: Version,
    /// Why.
    pub reason: String,
    /// What the rollback was asked for that made it; a person's hold says only whether it is for a security hole.
    pub cause: Reason,
    /// Since when.
    pub held_at: Moment,
    /// What its deployments ran until then, by component.
    pub images: BTreeMap<ComponentName, BTreeSet<ImageId>>,
}

/// What persons and rollbacks say against a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Why it is held.
    pub hold: Option<String>,
    /// Why it is insecure.
    pub insecure: Option<String>,
}

/// What of a release a hold was recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Its version.
    Version,
    /// The image of this component, under whatever name.
    Image(ComponentName),
}

/// The newest hold that speaks against running this version, or any of these images.
///
/// An image that a proved release runs which nobody holds is free: a side-car that did not change between the good
/// and the bad release is not what the bad one was held for.
#[must_use]
pub fn against<'a>(
    holds: &'a [Hold],
    releases: &[Release],
    version: Option<&Version>,
    images: &BTreeMap<ComponentName, ImageId>,
) -> Option<(&'a Hold, By)> {
    let free = |component: &ComponentName, image: &ImageId| {
        releases.iter().any(|release| {
            release.eligible()
                && release
                    .components
                    .get(component)
                    .is_some_and(|part| part.image == *image)
        })
    };
    let by = |hold: &Hold| {
        // Built again under the same name, it is still the release that was held.
        if version.is_some_and(|version| {
            hold.version == *version || hold.version.as_str() == version.name()
        }) {
            return Some(By::Version);
        }
        let held = |(component, image): &(&ComponentName, &ImageId)| {
            hold.images
                .get(*component)
                .is_some_and(|held| held.contains(*image))
                && !free(component, image)
        };
        let (component, _) = images.iter().find(held)?;
        Some(By::Image(component.clone()))
    };
    holds
        .iter()
        .filter_map(|hold| Some((hold, by(hold)?)))
        .max_by_key(|(hold, by)| (*by == By::Version, hold.held_at))
}

/// The image that a reference by digest names, when the ledger knows that digest: an engine that does not have it yet
/// can not say.
#[must_use]
pub fn image_by_digest<'a>(
    releases: &'a [Release],
    component: &ComponentName,
    reference: &str,
) -> Option<&'a ImageId> {
    let (_, digest) = reference.rsplit_once('@')?;
    let known_by = |source: &ImageSource| match source {
        ImageSource::Registry { reference } => reference
            .as_str()
            .rsplit_once('@')
            .is_some_and(|(_, known)| known == digest),
        ImageSource::Archive(_) => false,
    };
    releases
        .iter()
        .filter_map(|release| release.components.get(component))
        .find(|part| part.sources.iter().any(known_by))
        .map(|part| &part.image)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn image(digit: char) -> ImageId {
        format!("sha256:{}", digit.to_string().repeat(64))
            .parse()
            .unwrap()
    }

    fn images(parts: &[(&str, char)]) -> BTreeMap<ComponentName, ImageId> {
        parts
            .iter()
            .map(|(name, digit)| (name.parse().unwrap(), image(*digit)))
            .collect()
    }

    fn good(version: &str, parts: &[(&str, char)]) -> Release {
        let components: serde_json::Map<_, _> = images(parts)
            .into_iter()
            .map(|(name, image)| {
                let part = json!({"image": image, "reference": name, "specification": null});
                (name.to_string(), part)
            })
            .collect();
        serde_json::from_value(json!({
            "deployment": Uuid::nil(), "version": version, "deployed_at": Moment::from_unix_ms(1),
            "good_at": Moment::from_unix_ms(2), "hold": null, "insecure": null, "components": components,
        }))
        .unwrap()
    }

    fn hold(version: &str, at: i64, parts: &[(&str, char)]) -> Hold {
        Hold {
            version: version.parse().unwrap(),
            reason: "rolled back".to_owned(),
            cause: Reason::CriticalBug,
            held_at: Moment::from_unix_ms(at),
            images: images(parts)
                .into_iter()
                .map(|(name, image)| (name, BTreeSet::from([image])))
                .collect(),
        }
    }

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn a_release_is_held_by_its_version_and_by_its_images_under_another_name() {
        let holds = [hold("1.5.0", 5, &[("api", 'b'), ("cache", 'c')])];
        let ledger = [good("1.4.2", &[("api", 'a'), ("cache", 'c')])];
        let asked = |name: &str, parts: &[(&str, char)]| {
            against(&holds, &ledger, Some(&version(name)), &images(parts)).map(|(_, by)| by)
        };
        assert_eq!(asked("1.5.0", &[]), Some(By::Version));
        assert_eq!(asked("1.5.0", &[("api", 'd')]), Some(By::Version));
        let api = By::Image("api".parse().unwrap());
        assert_eq!(asked("1.5.1", &[("api", 'b')]), Some(api));
        assert_eq!(asked("1.5.1", &[("api", 'd'), ("cache", 'c')]), None);
        assert_eq!(asked("1.4.2", &[("api", 'a'), ("cache", 'c')]), None);
    }

    #[test]
    fn an_image_that_the_engine_does_not_have_is_known_by_its_digest() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let mut release = good("1.5.0", &[("api", 'b')]);
        let api = "api".parse().unwrap();
        let source = ImageSource::Registry {
            reference: format!("mirror/shop@{}", digest("e")).parse().unwrap(),
        };
        release.components.get_mut(&api).unwrap().sources = vec![source];
        let ledger = [release];
        let asked = |text: String| image_by_digest(&ledger, &api, &text);
        assert_eq!(
            asked(format!("shop:new@{}", digest("e"))),
            Some(&image('b'))
        );
        assert_eq!(asked(format!("shop@{}", digest("f"))), None);
        assert_eq!(asked("shop:1.5.0".to_owned()), None);
        assert_eq!(
            image_by_digest(&ledger, &"cache".parse().unwrap(), &digest("e")),
            None
        );
    }

    #[test]
    fn the_hold_of_the_version_itself_is_named_before_one_of_its_images() {
        let holds = [
            hold("1.5.0", 5, &[("api", 'b')]),
            hold("1.4.9", 9, &[("api", 'b')]),
        ];
        let found = against(
            &holds,
            &[],
            Some(&version("1.5.0")),
            &images(&[("api", 'b')]),
        );
        let (found, by) = found.unwrap();
        assert_eq!((found.version.as_str(), by), ("1.5.0", By::Version));
        let (newest, _) = against(&holds, &[], None, &images(&[("api", 'b')])).unwrap();
        assert_eq!(newest.version.as_str(), "1.4.9");
    }
}
