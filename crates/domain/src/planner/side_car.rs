//! Side-cars: containers that share the network, the memory or the processes of another one. Such a share names a
//! container by its identity, so who shares with a container that is replaced is replaced with it, whatever its
//! own image; it stops before its parent does and is created and started after it.

use std::collections::BTreeSet;

use super::place::Place;
use crate::{
    engine_look::Container,
    name::{ComponentName, ContainerId},
    plan::Swap,
};

/// The containers that have to be replaced: those that `changes` says, and whoever shares with one of them.
pub(super) fn moving<'a>(
    places: &[&Place<'a>],
    changes: impl Fn(&Place<'a>) -> bool,
) -> BTreeSet<&'a ContainerId> {
    let mut moving: BTreeSet<&ContainerId> = places
        .iter()
        .filter(|place| changes(place))
        .map(|place| &place.replica.id)
        .collect();
    loop {
        let pulled: Vec<&ContainerId> = places
            .iter()
            .map(|place| place.replica)
            .filter(|replica| !moving.contains(&replica.id))
            .filter(|replica| replica.joins.iter().any(|parent| moving.contains(parent)))
            .map(|replica| &replica.id)
            .collect();
        if pulled.is_empty() {
            return moving;
        }
        moving.extend(pulled);
    }
}

/// The parents of a container among those that are replaced.
pub(super) fn parents(container: &Container, moving: &BTreeSet<&ContainerId>) -> Vec<ContainerId> {
    let parents = container
        .joins
        .iter()
        .filter(|parent| moving.contains(parent));
    parents.cloned().collect()
}

/// The same swaps with parents before their side-cars: components as they are given, as far as that goes, and the
/// replicas of one component beside each other.
pub(super) fn parents_first(swaps: Vec<Swap>) -> Vec<Swap> {
    let mut waiting: Vec<(ComponentName, Vec<Swap>)> = Vec::new();
    for swap in swaps {
        match waiting.iter_mut().find(|(name, _)| *name == swap.component) {
            Some((_, group)) => group.push(swap),
            None => waiting.push((swap.component.clone(), vec![swap])),
        }
    }
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let holds = |at: usize, parent: &ContainerId| {
            let others = waiting.iter().enumerate().filter(|(other, _)| *other != at);
            others
                .flat_map(|(_, (_, group))| group)
                .any(|swap| swap.former == *parent)
        };
        let free = waiting.iter().enumerate().position(|(at, (_, group))| {
            !group
                .iter()
                .flat_map(|swap| &swap.joins)
                .any(|parent| holds(at, parent))
        });
        // An engine makes no circle of containers; one of components is left as it was given.
        let (_, group) = waiting.remove(free.unwrap_or(0));
        ordered.extend(parents_first_in(group));
    }
    ordered
}

fn parents_first_in(mut waiting: Vec<Swap>) -> Vec<Swap> {
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let free = waiting.iter().position(|swap| {
            !waiting
                .iter()
                .any(|other| swap.joins.contains(&other.former))
        });
        ordered.push(waiting.remove(free.unwrap_or(0)));
    }
    ordered
}
