//! `doctor`: looks at everything that Sternway needs, changes nothing, and says what to do about each fault.

pub mod database;
pub mod engine;
pub mod folder;
pub mod past;
pub mod server;

use serde::Serialize;

use crate::{
    cli::args::{DoctorArgs, Globals},
    client::{self, problem::Failure},
    exit::Exit,
    out::{Out, Paint, one_line},
};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and there is something to know.
    Warn,
    /// It does not work.
    Fail,
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// It is as it should be.
    #[must_use]
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Ok,
            found: one_line(&found.into()),
            fix: None,
        }
    }

    /// There is something to know.
    #[must_use]
    pub fn warn(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Warn,
            found: one_line(&found.into()),
            fix: Some(fix.into()),
        }
    }

    /// It does not work.
    #[must_use]
    pub fn fail(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Fail,
            found: one_line(&found.into()),
            fix: Some(fix.into()),
        }
    }

    fn line(&self, paint: Paint) -> String {
        let word = match self.state {
            State::Ok => paint.good("ok  "),
            State::Warn => paint.warn("warn"),
            State::Fail => paint.bad("FAIL"),
        };
        let line = format!("{word}  {:<13} {}", self.check, self.found);
        match &self.fix {
            Some(fix) => format!("{line}\n      {:<13} fix: {}", "", one_line(fix)),
            None => line,
        }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether nothing failed.
    pub ok: bool,
    /// What was found, in the order in which it was looked at.
    pub findings: Vec<Finding>,
}

impl Report {
    fn of(findings: Vec<Finding>) -> Self {
        Self {
            ok: findings.iter().all(|finding| finding.state != State::Fail),
            findings,
        }
    }

    /// The report for a person.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        self.findings
            .iter()
            .map(|finding| finding.line(paint))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The command.
///
/// # Errors
/// When no place for a state folder is known.
pub async fn run(args: &DoctorArgs, globals: &Globals, out: &Out) -> Result<Exit, Failure> {
    let state = client::state_folder(globals)?;
    let (mut findings, database, server) = tokio::join!(
        engine::look(args.docker_host.as_deref()),
        database::look(args.database_url.as_deref(), &state),
        server::look(globals),
    );
    findings.extend(database);
    findings.extend(folder::look(&state));
    findings.extend(server);
    findings.extend(past::look(globals).await);
    let report = Report::of(findings);
    if out.json {
        out.object(&report);
    } else {
        out.data(&report.render(out.data));
    }
    Ok(if report.ok {
        Exit::Reached
    } else {
        Exit::Internal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_how_it_is_and_what_to_do() {
        let report = Report::of(vec![
            Finding::ok("engine", "20.10.24"),
            Finding::warn("socket", "open to all", "chmod 660 it"),
            Finding::fail("disk", "full\u{1b}[2J", "make room"),
        ]);
        assert!(!report.ok);
        assert_eq!(
            report.render(Paint::default()),
            "ok    engine        20.10.24\nwarn  socket        open to all\n                    fix: chmod 660 it\n\
             FAIL  disk          full\n                    fix: make room"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (json["ok"].clone(), json["findings"][1]["state"].clone()),
            (false.into(), "warn".into())
        );
    }

    #[test]
    fn a_warning_is_no_failure() {
        assert!(Report::of(vec![Finding::warn("server", "does not run", "start it")]).ok);
    }
}
