//! A shutdown ends what would never end by itself, and lets the rest finish.

use std::time::{Duration, Instant};

use axum::body::Body;
use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{client::Ask, house::House};

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_streams_and_long_polls_at_once() {
    let house = House::new().await;
    house.with_history("shop").await;
    let id = house.rollback("shop").await;
    let events = Ask::new("GET", &format!("/api/v1/rollbacks/{id}/events"))
        .token(&house.admin)
        .open(house.address)
        .await;
    let poll = {
        let (ask, address) = (
            Ask::new("GET", &format!("/api/v1/rollbacks/{id}?wait=60")).token(&house.admin),
            house.address,
        );
        tokio::spawn(async move { ask.to(address).await.status })
    };
    let mut idle = TcpStream::connect(house.address).await.unwrap();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    house.shutdown.cancel();
    assert_eq!(poll.await.unwrap(), 200);
    let mut frames = Body::new(events.into_body()).into_data_stream();
    while frames.next().await.is_some() {}
    house.served.await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "the drain took {:?}",
        began.elapsed()
    );
    assert!(!house.socket.exists(), "the socket file was left behind");
    assert!(
        TcpStream::connect(house.address).await.is_err(),
        "it still listens"
    );
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}
