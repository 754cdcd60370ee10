//! A balancer of our own, and applications behind it that say their names.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU16, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use domain::front::Front;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
};

/// Longest that anything here is waited for.
const DEADLINE: Duration = Duration::from_secs(15);

/// A folder that goes with its owner.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let parent =
            std::env::var_os("STERNWAY_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = parent.join(format!("swb{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that is killed with its owner, and with this thread.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(program: &str, arguments: &[&str], home: &Path) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program])
            .args(arguments)
            .env("HOME", home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{program} (docker/prepare.sh): {error}")))
    }

    pub(crate) async fn kill(mut self) {
        self.0.kill().await.unwrap();
    }
}

/// An application that answers every request with its name; `/stream` is an event stream that only ends with it.
pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Application {
    pub(crate) async fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(answer(stream, name));
            }
        });
        Self { address, task }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(stream: TcpStream, name: &'static str) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(first) = lines.next_line().await? {
        while lines
            .next_line()
            .await?
            .is_some_and(|line| !line.is_empty())
        {}
        if first.starts_with("GET /stream") {
            writer
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                .await?;
            loop {
                writer
                    .write_all(format!("data: {name}\n\n").as_bytes())
                    .await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        if first.starts_with("GET /socket") {
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
            let accepted = format!("{head}Sec-WebSocket-Accept: {ACCEPTED}\r\n\r\n");
            writer.write_all(accepted.as_bytes()).await?;
            loop {
                writer.write_all(name.as_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let length = name.len();
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
        writer.write_all(text.as_bytes()).await?;
    }
    Ok(())
}

/// A port below those that the kernel gives to clients and to our applications: none of them may sit on it before its
/// server does, and no two tests get the same one (HAProxy and Caddy would both listen on it).
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = 18_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The body of one answer.
pub(crate) async fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok(body.to_owned())
}

/// An event stream that was opened and has said its first word.
pub(crate) async fn stream(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream
        .write_all(b"GET /stream HTTP/1.1\r\nHost: shop\r\n\r\n")
        .await
        .unwrap();
    said(&mut stream, "data: ").await;
    stream
}

/// The key of RFC 6455's example, and what is answered to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A connection that was upgraded to a WebSocket and has said its first word.
pub(crate) async fn socket(port: u16, word: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head =
        "GET /socket HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let ask = format!("{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    said(&mut stream, word).await;
    stream
}

/// Reads until the stream has said this.
pub(crate) async fn said(stream: &mut TcpStream, words: &str) {
    let (mut seen, mut piece) = (String::new(), [0; 512]);
    let heard = async {
        while !seen.contains(words) {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "the stream ended without `{words}`");
            seen.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    };
    tokio::time::timeout(DEADLINE, heard).await.unwrap();
}

/// Tries until there is a value.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut tried: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = tried().await {
            return value;
        }
        assert!(begun.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn front(balancer: &Value, servers: &[&str]) -> Front {
    let front = serde_json::json!({"balancer": balancer, "servers": servers, "port": 8080, "two_versions": true});
    serde_json::from_value(front).unwrap()
}
