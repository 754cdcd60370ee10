//! What the server costs while nothing happens: on the disk, in memory, at its start, and with ten thousand
//! rollbacks that wait for a person.

use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

use domain::time::Millis;
use sqlx::postgres::PgConnectOptions;
use store::{SecretKey, Store, StoreSettings, Wake};

use crate::{
    Outcome, Settings,
    report::{Goal, Report, median},
    say,
    server::{Plan, Server},
    steps::work,
};

/// Starts on new folders, each followed by a start on the same one.
const STARTS: usize = 5;
const WAITING: usize = 10_000;
const WAITING_SMALLEST: usize = 300;
/// After a start or a burst of requests, until memory and CPU are those of an idle server.
const CALM: Duration = Duration::from_secs(5);
const CALM_SMALLEST: Duration = Duration::from_secs(1);
/// How long CPU time is counted.
const CPU_TIME: Duration = Duration::from_secs(20);
const CPU_TIME_SMALLEST: Duration = Duration::from_secs(3);
/// Nobody approves during a benchmark: the longest that an application may allow.
const PATIENCE: Millis = Millis::from_secs(86_400);
const MIB: f64 = 1_048_576.0;

/// One process group at a moment or over a time.
#[derive(Clone, Copy, Debug)]
struct Cost {
    pss_bytes: f64,
    /// Share of one core.
    cpu: f64,
}

pub(crate) fn run(settings: &Settings) -> Outcome<Report> {
    let binary = fs::metadata(&settings.sternway)?.len() as f64;
    let starts = settings.rounds(STARTS);
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for round in 0..starts {
        let plan = Plan::new(settings, &format!("start{round}"));
        for times in [&mut first, &mut again] {
            let server = plan.start()?;
            times.push(server.ready_after.as_secs_f64() * 1000.0);
            server.stop()?;
        }
    }
    let plan = Plan::new(settings, "waiting");
    let server = plan.start()?;
    let idle = cost(settings, &server)?;
    let waiting = if settings.smallest {
        WAITING_SMALLEST
    } else {
        WAITING
    };
    say(&format!(
        "making {waiting} rollbacks that wait for approval"
    ));
    make_waiting(&plan, waiting)?;
    let loaded = cost(settings, &server)?;
    server.stop()?;

    let mut report = Report::new(starts);
    report.figure("binary_bytes", binary, Some(Goal::AtMost(25.0 * MIB)));
    report.figure("ready_first_ms", median(&first), None);
    report.spread("  of each start", &first);
    report.figure("ready_again_ms", median(&again), Some(Goal::AtMost(1000.0)));
    report.spread("  of each start", &again);
    report.figure(
        "idle_pss_bytes",
        idle.0.pss_bytes,
        Some(Goal::AtMost(20.0 * MIB)),
    );
    report.figure("idle_cpu_share", idle.0.cpu, None);
    report.figure("idle_postgres_pss_bytes", idle.1.pss_bytes, None);
    report.figure("idle_postgres_cpu_share", idle.1.cpu, None);
    report.figure("waiting", waiting as f64, None);
    report.figure("waiting_pss_bytes", loaded.0.pss_bytes, None);
    report.figure(
        "waiting_more_bytes",
        loaded.0.pss_bytes - idle.0.pss_bytes,
        Some(Goal::AtMost(5.0 * MIB)),
    );
    report.figure("waiting_cpu_share", loaded.0.cpu, Some(Goal::AtMost(0.01)));
    report.figure("waiting_postgres_pss_bytes", loaded.1.pss_bytes, None);
    report.figure("waiting_postgres_cpu_share", loaded.1.cpu, None);
    Ok(report)
}

/// Applications with a rollback each, through the store, in the server's own database.
fn make_waiting(plan: &Plan, count: usize) -> Outcome<()> {
    let sockets = plan.state().join("postgres/run");
    let options = PgConnectOptions::new()
        .socket(sockets)
        .username("sternway")
        .database("sternway");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let settings = StoreSettings {
            connections: 8,
            application_name: "bench".to_owned(),
        };
        let store = Store::connect(
            options,
            settings,
            SecretKey::from_bytes([7; 32]),
            Wake::default(),
        )
        .await?;
        work::request(&store, "waiting", count, Some(PATIENCE)).await?;
        store.close().await;
        Ok(())
    })
}

/// Of the server, and of the Postgres processes below it.
fn cost(settings: &Settings, server: &Server) -> Outcome<(Cost, Cost)> {
    let (calm, time) = if settings.smallest {
        (CALM_SMALLEST, CPU_TIME_SMALLEST)
    } else {
        (CALM, CPU_TIME)
    };
    thread::sleep(calm);
    let before = cpu_times(server.pid())?;
    thread::sleep(time);
    let after = cpu_times(server.pid())?;
    let used = |ours: bool| -> f64 {
        let of = after
            .iter()
            .filter(|(pid, _)| (**pid == server.pid()) == ours);
        // A process that began meanwhile used all of its time meanwhile.
        of.map(|(pid, used)| used - before.get(pid).copied().unwrap_or(0.0))
            .sum()
    };
    let memory = |ours: bool| -> f64 {
        // A Postgres process may end between being listed and being read.
        after
            .keys()
            .filter(|pid| (**pid == server.pid()) == ours)
            .filter_map(|pid| pss_bytes(*pid).ok())
            .sum()
    };
    let cost = |ours| Cost {
        pss_bytes: memory(ours),
        cpu: used(ours) / time.as_secs_f64(),
    };
    Ok((cost(true), cost(false)))
}

/// Seconds on a core of a process and of each below it.
fn cpu_times(pid: u32) -> Outcome<BTreeMap<u32, f64>> {
    let mut times = BTreeMap::new();
    let mut left = vec![pid];
    while let Some(pid) = left.pop() {
        let mut nanoseconds = 0.0;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten().map(|thread| thread.path()) {
            nanoseconds += first_number(&thread.join("schedstat")).unwrap_or(0.0);
            let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
            left.extend(
                children
                    .split_ascii_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
        times.insert(pid, nanoseconds / 1e9);
    }
    if times.len() < 2 {
        Err("the server has no Postgres below it".into())
    } else {
        Ok(times)
    }
}

fn first_number(path: &Path) -> Option<f64> {
    fs::read_to_string(path)
        .ok()?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Its own memory, and its share of what it shares.
fn pss_bytes(pid: u32) -> Outcome<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .ok_or("smaps_rollup has no Pss")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}
