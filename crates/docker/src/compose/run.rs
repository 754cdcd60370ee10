//! The site's own Compose as a child process: arguments only, a cleared environment, bounded time and output. It
//! is only ever asked to read, but by `front adopt` and `front release`.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, Command},
};

/// It reads files and asks the engine for images: half a second on a quiet machine, a few on a busy one.
const LIMIT: Duration = Duration::from_secs(15);
/// A stop takes its grace period, a start what the engine needs: minutes are a fault.
const ACT_LIMIT: Duration = Duration::from_secs(300);
/// A project with hundreds of services is shorter.
const OUTPUT_BYTES_MAX: u64 = 4 << 20;
/// Longest text of its own that is passed on.
const SAID_CHARS_MAX: usize = 300;

/// What Compose is called on this machine, in the order in which it is looked for.
const PROGRAMS: [&[&str]; 2] = [&["docker-compose"], &["docker", "compose"]];

/// A Compose that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compose {
    program: &'static [&'static str],
    version: String,
}

/// Where and with what it is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) docker_host: &'a str,
    /// A variable that wins over the environment file.
    pub(crate) variable: Option<(&'a str, &'a str)>,
    /// What it reads from its standard input, when it is told to.
    pub(crate) input: Option<&'a str>,
}

impl Compose {
    /// Every Compose on this machine.
    pub(crate) async fn all() -> Vec<Self> {
        let mut found = Vec::new();
        for program in PROGRAMS {
            let call = Call {
                folder: Path::new("/"),
                docker_host: "",
                variable: None,
                input: None,
            };
            if let Ok(version) = output(program, &["version", "--short"], &call).await {
                let version = version.trim().trim_start_matches('v').to_owned();
                found.push(Self { program, version });
            }
        }
        found
    }

    /// The one that made a project: containers carry its version. Compose 1 and 2 do not understand each other's
    /// marks.
    pub(crate) fn that_made(version: Option<&str>, all: &[Self]) -> Result<Self, String> {
        let generation = |version: &str| version.split('.').next() == Some("1");
        let fits = |compose: &&Self| {
            version.is_none_or(|made| generation(made) == generation(&compose.version))
        };
        if let Some(compose) = all.iter().find(fits) {
            return Ok(compose.clone());
        }
        let made = version.unwrap_or("any");
        Err(match all.first() {
            Some(other) => format!(
                "the project was started by Compose {made}, and here is only {}",
                other.version
            ),
            None => format!(
                "there is no `docker-compose` and no `docker compose` where Sternway runs (the project was started by {made})"
            ),
        })
    }

    /// Its name and version.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.program.join(" "), self.version)
    }

    /// Whether it prints JSON when asked to.
    pub(crate) fn speaks_json(&self) -> bool {
        !self.version.starts_with("1.")
    }

    /// What it prints.
    pub(crate) async fn run(&self, arguments: &[&str], call: &Call<'_>) -> Result<String, String> {
        output(self.program, arguments, call).await
    }

    /// What changes something.
    pub(crate) async fn act(&self, arguments: &[&str], call: &Call<'_>) -> Result<(), String> {
        let ended = ended(self.program, arguments, call, ACT_LIMIT).await;
        ended.map(|_| ())
    }
}

async fn output(program: &[&str], arguments: &[&str], call: &Call<'_>) -> Result<String, String> {
    ended(program, arguments, call, LIMIT).await
}

async fn ended(
    program: &[&str],
    arguments: &[&str],
    call: &Call<'_>,
    limit: Duration,
) -> Result<String, String> {
    let name = program.join(" ");
    let mut command = Command::new(program[0]);
    command
        .args(&program[1..])
        .args(arguments)
        .current_dir(call.folder)
        .env_clear()
        .env("LANG", "C.UTF-8")
        .stdin(match call.input {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for kept in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    if !call.docker_host.is_empty() {
        command.env("DOCKER_HOST", call.docker_host);
    }
    command.envs(call.variable);
    let work = async {
        let mut child = command
            .spawn()
            .map_err(|error| format!("{name} can not be started: {error}"))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let fed = fed(child.stdin.take(), call.input.unwrap_or_default());
        let ends = async {
            // One that ends before it read all says why.
            let _ = fed.await;
            child.wait().await
        };
        let (out, err, status) = tokio::join!(bounded(out), bounded(err), ends);
        let status = status.map_err(|error| format!("{name}: {error}"))?;
        let out = out.map_err(|why| format!("{name}: {why}"))?;
        if status.success() {
            return Ok(out);
        }
        Err(format!("{name} says: {}", gist(&err.unwrap_or_default())))
    };
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(format!(
            "{name} did not answer within {} s",
            limit.as_secs()
        )),
    }
}

async fn fed(stream: Option<ChildStdin>, input: &str) -> std::io::Result<()> {
    match stream {
        Some(mut stream) => stream.write_all(input.as_bytes()).await,
        None => Ok(()),
    }
}

async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> Result<String, String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What it would print beyond that breaks its pipe, so that it ends.
        let mut stream = stream.take(OUTPUT_BYTES_MAX + 1);
        let read = stream.read_to_end(&mut bytes).await;
        read.map_err(|error| format!("its output can not be read: {error}"))?;
    }
    if bytes.len() as u64 > OUTPUT_BYTES_MAX {
        return Err(format!(
            "it prints more than {} MiB",
            OUTPUT_BYTES_MAX >> 20
        ));
    }
    String::from_utf8(bytes).map_err(|_| "its output is not UTF-8".to_owned())
}

/// The last lines in one, cut; without what it quotes, which may be the value of a secret.
fn gist(text: &str) -> String {
    let mut quoted = false;
    let bare: String = text
        .chars()
        .filter(|c| {
            if *c == '"' {
                quoted = !quoted;
            }
            !quoted || *c == '"'
        })
        .collect();
    let words: Vec<&str> = bare.split_whitespace().collect();
    let line = words.join(" ");
    let skip = line.chars().count().saturating_sub(SAID_CHARS_MAX);
    line.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compose(version: &str) -> Compose {
        Compose {
            program: PROGRAMS[0],
            version: version.to_owned(),
        }
    }

    #[test]
    fn the_generation_that_made_a_project_reads_it() {
        let all = [compose("1.29.2"), compose("2.24.5"), compose("5.0.1")];
        let chosen = |made| Compose::that_made(made, &all).unwrap().version;
        assert_eq!(chosen(Some("1.25.0")), "1.29.2");
        assert_eq!(chosen(Some("2.3.3")), "2.24.5");
        assert_eq!(chosen(None), "1.29.2");
        let why = Compose::that_made(Some("2.24.5"), &all[..1]).unwrap_err();
        assert!(
            why.contains("Compose 2.24.5") && why.contains("1.29.2"),
            "{why}"
        );
        assert!(Compose::that_made(None, &[]).is_err());
    }

    #[test]
    fn what_it_quotes_is_not_passed_on() {
        let said = "Invalid interpolation format for \"environment\" option in service \"web\": \"s3cret${\"\n";
        let gist = gist(said);
        assert!(
            !gist.contains("s3cret") && gist.starts_with("Invalid interpolation"),
            "{gist}"
        );
        assert!(super::gist(&"x ".repeat(1000)).chars().count() <= SAID_CHARS_MAX);
    }
}
