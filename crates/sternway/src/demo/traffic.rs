//! A client of the application: asks its main path all the time and remembers what came back and when.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::{client::problem::Failure, exit::Exit};

/// Between two questions.
const EVERY: Duration = Duration::from_millis(20);
/// A question that is not answered by then never was.
const LIMIT: Duration = Duration::from_secs(2);
/// Questions kept: half an hour of them.
const ANSWERS_MAX: usize = 100_000;

/// What one question came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// A good answer.
    Good,
    /// An answer that says that it does not work, with its status.
    Bad(u16),
    /// None: refused, cut off, or too late.
    Nothing,
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// When it was asked.
    pub asked: Instant,
    /// When it ended.
    pub ended: Instant,
    /// What came back.
    pub came: Came,
}

/// How many of each there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Good answers.
    pub good: usize,
    /// Answers that say that it does not work.
    pub bad: usize,
    /// Questions without an answer.
    pub nothing: usize,
    /// The status of the last bad answer.
    pub status: Option<u16>,
}

/// The client at work.
#[derive(Debug)]
pub struct Traffic {
    answers: Arc<Mutex<Vec<Answer>>>,
    task: JoinHandle<()>,
}

/// An HTTP client that makes a connection for each question, as new clients do.
///
/// # Errors
/// When none can be made.
pub fn http() -> Result<reqwest::Client, Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LIMIT)
        .build()
        .map_err(|error| {
            Failure::new(
                Exit::Internal,
                format!("no HTTP client could be made: {error}"),
                &[],
            )
        })
}

impl Traffic {
    /// Begins to ask. One question does not wait for the other, so a slow one hides nothing.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn start(url: String) -> Result<Self, Failure> {
        let http = http()?;
        let answers = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&answers);
        let task = tokio::spawn(async move {
            let mut every = tokio::time::interval(EVERY);
            loop {
                every.tick().await;
                tokio::spawn(ask(http.clone(), url.clone(), Arc::clone(&kept)));
            }
        });
        Ok(Self { answers, task })
    }

    /// What came back for the questions asked since a moment.
    #[must_use]
    pub fn counts(&self, since: Instant) -> Counts {
        let mut counts = Counts::default();
        for answer in self.kept().iter().filter(|answer| answer.asked >= since) {
            match answer.came {
                Came::Good => counts.good += 1,
                Came::Bad(status) => (counts.bad, counts.status) = (counts.bad + 1, Some(status)),
                Came::Nothing => counts.nothing += 1,
            }
        }
        counts
    }

    /// The longest time since a moment in which no answer came, whatever it said; zero when each came.
    #[must_use]
    pub fn outage(&self, since: Instant) -> Duration {
        outage(&self.kept(), since)
    }

    /// When the first good answer to a question asked since a moment came.
    #[must_use]
    pub fn first_good(&self, since: Instant) -> Option<Instant> {
        let kept = self.kept();
        kept.iter()
            .filter(|answer| answer.asked >= since && answer.came == Came::Good)
            .map(|answer| answer.ended)
            .min()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(http: reqwest::Client, url: String, kept: Arc<Mutex<Vec<Answer>>>) {
    let asked = Instant::now();
    let came = match http.get(url).send().await {
        Ok(response) => {
            let status = response.status();
            // A cut in the middle of a body is no answer either.
            match response.bytes().await {
                Ok(_) if status.is_success() => Came::Good,
                Ok(_) => Came::Bad(status.as_u16()),
                Err(_) => Came::Nothing,
            }
        }
        Err(_) => Came::Nothing,
    };
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < ANSWERS_MAX {
        kept.push(Answer {
            asked,
            ended: Instant::now(),
            came,
        });
    }
}

/// From the last answer before questions went unanswered to the next answer: the longest such time.
fn outage(answers: &[Answer], since: Instant) -> Duration {
    let mut answered: Vec<Instant> = answers
        .iter()
        .filter(|answer| answer.came != Came::Nothing && answer.ended >= since)
        .map(|answer| answer.ended)
        .collect();
    answered.sort_unstable();
    let lost: Vec<Instant> = answers
        .iter()
        .filter(|answer| answer.came == Came::Nothing && answer.asked >= since)
        .map(|answer| answer.asked)
        .collect();
    let spans = answered.windows(2).map(|pair| (pair[0], pair[1]));
    // A question asked a little before the last answer, and lost, belongs to the span after it.
    let held = |from: Instant, to: Instant| {
        lost.iter()
            .any(|asked| *asked + EVERY >= from && *asked <= to)
    };
    spans
        .filter(|(from, to)| held(*from, *to))
        .map(|(from, to)| to - from)
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(begin: Instant, asked: u64, took: u64, came: Came) -> Answer {
        let asked = begin + Duration::from_millis(asked);
        Answer {
            asked,
            ended: asked + Duration::from_millis(took),
            came,
        }
    }

    #[test]
    fn an_outage_is_the_longest_time_without_an_answer() {
        let begin = Instant::now();
        let answers = [
            answer(begin, 0, 2, Came::Bad(500)),
            answer(begin, 20, 2, Came::Bad(500)),
            answer(begin, 40, 1, Came::Nothing),
            answer(begin, 60, 2000, Came::Nothing),
            // Waited through the outage for a second attempt of the kernel's.
            answer(begin, 80, 1000, Came::Good),
            answer(begin, 400, 2, Came::Good),
            answer(begin, 420, 2, Came::Good),
        ];
        assert_eq!(outage(&answers, begin), Duration::from_millis(380));
        assert_eq!(outage(&answers[5..], begin), Duration::ZERO);
    }

    #[test]
    fn a_slow_answer_is_no_outage() {
        let begin = Instant::now();
        let answers = [
            answer(begin, 0, 2, Came::Good),
            answer(begin, 20, 300, Came::Good),
        ];
        assert_eq!(outage(&answers, begin), Duration::ZERO);
    }

    #[tokio::test]
    async fn nobody_there_is_counted_as_no_answer() {
        let begin = Instant::now();
        let traffic = Traffic::start("http://127.0.0.1:1/".to_owned()).unwrap();
        while traffic.counts(begin).nothing < 3 {
            tokio::time::sleep(EVERY).await;
        }
        assert_eq!(
            (traffic.counts(begin).good, traffic.first_good(begin)),
            (0, None)
        );
    }
}
