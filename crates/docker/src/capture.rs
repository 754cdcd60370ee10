//! The last words of a container, for the incident report. Values of its environment are hidden.

use std::{collections::VecDeque, time::Duration};

use bollard::{container::LogOutput, query_parameters::LogsOptions};
use domain::name::ContainerId;
use futures_util::StreamExt;
use serde_json::Value;

use crate::{
    connect::Engine,
    error::{Error, Kind},
};

/// Lines from the end of the log.
const LINES_MAX: &str = "500";
/// Bytes of log that are kept, the last ones: an artifact, not an archive.
const BYTES_MAX: usize = 256 << 10;
/// Evidence is worth a few seconds of an outage and no more.
const LIMIT: Duration = Duration::from_secs(5);

/// What a container said, and what the engine says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The last lines of its log, each with its time; what is missing is said at the end.
    pub logs: String,
    /// Its inspection as JSON, without the values of its environment.
    pub inspection: String,
    /// Whether the log was longer than what is kept.
    pub truncated: bool,
}

impl Engine {
    /// The last logs and the inspection of a container.
    pub(crate) async fn capture(&self, container: &ContainerId) -> Result<Capture, Error> {
        let Some(inspect) = self.inspection(container.as_str()).await? else {
            return Err(Error::new(
                Kind::Missing,
                format!("container {} is not there", container.short()),
            ));
        };
        let inspection = redacted(inspect.raw)?;
        let mut tail = Tail::default();
        let what = format!("read the log of container {}", container.short());
        let read = tokio::time::timeout(LIMIT, self.read_log(&what, container, &mut tail)).await;
        let note = match read {
            Ok(Ok(())) => None,
            // A log driver that can not be read is no reason to lose the rest.
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(Error::timed_out(&what, LIMIT).to_string()),
        };
        let truncated = tail.truncated;
        let mut logs = tail.text();
        if let Some(note) = note {
            logs.push_str(&format!("[sternway: {note}]\n"));
        }
        Ok(Capture {
            logs,
            inspection,
            truncated,
        })
    }

    async fn read_log(
        &self,
        what: &str,
        container: &ContainerId,
        tail: &mut Tail,
    ) -> Result<(), Error> {
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            timestamps: true,
            tail: LINES_MAX.to_owned(),
            ..LogsOptions::default()
        };
        let name = container.to_string();
        let stream = self.call(what, LIMIT, |docker| async move {
            Ok(docker.logs(&name, Some(options)).boxed())
        });
        let mut stream = stream.await?;
        while let Some(piece) = stream.next().await {
            tail.push(piece.map_err(|error| Error::of(what, error))?);
        }
        Ok(())
    }
}

/// The last bytes of a log of any length.
#[derive(Default)]
struct Tail {
    pieces: VecDeque<LogOutput>,
    bytes: usize,
    truncated: bool,
}

impl Tail {
    fn push(&mut self, piece: LogOutput) {
        self.bytes += piece.as_ref().len();
        self.pieces.push_back(piece);
        while self.bytes > BYTES_MAX {
            let Some(oldest) = self.pieces.pop_front() else {
                return;
            };
            self.bytes -= oldest.as_ref().len();
            self.truncated = true;
        }
    }

    fn text(self) -> String {
        self.pieces
            .iter()
            .map(|piece| String::from_utf8_lossy(piece.as_ref()))
            .collect()
    }
}

fn redacted(mut inspect: Value) -> Result<String, Error> {
    let env = inspect
        .pointer_mut("/Config/Env")
        .and_then(Value::as_array_mut);
    for entry in env.into_iter().flatten() {
        if let Some((name, _)) = entry.as_str().and_then(|entry| entry.split_once('=')) {
            *entry = Value::String(format!("{name}=(hidden)"));
        }
    }
    serde_json::to_string_pretty(&inspect)
        .map_err(|error| Error::new(Kind::Unreadable, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_log_is_kept() {
        let mut tail = Tail::default();
        for n in 0..100 {
            tail.push(LogOutput::StdOut {
                message: format!("{n:03} {}\n", "x".repeat(10_000)).into(),
            });
        }
        assert!(tail.truncated && tail.bytes <= BYTES_MAX);
        assert!(
            tail.text()
                .lines()
                .last()
                .is_some_and(|line| line.starts_with("099 "))
        );
    }

    #[test]
    fn no_value_of_the_environment_is_captured() {
        let inspect = serde_json::json!(
            {"Id": "1", "Config": {"Env": ["PASSWORD=hunter2=x", "BARE"], "MacAddress": "02:42"}}
        );
        let text = redacted(inspect).unwrap();
        assert!(text.contains("02:42"), "nothing else is left out");
        assert!(
            text.contains("PASSWORD=(hidden)")
                && text.contains("BARE")
                && !text.contains("hunter2")
        );
    }
}
