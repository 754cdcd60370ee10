//! Fronts that follow: pointed at the running containers when those got other addresses, by a deployment or a restart of
//! the engine. Never beside a rollback.

use std::{net::SocketAddr, time::Duration};

use domain::{
    application::{Application, Component},
    engine_look::EngineLook,
    front::{Aim, Front, follow},
    name::RollbackId,
    seen::Seen,
};
use integrations::Trouble;
use metrics::counter;
use serde_json::json;

use super::watcher;
use crate::{
    clock::BootInstant,
    metric,
    world::{Real, StoreAway},
};

/// How long what was looked at may be acted on: far less than a rollback needs from its request to its own change over,
/// so that whoever was frozen in between changes nothing afterwards.
const FRESH: Duration = Duration::from_millis(500);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// Every front sends clients to where the containers are, as far as that is for us to see to.
    True,
    /// One could not be looked at or not be pointed: it is tried again soon.
    Open,
}

/// Whose front follows, and what was known before the look.
struct Follower<'a> {
    application: &'a Application,
    run: Option<RollbackId>,
    component: &'a Component,
    front: &'a Front,
    fresh: BootInstant,
}

impl Real {
    /// Points every front of an application that follows and has lost its containers. `run` was its newest rollback
    /// before the look.
    pub(super) async fn follow_fronts(
        &self,
        application: &Application,
        run: Option<RollbackId>,
        look: &mut EngineLook,
    ) -> Result<Followed, StoreAway> {
        let follows = |component: &&Component| {
            let front = component.front.as_ref();
            front.is_some_and(|front| front.follow)
        };
        let mut followed = Followed::True;
        for component in application.components.iter().filter(follows) {
            let Some(front) = &component.front else {
                continue;
            };
            let fresh = BootInstant::now().after(FRESH);
            let seen = match self.balancers.look(front, false).await {
                Ok(known) => Seen::Known(known),
                Err(trouble) => Seen::Unknown(trouble.to_string()),
            };
            look.fronts.insert(component.name.clone(), seen);
            let aims = match follow(component, look) {
                Ok(aims) => aims,
                Err(said) => {
                    tracing::debug!(application = %application.name, component = %component.name, said, "a front can not be looked at");
                    followed = Followed::Open;
                    continue;
                }
            };
            for aim in aims {
                let follower = Follower {
                    application,
                    run,
                    component,
                    front,
                    fresh,
                };
                if !self.follow_to(&follower, &aim).await? {
                    followed = Followed::Open;
                }
            }
        }
        Ok(followed)
    }

    async fn follow_to(&self, follower: &Follower<'_>, aim: &Aim) -> Result<bool, StoreAway> {
        let Follower {
            application,
            run,
            component,
            front,
            fresh,
        } = *follower;
        let (server, to): (&str, SocketAddr) = (&aim.server, aim.to);
        let name = &component.name;
        let holds = || !fresh.left().is_zero();
        let pointing = self.balancers.point(front, server, to, &holds);
        let detail = json!({"component": name, "server": server, "to": to.to_string()});
        let by = watcher();
        let entry = (&by, "front.follow", detail);
        let done = self
            .store
            .while_at_rest(&application.name, run, entry, pointing)
            .await;
        match done {
            Ok(Some(Ok(()))) => {
                counter!(metric::FOLLOWED).increment(1);
                tracing::info!(application = %application.name, component = %name, server, %to, "a front follows its container");
                Ok(true)
            }
            // What was decided on is too old, or a rollback began: the next look tells.
            Ok(None | Some(Err(Trouble::Fenced))) | Err(store::Error::NotFound(_)) => Ok(false),
            Ok(Some(Err(trouble))) => {
                let error = trouble.to_string();
                tracing::warn!(application = %application.name, component = %name, server, %to, error, "a front can not follow its container; trying again");
                Ok(false)
            }
            Err(error) => Err(StoreAway(error)),
        }
    }
}
