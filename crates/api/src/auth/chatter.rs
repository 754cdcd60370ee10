//! Persons who are known by a chat: its signature shows which of its users asks, an administrator said who that is, and
//! from there on they are asked for permits like everybody else.

use std::{
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr},
};

use store::{ChatPerson, Store};

use super::{Action, App, Permit, Principal, PrincipalKind, Role, authorize};
use crate::problem::Problem;

/// Where messages of chats are taken up. What is done for a person is done by that person's permit; the store is open here
/// for who they are and for what is shown to them.
#[derive(Clone)]
pub(crate) struct ChatDesk(App);

/// A person who asks in a chat.
pub(crate) struct Chatter {
    app: App,
    principal: Principal,
}

impl ChatDesk {
    pub(crate) fn new(app: App) -> Self {
        Self(app)
    }

    pub(crate) fn store(&self) -> &Store {
        self.0.store()
    }

    /// Whoever an administrator said that a user is.
    pub(crate) fn chatter(&self, person: ChatPerson) -> Chatter {
        let applications = person.applications;
        Chatter {
            app: self.0.clone(),
            principal: Principal {
                actor: person.person,
                kind: PrincipalKind::Person,
                role: Role::from(person.role),
                applications: applications.map(|names| names.into_iter().collect()),
                token: None,
            },
        }
    }
}

impl Chatter {
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What the person may do, as for every other client.
    pub(crate) fn permit<A: Action>(&self) -> Result<Permit<A>, Problem> {
        authorize(&self.principal, A::ACT)?;
        Ok(Permit {
            app: self.app.clone(),
            principal: self.principal.clone(),
            counted_at: IpAddr::V4(Ipv4Addr::LOCALHOST),
            act: PhantomData,
        })
    }
}
