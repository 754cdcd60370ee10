//! One git command: its arguments as a list, an environment of its own, a time limit, bounded output. It asks nobody
//! for anything, runs no hook, and speaks one protocol.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::Stdio,
    time::Duration,
};

use domain::source::Source;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
};

use super::{SourceError, SourceKind};

/// Where git and what it starts are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Longest answer that is read; a list of 200 000 files is below it.
const OUTPUT_MAX: u64 = 64 << 20;
/// How much of what git complains about is kept.
const COMPLAINT_MAX: u64 = 4096;
/// Longest part of it that is passed on.
const SAID_CHARS_MAX: usize = 300;

/// How git is run for one repository.
pub(super) struct Git<'a> {
    pub(super) source: &'a Source,
    /// A configuration file of ours: nothing of the machine's or the user's is read.
    pub(super) config: &'a Path,
    pub(super) home: Option<&'a OsString>,
}

/// What one command is run with.
#[derive(Default)]
pub(super) struct At<'a> {
    /// The repository's folder, for commands on the cache.
    pub(super) git_dir: Option<&'a Path>,
    /// The folder that files are written to.
    pub(super) work_tree: Option<&'a Path>,
    /// The index that is used instead of the repository's.
    pub(super) index: Option<&'a Path>,
}

impl Git<'_> {
    /// Runs it; what it prints.
    pub(super) async fn run(
        &self,
        what: &str,
        args: &[&OsStr],
        at: &At<'_>,
        limit: Duration,
    ) -> Result<Vec<u8>, SourceError> {
        let mut command = self.command(args, at);
        let failed =
            |said: String| SourceError::new(SourceKind::Unreachable, format!("{what}: {said}"));
        let mut child = command.spawn().map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                failed("git is not installed on the server".to_owned())
            } else {
                failed(format!("git can not be run: {error}"))
            }
        })?;
        // What git starts (a transport, a helper) ends with it, also when nobody waits for it any more.
        let group = Group::of(&child);
        let (out, complaint) = (child.stdout.take(), child.stderr.take());
        let all = async {
            let (out, complaint) =
                tokio::join!(read(out, OUTPUT_MAX), read(complaint, COMPLAINT_MAX));
            (child.wait().await, out, complaint)
        };
        let (status, out, complaint) = tokio::time::timeout(limit, all)
            .await
            .map_err(|_| failed(format!("git was not done after {} s", limit.as_secs())))?;
        group.ended();
        let status = status.map_err(|error| failed(error.to_string()))?;
        if !status.success() {
            return Err(failed(self.plain(&complaint)));
        }
        if out.len() as u64 >= OUTPUT_MAX {
            return Err(failed("git's answer is too long".to_owned()));
        }
        Ok(out)
    }

    fn command(&self, args: &[&OsStr], at: &At<'_>) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.config)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // Words of ours only: git hands it to a shell, the address follows as an argument.
            .env(
                "GIT_SSH_COMMAND",
                "ssh -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=yes",
            );
        if let Some(home) = self.home {
            command.env("HOME", home);
        }
        for (name, value) in [
            ("GIT_DIR", at.git_dir),
            ("GIT_WORK_TREE", at.work_tree),
            ("GIT_INDEX_FILE", at.index),
        ] {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if let Some(folder) = at.work_tree.or(at.git_dir) {
            command.current_dir(folder);
        } else {
            command.current_dir("/");
        }
        for setting in self.settings() {
            command.arg("-c").arg(setting);
        }
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn settings(&self) -> Vec<String> {
        let protocol = match self.source.repository.split_once("://") {
            Some((scheme, _)) => scheme,
            None => "file",
        };
        let mut settings = vec![
            "core.hooksPath=/dev/null".to_owned(),
            "core.fsmonitor=false".to_owned(),
            "protocol.allow=never".to_owned(),
            format!("protocol.{protocol}.allow=always"),
            "submodule.recurse=false".to_owned(),
            "gc.auto=0".to_owned(),
            "maintenance.auto=false".to_owned(),
            // A redirect could lead anywhere, with our credentials.
            "http.followRedirects=initial".to_owned(),
            "http.lowSpeedLimit=1".to_owned(),
            "http.lowSpeedTime=30".to_owned(),
            // Empties the list of helpers.
            "credential.helper=".to_owned(),
        ];
        if let Some(helper) = &self.source.credential_helper {
            settings.push(format!("credential.helper={helper}"));
        }
        settings
    }

    /// One line of what git complained about, cut, and without anything that looks like credentials in a URL.
    fn plain(&self, complaint: &[u8]) -> String {
        let text = String::from_utf8_lossy(complaint);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("warning:"))
            .collect();
        let line = lines.join("; ");
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let line = without_credentials(&line);
        match line.char_indices().nth(SAID_CHARS_MAX) {
            Some((at, _)) => format!("{} ...", &line[..at]),
            None if line.is_empty() => "git failed without a word".to_owned(),
            None => line,
        }
    }
}

/// `https://user:secret@host/x` with what stands before the `@` struck out.
fn without_credentials(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + "://".len());
        clean.push_str(head);
        let end = tail
            .find(|c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"')
            .unwrap_or(tail.len());
        let (authority, after) = tail.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                clean.push_str("(hidden)@");
                clean.push_str(host);
            }
            None => clean.push_str(authority),
        }
        rest = after;
    }
    clean.push_str(rest);
    clean
}

/// Reads to the end, and keeps the beginning: a pipe that nobody empties would stop its writer.
async fn read(pipe: Option<impl AsyncRead + Unpin>, keep: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(pipe) = pipe else {
        return kept;
    };
    let mut head = pipe.take(keep);
    // A pipe that breaks ends: the exit status tells the rest.
    let _ = head.read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut head.into_inner(), &mut tokio::io::sink()).await;
    kept
}

/// The processes of one command.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// The command was waited for: its number may belong to somebody else from now on.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may just have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_complaint_are_struck_out() {
        assert_eq!(
            without_credentials("fatal: 'https://ana:s3cret@host/x' and ssh://git@h:22/y: no"),
            "fatal: 'https://(hidden)@host/x' and ssh://(hidden)@h:22/y: no"
        );
        assert_eq!(
            without_credentials("fatal: /srv/x@y is no"),
            "fatal: /srv/x@y is no"
        );
    }
}
