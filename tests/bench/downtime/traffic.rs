//! The client: a new connection every five milliseconds, whatever became of the ones before.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    Outcome,
    http::{self, Place},
};

const EVERY: Duration = Duration::from_millis(5);
/// A client that waits longer has given up.
const PATIENCE: Duration = Duration::from_secs(1);
const PATH: &str = "/api/version";
/// A request's thread does little.
const STACK_BYTES: usize = 128 << 10;

/// When somebody answered well, and as which version.
#[derive(Clone, Debug)]
struct Good {
    at: Instant,
    body: String,
}

/// A client that goes on asking until it is stopped.
#[derive(Debug)]
pub(crate) struct Traffic {
    answers: Arc<Mutex<Vec<Good>>>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Traffic {
    pub(crate) fn start(port: u16) -> Self {
        let (answers, ended) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (to, until) = (answers.clone(), ended.clone());
        let thread = thread::spawn(move || ask_on(port, &to, &until));
        Self {
            answers,
            ended,
            thread,
        }
    }

    /// Waits until the version has answered for a while: the switch is over then.
    pub(crate) fn wait_for(&self, version: &str, steady: Duration, limit: Duration) -> Outcome<()> {
        let begun = Instant::now();
        let quoted = format!("\"{version}\"");
        loop {
            let answers = self
                .answers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let other = answers
                .iter()
                .rposition(|good| !good.body.contains(&quoted))
                .map_or(0, |at| at + 1);
            if let (Some(first), Some(last)) = (answers.get(other), answers.last())
                && last.at.duration_since(first.at) >= steady
            {
                return Ok(());
            }
            if begun.elapsed() > limit {
                return Err(format!(
                    "{version} does not answer at the port within {} s",
                    limit.as_secs()
                )
                .into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops, and gives the longest time between two good answers, in milliseconds.
    pub(crate) fn stop(self) -> Outcome<f64> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the client panicked")?;
        let mut times: Vec<Instant> = self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|good| good.at)
            .collect();
        times.sort();
        let gaps = times.windows(2).map(|pair| pair[1].duration_since(pair[0]));
        let longest = gaps.max().ok_or("nothing answered")?;
        Ok(longest.as_secs_f64() * 1000.0)
    }
}

/// Each request in a thread of its own: one that hangs must not keep the next from asking.
fn ask_on(port: u16, answers: &Arc<Mutex<Vec<Good>>>, ended: &AtomicBool) {
    let place = Place::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
    let mut next = Instant::now();
    let mut asking = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let (place, answers) = (place.clone(), answers.clone());
        let spawned = thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || ask_once(&place, &answers));
        asking.extend(spawned);
        asking.retain(|request: &JoinHandle<()>| !request.is_finished());
        next += EVERY;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    for request in asking {
        let _ = request.join();
    }
}

fn ask_once(place: &Place, answers: &Mutex<Vec<Good>>) {
    let Ok(answer) = http::ask(place, "GET", PATH, "", "", PATIENCE) else {
        return;
    };
    let at = Instant::now();
    if answer.status == 200 {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Good { at, body });
    }
}
