//! Whether what runs is what the ledger says: looked at when an engine hints at a change, and every now and then anyway.
//! It only looks and writes down; what comes back is put back by `returns`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use docker::{Change, Heard};
use domain::{
    application::Application,
    drift::{self, Detected, Drift, Known},
    engine_look::EngineLook,
    hold::Hold,
    ledger::Release,
    name::{Actor, ApplicationName, ComponentName, ContainerId, ImageId},
    seen::Seen,
    time::Millis,
};
use futures_util::{StreamExt, stream};
use metrics::counter;
use store::{DeployedComponent, NewReturn, Standpoint, Store, Topic, Wake};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    deployments::deployed,
    eyes::Origins,
    hints::Hints,
    metric,
    returns::{self, Pending},
    world::{Real, StoreAway},
};

/// Each application is looked at that often without a hint: hints may be lost.
const EVERY: Duration = Duration::from_secs(45);
/// How often the list of applications is read.
const LIST_EVERY: Duration = Duration::from_secs(5);
/// News of new work come in bursts; the list is not read more often than this.
const LIST_PAUSE: Duration = Duration::from_millis(500);
/// A change of an engine is several events: the look waits for the rest of them.
const GATHER: Duration = Duration::from_millis(150);
/// While something is about to happen: a rollback acts, a return waits to be put back, an engine is away.
const SOON: Duration = Duration::from_secs(2);
/// Applications looked at together.
const AT_ONCE: usize = 8;
/// Longest look at one application, with what follows: an engine that hangs must not hold up the others for longer.
const LOOK_LIMIT: Duration = Duration::from_secs(15);
/// Decisions made on one look: seen, detected, returned, and one to find that nothing is left.
const DECISIONS_MAX: u8 = 4;

/// What must stay the same for an application to be settled, and since when it has.
type Stable = (BTreeSet<(ContainerId, ImageId, bool)>, Instant);

/// One application that is watched.
struct Place {
    application: Application,
    due: Instant,
    stable: Option<Stable>,
}

pub(crate) async fn run(store: Store, real: Arc<Real>, wake: Wake, shutdown: CancellationToken) {
    let mut wakes = wake.subscribe(Topic::Work);
    let mut watcher = Watcher {
        store,
        real,
        hints: Hints::new(),
        places: BTreeMap::new(),
        list_due: Instant::now(),
        listed: Instant::now(),
    };
    while !shutdown.is_cancelled() {
        if watcher.list_due <= Instant::now() {
            watcher.list().await;
        }
        watcher.look_at_due().await;
        let next = watcher.next();
        tokio::select! {
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
    list_due: Instant,
    listed: Instant,
}

impl Watcher {
    fn next(&self) -> Instant {
        let first = self.places.values().map(|place| place.due).min();
        first.map_or(self.list_due, |first| first.min(self.list_due))
    }

    /// Reads which applications there are, and listens to their engines.
    async fn list(&mut self) {
        let now = Instant::now();
        (self.listed, self.list_due) = (now, now + LIST_EVERY);
        let applications = match self.store.applications_watched().await {
            Ok(applications) => applications,
            Err(error) => {
                tracing::warn!(%error, "can not list the applications to watch; trying again");
                return;
            }
        };
        let names: BTreeSet<ApplicationName> =
            applications.iter().map(|one| one.name.clone()).collect();
        self.places.retain(|name, _| names.contains(name));
        for application in applications {
            let place = self
                .places
                .entry(application.name.clone())
                .or_insert_with(|| Place {
                    application: application.clone(),
                    due: now,
                    stable: None,
                });
            if place.application != application {
                place.application = application;
                place.due = now;
            }
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

    async fn look_at_due(&mut self) {
        let now = Instant::now();
        let due: Vec<_> = self
            .places
            .values_mut()
            .filter(|place| place.due <= now)
            .map(|place| {
                let (application, stable) = (place.application.clone(), place.stable.take());
                one(self.store.clone(), self.real.clone(), application, stable)
            })
            .collect();
        let looked: Vec<_> = stream::iter(due).buffer_unordered(AT_ONCE).collect().await;
        for (name, turn) in looked {
            if let Some(place) = self.places.get_mut(&name) {
                place.due = Instant::now() + turn.again;
                place.stable = turn.stable;
            }
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

/// When to look again, and what has to stay the same until then.
struct Turn {
    again: Duration,
    stable: Option<Stable>,
}

async fn one(
    store: Store,
    real: Arc<Real>,
    application: Application,
    stable: Option<Stable>,
) -> (ApplicationName, Turn) {
    let name = application.name.clone();
    let looking = Looking {
        store,
        real,
        application,
    };
    let turn = match tokio::time::timeout(LOOK_LIMIT, looking.turn(stable)).await {
        Ok(Ok(turn)) => turn,
        Ok(Err(StoreAway(error))) => {
            tracing::warn!(application = %name, %error, "can not watch an application; trying again");
            Turn {
                again: SOON,
                stable: None,
            }
        }
        Err(_) => Turn {
            again: SOON,
            stable: None,
        },
    };
    (name, turn)
}

/// One application, for one look.
struct Looking {
    store: Store,
    real: Arc<Real>,
    application: Application,
}

/// What the ledger says.
struct Ledger {
    standpoint: Standpoint,
    releases: Vec<Release>,
    holds: Vec<Hold>,
}

impl Looking {
    async fn turn(&self, stable: Option<Stable>) -> Result<Turn, StoreAway> {
        // Before the look: whoever writes the ledger in between makes what is seen old.
        let mut ledger = self.ledger().await?;
        if ledger.standpoint.acting {
            return Ok(Turn {
                again: SOON,
                stable: None,
            });
        }
        let (look, origins) = match self.real.look_at_origins(&self.application).await? {
            Ok(seen) => seen,
            Err(said) => {
                tracing::debug!(application = %self.application.name, said, "can not be looked at");
                return Ok(Turn {
                    again: SOON,
                    stable: None,
                });
            }
        };
        let print = drift::fingerprint(&self.application, &look);
        let stable = match stable {
            Some((before, since)) if before == print => (before, since),
            Some(_) | None => (print, Instant::now()),
        };
        for _ in 0..DECISIONS_MAX {
            let known = self.known(&ledger, &look, &origins, stable.1);
            match drift::decide(&known) {
                Drift::Nothing => break,
                Drift::Settling { left } => {
                    return Ok(Turn {
                        again: Duration::from_millis(left.0),
                        stable: Some(stable),
                    });
                }
                Drift::Seen { deployment } => self.seen(deployment).await?,
                Drift::Detected(found) => self.detected(&ledger, &found).await?,
                Drift::HeldReturned {
                    deployment,
                    version,
                    reason,
                } => {
                    let new = NewReturn {
                        application: self.application.name.clone(),
                        deployment,
                        version,
                        reason,
                        policy: self.application.on_return,
                    };
                    returns::announce(&self.store, &new).await?;
                }
            }
            ledger = self.ledger().await?;
        }
        let again = self.follow_up(&ledger, &look, &origins, stable.1).await?;
        Ok(Turn {
            again,
            stable: Some(stable),
        })
    }

    /// What a return still needs.
    async fn follow_up(
        &self,
        ledger: &Ledger,
        look: &EngineLook,
        origins: &Origins,
        since: Instant,
    ) -> Result<Duration, StoreAway> {
        let Some(newest) = &ledger.standpoint.returned else {
            return Ok(EVERY);
        };
        let may_act = drift::may_put_back(&self.known(ledger, look, origins, since));
        let pending = Pending {
            store: &self.store,
            real: &self.real,
            application: &self.application,
            releases: &ledger.releases,
            holds: &ledger.holds,
        };
        let open = pending.go_on(newest, may_act).await?;
        Ok(if open { SOON } else { EVERY })
    }

    async fn ledger(&self) -> Result<Ledger, StoreAway> {
        let name = &self.application.name;
        Ok(Ledger {
            standpoint: self.store.standpoint(name).await.map_err(StoreAway)?,
            releases: self.store.releases(name).await.map_err(StoreAway)?,
            holds: self.store.holds_active(name).await.map_err(StoreAway)?,
        })
    }

    fn known<'a>(
        &'a self,
        ledger: &'a Ledger,
        look: &'a EngineLook,
        origins: &'a Origins,
        since: Instant,
    ) -> Known<'a> {
        let stable = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Known {
            application: &self.application,
            look,
            origins,
            releases: &ledger.releases,
            holds: &ledger.holds,
            newest: ledger.standpoint.newest.as_ref(),
            seen: ledger.standpoint.seen.as_ref(),
            acting: ledger.standpoint.acting,
            stable: Millis(stable),
        }
    }

    async fn seen(&self, deployment: uuid::Uuid) -> Result<(), StoreAway> {
        self.store
            .deployment_seen(deployment)
            .await
            .map_err(StoreAway)
    }

    /// With what each image can be brought by when the engine has lost it, as far as the engine says so now.
    async fn components(&self, found: &Detected) -> BTreeMap<ComponentName, DeployedComponent> {
        let mut components = BTreeMap::new();
        for (name, (image, reference)) in &found.components {
            let seen = match self.real.engines.get(&self.application.engine) {
                Ok(engine) => engine.image_seen(image).await.ok(),
                Err(_) => None,
            };
            let facts = seen.as_ref().and_then(Seen::known);
            components.insert(name.clone(), deployed(image.clone(), reference, facts));
        }
        components
    }

    async fn detected(&self, ledger: &Ledger, found: &Detected) -> Result<(), StoreAway> {
        let name = &self.application.name;
        let (by, components) = (watcher(), self.components(found).await);
        let standpoint = &ledger.standpoint;
        let put = self
            .store
            .deployment_detected(name, standpoint, found, &components, &by);
        match put.await {
            Ok(Some(deployment)) => {
                counter!(metric::DETECTED).increment(1);
                let version = &found.version;
                tracing::info!(application = %name, %version, %deployment, "found a deployment that nobody reported");
                Ok(())
            }
            // Somebody else wrote first, or the application is gone: the next look tells.
            Ok(None) | Err(store::Error::NotFound(_)) => Ok(()),
            Err(error) => Err(StoreAway(error)),
        }
    }
}

/// The one who writes down what is found.
pub(crate) fn watcher() -> Actor {
    "sternway:watcher"
        .parse()
        .expect("the literal is a valid actor")
}
