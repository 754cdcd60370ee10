//! The last look before a creation: nothing is asked of the engine that the recorded specification does not have.
//! It knows nothing of how a creation is put together; it compares what was recorded with what is about to be
//! sent, and every difference that is not listed here is refused, a field left out included: a capability that is
//! no longer dropped is one gained.

use domain::specification::Specification;
use serde_json::{Map, Value};

use super::{Creation, is_anonymous};
use crate::error::{Error, Kind};

/// Parts of a create body that say nothing of what a container may do.
const HARMLESS: [&str; 3] = ["Image", "Labels", "Hostname"];

/// Refuses a creation that would be allowed more than its specification.
///
/// # Errors
/// With the name of the first field that differs, never with its value.
pub fn no_rise(specification: &Specification, creation: &Creation) -> Result<(), Error> {
    let (recorded, asked) = (&specification.body, &creation.whole);
    let differs = keys(recorded, asked).into_iter().find_map(|key| {
        let (had, has) = (field(recorded, key), field(asked, key));
        match key {
            key if HARMLESS.contains(&key) => None,
            "Env" => (strings(has) != specification.env).then(|| key.to_owned()),
            "HostConfig" => host_rise(had, has).map(|inner| format!("{key}.{inner}")),
            "NetworkingConfig" => networks_rise(had, has, creation).then(|| key.to_owned()),
            key => (had != has).then(|| key.to_owned()),
        }
    });
    match differs {
        None => Ok(()),
        Some(field) => Err(Error::new(
            Kind::Refused,
            format!(
                "it would be created with another `{field}` than was recorded, which may raise what it is allowed; \
                 nothing was created"
            ),
        )),
    }
}

fn host_rise<'a>(recorded: &'a Value, asked: &'a Value) -> Option<&'a str> {
    keys(recorded, asked).into_iter().find(|key| {
        let (had, has) = (field(recorded, key), field(asked, key));
        match *key {
            "Binds" => binds_rise(had, has),
            "Mounts" => mounts_rise(had, has),
            "NetworkMode" | "IpcMode" | "PidMode" => had != has && !(joins(had) && joins(has)),
            "VolumesFrom" => options_of(had) != options_of(has),
            "Links" => aliases_of(had) != aliases_of(has),
            "PortBindings" => ports_rise(had, has),
            _ => had != has,
        }
    })
}

/// Volumes without a name of the replica that is replaced come in by their names; nothing goes out.
fn binds_rise(had: &Value, has: &Value) -> bool {
    let (had, has) = (strings(had), strings(has));
    let own = |bind: &String| {
        let mut parts = bind.split(':');
        let (volume, destination) = (parts.next(), parts.next());
        volume.is_some_and(is_anonymous)
            && destination.is_some_and(|path| path.starts_with('/'))
            && parts.next().is_none()
    };
    !had.iter().all(|bind| has.contains(bind))
        || !has.iter().all(|bind| had.contains(bind) || own(bind))
}

fn mounts_rise(had: &Value, has: &Value) -> bool {
    let (had, has) = (list(had), list(has));
    let same = |(had, has): (&Value, &Value)| {
        let mut has = has.clone();
        let filled = field(had, "Source").is_null()
            && field(had, "Type") == "volume"
            && field(&has, "Source").as_str().is_some_and(is_anonymous);
        if filled && let Some(mount) = has.as_object_mut() {
            mount.remove("Source");
        }
        *had == has
    };
    had.len() != has.len() || !had.iter().zip(has).all(same)
}

/// A side-car follows the successor of the container that it shares with.
fn joins(mode: &Value) -> bool {
    mode.as_str()
        .is_some_and(|mode| mode.starts_with("container:"))
}

/// Of `volumes_from`, what may be done with them: whose they are may be a successor.
fn options_of(volumes_from: &Value) -> Vec<String> {
    let option = |from: &String| {
        from.split_once(':')
            .map_or_else(|| "rw".to_owned(), |(_, option)| option.to_owned())
    };
    strings(volumes_from).iter().map(option).collect()
}

/// Of links, by which names: what they lead to may be a successor.
fn aliases_of(links: &Value) -> Vec<String> {
    let alias = |link: &String| {
        let (_, alias) = link.split_once(':').unwrap_or((link, link));
        alias.to_owned()
    };
    strings(links).iter().map(alias).collect()
}

/// The same ports, and none for more of the world; the number on the host may be a replica's own.
fn ports_rise(had: &Value, has: &Value) -> bool {
    let addresses = |bindings: &Value| -> Vec<String> {
        let address = |binding: &Value| {
            let ip = field(binding, "HostIp").as_str().unwrap_or_default();
            if matches!(ip, "0.0.0.0" | "::") {
                ""
            } else {
                ip
            }
            .to_owned()
        };
        list(bindings).iter().map(address).collect()
    };
    let only_this_host = |ip: &str| ip.starts_with("127.") || ip == "::1";
    keys(had, has).into_iter().any(|port| {
        let there = |side: &Value| side.get(port).is_some();
        let meant = addresses(field(had, port));
        let allowed = |ip: &String| {
            meant.contains(ip) || meant.iter().any(String::is_empty) || only_this_host(ip)
        };
        there(had) != there(has) || !addresses(field(has, port)).iter().all(allowed)
    })
}

/// No other network, and on each only the links and options that were recorded.
fn networks_rise(had: &Value, has: &Value, creation: &Creation) -> bool {
    let (had, has) = (field(had, "EndpointsConfig"), field(has, "EndpointsConfig"));
    let rises = |network: &str, endpoint: &Value| match had.get(network) {
        None => true,
        Some(meant) => ["Links", "DriverOpts", "MacAddress"]
            .into_iter()
            .any(|key| field(meant, key) != field(endpoint, key)),
    };
    let later = creation.connect.iter().any(|(network, endpoint)| {
        serde_json::to_value(endpoint).map_or(true, |endpoint| rises(network, &endpoint))
    });
    later
        || members(has).is_some_and(|map| map.iter().any(|(name, endpoint)| rises(name, endpoint)))
}

/// The names of both sides.
fn keys<'a>(one: &'a Value, other: &'a Value) -> Vec<&'a str> {
    let mut keys: Vec<&str> = [one, other]
        .into_iter()
        .filter_map(members)
        .flat_map(Map::keys)
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn members(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object()
}

/// A field that is not there says null, as an engine does.
fn field<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn strings(value: &Value) -> Vec<String> {
    let texts = list(value).iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
