//! The five fields of a cron line: minute, hour, day of the month, month, day of the week.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::zone::Day;

/// Longest line.
const CHARS_MAX: usize = 200;
/// Most beginnings on one day: what is open for hours begins once and lasts.
const A_DAY_MAX: usize = 48;
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron line that was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    line: String,
    minutes: BTreeSet<u8>,
    hours: BTreeSet<u8>,
    days: BTreeSet<u8>,
    months: BTreeSet<u8>,
    weekdays: BTreeSet<u8>,
    /// Whether both kinds of days are named; then either is enough, as every cron has it.
    either_day: bool,
}

impl Cron {
    /// The line as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.line
    }

    /// The times of that day, hour and minute.
    pub(super) fn times_of(&self, day: &Day) -> Vec<(u8, u8)> {
        let of_month = self.days.contains(&day.of_month());
        let of_week = self.weekdays.contains(&day.of_week());
        let matches = match self.either_day {
            true => of_month || of_week,
            false => of_month && of_week,
        };
        if !matches || !self.months.contains(&day.month()) {
            return Vec::new();
        }
        let of_hour = |hour: &u8| {
            let hour = *hour;
            self.minutes.iter().map(move |minute| (hour, *minute))
        };
        self.hours.iter().flat_map(of_hour).collect()
    }
}

impl std::str::FromStr for Cron {
    type Err = String;
    fn from_str(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err("a cron line has five fields: minute, hour, day, month, day of the week, such as `0 18 * * fri`".to_owned());
        };
        if line.len() > CHARS_MAX {
            return Err(format!("a cron line has at most {CHARS_MAX} characters"));
        }
        let sundays = field("day of the week", weekdays, 0, 7, &DAYS)?;
        let weekdays_set = sundays.into_iter().map(|day| day % 7).collect();
        let cron = Self {
            line: fields.join(" "),
            minutes: field("minute", minutes, 0, 59, &[])?,
            hours: field("hour", hours, 0, 23, &[])?,
            days: field("day", days, 1, 31, &[])?,
            months: field("month", months, 1, 12, &MONTHS)?,
            weekdays: weekdays_set,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        let a_day = cron.minutes.len() * cron.hours.len();
        if a_day > A_DAY_MAX {
            return Err(format!(
                "`{line}` begins {a_day} times a day: name the minute and the hour of the beginning, and how long it lasts"
            ));
        }
        if !cron.can_come() {
            return Err(format!("`{line}` names a day that no month has"));
        }
        Ok(cron)
    }
}

impl Cron {
    /// Whether there is a day for it at all; `0 0 30 2 *` has none.
    fn can_come(&self) -> bool {
        let longest = |month: &u8| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let first = self.days.first().copied().unwrap_or(31);
        self.either_day || self.months.iter().any(|month| first <= longest(month))
    }
}

fn field(name: &str, text: &str, min: u8, max: u8, names: &[&str]) -> Result<BTreeSet<u8>, String> {
    let mut values = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step = step
                    .parse::<u8>()
                    .ok()
                    .filter(|step| (1..=max).contains(step));
                (
                    range,
                    Some(step.ok_or_else(|| format!("{name} `{part}`: the step is 1 to {max}"))?),
                )
            }
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((first, last)) => (
                value(name, first, min, max, names)?,
                value(name, last, min, max, names)?,
            ),
            None => {
                let first = value(name, range, min, max, names)?;
                (first, if step.is_some() { max } else { first })
            }
        };
        if first > last {
            return Err(format!("{name} `{part}`: the first is after the last"));
        }
        values.extend((first..=last).step_by(usize::from(step.unwrap_or(1))));
    }
    Ok(values)
}

fn value(name: &str, text: &str, min: u8, max: u8, names: &[&str]) -> Result<u8, String> {
    let lower = text.to_ascii_lowercase();
    if let Some(at) = names.iter().position(|known| *known == lower) {
        return Ok(min + u8::try_from(at).unwrap_or(0));
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text
        .parse::<u8>()
        .ok()
        .filter(|number| digits && (min..=max).contains(number));
    number.ok_or_else(|| format!("{name} `{text}` is not one of {min} to {max}"))
}

impl TryFrom<String> for Cron {
    type Error = String;
    fn try_from(line: String) -> Result<Self, String> {
        line.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.line
    }
}

impl std::fmt::Display for Cron {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.line)
    }
}
