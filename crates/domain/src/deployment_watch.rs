//! Whether a deployment is good: proved by its probes over its whole watch window, never assumed.

use std::collections::BTreeMap;

use crate::{
    application::Application,
    engine_look::{Container, EngineLook, Health},
    ledger,
    name::{ComponentName, ImageId, Version},
    probe::{Answer, Question},
    steps,
    time::{Millis, Moment},
};

/// What was found of a deployment so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// When the watch began.
    pub since: Moment,
    /// Since when every replica runs the deployment's images and every check is green, without a red between.
    pub green_since: Option<Moment>,
    /// Since when something is red, when it is.
    pub red_since: Option<Moment>,
    /// Whether a newer deployment of the application is in the ledger.
    pub superseded: bool,
}

/// What follows from one more look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Not decided yet; these are the new marks.
    Watching {
        /// See [`Watched::green_since`].
        green_since: Option<Moment>,
        /// See [`Watched::red_since`].
        red_since: Option<Moment>,
        /// What is red, as a sentence.
        said: Option<String>,
    },
    /// Decided for good.
    Decided {
        /// Good, bad or unproved.
        health: ledger::Health,
        /// Why, as a sentence.
        said: String,
    },
}

/// A deployment that was never seen to run for this long is not watched any further.
const UNSEEN_MAX: Millis = Millis::from_secs(3600);

/// The questions to ask of an application that shall run `version`.
#[must_use]
pub fn questions(application: &Application, version: &Version, look: &EngineLook) -> Vec<Question> {
    let mut questions: Vec<Question> = replicas(application, look)
        .flat_map(|container| steps::replica_questions(application, container, Some(version)))
        .collect();
    questions.extend(steps::front_questions(application));
    questions
}

/// One more look at a deployment.
#[must_use]
pub fn judge(
    application: &Application,
    images: &BTreeMap<ComponentName, ImageId>,
    watched: &Watched,
    look: &EngineLook,
    answers: &[Answer],
    now: Moment,
) -> Judgement {
    if watched.superseded {
        let said =
            "another deployment took its place before its watch window had passed".to_owned();
        return Judgement::Decided {
            health: ledger::Health::Unproved,
            said,
        };
    }
    match red(application, images, look, answers) {
        None => green(application, watched, now),
        Some(Red::NotRunning(said)) => not_running(watched, said, now),
        Some(Red::Sick(said)) => sick(application, watched, said, now),
    }
}

enum Red {
    NotRunning(String),
    Sick(String),
}

fn green(application: &Application, watched: &Watched, now: Moment) -> Judgement {
    let since = watched.green_since.unwrap_or(now);
    let window = Millis::from_secs(application.watch_window_s);
    if now.since(since) >= window {
        let said = format!("every check was green for {window}");
        return Judgement::Decided {
            health: ledger::Health::Good,
            said,
        };
    }
    Judgement::Watching {
        green_since: Some(since),
        red_since: None,
        said: None,
    }
}

/// The deployment's images do not run (yet, or any more): nothing is proved, in either direction.
fn not_running(watched: &Watched, said: String, now: Moment) -> Judgement {
    if now.since(watched.since) >= UNSEEN_MAX {
        return Judgement::Decided {
            health: ledger::Health::Unproved,
            said,
        };
    }
    Judgement::Watching {
        green_since: None,
        red_since: None,
        said: Some(said),
    }
}

/// Red for a moment is not yet bad, but the window begins anew: a release whose checks flap never gets through one.
/// After a red it has the time to boot.
fn sick(application: &Application, watched: &Watched, said: String, now: Moment) -> Judgement {
    let since = watched.red_since.unwrap_or(now);
    let booting = watched.green_since.is_none();
    let limit = if booting {
        application.timeouts.proof()
    } else {
        Millis::from_secs(application.timeouts.red_s)
    };
    if now.since(since) >= limit {
        return Judgement::Decided {
            health: ledger::Health::Bad,
            said,
        };
    }
    Judgement::Watching {
        green_since: None,
        red_since: Some(since),
        said: Some(said),
    }
}

fn red(
    application: &Application,
    images: &BTreeMap<ComponentName, ImageId>,
    look: &EngineLook,
    answers: &[Answer],
) -> Option<Red> {
    for (component, image) in images {
        let mut seen = replicas(application, look)
            .filter(|container| container.component == *component)
            .peekable();
        if seen.peek().is_none() {
            return Some(Red::NotRunning(format!(
                "the engine has no container of {component}"
            )));
        }
        if let Some(other) = seen.find(|container| container.image != *image) {
            let said = format!(
                "{} runs image {} and not {}",
                other.name,
                other.image.short(),
                image.short()
            );
            return Some(Red::NotRunning(said));
        }
    }
    let stopped = replicas(application, look).find(|container| !container.runs());
    if let Some(stopped) = stopped {
        return Some(Red::Sick(format!(
            "{} does not run, exit code {}",
            stopped.name, stopped.exit_code
        )));
    }
    let unhealthy =
        replicas(application, look).find(|container| container.health == Health::Unhealthy);
    if let Some(unhealthy) = unhealthy {
        return Some(Red::Sick(format!(
            "{}: its health check says unhealthy",
            unhealthy.name
        )));
    }
    let answer = answers.iter().find(|answer| !answer.green)?;
    Some(Red::Sick(format!("{}: {}", answer.asked, answer.said)))
}

/// The containers that are replicas, without those that a rollback has beside them.
pub fn replicas<'a>(
    application: &'a Application,
    look: &'a EngineLook,
) -> impl Iterator<Item = &'a Container> {
    look.containers.iter().filter(|container| {
        application.component(&container.component).is_some()
            && !crate::plan::is_interim_name(&container.name)
    })
}
