//! Reading single fields of a sender's JSON: each is cut to a length, and nothing is guessed.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::time::Moment;

/// Longest text that is taken from a message: a title, an address, a label.
pub(crate) const TEXT_CHARS_MAX: usize = 1024;
/// Most labels of one alert.
pub(crate) const LABELS_MAX: usize = 64;

/// A text, or a number as one; none when it is empty.
pub(crate) fn text(value: &Value, pointer: &str) -> Option<String> {
    scalar(value.pointer(pointer)?)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(cut(text.trim())),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The first so many characters, without control characters: it is shown to people.
pub(crate) fn cut(text: &str) -> String {
    let plain = text.chars().filter(|letter| !letter.is_control());
    plain.take(TEXT_CHARS_MAX).collect()
}

/// A time: RFC 3339, or Unix seconds or milliseconds, also as a text.
pub(crate) fn moment(value: &Value, pointer: &str) -> Option<Moment> {
    match value.pointer(pointer)? {
        Value::String(text) => parsed(text).or_else(|| digits(text.trim())),
        Value::Number(number) => unix(number.as_f64()?),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Seconds until 2096, or milliseconds from 1973 on: nothing is both.
fn unix(number: f64) -> Option<Moment> {
    let ms = match number {
        seconds if (0.0..4e9).contains(&seconds) => seconds * 1000.0,
        ms if (1e11..4e12).contains(&ms) => ms,
        _ => return None,
    };
    #[allow(clippy::cast_possible_truncation, reason = "below 4e12, checked above")]
    let ms = ms as i64;
    Some(Moment::from_unix_ms(ms))
}

/// As many digits as a Unix time of this century has: a year, or a date without its dashes, is none.
fn digits(text: &str) -> Option<Moment> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let long = matches!(whole.len(), 10 | 13);
    if long && plain(whole) && plain(part) {
        unix(text.parse().ok()?)
    } else {
        None
    }
}

/// Nobody tells of anything before 1970; what can not be written is no time either. Python writes a space for the `T`.
pub(crate) fn parsed(text: &str) -> Option<Moment> {
    let text = text.trim();
    let spaced = text.as_bytes().get(10) == Some(&b' ');
    let text = if spaced {
        Cow::Owned(text.replacen(' ', "T", 1))
    } else {
        Cow::Borrowed(text)
    };
    OffsetDateTime::parse(&text, &Rfc3339)
        .ok()
        .map(Moment::from)
        .filter(|at| at.unix_ms() > 0)
}

/// The texts of an object by name.
pub(crate) fn labels(value: Option<&Value>) -> BTreeMap<String, String> {
    let Some(Value::Object(fields)) = value else {
        return BTreeMap::new();
    };
    let texts = fields.iter().filter_map(|(name, value)| {
        let value = match value {
            // An empty label says something too.
            Value::String(text) => cut(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => scalar(value)?,
        };
        Some((cut(name), value))
    });
    texts.take(LABELS_MAX).collect()
}
