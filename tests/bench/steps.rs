//! What a durable step costs: sixteen rollbacks at a time, driven by the worker's own loop in a world that answers
//! at once, beside pgbench's transaction of an update and an insert on tables of the same shape.

mod floor;
pub(crate) mod work;

mod sham;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::postgres::PgConnectOptions;
use store::{SecretKey, Store, StoreSettings, Wake};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Outcome, Settings,
    database::{Counters, Database, Done},
    report::{Goal, Report, median},
    say,
};
use floor::Floor;
use sham::Sham;

/// Rollbacks driven at the same time, and clients of pgbench.
pub(crate) const WORKERS: u32 = 16;
const ROUNDS: usize = 7;
/// Rollbacks of a round: some 20 000 steps.
const ROLLBACKS: usize = 320;
const ROLLBACKS_SMALLEST: usize = 32;
const FLOOR_TIME: Duration = Duration::from_secs(10);
const FLOOR_TIME_SMALLEST: Duration = Duration::from_secs(2);
/// A hundred times what a round takes.
const ROUND_TIME_MAX: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
struct Figures {
    steps_per_s: Vec<f64>,
    floor_tps: Vec<f64>,
    ratio: Vec<f64>,
    commits: Vec<f64>,
    wal_bytes: Vec<f64>,
    floor_wal_bytes: Vec<f64>,
}

pub(crate) fn run(settings: &Settings) -> Outcome<Report> {
    let database = Database::start(&settings.scratch.join("database"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let figures = runtime.block_on(measure(settings, &database))?;
    let mut report = Report::new(figures.steps_per_s.len());
    report.figure("steps_per_s", median(&figures.steps_per_s), None);
    report.figure("floor_tps", median(&figures.floor_tps), None);
    report.figure(
        "ratio_floor",
        median(&figures.ratio),
        Some(Goal::AtLeast(0.6)),
    );
    report.spread("  of each round", &figures.ratio);
    report.figure(
        "commits_per_step",
        median(&figures.commits),
        Some(Goal::AtMost(1.1)),
    );
    report.figure(
        "wal_bytes_per_step",
        median(&figures.wal_bytes),
        Some(Goal::AtMost(1024.0)),
    );
    report.figure("floor_wal_bytes", median(&figures.floor_wal_bytes), None);
    Ok(report)
}

async fn measure(settings: &Settings, database: &Database) -> Outcome<Figures> {
    let options = database.options()?;
    store::migrate(&options).await?;
    let mut counters = Counters::connect(&options).await?;
    let floor = Floor::prepare(&settings.scratch, &mut counters).await?;
    let rollbacks = if settings.smallest {
        ROLLBACKS_SMALLEST
    } else {
        ROLLBACKS
    };
    let time = if settings.smallest {
        FLOOR_TIME_SMALLEST
    } else {
        FLOOR_TIME
    };
    let mut figures = Figures::default();
    for round in 0..settings.rounds(ROUNDS) {
        let mut tps = None;
        // In turn, so that neither always meets the fresher tables.
        if round % 2 == 1 {
            tps = Some(floor.measure(database, time, &mut counters).await?);
        }
        let (steps_per_s, done) =
            drive(&options, &format!("round{round}"), rollbacks, &mut counters).await?;
        let (tps, floor_wal) = match tps {
            Some(measured) => measured,
            None => floor.measure(database, time, &mut counters).await?,
        };
        let steps = (rollbacks as u64 * work::STEPS_OF_ONE) as f64;
        say(&format!(
            "round {round}: {steps_per_s:.0} steps/s, floor {tps:.0}/s, {:.3} commits and {:.0} B a step",
            done.commits / steps,
            done.wal_bytes / steps
        ));
        figures.steps_per_s.push(steps_per_s);
        figures.floor_tps.push(tps);
        figures.ratio.push(steps_per_s / tps);
        figures.commits.push(done.commits / steps);
        figures.wal_bytes.push(done.wal_bytes / steps);
        figures.floor_wal_bytes.push(floor_wal);
    }
    Ok(figures)
}

/// Drives that many rollbacks to their end. Their requests are not part of what is measured.
async fn drive(
    options: &PgConnectOptions,
    names: &str,
    rollbacks: usize,
    counters: &mut Counters,
) -> Outcome<(f64, Done)> {
    let store = connect(options, Wake::default()).await?;
    work::request(&store, names, rollbacks, None).await?;
    store.close().await;
    let before = counters.marks().await?;

    let wake = Wake::default();
    let (world, shutdown) = (Arc::new(Sham::default()), CancellationToken::new());
    let begun = Instant::now();
    let store = connect(options, wake.clone()).await?;
    let driving = tokio::spawn(worker::drive(
        worker_settings(),
        store.clone(),
        world.clone(),
        wake,
        shutdown.clone(),
    ));
    const OPEN: &str = "select count(*) from rollback_run where ended_at is null";
    while counters.ask(OPEN).await? > 0 {
        if begun.elapsed() > ROUND_TIME_MAX || driving.is_finished() {
            return Err(format!(
                "the rollbacks did not end; {} effects were performed",
                world.performed()
            )
            .into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = begun.elapsed();
    shutdown.cancel();
    driving.await?;
    store.close().await;

    const NOT_GOOD: &str = "select count(*) from rollback_run where not coalesce((state::jsonb #>> '{phase,good}')::boolean, false)";
    let (expected, failed) = (
        rollbacks as u64 * work::STEPS_OF_ONE,
        counters.ask(NOT_GOOD).await?,
    );
    if world.performed() != expected || failed != 0 {
        let performed = world.performed();
        return Err(format!(
            "{failed} rollbacks are not good; {performed} effects instead of {expected}"
        )
        .into());
    }
    let done = before.until(counters.marks().await?);
    Ok((expected as f64 / took.as_secs_f64(), done))
}

async fn connect(options: &PgConnectOptions, wake: Wake) -> Outcome<Store> {
    let settings = StoreSettings {
        connections: WORKERS,
        application_name: "bench".to_owned(),
    };
    Ok(Store::connect(
        options.clone(),
        settings,
        SecretKey::from_bytes([7; 32]),
        wake,
    )
    .await?)
}

fn worker_settings() -> worker::Settings {
    worker::Settings {
        worker: Uuid::now_v7(),
        host: Uuid::now_v7(),
        owner: "bench".to_owned(),
        lease: Duration::from_secs(15),
        rollbacks_max: WORKERS as usize,
        version: env!("CARGO_PKG_VERSION"),
    }
}
