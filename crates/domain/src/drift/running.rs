//! What runs, told from one look: one image for each component, or a deployment that is half made.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    application::Application,
    deployment_watch::replicas,
    engine_look::{Container, ContainerState, EngineLook},
    name::{ComponentName, ContainerId, ImageId},
};

use super::{Known, Origin, Recorded, naming};

/// What one component runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) image: ImageId,
    pub(super) origin: Origin,
}

/// What runs.
pub(super) enum Running {
    /// A component has no container, one that was never started, or several images.
    Unfinished,
    /// One image for each component.
    Whole(BTreeMap<ComponentName, Part>),
}

/// What must stay the same for what runs to be settled: which containers there are, and which of them were never
/// started. A container that crashes and is started again is the same.
#[must_use]
pub fn fingerprint(
    application: &Application,
    look: &EngineLook,
) -> BTreeSet<(ContainerId, ImageId, bool)> {
    replicas(application, look)
        .map(|container| {
            let created = container.state == ContainerState::Created;
            (container.id.clone(), container.image.clone(), created)
        })
        .collect()
}

pub(super) fn running(known: &Known<'_>) -> Running {
    let mut parts = BTreeMap::new();
    for component in &known.application.components {
        let all: Vec<&Container> = replicas(known.application, known.look)
            .filter(|container| container.component == component.name)
            .collect();
        // What is up says what is deployed; of an application that was stopped, all of it does.
        let up: Vec<&Container> = all.iter().copied().filter(|one| one.is_up()).collect();
        let serving = if up.is_empty() { all.clone() } else { up };
        let fresh = |container: &&Container| match container.state {
            ContainerState::Created | ContainerState::Removing => true,
            ContainerState::Running
            | ContainerState::Paused
            | ContainerState::Restarting
            | ContainerState::Exited
            | ContainerState::Dead => false,
        };
        let images: BTreeSet<&ImageId> = serving.iter().map(|container| &container.image).collect();
        let (Some(first), 1, false) = (serving.first(), images.len(), all.iter().any(fresh)) else {
            return Running::Unfinished;
        };
        let part = Part {
            image: first.image.clone(),
            origin: known.origins.get(&first.id).cloned().unwrap_or_default(),
        };
        parts.insert(component.name.clone(), part);
    }
    Running::Whole(parts)
}

/// Two releases at once: some components have changed, and some that belong with them have not.
pub(super) struct Mixture {
    /// A component that belongs with those that changed.
    pub(super) left_behind: ComponentName,
}

impl Mixture {
    /// None when what runs is one release, as far as it can be told.
    pub(super) fn of(
        known: &Known<'_>,
        parts: &BTreeMap<ComponentName, Part>,
        before: Option<&Recorded>,
    ) -> Option<Self> {
        let before_images = before?.images.as_ref()?;
        let same =
            |(name, part): &(&ComponentName, &Part)| before_images.get(*name) == Some(&part.image);
        let (same, changed): (Vec<_>, Vec<_>) = parts.iter().partition(same);
        if same.is_empty() || changed.is_empty() {
            return None;
        }
        let version = &before?.version;
        let shared = |name: &ComponentName| {
            let of_both = |(other, _): &(&ComponentName, &Part)| {
                before_images.get(*other) == before_images.get(name)
            };
            changed.iter().any(of_both)
        };
        let announced = known
            .newest
            .filter(|newest| !newest.seen)
            .and_then(|newest| newest.images.as_ref());
        let awaited = |name: &ComponentName, part: &Part| {
            announced.is_some_and(|images| images.get(name) != Some(&part.image))
                && changed.iter().all(|(changed, part)| {
                    announced.is_some_and(|images| images.get(*changed) == Some(&part.image))
                })
        };
        // A component that carried the version of the release carries that of the next one.
        let carries = |part: &Part| {
            naming::word(&part.origin).is_some_and(|word| word.as_str() == version.name())
        };
        let (left_behind, _) = same
            .into_iter()
            .find(|(name, part)| shared(name) || carries(part) || awaited(name, part))?;
        Some(Self {
            left_behind: left_behind.clone(),
        })
    }
}
