//! Caddy, by its admin API: the `dial` of one upstream is replaced. Each change reloads Caddy's whole
//! configuration; requests under way go on, and Caddy does not tell of them.

use std::{collections::BTreeMap, net::SocketAddr};

use domain::{
    front::{FrontLook, FrontServer},
    seen::Seen,
};
use serde_json::Value;

use super::{Driver, Holds, LIMIT, Trouble};
use crate::fetch::{Body, Fetched, Fetcher, plain};

/// Longest answer that is repeated to people.
const SAID_CHARS_MAX: usize = 160;

pub(super) struct Caddy<'a> {
    fetcher: &'a Fetcher,
    url: &'a str,
}

impl<'a> Caddy<'a> {
    pub(super) fn new(fetcher: &'a Fetcher, url: &'a str) -> Self {
        Self {
            fetcher,
            url: url.trim_end_matches('/'),
        }
    }

    fn dial_of(&self, server: &str) -> String {
        format!("{}{server}/dial", self.url)
    }

    fn unreachable(&self, why: &str) -> Trouble {
        Trouble::Unreachable(format!("Caddy does not answer at {}: {why}", self.url))
    }

    /// The `dial` of an upstream; none when there is no such upstream.
    async fn dial(&self, server: &str) -> Result<Option<String>, Trouble> {
        let url = self.dial_of(server);
        let fetched = self.fetcher.get(&url, Body::Read, LIMIT).await;
        let fetched = fetched.map_err(|why| self.unreachable(&why))?;
        let value: Option<Value> = serde_json::from_slice(&fetched.body).ok();
        match (fetched.status, value) {
            (200, Some(Value::String(dial))) => Ok(Some(dial)),
            (200, Some(Value::Null)) => Ok(None),
            (_, Some(Value::Object(problem))) if is_no_such_path(&problem) => Ok(None),
            (_, _) => Err(Trouble::Refused(format!(
                "Caddy answers {server}/dial with {}",
                said(&fetched)
            ))),
        }
    }
}

impl Driver for Caddy<'_> {
    async fn look(&self, servers: &[String], _sessions: bool) -> Result<FrontLook, Trouble> {
        let mut found = BTreeMap::new();
        for name in servers {
            let Some(dial) = self.dial(name).await? else {
                continue;
            };
            let server = FrontServer {
                address: dial.strip_prefix("tcp/").unwrap_or(&dial).parse().ok(),
                takes: true,
                up: true,
                filed: None,
                sessions: Seen::Unknown(
                    "Caddy does not tell of requests at an address that it no longer uses"
                        .to_owned(),
                ),
            };
            found.insert(name.clone(), server);
        }
        Ok(FrontLook { servers: found })
    }

    async fn point(&self, server: &str, to: SocketAddr, holds: Holds<'_>) -> Result<(), Trouble> {
        // Each change is a reload, so one that changes nothing is left out.
        if self.dial(server).await?.as_deref() == Some(to.to_string().as_str()) {
            return Ok(());
        }
        if !holds() {
            return Err(Trouble::Fenced);
        }
        let (url, dial) = (self.dial_of(server), Value::String(to.to_string()));
        let fetched = self.fetcher.patch(&url, &dial, LIMIT).await;
        let fetched = fetched.map_err(|why| self.unreachable(&why))?;
        if fetched.status == 200 {
            return Ok(());
        }
        Err(Trouble::Refused(format!(
            "Caddy refuses to change {server}/dial: {}",
            said(&fetched)
        )))
    }
}

/// What Caddy says of a path that leads nowhere, with a status that differs between versions.
fn is_no_such_path(problem: &serde_json::Map<String, Value>) -> bool {
    let error = problem.get("error").and_then(Value::as_str);
    error.is_some_and(|error| {
        [
            "unknown object ID",
            "invalid traversal path",
            "array index out of bounds",
        ]
        .iter()
        .any(|known| error.contains(known))
    })
}

fn said(fetched: &Fetched) -> String {
    let text = String::from_utf8_lossy(&fetched.body);
    format!(
        "status {}: {}",
        fetched.status,
        plain(text.trim(), SAID_CHARS_MAX)
    )
}
