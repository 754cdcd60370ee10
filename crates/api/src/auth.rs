//! Who asks and what they may do. The store is behind a permit: a handler without one has nothing to read.

use std::{collections::BTreeSet, marker::PhantomData, net::IpAddr};

use axum::{extract::FromRequestParts, http::request::Parts};
use domain::{
    name::{Actor, ApplicationName},
    time::Moment,
};
use serde::{Deserialize, Serialize};
use store::{Store, Wakes};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{metric, problem::Problem};

mod app;
mod authenticate;
mod chatter;
pub(crate) mod hook;
mod role;
mod throttle;
mod token;

pub(crate) use app::{App, StreamPlace};
pub use app::{NotReady, ReadinessCheck};
pub use authenticate::{SETUP_TOKEN_MINUTES, setup_token};
pub(crate) use chatter::{ChatDesk, Chatter};
pub(crate) use hook::{HOOKS_MAX, Message};
pub use role::{Act, Role};
pub use token::{Token, TokenType};

/// How somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person with a token.
    Person,
    /// A service with a token.
    Service,
    /// A process of the same user, over the local socket.
    Local,
    /// The set-up token.
    Setup,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) actor: Actor,
    pub(crate) kind: PrincipalKind,
    pub(crate) role: Role,
    /// None: all.
    pub(crate) applications: Option<BTreeSet<ApplicationName>>,
    pub(crate) token: Option<TokenProof>,
}

/// The token that somebody is known by.
#[derive(Clone, Debug)]
pub(crate) struct TokenProof {
    pub(crate) id: Uuid,
    pub(crate) hash: [u8; 32],
    pub(crate) expires_at: Moment,
}

/// A kind of act, as a type.
pub(crate) trait Action: Send + Sync + 'static {
    const ACT: Act;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])* #[derive(Clone, Copy, Debug)] pub(crate) struct $name;
        impl Action for $name { const ACT: Act = Act::$name; })*
    };
}

actions! {
    /// Look.
    Read,
    /// Compute a plan.
    Plan,
    /// Roll back, cancel, hold, record.
    Operate,
    /// Approve or reject.
    Approve,
    /// Change applications, see and revoke tokens.
    Administer,
    /// Make a token.
    MakeToken,
}

/// The proof that whoever asks may do `A`; made by extraction only, and the only way to the store.
pub(crate) struct Permit<A> {
    app: App,
    principal: Principal,
    counted_at: IpAddr,
    act: PhantomData<A>,
}

impl<A: Action> FromRequestParts<App> for Permit<A> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let principal = authenticate::principal(parts, app).await?;
        tracing::Span::current().record("actor", principal.actor.as_str());
        authorize(&principal, A::ACT)?;
        Ok(Self {
            app: app.clone(),
            principal,
            counted_at: authenticate::counted_at(parts),
            act: PhantomData,
        })
    }
}

/// The one place that says yes or no.
fn authorize(principal: &Principal, act: Act) -> Result<(), Problem> {
    match principal.kind {
        PrincipalKind::Setup if act != Act::MakeToken => {
            Err(Problem::forbidden("of the set-up token", act.words())
                .next("make the first token with it, then use that"))
        }
        PrincipalKind::Service if act == Act::Approve => {
            Err(Problem::forbidden("of a service", act.words()).next("a person has to approve"))
        }
        PrincipalKind::Setup
        | PrincipalKind::Service
        | PrincipalKind::Person
        | PrincipalKind::Local => {
            if principal.role.may(act) {
                Ok(())
            } else {
                Err(Problem::forbidden(principal.role.word(), act.words()))
            }
        }
    }
}

impl<A> Permit<A> {
    /// For what a program never does by itself, whatever its role.
    pub(crate) fn must_be_person(&self, what: &'static str) -> Result<(), Problem> {
        match self.principal.kind {
            PrincipalKind::Service => {
                Err(Problem::forbidden("of a service", what).next("a person has to do that"))
            }
            PrincipalKind::Person | PrincipalKind::Local | PrincipalKind::Setup => Ok(()),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        self.app.store()
    }

    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    pub(crate) fn actor(&self) -> &Actor {
        &self.principal.actor
    }

    /// Whether the application is in the token's scope.
    pub(crate) fn sees(&self, application: &ApplicationName) -> bool {
        self.principal
            .applications
            .as_ref()
            .is_none_or(|names| names.contains(application))
    }

    /// An application outside of the scope is answered like one that is not there.
    pub(crate) fn must_see(&self, application: &ApplicationName) -> Result<(), Problem> {
        if self.sees(application) {
            return Ok(());
        }
        Err(Problem::not_found("application", application.as_str()))
    }

    /// What reaches beyond single applications needs a token without a list of them.
    pub(crate) fn must_see_all(&self) -> Result<(), Problem> {
        match self.principal.applications {
            None => Ok(()),
            Some(_) => Err(Problem::forbidden(
                "of a token for some applications",
                "do what concerns all of them",
            )),
        }
    }

    /// Asks again whether the token is valid: it may have been revoked since.
    pub(crate) async fn still_valid(&self) -> Result<(), Problem> {
        authenticate::again(&self.principal, &self.app).await
    }

    /// Counts the token among the refused ones: only its use told that it is not good.
    pub(crate) fn refuse_token(&self) {
        if let Some(proof) = &self.principal.token {
            metric::token_refused();
            self.app.throttle().refused(self.counted_at, proof.hash);
        }
    }

    pub(crate) fn shutting_down(&self) -> bool {
        self.app.shutdown().is_cancelled()
    }

    /// Waits for news, for at most a second, not past the deadline nor past a shutdown.
    pub(crate) async fn pause(&self, wakes: &mut Wakes, deadline: Instant) {
        tokio::select! {
            () = crate::clock::pause(wakes, deadline) => {}
            () = self.app.shutdown().cancelled() => {}
        }
    }

    /// A place among those that wait or stream.
    pub(crate) fn stream_place(&self) -> Result<StreamPlace, Problem> {
        self.app.stream_place()
    }
}
