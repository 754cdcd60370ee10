//! What messages said of one trouble, brought to what the guards go by: the newest word counts.

use super::{EpisodeFacts, EpisodeState, Facts, Impact, Later, impact_of};
use crate::{
    name::ApplicationName,
    time::Moment,
    trigger::alert::{Alert, AlertState},
};

/// What another message said of the trouble of an alert.
#[derive(Clone, Debug)]
pub struct Word {
    /// Its event.
    pub event: String,
    /// What it said.
    pub alert: Alert,
    /// The application that it was about, by the routes.
    pub application: Option<ApplicationName>,
    /// When we heard it, or wrote down what came of it.
    pub ours: Moment,
    /// Whether a rollback was started or proposed for it, or it came before the alert and is still to be decided.
    pub leads: bool,
}

impl Word {
    /// By its sender's clock, and by ours where that tells nothing.
    fn place(&self) -> (Moment, Moment) {
        (self.alert.occurred_at, self.ours)
    }
}

fn state(alert: &Alert) -> EpisodeState {
    EpisodeState {
        at: alert.occurred_at,
        state: alert.state,
    }
}

impl EpisodeFacts {
    /// What is known of the trouble of an alert that came then.
    #[must_use]
    pub fn of(
        told: &Alert,
        received_at: Moment,
        words: Vec<Word>,
        earlier: Vec<EpisodeState>,
    ) -> Self {
        let here = (told.occurred_at, received_at);
        let mut states: Vec<EpisodeState> = words.iter().map(|word| state(&word.alert)).collect();
        states.push(state(told));
        states.sort_by_key(|state| (state.at, state.state == AlertState::Firing));
        // What was over since is another trouble under the same key.
        let over = words
            .iter()
            .filter(|word| word.alert.state == AlertState::Resolved && word.place() <= here)
            .map(Word::place)
            .max();
        let decided = words
            .iter()
            .filter(|word| word.leads && over.is_none_or(|over| word.place() > over))
            .max_by_key(|word| word.place())
            .map(|word| word.event.clone());
        let later = words.into_iter().filter(|word| word.place() > here);
        let later = later.max_by_key(Word::place).map(|word| Later {
            alert: Box::new(word.alert),
            application: word.application,
        });
        Self {
            states,
            earlier,
            decided,
            later,
        }
    }
}

impl Facts {
    fn later(&self) -> Option<&Later> {
        self.episode.known()?.later.as_ref()
    }

    /// Where a later message says that the trouble is, when that is not the application that is judged.
    pub(super) fn moved(&self) -> Option<String> {
        let (later, here) = (self.later()?, &self.subject()?.name);
        let service = later.alert.service.as_deref();
        match &later.application {
            Some(other) if other == here => None,
            Some(other) => Some(format!(
                "{}, which is {other}",
                service.unwrap_or("another")
            )),
            // Routes may look at more than where it is: of the same thing as before it is not moved.
            None if later.alert.service == self.alert.service => None,
            None => Some(service.unwrap_or("none").to_owned()),
        }
    }

    /// The sender's newest word for how severe it is.
    pub(super) fn severity(&self) -> Option<&str> {
        let later = self.later().and_then(|it| it.alert.severity.as_deref());
        later.or(self.alert.severity.as_deref())
    }

    /// What the trouble does to people, by the newest word that says so. What damages data or is a security hole stays one.
    #[must_use]
    pub fn impact(&self) -> Option<Impact> {
        let of = |alert| impact_of(alert, &self.trigger.severities);
        let first = of(&self.alert);
        match (first, self.later()) {
            (Some(Impact::DataCorruption | Impact::Security), _) | (_, None) => first,
            (
                Some(Impact::Minor | Impact::Slow | Impact::Many | Impact::Down) | None,
                Some(later),
            ) => match of(&later.alert) {
                // It says nothing about that.
                None if later.alert.severity.is_none() => first,
                said => said,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::tests::{at, fine};

    fn word(event: &str, state: AlertState, seconds: i64, leads: bool) -> Word {
        Word {
            event: event.to_owned(),
            alert: Alert {
                state,
                occurred_at: at(seconds),
                started_at: at(seconds),
                ..fine().alert
            },
            application: Some("shop".parse().unwrap()),
            ours: at(seconds + 1),
            leads,
        }
    }

    fn facts(words: &[Word]) -> EpisodeFacts {
        let fine = fine();
        EpisodeFacts::of(&fine.alert, fine.received_at, words.to_vec(), Vec::new())
    }

    #[test]
    fn what_was_over_and_fires_again_under_the_same_key_is_another_trouble() {
        use AlertState::{Acknowledged, Firing, Merged, Resolved};
        let first = word("E1", Firing, -3000, true);
        assert_eq!(
            facts(std::slice::from_ref(&first)).decided.as_deref(),
            Some("E1")
        );
        let over = word("E2", Resolved, -2000, false);
        let known = facts(&[over.clone(), first.clone()]);
        assert_eq!(known.decided, None);
        assert_eq!(
            known.states.len(),
            3,
            "whether it comes and goes is judged all the same"
        );
        for other in [Acknowledged, Merged] {
            let other = word("E2", other, -2000, false);
            assert!(
                facts(&[other, first.clone()]).decided.is_some(),
                "it is not over"
            );
        }
        // Since then it was decided on once more.
        let second = word("E3", Firing, -1000, true);
        assert_eq!(
            facts(&[second, over, first.clone()]).decided.as_deref(),
            Some("E3")
        );
        // Over before it was decided on, or after this one began.
        for seconds in [-3500, -10] {
            let other = word("E2", Resolved, seconds, false);
            assert!(
                facts(&[other, first.clone()]).decided.is_some(),
                "{seconds}"
            );
        }
    }

    #[test]
    fn the_newest_word_after_the_alert_is_kept() {
        let before = word("E1", AlertState::Firing, -50, false);
        assert_eq!(facts(std::slice::from_ref(&before)).later, None);
        let late = |seconds: i64, severity: &str| Word {
            alert: Alert {
                severity: Some(severity.to_owned()),
                ..word("E2", AlertState::Firing, seconds, false).alert
            },
            ..word("E2", AlertState::Firing, seconds, false)
        };
        let known = facts(&[late(-5, "P5"), before, late(-10, "P2")]);
        let later = known.later.unwrap();
        assert_eq!(later.alert.severity.as_deref(), Some("P5"));
        // At the same moment by its sender's clock, and heard later.
        let same = Word {
            ours: at(-20),
            ..late(-40, "P4")
        };
        assert!(facts(std::slice::from_ref(&same)).later.is_some());
        let heard_before = Word {
            ours: at(-39),
            ..same
        };
        assert_eq!(facts(&[heard_before]).later, None);
    }
}
