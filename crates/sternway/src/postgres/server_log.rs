//! Carries what the server says on stderr into our own log, and keeps its last lines for an error.
//!
//! A pipe, not a file: a file would need rotation. When we are dead, Postgres's writes fail and it goes on.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

/// Enough to hold Postgres's reason with its details and hints.
const TAIL_LINES: usize = 12;
/// Longer lines are cut: statements are never logged, so nothing that matters is this long.
const LINE_MAX: u64 = 4096;

/// The end of one server's words.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

/// Follows one server until it closes its stderr.
#[derive(Debug)]
pub(super) struct ServerLog {
    tail: Tail,
    open: Receiver<()>,
}

impl ServerLog {
    pub(super) fn follow(stderr: impl Read + Send + 'static) -> std::io::Result<Self> {
        let tail = Tail::default();
        let (closing, open) = channel::<()>();
        let kept = tail.clone();
        let thread = std::thread::Builder::new().name("postgres-log".into());
        thread.spawn(move || {
            forward(stderr, &kept);
            drop(closing);
        })?;
        Ok(Self { tail, open })
    }

    /// What it said last. After the server's end its words may still be on their way; a child of its own
    /// may keep the pipe open, so the wait has a limit.
    pub(super) fn last_words(&self) -> String {
        let _ = self.open.recv_timeout(Duration::from_millis(200));
        let lines = self.tail.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            "nothing".into()
        } else {
            lines
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" / ")
        }
    }
}

fn forward(stderr: impl Read, tail: &Tail) {
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        report(line);
        let mut lines = tail.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

/// How loud a line is in our log.
#[derive(Debug, PartialEq, Eq)]
enum Loudness {
    /// A page: the server's log or memory is broken.
    Error,
    /// A background process failed, as when the disk is full.
    Warn,
    /// What starts, stops and refuses log-ins say, and errors that a client of ours got as its answer.
    Debug,
}

/// Lines look like `client backend|ERROR:  duplicate key ..`.
fn loudness(line: &str) -> Loudness {
    let (process, rest) = line.split_once('|').unwrap_or(("", line));
    let severity = rest.split(':').next().unwrap_or_default();
    match (severity, process) {
        ("PANIC", _) => Loudness::Error,
        ("ERROR" | "FATAL", process)
            if process != "client backend" && process != "postmaster" && !process.is_empty() =>
        {
            Loudness::Warn
        }
        _ => Loudness::Debug,
    }
}

fn report(line: &str) {
    match loudness(line) {
        Loudness::Error => tracing::error!(target: "sternway::postgres::server", "{line}"),
        Loudness::Warn => tracing::warn!(target: "sternway::postgres::server", "{line}"),
        Loudness::Debug => tracing::debug!(target: "sternway::postgres::server", "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_error_is_its_own_affair_and_a_full_disk_is_ours() {
        assert_eq!(
            loudness("client backend|ERROR:  duplicate key value violates .."),
            Loudness::Debug
        );
        assert_eq!(
            loudness("checkpointer|ERROR:  could not write to file"),
            Loudness::Warn
        );
        assert_eq!(
            loudness("walwriter|PANIC:  could not fsync file"),
            Loudness::Error
        );
        assert_eq!(
            loudness("postmaster|LOG:  database system is ready"),
            Loudness::Debug
        );
    }

    #[test]
    fn the_tail_is_bounded_and_so_is_a_line() {
        let mut said: Vec<u8> = vec![b'x'; 10_000];
        for n in 0..100 {
            said.extend(format!("\nline {n}").bytes());
        }
        let log = ServerLog::follow(std::io::Cursor::new(said)).unwrap();
        let words = log.last_words();
        assert!(
            words.starts_with("line 88 / ") && words.ends_with("line 99"),
            "{words}"
        );
    }
}
