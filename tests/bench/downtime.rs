//! How long clients go without an answer while an application goes back to its old version, in five ways: by
//! Sternway's port handover and by its stop and start, by the engine's own stop and start, and by docker-compose with
//! and without `down`.

mod compose;
mod traffic;

use std::{
    thread,
    time::{Duration, Instant},
};

use domain::time::Moment;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Outcome, Settings,
    engine::{BAD, Engine, GOOD, image},
    http::Api,
    report::{Goal, Report, median},
    say,
    server::{self, Server},
};
use compose::{Compose, PROJECT};
use traffic::Traffic;

const ROUNDS: usize = 15;
/// No further round is begun after this; `n` says how many there were.
const TIME_MAX: Duration = Duration::from_secs(500);
/// Longest that one way may take to the new version's first answers.
const SWITCH_MAX: Duration = Duration::from_secs(60);
/// The new version has answered for so long without the old one in between.
const STEADY: Duration = Duration::from_millis(400);
/// Before a measurement, so that nothing of the last one goes on.
const CALM: Duration = Duration::from_millis(700);
/// A swap without the one-second trap (docker-mechanics 4.3) is over well before.
const TRAP_MS: f64 = 800.0;

/// The ways, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Handover,
    StopStart,
    Floor,
    ComposeUp,
    ComposeDownUp,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::Handover,
        Self::StopStart,
        Self::Floor,
        Self::ComposeUp,
        Self::ComposeDownUp,
    ];

    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Self::Handover => ("handover_ms", "trap_handover"),
            Self::StopStart => ("stop_start_ms", "trap_stop_start"),
            Self::Floor => ("floor_ms", "trap_floor"),
            Self::ComposeUp => ("compose_up_ms", "trap_compose_up"),
            Self::ComposeDownUp => ("compose_down_up_ms", "trap_compose_down_up"),
        }
    }
}

/// Gaps of each way, and the times from request to proof.
#[derive(Debug, Default)]
struct Figures {
    gaps: [Vec<f64>; 5],
    proofs: Vec<f64>,
}

pub(crate) fn run(settings: &Settings) -> Outcome<Report> {
    let engine = Engine::connect()?;
    let compose = Compose::find()?;
    let server = server::Plan::new(settings, "downtime").start()?;
    let mut bench = Bench {
        engine,
        compose,
        server,
        definition: Value::Null,
    };
    bench.introduce()?;
    let measured = bench.measure(settings);
    for label in ["application", "keep"] {
        bench
            .engine
            .remove_labelled(&format!("sternway.{label}={PROJECT}"))?;
    }
    Ok(report(&measured?))
}

fn report(figures: &Figures) -> Report {
    let mut report = Report::new(figures.proofs.len());
    let middle = Way::ALL.map(|way| median(&figures.gaps[way as usize]));
    for way in Way::ALL {
        let (key, trap) = way.keys();
        let gaps = &figures.gaps[way as usize];
        report.figure(key, middle[way as usize], None);
        report.spread("  of each round", gaps);
        report.figure(
            trap,
            gaps.iter().filter(|gap| **gap > TRAP_MS).count() as f64,
            None,
        );
    }
    let ratio = |way: Way, to: Way| middle[way as usize] / middle[to as usize];
    let stopped = ratio(Way::StopStart, Way::Floor);
    report.figure("ratio_floor", stopped, Some(Goal::AtMost(1.2)));
    let moved = ratio(Way::Handover, Way::Floor);
    report.figure("ratio_handover_stop_start", moved, Some(Goal::AtMost(0.25)));
    let runbook = ratio(Way::Handover, Way::ComposeDownUp);
    report.figure("ratio_handover_runbook", runbook, Some(Goal::AtMost(0.125)));
    report.figure("proof_ms", median(&figures.proofs), None);
    report
}

struct Bench {
    engine: Engine,
    compose: Compose,
    server: Server,
    /// What the application is, as adopted.
    definition: Value,
}

impl Bench {
    fn api(&self) -> &Api {
        &self.server.api
    }

    /// Makes the application known: its definition from what runs, and its good version.
    fn introduce(&mut self) -> Outcome<()> {
        self.compose.up(GOOD)?;
        self.definition = self
            .api()
            .post("/adoptions", &json!({"project": PROJECT}))?["application"]
            .take();
        self.definition["watch_window_s"] = json!(0);
        self.define(true, "")?;
        self.record(GOOD)
    }

    /// Says whether two versions of its front may run at once: which of our two ways is planned.
    fn define(&self, overlap: bool, header: &str) -> Outcome<()> {
        let mut definition = self.definition.clone();
        for part in definition["components"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if part["name"] == "api" {
                part["overlap"] = json!(overlap);
            }
        }
        let path = format!("/applications/{PROJECT}");
        self.api().ask("PUT", &path, header, Some(&definition))?;
        Ok(())
    }

    /// Tells Sternway that a version was deployed, as CI does, and waits until it knows what it runs with.
    fn record(&self, version: &str) -> Outcome<()> {
        let ask = json!({"version": version, "images": {"api": image(version), "worker": image(version)}});
        let made = self
            .api()
            .post(&format!("/applications/{PROJECT}/deployments"), &ask)?;
        let path = format!("/deployments/{}", made["id"].as_str().unwrap_or_default());
        let known = |deployment: &Value| {
            let parts = deployment["components"].as_object();
            parts.is_some_and(|parts| {
                !parts.is_empty() && parts.values().all(|part| part["specification"] == true)
            })
        };
        wait("the deployment's specifications are recorded", || {
            Ok(known(&self.api().get(&path)?))
        })
    }

    fn measure(&self, settings: &Settings) -> Outcome<Figures> {
        let (begun, mut figures) = (Instant::now(), Figures::default());
        for round in 0..settings.rounds(ROUNDS) {
            if begun.elapsed() > TIME_MAX {
                say("the time is up; `n` says how many rounds there were");
                break;
            }
            // Each round begins with another way, so that none always follows the same one.
            for turn in 0..Way::ALL.len() {
                let way = Way::ALL[(round + turn) % Way::ALL.len()];
                let (gap, proof) = self.measure_once(way)?;
                figures.gaps[way as usize].push(gap);
                figures.proofs.extend(proof);
                say(&format!(
                    "round {round}, {way:?}: {gap:.0} ms without an answer"
                ));
            }
        }
        Ok(figures)
    }

    /// From the bad version, put in service by docker-compose, to the good one.
    fn measure_once(&self, way: Way) -> Outcome<(f64, Option<f64>)> {
        self.compose.up(BAD)?;
        self.record(BAD)?;
        let prepared = self.prepare(way)?;
        thread::sleep(CALM);
        let traffic = Traffic::start(self.compose.port);
        traffic.wait_for(BAD, STEADY, SWITCH_MAX)?;
        let done = self.switch(way, &prepared);
        let answered = traffic.wait_for(GOOD, STEADY, SWITCH_MAX);
        let gap = traffic.stop()?;
        let proof = done?;
        answered?;
        self.tidy(way, &prepared)?;
        Ok((gap, proof))
    }

    /// What is done before anything is touched: the plan's digest, or the container that is to be started.
    fn prepare(&self, way: Way) -> Outcome<String> {
        match way {
            Way::Handover | Way::StopStart => {
                self.define(way == Way::Handover, "if-match: *\r\n")?;
                let plan = self.api().post(
                    &format!("/applications/{PROJECT}/plans"),
                    &json!({"target": {"version": GOOD}}),
                )?;
                Ok(plan["digest"].as_str().unwrap_or_default().to_owned())
            }
            Way::Floor => {
                let old = self.engine.inspect(self.compose.front())?;
                let mut configuration = json!({
                    "Image": image(GOOD), "Cmd": old["Config"]["Cmd"], "Labels": old["Config"]["Labels"],
                    "Healthcheck": old["Config"]["Healthcheck"], "HostConfig": old["HostConfig"],
                });
                let networks = old["NetworkSettings"]["Networks"]
                    .as_object()
                    .cloned()
                    .unwrap_or_default();
                for name in networks.keys() {
                    configuration["NetworkingConfig"]["EndpointsConfig"][name] =
                        json!({"Aliases": ["api"]});
                }
                self.engine.create("sternway-bench-floor", &configuration)
            }
            Way::ComposeUp | Way::ComposeDownUp => Ok(String::new()),
        }
    }

    fn switch(&self, way: Way, prepared: &str) -> Outcome<Option<f64>> {
        match way {
            Way::Handover | Way::StopStart => return self.roll_back(prepared).map(Some),
            Way::Floor => {
                self.engine.stop(self.compose.front())?;
                self.engine.start(prepared)?;
            }
            Way::ComposeUp => self.compose.up(GOOD)?,
            Way::ComposeDownUp => {
                self.compose.down()?;
                self.compose.up(GOOD)?;
            }
        }
        Ok(None)
    }

    /// Requests the rollback, and says how long it took from there to the proof.
    fn roll_back(&self, digest: &str) -> Outcome<f64> {
        let ask = json!({"plan_digest": digest, "reason": "critical_bug", "note": "a benchmark"});
        let key = format!("idempotency-key: {}\r\n", Uuid::now_v7());
        let accepted = self.api().ask("POST", "/rollbacks", &key, Some(&ask))?;
        let path = format!("/rollbacks/{}", accepted["id"].as_str().unwrap_or_default());
        let proved = self.api().get(&format!("{path}?wait=60"))?;
        let moment = |field: &str| -> Outcome<Moment> {
            serde_json::from_value(proved[field].clone())
                .map_err(|_| format!("no {field} in {proved:#}").into())
        };
        let proof = moment("proved_at")?.since(moment("requested_at")?).0 as f64;
        wait("the rollback ends", || {
            Ok(self.api().get(&path)?["phase"] == "ended")
        })?;
        Ok(proof)
    }

    fn tidy(&self, way: Way, prepared: &str) -> Outcome<()> {
        if way == Way::Floor {
            self.engine.remove(prepared)?;
            self.engine.remove(self.compose.front())?;
        }
        Ok(())
    }
}

/// Looks again until it is so.
pub(crate) fn wait(what: &str, mut so: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
    let begun = Instant::now();
    while !so()? {
        if begun.elapsed() > SWITCH_MAX {
            return Err(format!("not within {} s: {what}", SWITCH_MAX.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
