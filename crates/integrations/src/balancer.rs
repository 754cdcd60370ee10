//! Balancers: where does each server send clients, and send them elsewhere. One file for each kind of balancer,
//! behind one small interface. Nothing is remembered here: whoever asks looks again.

mod caddy;
mod haproxy;

use std::{future::Future, net::SocketAddr, time::Duration};

use domain::{
    effect::{Failure, Outcome},
    front::{Balancer, Front, FrontLook},
};

use crate::fetch::{Error, Fetcher};
use caddy::Caddy;
use haproxy::Haproxy;

/// How long one answer of a balancer may take: HAProxy needs under a millisecond, Caddy reloads its whole
/// configuration at each change.
const LIMIT: Duration = Duration::from_secs(3);

/// Speaks with balancers. Cheap to clone.
#[derive(Clone)]
pub struct Balancers {
    fetcher: Fetcher,
}

/// Why a balancer could not be asked, or not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It did not answer in time: what was asked may have happened or not.
    #[error("{0}")]
    Unreachable(String),
    /// It answered no, or something that can not be understood.
    #[error("{0}")]
    Refused(String),
    /// Its configuration file is not what can be kept true.
    #[error("{0}")]
    File(String),
    /// The claim was over before the call.
    #[error("the claim on this rollback is over")]
    Fenced,
}

impl Trouble {
    /// What it means for an effect.
    #[must_use]
    pub fn into_outcome(self) -> Outcome {
        let said = self.to_string();
        match self {
            Self::Unreachable(_) => Outcome::Unknown { said },
            Self::Refused(_) | Self::File(_) => Outcome::Failed {
                failure: Failure::FrontRefused,
                said,
            },
            Self::Fenced => Outcome::Failed {
                failure: Failure::Fenced,
                said,
            },
        }
    }
}

/// Whether the claim still holds: asked right before each call that changes something.
pub type Holds<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// What every balancer can do.
trait Driver {
    /// What is true of these servers now, in the balancer and in its configuration file.
    fn look(
        &self,
        servers: &[String],
        sessions: bool,
    ) -> impl Future<Output = Result<FrontLook, Trouble>> + Send;

    /// Sends new clients of a server to `to`, then makes the configuration file say so. Doing it twice is doing
    /// it once.
    fn point(
        &self,
        server: &str,
        to: SocketAddr,
        holds: Holds<'_>,
    ) -> impl Future<Output = Result<(), Trouble>> + Send;
}

impl std::fmt::Debug for Balancers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Balancers").finish_non_exhaustive()
    }
}

impl Balancers {
    /// Ready to speak.
    ///
    /// # Errors
    /// When the HTTP client can not be made.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            fetcher: Fetcher::new()?,
        })
    }

    /// What is true of a front's servers now; with `sessions`, also what is under way at which address, which
    /// costs HAProxy a walk through all of its sessions.
    ///
    /// # Errors
    /// When the balancer does not answer, or not as it should.
    pub async fn look(&self, front: &Front, sessions: bool) -> Result<FrontLook, Trouble> {
        match &front.balancer {
            Balancer::Haproxy {
                socket,
                backend,
                file,
            } => {
                let haproxy = Haproxy::new(socket, backend, file.as_deref());
                haproxy.look(&front.servers, sessions).await
            }
            Balancer::Caddy { url } => {
                Caddy::new(&self.fetcher, url)
                    .look(&front.servers, sessions)
                    .await
            }
        }
    }

    /// Sends new clients of one server to `to`.
    ///
    /// # Errors
    /// When the balancer does not answer or refuses, its file can not be kept true, or the claim is over.
    pub async fn point(
        &self,
        front: &Front,
        server: &str,
        to: SocketAddr,
        holds: Holds<'_>,
    ) -> Result<(), Trouble> {
        match &front.balancer {
            Balancer::Haproxy {
                socket,
                backend,
                file,
            } => {
                let haproxy = Haproxy::new(socket, backend, file.as_deref());
                haproxy.point(server, to, holds).await
            }
            Balancer::Caddy { url } => {
                Caddy::new(&self.fetcher, url)
                    .point(server, to, holds)
                    .await
            }
        }
    }
}
