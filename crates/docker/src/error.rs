//! What went wrong with an engine, without a word of what a container keeps secret.

use domain::effect::{Failure, Outcome};

/// Longest text of the engine's own that is passed on.
const SAID_CHARS_MAX: usize = 300;

/// What the engine says while it goes down or its containerd is away: the act may have happened or not.
const GOING_DOWN: [&str; 6] = [
    "ttrpc: closed",
    "transport is closing",
    "client connection is closing",
    "context canceled",
    "containerd.sock",
    "server is shutting down",
];

/// A call to an engine that did not go well: a whole sentence, fit for a log.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub struct Error {
    kind: Kind,
    said: String,
    #[source]
    source: Option<bollard::errors::Error>,
}

/// Kinds of failures that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The endpoint is not one that we can reach.
    BadEndpoint,
    /// Nobody answers there: nothing happened.
    Unreachable,
    /// The connection broke or the time was up: it may have happened or not.
    Broken,
    /// What it was about is not there.
    Missing,
    /// The name is taken.
    NameTaken,
    /// There is no room left.
    DiskFull,
    /// An image can not be had from where it should be.
    NotSupplied,
    /// Somebody newer acts on this application.
    Fenced,
    /// There is no specification to create the container from.
    NoSpecification,
    /// The engine answered something that we do not understand.
    Unreadable,
    /// A build ran and did not end well.
    BuildFailed,
    /// Any other no of the engine.
    Refused,
}

impl Error {
    pub(crate) fn new(kind: Kind, said: impl Into<String>) -> Self {
        Self {
            kind,
            said: said.into(),
            source: None,
        }
    }

    pub(crate) fn timed_out(what: &str, limit: std::time::Duration) -> Self {
        Self::new(
            Kind::Broken,
            format!("{what}: no answer within {} s", limit.as_secs_f32()),
        )
    }

    /// What the error of a call means. The engine's answer is quoted, cut and in one line.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a foreign enum of 30 variants, most of which can not happen here"
    )]
    pub(crate) fn of(what: &str, error: bollard::errors::Error) -> Self {
        use bollard::errors::Error as Call;
        let kind = kind(&error);
        let why = match &error {
            Call::DockerResponseServerError { message, .. } => {
                return Self::new(kind, format!("{what}: {}", plain(message)));
            }
            // Its text quotes the value that did not fit, which may be anything.
            Call::JsonDataError { column, .. } => {
                format!("the engine's answer is not understood at column {column}")
            }
            Call::JsonSerdeError { err } => format!(
                "the engine's answer is not understood ({:?})",
                err.classify()
            ),
            Call::SocketNotFoundError(path) => format!("there is no socket {path}"),
            Call::HyperLegacyError { .. }
            | Call::HyperResponseError { .. }
            | Call::IOError { .. } => broken(&error),
            other => plain(&other.to_string()),
        };
        let source = (!matches!(kind, Kind::Unreadable)).then_some(error);
        Self {
            kind,
            said: format!("{what}: {why}"),
            source,
        }
    }

    /// The same, said of an image that was to be brought: what the engine passes on of a registry or an archive is no
    /// word about the engine itself.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a foreign enum of 30 variants, most of which can not happen here"
    )]
    pub(crate) fn of_supply(what: &str, error: bollard::errors::Error) -> Self {
        let said = match &error {
            bollard::errors::Error::DockerStreamError { error } => error.clone(),
            bollard::errors::Error::DockerResponseServerError { message, .. } => message.clone(),
            _ => return Self::of(what, error),
        };
        let kind = if said.contains("no space left on device") {
            Kind::DiskFull
        } else if GOING_DOWN.iter().any(|sign| said.contains(sign)) {
            Kind::Broken
        } else {
            Kind::NotSupplied
        };
        Self::new(kind, format!("{what}: {}", plain(&said)))
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the engine itself did not answer: a reason to wait for it, not to give up.
    #[must_use]
    pub fn unreachable(&self) -> bool {
        matches!(self.kind, Kind::Unreachable | Kind::Broken)
    }

    /// What this means for an effect that was asked for.
    #[must_use]
    pub fn into_outcome(self) -> Outcome {
        let failure = match self.kind {
            Kind::Unreachable | Kind::Broken | Kind::Unreadable => {
                return Outcome::Unknown { said: self.said };
            }
            Kind::Missing => Failure::Missing,
            Kind::NameTaken => Failure::NameTaken,
            Kind::DiskFull => Failure::DiskFull,
            Kind::NotSupplied => Failure::NotSupplied,
            Kind::Fenced => Failure::Fenced,
            Kind::NoSpecification => Failure::Unreadable,
            Kind::BuildFailed => Failure::BuildFailed,
            Kind::BadEndpoint | Kind::Refused => Failure::Refused,
        };
        Outcome::Failed {
            failure,
            said: self.said,
        }
    }

    /// The same with every one of these values struck out: an engine may quote what it was sent.
    pub(crate) fn without(mut self, secrets: &[String]) -> Self {
        for value in secrets
            .iter()
            .filter_map(|entry| entry.split_once('='))
            .map(|(_, value)| value)
        {
            // Shorter ones would strike out half the alphabet and protect nothing.
            if value.len() >= 4 {
                self.said = self.said.replace(value, "(hidden)");
            }
        }
        self
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign enum of 30 variants, most of which can not happen here"
)]
fn kind(error: &bollard::errors::Error) -> Kind {
    use bollard::errors::Error as Call;
    match error {
        Call::DockerResponseServerError {
            status_code,
            message,
        } => kind_of_answer(*status_code, message),
        Call::SocketNotFoundError(_) => Kind::Unreachable,
        Call::HyperLegacyError { err } if err.is_connect() => Kind::Unreachable,
        Call::HyperLegacyError { .. }
        | Call::HyperResponseError { .. }
        | Call::IOError { .. }
        | Call::RequestTimeoutError
        | Call::DockerStreamError { .. } => Kind::Broken,
        Call::JsonSerdeError { err } if err.is_eof() => Kind::Broken,
        Call::JsonSerdeError { .. }
        | Call::JsonDataError { .. }
        | Call::APIVersionParseError {}
        | Call::StrParseError { .. } => Kind::Unreadable,
        _ => Kind::Refused,
    }
}

fn kind_of_answer(status: u16, message: &str) -> Kind {
    if message.contains("no space left on device") {
        return Kind::DiskFull;
    }
    let passes = GOING_DOWN.iter().any(|sign| message.contains(sign)) || left_behind(message);
    if status >= 500 && passes {
        return Kind::Broken;
    }
    match status {
        404 => Kind::Missing,
        409 if message.contains("already in use") => Kind::NameTaken,
        _ => Kind::Refused,
    }
}

/// Whether containerd still holds a task that the engine had asked for when it was killed: seen with 26.1, for as long
/// as containerd takes to put it away.
fn left_behind(message: &str) -> bool {
    message.starts_with("task ") && message.ends_with("already exists")
}

/// How a connection broke: what the system says of it, where it says something.
fn broken(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind().to_string();
        }
        cause = error.source();
    }
    "the connection was closed before the answer".to_owned()
}

/// One line without control characters, cut.
fn plain(text: &str) -> String {
    let line: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match line.char_indices().nth(SAID_CHARS_MAX) {
        Some((at, _)) => format!("{} ...", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> Error {
        let message = message.to_owned();
        Error::of(
            "create web",
            bollard::errors::Error::DockerResponseServerError {
                status_code,
                message,
            },
        )
    }

    #[test]
    fn an_answer_is_told_apart_by_what_it_means() {
        let kinds = [
            answer(404, "No such container: web"),
            answer(
                409,
                "Conflict. The container name \"/web\" is already in use by container \"1\"",
            ),
            answer(500, "mkdir /var/lib/docker/x: no space left on device"),
            answer(409, "You cannot remove a running container"),
            answer(500, "ttrpc: closed: unknown"),
            answer(500, "task c325aa500eca: already exists"),
        ]
        .map(|error| error.kind());
        assert_eq!(
            kinds,
            [
                Kind::Missing,
                Kind::NameTaken,
                Kind::DiskFull,
                Kind::Refused,
                Kind::Broken,
                Kind::Broken
            ]
        );
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_unknown() {
        let error = Error::of("stop web", bollard::errors::Error::RequestTimeoutError);
        assert!(error.unreachable());
        assert!(matches!(error.into_outcome(), Outcome::Unknown { .. }));
    }

    #[test]
    fn an_environment_value_that_the_engine_quotes_is_struck_out() {
        let error = answer(400, "invalid environment variable: hunter2\u{1b}[31m")
            .without(&["PASSWORD=hunter2".to_owned()]);
        assert_eq!(
            error.to_string(),
            "create web: invalid environment variable: (hidden) [31m"
        );
    }
}
