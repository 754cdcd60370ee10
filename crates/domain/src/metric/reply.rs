//! What Prometheus answers to an instant query (`GET /api/v1/query`), as its HTTP API is described.

use serde::Deserialize;
use serde_json::Value;

use crate::time::{Millis, Moment};

/// Longest text of the server's own that is repeated.
const SAID_CHARS_MAX: usize = 160;

/// How far the time of a number may be off our clock. An instant query answers with the time at which it was asked, so
/// this is room for clocks that differ; what is further off comes from a cache, or from a server that stands still.
const OFF_MAX: Millis = Millis::from_secs(60);

/// The numbers of an answer.
#[derive(Debug)]
pub(super) struct Numbers {
    /// One for each series; a scalar is one.
    pub(super) values: Vec<f64>,
    /// That a part of it may be missing, in the server's words.
    pub(super) warning: Option<String>,
}

#[derive(Deserialize)]
struct Reply {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    kind: Option<String>,
    error: Option<String>,
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

/// A series of a vector. One of a histogram has no single number.
#[derive(Deserialize)]
struct Series {
    value: Option<Sample>,
}

/// When, in seconds since 1970, and the number as a text.
#[derive(Deserialize)]
struct Sample(f64, String);

impl Sample {
    /// The number, if it is of now.
    fn number(&self, now: Moment) -> Result<f64, String> {
        let at = Moment::from_unix_ms((self.0 * 1000.0) as i64);
        let (age, ahead) = (now.since(at), at.since(now));
        if age > OFF_MAX {
            return Err(format!(
                "the number is {age} old, and what was is not known to be"
            ));
        }
        if ahead > OFF_MAX {
            return Err(format!("by our clock the number is of {ahead} from now"));
        }
        number(&self.1)
    }
}

/// The numbers of an answer, or why there are none.
pub(super) fn numbers(status: u16, body: &[u8], now: Moment) -> Result<Numbers, String> {
    let reply: Reply = match serde_json::from_slice(body) {
        Ok(reply) => reply,
        Err(_) if status == 200 => return Err("the answer is not one of Prometheus".to_owned()),
        Err(_) => return Err(format!("status {status}")),
    };
    let data = match (status, reply.status.as_str(), reply.data) {
        (200, "success", Some(data)) => data,
        (_, _, _) => return Err(refused(status, reply.kind, reply.error)),
    };
    let odd = |_| "the answer is not one of Prometheus".to_owned();
    let values = match data.kind.as_str() {
        "vector" => {
            let all: Vec<Series> = serde_json::from_value(data.result).map_err(odd)?;
            all.into_iter()
                .map(|series| {
                    let sample = series.value.ok_or_else(|| {
                        "it finds a histogram, which is not one number".to_owned()
                    })?;
                    sample.number(now)
                })
                .collect::<Result<Vec<f64>, String>>()?
        }
        "scalar" => {
            let sample: Sample = serde_json::from_value(data.result).map_err(odd)?;
            vec![sample.number(now)?]
        }
        "matrix" => return Err("it finds ranges of time, not numbers of now".to_owned()),
        "string" => return Err("it finds a text, not a number".to_owned()),
        other => return Err(format!("it finds a `{}`, not a number", brief(other))),
    };
    let warning = reply.warnings.into_iter().flatten().next();
    Ok(Numbers {
        values,
        warning: warning.as_deref().map(brief),
    })
}

/// As Go writes numbers: `0.5`, `1e+06`, `+Inf`, `NaN`.
fn number(text: &str) -> Result<f64, String> {
    text.parse()
        .map_err(|_| format!("`{}` is not a number", brief(text)))
}

fn refused(status: u16, kind: Option<String>, error: Option<String>) -> String {
    let words: Vec<String> = [kind, error]
        .into_iter()
        .flatten()
        .map(|text| brief(&text))
        .collect();
    match words.is_empty() {
        true => format!("status {status}"),
        false => format!("status {status}, {}", words.join(": ")),
    }
}

/// Without control characters, cut: whoever wrote it.
fn brief(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(SAID_CHARS_MAX)
        .collect()
}
