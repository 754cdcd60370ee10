//! Freeze windows: times in which nothing, or only then something, may be rolled back by itself.
//!
//! A window begins by a cron line in a time zone and lasts a fixed time on the clock that never jumps. A beginning that
//! the clocks skip in spring is at the moment of the jump; one that comes twice in autumn is the first of the two.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    name::ApplicationName,
    time::{Millis, Moment},
};

mod cron;
#[cfg(test)]
mod tests;
mod zone;

pub use cron::Cron;
pub use zone::Zone;

/// Longest window: what lasts longer is a switch, not a window.
pub const DURATION_MAX: Millis = Millis::from_secs(31 * 24 * 3600);
/// How far ahead the next beginning is looked for: over a leap day of the next turn.
const AHEAD_DAYS: i32 = 366 * 5;

/// What an open window means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// Nothing while it is open. It wins over what allows.
    Deny,
    /// Nothing unless one of this kind is open.
    Allow,
}

impl WindowKind {
    /// The word in the API, on the command line and in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

impl std::str::FromStr for WindowKind {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "deny" => Ok(Self::Deny),
            "allow" => Ok(Self::Allow),
            other => Err(format!("kind `{other}` is not known: use deny or allow")),
        }
    }
}

/// A freeze window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its identity.
    pub id: Uuid,
    /// What it means while it is open.
    pub kind: WindowKind,
    /// For which application; none for all.
    pub application: Option<ApplicationName>,
    /// When it begins.
    pub cron: Cron,
    /// How long it lasts.
    pub duration: Millis,
    /// Where the clock hangs that `cron` is read by.
    pub zone: Zone,
    /// Whether it is for rollbacks as well. Usually it is not: a rollback makes things as they were.
    pub rollbacks: bool,
}

/// What the windows say at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against a rollback.
    Open {
        /// A window that is open and from which rollbacks are exempt.
        exempt: Option<Uuid>,
    },
    /// A window that denies is open.
    Denied {
        /// Which.
        window: Uuid,
        /// Until when, by this beginning.
        until: Moment,
    },
    /// There are windows that allow, and none is open.
    NotAllowed {
        /// When the next one opens.
        next: Option<Moment>,
    },
    /// A window can not be understood: nobody knows whether it is open.
    Unreadable {
        /// Which.
        window: Uuid,
        /// Why.
        why: String,
    },
}

/// What the windows say about rollbacks of this application at that moment. What denies wins over what allows.
#[must_use]
pub fn judge(windows: &[Window], application: &ApplicationName, now: Moment) -> Verdict {
    let mine = |window: &&Window| {
        window.application.is_none() || window.application.as_ref() == Some(application)
    };
    let (mut denied, mut unreadable, mut exempt) = (None, None, None);
    let (mut allows, mut allowed, mut next) = (false, false, None::<Moment>);
    for window in windows.iter().filter(mine) {
        let open = match window.open_until(now) {
            Ok(open) => open,
            Err(_) if !window.rollbacks => continue,
            Err(why) => {
                unreadable = unreadable.or(Some(Verdict::Unreadable {
                    window: window.id,
                    why,
                }));
                continue;
            }
        };
        match (window.kind, open) {
            (WindowKind::Deny, Some(_)) if !window.rollbacks => exempt = Some(window.id),
            (WindowKind::Deny, Some(until)) => {
                let later = |(_, known): &(Uuid, Moment)| *known < until;
                if denied.as_ref().is_none_or(later) {
                    denied = Some((window.id, until));
                }
            }
            (WindowKind::Allow, open) if window.rollbacks => {
                allows = true;
                allowed |= open.is_some();
                let begins = window.next_after(now).ok().flatten();
                next = [next, begins].into_iter().flatten().min();
            }
            (WindowKind::Deny, None) | (WindowKind::Allow, _) => {}
        }
    }
    match (denied, unreadable) {
        (Some((window, until)), _) => Verdict::Denied { window, until },
        (None, Some(unreadable)) => unreadable,
        (None, None) if allows && !allowed => Verdict::NotAllowed { next },
        (None, None) => Verdict::Open { exempt },
    }
}

impl Window {
    /// Until when it is open, if it is at that moment.
    ///
    /// # Errors
    /// Why that can not be said.
    pub fn open_until(&self, now: Moment) -> Result<Option<Moment>, String> {
        let rules = self.zone.rules()?;
        let today = rules.day_of(now);
        // The zone may be a day ahead or behind where the window began.
        let back = i32::try_from(self.duration.0 / 86_400_000)
            .unwrap_or(i32::MAX)
            .saturating_add(2);
        let begins = (-back..=1)
            .filter_map(|days| today.plus(days))
            .flat_map(|day| {
                let times = self.cron.times_of(&day);
                times
                    .into_iter()
                    .map(move |(hour, minute)| (day, hour, minute))
            });
        let mut open = None;
        for (day, hour, minute) in begins {
            let Some(begin) = rules.moment(&day, hour, minute) else {
                continue;
            };
            let end = begin.after(self.duration);
            if begin <= now && now < end {
                open = open.max(Some(end));
            }
        }
        Ok(open)
    }

    /// When it opens next, after that moment.
    ///
    /// # Errors
    /// Why that can not be said.
    pub fn next_after(&self, now: Moment) -> Result<Option<Moment>, String> {
        let rules = self.zone.rules()?;
        let today = rules.day_of(now);
        for day in (-1..=AHEAD_DAYS).filter_map(|days| today.plus(days)) {
            let times = self.cron.times_of(&day);
            let begins = times
                .into_iter()
                .filter_map(|(hour, minute)| rules.moment(&day, hour, minute));
            if let Some(begin) = begins.filter(|begin| *begin > now).min() {
                return Ok(Some(begin));
            }
        }
        Ok(None)
    }
}
