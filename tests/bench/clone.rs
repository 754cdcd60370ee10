//! How long it takes to plan an application of fifty containers and to create their successors beside them, before
//! anything is touched.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    Outcome, Settings,
    engine::{BAD, Engine, GOOD, image},
    report::{Report, median},
    say, server,
    shop::Shop,
};

const NAME: &str = "sternway-bench";
const ROUNDS: usize = 5;
const CONTAINERS: usize = 50;
/// To prove that it works, no more are needed.
const CONTAINERS_FEW: usize = 3;

pub(crate) fn run(settings: &Settings) -> Outcome<Report> {
    let engine = Engine::connect()?;
    let server = server::Plan::new(settings, "clone").start()?;
    let shop = Shop {
        api: &server.api,
        name: NAME,
        components: vec!["web".to_owned()],
    };
    let count = if settings.smallest {
        CONTAINERS_FEW
    } else {
        CONTAINERS
    };
    let measured = measure(settings, &engine, &shop, count);
    remove(&engine)?;
    let (plans, creates) = measured?;
    let mut report = Report::new(plans.len());
    report.figure("containers", count as f64, None);
    report.figure("plan_ms", median(&plans), None);
    report.spread("  of each round", &plans);
    report.figure("create_ms", median(&creates), None);
    report.spread("  of each round", &creates);
    Ok(report)
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|at| format!("{NAME}-web-{at}")).collect()
}

/// Everything that a round or an interrupted run left.
fn remove(engine: &Engine) -> Outcome<()> {
    for label in [
        NAME.to_owned(),
        format!("sternway.application={NAME}"),
        format!("sternway.keep={NAME}"),
    ] {
        engine.remove_labelled(&label)?;
    }
    Ok(())
}

/// The containers of a version, as somebody created them; those of the other version go. They need not run to be
/// planned for, and to be created again.
fn put(engine: &Engine, count: usize, version: &str, start: bool) -> Outcome<()> {
    engine.remove_labelled(NAME)?;
    for name in names(count) {
        let body = json!({
            "Image": image(version), "Cmd": ["worker"], "Labels": {NAME: "", "team": "a"},
            "Env": ["TOKEN=t", "MODE=bench"],
            "HostConfig": {"Memory": 64 << 20, "CapDrop": ["ALL"], "RestartPolicy": {"Name": "no"}},
        });
        let id = engine.create(&name, &body)?;
        if start {
            engine.start(&id)?;
        }
    }
    Ok(())
}

fn measure(
    settings: &Settings,
    engine: &Engine,
    shop: &Shop<'_>,
    count: usize,
) -> Outcome<(Vec<f64>, Vec<f64>)> {
    remove(engine)?;
    shop.define(&json!({
        "name": NAME, "environment": "test", "watch_window_s": 0,
        "components": [{"name": "web", "containers": names(count)}],
    }))?;
    put(engine, count, GOOD, true)?;
    shop.record(GOOD)?;
    let (mut plans, mut creates) = (Vec::new(), Vec::new());
    for round in 0..settings.rounds(ROUNDS) {
        put(engine, count, BAD, false)?;
        let begun = Instant::now();
        let digest = shop.plan(GOOD)?;
        plans.push(begun.elapsed().as_secs_f64() * 1000.0);
        let (_, steps) = shop.roll_back(&digest)?;
        creates.push(spent(&steps, "create "));
        say(&format!(
            "round {round}: planned in {:.0} ms, created in {:.0} ms",
            plans[round], creates[round]
        ));
    }
    Ok((plans, creates))
}

/// Milliseconds that the steps of this kind took together.
fn spent(steps: &[Value], title: &str) -> f64 {
    let of_kind = steps.iter().filter(|step| {
        step["title"]
            .as_str()
            .is_some_and(|own| own.starts_with(title))
    });
    of_kind
        .filter_map(|step| step["duration_ms"].as_f64())
        .sum()
}
