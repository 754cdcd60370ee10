//! Asks a server whether it takes our log-in: the start of Postgres's own protocol, and no query.
//!
//! A real log-in, because an open socket proves little: a server that recovers, stops, or does not know
//! our role has one too.

use std::{
    io::{self, Read, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::settings::{DATABASE, ROLE};

/// Version 3.0 of the protocol, spoken by every server since 7.4.
const PROTOCOL: i32 = 196_608;

/// A stopped process keeps its socket open and says nothing.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// What a log-in is answered with is some hundred bytes.
const MESSAGE_MAX: usize = 1 << 16;

/// The server's answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It lets us in.
    Ready,
    /// Not now; asking again makes sense.
    NotYet(String),
    /// It is up, and says no.
    Refused(String),
}

pub(super) fn knock(sockets: &Path) -> Answer {
    match UnixStream::connect(sockets.join(".s.PGSQL.5432")).and_then(log_in) {
        Ok(answer) => answer,
        Err(error) => Answer::NotYet(error.to_string()),
    }
}

fn log_in(mut stream: UnixStream) -> io::Result<Answer> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    stream.write_all(&startup_message())?;
    loop {
        let (kind, body) = read_message(&mut stream)?;
        match kind {
            b'Z' => {
                // Said goodbye to, or the server logs a lost connection.
                let _ = stream.write_all(&[b'X', 0, 0, 0, 4]);
                return Ok(Answer::Ready);
            }
            b'E' => return Ok(judge(&body)),
            b'R' if body != [0, 0, 0, 0] => {
                return Ok(Answer::Refused("it asks for a password".into()));
            }
            // Parameters, the cancel key and notices.
            _ => {}
        }
    }
}

fn startup_message() -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for word in [
        "user",
        ROLE,
        "database",
        DATABASE,
        "application_name",
        "sternway start",
    ] {
        body.extend_from_slice(word.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &body].concat()
}

fn read_message(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if !(4..=MESSAGE_MAX).contains(&length) {
        return Err(io::Error::other("this is not Postgres"));
    }
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}

fn judge(body: &[u8]) -> Answer {
    let field = |letter: u8| {
        let found = body
            .split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&letter));
        found.map_or_else(String::new, |field| {
            String::from_utf8_lossy(&field[1..]).into_owned()
        })
    };
    let (code, message) = (field(b'C'), field(b'M'));
    match code.as_str() {
        // Starting, recovering or shutting down.
        "57P03" => Answer::NotYet(message),
        // All connections are taken: somebody is well served.
        "53300" => Answer::Ready,
        _ => Answer::Refused(format!("{message} ({code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, message: &str) -> Vec<u8> {
        format!("SFATAL\0C{code}\0M{message}\0\0").into_bytes()
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(
            judge(&error("57P03", "starting up")),
            Answer::NotYet("starting up".into())
        );
        assert_eq!(judge(&error("53300", "too many")), Answer::Ready);
        assert_eq!(
            judge(&error("28000", "no role")),
            Answer::Refused("no role (28000)".into())
        );
    }

    #[test]
    fn something_else_on_the_socket_is_not_believed() {
        assert!(read_message(&mut b"HTTP/1.1 400 Bad Request".as_slice()).is_err());
    }

    #[test]
    fn no_socket_means_not_yet() {
        assert!(matches!(
            knock(Path::new("/nonexistent")),
            Answer::NotYet(_)
        ));
    }
}
