//! Engines that are not there, break off or never answer: sockets of our own that pretend.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use docker::{Engine, Kind, LookRequest, PerformContext};
use domain::{
    application::Application,
    effect::{Effect, Outcome},
    name::{ContainerId, Fence},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use crate::house::new_rollback;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// What a pretended engine does with a request.
#[derive(Clone, Copy)]
enum Mood {
    Answers,
    BreaksOff,
    Silent,
}

struct Pretender {
    socket: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Pretender {
    /// An engine that answers every read, and is in this mood about everything else.
    fn new(mood: Mood) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let socket = std::env::temp_dir().join(format!(
            "sternway-pretender-{}-{count}.sock",
            std::process::id()
        ));
        let listener = UnixListener::bind(&socket).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let noted = Arc::clone(&noted);
                tokio::spawn(async move {
                    let mut head = [0; 8192];
                    let read = stream.read(&mut head).await.unwrap_or(0);
                    let line = String::from_utf8_lossy(&head[..read])
                        .lines()
                        .next()
                        .unwrap_or_default()
                        .to_owned();
                    noted.lock().unwrap().push(line.clone());
                    match answer_to(&line) {
                        Some(body) => {
                            let text = format!(
                                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                                body.len()
                            );
                            let _ = stream.write_all(text.as_bytes()).await;
                        }
                        None => match mood {
                            Mood::Answers => {
                                drop(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await)
                            }
                            Mood::BreaksOff => {}
                            Mood::Silent => std::future::pending().await,
                        },
                    }
                });
            }
        });
        Self { socket, requests }
    }

    fn engine(&self) -> Engine {
        Engine::connect(&format!("unix://{}", self.socket.display())).unwrap()
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn answer_to(line: &str) -> Option<String> {
    let path = line.strip_prefix("GET ")?.split([' ', '?']).next()?;
    let answer = match path {
        "/version" => json!({"Version": "20.10.24", "ApiVersion": "1.41"}),
        "/info" => json!({"Name": "pretender", "DockerRootDir": "/no/such/dir"}),
        "/containers/json" | "/networks" => json!([]),
        _ => {
            json!({"Id": id().to_string(), "Name": "/web", "Config": {}, "HostConfig": {"RestartPolicy": {"Name": "no"}}})
        }
    };
    Some(answer.to_string())
}

fn id() -> ContainerId {
    "ab".repeat(32).parse().unwrap()
}

fn shop() -> Application {
    serde_json::from_value(json!({"name": "shop", "environment": "test", "project": "shop", "components": [{"name": "web"}]})).unwrap()
}

async fn stop(engine: &Engine, grace_s: u32) -> Outcome {
    let application = shop();
    let ctx = PerformContext {
        application: &application,
        rollback: new_rollback(),
        fence: Fence(1),
        step: 0,
        owner: "t",
        specification: None,
        claim: &crate::house::Living,
    };
    engine
        .perform(
            &Effect::StopContainer {
                container: id(),
                grace_s,
            },
            &ctx,
        )
        .await
        .outcome
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable() {
    let nowhere = Engine::connect("unix:///no/such/docker.sock").unwrap();
    let error = nowhere.facts(false).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.unreachable()),
        (Kind::Unreachable, true)
    );
    assert!(
        error.to_string().contains("/no/such/docker.sock"),
        "{error}"
    );
    assert!(matches!(stop(&nowhere, 1).await, Outcome::Unknown { .. }));

    let left_behind =
        std::env::temp_dir().join(format!("sternway-left-behind-{}.sock", std::process::id()));
    drop(UnixListener::bind(&left_behind).unwrap());
    let dead = Engine::connect(&format!("unix://{}", left_behind.display())).unwrap();
    assert_eq!(
        dead.facts(false).await.unwrap_err().kind(),
        Kind::Unreachable
    );
    std::fs::remove_file(left_behind).unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_off_leaves_the_outcome_unknown() {
    let pretender = Pretender::new(Mood::BreaksOff);
    let outcome = stop(&pretender.engine(), 1).await;
    let Outcome::Unknown { said } = outcome else {
        panic!("it may have happened: {outcome:?}")
    };
    assert!(said.starts_with("stop container"), "{said}");
}

/// Time stands still but for what is waited for: the limit passes at once.
#[tokio::test(start_paused = true)]
async fn an_engine_that_never_answers_costs_the_limit_and_leaves_the_outcome_unknown() {
    let pretender = Pretender::new(Mood::Silent);
    let began = tokio::time::Instant::now();
    let outcome = stop(&pretender.engine(), 30).await;
    let Outcome::Unknown { said } = outcome else {
        panic!("it may have happened: {outcome:?}")
    };
    assert!(said.contains("no answer within 50 s"), "{said}");
    assert!(began.elapsed().as_secs() >= 50, "the grace and its margin");
}

#[tokio::test]
async fn a_disk_that_can_not_be_seen_is_unknown_and_no_error() {
    let pretender = Pretender::new(Mood::Answers);
    let facts = pretender.engine().facts(true).await.unwrap();
    assert_eq!(
        (facts.name.as_str(), facts.api_version.as_str()),
        ("pretender", "1.41")
    );
    assert!(!facts.disk_free.is_known(), "{:?}", facts.disk_free);
}

/// bollard 0.21 sends no API version, 0.22 will: this test is here to notice.
#[tokio::test]
async fn the_request_lines_are_the_ones_that_we_know() {
    let pretender = Pretender::new(Mood::Answers);
    let engine = pretender.engine();
    let application = shop();
    let request = LookRequest {
        application: &application,
        images: &[],
        disk: false,
        paths: &[],
        specifications: false,
    };
    engine.look(&request).await.unwrap();
    assert_eq!(stop(&engine, 7).await, Outcome::Done);
    let mut lines = pretender.requests.lock().unwrap().clone();
    lines.dedup();
    let id = id();
    let filter = "filters=%7B%22label%22%3A%5B%22sternway.application%3Dshop%22%5D%7D";
    for expected in [
        "GET /version HTTP/1.1".to_owned(),
        "GET /info HTTP/1.1".to_owned(),
        "GET /networks HTTP/1.1".to_owned(),
        "GET /containers/json?all=true&size=false HTTP/1.1".to_owned(),
        format!("GET /containers/json?all=true&size=false&{filter} HTTP/1.1"),
        format!("GET /containers/{id}/json HTTP/1.1"),
        format!("POST /containers/{id}/stop?t=7 HTTP/1.1"),
    ] {
        assert!(lines.contains(&expected), "{expected} is not in {lines:#?}");
    }
}
