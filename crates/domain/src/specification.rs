//! The container specification that a release ran with.

mod shape;
mod shown;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use shape::{Endpoint, MountKind, Mounted, NetworkMode, Privileges, Published, Shape};

/// What to create a component's container from: everything the operator meant, nothing of the image's own.
///
/// `body` is the engine's create body (Docker Engine API, `POST /containers/create`) without `Env`
/// and `Image`; `env` holds `KEY=value` entries and is kept apart because it holds secrets.
/// It deliberately does not derive `Debug` for `env`: values must not reach a log.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Specification {
    /// The create body without environment and image.
    pub body: Value,
    /// Environment entries, `KEY=value`.
    pub env: Vec<String>,
}

impl Specification {
    /// What it asks for, typed; none when the stored body is no create body.
    #[must_use]
    pub fn shape(&self) -> Option<Shape> {
        Shape::of(&self.body)
    }

    /// What of its body may be shown to everybody who may look.
    #[must_use]
    pub fn shown(body: &Value) -> Value {
        shown::shown(body)
    }

    /// Without what it publishes of that port on fixed ports of its host: whoever holds those holds them.
    pub fn without_port(&mut self, port: u16) {
        let bindings = self.body.pointer_mut("/HostConfig/PortBindings");
        let Some(bindings) = bindings.and_then(Value::as_object_mut) else {
            return;
        };
        let key = format!("{port}/tcp");
        let fixed = |binding: &Value| {
            binding["HostPort"]
                .as_str()
                .is_some_and(|at| !at.is_empty())
        };
        let is_fixed = |bound: &Value| bound.as_array().is_some_and(|all| all.iter().any(fixed));
        if bindings.get(&key).is_some_and(is_fixed) {
            bindings.remove(&key);
        }
    }

    /// The names of the environment entries, without their values.
    #[must_use]
    pub fn env_names(&self) -> Vec<&str> {
        self.env
            .iter()
            .map(|entry| entry.split('=').next().unwrap_or(entry))
            .collect()
    }
}

impl std::fmt::Debug for Specification {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Specification")
            .field("body", &self.body)
            .field("env", &self.env_names())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_that_somebody_else_holds_is_left_out_and_no_other() {
        let mut specification = Specification {
            body: json!({"HostConfig": {"PortBindings": {
                "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18080"}], "8080/udp": [{"HostPort": "53"}],
                "9090/tcp": [{"HostIp": "", "HostPort": ""}]}}, "Labels": {"a": "b"}}),
            env: vec!["A=1".to_owned()],
        };
        specification.without_port(9090);
        specification.without_port(8080);
        let left = &specification.body["HostConfig"]["PortBindings"];
        assert_eq!(
            *left,
            json!({"8080/udp": [{"HostPort": "53"}], "9090/tcp": [{"HostIp": "", "HostPort": ""}]})
        );
        let mut empty = Specification {
            body: json!({}),
            env: Vec::new(),
        };
        empty.without_port(8080);
        assert_eq!(empty.body, json!({}));
    }
}
