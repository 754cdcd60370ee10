//! What Compose 2 compares with its files, as `up` counts it. `config --hash` counts neither the environment files of a
//! service nor the identity of a container that it shares a network, memory or processes with; `up` counts both (seen with
//! 2.26.1). So the whole project as `config` prints it, which has the first, is read once more with the second in it.

use std::{cmp::Reverse, collections::BTreeMap};

use bollard::models::ContainerSummary;
use serde_json::Value;

use crate::label;

/// A service's container that others share with, by the service's name.
pub(crate) type Holders = BTreeMap<String, String>;

/// Where a service names the one that it shares with.
const MODES: [&str; 3] = ["network_mode", "ipc", "pid"];

/// The container that Compose takes for a service: the first replica, and of two that are one, for a rollback makes the
/// second beside the first, the newer.
pub(super) fn holders(list: &[ContainerSummary]) -> Holders {
    let mut best: BTreeMap<&str, (u32, Reverse<i64>, &str)> = BTreeMap::new();
    for summary in list {
        let Some(labels) = &summary.labels else {
            continue;
        };
        let oneoff = labels
            .get(label::COMPOSE_ONEOFF)
            .is_some_and(|oneoff| oneoff.eq_ignore_ascii_case("true"));
        let number = labels.get(label::COMPOSE_NUMBER);
        let number = number.and_then(|number| number.parse().ok());
        let (Some(service), Some(number), Some(id), false) = (
            labels.get(label::COMPOSE_SERVICE),
            number,
            &summary.id,
            oneoff,
        ) else {
            continue;
        };
        let this = (
            number,
            Reverse(summary.created.unwrap_or_default()),
            id.as_str(),
        );
        let known = best.entry(service).or_insert(this);
        *known = (*known).min(this);
    }
    best.into_iter()
        .map(|(service, (_, _, id))| (service.to_owned(), id.to_owned()))
        .collect()
}

/// The project with containers in place of the services that others share with, and which those are.
pub(super) fn with_containers(mut whole: Value, all: &Holders) -> (Value, Holders) {
    let mut named = Holders::new();
    let services = whole.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(|all| all.values_mut()) {
        for mode in MODES {
            let Some(Value::String(text)) = service.get_mut(mode) else {
                continue;
            };
            let Some(name) = text.strip_prefix("service:").map(str::to_owned) else {
                continue;
            };
            if let Some(id) = all.get(&name) {
                *text = format!("container:{id}");
                named.insert(name, id.clone());
            }
        }
    }
    (whole, named)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    fn container(id: &str, service: &str, number: &str, created: i64) -> ContainerSummary {
        let labels = [
            (label::COMPOSE_SERVICE, service),
            (label::COMPOSE_NUMBER, number),
            (label::COMPOSE_ONEOFF, "False"),
        ];
        ContainerSummary {
            id: Some(id.to_owned()),
            created: Some(created),
            labels: Some(HashMap::from(
                labels.map(|(name, value)| (name.to_owned(), value.to_owned())),
            )),
            ..ContainerSummary::default()
        }
    }

    #[test]
    fn the_first_replica_counts_and_of_two_that_are_one_the_newer() {
        let mut once = container("run", "api", "1", 99);
        let labels = once.labels.as_mut().unwrap();
        labels.insert(label::COMPOSE_ONEOFF.to_owned(), "True".to_owned());
        let list = [
            container("second", "api", "2", 50),
            container("former", "api", "1", 10),
            container("next", "api", "1", 20),
            once,
            container("db", "db", "1", 1),
            ContainerSummary::default(),
        ];
        let expected = [("api", "next"), ("db", "db")];
        let expected = expected.map(|(name, id)| (name.to_owned(), id.to_owned()));
        assert_eq!(holders(&list), Holders::from(expected));
    }

    #[test]
    fn who_shares_names_the_container_and_nothing_else_changes() {
        let whole = json!({"services": {
            "api": {"image": "shop", "ipc": "shareable"},
            "side": {"network_mode": "service:api", "pid": "service:api", "ipc": "service:gone"},
            "host": {"network_mode": "host"},
        }, "name": "shop"});
        let all = Holders::from(
            [("api", "0a1b"), ("host", "2c")].map(|(name, id)| (name.to_owned(), id.to_owned())),
        );
        let (read, named) = with_containers(whole.clone(), &all);
        let mut expected = whole;
        expected["services"]["side"]["network_mode"] = json!("container:0a1b");
        expected["services"]["side"]["pid"] = json!("container:0a1b");
        assert_eq!(read, expected);
        assert_eq!(named.into_keys().collect::<Vec<_>>(), ["api"]);
        let odd = json!([1]);
        assert_eq!(with_containers(odd.clone(), &all), (odd, Holders::new()));
    }
}
