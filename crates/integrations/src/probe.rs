//! Questions and their answers. Bodies are looked at and never repeated.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use domain::probe::{Answer, Ask, Question};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{
    address,
    fetch::{BODY_BYTES_MAX, Body, Error, Fetched, Fetcher, plain},
};

/// How long one answer may take: a probe that is slower than that is not serving.
pub const ASK_LIMIT: Duration = Duration::from_secs(1);
/// Questions under way at a time.
const AT_A_TIME: usize = 64;
/// Longest reported version that is repeated.
const VERSION_CHARS_MAX: usize = 64;

/// Asks questions of the world. Cheap to clone.
#[derive(Clone)]
pub struct Prober {
    pub(crate) fetcher: Fetcher,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Prober").finish_non_exhaustive()
    }
}

impl Prober {
    /// A prober. It makes `ring` the process's TLS provider unless there is one.
    ///
    /// # Errors
    /// When the client can not be made.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            fetcher: Fetcher::new()?,
        })
    }

    /// Answers in the order of the questions, all asked at once, each within the limit.
    pub async fn ask(&self, questions: &[Question], limit: Duration) -> Vec<Answer> {
        // Collected first: a lazy closure over borrowed questions makes the future not general enough to be `Send`.
        let answers: Vec<_> = questions
            .iter()
            .map(|question| self.answer(question, limit))
            .collect();
        stream::iter(answers).buffered(AT_A_TIME).collect().await
    }

    async fn answer(&self, question: &Question, limit: Duration) -> Answer {
        let said = match &question.ask {
            Ask::Http {
                url,
                status,
                contains,
            } => self.http(url, *status, contains.as_deref(), limit).await,
            Ask::Version {
                url,
                field,
                expected,
            } => self.version(url, field.as_deref(), expected, limit).await,
            Ask::Tcp { address, port } => {
                let connected = connect(*address, *port, limit).await;
                connected.map_err(Red::silence)
            }
        };
        let (green, spoke, said) = match said {
            Ok(said) => (true, true, said),
            Err(red) => (false, red.spoke, red.said),
        };
        Answer {
            subject: question.subject.clone(),
            asked: question.ask.words(),
            green,
            said,
            spoke,
        }
    }

    async fn http(
        &self,
        url: &str,
        status: Option<u16>,
        contains: Option<&str>,
        limit: Duration,
    ) -> Result<String, Red> {
        let body = if contains.is_some() {
            Body::Read
        } else {
            Body::Unread
        };
        let fetched = self.fetcher.get(url, body, limit).await;
        let fetched = fetched.map_err(Red::silence)?;
        expect_status(fetched.status, status)?;
        let Some(text) = contains else {
            return Ok(format!("status {}", fetched.status));
        };
        if String::from_utf8_lossy(&fetched.body).contains(text) {
            Ok(format!("status {}, with the expected text", fetched.status))
        } else if fetched.cut {
            Err(Red::word(format!(
                "status {}, without the expected text in the first {} KiB",
                fetched.status,
                BODY_BYTES_MAX >> 10
            )))
        } else {
            Err(Red::word(format!(
                "status {}, without the expected text",
                fetched.status
            )))
        }
    }

    async fn version(
        &self,
        url: &str,
        field: Option<&str>,
        expected: &str,
        limit: Duration,
    ) -> Result<String, Red> {
        let fetched = self.fetcher.get(url, Body::Read, limit).await;
        let fetched = fetched.map_err(Red::silence)?;
        expect_status(fetched.status, None)?;
        let reported = reported_version(&fetched, field).map_err(Red::word)?;
        if reported == expected {
            Ok(format!("it says {expected}"))
        } else {
            Err(Red::word(format!(
                "it says {}, expected {expected}",
                plain(&reported, VERSION_CHARS_MAX)
            )))
        }
    }
}

/// An answer that is not as expected.
struct Red {
    said: String,
    /// Whether it is the application's own word.
    spoke: bool,
}

impl Red {
    fn silence(said: String) -> Self {
        Self { said, spoke: false }
    }

    fn word(said: String) -> Self {
        Self { said, spoke: true }
    }
}

fn expect_status(status: u16, expected: Option<u16>) -> Result<(), Red> {
    let wanted = match expected {
        Some(expected) if status != expected => expected.to_string(),
        None if !(200..300).contains(&status) => "2xx".to_owned(),
        Some(_) | None => return Ok(()),
    };
    Err(Red {
        said: format!("status {status}, expected {wanted}"),
        // Bad gateway, unavailable, gateway time-out: something behind it can not be reached.
        spoke: !(502..=504).contains(&status),
    })
}

/// The version that an answer reports: a field of its JSON, or all of it.
pub(crate) fn reported_version(fetched: &Fetched, field: Option<&str>) -> Result<String, String> {
    if fetched.cut {
        return Err(format!(
            "the answer is longer than {} KiB",
            BODY_BYTES_MAX >> 10
        ));
    }
    let Some(field) = field else {
        return Ok(String::from_utf8_lossy(&fetched.body).trim().to_owned());
    };
    let value: Value =
        serde_json::from_slice(&fetched.body).map_err(|_| "the answer is not JSON".to_owned())?;
    match find(&value, field) {
        Some(Value::String(version)) => Ok(version.clone()),
        Some(Value::Number(version)) => Ok(version.to_string()),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            Err(format!("field `{field}` of the answer is not a text"))
        }
        None => Err(format!("the answer has no field `{field}`")),
    }
}

/// `build.version` is the field of that name, or else the `version` of the `build`.
fn find<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    if let Some(found) = value.get(field) {
        return Some(found);
    }
    let (head, rest) = field.split_once('.')?;
    find(value.get(head)?, rest)
}

pub(crate) async fn connect(address: IpAddr, port: u16, limit: Duration) -> Result<String, String> {
    address::check(address).map_err(|denied| denied.to_string())?;
    match tokio::time::timeout(limit, TcpStream::connect(SocketAddr::new(address, port))).await {
        Ok(Ok(_)) => Ok("it accepts connections".to_owned()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err("connection refused".to_owned())
        }
        Ok(Err(error)) => Err(format!("no connection: {}", error.kind())),
        Err(_) => Err(format!("no connection within {} s", limit.as_secs_f32())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(body: &str, field: Option<&str>) -> Result<String, String> {
        reported_version(
            &Fetched {
                status: 200,
                body: body.as_bytes().to_vec(),
                cut: false,
                retry_after_s: None,
            },
            field,
        )
    }

    #[test]
    fn a_version_is_found_where_the_definition_says() {
        assert_eq!(version("  1.4.2\n", None).unwrap(), "1.4.2");
        assert_eq!(
            version(r#"{"version":"1.4.2"}"#, Some("version")).unwrap(),
            "1.4.2"
        );
        assert_eq!(
            version(r#"{"build":{"version":7}}"#, Some("build.version")).unwrap(),
            "7"
        );
        assert_eq!(
            version(r#"{"build.version":"dotted"}"#, Some("build.version")).unwrap(),
            "dotted"
        );
    }

    #[test]
    fn what_is_no_version_is_said_without_the_body() {
        assert_eq!(
            version("<html>", Some("version")).unwrap_err(),
            "the answer is not JSON"
        );
        assert_eq!(
            version("{}", Some("version")).unwrap_err(),
            "the answer has no field `version`"
        );
        assert_eq!(
            version(r#"{"version":["1"]}"#, Some("version")).unwrap_err(),
            "field `version` of the answer is not a text"
        );
    }
}
