//! The few things that Compose is asked to do: make a service's container, and make it anew. Only for giving a port to a
//! balancer and back, by a person's order on the project's host.

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use domain::{compose::ProjectRead, specification::Published};
use rustix::{fs::FlockOperation, io::FdFlags};

use super::{Call, ProjectRequest, place_of, sharing::Holders};
use crate::connect::Engine;

/// Whoever was killed in the middle of it leaves a Compose behind, which ends within its grace period and a start.
const LOCK_WAIT: Duration = Duration::from_secs(120);
/// How often it is tried again.
const LOCK_AGAIN: Duration = Duration::from_millis(100);

/// A project as Compose reads it, with what a balancer has to know of its services.
#[derive(Clone, Debug)]
pub struct ProjectFacts {
    /// Its services that are components.
    pub read: ProjectRead,
    /// The networks that each service names.
    pub networks: BTreeMap<String, Vec<String>>,
    /// The fixed ports that each service publishes.
    pub ports: BTreeMap<String, Vec<Published>>,
    /// The containers whose identity stands in the hash of a service that shares with them.
    pub(super) holders: Holders,
}

/// One at a time changes a project: a lock on its folder. Every child of ours inherits it, so that a Compose that
/// outlives us, when we are killed, is waited for.
#[derive(Debug)]
pub struct ProjectLock {
    _folder: File,
}

impl ProjectLock {
    /// Waits for whoever has it.
    ///
    /// # Errors
    /// Why it can not be had, as a sentence.
    pub async fn take(folder: &str) -> Result<Self, String> {
        let opened = File::open(folder);
        let folder_file = opened
            .map_err(|error| format!("the project's folder {folder} can not be read: {error}"))?;
        let until = Instant::now() + LOCK_WAIT;
        loop {
            let tried = rustix::fs::flock(&folder_file, FlockOperation::NonBlockingLockExclusive);
            match tried {
                Ok(()) => {
                    let kept = rustix::io::fcntl_setfd(&folder_file, FdFlags::empty());
                    kept.map_err(|error| format!("{folder} can not be locked: {error}"))?;
                    return Ok(Self {
                        _folder: folder_file,
                    });
                }
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                    tokio::time::sleep(LOCK_AGAIN).await;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(format!("somebody else changes the project in {folder}"));
                }
                Err(error) => return Err(format!("{folder} can not be locked: {error}")),
            }
        }
    }
}

impl Engine {
    /// Makes a service's container what its files say, and starts it; nothing else of the project is touched.
    ///
    /// # Errors
    /// What Compose says, as a sentence.
    pub async fn compose_up(
        &self,
        request: &ProjectRequest<'_>,
        service: &str,
        lock: &ProjectLock,
    ) -> Result<(), String> {
        let words = ["up", "-d", "--no-deps", service];
        self.compose_act(request, &words, lock).await
    }

    /// Makes a service's container what its files say, without starting it.
    ///
    /// # Errors
    /// What Compose says, as a sentence.
    pub async fn compose_create(
        &self,
        request: &ProjectRequest<'_>,
        service: &str,
        lock: &ProjectLock,
    ) -> Result<(), String> {
        let words = ["up", "--no-start", "--no-deps", service];
        self.compose_act(request, &words, lock).await
    }

    async fn compose_act(
        &self,
        request: &ProjectRequest<'_>,
        words: &[&str],
        _held: &ProjectLock,
    ) -> Result<(), String> {
        let list = self.containers_of(request.name).await?;
        let compose = self.compose_of(&list).await?;
        let (folder, place) = place_of(request)?;
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        let call = Call {
            folder: Path::new(folder),
            docker_host: self.endpoint(),
            variable: None,
            input: None,
        };
        let arguments = [&place[..], words].concat();
        compose.act(&arguments, &call).await
    }
}
