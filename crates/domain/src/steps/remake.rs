//! A target's container that somebody removed is made once more: who cleans up stopped containers, or an `up` that takes it
//! for one replica too many. It is made after what it replaces, which has to be there.

use super::{Ctx, Next, create, switch};
use crate::{
    engine_look::{Container, ContainerState},
    plan::Swap,
    time::Millis,
    verdict::{Cause, CauseCode},
};

/// How soon a name that is being given up is looked at again.
const LOOK_AGAIN: Millis = Millis(50);

/// Makes it once more. Not where containers share with each other: each names the other by an identity that is gone.
pub(super) fn again(ctx: &Ctx<'_>, swap: &Swap) -> Next {
    let shares = !swap.joins.is_empty() || !ctx.plan.side_cars_of(swap).is_empty();
    match ctx.former_of(swap) {
        Some(_) if !shares => create::create(ctx, swap),
        Some(_) | None => Next::Fail(gone(swap)),
    }
}

/// Somebody removed a container that was created for a replica.
pub(super) fn gone(swap: &Swap) -> Cause {
    let sentence = format!(
        "the container created for {} is gone from the engine",
        swap.name
    );
    Cause::new(CauseCode::Drifted, sentence)
}

/// What the proof does about one that was removed; none when all are there, by their names. What served before is the nearer
/// way where it still runs: set aside by a handover, behind a balancer, or because a person started it.
pub(super) fn for_the_proof(ctx: &Ctx<'_>) -> Option<Next> {
    ctx.plan.swaps.iter().find_map(|swap| {
        let nearer =
            ctx.plan.front_of(swap).is_some() || ctx.former_of(swap).is_some_and(Container::is_up);
        match ctx.next_of(swap) {
            None if nearer => Some(Next::Fail(gone(swap))),
            None => Some(match ctx.name_taken(swap, &swap.name) {
                // It is being removed at this moment.
                Some(_) if ctx.is_vanishing(&swap.name) => Next::Wait(LOOK_AGAIN),
                Some(cause) => Next::Fail(cause),
                None => again(ctx, swap),
            }),
            Some(next) if next.state == ContainerState::Created && nearer => {
                Some(Next::Fail(gone(swap)))
            }
            Some(next) => {
                let made_anew = next.name == swap.name_before(ctx.rollback);
                (made_anew && next.runs())
                    .then(|| switch::names(ctx, swap, next))
                    .flatten()
            }
        }
    })
}
