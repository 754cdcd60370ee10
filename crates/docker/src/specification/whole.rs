//! Nothing is lost: what the typed models do not know goes from an inspection into the specification, and from the
//! specification into the creation, as the engine said it.

use bollard::models::{ContainerConfig, ContainerInspectResponse, HostConfig, ImageConfig};
use domain::specification::Specification;
use serde_json::{Map, Value};

use super::subtract;
use crate::error::{Error, Kind};

/// What an image brings: as the engine said it, and what is typed of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSettings {
    /// Everything.
    pub raw: Value,
    /// What is typed of it.
    pub known: ImageConfig,
}

impl ImageSettings {
    /// Understands the configuration of an image; one without any brings nothing.
    ///
    /// # Errors
    /// When it is no image's configuration.
    pub fn read(raw: Value) -> Result<Self, Error> {
        let known = if raw.is_null() {
            ImageConfig::default()
        } else {
            typed(&raw)?
        };
        Ok(Self { raw, known })
    }
}

/// As [`subtract`], with every field of the inspection.
///
/// # Errors
/// When the inspection lacks its configuration, or is not understood.
pub fn subtract_whole(
    raw: &Value,
    known: &ContainerInspectResponse,
    image: &ImageSettings,
) -> Result<Specification, Error> {
    let mut specification = subtract(known, &image.known)?;
    let none = Value::Null;
    let part = |name: &str| raw.get(name).unwrap_or(&none);
    let config = untyped::<ContainerConfig>(part("Config"))?;
    let of_image = untyped::<ImageConfig>(&image.raw)?;
    if let Some(config) = config.map(|config| without(config, of_image.as_ref())) {
        lay_over(&mut specification.body, config, part("Config"));
    }
    if let Some(host) = untyped::<HostConfig>(part("HostConfig"))?
        && let Some(body) = specification.body.as_object_mut()
    {
        let target = body
            .entry("HostConfig")
            .or_insert_with(|| Value::Object(Map::new()));
        lay_over(target, host, part("HostConfig"));
    }
    specification.body = super::sorted(specification.body);
    Ok(specification)
}

/// What is in `raw` and not in what its type keeps of it. Fields that say nothing are nothing.
pub(super) fn untyped<T>(raw: &Value) -> Result<Option<Value>, Error>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    if raw.is_null() {
        return Ok(None);
    }
    let kept = serde_json::to_value(typed::<T>(raw)?).map_err(|error| not_understood(&error))?;
    Ok(missing(raw, &kept))
}

fn typed<T: serde::de::DeserializeOwned>(raw: &Value) -> Result<T, Error> {
    serde_json::from_value(raw.clone()).map_err(|error| not_understood(&error))
}

/// Without the value: it may be anything, a secret included.
fn not_understood(error: &serde_json::Error) -> Error {
    Error::new(
        Kind::Unreadable,
        format!(
            "the engine's answer is not understood ({:?})",
            error.classify()
        ),
    )
}

fn missing(raw: &Value, kept: &Value) -> Option<Value> {
    match (raw, kept) {
        (Value::Object(raw), Value::Object(kept)) => {
            let lost = raw.iter().filter_map(|(key, value)| {
                let lost = match kept.get(key) {
                    Some(kept) => missing(value, kept)?,
                    None if says_nothing(value) => return None,
                    None => value.clone(),
                };
                Some((key.clone(), lost))
            });
            let lost: Map<String, Value> = lost.collect();
            (!lost.is_empty()).then_some(Value::Object(lost))
        }
        (Value::Array(raw), Value::Array(kept)) if raw.len() == kept.len() => {
            let lost: Vec<Option<Value>> = raw
                .iter()
                .zip(kept)
                .map(|(raw, kept)| missing(raw, kept))
                .collect();
            lost.iter()
                .any(Option::is_some)
                .then(|| Value::Array(lost.into_iter().map(Option::unwrap_or_default).collect()))
        }
        // A set that comes as an object and is kept as a list, an enum in another spelling: it is known.
        _ => None,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// What the image did not bring.
fn without(mut own: Value, image: Option<&Value>) -> Value {
    if let (Some(own), Some(image)) = (own.as_object_mut(), image.and_then(Value::as_object)) {
        own.retain(|key, value| image.get(key) != Some(value));
    }
    own
}

/// Adds what is lost to what is kept. Where a known field was left out on purpose, what hangs on it is too; `from`
/// tells what was there.
pub(super) fn lay_over(base: &mut Value, lost: Value, from: &Value) {
    match (base, lost) {
        (Value::Object(base), Value::Object(lost)) => {
            for (key, value) in lost {
                let there = from.get(&key).unwrap_or(&Value::Null);
                match base.get_mut(&key) {
                    Some(kept) => lay_over(kept, value, there),
                    None if value == *there => {
                        base.insert(key, value);
                    }
                    None => {}
                }
            }
        }
        (Value::Array(base), Value::Array(lost)) if base.len() == lost.len() => {
            for (at, (kept, value)) in base.iter_mut().zip(lost).enumerate() {
                lay_over(kept, value, from.get(at).unwrap_or(&Value::Null));
            }
        }
        _ => {}
    }
}
