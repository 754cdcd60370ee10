//! The ledger entry and the hold are one transaction of our own store; what is seen there is its marker.

use super::{Next, World};
use crate::{effect::Effect, plan::Plan};

pub(super) fn explain(plan: &Plan) -> String {
    match &plan.from {
        _ if plan.target.undoes().is_some() => format!(
            "Write {} into the ledger and release the hold that the undone rollback made.",
            plan.to
        ),
        Some(from) => format!(
            "Write {} into the ledger and hold {from}: it may not come back until released.",
            plan.to
        ),
        None => format!("Write {} into the ledger.", plan.to),
    }
}

pub(crate) fn forward(world: &World) -> Next {
    if world.recorded {
        Next::Done("it is in the ledger".to_owned())
    } else {
        Next::Do(Effect::Record)
    }
}
