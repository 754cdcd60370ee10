//! A real process, a real socket: that it compiles proves nothing about whether spans arrive.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a collector got: the request line and the body.
struct Post {
    line: String,
    body: Vec<u8>,
}

/// A collector that takes everything.
fn collector() -> (String, Receiver<Post>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || serve(stream, &tell));
        }
    });
    (base, told)
}

fn serve(stream: TcpStream, tell: &Sender<Post>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        let mut body = vec![0; length.trim().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").unwrap();
        let line = head.lines().next().unwrap().to_owned();
        // The test may have seen enough.
        let _ = tell.send(Post { line, body });
    }
}

fn holds(body: &[u8], words: &str) -> bool {
    body.windows(words.len())
        .any(|window| window == words.as_bytes())
}

/// Not a test: a process like `serve`, with a runtime of several threads.
#[test]
#[ignore = "run by the other tests of this file"]
fn a_process_that_makes_one_span() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Inside the runtime on purpose: that is the trap.
        let telemetry = start(&Settings::of_process("info")).unwrap();
        let work = tokio::spawn(async {
            let span = tracing::info_span!("rollback.step", rollback.id = "r-42");
            span.in_scope(|| tracing::info!(step = 3, "switched"));
        });
        work.await.unwrap();
        drop(telemetry);
    });
}

fn child() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "telemetry::tests::a_process_that_makes_one_span",
        "--ignored",
        "--nocapture",
    ]);
    for name in [
        "STERNWAY_LOG",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_SERVICE_NAME",
    ] {
        command.env_remove(name);
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn spans_arrive_at_a_collector_and_the_last_are_sent_at_the_end() {
    let (base, told) = collector();
    let ended = child()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{base}/"))
        .output()
        .unwrap();
    let logged = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{logged}");
    assert!(!logged.contains("panicked"), "{logged}");
    let post = told
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("nothing arrived: {logged}"));
    assert!(post.line.starts_with("post /v1/traces "), "{}", post.line);
    for words in [
        "rollback.step",
        "rollback.id",
        "r-42",
        "service.name",
        "sternway",
        "switched",
    ] {
        assert!(holds(&post.body, words), "{words} is missing");
    }
}

#[test]
fn without_a_collector_lines_are_flat_json_with_the_spans_fields() {
    let ended = child().output().unwrap();
    assert!(ended.status.success());
    let logged = String::from_utf8(ended.stderr).unwrap();
    let line: serde_json::Value = serde_json::from_str(logged.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["level"], &line["message"], &line["step"]),
        (&"INFO".into(), &"switched".into(), &3.into())
    );
    assert_eq!(line["span"]["rollback.id"], "r-42");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_collector_that_is_gone_delays_the_end_by_a_bounded_time() {
    // Bound and never accepted from: the connection is made, the answer never comes.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let since = std::time::Instant::now();
    let ended = child()
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", listener.local_addr().unwrap()),
        )
        .output()
        .unwrap();
    assert!(ended.status.success());
    assert!(
        since.elapsed() < FLUSH_MAX + Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn the_filter_says_what_is_logged() {
    let ended = child().env("STERNWAY_LOG", "warn").output().unwrap();
    assert!(ended.status.success());
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
}

/// What was written, shared with the test.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn settings(filter: &str, traces: Option<&str>) -> Settings {
    Settings {
        filter: filter.into(),
        format: Format::Human,
        traces: traces.map(str::to_owned),
        service: "sternway".into(),
    }
}

#[test]
fn a_person_gets_text() {
    let paper = Paper::default();
    let kept = paper.clone();
    let (subscriber, _telemetry) = build(&settings("info", None), move || paper.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || tracing::info!("the server listens"));
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("the server listens") && !text.contains('{'),
        "{text}"
    );
}

#[test]
fn wrong_settings_are_said_with_an_example() {
    let filter = build(&settings("sternway=loudly", None), std::io::sink)
        .err()
        .unwrap()
        .to_string();
    assert!(
        filter.contains("STERNWAY_LOG=`sternway=loudly`") && filter.contains("info,sternway=debug"),
        "{filter}"
    );
    let endpoint = build(&settings("info", Some("not a url")), std::io::sink)
        .err()
        .unwrap()
        .to_string();
    assert!(
        endpoint.contains("`not a url`") && endpoint.contains("http://collector:4318"),
        "{endpoint}"
    );
}
