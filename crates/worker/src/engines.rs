//! The engines that applications name, connected once each.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use docker::Engine;

/// Engines by the name that an application's definition uses.
#[derive(Debug)]
pub struct Engines {
    local: String,
    connected: Mutex<HashMap<String, Engine>>,
}

impl Engines {
    /// `local` is the endpoint that applications mean by `local`, such as `unix:///var/run/docker.sock`.
    #[must_use]
    pub fn new(local: String) -> Self {
        Self {
            local,
            connected: Mutex::new(HashMap::new()),
        }
    }

    /// The engine of that name. Connecting is lazy: an engine that is away is an error of its first call.
    ///
    /// # Errors
    /// When the name is not an endpoint.
    pub fn get(&self, name: &str) -> Result<Engine, docker::Error> {
        let endpoint = if name == "local" { &self.local } else { name };
        let mut connected = self
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = connected.get(endpoint) {
            return Ok(engine.clone());
        }
        let engine = Engine::connect(endpoint)?;
        connected.insert(endpoint.to_owned(), engine.clone());
        Ok(engine)
    }
}
