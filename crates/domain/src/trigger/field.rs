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

/// A time: RFC 3339, or Unix seconds.
pub(crate) fn moment(value: &Value, pointer: &str) -> Option<Moment> {
    match value.pointer(pointer)? {
        Value::String(text) => parsed(text),
        Value::Number(number) => {
            let seconds = number
                .as_f64()
                .filter(|seconds| (0.0..4e9).contains(seconds))?;
            #[allow(clippy::cast_possible_truncation, reason = "below 4e12, checked above")]
            let ms = (seconds * 1000.0) as i64;
            Some(Moment::from_unix_ms(ms))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
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
