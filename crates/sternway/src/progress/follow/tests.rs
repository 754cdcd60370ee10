use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use uuid::Uuid;

use super::*;
use crate::{
    out::{Out, Paint},
    progress::tree::Tree,
};

/// Answers each connection with the next of these and closes it; gives back what was asked.
async fn server(answers: Vec<String>) -> (Client, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client =
        Client::at_url(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let task = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (client, task)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn event(seq: i32, event: Value) -> String {
    let data = serde_json::json!({"seq": seq, "at": "2026-11-22T08:20:31Z", "actor": "ana", "sentence": format!("said {seq}"), "event": event});
    format!("id: {seq}\nevent: x\ndata: {data}\n\n")
}

fn step_done() -> Value {
    serde_json::json!({"event": "step_done", "note": "n"})
}

fn stream(events: &[String]) -> String {
    answer("200 OK", "text/event-stream", &events.concat())
}

fn view(steps: usize) -> View {
    let silent = Out {
        json: false,
        data: Paint::default(),
        talk: Paint::default(),
        live: false,
        asks: false,
    };
    View::new(
        silent,
        Tree::new(
            "a test".to_owned(),
            (0..steps).map(|step| format!("step {step}")),
        ),
    )
}

fn id() -> RollbackId {
    RollbackId(Uuid::nil())
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_where_it_was_cut() {
    let first = stream(&[
        event(1, serde_json::json!({"event": "requested"})),
        event(2, step_done()),
    ]);
    let verdict = serde_json::json!({"event": "ended", "verdict": "rolled_back", "good": true});
    let second = stream(&[
        event(3, serde_json::json!({"event": "one_of_the_future"})),
        event(4, step_done()),
        event(5, verdict),
    ]);
    let (client, server) = server(vec![first, second]).await;
    let mut view = view(2);
    let ending = Follower::new(&client, id(), Until::End, true)
        .follow(&mut view)
        .await
        .unwrap();
    assert_eq!(ending, Ending::Ended);
    assert_eq!(
        view.tree.verdict().map(domain::verdict::Verdict::word),
        Some("rolled_back")
    );
    let asked = server.await.unwrap();
    assert!(
        !asked[0].contains("last-event-id") && asked[1].contains("last-event-id: 2"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn without_a_stream_the_server_is_asked() {
    let busy = answer(
        "503 Service Unavailable",
        "application/problem+json",
        r#"{"title":"Too many open streams","status":503}"#,
    );
    let rollback = serde_json::json!({
        "id": Uuid::nil(), "application": "shop", "to": "1.4.2", "phase": "watching", "requested_by": "ana", "reason": "critical_bug",
        "requested_at": "2026-11-22T08:20:31Z", "plan_digest": "ab".repeat(32), "log": {"seq": 4, "head": "cd".repeat(32)}
    });
    let steps = serde_json::json!({"items": [{"number": 1, "title": "check", "sentence": "Check.", "state": "done",
        "started_at": "2026-11-22T08:20:31Z", "duration_ms": 40, "note": "ready"}]});
    let json = |value: Value| answer("200 OK", "application/json", &value.to_string());
    let (client, _server) = server(vec![busy, json(rollback), json(steps)]).await;
    let mut view = view(1);
    let ending = Follower::new(&client, id(), Until::Proof, true)
        .follow(&mut view)
        .await
        .unwrap();
    assert_eq!(ending, Ending::Proved);
    assert_eq!(view.tree.rows[0].note, "ready");
}

#[tokio::test]
async fn what_does_not_exist_is_not_asked_for_again() {
    let gone = || {
        answer(
            "404 Not Found",
            "application/problem+json",
            r#"{"title":"Not found","status":404,"detail":"there is no such rollback"}"#,
        )
    };
    let (client, _server) = server(vec![gone(), gone()]).await;
    let failure = Follower::new(&client, id(), Until::End, true)
        .follow(&mut view(1))
        .await
        .unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
}
