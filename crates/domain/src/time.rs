//! Time as data: this crate is told what time it is, it never asks.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time, UTC, with millisecond precision. Written as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(OffsetDateTime);

impl Moment {
    /// The moment that many milliseconds after 1970-01-01T00:00:00Z; out-of-range values become the epoch: RFC 3339 writes
    /// the years 0 to 9999 only.
    #[must_use]
    pub fn from_unix_ms(ms: i64) -> Self {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
        let written = at.ok().filter(|at| (0..=9999).contains(&at.year()));
        Self(written.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_ms(self) -> i64 {
        i64::try_from(self.0.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }

    /// This moment moved forward by `wait`.
    #[must_use]
    pub fn after(self, wait: Millis) -> Self {
        Self::from_unix_ms(self.unix_ms().saturating_add(wait.0.cast_signed()))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Millis {
        Millis(
            self.unix_ms()
                .saturating_sub(earlier.unix_ms())
                .max(0)
                .cast_unsigned(),
        )
    }
}

impl From<OffsetDateTime> for Moment {
    fn from(at: OffsetDateTime) -> Self {
        let ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        Self::from_unix_ms(ms)
    }
}

impl From<Moment> for OffsetDateTime {
    fn from(at: Moment) -> Self {
        at.0
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0.format(&Rfc3339).map_err(|_| std::fmt::Error)?)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let at = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
        Ok(Self::from(at))
    }
}

/// A length of time in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// This and then `more`.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// That many whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u32) -> Self {
        Self(secs as u64 * 1000)
    }
}

impl std::fmt::Display for Millis {
    /// `850 ms`, `12.3 s`, `4 min 10 s`: the precision a person needs at that size.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            ms @ 0..1_000 => write!(out, "{ms} ms"),
            ms @ 1_000..60_000 => write!(out, "{}.{} s", ms / 1000, ms % 1000 / 100),
            ms => write!(out, "{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_json() {
        let at = Moment::from_unix_ms(1_795_333_333_123);
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), at);
    }

    #[test]
    fn a_length_reads_as_a_person_says_it() {
        let said: Vec<String> = [850, 12_345, 250_000]
            .map(|ms| Millis(ms).to_string())
            .into();
        assert_eq!(said, ["850 ms", "12.3 s", "4 min 10 s"]);
    }
}
