//! In which order components change over, and which may at the same time: each after what it needs.

use crate::{application::Component, name::ComponentName};

/// Components in waves: those of one wave need nothing of each other, and everything that they need is in an
/// earlier wave. Within a wave they stand as in the definition.
///
/// # Errors
/// The components that wait for each other in a circle, and whatever waits for those.
pub fn waves(components: &[Component]) -> Result<Vec<Vec<&Component>>, Vec<ComponentName>> {
    let needs = |one: &&Component, other: &&Component| one.after.contains(&other.name);
    in_waves(components.iter().collect(), needs)
        .map_err(|circle| circle.into_iter().map(|c| c.name.clone()).collect())
}

/// Anything in waves, by whether the first needs the second.
///
/// # Errors
/// What waits for each other in a circle, and whatever waits for that.
pub(crate) fn in_waves<T>(
    items: Vec<T>,
    needs: impl Fn(&T, &T) -> bool,
) -> Result<Vec<Vec<T>>, Vec<T>> {
    let mut waves = Vec::new();
    let mut left = items;
    while !left.is_empty() {
        let waits: Vec<bool> = left
            .iter()
            .map(|one| left.iter().any(|other| needs(one, other)))
            .collect();
        let (later, wave): (Vec<_>, Vec<_>) =
            left.into_iter().zip(waits).partition(|(_, waits)| *waits);
        let bare = |items: Vec<(T, bool)>| items.into_iter().map(|(item, _)| item).collect();
        if wave.is_empty() {
            return Err(bare(later));
        }
        waves.push(bare(wave));
        left = bare(later);
    }
    Ok(waves)
}

/// Components one after the other: as in the definition, but none before what it needs. A circle, which a
/// definition that was checked has not, is left as it was written.
#[must_use]
pub fn in_order(components: &[Component]) -> Vec<&Component> {
    let mut order: Vec<&Component> = Vec::with_capacity(components.len());
    let mut left: Vec<&Component> = components.iter().collect();
    while !left.is_empty() {
        let waits = |component: &&Component| {
            let needs = |need: &ComponentName| left.iter().any(|other| other.name == *need);
            component.after.iter().any(needs)
        };
        let at = left.iter().position(|component| !waits(component));
        order.push(left.remove(at.unwrap_or(0)));
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn component(name: &str, after: &[&str]) -> Component {
        serde_json::from_value(serde_json::json!({"name": name, "after": after})).unwrap()
    }

    fn names(order: &[&Component]) -> Vec<String> {
        order.iter().map(|c| c.name.to_string()).collect()
    }

    #[test]
    fn what_needs_nothing_of_each_other_is_one_wave() {
        let shop = [
            component("web", &["api", "cache"]),
            component("api", &["db"]),
            component("cache", &[]),
            component("db", &[]),
        ];
        let waves = waves(&shop).unwrap();
        let waves: Vec<_> = waves.iter().map(|wave| names(wave)).collect();
        assert_eq!(waves, [vec!["cache", "db"], vec!["api"], vec!["web"]]);
        assert_eq!(names(&in_order(&shop)), ["cache", "db", "api", "web"]);
    }

    #[test]
    fn a_circle_is_named() {
        let circle = [
            component("a", &["b"]),
            component("b", &["a"]),
            component("free", &[]),
        ];
        let found = waves(&circle).unwrap_err();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["a", "b"]);
        assert_eq!(in_order(&circle).len(), 3);
    }

    #[test]
    fn without_needs_the_definitions_order_stays() {
        let shop = [component("b", &[]), component("a", &[])];
        assert_eq!(names(&in_order(&shop)), ["b", "a"]);
    }

    proptest! {
        /// Arrows only lead to components of a lower number, in any order of writing: there is no circle.
        #[test]
        fn nothing_comes_before_what_it_needs(
            arrows in proptest::collection::vec((0usize..12, 0usize..12), 0..40),
            shuffle in Just((0usize..12).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let of = |number: usize| -> Component {
                let needs: Vec<String> = arrows
                    .iter()
                    .filter(|(from, to)| *from == number && to < from)
                    .map(|(_, to)| format!("c{to}"))
                    .collect();
                let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
                component(&format!("c{number}"), &needs)
            };
            let shop: Vec<Component> = shuffle.into_iter().map(of).collect();
            let order = in_order(&shop);
            prop_assert_eq!(order.len(), shop.len());
            let place = |name: &ComponentName| order.iter().position(|c| c.name == *name).unwrap();
            for component in &shop {
                for need in &component.after {
                    prop_assert!(place(need) < place(&component.name));
                }
            }
            let waves = waves(&shop).unwrap();
            prop_assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), shop.len());
            let wave_of = |name: &ComponentName| {
                waves.iter().position(|wave| wave.iter().any(|c| c.name == *name)).unwrap()
            };
            for component in &shop {
                for need in &component.after {
                    prop_assert!(wave_of(need) < wave_of(&component.name));
                }
            }
        }
    }
}
