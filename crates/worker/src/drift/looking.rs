//! One look at one application: what runs is held against the ledger, and what the ledger lacks is written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use domain::{
    application::Application,
    drift::{self, Detected, Drift, Known},
    engine_look::EngineLook,
    hold::Hold,
    ledger::Release,
    name::{ComponentName, ContainerId, ImageId},
    seen::Seen,
    time::Millis,
};
use metrics::counter;
use store::{DeployedComponent, NewReturn, Standpoint, Store};
use tokio::time::Instant;

use super::{
    following::{self, Followed},
    watcher,
};
use crate::{
    deployments::{deployed, keep},
    eyes::Origins,
    metric,
    returns::{self, Pending},
    world::{Real, StoreAway},
};

/// Longest look at one application, with what follows: an engine that hangs must not hold up the others for longer.
const LOOK_LIMIT: Duration = Duration::from_secs(15);
/// Decisions made on one look: seen, detected, returned, and one to find that nothing is left.
const DECISIONS_MAX: u8 = 4;

/// What must stay the same for an application to be settled, and since when it has.
pub(super) type Stable = (BTreeSet<(ContainerId, ImageId, bool)>, Instant);

/// When to look again, and what has to stay the same until then.
pub(super) struct Turn {
    pub(super) again: Again,
    pub(super) stable: Option<Stable>,
    /// What came of following; none when nothing could be looked at.
    pub(super) followed: Option<Followed>,
}

/// When to look again without a hint.
pub(super) enum Again {
    /// When it is its turn.
    InTurn,
    /// Something is about to happen.
    Soon,
    /// When what is seen will have settled.
    In(Duration),
    /// Its engine does not answer: nor will it for others.
    EngineAway,
}

impl Turn {
    /// Nothing could be seen of anything, nor has it changed as far as anybody knows.
    pub(super) fn away(stable: Option<Stable>) -> Self {
        Self {
            again: Again::EngineAway,
            stable,
            followed: None,
        }
    }

    pub(super) fn soon() -> Self {
        Self {
            again: Again::Soon,
            stable: None,
            followed: None,
        }
    }
}

pub(super) async fn one(
    store: Store,
    real: Arc<Real>,
    application: Application,
    stable: Option<Stable>,
) -> Turn {
    let name = application.name.clone();
    let looking = Looking {
        store,
        real,
        application,
    };
    match tokio::time::timeout(LOOK_LIMIT, looking.turn(stable)).await {
        Ok(Ok(turn)) => turn,
        Ok(Err(StoreAway(error))) => {
            tracing::warn!(application = %name, %error, "can not watch an application; trying again");
            Turn::soon()
        }
        Err(_) => Turn::away(None),
    }
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
        let given_up = match &ledger.standpoint.returned {
            Some(newest) => self.pending(&ledger).give_up(newest).await?,
            None => false,
        };
        if given_up {
            ledger = self.ledger().await?;
        }
        if ledger.standpoint.acting {
            return Ok(Turn::soon());
        }
        let fresh = following::fresh();
        let (mut look, origins) = match self.real.look_at_origins(&self.application).await? {
            Ok(seen) => seen,
            Err(said) => {
                tracing::debug!(application = %self.application.name, said, "can not be looked at");
                return Ok(match self.engine_answers().await {
                    true => Turn::soon(),
                    false => Turn::away(stable),
                });
            }
        };
        // First: clients wait for it.
        let basis = (ledger.standpoint.run, fresh);
        let following = self.real.follow_fronts(&self.application, basis, &mut look);
        let followed = following.await?;
        let turn = self
            .held_against(&mut ledger, &look, &origins, stable)
            .await?;
        Ok(Turn {
            followed: Some(followed),
            ..turn
        })
    }

    /// What the ledger lacks is written down.
    async fn held_against(
        &self,
        ledger: &mut Ledger,
        look: &EngineLook,
        origins: &Origins,
        stable: Option<Stable>,
    ) -> Result<Turn, StoreAway> {
        let print = drift::fingerprint(&self.application, look);
        let stable = match stable {
            Some((before, since)) if before == print => (before, since),
            Some(_) | None => (print, Instant::now()),
        };
        for _ in 0..DECISIONS_MAX {
            let known = self.known(ledger, look, origins, stable.1);
            match drift::decide(&known) {
                Drift::Nothing => break,
                Drift::Settling { left } => {
                    return Ok(Turn {
                        again: Again::In(Duration::from_millis(left.0)),
                        stable: Some(stable),
                        followed: None,
                    });
                }
                Drift::Seen { deployment } => self.seen(deployment).await?,
                Drift::Detected(found) => self.detected(ledger, &found).await?,
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
            *ledger = self.ledger().await?;
        }
        let again = self.follow_up(ledger, look, origins, stable.1).await?;
        Ok(Turn {
            again,
            stable: Some(stable),
            followed: None,
        })
    }

    /// What a return still needs.
    async fn follow_up(
        &self,
        ledger: &Ledger,
        look: &EngineLook,
        origins: &Origins,
        since: Instant,
    ) -> Result<Again, StoreAway> {
        let Some(newest) = &ledger.standpoint.returned else {
            return Ok(Again::InTurn);
        };
        let may_act = drift::may_put_back(&self.known(ledger, look, origins, since));
        let open = self.pending(ledger).go_on(newest, may_act).await?;
        Ok(if open { Again::Soon } else { Again::InTurn })
    }

    fn pending<'a>(&'a self, ledger: &'a Ledger) -> Pending<'a> {
        Pending {
            store: &self.store,
            real: &self.real,
            application: &self.application,
            releases: &ledger.releases,
            holds: &ledger.holds,
        }
    }

    async fn engine_answers(&self) -> bool {
        match self.real.engines.get(&self.application.engine) {
            Ok(engine) => engine.facts(false).await.is_ok(),
            Err(_) => false,
        }
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
            if let (Some(_), Ok(engine)) = (facts, self.real.engines.get(&self.application.engine))
            {
                keep(&engine, &self.application.name, image).await;
            }
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
