//! HTTP/1.1 as bytes, over TCP or a unix socket: small enough to send what no decent client would.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;

/// Who answers.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A port of this machine.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Fails unless it is a problem of this status and code, with an answer that says what to do.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        let problem = self.clone().expect(status).json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(problem["type"], format!("/problems/{code}"));
        let speaks = |field: &str| problem[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(speaks("title") && speaks("detail"), "{problem}");
        problem
    }
}

/// Either kind of connection.
pub(crate) trait Stream: Read + Write + Send {}

impl Stream for TcpStream {}

impl Stream for UnixStream {}

impl Place {
    /// A connection whose every read and write ends within `limit`.
    pub(crate) fn connect(&self, limit: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, limit)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))?;
                Box::new(stream)
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))?;
                Box::new(stream)
            }
        })
    }

    /// Sends these very bytes and reads one answer.
    pub(crate) fn raw(&self, bytes: &[u8], limit: Duration) -> io::Result<Reply> {
        let mut stream = self.connect(limit)?;
        // A server that has heard enough may answer and close before it has taken all: the answer counts.
        let sent = stream.write_all(bytes);
        match read_reply(&mut BufReader::new(stream)) {
            Ok(reply) => Ok(reply),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        limit: Duration,
    ) -> io::Result<Reply> {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method != "GET" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.raw(&[head.as_bytes(), body].concat(), limit)
    }
}

/// The start line and the headers of a message, and the bytes they came as.
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) bytes: Vec<u8>,
}

impl Head {
    /// None when the other side closed instead.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = Self {
            start: String::new(),
            headers: Vec::new(),
            bytes: Vec::new(),
        };
        loop {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return if head.bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            head.bytes.extend_from_slice(&line);
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if text.is_empty() {
                return Ok(Some(head));
            }
            match text.split_once(':') {
                Some((name, value)) if !head.start.is_empty() => {
                    head.headers
                        .push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                _ => head.start = text,
            }
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    pub(crate) fn chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|value| value.contains("chunked"))
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.start
            .split_whitespace()
            .nth(1)
            .and_then(|word| word.parse().ok())
            .unwrap_or(0)
    }
}

/// One chunk with its frame as it came; none of its data left when it was the last.
pub(crate) fn read_chunk(reader: &mut impl BufRead) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut frame = Vec::new();
    reader.read_until(b'\n', &mut frame)?;
    let text = String::from_utf8_lossy(&frame);
    let size = text.trim().split(';').next().unwrap_or_default();
    let size =
        usize::from_str_radix(size, 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut rest = vec![0; size + 2];
    reader.read_exact(&mut rest)?;
    frame.extend_from_slice(&rest);
    rest.truncate(size);
    Ok((frame, rest))
}

fn read_reply(reader: &mut impl BufRead) -> io::Result<Reply> {
    let head = Head::read(reader)?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let mut body = Vec::new();
    if head.chunked() {
        loop {
            let (_, data) = read_chunk(reader)?;
            if data.is_empty() {
                break;
            }
            body.extend_from_slice(&data);
        }
    } else if let Some(length) = head.length() {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    } else if head.status() != 204 && head.status() != 304 {
        reader.read_to_end(&mut body)?;
    }
    Ok(Reply {
        status: head.status(),
        headers: head.headers,
        body,
    })
}
