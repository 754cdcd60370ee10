//! `openapi`, `version`, `completions`, `exit-codes`: what the binary says about itself.

use clap::CommandFactory as _;

use super::args::{Cli, Globals};
use crate::{
    client::{Client, problem::Failure},
    exit::{self, Exit},
    out::Out,
};

/// `openapi`: from the binary itself, no server needed.
///
/// # Errors
/// None.
pub fn openapi(out: &Out) -> Result<Exit, Failure> {
    out.object(&api::openapi());
    Ok(Exit::Reached)
}

/// `version`: ours always, the server's when it can be reached.
///
/// # Errors
/// None: a server that is away is said and is no failure.
pub async fn version(globals: &Globals, out: &Out) -> Result<Exit, Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let server = match Client::new(globals) {
        Ok(client) => client
            .get("/version")
            .await
            .map(|reply| reply.raw)
            .map_err(|failure| failure.problem.detail),
        Err(failure) => Err(failure.problem.detail),
    };
    if out.json {
        out.object(&serde_json::json!({ "version": ours, "plan_format": domain::plan::PLAN_FORMAT, "server": server.ok() }));
        return Ok(Exit::Reached);
    }
    out.data(&format!("sternway {ours}"));
    match server {
        Ok(server) => out.say(&format!(
            "server {}",
            crate::out::one_line(server["version"].as_str().unwrap_or("unknown"))
        )),
        Err(why) => out.say(&format!("no server: {}", why.unwrap_or_default())),
    }
    Ok(Exit::Reached)
}

/// `completions`.
///
/// # Errors
/// None.
pub fn completions(shell: clap_complete::Shell, out: &Out) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sternway", &mut script);
    out.data(&String::from_utf8_lossy(&script));
    Ok(Exit::Reached)
}

/// `exit-codes`.
///
/// # Errors
/// None.
pub fn exit_codes(out: &Out) -> Result<Exit, Failure> {
    if out.json {
        let codes: serde_json::Map<String, serde_json::Value> = exit::TABLE
            .iter()
            .map(|(exit, meaning)| (exit.code().to_string(), (*meaning).into()))
            .collect();
        out.object(&codes);
    } else {
        out.data(&exit::table());
    }
    Ok(Exit::Reached)
}
