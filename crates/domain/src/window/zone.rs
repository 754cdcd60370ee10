//! Time zones, from data that is part of the program: no file of the host is read.

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Serialize};

use crate::time::Moment;

/// The name of a time zone, such as `Europe/Berlin` or `UTC`; only ever one that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(String);

impl Zone {
    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its rules.
    ///
    /// # Errors
    /// That nobody knows it.
    pub(super) fn rules(&self) -> Result<Rules, String> {
        rules_of(&self.0)
    }
}

fn rules_of(name: &str) -> Result<Rules, String> {
    let zone = TimeZone::get(name).map_err(|_| {
        format!("time zone `{name}` is not known: use a name such as `Europe/Berlin` or `UTC`")
    })?;
    Ok(Rules(zone))
}

impl std::str::FromStr for Zone {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        rules_of(name)?;
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for Zone {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// The rules of a zone.
pub(super) struct Rules(TimeZone);

/// A day on the calendar of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day(Date);

impl Day {
    /// That many days later.
    pub(super) fn plus(self, days: i32) -> Option<Self> {
        self.0
            .checked_add(jiff::Span::new().try_days(days).ok()?)
            .ok()
            .map(Self)
    }

    /// Day of the month, from 1.
    pub(super) fn of_month(self) -> u8 {
        self.0.day().cast_unsigned()
    }

    /// Month, from 1.
    pub(super) fn month(self) -> u8 {
        self.0.month().cast_unsigned()
    }

    /// Day of the week, Sunday is 0.
    pub(super) fn of_week(self) -> u8 {
        self.0.weekday().to_sunday_zero_offset().cast_unsigned()
    }

    #[cfg(test)]
    pub(super) fn of(year: i16, month: i8, day: i8) -> Self {
        Self(Date::new(year, month, day).unwrap())
    }
}

impl Rules {
    /// The day that a clock of the zone shows at that moment.
    pub(super) fn day_of(&self, at: Moment) -> Day {
        let at = Timestamp::from_millisecond(at.unix_ms()).unwrap_or(Timestamp::UNIX_EPOCH);
        Day(self.0.to_datetime(at).date())
    }

    /// When a clock of the zone shows that time of that day. A time that it skips is when it jumps over it; one that it
    /// shows twice is the first of the two.
    pub(super) fn moment(&self, day: &Day, hour: u8, minute: u8) -> Option<Moment> {
        let time = Time::new(hour.cast_signed(), minute.cast_signed(), 0, 0).ok()?;
        let shown = day.0.to_datetime(time);
        let at = match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(shown).ok()?,
            // The offset before the jump puts the skipped time behind the jump: that far back lies the jump itself.
            AmbiguousOffset::Gap { before, .. } => {
                let behind = before.to_timestamp(shown).ok()?;
                let mut jumps = self.0.preceding(
                    behind
                        .checked_add(jiff::SignedDuration::from_nanos(1))
                        .ok()?,
                );
                jumps.next()?.timestamp()
            }
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(shown).ok()?,
        };
        Some(Moment::from_unix_ms(at.as_millisecond()))
    }
}
