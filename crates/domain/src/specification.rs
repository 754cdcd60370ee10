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
