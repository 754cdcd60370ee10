//! The events of a rollback as they happen: a stream that is taken up again after a cut, where it was cut.

use std::time::Duration;

use reqwest::{Method, Response, header};

use super::{
    Client,
    problem::Failure,
    sse::{Frame, Parser},
};
use crate::exit::Exit;

/// The server says something at least every 15 s; three silences in a row mean that the line is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// An open stream.
#[derive(Debug)]
pub struct Events {
    response: Response,
    parser: Parser,
}

impl Client {
    /// The events after `last`, or all of them.
    ///
    /// # Errors
    /// When the server can not be reached or says no.
    pub async fn events(&self, path: &str, last: Option<&str>) -> Result<Events, Failure> {
        let mut request = self
            .request(Method::GET, path)
            .header(header::ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let sent = tokio::time::timeout(super::CONNECT_LIMIT * 2, request.send()).await;
        let response = sent
            .map_err(|_| self.silent())?
            .map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return match self.reply(response).await {
                Err(failure) => Err(failure),
                Ok(reply) => Err(Failure::new(
                    Exit::Internal,
                    format!("{} is no stream of events", reply.status),
                    &[],
                )),
            };
        }
        Ok(Events {
            response,
            parser: Parser::default(),
        })
    }

    fn silent(&self) -> Failure {
        Failure::new(
            Exit::Unreachable,
            format!("the server at {} fell silent", self.place),
            &["`sternway doctor` looks further"],
        )
    }
}

impl Events {
    /// The next events; `None` when the stream has ended, whatever ended it.
    pub async fn next(&mut self) -> Option<Vec<Frame>> {
        loop {
            let chunk = tokio::time::timeout(SILENCE_MAX, self.response.chunk())
                .await
                .ok()?
                .ok()??;
            let frames = self.parser.push(&chunk).ok()?;
            if !frames.is_empty() {
                return Some(frames);
            }
        }
    }
}
