//! What a deployment that nobody reported is called. It never takes the name of a release with other images: that
//! one was proved with its own, and would be lost as a way back.

use std::collections::BTreeMap;

use crate::{
    ledger::Release,
    name::{ComponentName, ImageId, PlanDigest, Version, tells_releases_apart},
};

use super::{
    Detected, Known, Origin, Recorded,
    running::{Mixture, Part},
};

/// The deployment that runs, with its name.
pub(super) fn named(
    known: &Known<'_>,
    parts: &BTreeMap<ComponentName, Part>,
    before: Option<&Recorded>,
    mixture: Option<&Mixture>,
) -> Detected {
    let part = leader(known, parts, before);
    let (version, inherited) = match of_ledger(known, parts) {
        Some(version) => (version, false),
        None => from_images(known, parts, part, mixture),
    };
    let notes = match mixture {
        None => "found running; nobody reported it".to_owned(),
        Some(mixture) => format!(
            "found running; nobody reported it; {} was left as it was",
            mixture.left_behind
        ),
    };
    let commit = if inherited {
        None
    } else {
        commit(&part.origin)
    };
    let components = parts
        .iter()
        .map(|(name, part)| {
            let reference = part.origin.reference.clone();
            let reference = reference.unwrap_or_else(|| part.image.to_string());
            (name.clone(), (part.image.clone(), reference))
        })
        .collect();
    Detected {
        version,
        commit,
        notes,
        components,
    }
}

/// The part whose name the deployment goes by: of those that changed, one that carried the version before.
fn leader<'a>(
    known: &Known<'a>,
    parts: &'a BTreeMap<ComponentName, Part>,
    before: Option<&Recorded>,
) -> &'a Part {
    let images = before.and_then(|before| before.images.as_ref());
    let in_order: Vec<(&ComponentName, &Part)> = known
        .application
        .components
        .iter()
        .filter_map(|component| parts.get_key_value(&component.name))
        .collect();
    let changed = |(name, part): &&(&ComponentName, &Part)| {
        images.is_none_or(|images| images.get(*name) != Some(&part.image))
    };
    let carried = |(name, _): &&(&ComponentName, &Part)| {
        let (Some(images), Some(before)) = (images, before) else {
            return false;
        };
        // Its own label is gone with the old image; the releases of the ledger know the reference it had.
        known
            .releases
            .iter()
            .filter(|release| release.version == before.version)
            .filter_map(|release| release.components.get(*name))
            .filter(|part| images.get(*name) == Some(&part.image))
            .any(|part| {
                tag(&part.reference).is_some_and(|tag| tag.as_str() == before.version.name())
            })
    };
    let named = |(_, part): &&(&ComponentName, &Part)| word(&part.origin).is_some();
    let found = in_order
        .iter()
        .filter(changed)
        .find(|part| carried(part) && named(part))
        .or_else(|| in_order.iter().filter(changed).find(named))
        .or_else(|| in_order.iter().find(changed))
        .or_else(|| in_order.first());
    found
        .expect("an application has a component, and each of them runs")
        .1
}

/// The release of the ledger with exactly these images: the one that its images call themselves, else the newest.
fn of_ledger(known: &Known<'_>, parts: &BTreeMap<ComponentName, Part>) -> Option<Version> {
    let same = |release: &&Release| {
        release.components.len() == parts.len()
            && release.components.iter().all(|(name, recorded)| {
                parts
                    .get(name)
                    .is_some_and(|part| part.image == recorded.image)
            })
    };
    let calls_itself = |release: &Release| {
        parts
            .values()
            .filter_map(|part| word(&part.origin))
            .any(|word| word == release.version)
    };
    known
        .releases
        .iter()
        .filter(same)
        .max_by_key(|release| (calls_itself(release), release.deployed_at))
        .map(|release| release.version.clone())
}

/// The name that the images give; and whether the leader's label was only inherited from a base image.
fn from_images(
    known: &Known<'_>,
    parts: &BTreeMap<ComponentName, Part>,
    part: &Part,
    mixture: Option<&Mixture>,
) -> (Version, bool) {
    let known_version = |version: &Version| {
        known
            .releases
            .iter()
            .any(|release| release.version.name() == version.as_str())
    };
    let tag = part.origin.reference.as_deref().and_then(tag);
    let label = label(&part.origin);
    // `FROM ubuntu` brings a version label along, which then is the same in every release.
    let inherited = match (&label, &tag) {
        (Some(label), Some(tag)) => {
            label != tag
                && known_version(label)
                && !known_version(tag)
                && tells_releases_apart(tag.as_str())
        }
        (Some(_), None) | (None, _) => false,
    };
    let name = if inherited { tag } else { label.or(tag) };
    let version = match name {
        Some(name)
            if mixture.is_none()
                && tells_releases_apart(name.as_str())
                && !known_version(&name) =>
        {
            name
        }
        other => Version::of_images(other.as_ref(), &digest(parts)),
    };
    (version, inherited)
}

/// What an image calls itself: its label, else the tag that it was created by.
pub(super) fn word(origin: &Origin) -> Option<Version> {
    label(origin).or_else(|| tag(origin.reference.as_deref()?))
}

fn label(origin: &Origin) -> Option<Version> {
    origin.version.as_deref()?.trim().parse().ok()
}

/// The tag of a reference such as `registry.example:5000/shop/api:1.5.0@sha256:...`.
fn tag(reference: &str) -> Option<Version> {
    let (named, _) = reference.split_once('@').unwrap_or((reference, ""));
    let last = named.rsplit('/').next()?;
    let (name, tag) = last.split_once(':')?;
    // `sha256:...` alone is an identity, not a tag.
    (name != "sha256").then(|| tag.parse().ok()).flatten()
}

fn commit(origin: &Origin) -> Option<String> {
    let revision = origin.revision.as_deref()?.trim().to_ascii_lowercase();
    let hex = revision
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (hex && (7..=64).contains(&revision.len())).then_some(revision)
}

fn digest(parts: &BTreeMap<ComponentName, Part>) -> PlanDigest {
    let images: BTreeMap<&ComponentName, &ImageId> = parts
        .iter()
        .map(|(name, part)| (name, &part.image))
        .collect();
    let text: String = images
        .iter()
        .map(|(name, image)| format!("{name} {image}\n"))
        .collect();
    PlanDigest::of(text.as_bytes())
}
