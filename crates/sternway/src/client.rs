//! The client of the HTTP API: over the server's socket on this machine, or to a URL with a token.
//! It knows no command; it turns every answer into data or into a [`Failure`] with an exit code.

pub mod answers;
pub mod events;
pub mod problem;
pub mod sse;

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use reqwest::{Method, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    cli::args::Globals,
    exit::Exit,
    out,
    state_folder::{StateFolder, Surroundings},
};
use problem::{Failure, Problem};

/// A server on this machine answers at once; one far away needs a few round trips.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The server ends a request after 15 s, and after 60 s where it is asked to wait.
const ANSWER_LIMIT: Duration = Duration::from_secs(75);
/// The longest page of a list is far below this.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How often one request is sent when its answer got lost; only requests that may be repeated are.
const TRIES_MAX: u32 = 4;

/// Code of a request whose answer got lost.
const LOST: &str = "answer_lost";

/// A server to ask.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    place: String,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `ETag`, when there is one.
    pub etag: Option<String>,
    /// `Date`: the server's clock, to the second.
    pub date: Option<String>,
    /// The body as it came; for `--json`.
    pub raw: Value,
}

impl Reply {
    /// The body as data, with every text in it made harmless for a terminal.
    ///
    /// # Errors
    /// When it is not of the expected shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let mut value = self.raw.clone();
        out::clean_json(&mut value);
        serde_json::from_value(value).map_err(|error| {
            let what = format!("the server's answer is not understood: {error}");
            Failure::new(
                Exit::Internal,
                what,
                &["compare `sternway version` with the server's: they may be too far apart"],
            )
        })
    }
}

/// What goes with a request beside its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    /// `Idempotency-Key`: the request may be repeated until its answer arrives.
    pub idempotency_key: Option<&'a str>,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
}

impl Client {
    /// The server that the flags and the environment name: a URL, else this machine's socket.
    ///
    /// # Errors
    /// When the token can not be read or no place for a socket is known.
    pub fn new(globals: &Globals) -> Result<Self, Failure> {
        if let Some(url) = &globals.url {
            return Self::at_url(url, token()?);
        }
        Self::at_socket(&StateFolder::socket_in(&state_folder(globals)?))
    }

    /// The server behind a socket. Who asks is known by the socket itself, so there is no token.
    ///
    /// # Errors
    /// When no client can be built.
    pub fn at_socket(socket: &Path) -> Result<Self, Failure> {
        let http = built(builder().unix_socket(socket).no_proxy())?;
        Ok(Self {
            http,
            base: "http://localhost".to_owned(),
            token: None,
            place: socket.display().to_string(),
        })
    }

    /// The server at a URL.
    ///
    /// # Errors
    /// When it is not a URL.
    pub fn at_url(url: &str, token: Option<String>) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let what = format!(
                "the server's address `{}` is not usable: {why}",
                out::one_line(url)
            );
            Failure::new(
                Exit::Usage,
                what,
                &[
                    "write it like https://sternway.example or http://127.0.0.1:7423 (STERNWAY_URL, --url)",
                ],
            )
        };
        let parsed = reqwest::Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err(wrong(
                "it must begin with http:// or https:// and name a host",
            ));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong(
                "it must not hold a password; give a token in STERNWAY_TOKEN_FILE",
            ));
        }
        let near = matches!(parsed.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        let http = built(if near {
            builder().no_proxy()
        } else {
            builder()
        })?;
        let base = url.trim_end_matches('/').to_owned();
        Ok(Self {
            http,
            place: base.clone(),
            base,
            token,
        })
    }

    /// Where the server is, for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Reads.
    ///
    /// # Errors
    /// When the server can not be reached or says no.
    pub async fn get(&self, path: &str) -> Result<Reply, Failure> {
        self.send(Method::GET, path, None::<&()>, Conditions::default())
            .await
    }

    /// Creates or asks for something. Sent once, unless there is an idempotency key.
    ///
    /// # Errors
    /// When the server can not be reached or says no.
    pub async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        conditions: Conditions<'_>,
    ) -> Result<Reply, Failure> {
        self.send(Method::POST, path, Some(body), conditions).await
    }

    /// Any request. What may be repeated is, while its answer gets lost.
    ///
    /// # Errors
    /// When the server can not be reached or says no.
    pub async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
        conditions: Conditions<'_>,
    ) -> Result<Reply, Failure> {
        let repeatable = method != Method::POST || conditions.idempotency_key.is_some();
        let mut tries = 1;
        loop {
            match self.try_once(&method, path, body, conditions).await {
                Err(failure)
                    if repeatable
                        && tries < TRIES_MAX
                        && failure.problem.code.as_deref() == Some(LOST) =>
                {
                    tokio::time::sleep(Duration::from_millis(150) * tries).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn try_once<B: Serialize>(
        &self,
        method: &Method,
        path: &str,
        body: Option<&B>,
        conditions: Conditions<'_>,
    ) -> Result<Reply, Failure> {
        let mut request = self.request(method.clone(), path).timeout(ANSWER_LIMIT);
        let headers = [
            ("idempotency-key", conditions.idempotency_key),
            ("if-match", conditions.if_match),
            ("if-none-match", conditions.if_none_match),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        self.reply(response).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header(header::ACCEPT, "application/json");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn reply(&self, response: Response) -> Result<Reply, Failure> {
        let status = response.status();
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(out::one_line)
        };
        let (etag, date, request_id) = (header("etag"), header("date"), header("x-request-id"));
        let bytes = self.body(response).await?;
        let raw = serde_json::from_slice(&bytes);
        if status.is_success() {
            let raw = if bytes.is_empty() {
                Ok(Value::Null)
            } else {
                raw
            };
            let raw = raw.map_err(|error| self.strange(status, &format!("no JSON: {error}")))?;
            return Ok(Reply {
                status: status.as_u16(),
                etag,
                date,
                raw,
            });
        }
        Err(self.refusal(status, raw.unwrap_or_default(), request_id))
    }

    fn refusal(&self, status: StatusCode, mut body: Value, request_id: Option<String>) -> Failure {
        out::clean_json(&mut body);
        let mut problem: Problem = serde_json::from_value(body).unwrap_or_default();
        if problem.title.is_empty() && problem.detail.is_none() {
            problem.detail = Some(format!(
                "the server at {} answered {status} without saying why",
                self.place
            ));
        }
        problem.status = status.as_u16();
        problem.request_id = problem.request_id.or(request_id);
        if status == StatusCode::UNAUTHORIZED {
            problem.next_actions.clear();
            problem.next_actions.push("put a valid token into STERNWAY_TOKEN, or its file's name into STERNWAY_TOKEN_FILE".to_owned());
        }
        Failure::of(problem)
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(self.strange(response.status(), "too long an answer"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn strange(&self, status: StatusCode, why: &str) -> Failure {
        let what = format!(
            "what answers at {} is not a Sternway server: {status}, {why}",
            self.place
        );
        Failure::new(
            Exit::Unreachable,
            what,
            &["correct STERNWAY_URL (or --url)"],
        )
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let what = format!("the server at {} can not be reached: {cause}", self.place);
        let local = "start it with `sternway serve`, or name another one in STERNWAY_URL; `sternway doctor` looks further";
        let mut failure = Failure::new(Exit::Unreachable, what, &[local]);
        // Nobody there is said at once; an answer that was cut off may be had by asking again.
        failure.problem.code = (!error.is_connect()).then(|| LOST.to_owned());
        failure
    }
}

/// The folder of the server of this machine.
///
/// # Errors
/// When nothing says where it could be.
pub fn state_folder(globals: &Globals) -> Result<std::path::PathBuf, Failure> {
    let mut surroundings = Surroundings::of_process();
    if let Some(chosen) = &globals.state_dir {
        surroundings.state_dir = Some(chosen.clone().into_os_string());
    }
    surroundings
        .locate()
        .map_err(|error| Failure::new(Exit::Usage, error.to_string(), &[]))
}

fn builder() -> reqwest::ClientBuilder {
    // Installed by whoever comes first; a second installation is refused and that is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("sternway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
    builder.build().map_err(|error| {
        Failure::new(
            Exit::Internal,
            format!("no HTTP client could be made: {error}"),
            &[],
        )
    })
}

/// The token, from the environment or from a file that only its owner can read.
fn token() -> Result<Option<String>, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(token) = variable("STERNWAY_TOKEN") {
        return well_formed(&token).map(Some);
    }
    let Some(path) = variable("STERNWAY_TOKEN_FILE") else {
        return Ok(None);
    };
    token_in(Path::new(&path)).map(Some)
}

fn token_in(path: &Path) -> Result<String, Failure> {
    let unreadable = |error: std::io::Error| {
        let what = format!(
            "the token file `{}` can not be read: {error}",
            path.display()
        );
        Failure::new(Exit::Usage, what, &["correct STERNWAY_TOKEN_FILE"])
    };
    let facts = fs::metadata(path).map_err(unreadable)?;
    if facts.mode() & 0o077 != 0 {
        let what = format!("the token file `{}` can be read by others", path.display());
        let next = format!(
            "chmod 600 {}; if others may have read it, revoke the token",
            path.display()
        );
        return Err(Failure::new(Exit::Usage, what, &[&next]));
    }
    well_formed(&fs::read_to_string(path).map_err(unreadable)?)
}

fn well_formed(token: &str) -> Result<String, Failure> {
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = "the token is empty or holds characters that no token has";
        return Err(Failure::new(
            Exit::Usage,
            what,
            &["put it into STERNWAY_TOKEN or STERNWAY_TOKEN_FILE exactly as it was shown"],
        ));
    }
    Ok(token.to_owned())
}

/// One segment of a path, with everything encoded that could mean something else there.
#[must_use]
pub fn segment(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut path, byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
            path
        })
}

#[cfg(test)]
mod tests;
