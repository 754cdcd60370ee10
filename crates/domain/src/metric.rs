//! Metrics as data: a number that a Prometheus server is asked for, and what it says to one of the runbook's questions.
//! What can not be seen is never a no: it is left to a person.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    address,
    application::{BadField, URL_CHARS_MAX, is_plain},
    name::MetricName,
    time::Moment,
    triage::{Question, Said},
};

mod reply;

/// Most metrics of one application: all are asked at once while somebody waits, and few questions take a number.
pub const METRICS_MAX: usize = 8;
/// Longest query: what people write fits, and so does the address that it becomes part of.
pub const QUERY_CHARS_MAX: usize = 2000;
/// Most digits of a threshold: so many are the same after they were written down and read again.
const DIGITS_MAX: usize = 15;

/// A number that answers a question of the runbook's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// What it is called where it is told of.
    pub name: MetricName,
    /// Base address of a Prometheus server, or of what speaks like one, without credentials in it.
    pub url: String,
    /// A query in PromQL. One number is best; of several series, one that is past the threshold is a yes.
    #[schema(min_length = 1, max_length = 2000)]
    pub query: String,
    /// The question that it answers: `down`, `data_corruption`, `many_users` or `only_slow`.
    pub question: Question,
    /// Yes is a number above this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Threshold>,
    /// Yes is a number below this one. Exactly one of both is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Threshold>,
}

/// A number that another one is compared with: 0, or one of at most 15 digits between 0.0000001 and 1000000000000, or
/// the same below 0.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schema(value_type = f64)]
pub struct Threshold(f64);

// It is finite, so it equals itself.
impl Eq for Threshold {}

/// A number can not be a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use 0, or a number of at most 15 digits between 0.0000001 and 1000000000000")]
pub struct BadThreshold;

impl TryFrom<f64> for Threshold {
    type Error = BadThreshold;
    fn try_from(number: f64) -> Result<Self, BadThreshold> {
        let text = format!("{number:e}");
        let mantissa = text.split('e').next().unwrap_or_default();
        let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
        let fits = number == 0.0 || (1e-7..=1e12).contains(&number.abs());
        if fits && digits <= DIGITS_MAX {
            Ok(Self(number))
        } else {
            Err(BadThreshold)
        }
    }
}

impl From<Threshold> for f64 {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

/// Which side of the threshold is a yes.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Above(f64),
    Below(f64),
}

/// What a metric says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The answer; unknown where nothing can be told.
    pub said: Said,
    /// The metric's name, the number and the threshold; or why there is none.
    pub note: String,
}

impl Metric {
    /// The whole address to ask, which lets the server give up after this many seconds as well.
    #[must_use]
    pub fn address(&self, limit_s: u64) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", &self.query)
            .append_pair("timeout", &format!("{limit_s}s"))
            .finish();
        format!("{}/api/v1/query?{query}", self.url.trim_end_matches('/'))
    }

    /// What an answer says that came now: its status and its whole body.
    #[must_use]
    pub fn read(&self, status: u16, body: &[u8], now: Moment) -> Reading {
        match (reply::numbers(status, body, now), self.bound()) {
            (Ok(numbers), Some(bound)) => {
                let (said, what) = judge(bound, &numbers);
                self.reading(said, &what)
            }
            (Ok(_), None) => self.silent("it has no threshold"),
            (Err(why), _) => self.silent(&why),
        }
    }

    /// What is said when there is no answer.
    #[must_use]
    pub fn silent(&self, why: &str) -> Reading {
        self.reading(Said::Unknown, why)
    }

    fn reading(&self, said: Said, what: &str) -> Reading {
        let note = format!("{}: {what}", self.name);
        // What is damaged may be what nobody counts.
        if self.question == Question::DataCorruption && said == Said::No {
            return Reading {
                said: Said::Unknown,
                note: format!("{note}; that is no proof that nothing is damaged"),
            };
        }
        Reading { said, note }
    }

    fn bound(&self) -> Option<Bound> {
        match (self.above, self.below) {
            (Some(Threshold(above)), None) => Some(Bound::Above(above)),
            (None, Some(Threshold(below))) => Some(Bound::Below(below)),
            (None, None) | (Some(_), Some(_)) => None,
        }
    }

    fn check(&self, field: &str, bad: &mut Vec<BadField>) {
        if let Some(what) = url_trouble(&self.url) {
            bad.push(BadField::new(format!("{field}.url"), what));
        }
        let fits = (1..=QUERY_CHARS_MAX).contains(&self.query.chars().count());
        let plain = |char: char| !char.is_control() || char == '\n' || char == '\t';
        if !fits || self.query.trim().is_empty() || !self.query.chars().all(plain) {
            let what = format!("use 1 to {QUERY_CHARS_MAX} characters of PromQL");
            bad.push(BadField::new(format!("{field}.query"), what));
        }
        let answerable = match self.question {
            Question::Down
            | Question::DataCorruption
            | Question::ManyUsers
            | Question::OnlySlow => true,
            Question::SecurityHole | Question::FixForward => false,
        };
        if !answerable {
            let what = "a number can not say that: use `down`, `data_corruption`, `many_users` or `only_slow`";
            bad.push(BadField::new(format!("{field}.question"), what));
        }
        if self.bound().is_none() {
            let what = "say what a yes is: give either `above` or `below`";
            bad.push(BadField::new(format!("{field}.above"), what));
        }
    }
}

/// Every rule of an application's metrics.
pub(crate) fn check(metrics: &[Metric], bad: &mut Vec<BadField>) {
    if metrics.len() > METRICS_MAX {
        let what = format!("give at most {METRICS_MAX}");
        bad.push(BadField::new("metrics", what));
    }
    let mut names = BTreeSet::new();
    for (at, metric) in metrics.iter().enumerate() {
        let field = format!("metrics[{at}]");
        if !names.insert(&metric.name) {
            let what = "is used twice; names must differ";
            bad.push(BadField::new(format!("{field}.name"), what));
        }
        metric.check(&field, bad);
    }
}

fn url_trouble(url: &str) -> Option<&'static str> {
    const BASE: &str =
        "use the base address of the server, such as `http://prometheus:9090`, without `?` and `#`";
    let found = address::of_http(url).filter(|_| is_plain(url, URL_CHARS_MAX));
    let Some(found) = found else {
        return Some(BASE);
    };
    if found.user.is_some() {
        return Some(address::NO_CREDENTIALS);
    }
    let path = found.path;
    let asks = path.contains(['?', '#', '\\']) || path.split('/').any(|part| part == "..");
    (!address::is_host(found.host) || asks).then_some(BASE)
}

/// What numbers say: one past the threshold is a yes, and only when all of them are numbers, and none is, it is a no.
fn judge(bound: Bound, numbers: &reply::Numbers) -> (Said, String) {
    let known = || numbers.values.iter().copied().filter(|n| !n.is_nan());
    let (worst, past, word, than) = match bound {
        Bound::Above(above) => {
            let worst = known().reduce(f64::max);
            (worst, worst.is_some_and(|n| n > above), "above", above)
        }
        Bound::Below(below) => {
            let worst = known().reduce(f64::min);
            (worst, worst.is_some_and(|n| n < below), "below", below)
        }
    };
    let all = numbers.values.len();
    let one_of = |count: usize| match count {
        1 => String::new(),
        more => format!(" in one of {more} series"),
    };
    let Some(worst) = worst else {
        let why = match all {
            0 => "the query finds no series",
            _ => "what the query finds is not a number (NaN)",
        };
        return (Said::Unknown, why.to_owned());
    };
    let (number, than) = (written(worst), written(than));
    if past {
        return (Said::Yes, format!("{number}{}, {word} {than}", one_of(all)));
    }
    let missing = all - known().count();
    if missing > 0 {
        let why =
            format!("{missing} of {all} series are not a number (NaN), none is {word} {than}");
        return (Said::Unknown, why);
    }
    if let Some(warning) = &numbers.warning {
        let why = format!("{number}, not {word} {than}, but the server warns: {warning}");
        return (Said::Unknown, why);
    }
    (
        Said::No,
        format!("{number}{}, not {word} {than}", one_of(all)),
    )
}

/// A number as people read it, however large it is.
fn written(number: f64) -> String {
    if number == 0.0 || number.is_infinite() || (1e-4..1e9).contains(&number.abs()) {
        format!("{number}")
    } else {
        format!("{number:e}")
    }
}

#[cfg(test)]
mod tests;
