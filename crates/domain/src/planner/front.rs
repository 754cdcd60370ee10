//! Components behind a balancer: which server stands for a replica, whether the balancer is as the definition says,
//! and in which order the parts change over.

use std::net::SocketAddr;

use super::{BlockerCode, Planner, place::Place};
use crate::{
    application::Application,
    engine_look::Container,
    front::{Front, FrontServer},
    name::ComponentName,
    seen::Seen,
    steps::Step,
};

/// How the touched components change over. Whatever can be proved beside what serves is proved before anything
/// that serves is touched.
pub(super) fn switches(application: &Application, touched: &[ComponentName]) -> Vec<Step> {
    let front = |component: &ComponentName| application.component(component)?.front.as_ref();
    let raise = |component: &ComponentName| Step::Raise {
        component: component.clone(),
    };
    let beside =
        |component: &&ComponentName| front(component).is_some_and(|front| front.two_versions);
    let mut steps: Vec<Step> = touched.iter().filter(beside).map(raise).collect();
    for component in touched {
        match front(component) {
            None => steps.push(Step::Switch {
                component: component.clone(),
            }),
            Some(front) => {
                if !front.two_versions {
                    steps.push(raise(component));
                }
                steps.push(Step::Point {
                    component: component.clone(),
                });
            }
        }
    }
    steps
}

/// Whether a part of the application is behind a balancer: an older binary can not read such a definition.
pub(super) fn any(application: &Application) -> bool {
    let components = &application.components;
    components.iter().any(|component| component.front.is_some())
}

impl Planner<'_> {
    /// The server that stands for a replica: `Some(None)` without a front, none with a blocker.
    pub(super) fn server(&mut self, place: &Place<'_>) -> Option<Option<String>> {
        let application = self.snapshot.application;
        let container = place.replica;
        let component = application.component(&container.component);
        let Some(front) = component.and_then(|component| component.front.as_ref()) else {
            return Some(None);
        };
        let Some(name) = front.server_of(container.replica) else {
            let sentence = format!(
                "the front of {} names no server for replica {}",
                container.component, container.replica
            );
            let action = "give `front.servers` one server for each replica, in order";
            self.block(BlockerCode::BalancerUnfit, sentence, action);
            return None;
        };
        self.front_fits(front, name, container)
            .then(|| Some(name.to_owned()))
    }

    /// Whether the balancer answers and sends clients to the present container.
    fn front_fits(&mut self, front: &Front, name: &str, container: &Container) -> bool {
        let (word, component) = (front.balancer.word(), &container.component);
        let look = match self.snapshot.look.fronts.get(component) {
            Some(Seen::Known(look)) => look,
            Some(Seen::Unknown(why)) => {
                let sentence = format!("the front of {component} could not be looked at: {why}");
                let action =
                    format!("let {word} answer there, or correct the definition, then ask again");
                self.block(BlockerCode::BalancerUnreachable, sentence, action);
                return false;
            }
            Some(Seen::Absent) | None => {
                let sentence = format!("the front of {component} was not looked at");
                self.block(BlockerCode::BalancerUnreachable, sentence, "ask again");
                return false;
            }
        };
        let Some(server) = look.servers.get(name) else {
            let sentence = format!("{word}, the front of {component}, has no server `{name}`");
            let action = "correct `front` in the definition, then ask again";
            self.block(BlockerCode::BalancerUnfit, sentence, action);
            return false;
        };
        if let Some(why) = server.unfit() {
            let action = format!(
                "make the file say where {word} sends clients, or leave `file` out of the definition"
            );
            self.block(BlockerCode::BalancerUnfit, why.to_owned(), action);
            return false;
        }
        self.sends_clients_there(front, name, server, container)
    }

    fn sends_clients_there(
        &mut self,
        front: &Front,
        name: &str,
        server: &FrontServer,
        container: &Container,
    ) -> bool {
        let address = container.address.filter(|_| container.runs());
        let Some(address) = address.map(|address| SocketAddr::new(address, front.port)) else {
            return true;
        };
        if server.address == Some(address) {
            return true;
        }
        let now = server
            .address
            .map_or_else(|| "no address".to_owned(), |now| now.to_string());
        let sentence = format!(
            "{} sends clients of `{name}` to {now}, {} is at {address}: it may be another application's server",
            front.balancer.word(),
            container.name
        );
        let action =
            "point it at the container, or correct `front` in the definition, then ask again";
        self.block(BlockerCode::BalancerUnfit, sentence, action);
        false
    }
}
