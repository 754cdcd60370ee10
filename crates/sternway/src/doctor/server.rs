//! Looks at the server: does it run, is it ready, and do its clock and ours agree.

use domain::time::Moment;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::Finding;
use crate::{
    cli::args::Globals,
    client::{Client, Reply},
    exit::Exit,
    progress::now,
};

/// Deadlines are judged by the database's clock and shown by ours; a few seconds change no decision.
const SKEW_MS_MAX: u64 = 5_000;

/// Looks at the server.
pub async fn look(globals: &Globals) -> Vec<Finding> {
    let client = match Client::new(globals) {
        Ok(client) => client,
        Err(failure) => {
            return vec![Finding::fail(
                "server",
                said(&failure),
                "correct the settings of the client",
            )];
        }
    };
    let version = match client.get("/version").await {
        Ok(reply) => reply,
        // Whoever names a server means one that runs; without a name it may be looked at before there is one.
        Err(failure) if failure.exit == Exit::Unreachable && globals.url.is_some() => {
            return vec![Finding::fail(
                "server",
                said(&failure),
                "start it there, or correct STERNWAY_URL",
            )];
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            return vec![Finding::warn(
                "server",
                said(&failure),
                "start it with `sternway serve`, or name it in STERNWAY_URL",
            )];
        }
        Err(failure) => {
            return vec![Finding::fail(
                "server",
                said(&failure),
                "look at the server's log",
            )];
        }
    };
    let mut findings = vec![runs(&client, &version)];
    findings.push(match client.get("/health/ready").await {
        Ok(_) => Finding::ok(
            "server ready",
            "it takes requests and its database takes writes",
        ),
        Err(failure) => Finding::fail(
            "server ready",
            reasons(&failure),
            "look at the server's log, and at its database",
        ),
    });
    findings.extend(skew(&version, now()));
    findings
}

fn said(failure: &crate::client::problem::Failure) -> String {
    failure
        .problem
        .detail
        .clone()
        .unwrap_or_else(|| failure.problem.title.clone())
}

fn reasons(failure: &crate::client::problem::Failure) -> String {
    let said = said(failure);
    if said.is_empty() {
        "not ready".to_owned()
    } else {
        said
    }
}

fn runs(client: &Client, version: &Reply) -> Finding {
    let theirs = version.raw["version"]
        .as_str()
        .unwrap_or("an unknown version")
        .to_owned();
    let ours = env!("CARGO_PKG_VERSION");
    let found = format!("{theirs} at {}", client.place());
    if theirs == ours {
        return Finding::ok("server", found);
    }
    Finding::warn(
        "server",
        found,
        format!("this command is {ours}; use the same version as the server"),
    )
}

fn skew(reply: &Reply, here: Moment) -> Option<Finding> {
    let date = reply.date.as_deref()?;
    // HTTP says GMT where the mail format that is otherwise the same says +0000.
    let there = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822)
        .ok()
        .map(Moment::from)?;
    let apart = here.since(there).max(there.since(here));
    if apart.0 > SKEW_MS_MAX {
        let found = format!("the server's clock and ours are {apart} apart");
        return Some(Finding::warn("clocks", found, "let NTP set both"));
    }
    Some(Finding::ok("clocks", "the server's clock and ours agree"))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_said() {
        let reply = Reply {
            status: 200,
            etag: None,
            date: Some("Sun, 22 Nov 2026 08:35:00 GMT".to_owned()),
            raw: serde_json::Value::Null,
        };
        let here = Moment::from_unix_ms(1_795_336_500_000);
        assert_eq!(skew(&reply, here).unwrap().state, State::Ok);
        let late = skew(&reply, Moment::from_unix_ms(here.unix_ms() - 90_000)).unwrap();
        assert_eq!(
            (late.state, late.found.as_str()),
            (
                State::Warn,
                "the server's clock and ours are 1 min 30 s apart"
            )
        );
    }

    #[tokio::test]
    async fn a_server_that_does_not_run_is_a_failure_when_it_is_named() {
        let globals = Globals {
            state_dir: Some("/nonexistent/x".into()),
            ..Globals::default()
        };
        assert_eq!(look(&globals).await[0].state, State::Warn);
        let named = Globals {
            // A port that nobody listens at.
            url: Some("http://127.0.0.1:9".to_owned()),
            ..globals
        };
        assert_eq!(look(&named).await[0].state, State::Fail);
    }
}
