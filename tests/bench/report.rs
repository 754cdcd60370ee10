//! Figures: medians, the table that a person reads, the file that a program reads. It measures nothing.

use std::{fmt::Write as _, io::Write as _};

use serde_json::{Map, Value};

use crate::{Outcome, Settings};

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn judge(self, value: f64) -> String {
        let (met, words, bound) = match self {
            Self::AtMost(bound) => (value <= bound, "at most", bound),
            Self::AtLeast(bound) => (value >= bound, "at least", bound),
        };
        format!(
            "{words} {}: {}",
            number(bound),
            if met { "met" } else { "MISSED" }
        )
    }
}

/// One run's figures, in the order in which they are told.
#[derive(Debug)]
pub(crate) struct Report {
    n: usize,
    rows: Vec<(&'static str, String, String)>,
    keys: Map<String, Value>,
}

impl Report {
    /// `n` is how often each thing was measured.
    pub(crate) fn new(n: usize) -> Self {
        Self {
            n,
            rows: Vec::new(),
            keys: Map::new(),
        }
    }

    pub(crate) fn figure(&mut self, key: &'static str, value: f64, goal: Option<Goal>) {
        let judged = goal.map_or_else(String::new, |goal| goal.judge(value));
        self.rows.push((key, number(value), judged));
        self.keys.insert(key.to_owned(), round(value));
    }

    /// All measured values: what a median hides.
    pub(crate) fn spread(&mut self, key: &'static str, values: &[f64]) {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let text: Vec<String> = sorted.iter().map(|value| number(*value)).collect();
        self.rows.push((key, String::new(), text.join(" ")));
    }

    /// Prints the table and writes `NAME.json`.
    pub(crate) fn write(mut self, settings: &Settings, load_before: f64) -> Outcome<()> {
        let profile = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        self.keys.insert("n".to_owned(), self.n.into());
        self.keys.insert("profile".to_owned(), profile.into());
        self.keys
            .insert("load_before".to_owned(), round(load_before));
        self.keys.insert("load_after".to_owned(), round(load()));
        let path = settings.figures.join(format!("{}.json", settings.name));
        std::fs::create_dir_all(&settings.figures)?;
        std::fs::write(&path, format!("{:#}\n", Value::Object(self.keys.clone())))?;
        let mut table = format!("{}: n = {}, {profile} profile\n", settings.name, self.n);
        for (key, value, remark) in &self.rows {
            writeln!(
                table,
                "{}",
                format!("  {key:<24} {value:>12}  {remark}").trim_end()
            )?;
        }
        writeln!(
            table,
            "  load {} before, {} after; {}",
            number(load_before),
            number(load()),
            path.display()
        )?;
        std::io::stdout().write_all(table.as_bytes())?;
        Ok(())
    }
}

/// The middle value; the mean of both when there are two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// The machine's load over the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or(f64::NAN)
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Three decimals are more than any of this is good for. What is not a number becomes null.
fn round(value: f64) -> Value {
    let rounded = (value * 1000.0).round() / 1000.0;
    if rounded.fract() == 0.0 && rounded.abs() < 9e15 {
        (rounded as i64).into()
    } else {
        rounded.into()
    }
}
