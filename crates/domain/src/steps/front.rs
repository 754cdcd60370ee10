//! What the steps see of a balancer in front of a component.

use std::net::SocketAddr;

use super::{Ctx, Next, point::point};
use crate::{
    engine_look::{Container, EngineLook},
    front::FrontServer,
    plan::{Plan, Swap},
    probe::{Answer, Subject},
    seen::Seen,
    verdict::{Cause, CauseCode},
};

impl<'a> Ctx<'a> {
    /// What is seen of the server that stands for a swap's replica; the reason when nothing is.
    pub(super) fn front_server(&self, swap: &Swap) -> Result<&'a FrontServer, Cause> {
        let unreachable = |why: &str| Cause::new(CauseCode::BalancerUnreachable, why);
        match self.look.fronts.get(&swap.component) {
            Some(Seen::Known(look)) => {
                let name = swap.server.as_deref().unwrap_or_default();
                let gone = || {
                    let sentence =
                        format!("the front of {} has no server `{name}`", swap.component);
                    Cause::new(CauseCode::BalancerUnfit, sentence)
                };
                look.servers.get(name).ok_or_else(gone)
            }
            Some(Seen::Unknown(why)) => Err(unreachable(why)),
            Some(Seen::Absent) | None => Err(unreachable("the front was not looked at")),
        }
    }

    /// Where a swap's front reaches one of its containers; none while it has no address.
    pub(super) fn behind(&self, swap: &Swap, container: &Container) -> Option<SocketAddr> {
        let (front, _) = self.plan.front_of(swap)?;
        let address = container.address.filter(|_| container.runs())?;
        Some(SocketAddr::new(address, front.port))
    }
}

/// What to do about a front that sends clients somewhere else than to the target.
pub(super) fn strayed(ctx: &Ctx<'_>) -> Option<Next> {
    ctx.plan.swaps.iter().find_map(|swap| {
        let to = ctx.behind(swap, ctx.next_of(swap)?)?;
        let server = ctx.front_server(swap).ok()?;
        (!(server.aims_at(to) && server.files(to))).then(|| point(swap, to))
    })
}

/// Whether the front of a replica sends clients to it; none without a front.
pub(super) fn front_answer(
    plan: &Plan,
    swap: &Swap,
    container: Option<&Container>,
    look: &EngineLook,
) -> Option<Answer> {
    let (front, name) = plan.front_of(swap)?;
    let address = container
        .filter(|container| container.runs())
        .and_then(|container| container.address)
        .map(|address| SocketAddr::new(address, front.port));
    let server = match look.fronts.get(&swap.component) {
        Some(Seen::Known(look)) => look
            .servers
            .get(name)
            .ok_or_else(|| "there is no such server".to_owned()),
        Some(Seen::Unknown(why)) => Err(why.clone()),
        Some(Seen::Absent) | None => Err("it was not looked at".to_owned()),
    };
    let red = match (server, address) {
        (Err(why), _) => Some(why),
        (Ok(_), None) => Some("the container has no address".to_owned()),
        (Ok(server), Some(address)) if server.sends_to(address) => None,
        (Ok(server), Some(address)) if server.aims_at(address) => {
            Some(format!("it takes {address} for down"))
        }
        (Ok(server), Some(address)) => Some(match server.address {
            Some(other) if other != address => format!("it sends clients to {other}"),
            Some(_) | None => "it sends no clients there".to_owned(),
        }),
    };
    Some(Answer {
        subject: Subject::Front,
        asked: format!(
            "{} sends clients of {name} to {}",
            front.balancer.word(),
            swap.name
        ),
        green: red.is_none(),
        spoke: false,
        said: red.unwrap_or_else(|| "it does".to_owned()),
    })
}
