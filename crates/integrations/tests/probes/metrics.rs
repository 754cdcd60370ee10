//! Numbers: all are asked at once, and none that is not seen counts.

use std::time::{Duration, Instant};

use domain::{metric::Metric, time::Moment, triage::Said};
use integrations::Prober;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{LIMIT, server::Server};

fn metric(url: &str) -> Metric {
    let text = format!(
        r#"{{"name": "m", "url": "{url}", "query": "up", "question": "many_users", "above": 0.1}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn metrics_are_asked_at_once_and_none_that_is_not_seen_is_a_no() {
    let found = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.31"]}]}}"#;
    let prometheus = Server::new(move |mut stream: TcpStream| async move {
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await.unwrap_or(0);
        let asked = String::from_utf8_lossy(&request[..read]);
        let right = asked.starts_with("GET /prom/api/v1/query?query=up&timeout=1s HTTP/1.1\r\n");
        let (status, body) = if right { (200, found) } else { (404, "no") };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
        let _ = stream.write_all(answer.as_bytes()).await;
    });
    let prometheus = prometheus.await;
    let silent = Server::new(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    });
    let silent = silent.await;
    let long: &str = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(70_000)).leak();
    let long = Server::answering(long).await;
    let away = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        prometheus.url("/prom")
    );
    let away = Server::answering(away.leak()).await;
    let cases = [
        (prometheus.url("/prom/"), "m: 0.31, above 0.1"),
        (silent.url(""), "m: no answer within 0.5 s"),
        (
            long.url(""),
            "m: the answer is longer than 64 KiB: let the query make one number of it",
        ),
        (away.url(""), "m: status 302"),
        (
            "http://169.254.169.254".to_owned(),
            "m: 169.254.169.254 is link-local, multicast or a metadata address and is never asked",
        ),
        ("http://127.0.0.1:1".to_owned(), "m: connection refused"),
    ];
    let metrics: Vec<Metric> = cases.iter().map(|(url, _)| metric(url)).collect();
    let began = Instant::now();
    let now = Moment::from_unix_ms(1_000);
    let readings = Prober::new().unwrap().measure(&metrics, LIMIT, now).await;
    assert!(began.elapsed() < LIMIT * 10);
    let notes: Vec<&str> = readings.iter().map(|one| one.note.as_str()).collect();
    assert_eq!(notes, cases.each_ref().map(|(_, note)| *note));
    assert_eq!(readings[0].said, Said::Yes);
    assert!(readings[1..].iter().all(|one| one.said == Said::Unknown));
}
