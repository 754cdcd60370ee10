//! The engine's own JSON. bollard's types know the fields of one version of the API and drop all others without a
//! word: what an operator set there would be lost in a copy. So inspections that copies are made from are read
//! whole, and a creation is sent whole.

use std::time::Duration;

use bollard::{errors::Error as Call, models::ContainerInspectResponse};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::{
    connect::{Engine, ORDINARY, SLOW},
    error::{Error, Kind},
};

/// An inspection has kilobytes; one with ten thousand labels has a megabyte.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// An inspection as the engine said it, and what our client library understands of it.
#[derive(Clone, Debug)]
pub(crate) struct Inspection {
    /// Everything.
    pub(crate) raw: Value,
    /// What is typed of it.
    pub(crate) known: ContainerInspectResponse,
}

impl Engine {
    /// A container's inspection, whole; none when there is no such container.
    pub(crate) async fn inspection(&self, container: &str) -> Result<Option<Inspection>, Error> {
        let what = format!("inspect container {container}");
        let path = format!("/containers/{}/json", segment(container)?);
        let Some(raw) = found(self.ask(&what, ORDINARY, Method::GET, &path, None).await)? else {
            return Ok(None);
        };
        let known = serde_json::from_value(raw.clone())
            .map_err(|err| Error::of(&what, Call::JsonSerdeError { err }))?;
        Ok(Some(Inspection { raw, known }))
    }

    /// An image's inspection, whole; none when there is no such image.
    pub(crate) async fn image_raw(&self, image: &str) -> Result<Option<Value>, Error> {
        let what = format!("inspect image {image}");
        let path = format!("/images/{}/json", segment(image)?);
        found(self.ask(&what, ORDINARY, Method::GET, &path, None).await)
    }

    /// Creates a container from a body of ours, with fields that only this engine knows. Its identity.
    pub(crate) async fn create_raw(&self, name: &str, body: &Value) -> Result<String, Error> {
        let what = format!("create container {name}");
        let path = format!("/containers/create?name={}", segment(name)?);
        let created = self
            .ask(&what, SLOW, Method::POST, &path, Some(body))
            .await?;
        let id = created.get("Id").and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| {
            Error::new(
                Kind::Unreadable,
                format!("{what}: the engine's answer has no identity"),
            )
        })
    }

    async fn ask(
        &self,
        what: &str,
        limit: Duration,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let socket = self.socket().to_owned();
        let (path, body) = (path.to_owned(), body.map(ToString::to_string));
        self.call(what, limit, |_| async move {
            exchange(&socket, method, &path, body.unwrap_or_default()).await
        })
        .await
    }
}

/// One request on a connection of its own: the engine is a socket away, and nothing is left open.
async fn exchange(socket: &str, method: Method, path: &str, body: String) -> Result<Value, Call> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|_| Call::SocketNotFoundError(socket.to_owned()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "docker")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let bytes = body
            .collect()
            .await
            .map_err(|error| std::io::Error::other(error.to_string()))?
            .to_bytes();
        if status.is_success() {
            return Ok(serde_json::from_slice(&bytes)?);
        }
        Err(Call::DockerResponseServerError {
            status_code: status.as_u16(),
            message: message(&bytes),
        })
    };
    // The connection is driven while the answer is awaited, and dropped with it.
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        Err(error) = connection => Err(error.into()),
    }
}

fn found(answer: Result<Value, Error>) -> Result<Option<Value>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == Kind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// An engine answers a refusal with `{"message": "..."}`.
fn message(bytes: &[u8]) -> String {
    let said = serde_json::from_slice::<Value>(bytes).ok();
    let said = said.and_then(|said| Some(said.get("message")?.as_str()?.to_owned()));
    said.unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
}

/// A name as one part of a path: what no name holds must not turn it into another one.
fn segment(name: &str) -> Result<&str, Error> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-:".contains(&b);
    if !name.is_empty() && name != "." && name != ".." && name.bytes().all(legal) {
        return Ok(name);
    }
    Err(Error::new(
        Kind::Refused,
        "a container or image is named by letters, digits, `.`, `_`, `-` and `:`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_becomes_another_path() {
        for bad in ["", "..", ".", "a/b", "a?x=1", "a b", "ä", "a%2f"] {
            assert!(segment(bad).is_err(), "{bad}");
        }
        for good in ["shop_web_1.next-0123456789ab", "sha256:0123"] {
            assert!(segment(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_an_engine_says_is_taken_out_of_its_wrapping() {
        assert_eq!(
            message(br#"{"message":"No such container: x"}"#),
            "No such container: x"
        );
        assert_eq!(message(b"bad gateway"), "bad gateway");
    }
}
