//! Whether the target of a component behind a balancer may run beside what serves. It must be said, and nothing of
//! the container may be such that only one can have it: a copy without its port or its address is no copy.

use super::{Warning, WarningCode, killed, shapes, shares_with_nobody};
use crate::{
    application::Component,
    engine_look::{Container, EngineLook},
    front::Front,
    ledger::ReleaseComponent,
    planner::Place,
    specification::Mounted,
};

/// Why what serves stops before the target starts; none when both may run.
pub(super) fn stops_first(
    look: &EngineLook,
    component: &Component,
    front: &Front,
    part: &ReleaseComponent,
    places: &[&Place<'_>],
) -> Option<String> {
    if component.overlap == Some(false) {
        return Some("the definition says `overlap = false`".to_owned());
    }
    if !front.two_versions {
        return Some(
            "the definition does not say that two versions of it may run at once".to_owned(),
        );
    }
    let mut places = places.iter();
    places.find_map(|place| only_one(look, place.replica, front, part).err())
}

fn only_one(
    look: &EngineLook,
    former: &Container,
    front: &Front,
    part: &ReleaseComponent,
) -> Result<(), String> {
    // What shares with the former one lasts as long as that: it would be cut off from whoever serves.
    shares_with_nobody(look, former)?;
    let (_, target) = shapes(former, part)?;
    let mut own = target.fixed_ports().filter(|port| !front.takes_over(port));
    if let Some(port) = own.next() {
        return Err(format!(
            "it publishes {port} besides, which only one container can have"
        ));
    }
    let live = former.live.networks.iter().map(|on| &on.endpoint);
    let address = live
        .chain(target.networks.values())
        .find_map(|endpoint| endpoint.ipv4.as_ref().or(endpoint.ipv6.as_ref()));
    address.map_or(Ok(()), |address| {
        Err(format!(
            "it has the fixed address {address}, which only one container can have"
        ))
    })
}

/// What a person should know of a change over behind a balancer.
pub(super) fn warnings(
    component: &Component,
    stops_first: Option<&str>,
    places: &[&Place<'_>],
) -> Vec<Warning> {
    let name = &component.name;
    let Some(why) = stops_first else {
        return shared_writes(places)
            .map(|mounted| Warning {
                code: WarningCode::SharedWrites,
                sentence: format!(
                    "two versions of {name} write to {} at the same time until the former one has gone",
                    mounted.target
                ),
                next_action: "go on if both can bear that, as `two_versions` in the definition says".to_owned(),
            })
            .into_iter()
            .collect();
    };
    let stopped = Warning {
        code: WarningCode::StoppedAndStarted,
        sentence: format!("{name} is stopped before its other version starts: {why}"),
        next_action: "go on if clients can wait that long; `two_versions` of its front says whether two versions may \
                      run at once"
            .to_owned(),
    };
    [stopped].into_iter().chain(killed(places)).collect()
}

fn shared_writes<'a>(places: &[&'a Place<'_>]) -> Option<&'a Mounted> {
    places.iter().find_map(|place| {
        let former = place.replica;
        let meant = former.shape.iter().flat_map(|shape| &shape.mounts);
        former
            .live
            .mounts
            .iter()
            .chain(meant)
            .find(|mount| mount.shares_writes())
    })
}
