//! Whether what runs is what the ledger says: looked at when an engine hints at a change, and every now and then anyway.
//! It only looks and writes down; what comes back is put back by `returns`, and fronts that follow are pointed.

mod following;
mod looking;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use docker::{Change, Heard};
use domain::{
    application::Application,
    name::{Actor, ApplicationName},
};
use store::{Store, Topic, Wake, Watched};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{
    following::Trials,
    looking::{Again, Stable, Turn},
};
use crate::{hints::Hints, world::Real};

/// Each application is looked at that often without a hint: hints may be lost.
const EVERY: Duration = Duration::from_secs(45);
/// With more of them than fit, each less often: looks without a hint cost no more however many there are.
const APART: Duration = Duration::from_millis(250);
/// How often the list of applications is read.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// News of new work come in bursts; the list is not read more often than this.
const LIST_PAUSE: Duration = Duration::from_millis(500);
/// A change of an engine is several events: the look waits for the rest of them.
const GATHER: Duration = Duration::from_millis(150);
/// While something is about to happen: a rollback acts, a return waits to be put back, an engine is away.
const SOON: Duration = Duration::from_secs(2);
/// Later than any look takes.
const NEVER: Duration = Duration::from_secs(3600);
/// Applications of one engine looked at together: one that does not answer is asked by a few, and keeps nobody else waiting.
const AT_ONCE: usize = 8;

/// One application that is watched.
struct Place {
    application: Application,
    revision: i32,
    /// A rollback acts on it: it is left alone until that is over.
    acting: bool,
    /// Somebody looks; what is heard meanwhile makes it due again.
    looking: bool,
    due: Instant,
    stable: Option<Stable>,
    trials: Trials,
}

impl Place {
    fn waits(&self) -> bool {
        !self.acting && !self.looking
    }
}

pub(crate) async fn run(store: Store, real: Arc<Real>, wake: Wake, shutdown: CancellationToken) {
    let mut wakes = wake.subscribe(Topic::Work);
    let mut watcher = Watcher {
        store,
        real,
        hints: Hints::new(),
        places: BTreeMap::new(),
        looks: JoinSet::new(),
        lookers: HashMap::new(),
        list_due: Instant::now(),
        listed: Instant::now(),
    };
    while !shutdown.is_cancelled() {
        if watcher.list_due <= Instant::now() {
            watcher.list().await;
        }
        watcher.look_at_due();
        let next = watcher.next();
        tokio::select! {
            Some(looked) = watcher.looks.join_next_with_id() => watcher.looked(looked),
            (engine, heard) = watcher.hints.next() => watcher.heard(&engine, &heard),
            () = wakes.woken() => watcher.list_due = watcher.list_due.min(watcher.listed + LIST_PAUSE),
            () = tokio::time::sleep_until(next) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

struct Watcher {
    store: Store,
    real: Arc<Real>,
    hints: Hints,
    places: BTreeMap<ApplicationName, Place>,
    looks: JoinSet<Turn>,
    lookers: HashMap<Id, (ApplicationName, String)>,
    list_due: Instant,
    listed: Instant,
}

impl Watcher {
    fn next(&self) -> Instant {
        let busy = self.busy();
        let free = |place: &&Place| {
            place.waits()
                && busy
                    .get(&place.application.engine)
                    .is_none_or(|n| *n < AT_ONCE)
        };
        let first = self
            .places
            .values()
            .filter(free)
            .map(|place| place.due)
            .min();
        first.map_or(self.list_due, |first| first.min(self.list_due))
    }

    /// How many look at each engine.
    fn busy(&self) -> BTreeMap<String, usize> {
        let mut busy = BTreeMap::new();
        for place in self.places.values().filter(|place| place.looking) {
            *busy.entry(place.application.engine.clone()).or_default() += 1;
        }
        busy
    }

    /// Reads which applications there are, and listens to their engines.
    async fn list(&mut self) {
        let now = Instant::now();
        (self.listed, self.list_due) = (now, now + LIST_EVERY);
        let known = self.places.iter();
        let known = known
            .map(|(name, place)| (name.clone(), place.revision))
            .collect();
        let watched = match self.store.applications_watched(&known).await {
            Ok(watched) => watched,
            Err(error) => {
                tracing::warn!(%error, "can not list the applications to watch; trying again");
                return;
            }
        };
        let names: BTreeSet<&ApplicationName> = watched.iter().map(|one| &one.name).collect();
        self.places.retain(|name, _| names.contains(name));
        for one in watched {
            self.place(one, now);
        }
        if self.places.values().any(|place| place.acting) {
            self.list_due = now + SOON;
        }
        let engines: BTreeSet<&str> = self
            .places
            .values()
            .map(|place| place.application.engine.as_str())
            .collect();
        self.hints.keep(&engines);
        for name in engines {
            match self.real.engines.get(name) {
                Ok(engine) => self.hints.follow(name, engine),
                Err(error) => tracing::warn!(engine = name, %error, "can not listen to an engine"),
            }
        }
    }

    fn place(&mut self, watched: Watched, now: Instant) {
        let Watched {
            name,
            revision,
            acting,
            changed,
        } = watched;
        match (self.places.get_mut(&name), changed) {
            (Some(place), None) => {
                if place.acting && !acting {
                    place.due = now;
                }
                place.acting = acting;
            }
            (before, Some(application)) => {
                let looking = before.as_ref().is_some_and(|place| place.looking);
                let kept = before.map(|place| (place.stable.take(), place.trials.clone()));
                let (stable, trials) = kept.unwrap_or_default();
                let place = Place {
                    application,
                    revision,
                    acting,
                    looking,
                    due: now,
                    stable,
                    trials,
                };
                self.places.insert(name, place);
            }
            (None, None) => {}
        }
    }

    fn heard(&mut self, engine: &str, heard: &Heard) {
        let soon = Instant::now() + GATHER;
        for place in self.places.values_mut() {
            let concerned = place.application.engine == engine
                && (heard.everything
                    || heard
                        .changes
                        .iter()
                        .any(|change| concerns(change, &place.application)));
            if concerned {
                place.due = place.due.min(soon);
            }
        }
    }

    fn look_at_due(&mut self) {
        let (now, mut busy) = (Instant::now(), self.busy());
        for (name, place) in &mut self.places {
            let at_it = busy.entry(place.application.engine.clone()).or_default();
            if !place.waits() || place.due > now || *at_it >= AT_ONCE {
                continue;
            }
            *at_it += 1;
            (place.looking, place.due) = (true, now + NEVER);
            let application = place.application.clone();
            let whose = (name.clone(), application.engine.clone());
            let (store, real, stable) =
                (self.store.clone(), self.real.clone(), place.stable.take());
            let look = Box::pin(looking::one(store, real, application, stable));
            let looker = self.looks.spawn(look);
            self.lookers.insert(looker.id(), whose);
        }
    }

    fn looked(&mut self, looked: Result<(Id, Turn), JoinError>) {
        let now = Instant::now();
        let (looker, turn) = match looked {
            Ok((looker, turn)) => (looker, turn),
            Err(error) => {
                tracing::error!(%error, "a look at an application broke off");
                (error.id(), Turn::soon())
            }
        };
        let Some((name, engine)) = self.lookers.remove(&looker) else {
            return;
        };
        let in_turn = EVERY.max(APART * u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        let open = match (self.places.get_mut(&name), &turn.followed) {
            (Some(place), Some(followed)) => place.trials.note(&name, followed),
            (Some(_) | None, None) | (None, Some(_)) => false,
        };
        let again = match turn.again {
            Again::InTurn if open => SOON,
            Again::InTurn => in_turn,
            Again::Soon | Again::EngineAway => SOON,
            Again::In(left) => left,
        };
        if matches!(turn.again, Again::EngineAway) {
            // Nor will it answer the others who are due.
            let there = |place: &&mut Place| place.application.engine == engine;
            for place in self.places.values_mut().filter(there) {
                place.due = place.due.max(now + SOON);
            }
        }
        if let Some(place) = self.places.get_mut(&name) {
            (place.looking, place.due) = (false, place.due.min(now + again));
            place.stable = turn.stable;
        }
    }
}

fn concerns(change: &Change, application: &Application) -> bool {
    match change {
        Change::Container {
            name,
            project,
            application: of,
        } => {
            let ours = |text: &Option<String>, own: &str| text.as_deref() == Some(own);
            ours(of, application.name.as_str())
                || application
                    .project
                    .as_ref()
                    .is_some_and(|own| ours(project, own.as_str()))
                || application
                    .components
                    .iter()
                    .any(|component| component.containers.contains(name))
        }
        // What runs does not change with the name of an image.
        Change::Image => false,
    }
}

/// The one who writes down what is found.
pub(crate) fn watcher() -> Actor {
    Actor::watcher()
}
