use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn an_address_is_checked_before_it_is_asked() {
    for bad in [
        "",
        "127.0.0.1:7423",
        "ftp://a",
        "http://",
        "https://ana:secret@a",
    ] {
        let failure = Client::at_url(bad, None).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{bad}");
        assert!(
            !failure.render(out::Paint::default()).contains("secret@a/"),
            "{bad}"
        );
    }
    assert_eq!(
        Client::at_url("http://127.0.0.1:1/", None).unwrap().base,
        "http://127.0.0.1:1"
    );
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    let path = std::env::temp_dir().join(format!("sternway-token-{}", std::process::id()));
    fs::write(&path, "rb_operator_0123\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(token_in(&path).unwrap_err().exit, Exit::Usage);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(token_in(&path).unwrap(), "rb_operator_0123");
    fs::remove_file(&path).unwrap();
    assert_eq!(token_in(&path).unwrap_err().exit, Exit::Usage);
    assert!(well_formed("a b").is_err());
}

#[test]
fn a_segment_can_not_leave_its_place() {
    assert_eq!(
        segment("1.4.2+build/../x?y#z"),
        "1.4.2%2Bbuild%2F..%2Fx%3Fy%23z"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_with_what_to_do() {
    let client = Client::at_socket(Path::new("/nonexistent/sternway.sock")).unwrap();
    let failure = client.get("/version").await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    let text = failure.render(out::Paint::default());
    assert!(
        text.contains("/nonexistent/sternway.sock can not be reached"),
        "{text}"
    );
    assert!(text.contains("sternway serve"), "{text}");
}

/// Answers each connection with the next of these and closes it.
async fn server(answers: Vec<String>) -> (Client, tokio::task::JoinHandle<Vec<String>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::at_url(
        &format!("http://{}", listener.local_addr().unwrap()),
        Some("t".to_owned()),
    )
    .unwrap();
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

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nX-Request-Id: r-7\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_problem_keeps_its_words_and_gets_the_request_id() {
    let body = r#"{"type":"urn:x","title":"Conflict","status":409,"detail":"busy \u001b[2J","next_actions":["wait"]}"#;
    let (client, _server) = server(vec![answer("409 Conflict", body)]).await;
    let failure = client.get("/api/v1/x").await.unwrap_err();
    assert_eq!(failure.exit, Exit::Conflict);
    assert_eq!(
        failure.render(out::Paint::default()),
        "error: busy\nnext: wait\nrequest r-7"
    );
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let (client, server) =
        server(vec![String::new(), answer("202 Accepted", r#"{"id":"1"}"#)]).await;
    let conditions = Conditions {
        idempotency_key: Some("k-1"),
        ..Conditions::default()
    };
    let reply = client
        .post("/api/v1/rollbacks", &serde_json::json!({}), conditions)
        .await
        .unwrap();
    assert_eq!((reply.status, reply.raw["id"].as_str()), (202, Some("1")));
    let asked = server.await.unwrap();
    assert!(
        asked
            .iter()
            .all(|request| request.contains("idempotency-key: k-1")
                && request.contains("authorization: Bearer t"))
    );
}

#[tokio::test]
async fn what_is_no_server_of_ours_is_said() {
    let (client, _server) = server(vec![answer("200 OK", "<html>")]).await;
    let failure = client.get("/version").await.unwrap_err();
    assert!(
        failure
            .render(out::Paint::default())
            .contains("is not a Sternway server")
    );
}

#[tokio::test]
async fn events_arrive_and_the_end_is_seen() {
    let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nid: 4\ndata: {}\n\n";
    let (client, server) = server(vec![stream.to_owned()]).await;
    let mut events = client.events("/e", Some("3")).await.unwrap();
    let frames = events.next().await.unwrap();
    assert_eq!(
        (frames[0].id.as_deref(), frames[0].data.as_str()),
        (Some("4"), "{}")
    );
    assert!(events.next().await.is_none());
    assert!(server.await.unwrap()[0].contains("last-event-id: 3"));
}
