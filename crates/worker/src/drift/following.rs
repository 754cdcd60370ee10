//! Fronts that follow: pointed at the running containers when those got other addresses, by a deployment or a restart of
//! the engine. Never beside a rollback.

use std::{net::SocketAddr, time::Duration};

use domain::{
    application::{Application, Component},
    engine_look::EngineLook,
    front::{Aim, Front, follow},
    name::{ApplicationName, RollbackId},
    seen::Seen,
};
use integrations::Trouble;
use metrics::counter;
use serde_json::json;
use store::AtRest;

use super::watcher;
use crate::{
    clock::BootInstant,
    metric,
    world::{Real, StoreAway},
};

/// How long what was looked at may be acted on, from before the engine was asked: so that whoever was frozen in between
/// changes nothing afterwards. A look takes tens of milliseconds; an engine that needs longer than this is not followed.
const FRESH: Duration = Duration::from_secs(2);
/// Looks in a row that are followed by another one soon; after a minute of them nothing is about to come right.
const SOON_TRIES: u32 = 30;

/// Until when what is looked at from now on may be acted on.
pub(super) fn fresh() -> BootInstant {
    BootInstant::now().after(FRESH)
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// Every front sends clients to where the containers are, as far as that is for us to see to.
    True,
    /// What was looked at is too old, or somebody else acts: the next look tells.
    Later,
    /// Why one could not be looked at or not be pointed.
    Open(String),
}

impl Followed {
    /// The worse of two.
    fn and(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Open(_), _)
            | (Self::Later, Self::True | Self::Later)
            | (Self::True, Self::True) => self,
            (Self::Later | Self::True, Self::Open(_)) | (Self::True, Self::Later) => other,
        }
    }
}

/// Looks in a row that left a front of an application open.
#[derive(Clone, Debug, Default)]
pub(super) struct Trials {
    tries: u32,
    told: bool,
}

impl Trials {
    /// Takes note of one; whether to look again soon. It says once that a front does not follow, and once that that is
    /// over.
    pub(super) fn note(&mut self, application: &ApplicationName, followed: &Followed) -> bool {
        match followed {
            Followed::True => {
                if self.told {
                    tracing::info!(%application, "its fronts follow its containers again");
                }
                *self = Self::default();
                return false;
            }
            Followed::Later => {}
            Followed::Open(said) => {
                if !self.told {
                    tracing::warn!(%application, said, "a front can not follow its containers; trying again");
                }
                self.told = true;
            }
        }
        self.tries = self.tries.saturating_add(1);
        if self.tries == SOON_TRIES && !self.told {
            tracing::warn!(%application, "its fronts do not follow: each look at its engine takes too long to act on");
            self.told = true;
        }
        self.tries < SOON_TRIES
    }
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
    /// before the look, which may be acted on until `fresh`.
    pub(super) async fn follow_fronts(
        &self,
        application: &Application,
        (run, fresh): (Option<RollbackId>, BootInstant),
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
            let seen = match self.balancers.look(front, false).await {
                Ok(known) => Seen::Known(known),
                Err(trouble) => Seen::Unknown(trouble.to_string()),
            };
            look.fronts.insert(component.name.clone(), seen);
            let aims = match follow(component, look) {
                Ok(aims) => aims,
                Err(said) => {
                    let said = format!("the balancer of {}: {said}", component.name);
                    followed = followed.and(Followed::Open(said));
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
                followed = followed.and(self.follow_to(&follower, &aim).await?);
            }
        }
        Ok(followed)
    }

    async fn follow_to(&self, follower: &Follower<'_>, aim: &Aim) -> Result<Followed, StoreAway> {
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
        if !holds() {
            return Ok(Followed::Later);
        }
        let pointing = self.balancers.point(front, server, to, &holds);
        let by = watcher();
        let act = AtRest {
            by: &by,
            asked: "front.follow_asked",
            done: "front.follow",
            detail: json!({"component": name, "server": server, "to": to.to_string()}),
        };
        let done = self
            .store
            .while_at_rest(&application.name, run, act, pointing)
            .await;
        match done {
            Ok(Some(Ok(()))) => {
                counter!(metric::FOLLOWED).increment(1);
                tracing::info!(application = %application.name, component = %name, server, %to, "a front follows its container");
                Ok(Followed::True)
            }
            // What was decided on is too old, or a rollback began.
            Ok(None | Some(Err(Trouble::Fenced))) | Err(store::Error::NotFound(_)) => {
                Ok(Followed::Later)
            }
            Ok(Some(Err(trouble))) => {
                let said = format!("{server} of {name} can not be sent to {to}: {trouble}");
                Ok(Followed::Open(said))
            }
            Err(error) => Err(StoreAway(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balancer_that_stays_away_is_looked_at_in_turn_after_a_while_and_soon_again_when_it_is_back()
     {
        let shop: ApplicationName = "shop".parse().unwrap();
        let mut trials = Trials::default();
        let away = Followed::Open("the balancer of api: no such file".to_owned());
        let soon = (0..SOON_TRIES)
            .filter(|_| trials.note(&shop, &away))
            .count();
        assert_eq!(soon, SOON_TRIES as usize - 1);
        assert!(trials.told && !trials.note(&shop, &away));
        assert!(!trials.note(&shop, &Followed::True));
        assert!(!trials.told && trials.note(&shop, &away));
    }

    #[test]
    fn one_front_that_does_not_follow_is_told_of_whatever_the_others_do() {
        let open = || Followed::Open("away".to_owned());
        for other in [Followed::True, Followed::Later] {
            assert_eq!(other.clone().and(open()), open());
            assert_eq!(open().and(other), open());
        }
        assert_eq!(Followed::Later.and(Followed::True), Followed::Later);
        assert_eq!(Followed::True.and(Followed::Later), Followed::Later);
        assert_eq!(Followed::True.and(Followed::True), Followed::True);
    }
}
