//! The binary: the process, its settings, its own rooms (state folder, embedded Postgres, logs) and the
//! commands. Nothing here decides about a rollback.

pub mod cli;
pub mod client;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod out;
pub mod postgres;
pub mod progress;
pub mod serve;
pub mod state_folder;
pub mod telemetry;

/// Version of this binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod test_folder;
