//! Clients of a balancer: one with a new connection for each request, one that keeps its connection, and one event
//! stream. Whatever is not answered well has failed. A kept connection that was closed when its next request came is
//! counted for itself, and asked again on a new one, as HTTP's clients do.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    Outcome,
    http::{self, Place},
};

const EVERY: Duration = Duration::from_millis(2);
/// A client that waits longer has given up.
const PATIENCE: Duration = Duration::from_secs(5);
const PATH: &str = "/api/version";

/// How many requests there were, how many of them failed, and how many found their kept connection closed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    pub(crate) closed: usize,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.closed += other.closed;
    }

    fn note(&mut self, good: bool) {
        self.requests += 1;
        self.failed += usize::from(!good);
    }
}

/// Clients that go on asking until they are stopped.
#[derive(Debug)]
pub(crate) struct Clients {
    ended: Arc<AtomicBool>,
    threads: [JoinHandle<Count>; 2],
}

impl Clients {
    pub(crate) fn start(port: u16) -> Self {
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let ended = Arc::new(AtomicBool::new(false));
        let threads = [connecting, keeping].map(|client| {
            let until = ended.clone();
            thread::spawn(move || client(to, &until))
        });
        Self { ended, threads }
    }

    pub(crate) fn stop(self) -> Outcome<Count> {
        self.ended.store(true, Ordering::Relaxed);
        let mut all = Count::default();
        for client in self.threads {
            all.add(client.join().map_err(|_| "a client panicked")?);
        }
        Ok(all)
    }
}

fn connecting(to: SocketAddr, ended: &AtomicBool) -> Count {
    let (place, mut count) = (Place::Tcp(to), Count::default());
    while !ended.load(Ordering::Relaxed) {
        let answer = http::ask(&place, "GET", PATH, "", "", PATIENCE);
        count.note(answer.is_ok_and(|answer| answer.status == 200));
        thread::sleep(EVERY);
    }
    count
}

fn keeping(to: SocketAddr, ended: &AtomicBool) -> Count {
    let (mut kept, mut count) = (None, Count::default());
    while !ended.load(Ordering::Relaxed) {
        let was_kept = kept.is_some();
        let mut answer = on_one_connection(to, &mut kept);
        if was_kept && answer.as_ref().is_err_and(is_closed) {
            count.closed += 1;
            answer = on_one_connection(to, &mut kept);
        }
        count.note(answer.is_ok_and(|status| status == 200));
        thread::sleep(EVERY);
    }
    count
}

/// Whether the other side had closed before it said anything.
fn is_closed(error: &io::Error) -> bool {
    [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe,
    ]
    .contains(&error.kind())
}

/// One request on a connection that is kept as long as the other side keeps it: the status of its answer.
fn on_one_connection(to: SocketAddr, kept: &mut Option<BufReader<TcpStream>>) -> io::Result<u16> {
    let mut reader = match kept.take() {
        Some(reader) => reader,
        None => {
            let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            BufReader::new(stream)
        }
    };
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    reader.get_mut().write_all(request.as_bytes())?;
    let (mut status, mut length, mut closes) = (0, 0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            // In the middle of an answer it is another matter.
            return Err(match status {
                0 => io::ErrorKind::ConnectionAborted.into(),
                _ => io::ErrorKind::UnexpectedEof.into(),
            });
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest
                .split(' ')
                .next()
                .and_then(|word| word.parse().ok())
                .unwrap_or(0);
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap_or(0);
        } else if line == "connection: close" {
            closes = true;
        } else if line.is_empty() {
            break;
        }
    }
    io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
    *kept = (!closes).then_some(reader);
    Ok(status)
}

/// An event stream that has begun.
#[derive(Debug)]
pub(crate) struct Events {
    thread: JoinHandle<bool>,
}

impl Events {
    pub(crate) fn open(port: u16) -> Outcome<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let mut first = [0; 1024];
        if stream.read(&mut first)? == 0 {
            return Err("the event stream did not begin".into());
        }
        let thread = thread::spawn(move || {
            let mut said = String::new();
            let read = stream.read_to_string(&mut said);
            read.is_ok() && said.contains("data: end")
        });
        Ok(Self { thread })
    }

    /// Whether it came to its own end.
    pub(crate) fn ended_well(self) -> Outcome<bool> {
        Ok(self.thread.join().map_err(|_| "the reader panicked")?)
    }
}
