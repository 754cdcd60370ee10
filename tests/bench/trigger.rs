//! How soon after an alert's last byte the engine is asked for something, with alerts that need not stay for a while; and
//! how long the steps of a rollback take while ten thousand alerts come, beside the same without them.

mod door;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    Outcome, Settings,
    database::Database,
    downtime::wait,
    engine::{BAD, Engine, GOOD, image},
    intake::{self, Pager},
    report::{Goal, Report, median},
    say,
    server::{Plan, Server},
    shop::Shop,
};

use door::Door;

/// Alerts may start three rollbacks an hour: a server of its own for each three.
const SERVERS: usize = 7;
const AN_HOUR: usize = 3;
const NAME: &str = "sternway-bench";
/// Rollbacks of a shop of many parts, alternately in quiet and in a storm.
const STORMS: usize = 3;
const PARTS: usize = 8;
const STORM: usize = 10_000;
const STORM_SMALLEST: usize = 500;
const STORM_CONNECTIONS: usize = 16;

/// From an alert's last byte, in milliseconds.
#[derive(Debug, Default)]
struct Acted {
    /// Until the engine is asked anything.
    first_call: Vec<f64>,
    /// Until it is asked to change something.
    first_change: Vec<f64>,
}

/// Rollbacks without and with a storm, in milliseconds.
#[derive(Debug, Default)]
struct Stormed {
    quiet: Side,
    storm: Side,
    alerts_per_s: Vec<f64>,
    refused: usize,
}

#[derive(Debug, Default)]
struct Side {
    /// From the first event to the last, the engine's own work included.
    whole: Vec<f64>,
    /// From what an act on the engine came to, to the intent of the next one: looking, deciding and committing.
    turns: Vec<f64>,
}

pub(crate) fn run(settings: &Settings) -> Outcome<Report> {
    let engine = Engine::connect()?;
    remove(&engine)?;
    let measured = measure(settings, &engine);
    remove(&engine)?;
    let (acted, stormed) = measured?;
    let mut report = Report::new(acted.first_call.len());
    let goal = Some(Goal::AtMost(100.0));
    report.figure("p50_ms", median(&acted.first_call), None);
    report.figure("p99_ms", intake::quantile(&acted.first_call, 0.99), goal);
    report.spread("  of each alert", &acted.first_call);
    report.figure("first_change_ms", median(&acted.first_change), None);
    report.spread("  of each alert", &acted.first_change);
    let (quiet, storm) = (&stormed.quiet, &stormed.storm);
    report.figure("whole_quiet_ms", median(&quiet.whole), None);
    report.figure("whole_storm_ms", median(&storm.whole), None);
    report.figure("turn_quiet_ms", median(&quiet.turns), None);
    report.figure("turn_storm_ms", median(&storm.turns), None);
    let late = |side: &Side| intake::quantile(&side.turns, 0.99);
    report.figure("turn_quiet_p99_ms", late(quiet), None);
    report.figure("turn_storm_p99_ms", late(storm), None);
    report.figure("turn_delay_p99_ms", late(storm) - late(quiet), goal);
    report.figure("storm_per_s", median(&stormed.alerts_per_s), None);
    let refused = stormed.refused as f64;
    report.figure("storm_refused", refused, Some(Goal::AtMost(0.0)));
    Ok(report)
}

fn measure(settings: &Settings, engine: &Engine) -> Outcome<(Acted, Stormed)> {
    let door = Door::open(settings.scratch.join("engine.sock"), engine.socket())?;
    let mut acted = Acted::default();
    for number in 0..settings.rounds(SERVERS) {
        let server = server(settings, &door, &format!("trigger-{number}"))?;
        let pager = Pager::introduce(&server, "auto", &routes(AN_HOUR))?;
        for round in 0..AN_HOUR {
            page(&server, &door, engine, &pager, round, &mut acted)?;
        }
        server.stop()?;
    }
    let database = Database::start(&settings.scratch.join("database"))?;
    let plan = Plan {
        database_url: Some(database.url()),
        ..Plan::new(settings, "storm")
    };
    let server = plan.start()?;
    let stormed = storm(settings, &server, &database, engine)?;
    server.stop()?;
    Ok((acted, stormed))
}

fn server(settings: &Settings, door: &Door, name: &str) -> Outcome<Server> {
    let plan = Plan {
        engine: Some(door.host()),
        ..Plan::new(settings, name)
    };
    plan.start()
}

/// Each service is an application.
fn routes(count: usize) -> Value {
    let routes = (0..count).map(|number| {
        let service = format!("PSVC{number}");
        json!({"application": format!("{NAME}-{number}"), "service": service})
    });
    routes.collect()
}

/// An application whose newest version is bad, an alert about it, and the rollback that comes of it.
fn page(
    server: &Server,
    door: &Door,
    engine: &Engine,
    pager: &Pager,
    number: usize,
    acted: &mut Acted,
) -> Outcome<()> {
    let name = format!("{NAME}-{number}");
    let shop = Shop {
        api: &server.api,
        name: &name,
        components: vec!["api".to_owned()],
    };
    let probes =
        json!([{"kind": "http", "port": 8080, "path": "/", "contains": "all prices known"}]);
    let version = json!({"port": 8080, "path": "/api/version", "field": "version"});
    shop.define(&json!({
        "name": name, "environment": "bench", "watch_window_s": 0,
        "timeouts": {"proof_s": 10, "engine_s": 60, "step_s": 60, "approval_s": 60, "red_s": 1},
        "guards": {"settle_s": 0, "served_min_s": 0},
        "components": [{"name": "api", "containers": [name], "probes": probes, "version_endpoint": version}],
    }))?;
    for (version, state) in [(GOOD, "good"), (BAD, "bad")] {
        put(engine, std::slice::from_ref(&name), "api", version)?;
        let deployment = shop.record(version)?;
        wait("the deployment is judged", || {
            Ok(server.api.get(&deployment)?["state"] == state)
        })?;
    }
    let event = intake::incident(&format!("{name}-1"), &format!("PSVC{number}"));
    let told = pager.tell(server.port, &event)?;
    let path = format!("/rollbacks?application={name}");
    wait("the rollback of the alert ends", || {
        let listed = server.api.get(&path)?;
        Ok(listed["items"][0]["phase"] == "ended")
    })?;
    let heard = door.since(told);
    let after = |at: Instant| at.duration_since(told).as_secs_f64() * 1000.0;
    let first = heard.first().ok_or("the engine was not asked")?;
    let change = heard.iter().find(|one| one.changes);
    let change = change.ok_or("the engine was not asked to change anything")?;
    acted.first_call.push(after(first.at));
    acted.first_change.push(after(change.at));
    say(&format!(
        "{name}: first call after {:.0} ms, first change after {:.0} ms",
        after(first.at),
        after(change.at)
    ));
    engine.remove(&name)
}

/// Rollbacks of a shop of many parts, and every second one in a storm of alerts, half of them about it.
fn storm(
    settings: &Settings,
    server: &Server,
    database: &Database,
    engine: &Engine,
) -> Outcome<Stormed> {
    let names: Vec<String> = (1..=PARTS).map(|n| format!("{NAME}-part-{n}")).collect();
    let shop = Shop {
        api: &server.api,
        name: NAME,
        components: vec!["worker".to_owned()],
    };
    shop.define(&json!({
        "name": NAME, "environment": "bench", "watch_window_s": 0,
        "components": [{"name": "worker", "containers": names}],
    }))?;
    let routes = json!([{"application": NAME, "service": "PSVC0"}]);
    let pager = Pager::introduce(server, "auto", &routes)?;
    put(engine, &names, "worker", GOOD)?;
    shop.record(GOOD)?;
    let mut stormed = Stormed::default();
    let count = if settings.smallest {
        STORM_SMALLEST
    } else {
        STORM
    };
    for round in 0..2 * settings.rounds(STORMS) {
        put(engine, &names, "worker", BAD)?;
        shop.record(BAD)?;
        let digest = shop.plan(GOOD)?;
        let in_storm = round % 2 == 1;
        let rollback = std::thread::scope(|scope| -> Outcome<Value> {
            let alerts = in_storm.then(|| {
                let mark = format!("storm-{round}");
                let (pager, port) = (&pager, server.port);
                scope.spawn(move || pager.storm(port, &mark, STORM_CONNECTIONS, count))
            });
            if in_storm {
                // Let it come up.
                std::thread::sleep(Duration::from_millis(300));
            }
            let (ended, _) = shop.roll_back(&digest)?;
            if let Some(alerts) = alerts {
                let told = alerts.join().map_err(|_| "the storm broke off")??;
                stormed.alerts_per_s.push(told.per_s());
                stormed.refused += told.refused;
            }
            Ok(ended)
        })?;
        let side = match in_storm {
            true => &mut stormed.storm,
            false => &mut stormed.quiet,
        };
        let id = rollback["id"].as_str().unwrap_or_default();
        let took = log(database, id, side)?;
        say(&format!(
            "round {round}, in a storm: {in_storm}: the rollback took {took:.0} ms"
        ));
    }
    Ok(stormed)
}

/// Reads from the log how long a rollback took and its turns; the former.
fn log(database: &Database, rollback: &str, side: &mut Side) -> Outcome<f64> {
    let question = format!(
        "select extract(epoch from at) * 1000, body::jsonb ->> 'event' from rollback_event
         where rollback_id = '{rollback}' order by seq"
    );
    let mut psql = database.program("psql")?;
    let output = psql.args(["-XAt", "-c", &question]).output()?;
    if !output.status.success() {
        return Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let said = String::from_utf8(output.stdout)?;
    let events: Vec<(f64, &str)> = said
        .lines()
        .filter_map(|line| {
            let (at, event) = line.split_once('|')?;
            Some((at.parse().ok()?, event))
        })
        .collect();
    let (first, last) = events.first().zip(events.last()).ok_or("an empty log")?;
    let mut performed = None;
    for (at, event) in &events {
        match *event {
            "performed" => performed = Some(at),
            "intended" => side
                .turns
                .extend(performed.take().map(|before| at - before)),
            _ => {}
        }
    }
    side.whole.push(last.0 - first.0);
    Ok(last.0 - first.0)
}

/// Containers as somebody started them; those of the other version go.
fn put(engine: &Engine, names: &[String], command: &str, version: &str) -> Outcome<()> {
    for name in names {
        // Perhaps there is none.
        let _ = engine.remove(name);
        let labels = json!({(NAME): "trigger"});
        let body = json!({"Image": image(version), "Cmd": [command], "Labels": labels});
        let id = engine.create(name, &body)?;
        engine.start(&id)?;
    }
    Ok(())
}

fn remove(engine: &Engine) -> Outcome<()> {
    engine.remove_labelled(NAME)?;
    for number in 0..AN_HOUR {
        engine.remove_labelled(&format!("sternway.keep={NAME}-{number}"))?;
    }
    engine.remove_labelled(&format!("sternway.keep={NAME}"))
}
