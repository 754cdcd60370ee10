//! A client of few words: one connection per request, so that nothing is kept between them.

use std::net::SocketAddr;

use axum::body::Body;
use hyper::{Request, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's code, after the checks that every problem has to pass.
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{body}"
        );
        assert_eq!(body["status"], self.status);
        assert_eq!(
            body["instance"],
            format!("/requests/{}", self.header("x-request-id"))
        );
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert!(
            !body["detail"].as_str().unwrap().is_empty()
                && !body["title"].as_str().unwrap().is_empty()
        );
        code
    }

    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }
}

/// A request to be.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string();
        self.header("content-type", "application/json")
    }

    pub(crate) fn text(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self.header("content-type", "application/json")
    }

    pub(crate) async fn to(&self, address: SocketAddr) -> Reply {
        read(self.over(TcpStream::connect(address).await.unwrap()).await).await
    }

    pub(crate) async fn to_socket(&self, path: &std::path::Path) -> Reply {
        read(self.over(UnixStream::connect(path).await.unwrap()).await).await
    }

    /// The answer's head, with the body still to come.
    pub(crate) async fn open(&self, address: SocketAddr) -> hyper::Response<Incoming> {
        self.over(TcpStream::connect(address).await.unwrap()).await
    }

    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Response<Incoming> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(&self.path)
            .header("host", "sternway");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        sender
            .send_request(request.body(Body::from(self.body.clone())).unwrap())
            .await
            .unwrap()
    }
}

async fn read(response: hyper::Response<Incoming>) -> Reply {
    let (head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(Body::new(body), 8 << 20)
        .await
        .unwrap();
    Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}
