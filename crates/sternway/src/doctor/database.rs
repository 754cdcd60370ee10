//! Looks at Postgres: the one that `DATABASE_URL` names, else what an embedded one would be made from.

use std::{path::Path, time::Duration};

use tokio::net::{TcpStream, UnixStream};

use super::Finding;
use crate::postgres::{self, MAJOR_MIN};

/// A database on the same network answers at once.
const KNOCK: Duration = Duration::from_secs(3);

/// Looks at the database. `url` is `DATABASE_URL`, which may hold a password and is never shown.
pub async fn look(url: Option<&str>, state: &Path) -> Vec<Finding> {
    match url {
        Some(url) => vec![reach(url).await],
        None => embedded(state),
    }
}

async fn reach(url: &str) -> Finding {
    let Some(place) = Place::of(url) else {
        let fix = "write it as postgres://user:password@host:5432/database";
        return Finding::fail("postgres", "DATABASE_URL is not the URL of a Postgres", fix);
    };
    let knock = async {
        match &place {
            Place::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).await.map(drop),
            Place::Socket(path) => UnixStream::connect(path).await.map(drop),
        }
    };
    let shown = place.words();
    let fix = "start it, or correct DATABASE_URL; Postgres 15 or newer is needed";
    match tokio::time::timeout(KNOCK, knock).await {
        Ok(Ok(())) => Finding::ok(
            "postgres",
            format!(
                "something listens at {shown}; the server's own check says whether it may log in"
            ),
        ),
        Ok(Err(error)) => Finding::fail(
            "postgres",
            format!("{shown} can not be reached: {error}"),
            fix,
        ),
        Err(_) => Finding::fail("postgres", format!("{shown} does not answer"), fix),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Tcp(String, u16),
    Socket(String),
}

impl Place {
    fn of(url: &str) -> Option<Self> {
        let url = reqwest::Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "postgres" | "postgresql"))?;
        let port = url.port().unwrap_or(5432);
        let named = url
            .query_pairs()
            .find(|(name, _)| name == "host")
            .map(|(_, host)| host.into_owned());
        let host = named
            .or_else(|| url.host_str().map(str::to_owned))
            .filter(|host| !host.is_empty())?;
        let host = host.replace("%2F", "/").replace("%2f", "/");
        if host.starts_with('/') {
            return Some(Self::Socket(format!("{host}/.s.PGSQL.{port}")));
        }
        Some(Self::Tcp(host.trim_matches(['[', ']']).to_owned(), port))
    }

    fn words(&self) -> String {
        match self {
            Self::Tcp(host, port) => format!("{host}:{port}"),
            Self::Socket(path) => path.clone(),
        }
    }
}

fn embedded(state: &Path) -> Vec<Finding> {
    let check = postgres::check(state);
    let mut findings = vec![match &check.chosen {
        Ok(chosen) => Finding::ok(
            "postgres",
            format!(
                "embedded: {} in {}",
                chosen.version,
                chosen.folder.display()
            ),
        ),
        Err(error) => Finding::fail(
            "postgres",
            error.to_string(),
            format!(
                "apt-get install postgresql ({MAJOR_MIN} or newer; its own service need not run), or set DATABASE_URL"
            ),
        ),
    }];
    findings.push(match &check.runs_as {
        Ok(user) => Finding::ok("postgres user", format!("it runs as {user}")),
        Err(error) => Finding::fail(
            "postgres user",
            error.to_string(),
            "Postgres never runs as root: make that user, or run the server as another one",
        ),
    });
    if !check.dies_with_us {
        let found = "it lives on when the server is killed; the next start takes it over";
        findings.push(Finding::warn(
            "postgres life",
            found,
            "install `setpriv` (package util-linux) to have it end with the server",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_database_is_found_in_its_url() {
        let tcp = |host: &str, port| Some(Place::Tcp(host.to_owned(), port));
        assert_eq!(
            Place::of("postgres://u:p@db.example/x"),
            tcp("db.example", 5432)
        );
        assert_eq!(Place::of("postgresql://[::1]:5433/x"), tcp("::1", 5433));
        let socket = Some(Place::Socket("/run/pg/.s.PGSQL.5432".to_owned()));
        assert_eq!(Place::of("postgres:///x?host=/run/pg"), socket);
        assert_eq!(
            Place::of("postgres://u@localhost/x?host=%2Frun%2Fpg"),
            socket
        );
        assert_eq!(Place::of("mysql://a/b"), None);
    }

    #[tokio::test]
    async fn a_database_that_is_not_there_fails_without_its_password() {
        let finding = &look(Some("postgres://u:hunter2@127.0.0.1:1/x"), Path::new("/x")).await[0];
        assert_eq!(finding.state, State::Fail);
        assert!(!format!("{finding:?}").contains("hunter2"));
    }
}
