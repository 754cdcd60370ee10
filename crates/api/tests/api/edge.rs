//! Clients that dawdle, at small scale. slowhttptest does the same at large scale in the suite.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{client::Ask, house::House};

/// Reads until the server closes; what came, and when.
async fn rest(stream: &mut TcpStream, began: Instant) -> (String, Duration) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut bytes)).await;
    assert!(read.is_ok(), "the server never closed");
    (
        String::from_utf8_lossy(&bytes).into_owned(),
        began.elapsed(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_half_a_header_is_cut_off_after_five_seconds() {
    let house = House::new().await;
    let began = Instant::now();
    let mut tasks = Vec::new();
    for start in [
        "",
        "P",
        "PRI * HT",
        "GET / HTTP/1.1\r\nhost: x\r\n",
        "GET /health/live HTTP/1.1\r\nx: ",
    ] {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        tasks.push(tokio::spawn(async move {
            (start, rest(&mut stream, began).await)
        }));
    }
    // One that sends a byte now and then is no better.
    let mut slow = TcpStream::connect(house.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let drip = tokio::spawn(async move {
        while slow.write_all(b"x-a: b\r\n").await.is_ok()
            && began.elapsed() < Duration::from_secs(30)
        {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        began.elapsed()
    });
    assert_eq!(
        Ask::new("GET", "/health/live")
            .to(house.address)
            .await
            .status,
        200
    );
    for task in tasks {
        let (start, (_, took)) = task.await.unwrap();
        assert!(
            (4..25).contains(&took.as_secs()),
            "{start:?} was kept for {took:?}"
        );
    }
    let dripped = drip.await.unwrap();
    assert!(
        (4..25).contains(&dripped.as_secs()),
        "a drip was kept for {dripped:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_answered_408() {
    let house = House::new().await;
    let began = Instant::now();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /api/v1/tokens HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        house.admin
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (answer, took) = rest(&mut stream, began).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"),
        "{answer}"
    );
    assert!((9..35).contains(&took.as_secs()), "{took:?}");
}

/// At a hook, where nobody has a token: many headers, long ones, and a drip that never ends are cut off before they are read.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_headers_are_cut_off_and_nothing_is_kept() {
    let house = House::new().await;
    let began = Instant::now();
    let start =
        "POST /api/v1/hooks/pager HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    let same = "x-pagerduty-signature: v1=00\r\n".repeat(500);
    let long = format!("x-long: {}\r\n", "y".repeat(100_000));
    let name = format!("{}: y\r\n", "x".repeat(100_000));
    for flood in [many, same, long, name] {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        let whole = format!("{start}{flood}content-length: 2\r\n\r\n{{}}");
        // What it cuts off may be told before all of it is sent.
        let _ = stream.write_all(whole.as_bytes()).await;
        let mut status = [0_u8; 12];
        let answered = stream.read_exact(&mut status).await;
        // A reset is an answer too: the kernel's, where some of the flood was never read.
        assert!(
            answered.is_err() || &status == b"HTTP/1.1 431",
            "{}",
            String::from_utf8_lossy(&status)
        );
    }
    // As much as senders send is read, and then refused for what it lacks.
    let some: String = (0..60).map(|n| format!("x-{n}: y\r\n")).collect();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let whole = format!("{start}{some}content-length: 2\r\nconnection: close\r\n\r\n{{}}");
    stream.write_all(whole.as_bytes()).await.unwrap();
    let (answer, _) = rest(&mut stream, began).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(20));
    let desk = store::Desk::Intake;
    let kept = house.store.inbox_due(desk, 64, Duration::from_secs(60));
    assert!(kept.await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_announced_too_long_is_refused_before_it_comes() {
    let house = House::new().await;
    let began = Instant::now();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /api/v1/tokens HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n",
        house.admin
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (answer, took) = rest(&mut stream, began).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"),
        "{answer}"
    );
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_too_slowly_is_cut_off() {
    let house = House::new().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut stream = socket.connect(house.address).await.unwrap();
    // Hundreds of answers asked for at once and never read: more than the kernel takes on the server's behalf.
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(400);
    let began = Instant::now();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.write_all(&request)).await;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // A reset shows up as an error of the next write.
        let write = tokio::time::timeout(Duration::from_millis(200), stream.write_all(b"G")).await;
        if matches!(write, Ok(Err(_))) {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(35),
            "a client that does not read is still connected"
        );
    }
    assert!(
        began.elapsed() > Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_with_prior_knowledge() {
    let house = House::new().await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    // The preface and empty settings; the server answers with a settings frame (type 4).
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut frame = [0_u8; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4);
}
