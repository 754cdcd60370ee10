//! How long clients go without an answer while an application goes back to its old version: by Sternway's port
//! handover, of one that boots at once and of one that boots for two seconds; by its stop and start, at a published
//! port and on the network of the host; by the engine's own stop and start; and by docker-compose with and without
//! `down`. And how many of their requests fail behind HAProxy and Caddy.

mod balanced;
mod balancer;
mod clients;
mod compose;
mod stand;
mod traffic;

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Settings,
    engine::{BAD, Engine, GOOD},
    report::{Goal, Report, median},
    say, server,
};
use compose::{Compose, Shape};
use stand::Stand;
use traffic::Traffic;

const ROUNDS: usize = 15;
/// No further round is begun after this; `n` says how many there were.
const TIME_MAX: Duration = Duration::from_secs(700);
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
    HandoverSlowBoot,
    StopStart,
    HostNetwork,
    Floor,
    ComposeUp,
    ComposeDownUp,
}

/// How many ways there are.
const WAYS: usize = 7;

impl Way {
    const ALL: [Self; WAYS] = [
        Self::Handover,
        Self::HandoverSlowBoot,
        Self::StopStart,
        Self::HostNetwork,
        Self::Floor,
        Self::ComposeUp,
        Self::ComposeDownUp,
    ];

    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Self::Handover => ("handover_ms", "trap_handover"),
            Self::HandoverSlowBoot => ("handover_slow_boot_ms", "trap_handover_slow_boot"),
            Self::StopStart => ("stop_start_ms", "trap_stop_start"),
            Self::HostNetwork => ("host_network_ms", "trap_host_network"),
            Self::Floor => ("floor_ms", "trap_floor"),
            Self::ComposeUp => ("compose_up_ms", "trap_compose_up"),
            Self::ComposeDownUp => ("compose_down_up_ms", "trap_compose_down_up"),
        }
    }

    /// Design: a handover's gap is a fifth of a second, whatever the boot time.
    fn goal(self) -> Option<Goal> {
        match self {
            Self::Handover | Self::HandoverSlowBoot => Some(Goal::AtMost(200.0)),
            Self::StopStart
            | Self::HostNetwork
            | Self::Floor
            | Self::ComposeUp
            | Self::ComposeDownUp => None,
        }
    }

    /// The application that it is measured with.
    fn shape(self) -> Shape {
        match self {
            Self::HandoverSlowBoot => Shape::SlowBoot,
            Self::HostNetwork => Shape::HostNetwork,
            Self::Handover
            | Self::StopStart
            | Self::Floor
            | Self::ComposeUp
            | Self::ComposeDownUp => Shape::Demo,
        }
    }
}

/// Gaps of each way, and the times from request to proof.
#[derive(Debug, Default)]
struct Figures {
    gaps: [Vec<f64>; WAYS],
    proofs: [Vec<f64>; WAYS],
}

pub(crate) fn run(settings: &Settings) -> Outcome<Report> {
    let engine = Engine::connect()?;
    let server = server::Plan::new(settings, "downtime").start()?;
    let stand = |shape: Shape| Stand::new(&engine, &server.api, shape, &settings.scratch);
    let stands = [
        stand(Shape::ALL[0])?,
        stand(Shape::ALL[1])?,
        stand(Shape::ALL[2])?,
    ];
    let measured = measure(settings, &stands);
    for shape in Shape::ALL {
        for label in ["application", "keep"] {
            engine.remove_labelled(&format!("sternway.{label}={}", shape.project()))?;
        }
    }
    let mut report = report(&measured?);
    balanced::run(settings, &engine, &server.api, &mut report)?;
    Ok(report)
}

fn report(figures: &Figures) -> Report {
    let mut report = Report::new(figures.gaps[Way::Handover as usize].len());
    let middle = Way::ALL.map(|way| median(&figures.gaps[way as usize]));
    for way in Way::ALL {
        let (key, trap) = way.keys();
        let gaps = &figures.gaps[way as usize];
        report.figure(key, middle[way as usize], way.goal());
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
    let proof = |way: Way| median(&figures.proofs[way as usize]);
    report.figure("proof_ms", proof(Way::Handover), None);
    report.figure("proof_stop_start_ms", proof(Way::StopStart), None);
    report
}

fn measure(settings: &Settings, stands: &[Stand<'_>; 3]) -> Outcome<Figures> {
    let (begun, mut figures) = (Instant::now(), Figures::default());
    for round in 0..settings.rounds(ROUNDS) {
        if begun.elapsed() > TIME_MAX {
            say("the time is up; `n` says how many rounds there were");
            break;
        }
        // Each round begins with another way, so that none always follows the same one.
        for turn in 0..WAYS {
            let way = Way::ALL[(round + turn) % WAYS];
            let (gap, proof) = measure_once(&stands[way.shape() as usize], way)?;
            figures.gaps[way as usize].push(gap);
            figures.proofs[way as usize].extend(proof);
            say(&format!(
                "round {round}, {way:?}: {gap:.0} ms without an answer"
            ));
        }
    }
    Ok(figures)
}

/// From the bad version, put in service by docker-compose, to the good one.
fn measure_once(stand: &Stand<'_>, way: Way) -> Outcome<(f64, Option<f64>)> {
    stand.deploy(BAD)?;
    let prepared = stand.prepare(way)?;
    let traffic = Traffic::start(stand.compose.port);
    traffic.wait_for(BAD, STEADY, SWITCH_MAX)?;
    thread::sleep(CALM);
    let done = stand.switch(way, &prepared);
    let answered = traffic.wait_for(GOOD, STEADY, SWITCH_MAX);
    let gap = traffic.stop()?;
    let proof = done?;
    answered?;
    stand.tidy(way, &prepared)?;
    Ok((gap, proof))
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
