//! What an application was seen to be when an alert about it came in, and what of that may be believed.

use uuid::Uuid;

use super::{Facts, NewestDeployment, Opinion, TargetFacts};
use crate::{
    hold::Marks,
    ledger::Release,
    name::Version,
    seen::Seen,
    time::{Millis, Moment},
};

/// What was seen outside of the ledger, and what it was seen for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The newest deployment at that time; another one since, and it is to be looked at again.
    pub deployment: Option<Uuid>,
    /// What our own probes say.
    pub opinion: Seen<Opinion>,
    /// What the planner would go back to. What stands against it is read once more when it is decided.
    pub target: Seen<TargetFacts>,
    /// When what runs was started: the last of its containers.
    pub started: Option<Moment>,
}

impl Sight {
    /// Nothing was seen, and why.
    #[must_use]
    pub fn none(newest: Option<&NewestDeployment>, why: &str) -> Self {
        Self {
            deployment: newest.map(|newest| newest.id),
            opinion: Seen::Unknown(why.to_owned()),
            target: Seen::Unknown(why.to_owned()),
            started: None,
        }
    }

    /// The version whose marks are needed.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.target.known().map(|target| &target.version)
    }

    /// Puts it into the facts; whether they are about the deployment that was looked at. `marks` are what is said against
    /// the target now: persons may have said it after it was looked at.
    pub fn add_to(&self, facts: &mut Facts, marks: Marks) -> bool {
        facts.opinion = self.opinion.clone();
        facts.target = self.target.clone();
        if let Seen::Known(target) = &mut facts.target {
            (target.hold, target.insecure) = (marks.hold, marks.insecure);
        }
        if let (Seen::Known(newest), Some(started)) = (&mut facts.deployment, self.started) {
            // A report may come hours late: what runs was there before it.
            newest.at = newest.at.min(started);
        }
        facts.deployment.known().map(|newest| newest.id) == self.deployment
    }
}

/// The deployment that probes are asked about. `runs` is what the containers say.
///
/// # Errors
/// Why none are asked.
pub fn asked_about<'a>(
    newest: Option<&'a NewestDeployment>,
    runs: Option<&Version>,
) -> Result<&'a NewestDeployment, String> {
    let newest = newest.ok_or("it is not known which version runs")?;
    match runs {
        // Asked for a version that does not run, probes would say no for that alone.
        Some(runs) if *runs != newest.version => Err(format!(
            "{runs} runs, not {}, which is the newest in the ledger",
            newest.version
        )),
        Some(_) | None => Ok(newest),
    }
}

/// The longest that a version served in one piece; none when it never did. `entries` are what was put in service and
/// when, newest first, without what was refused.
#[must_use]
pub fn longest_served<'a>(
    version: &Version,
    entries: impl IntoIterator<Item = (&'a Version, Moment)>,
    now: Moment,
) -> Option<Millis> {
    let (mut until, mut longest) = (now, None);
    for (served, from) in entries {
        if served == version {
            longest = longest.max(Some(until.since(from)));
        }
        until = from;
    }
    longest
}

/// The newest good release besides what serves: what the planner would have chosen if nothing stood in its way.
#[must_use]
pub fn last_good<'a>(
    releases: &'a [Release],
    newest: Option<&NewestDeployment>,
) -> Option<&'a Release> {
    releases
        .iter()
        .filter(|release| newest.is_none_or(|newest| release.version != newest.version))
        .filter(|release| release.good_at.is_some())
        .max_by_key(|release| release.good_at)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Guard, GuardSettings, Policy, decide,
            tests::{at, fine, now},
        },
        *,
    };

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn sight(facts: &Facts) -> Sight {
        Sight {
            deployment: facts.deployment.known().map(|newest| newest.id),
            opinion: facts.opinion.clone(),
            target: facts.target.clone(),
            started: None,
        }
    }

    #[test]
    fn a_deployment_is_not_later_than_what_runs_was_started() {
        let reported = at(-500);
        for (started, counts) in [
            (None, reported),
            (Some(at(-7_200)), at(-7_200)),
            // A container that was restarted since makes no deployment younger.
            (Some(at(-60)), reported),
        ] {
            let mut facts = fine();
            let sight = Sight {
                started,
                ..sight(&facts)
            };
            assert!(sight.add_to(&mut facts, Marks::default()));
            assert_eq!(facts.deployment.known().unwrap().at, counts);
        }
    }

    #[test]
    fn a_report_that_comes_hours_late_makes_no_old_version_the_cause() {
        let mut facts = fine();
        let policy = Policy::of(&GuardSettings::default());
        let sight = Sight {
            started: Some(at(-7 * 3_600)),
            ..sight(&facts)
        };
        assert!(sight.add_to(&mut facts, Marks::default()));
        let decision = decide(&facts, &policy, now());
        assert_eq!(decision.reason(), Some(Guard::DeployCorrelation));
    }

    #[test]
    fn what_is_said_against_the_target_by_now_counts_and_what_was_said_before_does_not() {
        let marks = |hold: Option<&str>, insecure: Option<&str>| Marks {
            hold: hold.map(ToOwned::to_owned),
            insecure: insecure.map(ToOwned::to_owned),
        };
        let policy = Policy::of(&GuardSettings::default());
        for (marks, guard) in [
            (marks(Some("loses orders"), None), Guard::Hold),
            (marks(None, Some("CVE-2026-1")), Guard::SecurityFloor),
        ] {
            let mut facts = fine();
            assert!(sight(&facts).add_to(&mut facts, marks));
            assert_eq!(decide(&facts, &policy, now()).reason(), Some(guard));
        }
        let mut facts = fine();
        let mut former = sight(&facts);
        let Seen::Known(target) = &mut former.target else {
            panic!("{former:?}")
        };
        target.hold = Some("released since".to_owned());
        assert!(former.add_to(&mut facts, Marks::default()));
        assert_eq!(decide(&facts, &policy, now()).reason(), None);
    }

    #[test]
    fn what_was_seen_of_another_deployment_does_not_count() {
        let mut facts = fine();
        let other = Sight {
            deployment: Some(Uuid::from_u128(77)),
            ..sight(&facts)
        };
        assert!(!other.add_to(&mut facts, Marks::default()));
        let nothing = Sight::none(None, "the engine does not answer");
        assert!(
            !nothing.add_to(&mut facts, Marks::default()),
            "there is one by now"
        );
        assert!(matches!(facts.opinion, Seen::Unknown(_)));
        assert!(matches!(facts.target, Seen::Unknown(_)));
    }

    #[test]
    fn no_probe_is_asked_about_a_version_that_does_not_run() {
        let facts = fine();
        let newest = facts.deployment.known();
        assert!(asked_about(newest, Some(&version("1.5.0"))).is_ok());
        // Containers that say no version are asked: the ledger knows by their images what they are.
        assert!(asked_about(newest, None).is_ok());
        let why = asked_about(newest, Some(&version("1.4.2"))).unwrap_err();
        assert!(why.contains("1.4.2 runs") && why.contains("1.5.0"), "{why}");
        assert!(asked_about(None, Some(&version("1.5.0"))).is_err());
    }

    #[test]
    fn a_version_served_until_the_next_one_came_and_its_longest_time_counts() {
        let (old, new) = (version("1.4.2"), version("1.5.0"));
        let entries = [
            (&new, at(-100)),
            (&old, at(-160)),
            (&new, at(-200)),
            (&old, at(-900)),
        ];
        let longest = |version| longest_served(version, entries, now());
        assert_eq!(longest(&old), Some(Millis::from_secs(700)));
        assert_eq!(longest(&new), Some(Millis::from_secs(100)));
        assert_eq!(longest(&version("1.3.0")), None);
    }
}
