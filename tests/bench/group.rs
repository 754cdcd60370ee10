//! How long an application of five components takes to go back as one, from the request to the proof of all, beside
//! `docker-compose up -d` of the same, which proves nothing.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use domain::time::Moment;
use serde_json::{Value, json};

use crate::{
    Outcome, Settings,
    engine::{BAD, Engine, GOOD},
    report::{Report, median},
    say, server,
    shop::Shop,
};

const PROJECT: &str = "sternway-bench";
const ROUNDS: usize = 10;
/// Three parts that need nothing, one that needs one of them, and one that needs that.
const FILE: &str = r#"
version: "2.4"
services:
  one: {image: "sternway-demo:${VERSION}", command: ["api"], stop_grace_period: 10s}
  two: {image: "sternway-demo:${VERSION}", command: ["api"], stop_grace_period: 10s}
  three: {image: "sternway-demo:${VERSION}", command: ["api"], stop_grace_period: 10s}
  four: {image: "sternway-demo:${VERSION}", command: ["api"], stop_grace_period: 10s, depends_on: [one]}
  five: {image: "sternway-demo:${VERSION}", command: ["api"], stop_grace_period: 10s, depends_on: [four]}
"#;
const COMPONENTS: [&str; 5] = ["one", "two", "three", "four", "five"];

pub(crate) fn run(settings: &Settings) -> Outcome<Report> {
    let engine = Engine::connect()?;
    let server = server::Plan::new(settings, "group").start()?;
    let compose = Compose {
        file: settings.scratch.join("group.yml"),
    };
    std::fs::write(&compose.file, FILE)?;
    compose.down()?;
    let shop = Shop {
        api: &server.api,
        name: PROJECT,
        components: COMPONENTS.map(str::to_owned).to_vec(),
    };
    let measured = measure(settings, &compose, &shop);
    compose.down()?;
    for label in ["application", "keep"] {
        engine.remove_labelled(&format!("sternway.{label}={PROJECT}"))?;
    }
    let (ours, theirs) = measured?;
    let mut report = Report::new(ours.len());
    report.figure("sternway_ms", median(&ours), None);
    report.spread("  of each round", &ours);
    report.figure("compose_up_ms", median(&theirs), None);
    report.spread("  of each round", &theirs);
    report.figure("ratio", median(&ours) / median(&theirs), None);
    Ok(report)
}

fn measure(
    settings: &Settings,
    compose: &Compose,
    shop: &Shop<'_>,
) -> Outcome<(Vec<f64>, Vec<f64>)> {
    compose.up(GOOD)?;
    let parts = COMPONENTS.map(|name| {
        let mut part = json!({
            "name": name, "probes": [{"kind": "http", "port": 8080, "path": "/health"}],
            "version_endpoint": {"port": 8080, "path": "/api/version", "field": "version"},
        });
        match name {
            "four" => part["after"] = json!(["one"]),
            "five" => part["after"] = json!(["four"]),
            _ => {}
        }
        part
    });
    shop.define(&json!({
        "name": PROJECT, "environment": "test", "project": PROJECT, "watch_window_s": 0, "components": parts,
    }))?;
    shop.record(GOOD)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..settings.rounds(ROUNDS) {
        compose.up(BAD)?;
        shop.record(BAD)?;
        let digest = shop.plan(GOOD)?;
        let (ended, _) = shop.roll_back(&digest)?;
        ours.push(proof(&ended)?);

        compose.up(BAD)?;
        let begun = Instant::now();
        compose.up(GOOD)?;
        theirs.push(begun.elapsed().as_secs_f64() * 1000.0);
        say(&format!(
            "round {round}: Sternway {:.0} ms, docker-compose up -d {:.0} ms",
            ours[round], theirs[round]
        ));
    }
    Ok((ours, theirs))
}

/// Milliseconds from the request to the proof of every component.
fn proof(ended: &Value) -> Outcome<f64> {
    let moment = |field: &str| -> Outcome<Moment> {
        serde_json::from_value(ended[field].clone())
            .map_err(|_| format!("no {field} in {ended:#}").into())
    };
    Ok(moment("proved_at")?.since(moment("requested_at")?).0 as f64)
}

/// docker-compose with the project of five.
struct Compose {
    file: PathBuf,
}

impl Compose {
    fn up(&self, version: &str) -> Outcome<()> {
        self.run(version, &["up", "-d"])
    }

    fn down(&self) -> Outcome<()> {
        self.run(GOOD, &["down"])
    }

    fn run(&self, version: &str, arguments: &[&str]) -> Outcome<()> {
        let mut command = Command::new("docker-compose");
        command
            .args(["-p", PROJECT, "-f"])
            .arg(&self.file)
            .args(arguments);
        let output = command
            .env("VERSION", version)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("docker-compose {arguments:?}: {said}").into())
    }
}
