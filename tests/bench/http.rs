//! As much HTTP/1.1 as a benchmark needs, over TCP or a unix socket: one request, one answer, one connection. Own
//! code, so that what a client sees is measured and not what a library's pool makes of it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;

use crate::Outcome;

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Socket(PathBuf),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Reading and writing, whatever the kind of connection.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// One request. `limit` is for each read and write, and for connecting over TCP.
pub(crate) fn ask(
    place: &Place,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
    limit: Duration,
) -> io::Result<Answer> {
    let mut stream: Box<dyn Stream> = match place {
        Place::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, limit)?;
            stream.set_read_timeout(Some(limit))?;
            stream.set_write_timeout(Some(limit))?;
            Box::new(stream)
        }
        Place::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(limit))?;
            stream.set_write_timeout(Some(limit))?;
            Box::new(stream)
        }
    };
    let kind = if body.is_empty() {
        ""
    } else {
        "content-type: application/json\r\n"
    };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{kind}content-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &bytes[end + 4..];
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    Some(Answer {
        status,
        body: if chunked {
            unchunked(rest)?
        } else {
            rest.to_vec()
        },
    })
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

/// Somebody to talk JSON with.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) place: Place,
    /// Goes before every path.
    pub(crate) base: &'static str,
    pub(crate) limit: Duration,
}

impl Api {
    pub(crate) fn get(&self, path: &str) -> Outcome<Value> {
        self.ask("GET", path, "", None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.ask("POST", path, "", Some(body))
    }

    /// What is answered; an error status is an error that says what was answered.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<&Value>,
    ) -> Outcome<Value> {
        let text = body.map_or_else(String::new, Value::to_string);
        let whole = format!("{}{path}", self.base);
        let answer = ask(&self.place, method, &whole, headers, &text, self.limit)
            .map_err(|error| format!("{method} {whole}: {error}"))?;
        if answer.status >= 400 {
            return Err(format!(
                "{method} {whole}: {} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            )
            .into());
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }
}
