//! Whether a deployment is good: proved by its probes over its whole watch window, never assumed.

use std::collections::BTreeMap;

use crate::{
    application::Application,
    engine_look::{Container, EngineLook, Health},
    guard::Opinion,
    ledger,
    name::{ComponentName, ImageId, Version},
    probe::{Answer, Question},
    seen::Seen,
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
    /// The images of the newest deployment that is newer in the ledger than this one.
    pub newer: Option<BTreeMap<ComponentName, ImageId>>,
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
/// Whole windows that a deployment has to get through one: with checks that flap it never does. It may have needed
/// [`UNSEEN_MAX`] to run at all.
const WINDOWS_MAX: u64 = 4;

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
    let red = red(application, images, look, answers);
    if took_its_place(images, watched, red.as_ref()) {
        return replaced(watched);
    }
    match red {
        None => green(application, watched, look, now),
        Some(Red::NotRunning(said) | Red::Silent(said)) => not_running(watched, said, now),
        Some(Red::Sick(said)) => sick(application, watched, said, now),
    }
}

/// What the answers say of an application as it is, for somebody who was told that it fails.
#[must_use]
pub fn opinion(
    application: &Application,
    look: &EngineLook,
    answers: &[Answer],
    at: Moment,
) -> Seen<Opinion> {
    let failing = |said: String| {
        Seen::Known(Opinion {
            at,
            failing: Some(said),
        })
    };
    let mut all = replicas(application, look).peekable();
    if all.peek().is_none() {
        return failing("the engine has no container of it".to_owned());
    }
    if let Some(stopped) = all.find(|container| !container.runs()) {
        return failing(format!("{} does not run", stopped.name));
    }
    let says = |health| replicas(application, look).find(|container| container.health == health);
    if let Some(unhealthy) = says(Health::Unhealthy) {
        return failing(format!(
            "{}: its health check says unhealthy",
            unhealthy.name
        ));
    }
    if let Some(answer) = answers.iter().find(|answer| !answer.green) {
        return failing(format!("{}: {}", answer.asked, answer.said));
    }
    let due = due(application, look);
    if answers.len() < due {
        return Seen::Unknown("not every check was answered".to_owned());
    }
    if due == 0 && says(Health::Healthy).is_none() {
        return Seen::Absent;
    }
    Seen::Known(Opinion { at, failing: None })
}

enum Red {
    /// Its images do not run.
    NotRunning(String),
    /// They run, and nothing can be said of them yet.
    Silent(String),
    /// They run and are not well.
    Sick(String),
}

/// A report alone takes nobody's place: it may be a late repetition of what ran before this deployment. The newer one
/// has it when this one's images do not run any more, or are the same as its own.
fn took_its_place(
    images: &BTreeMap<ComponentName, ImageId>,
    watched: &Watched,
    red: Option<&Red>,
) -> bool {
    let Some(newer) = &watched.newer else {
        return false;
    };
    let same = newer
        .iter()
        .all(|(component, image)| images.get(component) == Some(image));
    same || matches!(red, Some(Red::NotRunning(_)))
}

fn replaced(watched: &Watched) -> Judgement {
    let (health, how) = match watched.red_since {
        Some(_) => (ledger::Health::Bad, "while it was red"),
        None => (
            ledger::Health::Unproved,
            "before its watch window had passed",
        ),
    };
    Judgement::Decided {
        health,
        said: format!("another deployment took its place {how}"),
    }
}

/// A replica that was started again since then was down in between.
fn green(
    application: &Application,
    watched: &Watched,
    look: &EngineLook,
    now: Moment,
) -> Judgement {
    let started = replicas(application, look).filter_map(|container| container.started_at);
    let since = watched
        .green_since
        .map_or(now, |since| started.fold(since, Moment::max));
    let window = Millis::from_secs(application.watch_window_s);
    if now.since(since) >= window {
        let said = format!("every check was green for {window}");
        return Judgement::Decided {
            health: ledger::Health::Good,
            said,
        };
    }
    let again = watched.green_since.is_some_and(|before| since > before);
    if again && flapped_enough(application, watched, now) {
        return flapping(application, "a replica was started again");
    }
    Judgement::Watching {
        green_since: Some(since),
        red_since: None,
        said: None,
    }
}

/// The deployment's images do not run (yet, or any more), or nothing can be said of them: nothing is proved, in
/// either direction.
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

/// Red for a moment is not yet bad, but the window begins anew: a release whose checks flap never gets through one,
/// and is not watched for ever. After a red it has the time to boot.
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
    if flapped_enough(application, watched, now) {
        return flapping(application, &said);
    }
    Judgement::Watching {
        green_since: None,
        red_since: Some(since),
        said: Some(said),
    }
}

fn flapped_enough(application: &Application, watched: &Watched, now: Moment) -> bool {
    let window = Millis::from_secs(application.watch_window_s);
    let windows = Millis(window.0.saturating_mul(WINDOWS_MAX));
    now.since(watched.since) >= UNSEEN_MAX.and(windows)
}

fn flapping(application: &Application, said: &str) -> Judgement {
    let window = Millis::from_secs(application.watch_window_s);
    Judgement::Decided {
        health: ledger::Health::Unproved,
        said: format!(
            "it flaps: it had time for {WINDOWS_MAX} windows and was never green for {window}; at last: {said}"
        ),
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
    let says = |health| replicas(application, look).find(|container| container.health == health);
    if let Some(unhealthy) = says(Health::Unhealthy) {
        let said = format!("{}: its health check says unhealthy", unhealthy.name);
        return Some(Red::Sick(said));
    }
    if let Some(answer) = answers.iter().find(|answer| !answer.green) {
        return Some(Red::Sick(format!("{}: {}", answer.asked, answer.said)));
    }
    if answers.len() < due(application, look) {
        return Some(Red::Silent("not every check was answered".to_owned()));
    }
    let starting = says(Health::Starting)?;
    let said = format!("{}: its health check has no result yet", starting.name);
    Some(Red::Silent(said))
}

/// How many answers there are when every replica and the front were asked everything.
fn due(application: &Application, look: &EngineLook) -> usize {
    let of_replica = |container: &Container| {
        application
            .component(&container.component)
            .map_or(0, |component| {
                component.probes.len() + usize::from(component.version_endpoint.is_some())
            })
    };
    let of_replicas: usize = replicas(application, look).map(of_replica).sum();
    of_replicas + application.probes.len()
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

#[cfg(test)]
mod tests;
