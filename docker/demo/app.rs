//! The demo's application: a small service that is deployed, breaks, and is rolled back.
//!
//! One binary, two roles. `api` answers HTTP; `worker` has no port and logs a heartbeat. Only the
//! standard library, so that `rustc` alone builds it into a static file for an empty image.
//!
//! The environment decides how it behaves, so that one binary serves the demo and the tests:
//!
//! | variable | meaning |
//! |---|---|
//! | `ROLE` | `api` (default) or `worker`; the first argument wins |
//! | `APP_VERSION` | its true version, baked into the image |
//! | `REPORT_VERSION` | the version it claims instead: a liar for the proof to catch |
//! | `PORT` | where `api` listens, 8080 by default |
//! | `START_MS` | how long it boots before it listens, or before the first heartbeat |
//! | `DRAIN_MS` | how long it goes on serving after SIGTERM, with `/health` at 503 |
//! | `IGNORE_TERM=1` | takes no notice of SIGTERM |
//! | `BAD=1` | the main path answers 500 while everything else looks well |
//! | `BAD_HEALTH=1` | `/health` answers 503 |
//! | `NEEDS` | `host:port` that must accept a connection at boot, or it ends with status 1 |
//! | `EVENTS_MS` | how long an event stream of `/events` goes on, 4000 by default |
//! | `EXIT_AFTER_MS` | crashes with status 1 after this time |
//! | `LOG`, `LOG_LINES` | a line to log at start, and how often (once by default) |
//!
//! `/metrics` counts answers and failures for Prometheus.
//!
//! `app check` asks the `/health` of this very container and ends with 0 or 1: an image without a
//! shell can have a health check.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A connection that says nothing for so long is closed, and its thread with it.
const IDLE: Duration = Duration::from_mins(1);

/// What Prometheus asks for.
const METRICS: &str = "/metrics";

/// No more of a request's head is read than this.
const HEAD_LIMIT: u64 = 16 * 1024;

fn main() -> ExitCode {
    let role = std::env::args().nth(1).or_else(|| text("ROLE"));
    match role.as_deref().unwrap_or("api") {
        "check" => check(),
        "api" => run("api", serve),
        "worker" => run("worker", beat),
        other => {
            error(format_args!(
                "unknown role {other:?}: it is api, worker or check"
            ));
            ExitCode::from(2)
        }
    }
}

/// Runs a role until SIGTERM. The work is done in threads; this one waits for the signal, so that
/// the answer to it is the same and at once whatever the role is doing, booting included.
fn run(role: &str, work: fn(&App)) -> ExitCode {
    // Before any thread exists: threads inherit what is blocked.
    let signals = Signals::block();
    let app = Arc::new(App::from_environment());
    info(format_args!("{role} {} starting", app.version));
    for _ in 0..number("LOG_LINES").unwrap_or(1) {
        if let Some(line) = text("LOG") {
            let _ = writeln!(io::stdout(), "{line}");
        }
    }
    if let Some(after) = number("EXIT_AFTER_MS") {
        thread::spawn(move || crash(Duration::from_millis(after)));
    }
    let worker = Arc::clone(&app);
    thread::spawn(move || {
        if let Some(needed) = text("NEEDS").filter(|needed| TcpStream::connect(needed).is_err()) {
            error(format_args!("{needed} can not be reached"));
            std::process::exit(1);
        }
        thread::sleep(Duration::from_millis(number("START_MS").unwrap_or(0)));
        work(&worker);
    });
    signals.wait(flag("IGNORE_TERM"));
    app.draining.store(true, Ordering::Relaxed);
    thread::sleep(Duration::from_millis(number("DRAIN_MS").unwrap_or(0)));
    info(format_args!("{role} {} stopped", app.version));
    ExitCode::SUCCESS
}

fn crash(after: Duration) {
    thread::sleep(after);
    error("crashing, as EXIT_AFTER_MS says");
    std::process::exit(1);
}

/// What the environment says, read once.
struct App {
    version: String,
    bad: bool,
    bad_health: bool,
    draining: AtomicBool,
    /// Answers so far, and how many of them said that something is wrong here.
    answers: AtomicU64,
    failures: AtomicU64,
}

impl App {
    fn from_environment() -> Self {
        Self {
            version: text("REPORT_VERSION")
                .or_else(|| text("APP_VERSION"))
                .unwrap_or_else(|| "unknown".to_owned()),
            bad: flag("BAD"),
            bad_health: flag("BAD_HEALTH"),
            draining: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// The answer to one path. Queries were cut off before.
    fn answer(&self, path: &str) -> (u16, String) {
        match path {
            "/" if self.bad => {
                error("GET / failed: no price for item 7 (no price list)");
                (500, r#"{"error":"no price for item 7"}"#.to_owned())
            }
            "/" => (
                200,
                format!(
                    r#"{{"message":"all prices known","version":{:?}}}"#,
                    self.version
                ),
            ),
            "/api/version" => (200, format!(r#"{{"version":{:?}}}"#, self.version)),
            "/health" if self.draining.load(Ordering::Relaxed) => {
                (503, r#"{"status":"draining"}"#.to_owned())
            }
            "/health" if self.bad_health => (503, r#"{"status":"failing"}"#.to_owned()),
            "/health" => (200, r#"{"status":"ok"}"#.to_owned()),
            METRICS => (200, self.metrics()),
            _ => (404, r#"{"error":"no such path"}"#.to_owned()),
        }
    }
}

impl App {
    fn count(&self, status: u16) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.failures
            .fetch_add(u64::from(status >= 500), Ordering::Relaxed);
    }

    /// For Prometheus.
    fn metrics(&self) -> String {
        format!(
            "demo_answers_total {}\ndemo_failures_total {}\n",
            self.answers.load(Ordering::Relaxed),
            self.failures.load(Ordering::Relaxed)
        )
    }
}

/// The worker: a heartbeat every second, for whoever looks at its log.
fn beat(app: &App) {
    for count in 1_u64.. {
        info(format_args!("heartbeat {count} version={}", app.version));
        thread::sleep(Duration::from_secs(1));
    }
}

/// The API: one thread per connection, which a few hundred clients can afford.
fn serve(app: &App) {
    let address = SocketAddr::from(([0, 0, 0, 0], port()));
    let listener = TcpListener::bind(address).unwrap_or_else(|failure| {
        error(format_args!("can't listen on {address}: {failure}"));
        std::process::exit(1);
    });
    info(format_args!("listening on {address}"));
    thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            // A connection that fails, or finds no thread, is the client's to try again.
            let _ = thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn_scoped(scope, || {
                    let _ = converse(app, stream);
                });
        }
    });
}

/// Answers one connection's requests, one after the other, until either side wants no more.
fn converse(app: &App, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        if request.path == "/events" {
            return tell(app, &mut writer);
        }
        let keep = request.keep && !app.draining.load(Ordering::Relaxed);
        let (status, body) = match request.method.as_str() {
            "GET" | "HEAD" => app.answer(&request.path),
            _ => (405, r#"{"error":"only GET is answered"}"#.to_owned()),
        };
        app.count(status);
        let kind = if request.path == METRICS {
            "text/plain"
        } else {
            "application/json"
        };
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n",
            reason(status),
            body.len(),
            if keep { "keep-alive" } else { "close" },
        );
        let body = if request.method == "HEAD" { "" } else { &body };
        // One write, so that it is one packet.
        writer.write_all(format!("{head}{body}").as_bytes())?;
        if !keep {
            break;
        }
    }
    Ok(())
}

/// An event stream: the version ten times a second, and the word that it ended by itself.
fn tell(app: &App, writer: &mut TcpStream) -> io::Result<()> {
    let pause = Duration::from_millis(100);
    writer.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
    )?;
    for _ in 0..number("EVENTS_MS").unwrap_or(4000) / 100 {
        writer.write_all(format!("data: {}\n\n", app.version).as_bytes())?;
        thread::sleep(pause);
    }
    writer.write_all(b"data: end\n\n")
}

/// As much of an HTTP request as this service cares for.
struct Request {
    method: String,
    path: String,
    keep: bool,
}

impl Request {
    /// The next request, its body thrown away; nothing when the client has closed.
    fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut head = reader.take(HEAD_LIMIT);
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let mut keep = words.next() == Some("HTTP/1.1");
        let mut length = 0;
        loop {
            line.clear();
            if head.read_line(&mut line)? == 0 {
                return Ok(None); // closed, or past the limit, in the middle of the head
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break; // the empty line
            };
            let value = value.trim();
            if name.eq_ignore_ascii_case("connection") {
                keep = value.eq_ignore_ascii_case("keep-alive")
                    || keep && !value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap_or(0);
            }
        }
        io::copy(&mut reader.take(length), &mut io::sink())?;
        Ok(Some(Self { method, path, keep }))
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        500 => "Internal Server Error",
        _ => "Service Unavailable",
    }
}

/// The health check: one request to ourselves.
fn check() -> ExitCode {
    match ask("/health") {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(answer) => {
            error(answer.lines().next().unwrap_or("no answer"));
            ExitCode::FAILURE
        }
        Err(failure) => {
            error(failure);
            ExitCode::FAILURE
        }
    }
}

fn ask(path: &str) -> io::Result<String> {
    let limit = Duration::from_secs(1);
    let address = SocketAddr::from(([127, 0, 0, 1], port()));
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    text(name).and_then(|value| value.parse().ok())
}

fn flag(name: &str) -> bool {
    text(name).as_deref() == Some("1")
}

fn port() -> u16 {
    text("PORT")
        .and_then(|value| value.parse().ok())
        .unwrap_or(8080)
}

/// One line on standard output. A reader that went away is no reason to fail.
fn log(level: &str, message: impl Display) {
    let _ = writeln!(io::stdout(), "{level} {message}");
}

fn info(message: impl Display) {
    log("INFO", message);
}

fn error(message: impl Display) {
    log("ERROR", message);
}

/// SIGTERM and SIGINT, held back until `wait` takes them.
///
/// The standard library knows no signals, and the kernel drops those that a container's first
/// process neither handles nor blocks. Blocking them and waiting is the whole of it: no handler,
/// so nothing that would have to be safe at any moment.
struct Signals(SignalSet);

/// `sigset_t` of Linux's C libraries: 1024 bits.
#[repr(C)]
struct SignalSet([u64; 16]);

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIG_BLOCK: i32 = 0;

unsafe extern "C" {
    fn sigaddset(set: *mut SignalSet, signal: i32) -> i32;
    fn sigprocmask(how: i32, set: *const SignalSet, old: *mut SignalSet) -> i32;
    fn sigwait(set: *const SignalSet, signal: *mut i32) -> i32;
}

impl Signals {
    fn block() -> Self {
        let mut set = SignalSet([0; 16]);
        // SAFETY: `set` is a valid, empty signal set; the old mask is not asked for.
        unsafe {
            sigaddset(&raw mut set, SIGTERM);
            sigaddset(&raw mut set, SIGINT);
            sigprocmask(SIG_BLOCK, &raw const set, std::ptr::null_mut());
        }
        Self(set)
    }

    /// Returns when asked to stop; never, if such requests are ignored.
    fn wait(&self, ignore: bool) {
        loop {
            let mut signal = 0;
            // SAFETY: both point to live values of the types that C expects.
            unsafe { sigwait(&raw const self.0, &raw mut signal) };
            if !ignore {
                return;
            }
            info(format_args!("signal {signal} ignored, as IGNORE_TERM says"));
        }
    }
}
