//! What could be asked of a component that nobody has defined probes for. It only asks; nothing is decided.

use std::{net::IpAddr, net::SocketAddr, time::Duration};

use domain::{
    name::{ComponentName, Version},
    probe::{Probe, VersionEndpoint},
};
use futures_util::{StreamExt, stream};

use crate::{
    fetch::Body,
    probe::{Prober, connect, reported_version},
};

/// Where applications usually say that they are well; the first that answers is taken.
const HEALTH_PATHS: [&str; 3] = ["/health", "/healthz", "/api/health"];
/// Where applications usually say which version they are.
const VERSION_PATHS: [&str; 2] = ["/api/version", "/version"];
/// Fields of a JSON answer that hold a version.
const VERSION_FIELDS: [&str; 3] = ["version", "app_version", "build.version"];
/// Who answers this with a yes says yes to everything, and its yes to `/health` means nothing.
const NO_SUCH_PATH: &str = "/sternway-asks-whether-every-path-is-fine";
/// A component that is asked for the first time may be slow.
const LIMIT: Duration = Duration::from_secs(2);
/// Ports asked at a time.
const AT_A_TIME: usize = 16;

/// A port that may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The component.
    pub component: ComponentName,
    /// The address of one of its replicas.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// What answered at a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The component.
    pub component: ComponentName,
    /// Probes that are green now.
    pub probes: Vec<Probe>,
    /// Where it says its version.
    pub version_endpoint: Option<VersionEndpoint>,
    /// What it says there.
    pub says: Option<Version>,
}

impl Prober {
    /// Asks every candidate; one suggestion for each component of which some port answers.
    pub async fn suggest(&self, candidates: &[Candidate]) -> Vec<Suggestion> {
        // Collected first, as in `ask`: a lazy closure would make the future not general enough to be `Send`.
        let asked: Vec<_> = candidates
            .iter()
            .map(|candidate| self.suggest_one(candidate))
            .collect();
        let found: Vec<Option<Suggestion>> =
            stream::iter(asked).buffered(AT_A_TIME).collect().await;
        let mut merged: Vec<Suggestion> = Vec::new();
        for suggestion in found.into_iter().flatten() {
            match merged
                .iter_mut()
                .find(|known| known.component == suggestion.component)
            {
                Some(known) => {
                    known.probes.extend(suggestion.probes);
                    if known.version_endpoint.is_none() {
                        known.version_endpoint = suggestion.version_endpoint;
                        known.says = suggestion.says;
                    }
                }
                None => merged.push(suggestion),
            }
        }
        merged
    }

    async fn suggest_one(&self, candidate: &Candidate) -> Option<Suggestion> {
        connect(candidate.address, candidate.port, LIMIT)
            .await
            .ok()?;
        let port = candidate.port;
        let mut suggestion = Suggestion {
            component: candidate.component.clone(),
            probes: Vec::new(),
            version_endpoint: None,
            says: None,
        };
        if !self.is_well(candidate, NO_SUCH_PATH).await {
            for path in HEALTH_PATHS {
                if self.is_well(candidate, path).await {
                    suggestion.probes.push(Probe::Http {
                        port,
                        path: path.to_owned(),
                        status: None,
                        contains: None,
                    });
                    break;
                }
            }
        }
        if suggestion.probes.is_empty() {
            suggestion.probes.push(Probe::Tcp { port });
        }
        for path in VERSION_PATHS {
            if let Some((field, says)) = self.version_field(candidate, path).await {
                suggestion.says = Some(says);
                suggestion.version_endpoint = Some(VersionEndpoint {
                    port,
                    path: path.to_owned(),
                    field,
                });
                break;
            }
        }
        Some(suggestion)
    }

    async fn is_well(&self, candidate: &Candidate, path: &str) -> bool {
        let answer = self
            .fetcher
            .get(&url(candidate, path), Body::Unread, LIMIT)
            .await;
        answer.is_ok_and(|fetched| (200..300).contains(&fetched.status))
    }

    /// The field that holds the version, the whole body being none, and what it holds; nothing when there is no version.
    async fn version_field(
        &self,
        candidate: &Candidate,
        path: &str,
    ) -> Option<(Option<String>, Version)> {
        let fetched = self
            .fetcher
            .get(&url(candidate, path), Body::Read, LIMIT)
            .await
            .ok()?;
        if !(200..300).contains(&fetched.status) {
            return None;
        }
        let version = |field: Option<&str>| -> Option<Version> {
            reported_version(&fetched, field).ok()?.parse().ok()
        };
        VERSION_FIELDS
            .into_iter()
            .find_map(|field| Some((Some(field.to_owned()), version(Some(field))?)))
            .or_else(|| Some((None, version(None)?)))
    }
}

fn url(candidate: &Candidate, path: &str) -> String {
    format!(
        "http://{}{path}",
        SocketAddr::new(candidate.address, candidate.port)
    )
}
