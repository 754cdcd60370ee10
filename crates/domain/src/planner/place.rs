//! Which containers are the replicas: one for each name that Compose knows, whatever an earlier rollback left.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{
    application::Application,
    engine_look::{Container, EngineLook},
    name::ComponentName,
    plan::base_of_interim,
};

/// The place of one replica: what is it now, and what an earlier rollback left beside it.
pub(super) struct Place<'a> {
    /// The name that the replica goes by.
    pub(super) name: &'a str,
    /// The container that is the replica.
    pub(super) replica: &'a Container,
    /// The others of that name.
    pub(super) leftovers: Vec<&'a Container>,
}

impl Place<'_> {
    /// Every container of that name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Container> {
        self.leftovers.iter().copied().chain([self.replica])
    }

    /// Whether the replica is alone under its own name, as far as what is up goes.
    pub(super) fn is_tidy(&self) -> bool {
        self.replica.name == self.name && !self.leftovers.iter().any(|container| container.is_up())
    }
}

/// The places of every component, in the order in which they are switched.
pub(super) fn places<'a>(application: &'a Application, look: &'a EngineLook) -> Vec<Place<'a>> {
    application
        .components
        .iter()
        .flat_map(|component| places_of(&component.name, look))
        .collect()
}

/// The places of one component, by replica number.
pub(super) fn places_of<'a>(component: &ComponentName, look: &'a EngineLook) -> Vec<Place<'a>> {
    let mut named: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
    for container in look
        .containers
        .iter()
        .filter(|container| container.component == *component)
    {
        let name = base_of_interim(&container.name).unwrap_or(&container.name);
        named.entry(name).or_default().push(container);
    }
    let mut places: Vec<Place<'_>> = named
        .into_iter()
        .filter_map(|(name, found)| place(name, found))
        .collect();
    places.sort_by_key(|place| (place.replica.replica, place.name));
    places
}

/// What serves is the replica, under its own name if there is a choice; of what does not, its own name says
/// more than any other, and the one that was started last more than the rest.
fn place<'a>(name: &'a str, mut found: Vec<&'a Container>) -> Option<Place<'a>> {
    found.sort_by_key(|container| {
        (
            !container.runs(),
            container.name != name,
            Reverse(container.started_at),
            &container.name,
        )
    });
    let mut found = found.into_iter();
    Some(Place {
        name,
        replica: found.next()?,
        leftovers: found.collect(),
    })
}
