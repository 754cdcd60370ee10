//! Components behind a balancer: which server stands for a replica, and whether the balancer is as the definition
//! says.

use std::net::SocketAddr;

use super::{BlockerCode, Place, Planner};
use crate::{
    engine_look::Container,
    front::{Front, FrontServer},
    plan::{PLAN_FORMAT_FOLLOW, Plan},
    seen::Seen,
};

/// A binary that does not know of fronts that follow can not even read the definition.
pub(super) fn format(plan: &mut Plan) {
    let follows = |front: &Front| front.follow;
    let mut components = plan.application.components.iter();
    if components.any(|component| component.front.as_ref().is_some_and(follows)) {
        plan.format = plan.format.max(PLAN_FORMAT_FOLLOW);
    }
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
        if !container.runs() {
            return true;
        }
        let Some(address) = container.address else {
            let sentence = format!(
                "{} has no address of its own that its front could send clients to",
                container.name
            );
            let action = "put it on a network of its own, or take `front` out of the definition";
            self.block(BlockerCode::BalancerUnfit, sentence, action);
            return false;
        };
        let address = SocketAddr::new(address, front.port);
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
