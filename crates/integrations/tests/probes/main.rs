//! The prober against servers that behave badly.

#![expect(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod metrics;
mod server;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use domain::probe::{Answer, Ask, Probe, Question, Subject};
use integrations::{Candidate, Prober};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::server::{Server, keep_answering};

const LIMIT: Duration = Duration::from_millis(500);

fn http(url: String) -> Ask {
    Ask::Http {
        url,
        status: None,
        contains: None,
    }
}

async fn ask(ask: Ask) -> Answer {
    let question = Question {
        subject: Subject::Front,
        ask,
    };
    Prober::new()
        .unwrap()
        .ask(&[question], LIMIT)
        .await
        .remove(0)
}

#[tokio::test]
async fn a_good_answer_is_green() {
    let server =
        Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}").await;
    assert!(ask(http(server.url("/health"))).await.green);
    let with = |text: &str| Ask::Http {
        url: server.url("/"),
        status: Some(200),
        contains: Some(text.to_owned()),
    };
    assert!(ask(with("\"ok\"")).await.green);
    let red = ask(with("all well")).await;
    assert_eq!(
        (red.green, red.said.as_str()),
        (false, "status 200, without the expected text")
    );
}

#[tokio::test]
async fn a_wrong_status_is_red_and_says_both() {
    let server = Server::answering("HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nsecret").await;
    let red = ask(http(server.url("/"))).await;
    assert_eq!(
        (red.green, red.said.as_str()),
        (false, "status 500, expected 2xx")
    );
    let expected = Ask::Http {
        url: server.url("/"),
        status: Some(500),
        contains: None,
    };
    assert!(ask(expected).await.green);
}

#[tokio::test]
async fn a_slow_server_costs_the_limit_and_no_more() {
    let server = Server::new(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    });
    let server = server.await;
    let began = Instant::now();
    let red = ask(http(server.url("/"))).await;
    assert_eq!(
        (red.green, red.said.as_str()),
        (false, "no answer within 0.5 s")
    );
    assert!(began.elapsed() < LIMIT * 10);
}

#[tokio::test]
async fn many_questions_are_asked_at_once_and_answered_in_order() {
    let slow = Server::new(|mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        tokio::time::sleep(LIMIT / 5).await;
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    let slow = slow.await;
    let question = |n: usize| Question {
        subject: Subject::Front,
        ask: http(slow.url(&format!("/{n}"))),
    };
    let questions: Vec<Question> = (0..40).map(question).collect();
    let began = Instant::now();
    let answers = Prober::new().unwrap().ask(&questions, LIMIT * 4).await;
    assert!(answers.iter().all(|answer| answer.green), "{answers:?}");
    let asked: Vec<String> = questions
        .iter()
        .map(|question| question.ask.words())
        .collect();
    assert_eq!(
        answers
            .into_iter()
            .map(|answer| answer.asked)
            .collect::<Vec<_>>(),
        asked
    );
    // One after the other would take eight times the limit.
    assert!(began.elapsed() < LIMIT * 6);
}

#[tokio::test]
async fn an_endless_body_is_read_to_its_cap() {
    let server = Server::new(|mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            .await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let server = server.await;
    let endless = Ask::Http {
        url: server.url("/"),
        status: None,
        contains: Some("needle".to_owned()),
    };
    let red = ask(endless).await;
    assert_eq!(
        (red.green, red.said.as_str()),
        (
            false,
            "status 200, without the expected text in the first 64 KiB"
        )
    );
    let version = Ask::Version {
        url: server.url("/"),
        field: None,
        expected: "1".to_owned(),
    };
    assert_eq!(ask(version).await.said, "the answer is longer than 64 KiB");
}

#[tokio::test]
async fn a_body_that_drips_for_ever_costs_the_limit() {
    let server = Server::new(|mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let server = server.await;
    let version = Ask::Version {
        url: server.url("/"),
        field: None,
        expected: "1".to_owned(),
    };
    assert_eq!(ask(version).await.said, "no answer within 0.5 s");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let target = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let location = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        target.url("/")
    );
    let elsewhere = Server::answering(location.leak()).await;
    assert_eq!(
        ask(http(elsewhere.url("/"))).await.said,
        "status 302, expected 2xx"
    );
    assert_eq!(target.connections.load(Ordering::Relaxed), 0);
    let metadata = Server::answering(
        "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n",
    );
    let metadata = metadata.await;
    assert_eq!(
        ask(http(metadata.url("/"))).await.said,
        "status 302, expected 2xx"
    );
}

#[tokio::test]
async fn metadata_addresses_are_not_asked_however_they_are_written() {
    for host in [
        "169.254.169.254",
        "2852039166",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
    ] {
        for scheme in ["http", "https"] {
            let red = ask(http(format!("{scheme}://{host}/latest/meta-data/"))).await;
            assert!(
                !red.green && red.said.contains("never asked"),
                "{host}: {}",
                red.said
            );
        }
    }
    let tcp = Ask::Tcp {
        address: "169.254.169.254".parse().unwrap(),
        port: 80,
    };
    assert!(ask(tcp).await.said.contains("never asked"));
}

#[tokio::test]
async fn a_version_is_compared_and_a_wrong_one_is_said_shortly() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n{\"build\":{\"version\":\"1.5.0\"}}",
    )
    .await;
    let version = |expected: &str| Ask::Version {
        url: server.url("/api/version"),
        field: Some("build.version".to_owned()),
        expected: expected.to_owned(),
    };
    assert!(ask(version("1.5.0")).await.green);
    assert_eq!(
        ask(version("1.4.2")).await.said,
        "it says 1.5.0, expected 1.4.2"
    );

    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 105\r\n\r\n\u{1b}[31m{}",
        "v".repeat(100)
    );
    let rude = Server::answering(long.leak()).await;
    let red = ask(Ask::Version {
        url: rude.url("/"),
        field: None,
        expected: "1".to_owned(),
    })
    .await;
    assert_eq!(
        red.said,
        format!("it says [31m{}, expected 1", "v".repeat(60))
    );

    let html = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>").await;
    let red = ask(Ask::Version {
        url: html.url("/"),
        field: Some("version".to_owned()),
        expected: "1".to_owned(),
    })
    .await;
    assert_eq!(red.said, "the answer is not JSON");
}

#[tokio::test]
async fn nobody_there_is_said_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tcp = || Ask::Tcp {
        address: address.ip(),
        port: address.port(),
    };
    assert_eq!(ask(tcp()).await.said, "it accepts connections");
    drop(listener);
    assert_eq!(ask(tcp()).await.said, "connection refused");
    assert_eq!(
        ask(http(format!("http://{address}/"))).await.said,
        "connection refused"
    );
    let nobody = ask(http("http://nobody.invalid/".to_owned())).await;
    assert!(!nobody.green, "{}", nobody.said);
}

#[tokio::test]
async fn what_is_not_http_is_red_without_being_repeated() {
    let server = Server::answering("SSH-2.0-OpenSSH_9.2 hunter2\r\n").await;
    let red = ask(http(server.url("/"))).await;
    assert!(!red.green && !red.said.contains("hunter2"), "{}", red.said);
}

#[tokio::test]
async fn a_replaced_server_is_never_judged_by_an_old_connection() {
    let prober = Prober::new().unwrap();
    let question = |address: SocketAddr| {
        let ask = Ask::Version {
            url: format!("http://{address}/version"),
            field: None,
            expected: "1.4.2".to_owned(),
        };
        [Question {
            subject: Subject::Front,
            ask,
        }]
    };
    let bad = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1.5.0").await;
    let address = bad.address;
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(
            prober.ask(&question(address), LIMIT).await[0].said,
            "it says 1.5.0, expected 1.4.2"
        );
    }
    eprintln!(
        "one question with a new connection: {:?}",
        began.elapsed() / 100
    );
    assert_eq!(
        bad.connections.load(Ordering::Relaxed),
        100,
        "each question has its own connection"
    );
    drop(bad);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let good = Server::at(address, |stream| {
        keep_answering(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1.4.2")
    })
    .await;
    let answer = prober.ask(&question(good.address), LIMIT).await.remove(0);
    assert!(answer.green, "{}", answer.said);
}

#[tokio::test]
async fn what_answers_at_a_component_is_suggested() {
    let server = Server::new(|mut stream: TcpStream| async move {
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await.unwrap_or(0);
        let path = String::from_utf8_lossy(&request[..read]);
        let path = path
            .split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let (status, body) = match path.as_str() {
            "/healthz" => (200, "fine"),
            "/api/version" => (200, r#"{"version":"1.4.2"}"#),
            _ => (404, "no"),
        };
        let answer = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    });
    let server = server.await;
    let greedy = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>").await;
    let candidate = |component: &str, address: SocketAddr| Candidate {
        component: component.parse().unwrap(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: address.port(),
    };
    let silent = SocketAddr::from(([127, 0, 0, 1], 1));
    let candidates = [
        candidate("api", server.address),
        candidate("spa", greedy.address),
        candidate("dark", silent),
    ];
    let suggestions = Prober::new().unwrap().suggest(&candidates).await;
    assert_eq!(suggestions.len(), 2);
    let port = server.address.port();
    assert_eq!(
        suggestions[0].probes,
        [Probe::Http {
            port,
            path: "/healthz".to_owned(),
            status: None,
            contains: None
        }]
    );
    let endpoint = suggestions[0].version_endpoint.as_ref().unwrap();
    assert_eq!(
        (endpoint.path.as_str(), endpoint.field.as_deref()),
        ("/api/version", Some("version"))
    );
    assert_eq!(suggestions[0].says, Some("1.4.2".parse().unwrap()));
    assert_eq!(
        suggestions[1].probes,
        [Probe::Tcp {
            port: greedy.address.port()
        }],
        "its yes to everything means nothing"
    );
    assert_eq!(suggestions[1].version_endpoint, None);
}
