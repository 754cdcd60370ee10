//! Benchmarks: what Sternway costs, measured in the same run beside what there is without it. To be started by
//! `sh tests/bench.sh NAME`, which builds and provides what is measured. It judges nothing: a goal that is
//! missed is printed as missed.

mod clone;
mod database;
mod downtime;
mod engine;
mod footprint;
mod group;
mod http;
mod intake;
mod report;
mod server;
mod shop;
mod steps;
mod takeover;
mod trigger;

use std::{io::Write as _, path::PathBuf, process::ExitCode};

/// What went wrong, for a person who reads it once.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

/// What `tests/bench.sh` says.
#[derive(Clone, Debug)]
struct Settings {
    /// Which benchmark.
    name: String,
    /// Only prove that it works.
    smallest: bool,
    /// The server's binary.
    sternway: PathBuf,
    /// A folder for everything that a run makes; removed by the script.
    scratch: PathBuf,
    /// Where the figures go.
    figures: PathBuf,
}

impl Settings {
    fn read() -> Outcome<Self> {
        // Cargo itself adds `--bench`.
        let mut words: Vec<String> = std::env::args()
            .skip(1)
            .filter(|word| word != "--bench")
            .collect();
        let smallest = words.iter().any(|word| word == "--smallest");
        words.retain(|word| word != "--smallest");
        let [name] = words.as_slice() else {
            return Err("name one benchmark".into());
        };
        Ok(Self {
            name: name.clone(),
            smallest,
            sternway: folder("STERNWAY_BENCH_BINARY")?,
            scratch: folder("STERNWAY_BENCH_SCRATCH")?,
            figures: folder("STERNWAY_BENCH_FIGURES")?,
        })
    }

    /// How often to measure: as often as asked for, or once.
    fn rounds(&self, usual: usize) -> usize {
        if self.smallest { 1 } else { usual }
    }
}

fn folder(variable: &str) -> Outcome<PathBuf> {
    let value = std::env::var_os(variable)
        .ok_or_else(|| format!("{variable} is not set; use tests/bench.sh"))?;
    Ok(PathBuf::from(value))
}

fn run() -> Outcome<()> {
    let settings = Settings::read()?;
    let load_before = report::load();
    let report = match settings.name.as_str() {
        "downtime" => downtime::run(&settings)?,
        "steps" => steps::run(&settings)?,
        "footprint" => footprint::run(&settings)?,
        "takeover" => takeover::run(&settings)?,
        "group" => group::run(&settings)?,
        "clone" => clone::run(&settings)?,
        "intake" => intake::run(&settings)?,
        "trigger" => trigger::run(&settings)?,
        other => return Err(format!("there is no benchmark `{other}`").into()),
    };
    report.write(&settings, load_before)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("bench: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Progress, for whoever waits.
fn say(line: &str) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "{line}");
}
