//! One HTTP request, bounded in time and size, to an address that may be dialled. It follows no redirect, uses
//! no proxy and keeps no connection.

use std::{
    error::Error as _,
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{
    Client, RequestBuilder, Url,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
};
use serde_json::Value;

use crate::address::{self, Denied, GuardedResolver};

/// Most of a body that is read.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Longest text of a failure's own that is passed on.
const SAID_CHARS_MAX: usize = 160;

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the client for probes could not be made")]
pub struct Error(#[source] reqwest::Error);

/// Makes requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fetcher {
    plain: Client,
    /// Made at the first https question: it holds the system's certificates, about a megabyte.
    secure: Arc<OnceLock<Result<Client, String>>>,
}

/// What came back.
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the body was longer than what is read.
    pub(crate) cut: bool,
    /// How long we are asked to wait before the next request, in seconds.
    pub(crate) retry_after_s: Option<u64>,
}

/// How much of the body a question needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Unread,
    Read,
}

impl Fetcher {
    pub(crate) fn new() -> Result<Self, Error> {
        // The only provider that is compiled in; whoever was first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = settings().tls_certs_only([]).build().map_err(Error)?;
        Ok(Self {
            plain,
            secure: Arc::default(),
        })
    }

    /// The answer within the limit, or a sentence of why there is none.
    pub(crate) async fn get(
        &self,
        url: &str,
        body: Body,
        limit: Duration,
    ) -> Result<Fetched, String> {
        let (client, url) = self.checked(url)?;
        within(limit, read(client.get(url), body)).await
    }

    /// Replaces something at the URL by a JSON value.
    pub(crate) async fn patch(
        &self,
        url: &str,
        value: &Value,
        limit: Duration,
    ) -> Result<Fetched, String> {
        let (client, url) = self.checked(url)?;
        within(limit, read(client.patch(url).json(value), Body::Read)).await
    }

    /// Posts a JSON value, with a bearer token where there is one.
    pub(crate) async fn post(
        &self,
        url: &str,
        bearer: Option<&str>,
        value: &Value,
        limit: Duration,
    ) -> Result<Fetched, String> {
        let (client, url) = self.checked(url)?;
        // With the charset: Slack warns without.
        let kind = "application/json; charset=utf-8";
        let request = client.post(url).header(CONTENT_TYPE, kind);
        let request = match bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let request = request.body(value.to_string());
        within(limit, read(request, Body::Read)).await
    }

    /// A URL that may be asked, and who asks it.
    fn checked(&self, url: &str) -> Result<(&Client, Url), String> {
        let url: Url = url.parse().map_err(|_| "that is not a URL".to_owned())?;
        check_literal(&url).map_err(|denied| denied.to_string())?;
        Ok((self.client(&url)?, url))
    }

    fn client(&self, url: &Url) -> Result<&Client, String> {
        match url.scheme() {
            "http" => Ok(&self.plain),
            "https" => {
                let made = self
                    .secure
                    .get_or_init(|| settings().build().map_err(|error| sentence(&error)));
                made.as_ref().map_err(Clone::clone)
            }
            scheme => Err(format!("{scheme} URLs are not asked")),
        }
    }
}

fn settings() -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(concat!("sternway/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .dns_resolver(GuardedResolver)
        // A kept connection could lead to a container that has been replaced at the same address.
        .pool_max_idle_per_host(0)
}

/// A literal address never meets the resolver.
fn check_literal(url: &Url) -> Result<(), Denied> {
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    literal.parse().map_or(Ok(()), address::check)
}

async fn within(
    limit: Duration,
    asked: impl Future<Output = Result<Fetched, reqwest::Error>>,
) -> Result<Fetched, String> {
    match tokio::time::timeout(limit, asked).await {
        Ok(result) => result.map_err(|error| sentence(&error)),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs_f32())),
    }
}

async fn read(request: RequestBuilder, body: Body) -> Result<Fetched, reqwest::Error> {
    let mut response = request.send().await?;
    let mut fetched = Fetched {
        status: response.status().as_u16(),
        body: Vec::new(),
        cut: false,
        retry_after_s: response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok()),
    };
    if body == Body::Unread {
        return Ok(fetched);
    }
    while let Some(piece) = response.chunk().await? {
        let room = BODY_BYTES_MAX - fetched.body.len();
        fetched
            .body
            .extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            fetched.cut = true;
            break;
        }
    }
    Ok(fetched)
}

/// What a failed request means, in words that name neither the URL nor anything that was received.
fn sentence(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut last = String::new();
    while let Some(error) = cause {
        if let Some(denied) = error.downcast_ref::<Denied>() {
            return denied.to_string();
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return plain(&io.kind().to_string(), SAID_CHARS_MAX);
        }
        last = error.to_string();
        cause = error.source();
    }
    match last.is_empty() {
        true => "the request failed".to_owned(),
        false => format!("the request failed: {}", plain(&last, SAID_CHARS_MAX)),
    }
}

/// Without control characters, cut: fit for a report whoever wrote it.
pub(crate) fn plain(text: &str, chars_max: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(chars_max)
        .collect()
}
