//! How long a rollback stands still when its server goes: killed and started again, killed with another one on the
//! same database, and asked to stop.

use std::{
    path::Path,
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use sternway::postgres;
use uuid::Uuid;

use crate::{
    Outcome, Settings,
    database::Database,
    downtime::wait,
    engine::{BAD, Engine, GOOD, image},
    http::Api,
    report::{Goal, Report, median},
    say,
    server::Plan,
};

const ROUNDS: usize = 5;
const LEASE: Duration = Duration::from_secs(15);
/// The shortest that the server takes.
const LEASE_SMALLEST: Duration = Duration::from_secs(2);
/// Enough that the run is long, and that the next step is a short one: nothing has to be stopped for it.
const REPLICAS: usize = 8;
/// An event in the middle of creating the target's containers.
const KILL_AT: i64 = 30;
const APPLICATION: &str = "sternway-bench";

/// From the signal, in milliseconds: to the first event of whoever goes on, and to its first step done.
#[derive(Clone, Copy, Debug)]
struct Taken {
    resumed: f64,
    done: f64,
    /// From the last event of the one that went to the first of the next.
    gap: f64,
}

pub(crate) fn run(settings: &Settings) -> Outcome<Report> {
    let rounds = settings.rounds(ROUNDS);
    let lease = if settings.smallest {
        LEASE_SMALLEST
    } else {
        LEASE
    };
    let application = Application {
        engine: Engine::connect()?,
    };
    let same = same_host(settings, &application, rounds)?;
    let (other, graceful) = other_host(settings, &application, rounds, lease)?;
    let lease_ms = lease.as_secs_f64() * 1000.0;
    let mut report = Report::new(rounds);
    let middle =
        |all: &[Taken], of: fn(&Taken) -> f64| median(&all.iter().map(of).collect::<Vec<_>>());
    report.figure(
        "same_host_ms",
        middle(&same, |one| one.done),
        Some(Goal::AtMost(1000.0)),
    );
    report.figure(
        "same_host_resumed_ms",
        middle(&same, |one| one.resumed),
        None,
    );
    report.figure(
        "other_host_ms",
        middle(&other, |one| one.done),
        Some(Goal::AtMost(lease_ms + 2000.0)),
    );
    report.figure(
        "other_host_resumed_ms",
        middle(&other, |one| one.resumed),
        None,
    );
    report.figure("lease_ms", lease_ms, None);
    report.figure("graceful_ms", middle(&graceful, |one| one.done), None);
    report.figure(
        "graceful_gap_ms",
        middle(&graceful, |one| one.gap),
        Some(Goal::AtMost(100.0)),
    );
    Ok(report)
}

/// With a Postgres of its own, which dies with it: started again on the same folder.
fn same_host(settings: &Settings, application: &Application, rounds: usize) -> Outcome<Vec<Taken>> {
    let plan = Plan::new(settings, "same");
    let sockets = plan.state().join("postgres/run");
    let mut server = plan.start()?;
    application.introduce(&server.api)?;
    let mut all = Vec::new();
    for round in 0..rounds {
        let rollback = application.half_rolled_back(&server.api)?;
        let at = now_ms();
        server.kill()?;
        server = plan.start()?;
        application.wait_for_end(&server.api, &rollback)?;
        let taken = taken(&plan.state(), &sockets, &rollback, at)?;
        say(&format!("round {round}, same host: {taken:?}"));
        all.push(taken);
    }
    server.stop()?;
    Ok(all)
}

/// Two servers with folders of their own on one database; the one that has the rollback is killed, or asked to stop.
fn other_host(
    settings: &Settings,
    application: &Application,
    rounds: usize,
    lease: Duration,
) -> Outcome<(Vec<Taken>, Vec<Taken>)> {
    let folder = settings.scratch.join("database");
    let database = Database::start(&folder)?;
    let plan = |name: &str| {
        let url = Some(database.url());
        Plan {
            database_url: url,
            lease,
            ..Plan::new(settings, name)
        }
    };
    let plans = [plan("one"), plan("two")];
    let one = plans[0].start()?;
    // Both must be able to read what either has sealed.
    std::fs::create_dir_all(plans[1].state())?;
    std::fs::copy(plans[0].state().join("key"), plans[1].state().join("key"))?;
    let mut servers = [one, plans[1].start()?];
    application.introduce(&servers[0].api)?;
    let (mut killed, mut asked) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for graceful in [false, true] {
            let rollback = application.half_rolled_back(&servers[0].api)?;
            let holder = holder(&folder, &database.sockets(), &rollback, &plans)?;
            let [first, second] = servers;
            let (goes, stays) = if holder == 0 {
                (first, second)
            } else {
                (second, first)
            };
            let at = now_ms();
            if graceful {
                goes.ask_to_stop()?
            } else {
                goes.kill()?
            }
            application.wait_for_end(&stays.api, &rollback)?;
            let taken = taken(&folder, &database.sockets(), &rollback, at)?;
            say(&format!(
                "round {round}, other host, graceful {graceful}: {taken:?}"
            ));
            if graceful {
                asked.push(taken)
            } else {
                killed.push(taken)
            }
            let again = plans[holder].start()?;
            servers = if holder == 0 {
                [again, stays]
            } else {
                [stays, again]
            };
        }
    }
    Ok((killed, asked))
}

/// Which of the two servers drives the rollback.
fn holder(folder: &Path, sockets: &Path, rollback: &str, plans: &[Plan]) -> Outcome<usize> {
    let host = ask(
        folder,
        sockets,
        &format!("select host from rollback_run where rollback_id = '{rollback}'"),
    )?;
    let has = |plan: &Plan| {
        let text = std::fs::read_to_string(plan.state().join("host_id")).unwrap_or_default();
        text.to_ascii_lowercase().contains(host.trim())
    };
    plans
        .iter()
        .position(has)
        .ok_or_else(|| format!("nobody drives {rollback}: `{host}`").into())
}

/// Reads from the log when its next writer went on. Every claim has a higher fence than the one before.
fn taken(folder: &Path, sockets: &Path, rollback: &str, signal: f64) -> Outcome<Taken> {
    let question = format!(
        "select fence, extract(epoch from at) * 1000, body::jsonb ->> 'event' from rollback_event
         where rollback_id = '{rollback}' and fence > 0 order by seq"
    );
    let log = ask(folder, sockets, &question)?;
    let events: Vec<(i64, f64, &str)> = log
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('|');
            Some((
                fields.next()?.parse().ok()?,
                fields.next()?.parse().ok()?,
                fields.next()?,
            ))
        })
        .collect();
    let first = events.first().ok_or("the log is empty")?.0;
    let after = |event: &&(i64, f64, &str)| event.0 > first;
    let resumed = events
        .iter()
        .find(after)
        .ok_or("nobody took over: it was over before")?
        .1;
    let done =
        |event: &&(i64, f64, &str)| event.0 > first && matches!(event.2, "performed" | "step_done");
    let done = events
        .iter()
        .find(done)
        .ok_or("no step was done after the take-over")?
        .1;
    let last = events
        .iter()
        .rfind(|event| event.0 == first)
        .ok_or("the log is empty")?
        .1;
    Ok(Taken {
        resumed: resumed - signal,
        done: done - signal,
        gap: resumed - last,
    })
}

/// Asks the database behind the sockets, as psql prints it.
fn ask(folder: &Path, sockets: &Path, question: &str) -> Outcome<String> {
    let mut command = Command::new(postgres::check(folder).chosen?.folder.join("psql"));
    command
        .args(["-XAt", "-U", "sternway", "-d", "sternway", "-c", question])
        .arg("-h")
        .arg(sockets);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The wall's clock, as the log's.
fn now_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
        * 1000.0
}

/// Plain containers that do nothing, of which one is created after the other.
struct Application {
    engine: Engine,
}

impl Application {
    fn names() -> Vec<String> {
        (1..=REPLICAS)
            .map(|number| format!("{APPLICATION}-{number}"))
            .collect()
    }

    fn run(&self, version: &str) -> Outcome<()> {
        self.remove()?;
        for name in Self::names() {
            let labels = json!({(APPLICATION): "takeover"});
            let id = self.engine.create(
                &name,
                &json!({"Image": image(version), "Cmd": ["worker"], "Labels": labels}),
            )?;
            self.engine.start(&id)?;
        }
        Ok(())
    }

    fn remove(&self) -> Outcome<()> {
        for label in [
            APPLICATION.to_owned(),
            format!("sternway.application={APPLICATION}"),
            format!("sternway.keep={APPLICATION}"),
        ] {
            self.engine.remove_labelled(&label)?;
        }
        Ok(())
    }

    fn introduce(&self, api: &Api) -> Outcome<()> {
        self.run(GOOD)?;
        let definition = json!({
            "name": APPLICATION, "environment": "bench", "watch_window_s": 0,
            "components": [{"name": "worker", "containers": Self::names()}],
        });
        api.ask(
            "PUT",
            &format!("/applications/{APPLICATION}"),
            "",
            Some(&definition),
        )?;
        self.record(api, GOOD)
    }

    fn record(&self, api: &Api, version: &str) -> Outcome<()> {
        let ask = json!({"version": version, "images": {"worker": image(version)}});
        let made = api.post(&format!("/applications/{APPLICATION}/deployments"), &ask)?;
        let path = format!("/deployments/{}", made["id"].as_str().unwrap_or_default());
        let known =
            |deployment: &Value| deployment["components"]["worker"]["specification"] == true;
        wait("the deployment's specification is recorded", || {
            Ok(known(&api.get(&path)?))
        })
    }

    /// Starts a rollback from the bad version, and returns in the middle of it.
    fn half_rolled_back(&self, api: &Api) -> Outcome<String> {
        self.run(BAD)?;
        self.record(api, BAD)?;
        let plan = api.post(
            &format!("/applications/{APPLICATION}/plans"),
            &json!({"target": {"version": GOOD}}),
        )?;
        let ask = json!({"plan_digest": plan["digest"], "reason": "critical_bug"});
        let key = format!("idempotency-key: {}\r\n", Uuid::now_v7());
        let accepted = api.ask("POST", "/rollbacks", &key, Some(&ask))?;
        let id = accepted["id"].as_str().unwrap_or_default().to_owned();
        while api.get(&format!("/rollbacks/{id}"))?["log"]["seq"]
            .as_i64()
            .unwrap_or_default()
            < KILL_AT
        {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(id)
    }

    fn wait_for_end(&self, api: &Api, rollback: &str) -> Outcome<()> {
        wait("the rollback ends", || {
            Ok(api.get(&format!("/rollbacks/{rollback}"))?["phase"] == "ended")
        })?;
        let ended = api.get(&format!("/rollbacks/{rollback}"))?;
        if ended["verdict"] == "rolled_back" {
            Ok(())
        } else {
            Err(format!("it was not rolled back: {ended:#}").into())
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}
