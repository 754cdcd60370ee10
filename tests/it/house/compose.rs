//! The two generations of Compose: 1 is the machine's own, 2 a plugin that `tests/compose2.sh` fetched.

use std::{path::PathBuf, process::Command};

/// Which Compose a project is deployed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    One,
    Two,
}

impl Generation {
    /// The first; with `STERNWAY_COMPOSE=2` every project is of the second.
    pub(crate) fn wished() -> Self {
        match std::env::var("STERNWAY_COMPOSE").as_deref() {
            Ok("2") => Self::Two,
            Ok(_) | Err(_) => Self::One,
        }
    }

    pub(crate) fn command(self) -> Command {
        match self {
            Self::One => Command::new("docker-compose"),
            Self::Two => {
                let home = home();
                let plugin = home.join(".docker/cli-plugins/docker-compose");
                assert!(
                    plugin.exists(),
                    "Compose 2 is missing: `sh tests/compose2.sh install` (needs the network once)"
                );
                let mut command = Command::new("docker");
                command.arg("compose").env("HOME", home);
                command
            }
        }
    }
}

/// The folder which, as `HOME`, gives `docker compose`.
pub(crate) fn home() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/compose2-trixie"
    ))
}
