//! Extractors that parse at the door and say which field is wrong. None of them reads the store.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{HeaderMap, header, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::problem::{Code, FieldError, Problem};

/// Longest request body. The largest honest one, a definition with 64 components, is some 30 KiB.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a body may take to arrive: 64 KiB at 6.5 KiB/s.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body.
pub(crate) struct Input<T>(pub(crate) T);

/// A JSON body together with its bytes, for those who compare requests.
pub(crate) struct InputWithBytes<T>(pub(crate) T, pub(crate) Bytes);

/// Parameters of the path.
pub(crate) struct At<T>(pub(crate) T);

/// Parameters of the query.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let InputWithBytes(value, _) = InputWithBytes::from_request(request, state).await?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for InputWithBytes<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        is_json(request.headers())?;
        is_short(request.headers())?;
        let reading = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state));
        let bytes = match reading.await {
            Err(_) => return Err(Problem::body_too_slow(BODY_TIMEOUT.as_secs())),
            Ok(Err(rejection)) => return Err(unread(&rejection)),
            Ok(Ok(bytes)) => bytes,
        };
        Ok(Self(parse(&bytes)?, bytes))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::parameter("path", rejection.body_text())),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let said = rejection.body_text();
                let said = said.trim_start_matches("Failed to deserialize query string: ");
                let (name, what) = said.split_once(": ").unwrap_or(("query", said));
                Err(Problem::parameter(name, what))
            }
        }
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    let essence = given
        .and_then(|given| given.split(';').next())
        .map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        Ok(())
    } else {
        Err(Problem::media_type(given))
    }
}

/// What announces that it is too long is refused before it comes.
fn is_short(headers: &HeaderMap) -> Result<(), Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > BODY_BYTES_MAX as u64 => {
            Err(Problem::body_too_large(BODY_BYTES_MAX))
        }
        Some(_) | None => Ok(()),
    }
}

/// A body that is too long and one that broke off are told apart by the limit's own error.
fn unread(rejection: &BytesRejection) -> Problem {
    if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::body_too_large(BODY_BYTES_MAX);
    }
    Problem::malformed_json("it broke off").header("connection", "close")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        wrong(&path, error.inner())
    })?;
    reader
        .end()
        .map_err(|error| Problem::malformed_json(&error.to_string()))?;
    Ok(value)
}

fn wrong(path: &str, error: &serde_json::Error) -> Problem {
    match error.classify() {
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => Problem::malformed_json(&error.to_string()),
        serde_json::error::Category::Data => {
            let said = error.to_string();
            let what = said
                .rsplit_once(" at line ")
                .map_or(said.as_str(), |(what, _)| what);
            let field = named(path, what);
            Problem::fields([FieldError {
                field,
                what: what.to_owned(),
            }])
        }
    }
}

/// The path of the field; for an unknown or missing one serde stops at its parent and names it in the text.
fn named(path: &str, what: &str) -> String {
    let parent = if path == "." { "" } else { path };
    let of_parent = ["unknown field `", "missing field `", "duplicate field `"];
    let child = of_parent
        .iter()
        .find_map(|start| what.strip_prefix(start))
        .and_then(|rest| rest.split('`').next());
    match child {
        Some(child) if parent.is_empty() || parent == child => child.to_owned(),
        Some(child) if parent.ends_with(&format!(".{child}")) => parent.to_owned(),
        Some(child) => format!("{parent}.{child}"),
        None if parent.is_empty() => "body".to_owned(),
        None => parent.to_owned(),
    }
}

/// One header's text, when it is there and readable.
pub(crate) fn header_text<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::parameter(name, "is given more than once"));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| Problem::parameter(name, "is not visible ASCII"))
}

impl Problem {
    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::application::Application;

    fn problem(body: &str) -> Problem {
        parse::<Application>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_wrong_field_is_named_with_its_path() {
        let cases = [
            (r#"{"name":"Shop"}"#, "name"),
            (r#"{"nam":"shop"}"#, "nam"),
            (
                r#"{"name":"shop","environment":"p","components":[{"name":"api","prob":1}]}"#,
                "components[0].prob",
            ),
            (
                r#"{"name":"shop","environment":"p","components":[{}]}"#,
                "components[0].name",
            ),
            (
                r#"{"name":"shop","environment":"p","watch_window_s":"x","components":[]}"#,
                "watch_window_s",
            ),
            (r#"[]"#, "body"),
        ];
        for (body, field) in cases {
            let problem = problem(body);
            assert_eq!(
                (problem.code, problem.errors[0].field.as_str()),
                (Code::InvalidFields, field),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        for body in ["", "{", "{]", "nul", "{}x", &"[".repeat(60_000)] {
            assert!(
                [Code::MalformedJson, Code::InvalidFields].contains(&problem(body).code),
                "{body:.9}"
            );
        }
        assert_eq!(problem("{").code, Code::MalformedJson);
    }
}
